//! Server-sent events: the bay's changes, and log lines.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{ApiError, App};
use crate::api::types::{LogEntry, Snapshot};
use crate::engine::{LogLine, LogQuery};

/// Changes that come faster than this are told together.
const TOGETHER: Duration = Duration::from_millis(25);

/// A snapshot, then changes. A client that reads slowly gets fewer and larger changes, never a queue.
pub async fn events(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let snapshot = Arc::new(app.snapshot());
    let first = stream::once(std::future::ready(Ok(event("snapshot", snapshot.seq, &*snapshot))));
    let view = app.handle.view.clone();
    let changes = stream::unfold((view, snapshot), next_change).take_until(app.handle.ending.clone().cancelled_owned());
    Sse::new(first.chain(changes)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

type Following = (watch::Receiver<Arc<Snapshot>>, Arc<Snapshot>);

async fn next_change((mut view, told): Following) -> Option<(Result<Event, Infallible>, Following)> {
    loop {
        view.changed().await.ok()?;
        tokio::time::sleep(TOGETHER).await;
        let now = view.borrow_and_update().clone();
        if let Some(change) = now.since(&told) {
            return Some((Ok(event("change", change.seq, &change)), (view, now)));
        }
    }
}

fn event(name: &str, seq: u64, data: &impl Serialize) -> Event {
    let json = serde_json::to_string(data).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()));
    Event::default().event(name).id(seq.to_string()).data(json)
}

/// `?follow=true&tail=100&since=MS`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LogsQuery {
    pub(super) follow: bool,
    pub(super) tail: Option<u64>,
    since: Option<i64>,
}

impl LogsQuery {
    /// The time that lines are not to be older than.
    pub(super) fn not_before(&self) -> Result<Option<jiff::Timestamp>, ApiError> {
        let time = self.since.map(jiff::Timestamp::from_millisecond).transpose();
        time.map_err(|_| ApiError::new("invalid", "since: not a time in milliseconds since 1970"))
    }
}

/// Log lines, oldest first, and `event: end` after the last one.
pub async fn logs(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<super::services::Lines, ApiError> {
    if let Some(service) = app.native_service(&id) {
        return super::services::native_logs(&app, &service, &query).await;
    }
    let (_, id, engine) = app.container(&id).await?;
    let since = query.not_before()?;
    let lines = engine.logs(&id, &LogQuery { follow: query.follow, tail: query.tail, since }).await?;
    let entries = lines.map(|line| {
        Ok(match line {
            Ok(line) => data(&entry(&line)),
            Err(error) => Event::default().event("failed").data(error.to_string().replace(['\r', '\n'], " ")),
        })
    });
    let end = stream::once(std::future::ready(Ok(Event::default().event("end").data("{}"))));
    let all = entries.chain(end).take_until(app.handle.ending.clone().cancelled_owned());
    Ok(Sse::new(all.boxed()).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn entry(line: &LogLine) -> LogEntry {
    LogEntry {
        line: String::from_utf8_lossy(&line.bytes).into_owned(),
        timestamp: line.at.map(jiff::Timestamp::as_millisecond),
        stderr: line.stderr,
    }
}

pub(super) fn data(entry: &LogEntry) -> Event {
    Event::default().data(serde_json::to_string(entry).unwrap_or_default())
}
