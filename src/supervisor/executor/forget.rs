//! Clearing what a removed worker leaves on this machine.

use tokio_util::sync::CancellationToken;

use crate::bay::name::Name;
use crate::supervisor::event::Event;

use super::Executor;

impl Executor {
    /// Clears a removed worker's directories. Its clone stays while it holds what is nowhere else, unless somebody said
    /// that this may go: an agent may have worked on after the question.
    pub(super) fn forget_worker(&mut self, name: Name, discard: bool) {
        let (paths, repositories, events) =
            (self.ground.paths.clone(), self.ground.repositories.clone(), self.events.clone());
        self.forgetting.retain(|_, ends| {
            ends.retain(|end| !end.is_cancelled());
            !ends.is_empty()
        });
        let end = CancellationToken::new();
        self.forgetting.entry(name.to_string()).or_default().push(end.clone());
        self.tasks.spawn(async move {
            // Also where it panics: the directories are nobody's then.
            let end = end.drop_guard();
            let worker = paths.worker(&name);
            let unsaved = if discard { Vec::new() } else { repositories.unsaved(&worker).await };
            let whole = unsaved.is_empty();
            let target = name.clone();
            let cleared = tokio::task::spawn_blocking(move || {
                if whole {
                    crate::workspace::clone::remove(&worker)?;
                }
                crate::workspace::forget(&paths, &name)
            });
            let notes = match cleared.await.map_err(std::io::Error::other).flatten() {
                Ok(kept) => kept.into_iter().chain(unsaved).collect(),
                Err(error) => vec![format!("its directories could not be removed: {error}")],
            };
            drop(end);
            // Fails only when the supervisor has ended.
            drop(events.send(Event::Kept { name: target, notes }).await);
        });
    }
}
