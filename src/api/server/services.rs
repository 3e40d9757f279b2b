//! Services: their rows, their verbs, their logs.

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;

use super::actions::Answer;
use super::extract::{Asked, Segment};
use super::line_id::Numbering;
use super::lines::{LineEvent, Lines};
use super::streams::{LogsQuery, data, failed, held};
use super::{ApiError, App};
use crate::api::types::{LogEntry, ServiceRow, ServiceVerb};
use crate::bay::matching::{self, MatchError};
use crate::bay::name::Name;
use crate::service::log::{Entry, Position, Reader};
use crate::supervisor::event::Command;

/// Lines that are read at once.
const PORTION: usize = 512;
/// How often a log is looked at for more.
const LOOK: Duration = Duration::from_millis(100);

/// All services, in the order of the configuration.
pub async fn list(State(app): State<App>) -> Json<Vec<ServiceRow>> {
    app.first_look().await;
    Json(app.snapshot().status.services)
}

pub async fn start(app: State<App>, name: Segment<String>) -> Answer<crate::api::types::Done> {
    act(app, name, ServiceVerb::Start).await
}

pub async fn stop(app: State<App>, name: Segment<String>) -> Answer<crate::api::types::Done> {
    act(app, name, ServiceVerb::Stop).await
}

pub async fn restart(app: State<App>, name: Segment<String>) -> Answer<crate::api::types::Done> {
    act(app, name, ServiceVerb::Restart).await
}

async fn act(
    State(app): State<App>,
    Segment(target): Segment<String>,
    verb: ServiceVerb,
) -> Answer<crate::api::types::Done> {
    app.done(Command::Service { target, verb }).await
}

impl App {
    /// The native service that is meant where a container is asked for: `svc-NAME`.
    pub(super) fn native_service(&self, word: &str) -> Option<ServiceRow> {
        let name = word.strip_prefix("svc-")?;
        let rows = self.snapshot().status.services;
        rows.into_iter().find(|row| row.name == name && row.run == "host")
    }

    /// The service that runs in a container, and has none, where that is asked for.
    pub(super) fn service_without_container(&self, word: &str) -> Option<ServiceRow> {
        let name = word.strip_prefix("svc-")?;
        let snapshot = self.snapshot();
        let made = snapshot.containers.iter().any(|row| row.name == word && !row.id.is_empty());
        snapshot.status.services.into_iter().find(|row| row.name == name && row.run == "container" && !made)
    }

    /// The service that a route's `{name}` means.
    pub(super) fn service_row(&self, word: &str) -> Result<ServiceRow, ApiError> {
        let rows = self.snapshot().status.services;
        let bare = word.strip_prefix("svc-").unwrap_or(word);
        if let Some(exact) = rows.iter().find(|row| row.name == word || row.name == bare) {
            return Ok(exact.clone());
        }
        let not_found = |error: &MatchError| ApiError::new("not-found", error.to_string());
        match matching::resolve(bare, &rows).map_err(|error| not_found(&error))?.as_slice() {
            [row] => Ok((*row).clone()),
            many => {
                let names = many.iter().take(10).map(|row| row.name.clone()).collect();
                Err(not_found(&MatchError::Ambiguous { word: word.to_owned(), names }))
            }
        }
    }
}

/// The lines of a service, oldest first, and `event: end` after the last one. Of a native service they are read from its
/// files: they go on across rotation, and whether or not anybody else looks.
pub async fn logs(
    State(app): State<App>,
    Segment(name): Segment<String>,
    Asked(query): Asked<LogsQuery>,
    headers: HeaderMap,
) -> Result<Lines, ApiError> {
    let query = query.going_on(&headers);
    app.first_look().await;
    let row = app.service_row(&name)?;
    if row.run == "container" {
        return super::contained_logs::logs(&app, &row, &query).await;
    }
    native_logs(&app, &row, &query).await
}

/// Those of a native service.
pub(super) async fn native_logs(app: &App, row: &ServiceRow, query: &LogsQuery) -> Result<Lines, ApiError> {
    let place = app.stream()?;
    let since = query.not_before()?;
    let name: Name = row.name.parse().map_err(|_| ApiError::new("internal", "its name can't be read"))?;
    let dir = app.handle.paths.service(&name).join("log");
    let reader = begin(dir, query.tail).await?;
    let entries = entries(Following { reader, follow: query.follow, since, numbering: query.numbering() });
    let end = stream::once(std::future::ready(LineEvent::End));
    let all = entries.chain(end).take_until(app.handle.ending.clone().cancelled_owned());
    Ok(Lines::new(held(all, place)))
}

async fn begin(dir: PathBuf, tail: Option<u64>) -> Result<Reader, ApiError> {
    let Some(count) = tail else { return Ok(Reader::new(&dir, Position::default())) };
    let reader = tokio::task::spawn_blocking(move || Reader::tail(&dir, count)).await;
    let reader = reader.map_err(|error| ApiError::new("internal", error.to_string()))?;
    reader.map_err(|error| ApiError::new("internal", format!("its log can't be read: {error}")))
}

struct Following {
    reader: Reader,
    follow: bool,
    since: Option<Timestamp>,
    numbering: Numbering,
}

/// Read only as fast as the client takes them: a log is its own queue.
fn entries(following: Following) -> impl stream::Stream<Item = LineEvent> {
    stream::unfold(Some(following), next_portion).flat_map(stream::iter)
}

async fn next_portion(following: Option<Following>) -> Option<(Vec<LineEvent>, Option<Following>)> {
    let mut following = following?;
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let lines = following.reader.read(PORTION);
            (lines, following)
        });
        let lines;
        (lines, following) = read.await.ok()?;
        let lines = match lines {
            Ok(lines) => lines,
            Err(error) => {
                return Some((vec![failed(&format!("its log can't be read: {error}"))], None));
            }
        };
        if lines.is_empty() {
            if !following.follow {
                return None;
            }
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let since = following.since;
        let wanted = lines.iter().filter(|line| since.is_none_or(|since| line.at.is_none_or(|at| at >= since)));
        let numbering = &mut following.numbering;
        let events = wanted.filter_map(|line| Some(data(entry(line), numbering.next(line.at).ok()?))).collect();
        return Some((events, Some(following)));
    }
}

fn entry(line: &Entry) -> LogEntry {
    LogEntry::new(&line.bytes, line.at.map(Timestamp::as_millisecond), line.stderr)
}
