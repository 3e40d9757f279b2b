//! The log of a container service, which outlives its containers: it goes on when the service is started again, in the
//! same container or in a new one, and waits for the first.

use std::time::Duration;

use futures_util::stream::{self, ReadyChunks, StreamExt as _};
use jiff::Timestamp;

use super::line_id::{LineId, Numbering};
use super::lines::{LineEvent, Lines, entry};
use super::streams::{LogsQuery, data, failed, held};
use super::{ApiError, App};
use crate::api::types::{ContainerRow, ServiceRow, Snapshot};
use crate::bay::container::{ContainerId, Status};
use crate::engine::{EngineError, LogLine, LogQuery, LogStream};

/// Lines that are handed on at once.
const PORTION: usize = 512;
/// A service that is started again and again is looked at no more often.
const AGAIN: Duration = Duration::from_millis(100);
/// An engine that did not answer is asked again after this.
const RETRY: Duration = Duration::from_millis(500);

/// Its lines, oldest first, and `event: end` after the last one.
pub(super) async fn logs(app: &App, row: &ServiceRow, query: &LogsQuery) -> Result<Lines, ApiError> {
    let place = app.stream()?;
    let mut following = Following {
        app: app.clone(),
        name: row.name.clone(),
        query: LogQuery { follow: query.follow, tail: query.tail, since: query.not_before()? },
        numbering: query.numbering(),
        last: query.had,
        open: None,
    };
    // What can't be had at all is refused, and no empty log.
    if let Some(error) = following.open().await {
        return Err(error);
    }
    let events = stream::unfold(Some(following), next_portion).flat_map(stream::iter);
    let end = stream::once(std::future::ready(LineEvent::End));
    let all = events.chain(end).take_until(app.handle.ending.clone().cancelled_owned());
    Ok(Lines::new(held(all, place)))
}

struct Following {
    app: App,
    name: String,
    /// What the engine is asked next.
    query: LogQuery,
    numbering: Numbering,
    /// The newest line that was handed on.
    last: Option<LineId>,
    open: Option<Open>,
}

/// The log of one container, as far as the engine has it.
struct Open {
    container: ContainerId,
    /// What was known when it was opened.
    run: Run,
    lines: ReadyChunks<LogStream>,
}

/// What changes when a service is started again, or ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    container: Option<String>,
    state: String,
    started_at: Option<Timestamp>,
    restarts: u32,
}

impl Run {
    /// `None`: the bay has no such service any more.
    fn of(name: &str, snapshot: &Snapshot) -> Option<Self> {
        let row = snapshot.status.services.iter().find(|row| row.name == name)?;
        let container = container_of(name, snapshot);
        Some(Self {
            started_at: container.and_then(|container| container.started_at).or(row.started_at),
            container: container.map(|container| container.id.clone()),
            state: row.state.clone(),
            restarts: row.restarts,
        })
    }
}

/// The service's container, where it has one.
fn container_of<'a>(name: &str, snapshot: &'a Snapshot) -> Option<&'a ContainerRow> {
    let key = format!("svc-{name}");
    snapshot.containers.iter().find(|row| row.name == key && !row.id.is_empty())
}

/// Read only as fast as the client takes them.
async fn next_portion(following: Option<Following>) -> Option<(Vec<LineEvent>, Option<Following>)> {
    let mut following = following?;
    loop {
        let Some(open) = &mut following.open else {
            if !following.query.follow || !wait(&following.app, &following.name, None).await {
                return None;
            }
            // An engine that is away or late now has the lines all the same.
            if following.open().await.is_some() || following.open.is_none() {
                tokio::time::sleep(RETRY).await;
            }
            continue;
        };
        if let Some(lines) = open.lines.next().await {
            let mut events = Vec::with_capacity(lines.len());
            for line in lines {
                match line {
                    Ok(line) => events.extend(following.event(&line)),
                    Err(error) if following.query.follow => {
                        tracing::debug!(%error, "a log broke off and is opened again");
                        following.leave_off(None);
                        tokio::time::sleep(RETRY).await;
                        break;
                    }
                    Err(error) => {
                        events.push(failed(&error.to_string()));
                        return Some((events, None));
                    }
                }
            }
            return Some((events, Some(following)));
        }
        if !following.query.follow || !following.go_on().await {
            return None;
        }
    }
}

impl Following {
    fn event(&mut self, line: &LogLine) -> Option<LineEvent> {
        let id = self.numbering.next(line.at).ok()?;
        // What a follow had left out comes late: the newest line is not always the last one.
        self.last = self.last.max(id);
        Some(data(entry(line), id))
    }

    /// Opens the log of the present container; without one there is none. Gives what stood in the way.
    async fn open(&mut self) -> Option<ApiError> {
        let snapshot = self.app.snapshot();
        let (Some(run), Some(container)) = (Run::of(&self.name, &snapshot), container_of(&self.name, &snapshot)) else {
            return None;
        };
        let container = ContainerId::new(container.id.clone());
        let engine = match self.app.engine() {
            Ok(engine) => engine,
            Err(error) => return Some(error),
        };
        let turn = self.app.opening.acquire().await;
        let lines = engine.logs(&container, &self.query).await;
        drop(turn);
        match lines {
            Ok(lines) => {
                self.open = Some(Open { container, run, lines: lines.ready_chunks(PORTION) });
                None
            }
            // Removed just now: the next one is waited for.
            Err(EngineError::NotFound { .. }) => None,
            Err(error) => Some(error.into()),
        }
    }

    /// The present container has ended: goes on after its last line, once anything has happened. `false`: nothing will.
    async fn go_on(&mut self) -> bool {
        let Some(Open { container, run, .. }) = self.open.take() else { return true };
        let ended_at = ended_at(&self.app, &container).await;
        self.leave_off(ended_at);
        tokio::time::sleep(AGAIN).await;
        wait(&self.app, &self.name, Some(&run)).await
    }

    /// What is asked next comes after the last line.
    fn leave_off(&mut self, ended_at: Option<Timestamp>) {
        self.open = None;
        if let Some(last) = self.last {
            self.numbering = Numbering::after(Some(last));
            self.query.since = self.numbering.since();
        } else if self.query.tail.is_some() {
            // What was left out at the beginning is left out now.
            self.query.since = self.query.since.max(ended_at);
        }
        self.query.tail = None;
    }
}

async fn ended_at(app: &App, container: &ContainerId) -> Option<Timestamp> {
    let seen = app.engine().ok()?.inspect(container).await.ok()?;
    match seen.status {
        Status::Exited { at, .. } => at,
        _ => None,
    }
}

/// Until something else is known of the service than this, and it has a container. `false`: it is not there any more.
async fn wait(app: &App, name: &str, known: Option<&Run>) -> bool {
    let mut view = app.handle.view.clone();
    let changed = view.wait_for(|view| {
        let run = Run::of(name, view);
        run.as_ref().is_none_or(|run| run.container.is_some() && Some(run) != known)
    });
    changed.await.is_ok_and(|view| Run::of(name, &view).is_some())
}
