//! Opening the terminals of containers that run already.

use std::time::Duration;

use crate::bay::backoff::Backoff;
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::bay::session::TermSize;
use crate::engine::{EngineError, SharedEngine};
use crate::supervisor::session::Sessions;

use super::Executor;

impl Executor {
    /// Opens a terminal in the background; the link's end and the container's break it off.
    pub(super) fn open_terminal(&mut self, id: ContainerId, name: Name, size: TermSize) {
        let Some(engine) = self.present_engine() else { return };
        let sessions = self.ground.sessions.clone();
        let wanted = self.link.child_token();
        self.opening.retain(|_, wanted| !wanted.is_cancelled());
        if let Some(before) = self.opening.insert(id.clone(), wanted.clone()) {
            before.cancel();
        }
        self.tasks.spawn(async move {
            wanted.run_until_cancelled(open(&sessions, &engine, (&id, &name), size)).await;
            wanted.cancel();
        });
    }

    /// The container has ended or is gone: there is nothing to open any more.
    pub(super) fn stop_opening(&mut self, id: &ContainerId) {
        if let Some(wanted) = self.opening.remove(id) {
            wanted.cancel();
        }
    }
}

/// Again and again if need be: nobody else would.
async fn open(sessions: &Sessions, engine: &SharedEngine, (id, name): (&ContainerId, &Name), size: TermSize) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        match sessions.open_main(engine, id, name, size, true).await {
            Ok(_) | Err(EngineError::NotFound { .. }) => return,
            Err(error) => {
                tracing::warn!(%name, %error, "its terminal could not be opened");
                tokio::time::sleep(backoff.fail(u64::from(std::process::id()))).await;
            }
        }
    }
}
