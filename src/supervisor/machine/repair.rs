//! Rules that hold without anybody asking, and the repair of what was cut off.

use crate::api::types::ErrorDetail;
use crate::bay::container::{Observed, ObservedNetwork, Role, Status, label};
use crate::bay::name::{ContainerName, Name, in_bay};
use crate::bay::template::{Repair, Template};

use super::super::event::Now;
use super::super::goal::{Goal, GoalKind, Make, PARENT, What};
use super::super::refusal;
use super::pool::is_warm;
use super::{Machine, Out, Pending, PendingKind};

/// A parent that has run this long since the last wait counts as staying.
const STAYED: std::time::Duration = std::time::Duration::from_mins(1);

impl Machine {
    /// While a repair is on: every worker that is cut off gets a goal, once the parent runs.
    pub(super) fn repair(&mut self) {
        let Some(tried) = self.repairing.clone() else { return };
        if self.parent_moves() || !self.parent().is_some_and(|parent| parent.status.is_running()) {
            return;
        }
        let lost: Vec<String> = self
            .seen
            .iter()
            .filter(|(name, seen)| !is_warm(name) && self.lost(&seen.container).is_some())
            .map(|(name, _)| name.clone())
            .filter(|name| {
                !tried.contains(name) && !self.stored.goals.contains_key(name) && !self.stored.stopped.contains(name)
            })
            .collect();
        for name in lost {
            let Some(container) = self.seen.get(&name).map(|seen| seen.container.clone()) else { continue };
            let kind = self.bring_back(&container);
            if let Some(set) = &mut self.repairing {
                set.insert(name.clone());
            }
            match kind {
                Ok(kind) => {
                    self.stored.goals.insert(name.clone(), Goal::new(kind));
                    for pending in &mut self.pending {
                        if let PendingKind::Repair { repaired } = &mut pending.kind {
                            *repaired += 1;
                            pending.targets.insert(name.clone());
                        }
                    }
                }
                Err(error) => {
                    self.faults.insert(name.clone(), error.message.clone());
                    for pending in &mut self.pending {
                        if matches!(pending.kind, PendingKind::Repair { .. }) {
                            pending.failures.push((name.clone(), error.clone()));
                        }
                    }
                }
            }
            self.dirty = true;
        }
    }

    /// How a worker gets its network back: a restart joins the parent's present namespace, a new parent needs a new worker.
    pub(super) fn bring_back(&self, container: &Observed) -> Result<GoalKind, ErrorDetail> {
        let parent = self.parent();
        let bound_here = match (&container.network, parent) {
            (ObservedNetwork::Of(bound), Some(parent)) => *bound == parent.id,
            _ => true,
        };
        if bound_here {
            return Ok(match container.status {
                Status::Running { since, .. } => GoalKind::Restarted { before: Some(since) },
                _ => GoalKind::Running,
            });
        }
        let make = self.make_again(container)?;
        Ok(GoalKind::Recreated { make, old: container.id.clone(), start: true })
    }

    /// What a container was made from, read off its labels.
    pub(super) fn make_again(&self, container: &Observed) -> Result<Make, ErrorDetail> {
        let nonce = self.fresh_nonce(container.id.as_str());
        if container.role() == Some(Role::Parent) {
            return Ok(Make { nonce, what: What::Parent });
        }
        if container.role() == Some(Role::Service) {
            let name = in_bay(&self.config.bay, &container.name).and_then(|name| name.strip_prefix("svc-"));
            let service = name.and_then(|name| self.config.services.iter().find(|known| known.name.as_str() == name));
            let service = service.ok_or_else(|| refusal::failed("it is not in the configuration any more"))?;
            return Ok(Make { nonce, what: What::Service { service: service.name.clone() } });
        }
        let name = container.label(label::TEMPLATE);
        let template: Name = name.parse().map_err(|_| refusal::no_template(name))?;
        self.template(&template)?;
        let overrides = self.overrides_of(container);
        Ok(Make { nonce, what: What::Worker { template, overrides: Box::new(overrides), size: None } })
    }

    pub(super) fn template(&self, name: &Name) -> Result<&Template, ErrorDetail> {
        self.config.template(name).ok_or_else(|| refusal::no_template(name.as_str()))
    }

    /// Repairs are over when the parent runs and nobody waits for it any more.
    pub(super) fn answer_repairs(&mut self, out: &mut Out) {
        if self.repairing.is_none() || self.parent_moves() || self.stored.goals.keys().any(|name| self.tried(name)) {
            return;
        }
        let (done, waiting): (Vec<Pending>, Vec<Pending>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| matches!(pending.kind, PendingKind::Repair { .. }) && pending.targets.is_empty());
        self.pending = waiting;
        if !self.pending.iter().any(|pending| matches!(pending.kind, PendingKind::Repair { .. })) {
            self.repairing = None;
        }
        for pending in done {
            self.answer(pending, out);
        }
    }

    fn tried(&self, name: &str) -> bool {
        self.repairing.as_ref().is_some_and(|tried| tried.contains(name))
    }

    /// With `repair = "auto"`, a parent that was lost comes back by itself, ever more slowly if it does not stay.
    pub(super) fn keep_parent(&mut self, now: Now) {
        if self.config.parent.repair != Repair::Auto
            || self.stored.goals.contains_key(PARENT)
            || self.stored.stopped.contains(PARENT)
        {
            return;
        }
        let up = self.parent().is_some_and(|parent| parent.status.is_running());
        if up && now.mono > self.parent_not_before + STAYED {
            self.parent_backoff.reset();
        }
        let cut_off = self.seen.iter().any(|(name, seen)| !is_warm(name) && self.lost(&seen.container).is_some());
        let down = match self.parent() {
            Some(parent) => !parent.status.is_running(),
            None => cut_off,
        };
        if down && now.mono >= self.parent_not_before {
            let spread = self.next_spread();
            self.parent_not_before = now.mono + self.parent_backoff.fail(spread) * 2;
            let anew = || GoalKind::Made(self.make_parent());
            let kind = self.parent().map_or_else(anew, |parent| self.bring_parent_back(parent));
            self.say(now, Some(PARENT), "was lost; it is brought back");
            self.stored.goals.insert(PARENT.to_owned(), Goal::new(kind));
        }
        if cut_off && self.repairing.is_none() && !down {
            self.repairing = Some(self.faults.keys().cloned().collect());
        }
    }

    /// Workers that asked to be removed once they end.
    pub(super) fn remove_ended(&mut self, now: Now) {
        let ended: Vec<String> = self
            .seen
            .iter()
            .filter(|(name, seen)| !is_warm(name) && self.is_passing(&seen.container))
            .filter(|(name, _)| !self.stored.goals.contains_key(*name))
            .filter(|(name, seen)| matches!(seen.container.status, Status::Exited { .. }) && !self.rests(name, now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            self.stored.goals.insert(name, Goal::new(GoalKind::Gone));
            self.dirty = true;
        }
    }

    /// Retired containers whose goal was given up for another: the name is free, then it gets it back, or it is not, then
    /// its successor is there.
    pub(super) fn clear_retired(&mut self, now: Now) {
        let orphans: Vec<(String, GoalKind)> = self
            .retired
            .iter()
            .filter(|(name, _)| !self.stored.goals.contains_key(*name) && !self.rests(name, now))
            .map(|(name, seen)| {
                let old = seen.container.id.clone();
                let kind = if self.seen.contains_key(name) {
                    GoalKind::Cleared { old }
                } else {
                    GoalKind::Restored { old, failed: seen.nonce.clone(), start: false }
                };
                (name.clone(), kind)
            })
            .collect();
        for (name, kind) in orphans {
            self.stored.goals.insert(name, Goal::new(kind));
            self.dirty = true;
        }
    }

    pub(super) fn rests(&self, name: &str, now: Now) -> bool {
        self.resting.get(name).is_some_and(|until| *until > now.mono)
    }

    fn is_passing(&self, container: &Observed) -> bool {
        let overrides = self.overrides_of(container);
        let by_template = || {
            let name = container.label(label::TEMPLATE).parse::<Name>().ok()?;
            Some(self.config.template(&name)?.remove_on_exit)
        };
        container.role() == Some(Role::Worker) && (overrides.rm || by_template().unwrap_or(false))
    }

    pub(super) fn make_parent(&self) -> Make {
        Make { nonce: self.fresh_nonce(ContainerName::parent(&self.config.bay).as_str()), what: What::Parent }
    }
}
