//! How things are, for everybody to see.

use std::collections::BTreeMap;

use crate::api::types::{ContainerRow, Counts, EngineStatus, LinkState, Snapshot, State, Status as BayStatus};
use crate::bay::attention::Need;
use crate::bay::container::{HealthState, Observed, ObservedNetwork, Role, Status, label};
use crate::bay::isolation::Isolation;
use crate::bay::name::Name;
use crate::bay::reason::Reason;
use crate::bay::service::ServiceRun;
use crate::bay::session::SessionKind;
use crate::bay::template::{Overrides, Template};
use crate::config::EngineKind;

use super::super::event::Now;
use super::super::goal::{Goal, GoalKind, PARENT, What};
use super::pool::{Place, is_warm};
use super::{Link, Machine};

pub(super) fn snapshot(machine: &Machine, now: Now) -> Snapshot {
    Snapshot {
        seq: machine.seq,
        status: machine.status(now),
        containers: machine.rows.clone(),
        sessions: machine.sessions.clone(),
        history: machine.history.iter().cloned().collect(),
        counts: Counts { refreshes: machine.refreshes, claims: machine.claim_times() },
    }
}

impl Machine {
    /// All rows, the parent first, then by name.
    pub(super) fn make_rows(&self) -> Vec<ContainerRow> {
        let mut rows: Vec<ContainerRow> =
            self.seen.iter().map(|(name, seen)| self.row(name, &seen.container)).collect();
        for (name, goal) in &self.stored.goals {
            if !self.seen.contains_key(name)
                && let Some(row) = self.row_of_goal(name, goal)
            {
                rows.push(row);
            }
        }
        rows.extend(self.row_of_lost_parent());
        rows.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
        rows
    }

    /// A parent that was removed while workers live in its network, or that could not be made, has a row all the same: it
    /// is what the verb that repairs is given, and says why workers are cut off.
    fn row_of_lost_parent(&self) -> Option<ContainerRow> {
        let joined = |seen: &super::Seen| matches!(seen.container.network, ObservedNetwork::Of(_));
        let fault = self.faults.get(PARENT);
        if self.seen.contains_key(PARENT)
            || self.stored.goals.contains_key(PARENT)
            || !(fault.is_some() || self.seen.values().any(joined))
        {
            return None;
        }
        let reason = match (&self.link, fault) {
            (Link::Away { why, .. }, _) => Reason::EngineAway(why.clone()),
            (_, Some(fault)) => Reason::Fault(fault.clone()),
            _ => Reason::ParentRemoved,
        };
        let up = matches!(self.link, Link::Up { .. });
        Some(ContainerRow {
            id: String::new(),
            name: PARENT.to_owned(),
            role: Role::Parent,
            template: String::new(),
            state: if up { State::Failed } else { State::Unknown },
            image: self.config.parent.image.to_string(),
            network: "own".to_owned(),
            project: None,
            branch: None,
            ports: Vec::new(),
            health: None,
            restarts: self.stored.restarts.get(PARENT).copied().unwrap_or(0),
            created_at: None,
            started_at: None,
            isolation: None,
            attention: None,
            reason: Some(reason.to_string()),
            call: None,
        })
    }

    fn row(&self, name: &str, container: &Observed) -> ContainerRow {
        let reason = self.reason_of(name);
        let overrides = self.overrides_of(container);
        let template = self.template_of(container.label(label::TEMPLATE));
        ContainerRow {
            id: container.id.to_string(),
            name: name.to_owned(),
            role: container.role().unwrap_or(Role::Worker),
            template: container.label(label::TEMPLATE).to_owned(),
            state: self.state_of(name, container),
            image: container.image.clone(),
            network: network_word(container, &overrides, template),
            project: project_of(&overrides, template),
            branch: overrides.branch.clone(),
            ports: container.ports.clone(),
            health: container.health,
            restarts: self.restarts_of(name),
            created_at: Some(container.created_at),
            started_at: container.status.since(),
            isolation: container.isolation,
            attention: self.attention_of(name),
            reason: reason.map(|reason| reason.to_string()),
            call: None,
        }
    }

    /// Of a service, what its own row says.
    fn restarts_of(&self, name: &str) -> u32 {
        let of_service = self.service_of_container(name).and_then(|service| self.service_restarts(&service));
        of_service.or_else(|| self.stored.restarts.get(name).copied()).unwrap_or(0)
    }

    /// What the program on its main tty needs; none while it works.
    fn attention_of(&self, name: &str) -> Option<String> {
        let main = self.sessions.iter().find(|session| session.name == name && session.kind == SessionKind::Main)?;
        let attention = main.attention.as_ref().filter(|attention| attention.need != Need::Working)?;
        Some(attention.to_string())
    }

    pub(super) fn template_of(&self, name: &str) -> Option<&Template> {
        self.config.template(&name.parse::<Name>().ok()?)
    }

    /// A container that is being made has a row before it has an id.
    fn row_of_goal(&self, name: &str, goal: &Goal) -> Option<ContainerRow> {
        let GoalKind::Made(make) = &goal.kind else { return None };
        let (role, template, image, network, project) = match &make.what {
            What::Parent => (Role::Parent, String::new(), self.config.parent.image.to_string(), "own".to_owned(), None),
            What::Service { service } => {
                let known = self.config.services.iter().find(|known| known.name == *service);
                let (image, network) = match known.map(|known| &known.run) {
                    Some(ServiceRun::Container { image, network, .. }) => {
                        (image.to_string(), network.as_str().to_owned())
                    }
                    _ => (String::new(), String::new()),
                };
                (Role::Service, String::new(), image, network, None)
            }
            What::Worker { template, overrides, .. } => {
                let made = self.config.template(template).map(|template| overrides.over(template));
                let image = made.as_ref().map(|made| made.image.to_string()).unwrap_or_default();
                let network = made.as_ref().map(|made| mode_word(made).to_owned()).unwrap_or_default();
                let project = project_of(overrides, self.config.template(template));
                (Role::Worker, template.to_string(), image, network, project)
            }
            What::Warm { template } => {
                let made = self.config.template(template);
                let image = made.map(|made| made.image.to_string()).unwrap_or_default();
                let network = made.map(|made| mode_word(made).to_owned()).unwrap_or_default();
                (Role::Worker, template.to_string(), image, network, None)
            }
        };
        Some(ContainerRow {
            id: String::new(),
            name: name.to_owned(),
            role,
            template,
            state: if matches!(self.link, Link::Up { .. }) { State::Creating } else { State::Unknown },
            image,
            network,
            project,
            branch: None,
            ports: Vec::new(),
            health: None,
            restarts: 0,
            created_at: None,
            started_at: None,
            isolation: None,
            attention: None,
            reason: Some(self.goal_reason(name, goal).to_string()),
            call: None,
        })
    }

    fn goal_reason(&self, name: &str, goal: &Goal) -> Reason {
        if let Link::Away { why, .. } = &self.link {
            return Reason::EngineAway(why.clone());
        }
        if let Some(what) = self.waits.get(name) {
            return Reason::WaitsFor(what.to_string());
        }
        if goal.attempts > 0 && !self.busy.contains_key(name) {
            let error = goal.last_error.clone().unwrap_or_default();
            return Reason::Retrying { what: goal.working(), error, attempt: goal.attempts + 1 };
        }
        match self.progress.get(name) {
            Some((progress, _)) => Reason::Progress(progress.clone()),
            None => Reason::Working(goal.working()),
        }
    }

    fn state_of(&self, name: &str, container: &Observed) -> State {
        if !matches!(self.link, Link::Up { .. }) {
            return State::Unknown;
        }
        match &container.status {
            Status::Running { .. } if self.lost(container).is_some() => State::CutOff,
            Status::Running { .. } if is_warm(name) => match self.place(name, container) {
                Place::Ready => State::Warm,
                Place::Creating | Place::Probing => State::Creating,
                Place::Stale(_) | Place::Useless(_) | Place::Draining => State::Failed,
            },
            // Its command is not let in yet.
            Status::Running { .. } if self.is_claimed(name) => State::Creating,
            Status::Running { .. } => State::Running,
            Status::Created { .. } if self.stored.goals.contains_key(name) => State::Creating,
            Status::Created { .. } => State::Failed,
            Status::Exited { .. } if self.faults.contains_key(name) && !self.stored.stopped.contains(name) => {
                State::Failed
            }
            Status::Exited { .. } => State::Exited,
            Status::Removing | Status::Unclear { .. } => State::Unknown,
        }
    }

    /// Why this container is not simply running.
    pub(super) fn reason_of(&self, name: &str) -> Option<Reason> {
        let container = &self.seen.get(name)?.container;
        if let Link::Away { why, .. } = &self.link {
            return Some(Reason::EngineAway(why.clone()));
        }
        if let Some(goal) = self.stored.goals.get(name).filter(|goal| goal.kind != GoalKind::Named) {
            return Some(self.goal_reason(name, goal));
        }
        let fault = self.faults.get(name);
        if is_warm(name) && self.lost(container).is_none() {
            return match self.place(name, container) {
                Place::Ready => None,
                Place::Stale(why) => Some(Reason::Fault(format!("{why}; it is let go in its turn"))),
                Place::Useless(why) => Some(Reason::Fault(why)),
                Place::Creating | Place::Probing => Some(Reason::Working("made; it has not shown yet that it waits")),
                Place::Draining => Some(Reason::Working("being let go")),
            };
        }
        match &container.status {
            Status::Running { paused, .. } => self
                .lost(container)
                .or_else(|| paused.then_some(Reason::Paused))
                .or_else(|| self.walled_otherwise(container).map(Reason::OtherWalls))
                .or_else(|| {
                    let unhealthy = container.health == Some(HealthState::Unhealthy);
                    unhealthy.then_some(Reason::Unhealthy(container.failed_probes))
                })
                .or_else(|| self.ooms.get(name).map(|_| Reason::ChildOutOfMemory))
                .or_else(|| self.overdue(name))
                .or_else(|| fault.map(|error| Reason::Fault(error.clone()))),
            Status::Created { error } if error.is_empty() => {
                Some(fault.map_or(Reason::NeverStarted, |error| Reason::Fault(error.clone())))
            }
            Status::Created { error } => Some(Reason::StartFailed(error.clone())),
            Status::Exited { oom: true, .. } => Some(Reason::OutOfMemory),
            Status::Exited { .. } if self.stored.stopped.contains(name) => Some(Reason::Stopped),
            Status::Exited { .. } if fault.is_some() => fault.map(|error| Reason::Fault(error.clone())),
            Status::Exited { error, .. } if !error.is_empty() => Some(Reason::StartFailed(error.clone())),
            Status::Exited { code, .. } if name == PARENT => Some(Reason::StoppedOutside { code: *code }),
            Status::Exited { code, .. } => Some(Reason::Exited { code: *code }),
            Status::Removing => Some(Reason::Working("being removed by the engine")),
            Status::Unclear { error } => Some(Reason::Unclear(error.clone())),
        }
    }

    /// The walls of what runs since before the bay's level was another one.
    pub(super) fn walled_otherwise(&self, container: &Observed) -> Option<Isolation> {
        let level = self.identity.as_ref()?.isolation;
        container.isolation.filter(|own| *own != level)
    }

    /// Lines of history for what changed.
    pub(super) fn note_changes(&mut self, rows: &[ContainerRow], now: Now) {
        let old: BTreeMap<String, (State, Option<String>)> =
            self.rows.iter().map(|row| (row.name.clone(), (row.state, row.reason.clone()))).collect();
        let mut lines = Vec::new();
        // What the pool does with its own is not news each time, and of services their own rows are told.
        let told_elsewhere = |name: &str| is_warm(name) || self.service_of_container(name).is_some();
        for row in rows.iter().filter(|row| !told_elsewhere(&row.name)) {
            let before = old.get(&row.name);
            if before.is_some_and(|(state, reason)| *state == row.state && *reason == row.reason) {
                continue;
            }
            // A word for what is under way is not news of its own.
            if before.is_some_and(|(state, _)| *state == row.state) && self.stored.goals.contains_key(&row.name) {
                continue;
            }
            // Of what runs, and is looked at for the last time, it is told that it runs once that is known.
            let goal = self.stored.goals.get(&row.name).filter(|goal| goal.attempts == 0);
            if row.state == State::Running && goal.is_some() {
                continue;
            }
            let text = match &row.reason {
                Some(reason) => format!("{}: {reason}", row.state.as_str()),
                None => row.state.as_str().to_owned(),
            };
            lines.push((row.name.clone(), text));
        }
        let gone = old.keys().filter(|name| !told_elsewhere(name) && !rows.iter().any(|row| row.name == **name));
        lines.extend(gone.map(|name| (name.clone(), "gone".to_owned())));
        for (name, text) in lines {
            self.say(now, Some(&name), text);
        }
        self.dirty = false;
    }

    pub(super) fn status(&self, now: Now) -> BayStatus {
        let mut workers = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.role == Role::Worker) {
            *workers.entry(row.state.as_str().to_owned()).or_insert(0) += 1;
        }
        let templates = std::iter::once(&self.config.worker).chain(&self.config.templates);
        BayStatus {
            bay: self.config.bay.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: self.pid,
            engine: self.engine_status(),
            network: self.network_status(),
            parent: self.rows.iter().find(|row| row.role == Role::Parent).cloned(),
            workers,
            pool: self.pool_rows(now),
            services: self.service_rows(),
            disk: self.gauges.disk,
            capacity: self.capacity(),
            uptime_s: now.mono.as_secs(),
            templates: templates.map(|template| template.name.to_string()).collect(),
            troubles: [&self.save_trouble, &self.config_trouble, &self.api_trouble]
                .into_iter()
                .flatten()
                .chain(&self.troubles)
                .cloned()
                .collect(),
            alerts: self.alert_rows(now),
        }
    }

    /// Of an engine of containers, theirs; where there may be none, what the user allows without one.
    fn wanted_isolation(&self) -> Isolation {
        let (kind, endpoint) = (self.config.engine.kind, self.endpoint.as_str());
        let own = kind == EngineKind::Local || endpoint.starts_with("local://");
        let other = kind == EngineKind::Docker || endpoint.contains("://");
        if other && !own { Isolation::Container } else { self.config.engine.isolation.level() }
    }

    fn engine_status(&self) -> EngineStatus {
        let (state, reason, next_try_at) = match &self.link {
            Link::Connecting => (LinkState::Connecting, None, None),
            // Until the first look is back, nothing is known of what there is.
            Link::Up { .. } if !self.looking.known => (LinkState::Connecting, None, None),
            Link::Up { .. } => (LinkState::Up, None, None),
            Link::Away { why, next_wall, .. } => (LinkState::Away, Some(why.clone()), Some(*next_wall)),
        };
        let identity = self.identity.as_ref();
        EngineStatus {
            kind: identity.map(|identity| identity.kind.to_owned()).unwrap_or_default(),
            isolation: identity.map(|identity| identity.isolation),
            wanted: Some(self.wanted_isolation()),
            weaker: self.weaker.filter(|_| state == LinkState::Away),
            endpoint: self.endpoint.clone(),
            version: identity.map(|identity| identity.version.clone()).unwrap_or_default(),
            state,
            reason,
            next_try_at,
            limits: identity
                .map(|identity| identity.limits.iter().map(|limit| format!("{}: {}", limit.what, limit.why)).collect())
                .unwrap_or_default(),
        }
    }
}

const fn mode_word(template: &Template) -> &'static str {
    template.network.as_str()
}

fn network_word(container: &Observed, overrides: &Overrides, template: Option<&Template>) -> String {
    match (&container.network, container.role()) {
        (ObservedNetwork::Of(_), _) => "shared".to_owned(),
        (ObservedNetwork::Own, Some(Role::Parent)) => "own".to_owned(),
        (ObservedNetwork::Own, _) => {
            template.map_or("bridge", |template| mode_word(&overrides.over(template))).to_owned()
        }
    }
}

fn project_of(overrides: &Overrides, template: Option<&Template>) -> Option<String> {
    let by_template = || template.map(|template| template.project.clone()).filter(|project| !project.is_empty());
    let asked = overrides.project.as_ref().map(|path| path.to_string_lossy().into_owned());
    asked.or_else(|| overrides.repo.clone()).or_else(by_template)
}
