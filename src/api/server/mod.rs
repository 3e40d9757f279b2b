//! The supervisor's side of the wire: routes over a [`Handle`], on a unix socket that only its owner may use.
//!
//! Changes nothing itself: it hands commands over and shows the latest view. A slow or vanished client costs nothing but
//! its own connection.

mod actions;
mod alarms;
mod callback;
mod contained_logs;
mod doctor;
mod door;
mod error;
mod exec;
mod extract;
mod figures;
mod handover;
mod hosted;
mod images;
mod isolation;
mod line_id;
mod lines;
mod listener;
mod metrics;
mod openapi;
mod ports;
mod requests;
pub mod routes;
mod run;
mod service_terminal;
mod services;
mod setup;
mod shared_log;
mod shown;
mod streams;
mod terminal;

use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::types::{LinkState, Snapshot};
use crate::config::Config;
use crate::config::env::Env;
use crate::config::paths::Paths;
use crate::supervisor::event::Command;
use crate::supervisor::executor::{Executor, Handle};
use crate::supervisor::lock::LockError;
use crate::supervisor::store::StoreError;

use door::Tokens;
use requests::{Counted, Requests};
use setup::{Lent, Setups};
use shared_log::SharedLogs;
use shown::Listed;

pub use error::ApiError;

/// Bodies larger than this are refused.
const BODY: usize = 1 << 20;
/// Streams at once: what is left of the connections answers short questions.
const STREAMS: usize = 1536;
/// Logs that are being opened at once: a crowd that comes together must not keep the engine from answering each in time.
const OPENING: usize = 16;
/// A stream has its own, and one to the engine.
const DESCRIPTORS: u64 = 8192;
/// How long a question waits for the engine's first answer.
const FIRST_LOOK: Duration = Duration::from_secs(6);
/// How long answers may take to leave once the supervisor ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why there is no supervisor in this process.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another one runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its state can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A directory or the socket can't be made.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
}

/// Reads the configuration anew: on SIGHUP and by `POST /api/reload`.
pub type Reload = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// How a supervisor begins.
pub struct Start {
    /// Reads the configuration anew.
    pub reload: Reload,
    /// Bring the bay up at once, as `podbay up` does.
    pub up: bool,
}

/// What every route has at hand. Cheap to clone: every request does.
#[derive(Clone)]
pub struct App(Arc<AtHand>);

/// What is behind every [`App`].
pub struct AtHand {
    handle: Handle,
    reload: Reload,
    tokens: Arc<Tokens>,
    setups: Setups,
    lent: Lent,
    listed: Listed,
    requests: Requests,
    shared_logs: SharedLogs,
    streams: Arc<Semaphore>,
    opening: Arc<Semaphore>,
}

/// Runs the supervisor of a bay until it is told to end. `ready` is called once its socket answers.
///
/// # Errors
/// [`ServeError`]: then nothing was started, and nothing is left behind.
pub async fn serve(config: Config, env: Env, start: Start, ready: impl FnOnce()) -> Result<(), ServeError> {
    let Start { reload, up } = start;
    // Before anything is made: the socket must never have been open to others, not even for a moment.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    raise_descriptors();
    let paths = Paths::of(&config.bay, &env);
    let at = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |error| ServeError::Io { path, error }
    };
    paths.create().map_err(at(&paths.state))?;
    let token_file = door::token_file(&config.api, &paths, &env);
    let token_file =
        token_file.map_err(|why| at(&paths.state)(std::io::Error::other(format!("[api] token_file: {why}"))))?;
    let tokens = Arc::new(Tokens::new(token_file).map_err(at(&paths.state))?);
    let lock = handover::take_lock(&paths).await?;
    let (executor, handle) = Executor::new(config, env, paths.clone())?;
    let listener = listener::bind(&paths.socket).map_err(at(&paths.socket))?;
    let app = App(Arc::new(AtHand {
        handle: handle.clone(),
        reload,
        tokens,
        setups: Setups::new(handle.paths.clone()),
        lent: Lent::default(),
        listed: Listed::default(),
        requests: Requests::default(),
        shared_logs: SharedLogs::default(),
        streams: Arc::new(Semaphore::new(STREAMS)),
        opening: Arc::new(Semaphore::new(OPENING)),
    }));
    let ending = handle.ending.clone();
    let routes = |with_private| Counted::new(routes::router(app.clone(), with_private), app.requests.clone());
    let server = axum::serve(listener, routes(true).into_make_service());
    let server = server.with_graceful_shutdown(ending.clone().cancelled_owned());
    let door = tokio::spawn(door::keep(app.clone(), routes(false)));
    tokio::spawn(alarms::keep(app.clone()));
    tokio::spawn(setup::resume(app.clone()));
    if up {
        tokio::spawn(bring_up(app.clone()));
    }
    let signals = tokio::spawn(follow_signals(app));
    ready();
    let server = tokio::spawn(server.into_future());
    executor.run().await;
    // The executor has ended by itself or by a signal: answers go out, streams are cut.
    ending.cancel();
    // First, so that nobody new finds a supervisor that ends; the lock is held on until it has ended.
    drop(std::fs::remove_file(&paths.socket));
    drop(tokio::time::timeout(LAST_WORDS, async { tokio::join!(server, door) }).await);
    signals.abort();
    drop(lock);
    Ok(())
}

/// As many descriptors as streams and what stands behind each may need; a system's usual 1024 are too few.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

async fn bring_up(app: App) {
    match app.ask(Command::Up { gently: true }).await {
        Ok(_) => tracing::info!("the bay is up"),
        Err(error) => tracing::warn!(%error, "the bay could not be brought up"),
    }
}

/// SIGTERM, SIGINT: end, containers stay. SIGHUP: read the configuration anew.
async fn follow_signals(app: App) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        tracing::error!("signals can't be followed");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return app.handle.ending.cancel(),
            _ = interrupt.recv() => return app.handle.ending.cancel(),
            _ = hangup.recv() => match actions::reload(&app).await {
                Ok(done) => tracing::info!("{}", done.text),
                Err(error) => tracing::error!("the configuration stays as it was: {error}"),
            },
        }
    }
}

impl std::ops::Deref for App {
    type Target = AtHand;

    fn deref(&self) -> &AtHand {
        &self.0
    }
}

impl App {
    /// A supervisor that has just started knows nothing yet; its clients would take that for an empty bay. Waits until
    /// the engine has answered, or has not in time.
    async fn first_look(&self) {
        if !is_known(&self.handle.view.borrow()) {
            // Rare, and large: nobody else carries it around.
            Box::pin(self.wait_for_a_look()).await;
        }
    }

    async fn wait_for_a_look(&self) {
        let mut view = self.handle.view.clone();
        // Too late is as good as away: the answer says so itself.
        drop(tokio::time::timeout(FIRST_LOOK, view.wait_for(|view| is_known(view))).await);
    }

    /// A place for one more stream.
    fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = self.streams.clone().try_acquire_owned();
        place.map_err(|_| ApiError::new("capacity", format!("{STREAMS} logs and terminals are open already")))
    }

    /// The latest view, its clock set right.
    fn snapshot(&self) -> Snapshot {
        let view = self.handle.view.borrow().clone();
        let mut snapshot = (*view).clone();
        snapshot.status.uptime_s = self.handle.started.elapsed().as_secs();
        snapshot
    }
}

/// Whether the engine and all services have been looked at.
fn is_known(view: &Snapshot) -> bool {
    let surveyed = view.status.services.iter().all(|service| service.state != "unknown");
    surveyed && view.status.engine.state != LinkState::Connecting
}
