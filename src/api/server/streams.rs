//! Server-sent events: the bay's changes, and log lines.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::extract::{Asked, Segment};
use super::line_id::{LineId, Numbering, print};
use super::lines::{LineEvent, Lines, entry};
use super::shared_log::{Finder, Follower, Mark, Settled, before, skew};
use super::{ApiError, App};
use crate::api::types::{LogEntry, Snapshot};
use crate::engine::{EngineError, LogLine, LogQuery};

/// Changes that come faster than this are told together.
const TOGETHER: Duration = Duration::from_millis(25);

/// A snapshot, then changes. A client that reads slowly gets fewer and larger changes, never a queue.
pub async fn events(State(app): State<App>) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = app.stream()?;
    let snapshot = Arc::new(app.snapshot());
    let first = stream::once(std::future::ready(Ok(event("snapshot", snapshot.seq, &*snapshot))));
    let view = app.handle.view.clone();
    let changes = stream::unfold((view, snapshot), next_change).take_until(app.handle.ending.clone().cancelled_owned());
    let all = held(first.chain(changes), place);
    Ok(Sse::new(all).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// The stream, with its place for as long as it lasts.
pub(super) fn held<T>(stream: impl Stream<Item = T>, place: OwnedSemaphorePermit) -> impl Stream<Item = T> {
    stream.inspect(move |_| {
        let _held = &place;
    })
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
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct LogsQuery {
    pub(super) follow: bool,
    pub(super) tail: Option<u64>,
    since: Option<i64>,
    /// Not of the query: the header that a client sends which was cut off.
    #[serde(skip)]
    pub(super) had: Option<LineId>,
}

impl Default for LogsQuery {
    /// Without a word a log is followed: it is a stream.
    fn default() -> Self {
        Self { follow: true, tail: None, since: None, had: None }
    }
}

impl LogsQuery {
    /// With what a client says that it has: then that counts, and not how many or since when it asked at first.
    pub(super) fn going_on(self, headers: &HeaderMap) -> Self {
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        match last {
            Some(had) => Self { tail: None, had: Some(had), ..self },
            None => self,
        }
    }

    /// Numbers the lines.
    pub(super) const fn numbering(&self) -> Numbering {
        Numbering::after(self.had)
    }

    /// The time that lines are not to be older than.
    pub(super) fn not_before(&self) -> Result<Option<jiff::Timestamp>, ApiError> {
        if let Some(since) = self.numbering().since() {
            return Ok(Some(since));
        }
        let time = self.since.map(jiff::Timestamp::from_millisecond).transpose();
        time.map_err(|_| ApiError::new("invalid", "since: not a time in milliseconds since 1970"))
    }
}

/// Log lines, oldest first, and `event: end` after the last one.
pub async fn logs(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Asked(query): Asked<LogsQuery>,
    headers: HeaderMap,
) -> Result<Lines, ApiError> {
    let query = query.going_on(&headers);
    if let Some(service) = app.native_service(&id) {
        return super::services::native_logs(&app, &service, &query).await;
    }
    if let Some(service) = app.service_without_container(&id) {
        return super::contained_logs::logs(&app, &service, &query).await;
    }
    container_logs(&app, &id, &query).await
}

/// Those of a container.
pub(super) async fn container_logs(app: &App, id: &str, query: &LogsQuery) -> Result<Lines, ApiError> {
    let place = app.stream()?;
    let (row, id, engine) = app.container(id).await?;
    // Podman's log has lines without a time, and no ids by which they could be known again.
    let shared = query.follow && row.started_at.is_some() && app.handle.view.borrow().status.engine.kind != "podman";
    if shared && let Some(ring) = app.handle.sessions.ring(&id) {
        let follower = Follower::begin(app, (&engine, &id), &ring, query).await?;
        let pieces = stream::unfold(follower, |mut follower| async move { Some((follower.next().await?, follower)) });
        let pieces = pieces.take_until(app.handle.ending.clone().cancelled_owned());
        return Ok(Lines::written(held(pieces, place)));
    }
    let had = query.had.filter(|had| !query.follow && had.print().is_some());
    let skew = skew(app.handle.view.borrow().status.engine.is_here());
    let since = had.map_or_else(|| query.not_before(), |had| Ok(Some(before(had, skew))))?;
    let turn = app.opening.acquire().await;
    let lines = engine.logs(&id, &LogQuery { follow: query.follow, tail: query.tail, since }).await?;
    drop(turn);
    let finder = had.and_then(|had| Finder::new(&[Mark::of(had)], Some(had), skew));
    let mut past = Past { numbering: if had.is_some() { Numbering::default() } else { query.numbering() }, finder };
    let lines = lines.map(Some).chain(stream::once(std::future::ready(None)));
    let entries = lines.flat_map(move |line| stream::iter(past.events(line)));
    let end = stream::once(std::future::ready(LineEvent::End));
    let all = entries.chain(end).take_until(app.handle.ending.clone().cancelled_owned());
    Ok(Lines::new(held(all, place)))
}

/// A log that is read once.
struct Past {
    numbering: Numbering,
    /// Looks for the line that the client has.
    finder: Option<Finder>,
}

impl Past {
    /// What a line leads to, or their end.
    fn events(&mut self, line: Option<Result<LogLine, EngineError>>) -> Vec<LineEvent> {
        let of = |(line, id): (LogLine, LineId)| data(entry(&line), Some(id.reading(print(&line.bytes))));
        let all = |settled: Settled| settled.lines.into_iter().map(of).collect();
        match line {
            None => self.finder.take().map(|mut finder| all(finder.settle())).unwrap_or_default(),
            Some(Err(error)) => vec![failed(&error.to_string())],
            Some(Ok(line)) => match (self.numbering.next(line.at), &mut self.finder) {
                (Err(()), _) => Vec::new(),
                (Ok(None), _) => vec![data(entry(&line), None)],
                (Ok(Some(id)), None) => vec![of((line, id))],
                (Ok(Some(id)), Some(finder)) => {
                    let settled = finder.push(line, id);
                    let settled = settled.inspect(|_| self.finder = None);
                    settled.map(all).unwrap_or_default()
                }
            },
        }
    }
}

pub(super) const fn data(entry: LogEntry, id: Option<LineId>) -> LineEvent {
    LineEvent::Line(entry, id)
}

/// Why no more lines come.
pub(super) fn failed(why: &str) -> LineEvent {
    LineEvent::Failed(why.to_owned())
}
