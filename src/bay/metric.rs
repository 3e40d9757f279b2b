//! The bay's figures: what each is called, what it counts and how it is drawn. What `/metrics` answers, the example
//! dashboard and the alerts are all made from this table.

/// What a figure does with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, but for a new supervisor.
    Counter,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word of Prometheus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `podbay_workers`.
    pub name: &'static str,
    /// What it does with time.
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
    /// What tells its series apart: only words that the configuration or podbay itself names, so that they stay few.
    pub labels: &'static [&'static str],
    /// Grafana's word for its unit.
    pub unit: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    unit: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, kind, help, labels, unit }
}

/// The supervisor's version.
pub const INFO: Metric = metric("podbay_info", Kind::Gauge, &["version"], "none", "Always 1; the version is a label.");
/// How long the supervisor runs.
pub const UPTIME: Metric =
    metric("podbay_uptime_seconds", Kind::Gauge, &[], "s", "Seconds since the supervisor started.");
/// Workers by state.
pub const WORKERS: Metric =
    metric("podbay_workers", Kind::Gauge, &["state"], "short", "Workers, those of the pool included, by state.");
/// Containers by health.
pub const HEALTH: Metric =
    metric("podbay_containers_health", Kind::Gauge, &["health"], "short", "Containers by the engine's health verdict.");
/// Restarts of workers.
pub const RESTARTS: Metric =
    metric("podbay_worker_restarts", Kind::Gauge, &[], "short", "Restarts by podbay of the workers that there are.");
/// Warm workers.
pub const POOL: Metric =
    metric("podbay_pool_workers", Kind::Gauge, &["template", "state"], "short", "Workers of a pool, by state.");
/// What a pool should have.
pub const POOL_TARGET: Metric =
    metric("podbay_pool_target", Kind::Gauge, &["template"], "short", "Warm workers that a pool should keep.");
/// Claims that found one.
pub const HITS: Metric =
    metric("podbay_pool_hits_total", Kind::Counter, &["template"], "short", "Claims that found a warm worker.");
/// Claims that did not.
pub const MISSES: Metric =
    metric("podbay_pool_misses_total", Kind::Counter, &["template"], "short", "Claims that found no warm worker.");
/// How long a claim takes.
pub const CLAIM: Metric = metric(
    "podbay_pool_claim_seconds",
    Kind::Histogram,
    &["template"],
    "s",
    "Seconds from a claim to the worker's first output.",
);
/// Services that run and are ready.
pub const SERVICE_UP: Metric =
    metric("podbay_service_up", Kind::Gauge, &["service"], "short", "1 while a service is as it should be.");
/// Restarts of services that nobody asked for.
pub const SERVICE_RESTARTS: Metric =
    metric("podbay_service_restarts_total", Kind::Counter, &["service"], "short", "Automatic restarts of a service.");
/// Whether the engine answers.
pub const ENGINE_UP: Metric = metric("podbay_engine_up", Kind::Gauge, &[], "short", "1 while the engine answers.");
/// How long the engine takes.
pub const ENGINE: Metric = metric(
    "podbay_engine_call_seconds",
    Kind::Histogram,
    &["call"],
    "s",
    "Seconds that a call to the engine took, until its answer began.",
);
/// Calls that failed.
pub const ENGINE_ERRORS: Metric = metric(
    "podbay_engine_errors_total",
    Kind::Counter,
    &["call"],
    "short",
    "Calls to the engine that failed or were not answered in time.",
);
/// Terminals.
pub const SESSIONS: Metric = metric("podbay_sessions", Kind::Gauge, &[], "short", "Open terminals.");
/// Terminals that somebody looks at.
pub const ATTACHED: Metric =
    metric("podbay_sessions_attached", Kind::Gauge, &[], "short", "Open terminals that somebody looks at.");
/// Workers made anew.
pub const REFRESHES: Metric =
    metric("podbay_refreshes_total", Kind::Counter, &[], "short", "Workers that were made anew by their template.");
/// The state directory's file system.
pub const DISK: Metric = metric(
    "podbay_disk_bytes",
    Kind::Gauge,
    &["part"],
    "bytes",
    "Bytes of the state directory's file system: total and free.",
);
/// Requests to the API.
pub const REQUESTS: Metric = metric(
    "podbay_api_requests_total",
    Kind::Counter,
    &["route", "method", "code"],
    "short",
    "Requests to the API by route, method and status of the answer.",
);
/// How long the API takes.
pub const REQUEST_SECONDS: Metric = metric(
    "podbay_api_request_seconds",
    Kind::Histogram,
    &["route"],
    "s",
    "Seconds from a request to the API until its answer began.",
);
/// Open streams.
pub const STREAMS: Metric = metric(
    "podbay_api_streams",
    Kind::Gauge,
    &[],
    "short",
    "Logs, events and terminals that clients of the API have open.",
);
/// Alerts that fire.
pub const ALERTS: Metric = metric(
    "podbay_alert_firing",
    Kind::Gauge,
    &["alert"],
    "short",
    "Subjects for which an alert of podbay's own fires.",
);

/// All of them.
pub const ALL: &[Metric] = &[
    INFO,
    UPTIME,
    WORKERS,
    HEALTH,
    RESTARTS,
    POOL,
    POOL_TARGET,
    HITS,
    MISSES,
    CLAIM,
    SERVICE_UP,
    SERVICE_RESTARTS,
    ENGINE_UP,
    ENGINE,
    ENGINE_ERRORS,
    SESSIONS,
    ATTACHED,
    REFRESHES,
    DISK,
    REQUESTS,
    REQUEST_SECONDS,
    STREAMS,
    ALERTS,
];

/// Bounds in seconds: from a claim that costs nothing to an engine that hangs.
const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Durations, counted by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len()],
    beyond: u64,
    sum: f64,
}

impl Histogram {
    /// One more.
    pub fn observe(&mut self, took: std::time::Duration) {
        let seconds = took.as_secs_f64();
        match self.counts.iter_mut().zip(BOUNDS).find(|(_, bound)| seconds <= *bound) {
            Some((count, _)) => *count += 1,
            None => self.beyond += 1,
        }
        self.sum += seconds;
    }

    /// Each bound with how many were no longer than that.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut all = 0;
        self.counts.iter().zip(BOUNDS).map(move |(count, bound)| {
            all += count;
            (bound, all)
        })
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }

    /// All of them together, in seconds.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_are_prometheus_own_and_unique() {
        let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
        for metric in ALL {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.name.starts_with("podbay_") && metric.help.ends_with('.'), "{}", metric.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn a_histogram_counts_what_is_no_longer_than_each_bound() {
        let mut histogram = Histogram::default();
        for millis in [1, 2, 100, 100_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let at = |bound: f64| histogram.buckets().find(|(known, _)| *known >= bound).map(|(_, count)| count);
        assert_eq!((at(0.001), at(0.0025), at(0.1), at(30.0)), (Some(1), Some(2), Some(3), Some(3)));
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 100.103).abs() < 1e-9);
    }
}
