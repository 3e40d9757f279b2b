//! Services: which are wanted, which may begin, what is seen of them.
//!
//! A native service's runs follow their shim's own rules; here it is decided whether it is wanted, when what it waits for
//! is there, and what its probes mean. A container service's runs follow the same rules, kept here. Wishes are kept on
//! disk, so that a new supervisor goes on with them; what is there is asked of the shims and the engine.

mod contained;
mod health;
mod native;
mod unit;
mod view;
mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::bay::graph::{self, Graph, Member};
use crate::bay::lifecycle::Event;
use crate::bay::name::Name;
use crate::config::Config;
use crate::service::protocol::RunState;

use super::super::event::{Effect, Now, ServiceEffect, ServiceEvent};
use super::super::goal::{GoalKind, What};
use super::super::refusal;
use super::super::store::Stored;
use super::{Machine, Out};
use unit::{Owed, PATIENCE, Sight, Unit};

pub use health::Which;
pub use unit::Want;

/// All services of a bay.
#[derive(Debug, Default)]
pub(super) struct Services {
    units: BTreeMap<Name, Unit>,
    graph: Graph,
    /// What shims there are is known.
    surveyed: bool,
    /// The number of the last order.
    last_order: u64,
    /// Workers that wait for some of them.
    pub(super) workers: BTreeMap<String, Since>,
    /// What the history has told of.
    told: Vec<crate::api::types::ServiceRow>,
}

/// How long a worker has waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    at: Duration,
    /// Whoever asked for it knows.
    told: bool,
}

/// What waits for a service stands so among the targets of a command. No container has a space in its name.
pub(super) fn target(name: &Name) -> String {
    format!("service {name}")
}

/// The name inside the bay of a service's container.
pub(super) fn container_key(name: &Name) -> String {
    format!("svc-{name}")
}

impl Services {
    /// Those of a configuration, wanted as an earlier supervisor kept it.
    pub fn new(config: &Config, stored: &Stored, first_order: u64) -> Self {
        let mut services = Self { last_order: first_order, graph: graph_of(config), ..Self::default() };
        for service in &config.services {
            let want = stored.services.get(&service.name).copied().unwrap_or_default();
            let past = stored.services_past.get(&service.name).cloned().unwrap_or_default();
            let mut unit = Unit::remembering(service.clone(), want, past);
            if want == Want::Up && stored.services_due.contains(&service.name) {
                unit.owed = Owed::Start;
                unit.after = stored.services_due_after.get(&service.name).copied();
            }
            services.units.insert(service.name.clone(), unit);
        }
        services
    }

    fn next_order(&mut self) -> u64 {
        self.last_order += 1;
        self.last_order
    }
}

/// The configuration was checked; an empty graph would only mean that nothing waits.
fn graph_of(config: &Config) -> Graph {
    let services = config.services.iter().map(|service| (Member::Service(service.name.clone()), &service.depends_on));
    let templates = std::iter::once(&config.worker).chain(&config.templates);
    let templates = templates.map(|template| (Member::Template(template.name.clone()), &template.depends_on));
    Graph::new(services.chain(templates)).unwrap_or_default()
}

fn slow(sentence: &str, waited: Duration) -> Option<String> {
    let minutes = PATIENCE.as_secs() / 60;
    (waited >= PATIENCE)
        .then(|| format!("it still waits for {sentence}, after {minutes}m; it starts by itself once that is so"))
}

/// The template of a worker that is to be made or claimed.
const fn template_of(goal: &GoalKind) -> Option<&Name> {
    match goal {
        GoalKind::Made(make) | GoalKind::Claimed { make, .. } => match &make.what {
            What::Worker { template, .. } => Some(template),
            _ => None,
        },
        _ => None,
    }
}

impl Machine {
    /// What a worker that is to be made or claimed waits for.
    pub(super) fn waits_for_services(&self, name: &str, goal: &GoalKind) -> Option<String> {
        // One that is claimed is there, but its command is not let in.
        let made = self.seen.contains_key(name) && !matches!(goal, GoalKind::Claimed { .. });
        if made { None } else { self.template_waits(template_of(goal)?) }
    }

    /// Who asked for a worker is told when what it waits for does not come by itself, or not soon. It is made all the same
    /// once that is so.
    pub(super) fn tell_of_wait(&mut self, name: &str, goal: &GoalKind, now: Now, out: &mut Out) {
        let Some(template) = template_of(goal) else { return };
        let waits = self.services.graph.waits(&Member::Template(template.clone()), |name| self.progress_of(name));
        let since = self.services.workers.entry(name.to_owned()).or_insert(Since { at: now.mono, told: false }).at;
        let late = || slow(&graph::sentence(&waits)?, now.mono.saturating_sub(since));
        let Some(why) = self.hopeless(&waits).or_else(late) else { return };
        if let Some(waiting) = self.services.workers.get_mut(name) {
            waiting.told = true;
        }
        self.tell(name, &Err(refusal::waits(name, &why)), &[], out);
    }

    /// Of those that nobody wants any more.
    pub(super) fn forget_waits(&mut self) {
        let goals = &self.stored.goals;
        self.services.workers.retain(|name, _| goals.contains_key(name));
    }

    /// What the workers of a template wait for, in words to stand after "waits for"; `None`: nothing.
    pub(super) fn template_waits(&self, template: &Name) -> Option<String> {
        let waits = self.services.graph.waits(&Member::Template(template.clone()), |name| self.progress_of(name));
        graph::sentence(&waits)
    }

    pub(super) fn progress_of(&self, name: &Name) -> graph::Progress {
        self.services.units.get(name).map_or(graph::Progress::Failed, Unit::progress)
    }

    pub(super) fn take_service(&mut self, event: ServiceEvent, now: Now, out: &mut Out) {
        self.dirty = true;
        match event {
            ServiceEvent::Surveyed(found) => self.surveyed(found, now, out),
            ServiceEvent::Shim { name, status } => self.shim_said(&name, *status, now),
            ServiceEvent::ShimGone { name, status } => self.shim_gone(&name, status.map(|status| *status), now),
            ServiceEvent::ShimMute { name, why } => self.shim_mute(&name, why, now),
            ServiceEvent::Holder { name, run, holder } => self.holder_found(&name, run, holder),
            ServiceEvent::Unprepared { name, error } => self.unprepared(&name, error, now),
            ServiceEvent::Probed { name, run, which, result } => self.probed(&name, (run, which), result, (now, out)),
        }
    }

    /// Does for every service what is due.
    pub(super) fn advance_services(&mut self, now: Now, out: &mut Out) {
        if !self.services.surveyed || self.exiting {
            return;
        }
        // In the order of starting, so that what begins now is seen by those after it.
        let mut names: Vec<Name> = self.services.graph.waves().iter().flatten().cloned().collect();
        let removed = self.services.units.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>();
        names.extend(removed);
        self.clear_contained(now);
        for name in &names {
            self.observe_contained(name, now);
            self.advance_service(name, now, out);
        }
        for name in &names {
            self.tell_about(name, out);
        }
        self.services.units.retain(|_, unit| !unit.is_over());
        // It is told of when all is settled.
        self.dirty |= self.services.units.values().any(|unit| unit.lasts_at.is_some_and(|at| at <= now.mono));
        self.keep_due();
    }

    fn advance_service(&mut self, name: &Name, now: Now, out: &mut Out) {
        self.ask_the_mute(name, now, out);
        self.ask_for_holder(name, out);
        let Some(unit) = self.services.units.get_mut(name) else { return };
        unit.settle_owed(now);
        let Sight::Is(state) = unit.sight() else { return };
        self.watch_health(name, state, now, out);
        let Some(unit) = self.services.units.get_mut(name) else { return };
        unit.waits = None;
        let waits_since = unit.waits_since.take();
        unit.blocked = None;
        if unit.want == Want::Up {
            if unit.anew && (state.is_live() || !state.is_at_rest()) {
                return self.stop_service(name, now, out);
            }
            if unit.anew {
                unit.anew = false;
                unit.owed = Owed::Start;
            }
            if unit.owed != Owed::Nothing && !state.is_live() {
                unit.waits_since = waits_since;
                return self.start_service(name, now, out);
            }
        } else if !state.is_at_rest() {
            if !unit.in_order || self.may_stop(name) {
                self.stop_service(name, now, out);
            }
            return;
        }
        if state.is_at_rest() {
            self.let_shim_go(name, out);
        }
    }

    /// Nothing that is to stop too, and still lives, waited for it.
    fn may_stop(&self, name: &Name) -> bool {
        let stopping: BTreeSet<Name> = self
            .services
            .units
            .iter()
            .filter(|(_, unit)| unit.in_order && unit.want != Want::Up)
            .map(|(name, _)| name.clone())
            .collect();
        let alive = |name: &Name| self.services.units.get(name).is_some_and(Unit::may_live);
        // One that is not in the graph any more holds nobody up and is held by nobody.
        !stopping.contains(name) || self.services.graph.stoppable(&stopping, alive).contains(&name)
    }

    fn start_service(&mut self, name: &Name, now: Now, out: &mut Out) {
        let waits = self.services.graph.waits(&Member::Service(name.clone()), |name| self.progress_of(name));
        let hopeless = self.hopeless(&waits);
        let Some(unit) = self.services.units.get_mut(name) else { return };
        if let Some(sentence) = graph::sentence(&waits) {
            let since = *unit.waits_since.get_or_insert(now.mono);
            unit.blocked = hopeless.or_else(|| slow(&sentence, now.mono.saturating_sub(since)));
            unit.waits = Some(sentence);
            return;
        }
        unit.waits_since = None;
        if unit.trouble.as_ref().is_some_and(|trouble| trouble.until > now.mono) {
            return;
        }
        if unit.life.is_some() {
            self.start_contained(name, now);
        } else {
            self.start_native(name, out);
        }
    }

    /// What to say to who waits for something that does not come by itself, or has failed as often as it may.
    fn hopeless(&self, waits: &[graph::Wait]) -> Option<String> {
        let mut hopeless = false;
        let mut said = Vec::new();
        for wait in waits {
            let unit = self.services.units.get(&wait.on);
            let why = unit.and_then(Unit::why_not_soon);
            hopeless |= why.is_some() || wait.progress.verdict(wait.condition) == graph::Verdict::NeverByItself;
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            said.push(format!("{wait}{why}"));
        }
        hopeless.then(|| format!("it waits for {}", said.join("; and for ")))
    }

    fn stop_service(&mut self, name: &Name, now: Now, out: &mut Out) {
        let Some(unit) = self.services.units.get(name) else { return };
        if unit.life.is_none() {
            return self.stop_native(name, now, out);
        }
        if unit.status.state != RunState::Stopping {
            self.live_contained(name, Event::Stop, now);
        }
    }

    /// When time alone changes something next.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        if self.exiting {
            return None;
        }
        // Without the engine no worker is looked at, so nobody could be told.
        let looks = self.looking.known && matches!(self.link, super::Link::Up { .. });
        let waits = self.services.workers.values().filter(|waiting| looks && !waiting.told);
        let patience = waits.map(|waiting| waiting.at + PATIENCE);
        self.services.units.values().filter_map(Unit::due).chain(patience).min()
    }

    fn service_effect(out: &mut Out, effect: ServiceEffect) {
        out.push(Effect::Service(effect));
    }
}
