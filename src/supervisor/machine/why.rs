//! One answer for anything that has a name: what is wanted, what is seen, what it waits for, how it last ended, and when
//! it is tried again.
//!
//! Containers are told of by their goals; pools by the rows that everybody sees, services by their own room.

use jiff::Timestamp;

use crate::api::types::{ContainerRow, ErrorDetail, HistoryLine, PoolRow, State, Why};
use crate::bay::container::{Role, Status};
use crate::bay::exit;
use crate::bay::matching::{self, MatchError, Named};

use super::super::event::Now;
use super::super::refusal;
use super::{Link, Machine};

/// Lines of history that an answer has.
const LINES: usize = 10;

/// Something that can be asked about.
struct Asked {
    name: String,
    what: What,
}

enum What {
    Container,
    Service,
    Pool(Box<PoolRow>),
}

impl Named for Asked {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &'static str {
        ""
    }
}

impl Machine {
    pub(super) fn why(&self, word: &str, now: Now) -> Result<Why, ErrorDetail> {
        // A container first; a service or a pool of the same name is asked for as `service/NAME`. But a whole name goes
        // before a part of one.
        let status = self.status(now);
        let whole = |name: &str| name == word;
        let other =
            status.services.iter().any(|row| whole(&row.name)) || status.pool.iter().any(|row| whole(&row.template));
        // The container of a service is told of as the service that it is.
        if let Some(Ok(name)) = word.strip_prefix("svc-").map(str::parse)
            && let Some(why) = self.why_service(&name)
        {
            return Ok(why);
        }
        if let Ok(name) = self.find(word)
            && (name == word || !other)
        {
            return Ok(self.why_container(name, now));
        }
        let services = status.services.into_iter().map(|row| Asked { name: row.name.clone(), what: What::Service });
        let pools =
            status.pool.into_iter().map(|row| Asked { name: row.template.clone(), what: What::Pool(Box::new(row)) });
        let (bare, mut all): (&str, Vec<Asked>) = match word.split_once('/') {
            Some(("service", bare)) => (bare, services.collect()),
            Some(("pool", bare)) => (bare, pools.collect()),
            _ => (word, services.chain(pools).collect()),
        };
        let names = |all: &[Asked]| all.iter().map(|asked| asked.name.clone()).collect::<Vec<_>>();
        let at = match matching::resolve(bare, &all) {
            Ok(hits) => match hits.as_slice() {
                [one] => all.iter().position(|asked| std::ptr::eq(asked, *one)),
                _ => {
                    return Err(refusal::not_found(&MatchError::Ambiguous {
                        word: word.to_owned(),
                        names: names(&all),
                    }));
                }
            },
            Err(error @ MatchError::Ambiguous { .. }) => return Err(refusal::not_found(&error)),
            Err(_) => None,
        };
        let Some(at) = at else { return Err(self.unknown(word, all)) };
        let Asked { name, what } = all.swap_remove(at);
        Ok(match what {
            What::Container => self.why_container(name, now),
            What::Service => {
                let service = name.parse().ok().and_then(|name| self.why_service(&name));
                service.ok_or_else(|| self.unknown(word, all))?
            }
            What::Pool(row) => self.why_pool(*row),
        })
    }

    /// Nothing is called so: the nearest name of all that there is.
    fn unknown(&self, word: &str, mut all: Vec<Asked>) -> ErrorDetail {
        all.extend(self.rows.iter().map(|row| Asked { name: row.name.clone(), what: What::Container }));
        match matching::resolve(word, &all) {
            Err(error) => refusal::not_found(&error),
            Ok(_) => refusal::not_found(&MatchError::None { word: word.to_owned(), nearest: None }),
        }
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
        Why {
            kind: row.map_or("worker", |row| row.role.as_str()).to_owned(),
            wanted,
            observed: row.map_or_else(|| "not there".to_owned(), observed),
            reason: row.and_then(|row| row.reason.clone()),
            waits_for: self.waits.get(&name).map(ToString::to_string),
            last_error: self.faults.get(&name).cloned().or_else(|| goal.and_then(|goal| goal.last_error.clone())),
            last_exit: self.last_exit(&name),
            attempts: goal.map_or(0, |goal| goal.attempts),
            next_try_at,
            hint: row.and_then(|row| hint(row, &name)),
            history: self.lines_of(&name),
            name,
        }
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
        (Some(since), _) if row.state == State::CutOff => format!("cut-off; it runs since {since}"),
        (Some(since), Some(health)) => format!("{} since {since}, {health:?}", row.state.as_str()).to_lowercase(),
        (Some(since), None) => format!("{} since {since}", row.state.as_str()),
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
