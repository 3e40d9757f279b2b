//! What somebody wants of services, and who is told when it is so.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::types::{ErrorDetail, ServiceVerb};
use crate::bay::graph::Member;
use crate::bay::lifecycle::{Event, Exit};
use crate::bay::matching::{self, MatchError};
use crate::bay::name::Name;
use crate::bay::port::PortMapping;
use crate::bay::service::{ProbeTarget, ServiceRun};
use crate::bay::template::NetworkMode;
use crate::config::Config;
use crate::service::protocol::{Order, RunState, Told};

use super::super::super::event::{CommandId, Effect, Now, ServiceEffect};
use super::super::super::goal::PARENT;
use super::super::super::refusal;
use super::super::{Machine, Out, Pending, PendingKind};
use super::health::{Verdict, Which};
use super::unit::{ORDER, Owed, Sight, Unit, Want};
use super::{graph_of, target};

impl Machine {
    /// Writes down what is wanted, for the next supervisor.
    pub(super) fn keep_wants(&mut self) {
        let kept = |(name, unit): (&Name, &Unit)| {
            (!unit.removed && unit.want != Want::Down).then(|| (name.clone(), unit.want))
        };
        self.stored.services = self.services.units.iter().filter_map(kept).collect();
        self.stored.services_said.retain(|name, _| self.services.units.contains_key(name));
        let contained = |name: &Name| self.services.units.get(name).is_some_and(|unit| unit.life.is_some());
        self.stored.services_past.retain(|name, _| contained(name));
        self.stored.services_times.retain(|name, _| contained(name));
        self.dirty = true;
    }

    /// Writes down which starts are due.
    pub(super) fn keep_due(&mut self) {
        let (mut due, mut after) = (BTreeSet::new(), BTreeMap::new());
        for (name, unit) in &mut self.services.units {
            // Until its shim says that it has begun: an order may be lost with whoever gave it.
            let ordered = matches!(unit.line.awaiting, Some((_, Owed::Start)));
            if unit.want == Want::Up && (unit.owed == Owed::Start || unit.anew || ordered) {
                due.insert(name.clone());
                after.insert(name.clone(), *unit.after.get_or_insert(unit.status.run));
            } else {
                unit.after = None;
            }
        }
        self.stored.services_due_after = after;
        self.stored.services_due = due;
    }

    /// All services of the configuration are to run. `gently`: what a user stopped and what failed stays so.
    pub(in super::super) fn services_up(&mut self, gently: bool) {
        for unit in self.services.units.values_mut().filter(|unit| !unit.removed) {
            if gently && unit.want == Want::Stopped {
                continue;
            }
            let begun = unit.want == Want::Up && (unit.may_live() || unit.owed != Owed::Nothing);
            // Whoever says so has mended what kept it from running, or wants to know whether that is so.
            let delayed = !gently && unit.is_delayed();
            let over = matches!(unit.status.state, RunState::Done)
                || (gently && unit.want == Want::Up && matches!(unit.status.state, RunState::Ended | RunState::Failed));
            unit.want = Want::Up;
            unit.in_order = false;
            let as_it_is = over && unit.status.hash == unit.config.hash();
            if (!begun || delayed) && !as_it_is {
                unit.wake();
            }
        }
        self.stored.services_up = true;
        self.keep_wants();
    }

    /// The parent has let go of what it published, or publishes something else.
    pub(in super::super) fn parent_moved(&mut self) {
        self.services.units.values_mut().for_each(Unit::hurry_for_port);
    }

    /// What a command waits for that wants all services to run.
    pub(in super::super) fn service_targets(&self) -> Vec<String> {
        self.services.units.iter().filter(|(_, unit)| unit.want == Want::Up).map(|(name, _)| target(name)).collect()
    }

    /// Services that still live are to stop, each after what waits for it.
    pub(in super::super) fn services_down(&mut self) {
        self.hurry_stops(|_| true);
        for unit in self.services.units.values_mut() {
            if unit.want == Want::Up {
                unit.want = Want::Down;
            }
            unit.in_order = true;
            unit.owed = Owed::Nothing;
            unit.anew = false;
        }
        self.stored.services_up = false;
        self.keep_wants();
    }

    /// Nothing of any service is left, its shim neither.
    pub(in super::super) fn services_are_gone(&self) -> bool {
        let engine = matches!(self.link, super::super::Link::Up { .. });
        // What the engine runs can't be stopped without it: that is said by whoever needs it.
        let there = |unit: &Unit| {
            if unit.life.is_some() { engine && unit.may_live() } else { unit.may_live() || unit.line.open }
        };
        self.services.surveyed && !self.services.units.values().any(there)
    }

    /// A service that can't be stopped.
    pub(in super::super) fn stuck_service(&self) -> Option<ErrorDetail> {
        let stuck = |(name, unit): (&Name, &Unit)| unit.can_not_end().map(|why| refusal::service(name, &why));
        self.services.units.iter().find_map(stuck)
    }

    pub(in super::super) fn service_command(&mut self, id: CommandId, word: &str, verb: ServiceVerb, out: &mut Out) {
        let name = match self.find_service(word) {
            Ok(name) => name,
            Err(error) => return out.reply(id, super::super::super::event::Reply::Refused(error)),
        };
        if verb != ServiceVerb::Stop && self.is_going_down() {
            let busy = refusal::busy("the bay is going down");
            return out.reply(id, super::super::super::event::Reply::Refused(busy));
        }
        if verb != ServiceVerb::Stop {
            self.want_needed(&name);
        }
        match verb {
            ServiceVerb::Start => self.want_service(&name, |unit| {
                unit.want = Want::Up;
                if unit.line.stop_told || !matches!(unit.status.state, RunState::Running | RunState::Starting) {
                    unit.wake();
                }
            }),
            ServiceVerb::Stop => self.want_service(&name, |unit| {
                unit.want = Want::Stopped;
                unit.owed = Owed::Nothing;
                unit.anew = false;
            }),
            ServiceVerb::Restart => self.want_service(&name, |unit| {
                unit.want = Want::Up;
                unit.anew = true;
                unit.after = None;
                unit.trouble = None;
            }),
        }
        self.keep_wants();
        let kind = PendingKind::Service(verb.done());
        let targets = BTreeSet::from([target(&name)]);
        self.pending.push(Pending { id, kind, targets, failures: Vec::new(), notes: Vec::new() });
    }

    /// What a service waits for is to run, too.
    fn want_needed(&mut self, name: &Name) {
        for needed in self.services.graph.before(&Member::Service(name.clone())) {
            if let Some(unit) = self.services.units.get_mut(&needed)
                && !(unit.want == Want::Up && (unit.may_live() || unit.status.state == RunState::Done))
            {
                unit.want = Want::Up;
                unit.wake();
            }
        }
    }

    fn want_service(&mut self, name: &Name, change: impl FnOnce(&mut Unit)) {
        self.hurry_stops(|other| other == name);
        if let Some(unit) = self.services.units.get_mut(name) {
            unit.in_order = false;
            change(unit);
        }
    }

    /// The service that a word means: its name, with `svc-` or without, or a unique prefix.
    pub(in super::super) fn find_service(&self, word: &str) -> Result<Name, ErrorDetail> {
        let bare = word.strip_prefix("svc-").unwrap_or(word);
        let known = |text: &str| self.services.units.keys().find(|name| name.as_str() == text).cloned();
        if let Some(name) = known(word).or_else(|| known(bare)) {
            return Ok(name);
        }
        let rows = self.service_rows();
        let not_found = |error: &MatchError| ErrorDetail {
            hint: Some("`podbay service ls` lists the names".to_owned()),
            ..refusal::not_found(error)
        };
        let found = matching::resolve(bare, &rows).map_err(|error| not_found(&error))?;
        match found.as_slice() {
            [row] => {
                known(&row.name).ok_or_else(|| not_found(&MatchError::None { word: word.to_owned(), nearest: None }))
            }
            many => {
                let names = many.iter().take(10).map(|row| row.name.clone()).collect();
                Err(not_found(&MatchError::Ambiguous { word: word.to_owned(), names }))
            }
        }
    }

    /// Those who wait for a service that has come to where they wanted it are told so.
    pub(super) fn tell_about(&mut self, name: &Name, out: &mut Out) {
        let key = target(name);
        if !self.pending.iter().any(|pending| pending.targets.contains(&key)) {
            return;
        }
        let Some(unit) = self.services.units.get(name) else {
            return self.tell(&key, &Ok(()), &[], out);
        };
        if let Some(outcome) = unit.outcome() {
            let outcome = outcome.map_err(|why| refusal::service(name, &why));
            self.tell(&key, &outcome, &[], out);
        }
    }

    /// Takes another configuration: what changed is started anew, what is gone is stopped, the rest is left alone.
    pub(in super::super) fn reload_services(&mut self, config: &Config, now: Now, out: &mut Out) -> Vec<String> {
        let is_up = self.stored.services_up || self.services.units.values().any(|unit| unit.want == Want::Up);
        let mut notes = Vec::new();
        self.services.graph = graph_of(config);
        for service in &config.services {
            let name = service.name.clone();
            let Some(unit) = self.services.units.get_mut(&name) else {
                let want = if is_up { Want::Up } else { Want::Down };
                let mut unit = Unit::new(service.clone(), want);
                if is_up {
                    unit.owed = Owed::Start;
                }
                notes.push(format!("service {name} is new"));
                self.services.units.insert(name, unit);
                continue;
            };
            let old = std::mem::replace(&mut unit.config, service.clone());
            if std::mem::take(&mut unit.removed) {
                // What is left of the old one ends first.
                unit.want = if is_up { Want::Up } else { Want::Down };
                if is_up {
                    unit.wake();
                }
                notes.push(format!("service {name} is new"));
            }
            let other_kind = old.is_native() != service.is_native();
            if other_kind {
                // The old one is ended as one that was removed; the new one begins as one that is new.
                if old.is_native() && unit.line.open {
                    for order in [Order::Stop, Order::Quit] {
                        self.services.last_order += 1;
                        let told = Box::new(Told::new(self.services.last_order, order));
                        out.push(Effect::Service(ServiceEffect::Tell { name: name.clone(), told }));
                    }
                }
                let want = unit.want;
                *unit = Unit::new(service.clone(), want);
                unit.owed = if want == Want::Up { Owed::Start } else { Owed::Nothing };
                notes.push(format!("service {name} changed"));
                continue;
            }
            if old.hash() != service.hash() {
                notes.push(format!("service {name} changed"));
                unit.trouble = None;
                if unit.want == Want::Up {
                    unit.anew = true;
                }
            } else if service.is_native() && unit.line.open {
                self.services.last_order += 1;
                let limits = (&self.config.worker.limits, &config.worker.limits);
                out.0.extend(unit.take_rules(&old, limits, self.services.last_order));
            }
            unit.health.changed(Which::Ready, old.ready.as_ref(), service.ready.as_ref(), now.mono);
            unit.health.changed(Which::Live, old.live.as_ref(), service.live.as_ref(), now.mono);
        }
        for (name, unit) in &mut self.services.units {
            if !unit.removed && !config.services.iter().any(|service| service.name == *name) {
                notes.push(format!("service {name} was removed; it is stopped"));
                unit.removed = true;
                unit.want = Want::Down;
                unit.owed = Owed::Nothing;
                unit.anew = false;
            }
        }
        self.keep_wants();
        notes
    }

    /// Asks the probes that are due.
    pub(super) fn watch_health(&mut self, name: &Name, state: RunState, now: Now, out: &mut Out) {
        let published = self.published_for(name);
        let Some(unit) = self.services.units.get_mut(name).filter(|_| state == RunState::Running) else { return };
        let age = unit.age(now);
        unit.health.begin(now.mono, age, (unit.config.ready.is_some(), unit.config.live.is_some()));
        let by_log = unit.config.ready.as_ref().is_some_and(|probe| matches!(probe.target, ProbeTarget::Log(_)));
        let run = unit.status.since.filter(|_| by_log && unit.life.is_some());
        let said = run.is_some() && run == self.stored.services_said.get(name).copied();
        let mut known = false;
        for which in unit.health.take_due(now.mono) {
            if said && which == Which::Ready {
                known = true;
                continue;
            }
            let service = Box::new(unit.config.clone());
            let status = Box::new(unit.status.clone());
            let container = self.seen.get(&super::container_key(name)).map(|seen| seen.container.id.clone());
            let container = container.filter(|_| unit.life.is_some());
            let ports = published.clone();
            out.push(Effect::Service(ServiceEffect::Probe { service, status, which, container, ports }));
        }
        let run = unit.status.run;
        if known {
            self.probed(name, (run, Which::Ready), Ok(()), (now, out));
        }
    }

    /// Ports of a container service that lead into its network from this machine.
    fn published_for(&self, name: &Name) -> Vec<PortMapping> {
        let Some(unit) = self.services.units.get(name) else { return Vec::new() };
        let key = match &unit.config.run {
            ServiceRun::Container { network: NetworkMode::Shared, .. } => PARENT.to_owned(),
            ServiceRun::Container { .. } => super::container_key(name),
            ServiceRun::Host { .. } => return Vec::new(),
        };
        self.seen.get(&key).map(|seen| seen.container.ports.clone()).unwrap_or_default()
    }

    /// What a probe said of a run.
    pub(super) fn probed(
        &mut self,
        name: &Name,
        (run, which): (u64, Which),
        result: Result<(), String>,
        (now, out): (Now, &mut Out),
    ) {
        let id = self.services.next_order();
        let Some(unit) = self.services.units.get_mut(name) else { return };
        if unit.status.run != run || unit.status.state != RunState::Running {
            return;
        }
        let probe = match which {
            Which::Ready => unit.config.ready.clone(),
            Which::Live => unit.config.live.clone(),
        };
        let Some(probe) = probe else { return };
        if let (Ok(()), Which::Ready, ProbeTarget::Log(_), Some(since)) =
            (&result, which, &probe.target, unit.status.since.filter(|_| unit.life.is_some()))
        {
            self.dirty |= self.stored.services_said.insert(name.clone(), since) != Some(since);
        }
        let order = match unit.health.answered(which, &probe, result, now.mono) {
            Verdict::Same => return,
            Verdict::Ready(yes) => Order::Ready(yes),
            Verdict::Unhealthy(why) => {
                unit.health.reset();
                Order::Unhealthy(why)
            }
        };
        if unit.life.is_some() {
            let event = match order {
                Order::Ready(yes) => Event::Ready(yes),
                Order::Unhealthy(why) => Event::Unhealthy(why),
                _ => return,
            };
            return self.live_contained(name, event, now);
        }
        if matches!(order, Order::Unhealthy(_)) {
            unit.line.awaiting = Some((id, Owed::Nothing));
        }
        // A verdict on one run must not end the next, which the shim may have begun by now.
        let told = Box::new(Told { run: Some(run), ..Told::new(id, order) });
        out.push(Effect::Service(ServiceEffect::Tell { name: name.clone(), told }));
    }
}

impl Unit {
    /// Somebody wants it to run now: earlier troubles are forgotten.
    fn wake(&mut self) {
        self.owed = Owed::Start;
        self.after = None;
        self.trouble = None;
        self.troubles.reset();
    }

    /// Nothing is under way but the wait for its next try.
    const fn is_delayed(&self) -> bool {
        self.line.awaiting.is_none() && (self.trouble.is_some() || matches!(self.status.state, RunState::Waiting))
    }

    /// Somebody else had a port that it needs: it need not wait out its time once that may be free.
    fn hurry_for_port(&mut self) {
        let refused = self.trouble.as_ref().is_some_and(|trouble| trouble.text.starts_with("port "));
        let not_begun = |exit: &Exit| matches!(exit, Exit::NotStarted(why) if why.contains("port "));
        let waits =
            self.status.state == RunState::Waiting && self.status.memory.last_exit.as_ref().is_some_and(not_begun);
        if self.want == Want::Up && self.line.awaiting.is_none() && (refused || waits) {
            self.wake();
        }
    }

    /// Why it does not end; `None`: it may still.
    fn can_not_end(&self) -> Option<String> {
        let left = self.trouble.as_ref().filter(|_| self.want != Want::Up && self.is_unended());
        let stuck = (self.status.state == RunState::Stuck).then(|| self.stuck_text());
        let left = self.mute.as_ref().or(left);
        left.map(|left| left.text.clone()).or(stuck).or_else(|| self.late_text())
    }

    fn late_text(&self) -> Option<String> {
        let seconds = ORDER.as_secs();
        let pid = self.status.shim.pid;
        self.line.late.then(|| format!("its shim (pid {pid}) has not carried out what it was told {seconds}s ago"))
    }

    /// Why nobody should wait for it without being told.
    pub(super) fn why_not_soon(&self) -> Option<String> {
        let trouble = self.mute.as_ref().or(self.trouble.as_ref()).map(|trouble| trouble.text.clone());
        let blocked = self.blocked.as_ref().map(|why| why.strip_prefix("it ").unwrap_or(why).to_owned());
        trouble.or(blocked).or_else(|| self.late_text()).or_else(|| match self.status.state {
            RunState::Waiting => Some(self.end_text()),
            RunState::Stuck => Some(self.stuck_text()),
            RunState::Running => {
                let tries = self.config.ready.as_ref()?.retries;
                self.health.ready_failed(tries).then(|| self.health.says()).flatten()
            }
            _ => None,
        })
    }

    /// What is said to who asked for something, once there is something to say.
    fn outcome(&self) -> Option<Result<(), String>> {
        if let Some(mute) = &self.mute {
            return Some(Err(mute.text.clone()));
        }
        if let Some(trouble) = self.trouble.as_ref().filter(|_| self.want == Want::Up) {
            return Some(Err(trouble.text.clone()));
        }
        if let Some(late) = self.late_text() {
            return Some(Err(late));
        }
        let Sight::Is(state) = self.sight() else { return None };
        if self.want != Want::Up {
            return self.can_not_end().map(Err).or_else(|| (!self.may_live()).then_some(Ok(())));
        }
        if let Some(blocked) = &self.blocked {
            return Some(Err(blocked.clone()));
        }
        let settled = self.owed == Owed::Nothing && !self.anew;
        match state {
            RunState::Running | RunState::Done if settled => Some(Ok(())),
            RunState::Waiting | RunState::Ended | RunState::Failed if settled => Some(Err(self.end_text())),
            RunState::Stuck => Some(Err(self.stuck_text())),
            _ => None,
        }
    }
}
