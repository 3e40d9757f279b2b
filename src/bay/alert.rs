//! Alerts on the bay's own figures: what is looked at, how long it must be so, and what is said. Pure: the time is an
//! argument. The example rules for Prometheus are made from the same table.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The engine does not answer.
    EngineAway,
    /// A service is not as it should be.
    ServiceDown,
    /// Services are started again and again.
    Restarts,
    /// Calls to the engine fail.
    Errors,
    /// A pool that should have warm workers has none.
    PoolEmpty,
    /// The state directory's file system is nearly full.
    Disk,
    /// The engine answers slowly.
    Slow,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as Prometheus has it.
    pub name: &'static str,
    /// What is looked at.
    pub watch: Watch,
    /// How long it must be so.
    pub lasting: Duration,
    /// `critical` or `warning`.
    pub severity: &'static str,
    /// The same as an expression for Prometheus.
    pub expr: &'static str,
    /// What it means, in words.
    pub summary: &'static str,
}

/// Over so long rates are taken.
pub const WINDOW: Duration = Duration::from_mins(5);
/// Restarts in it that are too many.
const MOST_RESTARTS: u64 = 3;
/// Failed calls of a hundred that are too many, of so many calls at least.
const MOST_ERRORS: u64 = 10;
const FEWEST_CALLS: u64 = 10;
/// Percent of the disk that must be free.
const LEAST_FREE: u64 = 10;
/// A reading of the engine that takes longer on average is slow.
const SLOWEST: Duration = Duration::from_secs(1);

/// All rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "PodbayEngineAway",
        watch: Watch::EngineAway,
        lasting: Duration::from_secs(30),
        severity: "critical",
        expr: "podbay_engine_up == 0",
        summary: "the engine does not answer",
    },
    Rule {
        name: "PodbayServiceDown",
        watch: Watch::ServiceDown,
        lasting: Duration::from_mins(1),
        severity: "critical",
        expr: "podbay_service_up == 0",
        summary: "a service is not as it should be",
    },
    Rule {
        name: "PodbayServiceRestarts",
        watch: Watch::Restarts,
        lasting: Duration::ZERO,
        severity: "warning",
        expr: "increase(podbay_service_restarts_total[5m]) > 3",
        summary: "a service is started again and again",
    },
    Rule {
        name: "PodbayEngineErrors",
        watch: Watch::Errors,
        lasting: Duration::from_mins(1),
        severity: "warning",
        expr: "sum(rate(podbay_engine_errors_total[5m])) / sum(rate(podbay_engine_call_seconds_count[5m])) > 0.1",
        summary: "more than a tenth of the calls to the engine fail",
    },
    Rule {
        name: "PodbayPoolEmpty",
        watch: Watch::PoolEmpty,
        lasting: Duration::from_mins(2),
        severity: "warning",
        expr: "podbay_pool_workers{state=\"warm\"} == 0 and on(template) podbay_pool_target > 0",
        summary: "a pool has no warm worker",
    },
    Rule {
        name: "PodbayDisk",
        watch: Watch::Disk,
        lasting: Duration::from_mins(1),
        severity: "warning",
        expr: "podbay_disk_bytes{part=\"free\"} / on() podbay_disk_bytes{part=\"total\"} < 0.1",
        summary: "less than a tenth of the state directory's disk is free",
    },
    Rule {
        name: "PodbayEngineSlow",
        watch: Watch::Slow,
        lasting: Duration::from_mins(1),
        severity: "warning",
        expr: "sum(rate(podbay_engine_call_seconds_sum{call=~\"ping|list|inspect\"}[5m])) / \
               sum(rate(podbay_engine_call_seconds_count{call=~\"ping|list|inspect\"}[5m])) > 1",
        summary: "the engine takes more than a second for an answer",
    },
];

/// Calls to the engine so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// All.
    pub all: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that only read.
    pub readings: u64,
    /// How long those took together.
    pub reading: Duration,
}

/// How the bay is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The engine does not answer.
    pub engine_away: bool,
    /// Services that are not as they should be.
    pub down: Vec<String>,
    /// Restarts of each service so far.
    pub restarts: BTreeMap<String, u64>,
    /// Pools without a warm worker that should have one.
    pub empty: Vec<String>,
    /// Bytes of the disk, in all and free.
    pub disk: (u64, u64),
    /// Calls to the engine so far.
    pub calls: Calls,
}

/// What has changed about an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which rule.
    pub rule: &'static Rule,
    /// Of what: a service, a pool; empty: of the bay.
    pub subject: String,
    /// It fires, or is over.
    pub firing: bool,
}

/// What is so, and since when; and what fires.
#[derive(Debug, Default)]
pub struct Alerts {
    pending: BTreeMap<(&'static str, String), Duration>,
    firing: BTreeMap<(&'static str, String), Duration>,
    /// Counters of late, the oldest first.
    past: VecDeque<(Duration, Calls, BTreeMap<String, u64>)>,
}

impl Alerts {
    /// Takes a reading, and says what begins to fire and what is over.
    pub fn take(&mut self, reading: &Reading, now: Duration) -> Vec<Turn> {
        while self.past.len() > 1 && self.past.get(1).is_some_and(|(at, ..)| now.saturating_sub(*at) >= WINDOW) {
            self.past.pop_front();
        }
        self.past.push_back((now, reading.calls, reading.restarts.clone()));
        if reading.engine_away {
            // That it is away has a rule of its own: what failed meanwhile says nothing of the engine that answers next.
            self.past.iter_mut().for_each(|(_, calls, _)| *calls = reading.calls);
        }
        let mut turns = Vec::new();
        for rule in RULES {
            let subjects = self.subjects(rule.watch, reading);
            self.pending.retain(|(name, subject), _| *name != rule.name || subjects.contains(subject));
            for subject in &subjects {
                let key = (rule.name, subject.clone());
                let since = *self.pending.entry(key.clone()).or_insert(now);
                if now.saturating_sub(since) >= rule.lasting && !self.firing.contains_key(&key) {
                    self.firing.insert(key, now);
                    turns.push(Turn { rule, subject: subject.clone(), firing: true });
                }
            }
            let over: Vec<String> = self
                .firing
                .keys()
                .filter(|(name, subject)| *name == rule.name && !subjects.contains(subject))
                .map(|(_, subject)| subject.clone())
                .collect();
            for subject in over {
                self.firing.remove(&(rule.name, subject.clone()));
                turns.push(Turn { rule, subject, firing: false });
            }
        }
        turns
    }

    /// What fires: the rule, of what, and since when.
    pub fn firing(&self) -> impl Iterator<Item = (&'static Rule, &str, Duration)> {
        self.firing.iter().filter_map(|((name, subject), since)| {
            let rule = RULES.iter().find(|rule| rule.name == *name)?;
            Some((rule, subject.as_str(), *since))
        })
    }

    /// Of what a rule is true at this moment.
    fn subjects(&self, watch: Watch, reading: &Reading) -> Vec<String> {
        let bay = |holds: bool| if holds { vec![String::new()] } else { Vec::new() };
        let then = self.past.front().map(|(_, calls, _)| *calls).unwrap_or_default();
        let now = reading.calls;
        match watch {
            Watch::EngineAway => bay(reading.engine_away),
            Watch::ServiceDown => reading.down.clone(),
            Watch::PoolEmpty => reading.empty.clone(),
            Watch::Disk => {
                let (total, free) = reading.disk;
                bay(total > 0 && free.saturating_mul(100) < total.saturating_mul(LEAST_FREE))
            }
            Watch::Restarts => {
                let before = self.past.front().map(|(_, _, restarts)| restarts);
                let earlier = |name: &String| before.and_then(|before| before.get(name)).copied();
                let many = reading.restarts.iter().filter(|(name, count)| {
                    // One that was not there has not been started again yet; a start by hand begins the count anew.
                    let before = earlier(name).unwrap_or(**count);
                    let since = count.checked_sub(before).unwrap_or(**count);
                    since > MOST_RESTARTS
                });
                many.map(|(name, _)| name.clone()).collect()
            }
            Watch::Errors => {
                let (all, failed) = (now.all.saturating_sub(then.all), now.failed.saturating_sub(then.failed));
                bay(all >= FEWEST_CALLS && failed.saturating_mul(100) > all.saturating_mul(MOST_ERRORS))
            }
            Watch::Slow => {
                let count = u32::try_from(now.readings.saturating_sub(then.readings)).unwrap_or(u32::MAX);
                let took = now.reading.saturating_sub(then.reading);
                bay(count > 0 && took / count > SLOWEST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::metric;

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn said(turns: Vec<Turn>) -> Vec<(&'static str, String, bool)> {
        turns.into_iter().map(|turn| (turn.rule.name, turn.subject, turn.firing)).collect()
    }

    #[test]
    fn what_lasts_fires_once_and_is_over_at_once() {
        let mut alerts = Alerts::default();
        let down = Reading { down: vec!["brain".to_owned()], ..Reading::default() };
        assert_eq!(alerts.take(&down, after(0)), []);
        assert_eq!(alerts.take(&down, after(59)), []);
        assert_eq!(said(alerts.take(&down, after(60))), [("PodbayServiceDown", "brain".to_owned(), true)]);
        assert_eq!(alerts.take(&down, after(61)), []);
        assert_eq!(
            alerts.firing().map(|(rule, of, since)| (rule.name, of.to_owned(), since)).collect::<Vec<_>>(),
            [("PodbayServiceDown", "brain".to_owned(), after(60))]
        );
        assert_eq!(
            said(alerts.take(&Reading::default(), after(62))),
            [("PodbayServiceDown", "brain".to_owned(), false)]
        );
        assert_eq!(alerts.firing().count(), 0);
    }

    #[test]
    fn what_does_not_last_never_fires() {
        let mut alerts = Alerts::default();
        let empty = Reading { empty: vec!["web".to_owned()], ..Reading::default() };
        for second in 0..1000 {
            let reading = if second % 119 == 118 { Reading::default() } else { empty.clone() };
            assert_eq!(alerts.take(&reading, after(second)), [], "{second}");
        }
    }

    #[test]
    fn each_rule_fires_by_its_own_figure_alone() {
        let restarts = |count: u64| BTreeMap::from([("brain".to_owned(), count)]);
        let calls = |all, failed, millis| Calls { all, failed, readings: all, reading: Duration::from_millis(millis) };
        let table: [(&str, Reading, Reading); 7] = [
            ("PodbayEngineAway", Reading::default(), Reading { engine_away: true, ..Reading::default() }),
            ("PodbayServiceDown", Reading::default(), Reading { down: vec!["x".to_owned()], ..Reading::default() }),
            (
                "PodbayServiceRestarts",
                Reading { restarts: restarts(5), ..Reading::default() },
                Reading { restarts: restarts(9), ..Reading::default() },
            ),
            ("PodbayEngineErrors", Reading::default(), Reading { calls: calls(10, 2, 0), ..Reading::default() }),
            ("PodbayPoolEmpty", Reading::default(), Reading { empty: vec!["x".to_owned()], ..Reading::default() }),
            ("PodbayDisk", Reading::default(), Reading { disk: (100, 9), ..Reading::default() }),
            ("PodbayEngineSlow", Reading::default(), Reading { calls: calls(2, 0, 2002), ..Reading::default() }),
        ];
        assert_eq!(table.len(), RULES.len());
        for (name, before, then) in table {
            let mut alerts = Alerts::default();
            let mut fired = said(alerts.take(&before, after(0)));
            for second in 1..=130 {
                fired.extend(said(alerts.take(&then, after(second))));
            }
            assert_eq!(fired.iter().map(|(name, _, firing)| (*name, *firing)).collect::<Vec<_>>(), [(name, true)]);
        }
    }

    #[test]
    fn just_enough_is_no_alert() {
        let restarts = |count: u64| BTreeMap::from([("brain".to_owned(), count)]);
        let mut alerts = Alerts::default();
        alerts.take(&Reading { restarts: restarts(5), ..Reading::default() }, after(0));
        let calls = Calls { all: 20, failed: 2, readings: 20, reading: after(20) };
        let edge = Reading { restarts: restarts(8), disk: (100, 10), calls, ..Reading::default() };
        for second in 1..200 {
            assert_eq!(alerts.take(&edge, after(second)), []);
        }
        // A service that is new in the configuration has restarts of its own past.
        let mut alerts = Alerts::default();
        alerts.take(&Reading::default(), after(0));
        assert_eq!(alerts.take(&Reading { restarts: restarts(50), ..Reading::default() }, after(1)), []);
    }

    #[test]
    fn a_count_that_began_anew_hides_no_restarts() {
        let restarts = |count: u64| BTreeMap::from([("brain".to_owned(), count)]);
        let mut alerts = Alerts::default();
        alerts.take(&Reading { restarts: restarts(9), ..Reading::default() }, after(0));
        // Somebody started it by hand.
        for (second, count) in [(1, 0), (2, 3), (3, 3)] {
            assert_eq!(alerts.take(&Reading { restarts: restarts(count), ..Reading::default() }, after(second)), []);
        }
        let turns = alerts.take(&Reading { restarts: restarts(4), ..Reading::default() }, after(4));
        assert_eq!(said(turns), [("PodbayServiceRestarts", "brain".to_owned(), true)]);
    }

    #[test]
    fn rates_are_taken_over_the_window_and_forgotten_after_it() {
        let mut alerts = Alerts::default();
        let failed = Reading { calls: Calls { all: 100, failed: 50, ..Calls::default() }, ..Reading::default() };
        alerts.take(&Reading::default(), after(0));
        let mut turns = Vec::new();
        for second in 1..=600 {
            turns.extend(alerts.take(&failed, after(second)));
        }
        assert_eq!(turns.iter().map(|turn| turn.firing).collect::<Vec<_>>(), [true, false]);
        assert!(alerts.past.len() <= 302, "{}", alerts.past.len());
    }

    #[test]
    fn what_failed_while_the_engine_was_away_is_not_held_against_the_next() {
        let calls = |all, failed| Calls { all, failed, ..Calls::default() };
        let at = |calls, engine_away| Reading { engine_away, calls, ..Reading::default() };
        let mut alerts = Alerts::default();
        for second in 0..20 {
            alerts.take(&at(calls(second, second), true), after(second));
        }
        for second in 20..200 {
            assert_eq!(alerts.take(&at(calls(second, 20), false), after(second)), []);
        }
        let turns: Vec<Turn> =
            (200..300).flat_map(|second| alerts.take(&at(calls(second, second - 180), false), after(second))).collect();
        assert_eq!(said(turns), [("PodbayEngineErrors", String::new(), true)], "its own failures are");
    }

    #[test]
    fn every_expression_names_figures_that_are_there() {
        for rule in RULES {
            let words = rule.expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.starts_with("podbay_")) {
                let base = ["_sum", "_count", "_bucket"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
                assert!(metric::ALL.iter().any(|metric| metric.name == base), "{}: {word}", rule.name);
            }
        }
    }
}
