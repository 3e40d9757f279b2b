//! Container services: the same rules as for native ones, kept here, over goals that the rest of the machine reaches.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::bay::container::{Observed, Role, Status, label};
use crate::bay::lifecycle::{Act, Event, Exit, Lifecycle, Memory, Phase, Rules};
use crate::bay::name::Name;
use crate::bay::service::ServiceRun;
use crate::bay::template::NetworkMode;
use crate::service::process::ProcessId;
use crate::service::protocol::RunState;

use super::super::super::event::Now;
use super::super::super::goal::{Goal, GoalKind, Make, What};
use super::super::super::store::ServiceTimes;
use super::super::{Link, Machine};
use super::container_key;
use super::unit::{Owed, Trouble, Unit, Want};

/// The clock of these lives begins so long before the supervisor: what happened before that has its place, too.
const BEFORE: Duration = Duration::from_hours(24 * 365);

/// Now, by the clock of these lives.
const fn life_now(now: Now) -> Duration {
    now.mono.saturating_add(BEFORE)
}

/// When that was or will be, by the same clock.
fn life_time(at: Timestamp, now: Now) -> Duration {
    let ago = now.wall.duration_since(at);
    let amount = ago.unsigned_abs();
    if ago.is_negative() { life_now(now).saturating_add(amount) } else { life_now(now).saturating_sub(amount) }
}

/// The other way round.
fn wall_time(at: Duration, now: Now) -> Option<Timestamp> {
    let ago = life_now(now).checked_sub(at);
    ago.map_or_else(|| now.wall.checked_add(at.saturating_sub(life_now(now))), |ago| now.wall.checked_sub(ago)).ok()
}

/// How long ago that was, on this machine.
pub(super) fn age_since(since: Option<Timestamp>, now: Now) -> Duration {
    since.map_or(Duration::ZERO, |since| Duration::try_from(now.wall.duration_since(since)).unwrap_or_default())
}

impl Machine {
    /// Compares what the engine shows with where the service is in its life.
    pub(super) fn observe_contained(&mut self, name: &Name, now: Now) {
        let key = container_key(name);
        let known = self.looking.known && matches!(self.link, Link::Up { .. });
        if !known {
            return;
        }
        let goal = self.stored.goals.get(&key).map(|goal| goal.kind.clone());
        let seen = self.seen.get(&key).map(|seen| seen.container.clone());
        let Some(unit) = self.services.units.get_mut(name) else { return };
        let Some(life) = &mut unit.life else { return };
        if !std::mem::replace(&mut unit.found, true) {
            return self.find_contained(name, goal.as_ref(), seen.as_ref(), now);
        }
        if goal.is_some() {
            return;
        }
        let running = seen.as_ref().is_some_and(|seen| seen.status.may_run());
        if matches!(life.phase(), Phase::Stopping(_)) {
            if running {
                return self.stop_contained_again(name, key, now);
            }
            unit.trouble = None;
            unit.troubles.reset();
        }
        let events = match life.phase() {
            Phase::Starting { .. } if running => vec![Event::Began],
            Phase::Starting { .. } => {
                let fault =
                    || self.faults.get(&key).cloned().unwrap_or_else(|| "its container could not be made".to_owned());
                let ended = seen.as_ref().and_then(exit_of);
                ended.map_or_else(
                    || vec![Event::NotBegun(fault())],
                    |exit| vec![Event::Began, Event::Ended(exit), Event::Emptied],
                )
            }
            Phase::Running { .. } | Phase::Stopping(_) if !running => {
                vec![Event::Ended(seen.as_ref().and_then(exit_of).unwrap_or(Exit::Lost)), Event::Emptied]
            }
            // Started by somebody else; it is ours, and follows what is wanted of it.
            Phase::Idle | Phase::Waiting { .. } | Phase::Ended { .. } | Phase::Failed if running => {
                life.adopt(life_now(now));
                vec![]
            }
            Phase::Waiting { until } if *until <= life_now(now) => vec![Event::Tick],
            _ => vec![],
        };
        for event in events {
            self.live_contained(name, event, now);
        }
        self.show_contained(name, now);
    }

    /// Its stop was given up: that is said, and after a while it is tried again.
    fn stop_contained_again(&mut self, name: &Name, key: String, now: Now) {
        let spread = self.next_spread();
        let Some(unit) = self.services.units.get_mut(name) else { return };
        match (unit.trouble.as_ref().map(|trouble| trouble.until), self.faults.get(&key).cloned()) {
            (Some(until), _) if until > now.mono => return,
            (None, Some(text)) => {
                let wait = unit.troubles.fail(spread);
                let until_wall = now.wall.checked_add(wait).unwrap_or(now.wall);
                unit.trouble = Some(Trouble { text, until: now.mono + wait, until_wall });
            }
            _ => {
                unit.trouble = None;
                self.faults.remove(&key);
                self.stored.goals.insert(key, Goal::new(GoalKind::Stopped));
            }
        }
        self.dirty = true;
        self.show_contained(name, now);
    }

    /// Somebody wants these ended now: a stop that failed is tried again at once.
    pub(super) fn hurry_stops(&mut self, of: impl Fn(&Name) -> bool) {
        let stopping = self.services.units.iter_mut().filter(|(name, unit)| of(name) && unit.is_contained_stopping());
        for (name, unit) in stopping {
            unit.trouble = None;
            self.faults.remove(&container_key(name));
        }
    }

    /// The first look of this supervisor: what an earlier one left.
    fn find_contained(&mut self, name: &Name, goal: Option<&GoalKind>, seen: Option<&Observed>, now: Now) {
        let Some(unit) = self.services.units.get_mut(name) else { return };
        let Some(life) = &mut unit.life else { return };
        let running = seen.is_some_and(|seen| seen.status.may_run());
        let times = self.stored.services_times.get(name).cloned().unwrap_or_default();
        // Whatever the clock was set to meanwhile: nothing of the past lies ahead.
        let past = |at: Timestamp| life_time(at, now).min(life_now(now));
        life.recall_starts(times.starts.iter().map(|at| past(*at)));
        unit.kept.times.ready = times.ready.filter(|_| running);
        let since = seen.and_then(|seen| seen.status.since()).map_or_else(|| life_now(now), past);
        let next = times.next.filter(|_| unit.want == Want::Up && unit.owed == Owed::Nothing);
        match goal {
            Some(GoalKind::Stopped | GoalKind::Gone) | None if running => life.adopt(since),
            Some(GoalKind::Stopped | GoalKind::Gone) => {}
            Some(_) => life.rest_as(Phase::Starting { stop: unit.want != Want::Up }),
            None if self.stored.services_failed.contains(name) => life.rest_as(Phase::Failed),
            // Its end was counted by the one before.
            None if next.is_some() => {
                let longest = life_now(now) + unit.config.backoff.max.get() * 2;
                let until = next.map_or(longest, |at| life_time(at, now)).min(longest);
                life.rest_as(Phase::Waiting { until });
            }
            None if unit.want == Want::Up && unit.owed == Owed::Nothing => {
                // It ended, or was removed, while nobody looked.
                let exit = seen.and_then(exit_of).unwrap_or(Exit::Lost);
                self.live_contained(name, Event::Lost(exit), now);
            }
            None => {}
        }
        self.show_contained(name, now);
    }

    /// Hands an event to its life, and turns what that says into goals.
    pub(super) fn live_contained(&mut self, name: &Name, event: Event, now: Now) {
        let spread = self.next_spread();
        let Some(unit) = self.services.units.get_mut(name) else { return };
        let Some(life) = &mut unit.life else { return };
        let (ready, lost) = (event == Event::Ready(true), event == Event::Ready(false));
        let acts = life.handle(event, life_now(now), spread);
        if lost {
            unit.kept.times.ready = None;
        } else if let Some(at) = unit.kept.times.ready.filter(|_| ready) {
            life.ready_since(life_time(at, now));
        }
        for act in acts {
            match act {
                Act::Begin => self.begin_contained(name, now),
                // The engine's stop is the signal, the grace and SIGKILL in one.
                Act::Signal(_) => {
                    let key = container_key(name);
                    if self.seen.get(&key).is_some_and(|seen| seen.container.status.may_run()) {
                        self.stored.goals.insert(key, Goal::new(GoalKind::Stopped));
                    }
                }
                Act::Kill => {}
            }
        }
        self.dirty = true;
        self.show_contained(name, now);
    }

    fn begin_contained(&mut self, name: &Name, now: Now) {
        let key = container_key(name);
        let Some(unit) = self.services.units.get_mut(name) else { return };
        unit.status.run += 1;
        let shared = matches!(unit.config.run, ServiceRun::Container { network: NetworkMode::Shared, .. });
        let hash = unit.config.hash();
        if shared {
            self.want_parent();
        }
        self.faults.remove(&key);
        let make = || Make {
            nonce: self.fresh_nonce(&format!("{key}{}", now.wall)),
            what: What::Service { service: name.clone() },
        };
        let kind = match self.seen.get(&key).map(|seen| &seen.container) {
            None => GoalKind::Made(make()),
            // A container can't leave the network of a parent that is about to go.
            Some(old) if old.label(label::TEMPLATE_HASH) != hash || (shared && self.parent_is_replaced()) => {
                GoalKind::Recreated { make: make(), old: old.id.clone(), start: true }
            }
            Some(old) => match self.bring_back(old) {
                Ok(kind) => kind,
                Err(_) => GoalKind::Recreated { make: make(), old: old.id.clone(), start: true },
            },
        };
        self.stored.goals.insert(key, Goal::new(kind));
    }

    pub(super) fn start_contained(&mut self, name: &Name, now: Now) {
        let Some(unit) = self.services.units.get_mut(name) else { return };
        unit.owed = Owed::Nothing;
        let rules = Rules::of(&unit.config);
        if let Some(life) = &mut unit.life {
            life.set_rules(rules);
        }
        self.live_contained(name, Event::Start, now);
    }

    /// What everybody may see of it.
    fn show_contained(&mut self, name: &Name, now: Now) {
        let seen = self.seen.get(&container_key(name)).map(|seen| seen.container.clone());
        let Some(unit) = self.services.units.get_mut(name) else { return };
        let Some(life) = &unit.life else { return };
        let state = RunState::of(life.phase());
        let status = &mut unit.status;
        status.memory = life.memory().clone();
        let past = Memory { starts: VecDeque::new(), ..status.memory.clone() };
        self.stored.services_past.insert(name.clone(), past);
        if status.state != state {
            status.state = state;
            status.since = Some(now.wall);
            self.dirty = true;
        }
        status.next_start_at = match (life.phase(), status.next_start_at) {
            (Phase::Waiting { .. }, Some(known)) => Some(known),
            (Phase::Waiting { until }, None) => wall_time(*until, now),
            _ => None,
        };
        unit.keep_times(now);
        let times = ServiceTimes { next: unit.status.next_start_at, ..unit.kept.times.clone() };
        let status = &mut unit.status;
        self.stored.services_times.insert(name.clone(), times);
        status.main = seen.as_ref().and_then(|seen| match seen.status {
            Status::Running { pid, .. } if pid != 0 => Some(ProcessId { pid, start: 0 }),
            _ => None,
        });
        if let Some(seen) = &seen {
            seen.label(label::TEMPLATE_HASH).clone_into(&mut status.hash);
            if let Some(since) = seen.status.since() {
                status.since = Some(since);
            }
        }
        if state != RunState::Running {
            unit.health.reset();
        }
        match state {
            RunState::Failed => drop(self.stored.services_failed.insert(name.clone())),
            RunState::Running | RunState::Starting | RunState::Idle => drop(self.stored.services_failed.remove(name)),
            _ => {}
        }
    }

    /// Containers of services that are not in the configuration any more, or are native by now.
    pub(super) fn clear_contained(&mut self, now: Now) {
        if !self.looking.known || !matches!(self.link, Link::Up { .. }) {
            return;
        }
        let wanted = |key: &str| {
            let name = key.strip_prefix("svc-").and_then(|name| name.parse::<Name>().ok());
            name.and_then(|name| self.services.units.get(&name))
                .is_some_and(|unit| unit.life.is_some() && !unit.removed)
        };
        let left = self.seen.iter().filter(|(key, seen)| {
            seen.container.role() == Some(Role::Service)
                && !wanted(key)
                && !self.stored.goals.contains_key(*key)
                && !self.rests(key, now)
        });
        let left: Vec<String> = left.map(|(key, _)| key.clone()).collect();
        for key in left {
            self.say(now, Some(&key), "is not in the configuration any more; it is removed");
            self.stored.goals.insert(key, Goal::new(GoalKind::Gone));
        }
    }
}

/// How a container's last run ended; `None`: it never ran, or runs.
fn exit_of(container: &Observed) -> Option<Exit> {
    match &container.status {
        Status::Exited { oom: true, .. } => Some(Exit::OutOfMemory),
        Status::Exited { error, .. } if !error.is_empty() => Some(Exit::NotStarted(error.clone())),
        Status::Exited { code, .. } => Some(Exit::Code(*code)),
        _ => None,
    }
}

impl Unit {
    /// Its container is to stop and still runs: what trouble it has is of that.
    pub(super) fn is_contained_stopping(&self) -> bool {
        self.life.is_some() && self.status.state == RunState::Stopping
    }

    /// What was to end may live: what trouble there is, is of that.
    pub(super) fn is_unended(&self) -> bool {
        self.unproven || self.is_contained_stopping()
    }

    /// When a wait of its own rules is over, by the supervisor's clock.
    pub(super) fn life_due(&self) -> Option<Duration> {
        match self.life.as_ref()?.phase() {
            Phase::Waiting { until } => Some(until.saturating_sub(BEFORE)),
            _ => None,
        }
    }

    /// How long the present run has gone on.
    pub(super) fn age(&self, now: Now) -> Duration {
        match self.life.as_ref().map(Lifecycle::phase) {
            Some(Phase::Running { since, .. }) => life_now(now).saturating_sub(*since),
            Some(_) => Duration::ZERO,
            None => age_since(self.status.since, now),
        }
    }

    /// What the next supervisor must know of times, by the wall clock. Each is reckoned once: later it would come out a
    /// little different.
    fn keep_times(&mut self, now: Now) {
        let Some(life) = &self.life else { return };
        let kept = &mut self.kept;
        let starts = &life.memory().starts;
        if kept.starts != *starts {
            kept.starts.clone_from(starts);
            kept.times.starts = starts.iter().filter_map(|at| wall_time(*at, now)).collect();
        }
        match life.phase() {
            Phase::Running { ready: Some(ready), .. } if kept.times.ready.is_none() => {
                kept.times.ready = wall_time(*ready, now);
            }
            // The first probe of this supervisor has not passed yet.
            Phase::Running { .. } => {}
            _ => kept.times.ready = None,
        }
    }
}
