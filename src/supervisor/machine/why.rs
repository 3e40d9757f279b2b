//! One answer for anything that has a name: what is wanted, what is seen, what it waits for, how it last ended, and when
//! it is tried again.
//!
//! Containers are told of by their goals; pools by the rows that everybody sees, services by their own room.

use jiff::Timestamp;

use crate::api::types::{ContainerRow, ErrorDetail, HistoryLine, PoolRow, State, Why};
use crate::bay::container::{Role, Status, label};
use crate::bay::isolation::Isolation;
use crate::bay::matching::{self, MatchError, Named};
use crate::bay::name::Name;
use crate::bay::service::ServiceRun;
use crate::bay::template::{SshMode, Template};
use crate::bay::{exit, limit};

use super::super::event::Now;
use super::super::goal::PARENT;
use super::super::refusal;
use super::{Link, Machine};

/// Lines of history that an answer has.
const LINES: usize = 10;

/// Something that can be asked about.
struct Asked {
    /// Of a container, the name that its rows have.
    name: String,
    id: String,
    what: What,
}

enum What {
    Container(Role),
    Service,
    Pool(Box<PoolRow>),
}

impl Named for Asked {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn called(&self) -> &str {
        match self.what {
            What::Service => self.name.strip_prefix("svc-").unwrap_or(&self.name),
            What::Container(_) | What::Pool(_) => &self.name,
        }
    }

    fn kind(&self) -> &'static str {
        match self.what {
            What::Container(role) => role.as_str(),
            What::Service => "service",
            What::Pool(_) => "pool",
        }
    }
}

impl Machine {
    pub(super) fn why(&self, word: &str, now: Now) -> Result<Why, ErrorDetail> {
        let all = self.all_that_has_a_name(now);
        let found = match matching::resolve(word, &all) {
            Ok(found) => found,
            // One that is only wanted so far has no row, and the parent always has a name.
            Err(MatchError::None { .. }) if self.stored.goals.contains_key(word) || word == PARENT => {
                return Ok(self.why_container(word.to_owned(), now));
            }
            Err(error) => return Err(refusal::not_found(&error)),
        };
        let [asked] = found.as_slice() else {
            let names = found.iter().take(LINES).map(|asked| asked.called().to_owned()).collect();
            return Err(refusal::not_found(&MatchError::Ambiguous { word: word.to_owned(), names }));
        };
        match &asked.what {
            What::Container(_) => Ok(self.why_container(asked.name.clone(), now)),
            What::Pool(row) => Ok(self.why_pool(PoolRow::clone(row))),
            What::Service => {
                let service = asked.called().parse().ok().and_then(|name| self.why_service(&name));
                let gone = || refusal::not_found(&MatchError::None { word: word.to_owned(), nearest: None });
                service.ok_or_else(gone)
            }
        }
    }

    /// Containers, services with theirs, and pools.
    fn all_that_has_a_name(&self, now: Now) -> Vec<Asked> {
        let services = self.service_rows();
        let is_service = |name: &str| self.service_of_container(name).is_some();
        let id_of = |name: &str| self.seen.get(name).map(|seen| seen.container.id.to_string()).unwrap_or_default();
        let containers = self.rows.iter().filter(|row| !is_service(&row.name)).map(|row| Asked {
            name: row.name.clone(),
            id: row.id.clone(),
            what: What::Container(row.role),
        });
        let services = services.into_iter().map(|row| {
            let name = format!("svc-{}", row.name);
            Asked { id: id_of(&name), name, what: What::Service }
        });
        let pools = self.pool_rows(now).into_iter().map(|row| Asked {
            name: row.template.clone(),
            id: String::new(),
            what: What::Pool(Box::new(row)),
        });
        containers.chain(services).chain(pools).collect()
    }

    fn why_container(&self, name: String, now: Now) -> Why {
        let row = self.rows.iter().find(|row| row.name == name);
        let goal = self.stored.goals.get(&name);
        let wanted = match (goal, row) {
            (Some(goal), _) => goal.working().to_owned(),
            (None, _) if self.stored.stopped.contains(&name) => "stopped, by request".to_owned(),
            (None, None) => "nothing: podbay has no such container".to_owned(),
            (None, Some(row)) if row.state == State::Exited && row.role == Role::Worker => {
                "nothing: it has ended by itself".to_owned()
            }
            (None, Some(_)) => "running".to_owned(),
        };
        let tried = goal.and_then(|goal| goal.not_before).filter(|next| *next > now.mono);
        let next_try_at = match &self.link {
            Link::Away { next_wall, .. } => Some(*next_wall),
            _ => tried.and_then(|next| now.wall.checked_add(next.saturating_sub(now.mono)).ok()),
        };
        let (walls, limits) = self.walls_of(&name).map_or((None, Vec::new()), |(walls, limits)| (Some(walls), limits));
        Why {
            kind: row.map_or("worker", |row| row.role.as_str()).to_owned(),
            wanted,
            observed: row.map_or_else(|| "not there".to_owned(), observed),
            reason: row.and_then(|row| row.reason.clone()).or_else(|| self.engine_away()),
            // How one ended, its reason says already.
            attention: row.filter(|row| row.call.is_none()).and_then(|row| row.attention.clone()),
            isolation: walls,
            limits,
            waits_for: self.waits.get(&name).map(ToString::to_string),
            last_error: self.faults.get(&name).cloned().or_else(|| goal.and_then(|goal| goal.last_error.clone())),
            last_exit: self.last_exit(&name),
            attempts: goal.map_or(0, |goal| goal.attempts),
            next_try_at,
            hint: self.help_of_engine().or_else(|| row.and_then(|row| hint(row, &name))),
            history: self.lines_of(&name),
            name,
        }
    }

    /// Also of what was never seen: without its engine nothing is as it should be.
    fn engine_away(&self) -> Option<String> {
        let Link::Away { why, .. } = &self.link else { return None };
        Some(format!("the engine is away: {why}"))
    }

    fn help_of_engine(&self) -> Option<String> {
        let Link::Away { .. } = &self.link else { return None };
        Some(match self.weaker {
            Some(level) => format!("`podbay --isolation {level} up` has it with weaker walls. {}", level.gives_up()),
            None => "`podbay doctor` looks for what keeps it away; it is tried again by itself".to_owned(),
        })
    }

    /// The walls of what runs, and what of its wishes its engine can't do.
    pub(super) fn walls_of(&self, name: &str) -> Option<(Isolation, Vec<String>)> {
        let container = &self.seen.get(name)?.container;
        let identity = self.identity.as_ref().filter(|_| container.status.is_running())?;
        let template = self.template_of(container.label(label::TEMPLATE));
        let made = template.map(|template| self.overrides_of(container).over(template));
        let made = made.or_else(|| self.service_of_container(name).and_then(|service| self.contained(&service)));
        let touches = |what: &str| match &made {
            Some(made) => limit::touches(what, made),
            None => name == PARENT,
        };
        let other = self.walled_otherwise(container);
        // What is known is known of the present level.
        let limits = identity.limits.iter().filter(|limit| other.is_none() && touches(&limit.what));
        let limits = limits.map(|limit| format!("{}: {}", limit.what, limit.why)).collect();
        Some((other.unwrap_or(identity.isolation), limits))
    }

    /// What a service's container is made like: a worker's walls and limits, its own network and mounts.
    fn contained(&self, service: &Name) -> Option<Template> {
        let service = self.config.services.iter().find(|known| known.name == *service)?;
        let ServiceRun::Container { network, mounts, .. } = &service.run else { return None };
        let (mounts, secrets) = (mounts.clone(), service.secrets.clone());
        Some(Template { network: *network, mounts, secrets, ssh: SshMode::None, ..self.config.worker.clone() })
    }

    /// How a container's last run ended; nothing is known of the one before the present one.
    fn last_exit(&self, name: &str) -> Option<String> {
        let Status::Exited { code, oom, at, error } = &self.seen.get(name)?.container.status else { return None };
        let said = if error.is_empty() { String::new() } else { format!("; the engine says: {error}") };
        Some(format!("{}{}{said}", exit::sentence(*code, *oom), at.map(when).unwrap_or_default()))
    }

    fn why_pool(&self, row: PoolRow) -> Why {
        let full = row.warm >= row.target;
        let missing = row.target.saturating_sub(row.warm);
        let reason = match &row.last_error {
            Some(error) => Some(error.clone()),
            None if full => None,
            None => Some(format!("{missing} of {} are not warm yet", row.target)),
        };
        Why {
            kind: "pool".to_owned(),
            wanted: format!("{} warm workers, and never fewer than {}", row.target, row.min),
            observed: format!("{} warm, {} being made, {} claimed", row.warm, row.creating, row.claimed),
            waits_for: (!full && row.creating > 0).then(|| format!("{} that are being made", row.creating)),
            last_error: row.last_error,
            last_exit: None,
            attempts: 0,
            next_try_at: row.next_try_at,
            attention: None,
            isolation: None,
            limits: Vec::new(),
            hint: (!full).then(|| "`podbay pool status` shows it; a claim that finds none starts cold".to_owned()),
            history: self.lines_of(&row.template),
            reason,
            name: row.template,
        }
    }

    fn lines_of(&self, name: &str) -> Vec<HistoryLine> {
        let of_it = self.history.iter().rev().filter(|line| line.name.as_deref() == Some(name));
        let mut lines: Vec<HistoryLine> = of_it.take(LINES).cloned().collect();
        lines.reverse();
        lines
    }
}

fn observed(row: &ContainerRow) -> String {
    match (row.started_at, &row.health) {
        (Some(since), _) if row.state == State::CutOff => format!("cut-off; it runs since {since:.0}"),
        (Some(since), Some(health)) => format!("{} since {since:.0}, {health:?}", row.state.as_str()).to_lowercase(),
        (Some(since), None) => format!("{} since {since:.0}", row.state.as_str()),
        (None, _) => row.state.as_str().to_owned(),
    }
}

fn when(at: Timestamp) -> String {
    format!(", at {}", at.strftime("%Y-%m-%d %H:%M:%SZ"))
}

fn hint(row: &ContainerRow, name: &str) -> Option<String> {
    match (row.state, row.role) {
        (State::CutOff, _) => {
            Some("`podbay restart parent` repairs every worker that is cut off; workspaces are kept".to_owned())
        }
        (State::Exited | State::Failed, Role::Parent) => {
            Some("`podbay restart parent` brings it back and repairs its workers".to_owned())
        }
        (State::Exited | State::Failed, _) => {
            Some(format!("`podbay start {name}` runs it again, `podbay logs {name}` shows what it said"))
        }
        _ => None,
    }
}
