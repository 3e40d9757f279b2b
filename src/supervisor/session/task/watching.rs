//! Whether the program of a session waits for somebody.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::bay::attention::{Attention, Sign, Watch};
use crate::terminal::attention;
use crate::terminal::emulator::{Emulator, Fed};

/// A screen is looked at when nothing was written for so long: what is still being drawn looks like anything.
const STILL: Duration = Duration::from_millis(600);

/// So much at the end of a history may still be on the screen.
const ADOPTED: usize = 16 << 10;

/// What is known, and when it is looked at again.
#[derive(Default)]
pub(super) struct Watching {
    watch: Watch,
    look_at: Option<Instant>,
    told: Option<Attention>,
}

impl Watching {
    /// Takes in what a piece of output meant.
    pub fn wrote(&mut self, fed: &Fed, title: &str) {
        let now = Timestamp::now();
        self.watch.heed(Sign::Wrote, now);
        for sign in &fed.signs {
            self.watch.heed(*sign, now);
        }
        if let Some(sign) = attention::title(title).filter(|_| fed.title_changed) {
            self.watch.heed(sign, now);
        }
        // To look means to draw the screen: only where there is a chance to see something.
        if self.look_at.is_some() || self.watch.is_an_agent() || attention::may_tell(&fed.forward) {
            self.look_at = Some(Instant::now() + STILL);
        }
    }

    /// What was written before there was anybody to see it: its signs are old, its screen still stands.
    pub fn adopted(&mut self, history: &[u8]) {
        let last = history.get(history.len().saturating_sub(ADOPTED)..).unwrap_or_default();
        if attention::may_tell(last) {
            self.look_at = Some(Instant::now() + STILL);
        }
    }

    /// Somebody typed.
    pub fn typed(&mut self) {
        self.watch.heed(Sign::Typed, Timestamp::now());
        if self.watch.is_an_agent() {
            self.look_at = Some(Instant::now() + STILL);
        }
    }

    /// The time to look again; may be dropped.
    pub async fn due(&self) {
        let now = Timestamp::now();
        let by_rule = self.watch.due(now).map(|at| {
            let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            Instant::now() + left + Duration::from_millis(1)
        });
        match [self.look_at, by_rule].into_iter().flatten().min() {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at the screen when it is time. Whether the state is another one than was last told.
    pub fn look(&mut self, emulator: &Emulator) -> bool {
        if self.look_at.is_some_and(|at| at <= Instant::now()) {
            self.look_at = None;
            let looks = attention::looks(&emulator.text());
            self.watch.heed(Sign::Looks(looks), Timestamp::now());
        }
        self.changed()
    }

    /// Whether the state is another one than was last told.
    pub fn changed(&mut self) -> bool {
        let state = self.watch.state(Timestamp::now());
        let changed = state != self.told;
        self.told = state;
        changed
    }

    /// The state as it was last told.
    pub fn state(&self) -> Option<Attention> {
        self.told.clone()
    }
}
