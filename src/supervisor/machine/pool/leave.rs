//! How much a pool may make now: never before what it needs, and people's own workers come first.

use std::time::Duration;

use crate::bay::name::Name;
use crate::bay::phase::Phase;
use crate::bay::pool::{Leave, unpoolable};
use crate::bay::template::{NetworkMode, Template};

use super::super::super::event::Now;
use super::super::super::goal::{Goal, GoalKind, PARENT};
use super::super::{Machine, ObservedNetwork, Seen};
use super::{Pool, is_warm};

/// After a claim, what is not urgent waits so long.
const BREATH: Duration = Duration::from_millis(500);
/// Pools hold back for people no longer than this at a stretch: who asks all the time wants warm workers most.
const PATIENCE: Duration = Duration::from_secs(5);
/// What lasts shorter is not worth a word.
const WORTH_SAYING: Duration = Duration::from_secs(1);

impl Pool {
    /// That it holds back, in words, once that has lasted a while.
    pub(super) fn holds_back(&self, now: Duration) -> Option<String> {
        let held = now.saturating_sub(self.held?);
        (held >= WORTH_SAYING && held < PATIENCE).then(|| "waits: people's own workers come first".to_owned())
    }
}

impl Machine {
    /// How much a pool may make now, and why that is less than all.
    pub(super) fn leave(&mut self, template: &Template, now: Now) -> (Leave, Option<String>) {
        if let Some(why) = unpoolable(template) {
            return (Leave::Nothing, Some(why.to_owned()));
        }
        if !self.stored.pools_up {
            return (Leave::Nothing, Some("waits for the bay; `podbay up` or a first spawn begins it".to_owned()));
        }
        if self.looking.failed {
            return (Leave::Nothing, Some("waits for a list of the engine's containers".to_owned()));
        }
        if let Some(what) = self.pool_waits_for(template) {
            return (Leave::Nothing, Some(format!("waits for {what}")));
        }
        let Some(pool) = self.pools.get(&template.name) else { return (Leave::Nothing, None) };
        if now.mono < pool.not_before {
            return (Leave::Nothing, None);
        }
        if pool.backoff.failures() > 0 {
            return (Leave::One, None);
        }
        (self.behind_people(&template.name, now), None)
    }

    /// The engine is the claimer's first, then the command's that it let in, then that of workers made anew.
    fn behind_people(&mut self, template: &Name, now: Now) -> Leave {
        let claims = self.calls_for_people(now, |kind| matches!(kind, GoalKind::Claimed { .. } | GoalKind::Named));
        let makes = self.calls_for_people(now, |kind| matches!(kind, GoalKind::Made(_) | GoalKind::Recreated { .. }));
        let Some(pool) = self.pools.get_mut(template) else { return Leave::Nothing };
        let breath = now.mono.saturating_sub(pool.used) < BREATH && pool.tally.hits > 0;
        if !(claims || makes || breath) {
            self.dirty |= pool.held.take().is_some();
            return Leave::All;
        }
        let since = *pool.held.get_or_insert(now.mono);
        match () {
            () if now.mono.saturating_sub(since) >= PATIENCE => Leave::All,
            () if claims => Leave::Nothing,
            () => Leave::Urgent,
        }
    }

    /// Whether the engine does something for such a goal of somebody's at this moment. One that waits, or whose repository
    /// is fetched, takes nothing of it.
    fn calls_for_people(&self, now: Now, of: impl Fn(&GoalKind) -> bool) -> bool {
        let fetches = |name: &String| {
            let phase = self.progress.get(name).map(|(progress, _)| progress.phase);
            matches!(phase, Some(Phase::Cloning | Phase::Installing))
        };
        let goals = self.stored.goals.iter().filter(|(name, _)| !is_warm(name) && *name != PARENT);
        // One that is new has its step found later in this turn.
        let begins = |name: &String, goal: &Goal| {
            !self.waits.contains_key(name) && goal.not_before.is_none_or(|at| at <= now.mono)
        };
        goals
            .filter(|(_, goal)| of(&goal.kind))
            .any(|(name, goal)| if self.busy.contains_key(name) { !fetches(name) } else { begins(name, goal) })
    }

    /// What must be there before a worker of this template can be: the services that it depends on, and its network.
    fn pool_waits_for(&mut self, template: &Template) -> Option<String> {
        if let Some(services) = self.template_waits(&template.name) {
            return Some(services);
        }
        if template.network != NetworkMode::Shared {
            return None;
        }
        match self.parent() {
            Some(parent) if parent.status.is_running() && !self.parent_moves() => None,
            // A parent that was lost, stopped or removed is the user's to bring back.
            _ if self.stored.stopped.contains(PARENT) || self.faults.contains_key(PARENT) => {
                Some("the parent; `podbay up` brings it back".to_owned())
            }
            // A bay whose first worker is a warm one.
            None => {
                let joined = |seen: &Seen| matches!(seen.container.network, ObservedNetwork::Of(_));
                if !self.seen.values().any(joined) {
                    self.want_parent();
                }
                Some("the parent".to_owned())
            }
            Some(_) => Some("the parent".to_owned()),
        }
    }
}
