//! The figures in the text format of Prometheus, each as the table of [`crate::bay::metric`] has it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::requests::Counts;
use super::{ApiError, App};
use crate::api::types::{LinkState, PoolRow, ServiceRow, Snapshot, State as Is};
use crate::bay::alert::RULES;
use crate::bay::container::{HealthState, Role};
use crate::bay::metric::{self, Histogram, Metric};
use crate::engine::timed::Calls;

/// The format's own type.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every state that a worker can be in: a series that is there from the start can be compared with later.
const STATES: [Is; 7] = [Is::Creating, Is::Warm, Is::Running, Is::Exited, Is::Failed, Is::CutOff, Is::Unknown];

pub async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    if !app.handle.config.borrow().api.metrics {
        return Err(ApiError::new("not-found", "the configuration has turned them off: [api] metrics"));
    }
    app.first_look().await;
    let mut text = text(&app.snapshot(), &app.handle.meter.read());
    text.push_str(&of_the_api(&app.requests.read(), super::STREAMS - app.streams.available_permits()));
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}

/// One page.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, metric: &Metric) {
        let Metric { name, kind, help, .. } = metric;
        // Writing to a String can't fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str());
    }

    fn sample(&mut self, metric: &Metric, values: &[&str], value: f64) {
        self.line(metric.name, &labelled(metric, values), value);
    }

    fn line(&mut self, name: &str, labels: &[String], value: f64) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, metric: &Metric, value: f64) {
        self.family(metric);
        self.sample(metric, &[], value);
    }

    fn histogram(&mut self, metric: &Metric, values: &[&str], histogram: &Histogram) {
        let labels = labelled(metric, values);
        let with = |bound: String| [labels.clone(), vec![format!("le=\"{bound}\"")]].concat();
        let bucket = format!("{}_bucket", metric.name);
        for (bound, count) in histogram.buckets() {
            self.line(&bucket, &with(bound.to_string()), number(count));
        }
        self.line(&bucket, &with("+Inf".to_owned()), number(histogram.count()));
        self.line(&format!("{}_sum", metric.name), &labels, histogram.sum());
        self.line(&format!("{}_count", metric.name), &labels, number(histogram.count()));
    }
}

fn labelled(metric: &Metric, values: &[&str]) -> Vec<String> {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    metric.labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are such, and no count comes near 2^53")]
const fn number(count: u64) -> f64 {
    count as f64
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn text(snapshot: &Snapshot, calls: &BTreeMap<&'static str, Calls>) -> String {
    let (page, status) = (&mut Page::default(), &snapshot.status);
    page.family(&metric::INFO);
    page.sample(&metric::INFO, &[&status.version], 1.0);
    page.one(&metric::UPTIME, number(status.uptime_s));
    workers(page, snapshot);
    pools(page, &status.pool, snapshot);
    services(page, &status.services);
    engine(page, status.engine.state == LinkState::Up, calls);
    page.one(&metric::SESSIONS, number(snapshot.sessions.iter().filter(|row| row.ended.is_none()).count() as u64));
    page.one(&metric::ATTACHED, number(snapshot.sessions.iter().filter(|row| row.clients > 0).count() as u64));
    page.one(&metric::REFRESHES, number(snapshot.counts.refreshes));
    page.family(&metric::DISK);
    for (part, bytes) in [("total", status.disk.total), ("free", status.disk.free)] {
        page.sample(&metric::DISK, &[part], number(bytes));
    }
    page.family(&metric::ALERTS);
    for rule in RULES {
        let firing = status.alerts.iter().filter(|alert| alert.name == rule.name).count();
        page.sample(&metric::ALERTS, &[rule.name], number(firing as u64));
    }
    std::mem::take(&mut page.0)
}

fn of_the_api(counts: &Counts, streams: usize) -> String {
    let page = &mut Page::default();
    page.family(&metric::REQUESTS);
    for ((route, method, code), count) in &counts.answers {
        page.sample(&metric::REQUESTS, &[route, method, &code.to_string()], number(*count));
    }
    page.family(&metric::REQUEST_SECONDS);
    for (route, took) in &counts.took {
        page.histogram(&metric::REQUEST_SECONDS, &[route], took);
    }
    page.one(&metric::STREAMS, number(streams as u64));
    std::mem::take(&mut page.0)
}

fn workers(page: &mut Page, snapshot: &Snapshot) {
    let workers = || snapshot.containers.iter().filter(|row| row.role == Role::Worker);
    page.family(&metric::WORKERS);
    for state in STATES {
        let count = workers().filter(|row| row.state == state).count();
        page.sample(&metric::WORKERS, &[state.as_str()], number(count as u64));
    }
    page.family(&metric::HEALTH);
    for (word, health) in [
        ("healthy", Some(HealthState::Healthy)),
        ("starting", Some(HealthState::Starting)),
        ("unhealthy", Some(HealthState::Unhealthy)),
        ("none", None),
    ] {
        let count = snapshot.containers.iter().filter(|row| row.health == health).count();
        page.sample(&metric::HEALTH, &[word], number(count as u64));
    }
    page.one(&metric::RESTARTS, number(workers().map(|row| u64::from(row.restarts)).sum()));
}

fn pools(page: &mut Page, pools: &[PoolRow], snapshot: &Snapshot) {
    let mut each = |metric: &Metric, value: &dyn Fn(&PoolRow) -> u64| {
        page.family(metric);
        for pool in pools {
            page.sample(metric, &[&pool.template], number(value(pool)));
        }
    };
    each(&metric::POOL_TARGET, &|pool| u64::from(pool.target));
    each(&metric::HITS, &|pool| pool.hits);
    each(&metric::MISSES, &|pool| pool.misses);
    page.family(&metric::POOL);
    for pool in pools {
        let states = [
            ("warm", pool.warm),
            ("creating", pool.creating),
            ("claimed", pool.claimed),
            ("probing", pool.probing),
            ("draining", pool.draining),
        ];
        for (state, count) in states {
            page.sample(&metric::POOL, &[&pool.template, state], f64::from(count));
        }
    }
    page.family(&metric::CLAIM);
    let none = Histogram::default();
    for pool in pools {
        let claims = snapshot.counts.claims.get(&pool.template).unwrap_or(&none);
        page.histogram(&metric::CLAIM, &[&pool.template], claims);
    }
}

fn services(page: &mut Page, services: &[ServiceRow]) {
    page.family(&metric::SERVICE_UP);
    for service in services {
        let up = match service.state.as_str() {
            "running" => service.ready != Some(false),
            // By somebody's wish, or because all is done: nothing is wrong.
            "stopped" | "exited" => true,
            _ => false,
        };
        page.sample(&metric::SERVICE_UP, &[&service.name], truth(up));
    }
    page.family(&metric::SERVICE_RESTARTS);
    for service in services {
        page.sample(&metric::SERVICE_RESTARTS, &[&service.name], f64::from(service.restarts));
    }
}

fn engine(page: &mut Page, up: bool, calls: &BTreeMap<&'static str, Calls>) {
    page.one(&metric::ENGINE_UP, truth(up));
    page.family(&metric::ENGINE);
    for (call, calls) in calls {
        page.histogram(&metric::ENGINE, &[call], &calls.took);
    }
    page.family(&metric::ENGINE_ERRORS);
    for (call, calls) in calls {
        page.sample(&metric::ENGINE_ERRORS, &[call], number(calls.errors));
    }
}
