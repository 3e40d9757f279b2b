//! Whether warm workers wait, and of which images they were made.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::bay::container::{ContainerId, Status, label};
use crate::bay::name::Name;
use crate::bay::template::WarmMode;

use super::super::super::event::{Effect, Now, Waiting};
use super::super::{Link, Machine, Out};
use super::{Probe, Warmth, is_warm};

/// Images are looked at so often.
const IMAGES_EVERY: Duration = Duration::from_secs(30);

impl Machine {
    /// A warm worker waits, or does not in time.
    pub(in super::super) fn take_probe(&mut self, id: &ContainerId, run: Timestamp, answer: Waiting, now: Now) {
        let Some(warmth) = self.warmth.get_mut(id).filter(|warmth| warmth.run == run) else { return };
        self.dirty = true;
        match answer {
            Waiting::Ready => (warmth.state, warmth.since) = (Probe::Ready, now.mono),
            Waiting::Never(why) => {
                warmth.state = Probe::Failed(why);
                return;
            }
            // As if nobody had asked: the engine's silence is no fault of the worker's.
            Waiting::Unknown => {
                self.warmth.remove(id);
                return;
            }
        }
        let template = self.by_id(id).and_then(|container| container.label(label::TEMPLATE).parse::<Name>().ok());
        if let Some(pool) = template.and_then(|name| self.pools.get_mut(&name)) {
            pool.forgive();
        }
    }

    /// With the link go the looks that were under way.
    pub(in super::super) fn drop_probes(&mut self) {
        self.warmth.retain(|_, warmth| warmth.state != Probe::Asked);
    }

    /// Asks of every run of a warm worker once whether it waits.
    pub(in super::super) fn settle_probes(&mut self, now: Now, out: &mut Out) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        let there: BTreeSet<&ContainerId> = self.seen.values().map(|seen| &seen.container.id).collect();
        self.warmth.retain(|id, _| there.contains(id));
        for (_, seen) in self.seen.iter().filter(|(name, _)| is_warm(name)) {
            let Status::Running { since: run, .. } = seen.container.status else { continue };
            let id = &seen.container.id;
            if self.warmth.get(id).is_some_and(|warmth| warmth.run == run) {
                continue;
            }
            self.warmth.insert(id.clone(), Warmth { run, since: now.mono, state: Probe::Asked });
            let mode = if seen.container.label(label::WARM) == "gate" { WarmMode::Gate } else { WarmMode::Running };
            out.push(Effect::Probe { id: id.clone(), run, mode });
        }
    }

    /// Once, when it is known what there is: an earlier supervisor may have ended before all was cleared.
    pub(in super::super) fn settle_leftovers(&mut self, out: &mut Out) {
        if !self.looking.known || std::mem::replace(&mut self.swept, true) {
            return;
        }
        let seen = self.seen.values().chain(self.retired.values());
        let made_as = seen.map(|seen| seen.container.label(label::WARM_NAME).to_owned());
        let kept = made_as.chain(self.stored.goals.keys().cloned());
        out.push(Effect::SweepWarm(kept.filter_map(|name| name.parse().ok()).collect()));
        // Of a name that was taken again, the directories are in use.
        let free = |name: &str| !self.seen.contains_key(name) && !self.stored.goals.contains_key(name);
        self.stored.forgetting.retain(|name, _| free(name));
        for (name, discard) in &self.stored.forgetting {
            let Ok(name) = Name::worker(name) else { continue };
            out.push(Effect::ForgetWorker { name, failed: false, discard: *discard });
        }
    }

    /// An image that was built anew makes those warm workers stale that were made of the old one.
    pub(in super::super) fn look_at_images(&mut self, now: Now, out: &mut Out) {
        if now.mono < self.images_due || !self.looking.known {
            return;
        }
        self.images_due = now.mono + IMAGES_EVERY;
        let wanted: BTreeSet<String> = self.pooled().iter().map(|template| template.image.to_string()).collect();
        if !wanted.is_empty() {
            out.push(Effect::LookAtImages(wanted));
        }
    }
}
