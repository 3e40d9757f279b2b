//! What a supervisor that was killed left of a build: its container, and an image that nobody wrote down.

use crate::bay::name::{BUILD, Name};
use crate::bay::owner::OwnerKey;
use crate::engine::images::ImageStore;
use crate::engine::{EngineError, SharedEngine};

use super::super::event::StepError;
use super::{Built, Prebuilt};

/// The label that tells an image that was about to be made from another one of its name.
pub(super) const NONCE: &str = "podbay.build";

/// As long as this lives, a builder is nobody's leftover.
pub(super) struct AtWork<'a>(&'a Prebuilt, String);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work_now().remove(&self.1);
    }
}

impl Prebuilt {
    /// Notes that an image is made in this container.
    pub(super) fn at_work(&self, name: &str) -> AtWork<'_> {
        self.at_work_now().insert(name.to_owned());
        AtWork(self, name.to_owned())
    }

    fn at_work_now(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<String>> {
        self.building.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Those that are known to be made.
    pub(super) fn known_built(&self) -> Vec<Built> {
        self.built().iter().filter(|built| built.pending.is_none()).cloned().collect()
    }

    /// Clears what an earlier supervisor left, once it is known what there is.
    ///
    /// # Errors
    /// The engine's, or that the file can't be written.
    pub async fn clear_left_over(&self, engine: &SharedEngine, bay: &Name, key: &OwnerKey) -> Result<(), StepError> {
        remove(engine, bay, key, |name| !self.at_work_now().contains(name)).await?;
        match engine.images() {
            Some(store) => self.settle_pending(store, None).await,
            None => Ok(()),
        }
    }

    /// Finds out what became of images that were about to be made: of this repository, or of all.
    pub(super) async fn settle_pending(&self, store: &dyn ImageStore, of: Option<&str>) -> Result<(), StepError> {
        let wanted = |built: &&Built| built.pending.is_some() && of.is_none_or(|of| of == built.identity);
        let pending: Vec<Built> = self.built().iter().filter(wanted).cloned().collect();
        for one in pending {
            let seen = store.seen(&one.reference).await?;
            // The name may lead to an image of before, or of somebody else.
            let made = seen.filter(|seen| seen.labels.get(NONCE) == one.pending.as_ref()).map(|seen| seen.id);
            self.settled(&one, made.as_ref())?;
        }
        Ok(())
    }

    /// One that was about to be made is there under this id, or is not.
    pub(super) fn settled(&self, one: &Built, id: Option<&String>) -> Result<(), StepError> {
        {
            let mut built = self.built();
            built.retain(|known| known.pending != one.pending || known.pending.is_none());
            if let Some(id) = id {
                built.retain(|known| known.id != *id);
                built.push(Built { id: id.clone(), pending: None, ..one.clone() });
            }
        }
        self.write()
    }
}

/// Removes containers of builds that are called so.
pub(super) async fn remove(
    engine: &SharedEngine,
    bay: &Name,
    key: &OwnerKey,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), EngineError> {
    for container in engine.list(bay).await? {
        if container.name.ends_with(BUILD) && key.verify(bay, &container).is_some() && wanted(&container.name) {
            engine.remove(&container.id).await?;
        }
    }
    Ok(())
}
