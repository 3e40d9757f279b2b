//! What probes say of a run, and when they are asked next.

use std::time::Duration;

use crate::bay::service::Probe;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Whether others may begin to use it.
    Ready,
    /// Whether it still works.
    Live,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing changed.
    Same,
    /// It is ready, or is not any more.
    Ready(bool),
    /// It must be ended.
    Unhealthy(String),
}

/// One probe of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asking {
    next: Duration,
    in_flight: bool,
    /// Its answer has changed since it was asked.
    hurried: bool,
    /// Something else is asked by now: the answer that is under way is none.
    stale: bool,
    failures: u32,
    passed: bool,
    /// Why the last one failed.
    pub why: Option<String>,
}

/// The probes of the present run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    began: Option<Duration>,
    /// How old the run was then: an earlier supervisor may have seen its beginning.
    age: Duration,
    pub ready: Option<Asking>,
    pub live: Option<Asking>,
}

impl Health {
    /// There is no run.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// A run has begun; later calls for the same one change nothing.
    pub fn begin(&mut self, now: Duration, age: Duration, (ready, live): (bool, bool)) {
        if self.began.is_none() {
            (self.began, self.age) = (Some(now), age);
            let first = || Asking { next: now, ..Asking::default() };
            (self.ready, self.live) = (ready.then(first), live.then(first));
        }
    }

    /// Another configuration: what only changes its pace goes on as it is, a shorter one from now on, and of two probes
    /// the other one is left alone.
    pub fn changed(&mut self, which: Which, old: Option<&Probe>, new: Option<&Probe>, now: Duration) {
        if self.began.is_none() {
            return;
        }
        let slot = match which {
            Which::Ready => &mut self.ready,
            Which::Live => &mut self.live,
        };
        let same = |new: &Probe| old.is_some_and(|old| old.target == new.target);
        *slot = match (slot.take(), new) {
            (_, None) => None,
            (Some(asking), Some(new)) if same(new) => {
                // One that is never asked again has had its answer.
                let by = if asking.next == Duration::MAX { asking.next } else { now + new.interval.get() };
                Some(Asking { next: asking.next.min(by), ..asking })
            }
            (asking, Some(_)) => {
                let in_flight = asking.is_some_and(|asking| asking.in_flight);
                Some(Asking { in_flight, stale: in_flight, ..Asking::default() })
            }
        };
    }

    pub fn is_ready(&self) -> bool {
        self.ready.as_ref().is_none_or(|ready| ready.passed)
    }

    /// Readiness failed as often as it may, and never passed since.
    pub fn ready_failed(&self, retries: u32) -> bool {
        self.ready.as_ref().is_some_and(|ready| !ready.passed && ready.failures >= retries)
    }

    /// Readiness is asked again at once: its answer has changed.
    pub fn hurry(&mut self, now: Duration) {
        if let Some(ready) = self.ready.as_mut().filter(|ready| !ready.passed) {
            (ready.next, ready.hurried) = (now, ready.in_flight);
        }
    }

    /// Asked whether it lives only once it has been ready: a slow start is no death.
    fn asks(&self, which: Which) -> Option<&Asking> {
        match which {
            Which::Ready => self.ready.as_ref(),
            Which::Live => self.live.as_ref().filter(|_| self.is_ready()),
        }
    }

    pub fn due(&self) -> Option<Duration> {
        let both = [Which::Ready, Which::Live].into_iter().filter_map(|which| self.asks(which));
        both.filter(|asking| !asking.in_flight).map(|asking| asking.next).min()
    }

    /// Probes that are due now; they count as asked then.
    pub fn take_due(&mut self, now: Duration) -> Vec<Which> {
        let due = |which: &Which| self.asks(*which).is_some_and(|asking| !asking.in_flight && asking.next <= now);
        let due: Vec<Which> = [Which::Ready, Which::Live].into_iter().filter(due).collect();
        for which in &due {
            if let Some(asking) = self.slot(*which) {
                asking.in_flight = true;
            }
        }
        due
    }

    const fn slot(&mut self, which: Which) -> Option<&mut Asking> {
        match which {
            Which::Ready => self.ready.as_mut(),
            Which::Live => self.live.as_mut(),
        }
    }

    /// One answer to `which`, by this probe.
    pub fn answered(&mut self, which: Which, probe: &Probe, result: Result<(), String>, now: Duration) -> Verdict {
        let young = self.began.is_some_and(|began| now + self.age < began + probe.start_period.get());
        let once = matches!(probe.target, crate::bay::service::ProbeTarget::Log(_));
        let Some(asking) = self.slot(which) else { return Verdict::Same };
        asking.in_flight = false;
        if std::mem::take(&mut asking.stale) {
            asking.next = now;
            return Verdict::Same;
        }
        let hurried = std::mem::take(&mut asking.hurried);
        asking.next = if hurried { now } else { now + probe.interval.get() };
        match result {
            Ok(()) => {
                asking.failures = 0;
                asking.why = None;
                if once {
                    // A line that was written stays written.
                    asking.next = Duration::MAX;
                }
                let news = !std::mem::replace(&mut asking.passed, true);
                if which == Which::Ready && news { Verdict::Ready(true) } else { Verdict::Same }
            }
            Err(why) => {
                if !young {
                    asking.failures = asking.failures.saturating_add(1);
                }
                asking.why = Some(why.clone());
                if asking.failures < probe.retries {
                    return Verdict::Same;
                }
                match which {
                    Which::Ready if std::mem::take(&mut asking.passed) => Verdict::Ready(false),
                    Which::Ready => Verdict::Same,
                    Which::Live => Verdict::Unhealthy(why),
                }
            }
        }
    }

    /// What the probes say, in words, when that is not simply "ready".
    pub fn says(&self) -> Option<String> {
        if let Some(ready) = self.ready.as_ref().filter(|ready| !ready.passed) {
            return Some(match &ready.why {
                Some(why) if ready.failures > 0 => {
                    format!(
                        "not ready: {why} ({} probe{} failed)",
                        ready.failures,
                        if ready.failures == 1 { "" } else { "s" }
                    )
                }
                Some(why) => format!("not ready: {why}"),
                None => "not ready yet: its first probe is under way".to_owned(),
            });
        }
        let live = self.live.as_ref()?;
        let why = live.why.as_ref().filter(|_| live.failures > 0)?;
        Some(format!(
            "its liveness probe failed {} time{}: {why}",
            live.failures,
            if live.failures == 1 { "" } else { "s" }
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::service::ProbeTarget;
    use crate::bay::size::Span;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn probe(retries: u32, start_period: u64) -> Probe {
        Probe {
            target: ProbeTarget::Tcp("127.0.0.1:1".to_owned()),
            interval: Span::seconds(2),
            timeout: Span::seconds(1),
            retries,
            start_period: Span::seconds(start_period),
        }
    }

    fn failed() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn h11_readiness_comes_goes_after_its_retries_and_comes_back() {
        let mut health = Health::default();
        health.begin(at(0), at(0), (true, false));
        assert_eq!((health.is_ready(), health.take_due(at(0))), (false, vec![Which::Ready]));
        assert_eq!(health.take_due(at(9)), [], "one at a time");
        assert_eq!(health.answered(Which::Ready, &probe(2, 0), failed(), at(1)), Verdict::Same);
        assert_eq!(health.due(), Some(at(3)));
        assert_eq!(health.answered(Which::Ready, &probe(2, 0), Ok(()), at(3)), Verdict::Ready(true));
        assert_eq!(health.answered(Which::Ready, &probe(2, 0), failed(), at(5)), Verdict::Same);
        assert!(health.is_ready(), "one failure is none");
        assert_eq!(health.answered(Which::Ready, &probe(2, 0), failed(), at(7)), Verdict::Ready(false));
        assert!(health.says().unwrap().starts_with("not ready: refused"));
        assert_eq!(health.answered(Which::Ready, &probe(2, 0), Ok(()), at(9)), Verdict::Ready(true));
        assert_eq!(health.says(), None);
    }

    #[test]
    fn h10_liveness_is_asked_once_ready_and_not_counted_while_it_is_young() {
        let mut health = Health::default();
        health.begin(at(0), at(0), (true, true));
        assert_eq!(health.take_due(at(0)), [Which::Ready]);
        let _ = health.answered(Which::Ready, &probe(2, 0), Ok(()), at(0));
        assert_eq!(health.take_due(at(1)), [Which::Live]);
        for second in [1, 2, 3] {
            assert_eq!(health.answered(Which::Live, &probe(1, 10), failed(), at(second)), Verdict::Same);
        }
        assert_eq!(health.answered(Which::Live, &probe(2, 10), failed(), at(11)), Verdict::Same);
        let verdict = health.answered(Which::Live, &probe(2, 10), failed(), at(12));
        assert_eq!(verdict, Verdict::Unhealthy("refused".to_owned()));
    }

    #[test]
    fn an_answer_that_is_late_does_not_hide_a_newer_one() {
        let mut health = Health::default();
        health.begin(at(0), at(0), (true, false));
        assert_eq!(health.take_due(at(0)), [Which::Ready]);
        health.hurry(at(1));
        let _ = health.answered(Which::Ready, &probe(2, 0), failed(), at(1));
        assert_eq!(health.take_due(at(1)), [Which::Ready], "asked anew at once");
        assert_eq!(health.answered(Which::Ready, &probe(2, 0), Ok(()), at(1)), Verdict::Ready(true));
        health.hurry(at(2));
        assert_eq!(health.due(), Some(at(3)), "one that is ready is in no hurry");
    }

    #[test]
    fn another_configuration_touches_only_the_probe_that_is_another() {
        let (probe, patient) = (probe(2, 0), Probe { interval: Span::seconds(9), ..probe(2, 0) });
        let other = Probe { target: ProbeTarget::Tcp("127.0.0.1:2".to_owned()), ..probe.clone() };
        let mut health = Health::default();
        health.begin(at(0), at(0), (true, true));
        let _ = health.take_due(at(0));
        let _ = health.answered(Which::Ready, &probe, Ok(()), at(0));
        let _ = health.take_due(at(0));
        let before = health.clone();
        health.changed(Which::Ready, Some(&probe), Some(&patient), at(0));
        assert_eq!(health, before, "another pace is no other probe");
        // What is under way asks something that nobody asks any more.
        health.changed(Which::Live, Some(&probe), Some(&other), at(0));
        assert!(health.is_ready(), "the other probe is left alone");
        assert_eq!(
            health.answered(Which::Live, &Probe { retries: 1, ..other.clone() }, failed(), at(1)),
            Verdict::Same
        );
        assert_eq!(health.take_due(at(1)), [Which::Live], "the new one is asked at once");
        health.changed(Which::Ready, Some(&patient), Some(&other), at(1));
        assert!(!health.is_ready(), "nobody has answered to the new one");
        health.changed(Which::Ready, Some(&other), None, at(1));
        assert!(health.is_ready(), "there is none any more");
    }

    #[test]
    fn a_shorter_interval_counts_from_now_on() {
        let (probe, slow) = (probe(2, 0), Probe { interval: Span::seconds(600), ..probe(2, 0) });
        let mut health = Health::default();
        health.begin(at(0), at(0), (true, false));
        let _ = health.take_due(at(0));
        let _ = health.answered(Which::Ready, &slow, Ok(()), at(0));
        health.changed(Which::Ready, Some(&slow), Some(&probe), at(10));
        assert_eq!(health.due(), Some(at(12)));
        health.changed(Which::Ready, Some(&probe), Some(&slow), at(11));
        assert_eq!(health.due(), Some(at(12)), "a longer one begins with the next answer");
        let log = Probe { target: ProbeTarget::Log("up".to_owned()), ..slow };
        let mut health = Health::default();
        health.begin(at(0), at(0), (true, false));
        let _ = health.answered(Which::Ready, &log, Ok(()), at(0));
        health.changed(Which::Ready, Some(&log), Some(&Probe { interval: Span::seconds(1), ..log.clone() }), at(1));
        assert_eq!(health.due(), Some(Duration::MAX), "a line that was written stays written");
    }

    #[test]
    fn h10_a_probe_that_flaps_never_counts_up() {
        let mut health = Health::default();
        health.begin(at(0), at(0), (false, true));
        for second in 0..50 {
            let result = if second % 2 == 0 { failed() } else { Ok(()) };
            assert_eq!(health.answered(Which::Live, &probe(2, 0), result, at(second)), Verdict::Same);
        }
    }
}
