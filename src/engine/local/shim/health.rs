//! The health check of a container: one probe after another in it, and what they come to.

use std::time::Duration;

use tokio::time::Instant;

use crate::bay::container::HealthState;
use crate::bay::template::Health;
use crate::engine::local::place::Verdict;
use crate::engine::local::wire::{Order, Program};

/// A check, from the start of the container to its end.
pub struct Check {
    interval: Duration,
    timeout: Duration,
    retries: u32,
    program: Program,
    due: Instant,
    /// The probe that runs, by its number.
    probe: Option<u64>,
    verdict: Verdict,
}

impl Check {
    /// The check of a container whose main process is `main`; `None`: it has none.
    pub fn new(health: Option<&Health>, main: Program, now: Instant) -> Option<Self> {
        let health = health.filter(|health| !health.test.is_empty())?;
        let interval = health.interval.get();
        Some(Self {
            interval,
            timeout: health.timeout.get(),
            retries: health.retries,
            program: Program { command: health.test.clone(), tty: None, ..main },
            due: now + interval,
            probe: None,
            verdict: Verdict { state: HealthState::Starting, failed: 0 },
        })
    }

    /// When something is to be done: the next probe is due, or has had its time.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// What is known.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What is due is done, with this number for a new probe.
    pub fn act(&mut self, number: u64, now: Instant) -> Order {
        if let Some(late) = self.probe.take() {
            self.judge(false, now);
            return Order::Kill(late);
        }
        self.probe = Some(number);
        self.due = now + self.timeout;
        Order::Probe(number, Box::new(self.program.clone()))
    }

    /// A process has ended, or could not begin; whether it was the probe.
    pub fn ended(&mut self, number: u64, code: Option<i64>, now: Instant) -> bool {
        let own = self.probe == Some(number);
        if own {
            self.probe = None;
            self.judge(code == Some(0), now);
        }
        own
    }

    fn judge(&mut self, passed: bool, now: Instant) {
        self.due = now + self.interval;
        if passed {
            self.verdict = Verdict { state: HealthState::Healthy, failed: 0 };
            return;
        }
        self.verdict.failed = self.verdict.failed.saturating_add(1);
        if self.verdict.failed >= self.retries {
            self.verdict.state = HealthState::Unhealthy;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(now: Instant) -> Check {
        let span = |text: &str| serde_json::from_value(serde_json::json!(text)).unwrap();
        let test = vec!["true".to_owned()];
        let health = Health { test, interval: span("5s"), timeout: span("1s"), retries: 2 };
        Check::new(Some(&health), Program::default(), now).unwrap()
    }

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn a_verdict_needs_as_many_failures_as_its_user_says() {
        let now = Instant::now();
        let mut check = check(now);
        assert_eq!(check.due(), now + INTERVAL);
        let mut probe = |number: u64, code: Option<i64>| {
            assert!(matches!(check.act(number, now), Order::Probe(of, _) if of == number));
            assert_eq!(check.due(), now + Duration::from_secs(1));
            assert!(!check.ended(number + 100, Some(0), now), "that of another");
            assert!(check.ended(number, code, now));
            assert_eq!(check.due(), now + INTERVAL);
            (check.verdict().state, check.verdict().failed)
        };
        assert_eq!(probe(1, Some(1)), (HealthState::Starting, 1));
        assert_eq!(probe(2, Some(0)), (HealthState::Healthy, 0));
        assert_eq!(probe(3, Some(1)), (HealthState::Healthy, 1));
        assert_eq!(probe(4, None), (HealthState::Unhealthy, 2));
        assert_eq!(probe(5, Some(0)), (HealthState::Healthy, 0));
    }

    #[test]
    fn a_probe_that_takes_too_long_is_killed_and_has_failed() {
        let now = Instant::now();
        let mut check = check(now);
        drop(check.act(1, now));
        let later = now + Duration::from_secs(1);
        assert_eq!(check.act(2, later), Order::Kill(1));
        assert_eq!((check.verdict().failed, check.due()), (1, later + INTERVAL));
        assert!(!check.ended(1, Some(0), later), "it is not heard any more");
    }
}
