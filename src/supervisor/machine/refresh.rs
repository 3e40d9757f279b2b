//! Workers past a criterion of their template are made anew, workspace and agent home kept.

use std::time::Duration;

use crate::bay::container::{HealthState, Observed, Role, Status, label};
use crate::bay::name::Name;
use crate::bay::template::{Refresh, RefreshWhen};

use super::super::event::Now;
use super::super::goal::{Goal, GoalKind};
use super::Machine;

impl Machine {
    /// One at a time: a template's workers are often of one age, and making all of them anew at once would take the whole
    /// bay away.
    pub(super) fn refresh_due(&mut self, now: Now) {
        if self.stored.goals.values().any(|goal| matches!(goal.kind, GoalKind::Recreated { .. })) {
            return;
        }
        self.note_ages(now);
        let due = self.seen.iter().find_map(|(name, seen)| {
            if self.stored.goals.contains_key(name) || self.rests(name, now) {
                return None;
            }
            let rule = self.refresh_rule(&seen.container)?;
            Some((name.clone(), due(rule, &seen.container, self.age(&seen.container, now))?))
        });
        let Some((name, why)) = due else { return };
        let Some(container) = self.seen.get(&name).map(|seen| seen.container.clone()) else { return };
        if self.lost(&container).is_some() {
            return;
        }
        match self.make_again(&container) {
            Ok(make) => {
                self.say(now, Some(&name), format!("is made anew: {why}"));
                let kind = GoalKind::Recreated { make, old: container.id, start: true };
                self.stored.goals.insert(name, Goal::new(kind));
            }
            Err(error) => {
                self.resting.insert(name.clone(), now.mono + Duration::from_hours(1));
                self.faults.insert(name, error.message);
            }
        }
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

    /// The criteria of a running worker; `None` where nothing happens unasked.
    fn refresh_rule(&self, container: &Observed) -> Option<&Refresh> {
        let running = matches!(container.status, Status::Running { paused: false, .. });
        if !running || container.role() != Some(Role::Worker) {
            return None;
        }
        let template = self.config.template(&container.label(label::TEMPLATE).parse::<Name>().ok()?)?;
        // Whether an agent is at work is not known yet, so "idle" is never sure enough to end one unasked.
        Some(&template.refresh).filter(|rule| rule.enabled && rule.when == RefreshWhen::Always)
    }
}

/// Why a worker is due, by what the engine says of it.
fn due(rule: &Refresh, container: &Observed, age: Duration) -> Option<String> {
    let limit = rule.max_age.get();
    if !limit.is_zero() && age > limit {
        return Some(format!("it is older than {}", rule.max_age));
    }
    let failed = rule.failed_health_checks;
    let unhealthy = container.health == Some(HealthState::Unhealthy);
    (unhealthy && failed > 0 && container.failed_probes >= failed)
        .then(|| format!("{} health checks failed", container.failed_probes))
}
