//! Workers past a criterion of their template are made anew, workspace and agent home kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::bay::container::{HealthState, Observed, Role, Status, label};
use crate::bay::idle::{Activity, is_idle};
use crate::bay::name::Name;
use crate::bay::reason::Reason;
use crate::bay::template::{Refresh, RefreshWhen, SshMode, Template, WorkspaceMode};

use super::super::event::{AgentSocket, Effect, Now, Surveyed, Vitals};
use super::super::goal::{Goal, GoalKind};
use super::pool::is_warm;
use super::{Machine, Out};

/// Between two looks at how workers fare.
const SURVEY_EVERY: Duration = Duration::from_mins(1);
/// What was found out longer ago says nothing of whether somebody works there now.
const FRESH: Duration = Duration::from_secs(3);
/// Memory is short only when it is so at this many looks in a row: a compiler's peak passes.
const LASTING: u32 = 2;

/// What waits for what, in the words of a reason.
const FOR_REST: &str = "it waits until nobody is attached and nothing was printed for five minutes";
const FOR_WORD: &str = "`podbay refresh` does it";
const FOR_AGENT: &str = "start one, then `podbay refresh` makes it anew with it";

/// How the workers fare, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The next survey.
    due: Duration,
    /// The last one's findings, and when they came.
    vitals: BTreeMap<String, Vitals>,
    at: Duration,
    /// At how many looks in a row memory was short.
    strained: BTreeMap<String, u32>,
    /// Those whose disk was full when they were first looked at: to make them anew does not help. Until it was less full.
    disk_tried: BTreeSet<String>,
    /// One was made anew for a full disk: no other is, until it has helped. What fills a disk is mostly somebody else's.
    disk_told: bool,
    /// Past a criterion, and waiting.
    overdue: BTreeMap<String, Reason>,
}

impl Machine {
    /// Asks how the running workers fare whose templates have criteria.
    pub(super) fn survey_workers(&mut self, now: Now, out: &mut Out) {
        if now.mono < self.health.due || !self.looking.known {
            return;
        }
        self.health.due = now.mono + SURVEY_EVERY;
        let claimed = self.seen.iter().filter(|(name, _)| !is_warm(name));
        let workers: Vec<Surveyed> = claimed.filter_map(|(name, seen)| self.to_survey(name, &seen.container)).collect();
        if !workers.is_empty() {
            out.push(Effect::Survey(workers));
        }
    }

    fn to_survey(&self, name: &str, container: &Observed) -> Option<Surveyed> {
        let Status::Running { pid, .. } = container.status else { return None };
        let template = self.refreshed_template(container)?;
        let made = self.overrides_of(container).over(template);
        let bound = made.workspace == WorkspaceMode::Bind && !made.project.is_empty();
        Some(Surveyed {
            name: name.to_owned(),
            id: container.id.clone(),
            pid,
            project: bound.then_some(made.project),
            ssh_agent: made.ssh == SshMode::Agent && pid != 0,
            memory: Some(made.limits.memory.as_u64()).filter(|limit| *limit > 0),
        })
    }

    pub(super) fn take_survey(&mut self, vitals: BTreeMap<String, Vitals>, now: Now) {
        let known = |name: &String| self.seen.contains_key(name);
        self.health.strained.retain(|name, _| known(name));
        self.health.disk_tried.retain(known);
        let mut full = false;
        for (name, found) in &vitals {
            let Some(rule) = self.seen.get(name).and_then(|seen| self.refreshed_template(&seen.container)) else {
                continue;
            };
            let rule = rule.refresh.clone();
            if found.memory.is_some_and(|percent| percent >= rule.max_memory_percent) {
                *self.health.strained.entry(name.clone()).or_default() += 1;
            } else {
                self.health.strained.remove(name);
            }
            if found.disk.is_none_or(|percent| percent < rule.max_disk_percent) {
                self.health.disk_tried.remove(name);
            } else {
                full = true;
                if !self.health.vitals.contains_key(name) {
                    self.health.disk_tried.insert(name.clone());
                }
            }
        }
        self.health.disk_told &= full;
        self.health.vitals = vitals;
        self.health.at = now.mono;
    }

    /// One at a time: a template's workers are often of one age, and making all of them anew at once would take the whole
    /// bay away.
    pub(super) fn refresh_due(&mut self, now: Now) {
        self.note_ages(now);
        let mut overdue = BTreeMap::new();
        let mut next = None;
        for (name, seen) in &self.seen {
            let container = &seen.container;
            if is_warm(name)
                || self.stored.goals.contains_key(name)
                || self.rests(name, now)
                || self.lost(container).is_some()
            {
                continue;
            }
            let Some(template) = self.refreshed_template(container) else { continue };
            let Some((why, waits)) = self.refresh_why(name, container, &template.refresh, now) else { continue };
            match waits {
                Some(waits) => drop(overdue.insert(name.clone(), Reason::Due { why, waits })),
                None => next = next.or_else(|| Some((name.clone(), container.clone(), why))),
            }
        }
        self.dirty |= overdue != self.health.overdue;
        self.health.overdue = overdue;
        let under_way = self.stored.goals.values().any(|goal| matches!(goal.kind, GoalKind::Recreated { .. }));
        if let Some((name, container, why)) = next.filter(|_| !under_way) {
            self.make_anew(&name, container, &why, now);
        }
    }

    fn make_anew(&mut self, name: &str, container: Observed, why: &str, now: Now) {
        match self.make_again(&container) {
            Ok(make) => {
                self.say(now, Some(name), format!("is made anew: {why}"));
                if self.health.vitals.remove(name).is_some_and(|vitals| self.is_full(name, &vitals)) {
                    self.health.disk_told = true;
                }
                self.health.strained.remove(name);
                self.refreshes += 1;
                let kind = GoalKind::Recreated { make, old: container.id, start: true };
                self.stored.goals.insert(name.to_owned(), Goal::new(kind));
            }
            Err(error) => {
                self.resting.insert(name.to_owned(), now.mono + Duration::from_hours(1));
                self.faults.insert(name.to_owned(), error.message);
            }
        }
    }

    fn is_full(&self, name: &str, vitals: &Vitals) -> bool {
        let template = self.seen.get(name).and_then(|seen| self.refreshed_template(&seen.container));
        template.is_some_and(|template| vitals.disk.is_some_and(|percent| percent >= template.refresh.max_disk_percent))
    }

    /// Why this worker is past a criterion and waits, for people.
    pub(super) fn overdue(&self, name: &str) -> Option<Reason> {
        self.health.overdue.get(name).cloned()
    }

    /// Ages are taken once by the wall clock and then go on by the monotonic one: a clock that is set makes nobody older.
    fn note_ages(&mut self, now: Now) {
        self.ages.retain(|id, _| self.seen.values().any(|seen| seen.container.id == *id));
        for seen in self.seen.values() {
            let age = now.wall.duration_since(seen.container.created_at);
            let age = Duration::try_from(age).unwrap_or_default();
            self.ages.entry(seen.container.id.clone()).or_insert((now.mono, age));
        }
    }

    fn age(&self, container: &Observed, now: Now) -> Duration {
        let (since, age) = self.ages.get(&container.id).copied().unwrap_or((now.mono, Duration::ZERO));
        age + now.mono.saturating_sub(since)
    }

    /// The template of a running worker whose criteria count; `None` where nothing happens unasked.
    fn refreshed_template(&self, container: &Observed) -> Option<&Template> {
        let running = matches!(container.status, Status::Running { paused: false, .. });
        if !running || container.role() != Some(Role::Worker) {
            return None;
        }
        let template = self.config.template(&container.label(label::TEMPLATE).parse::<Name>().ok()?)?;
        Some(template).filter(|template| template.refresh.enabled)
    }

    /// Why a worker is due, and what it waits for.
    fn refresh_why(
        &self,
        name: &str,
        container: &Observed,
        rule: &Refresh,
        now: Now,
    ) -> Option<(String, Option<&'static str>)> {
        let vitals = self.health.vitals.get(name);
        if vitals.is_some_and(|vitals| vitals.agent == AgentSocket::Gone) {
            // Made anew it would have none at all.
            return Some(("the ssh agent that it was given is gone".to_owned(), Some(FOR_AGENT)));
        }
        let strained = self.health.strained.get(name).is_some_and(|looks| *looks >= LASTING);
        let full = vitals.and_then(|vitals| vitals.disk).filter(|percent| *percent >= rule.max_disk_percent);
        let full = full.filter(|_| !self.health.disk_told && !self.health.disk_tried.contains(name));
        let why = by_engine(rule, container, self.age(container, now))
            .or_else(|| {
                let percent = vitals.and_then(|vitals| vitals.memory).filter(|_| strained)?;
                Some(format!("{percent}% of its memory limit is in use, and {}% is the most", rule.max_memory_percent))
            })
            .or_else(|| Some(format!("its disk is {}% full, and {}% is the most", full?, rule.max_disk_percent)))
            .or_else(|| {
                let another = vitals.is_some_and(|vitals| vitals.agent == AgentSocket::Another);
                another.then(|| "the ssh agent was started anew, and it still holds the old one".to_owned())
            })?;
        let waits = match rule.when {
            RefreshWhen::Always => None,
            RefreshWhen::Ask => Some(FOR_WORD),
            RefreshWhen::Idle => (!self.rests_now(name, vitals, now)).then_some(FOR_REST),
        };
        Some((why, waits))
    }

    /// By a survey of this moment, and by who is attached now.
    fn rests_now(&self, name: &str, vitals: Option<&Vitals>, now: Now) -> bool {
        let fresh = now.mono.saturating_sub(self.health.at) <= FRESH;
        let clients = self.sessions.iter().filter(|session| session.name == name).map(|session| session.clients).sum();
        let activity = vitals.and_then(|vitals| vitals.activity).filter(|_| fresh);
        is_idle(activity.map(|activity| Activity { clients: activity.clients.max(clients), ..activity }))
    }
}

/// Why a worker is due, by what the engine says of it.
fn by_engine(rule: &Refresh, container: &Observed, age: Duration) -> Option<String> {
    let limit = rule.max_age.get();
    if !limit.is_zero() && age > limit {
        return Some(format!("it is older than {}", rule.max_age));
    }
    let failed = rule.failed_health_checks;
    let unhealthy = container.health == Some(HealthState::Unhealthy);
    (unhealthy && failed > 0 && container.failed_probes >= failed)
        .then(|| format!("{} health checks failed", container.failed_probes))
}
