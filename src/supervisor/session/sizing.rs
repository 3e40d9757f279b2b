//! Sizes: how often a program is told of another one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::link::Target;
use crate::bay::session::TermSize;
use crate::engine::SharedEngine;

/// Between two sizes: ten a second.
const PACE: Duration = Duration::from_millis(100);
/// Between two nudges.
const NUDGE_PACE: Duration = Duration::from_secs(2);
/// Long enough that a program sees both sizes of a nudge.
const NUDGE: Duration = Duration::from_millis(60);

/// So long after the engine was told a size, it is not told the same again. Later somebody else may have given another.
const FRESH: Duration = Duration::from_secs(2);

/// The size that the engine has last said yes to, and when.
#[derive(Default)]
pub(super) struct Told(Mutex<Option<(TermSize, Instant)>>);

impl Told {
    /// The engine has given the terminal this size.
    pub fn note(&self, size: TermSize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((size, Instant::now()));
    }

    /// What the terminal's size is now, nobody knows.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the terminal has this size, as far as podbay has to do with it.
    pub fn is(&self, size: TermSize) -> bool {
        self.get().is_some_and(|(told, _)| told == size)
    }

    fn is_fresh(&self, size: TermSize) -> bool {
        self.get().is_some_and(|(told, at)| told == size && at.elapsed() < FRESH)
    }

    fn get(&self) -> Option<(TermSize, Instant)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size that a session has, and the one that it should have.
pub(super) struct Sizing {
    now: TermSize,
    wanted: TermSize,
    not_before: Instant,
    resizer: watch::Sender<Option<Resize>>,
    nudges: u64,
    nudged_at: Option<Instant>,
    told: Arc<Told>,
}

impl Sizing {
    pub fn new(size: TermSize, engine: &SharedEngine, target: &Target) -> Self {
        let told = Arc::<Told>::default();
        let resizer = spawn(Arc::clone(engine), target.clone(), told.clone());
        Self { now: size, wanted: size, not_before: Instant::now(), resizer, nudges: 0, nudged_at: None, told }
    }

    /// The engine is another one from now on.
    pub fn tell_another(&mut self, engine: &SharedEngine, target: &Target) {
        self.told.forget();
        self.resizer = spawn(Arc::clone(engine), target.clone(), self.told.clone());
    }

    /// What the engine has been told.
    pub const fn told(&self) -> &Arc<Told> {
        &self.told
    }

    /// Tells the engine of the present size, unless it has just been told. Somebody else may have given another one.
    pub fn tell_again(&self) {
        if !self.told.is_fresh(self.now) {
            self.tell();
        }
    }

    /// Tells the engine of the present size.
    pub fn tell(&self) {
        self.resizer.send_replace(Some(Resize { size: self.now, nudges: self.nudges }));
    }

    /// Makes the program draw anew, even if it knows the size. Now and then only: what it draws may be what breaks.
    pub fn nudge(&mut self) {
        let now = Instant::now();
        if self.nudged_at.is_none_or(|last| now - last >= NUDGE_PACE) {
            self.nudged_at = Some(now);
            self.nudges += 1;
        }
        self.tell();
    }

    pub const fn now(&self) -> TermSize {
        self.now
    }

    pub fn want(&mut self, size: TermSize) {
        self.wanted = TermSize::new(size.rows, size.cols);
    }

    /// Waits until another size is due; for ever while the present one is wanted.
    pub async fn due(&self) {
        if self.now == self.wanted {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.not_before).await;
    }

    /// Whether another size may be taken now.
    pub fn is_due(&self) -> bool {
        self.now != self.wanted && Instant::now() >= self.not_before
    }

    /// Takes the wanted size; the next change waits its time.
    pub fn take(&mut self) -> TermSize {
        self.now = self.wanted;
        self.not_before = Instant::now() + PACE;
        self.now
    }
}

/// What the engine is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resize {
    size: TermSize,
    /// Counted up to have it set by way of another size, so that a program that draws the whole screen draws it again.
    nudges: u64,
}

/// Tells the engine of sizes for as long as the sender lives; of several at once only the last.
fn spawn(engine: SharedEngine, target: Target, told: Arc<Told>) -> watch::Sender<Option<Resize>> {
    let (sender, mut receiver) = watch::channel(None);
    tokio::spawn(async move {
        let mut nudged = 0;
        while receiver.changed().await.is_ok() {
            let Some(Resize { size, nudges }) = *receiver.borrow_and_update() else {
                continue;
            };
            if nudges != nudged {
                nudged = nudges;
                let other =
                    TermSize { rows: size.rows, cols: if size.cols > 2 { size.cols - 1 } else { size.cols + 1 } };
                target.resize(&engine, other).await;
                tokio::time::sleep(NUDGE).await;
            }
            // A failure is not paced: the container is not started yet, and its size must not be late when it is.
            if target.resize(&engine, size).await {
                told.note(size);
                tokio::time::sleep(PACE).await;
            }
        }
    });
    sender
}

impl Target {
    /// `false` when the engine did not do it: not started yet, ended, or away.
    async fn resize(&self, engine: &SharedEngine, size: TermSize) -> bool {
        let engine = Arc::clone(engine);
        let result = match self {
            Self::Main(id) => engine.resize(id, size).await,
            Self::Shell(shell) => engine.resize_exec(&shell.exec, size).await,
        };
        if let Err(error) = &result {
            tracing::debug!(%error, "a terminal was not resized");
        }
        result.is_ok()
    }
}
