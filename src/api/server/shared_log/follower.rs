//! Somebody who follows a worker's log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::watch;

use super::super::App;
use super::super::line_id::{LineId, Numbering, print};
use super::super::lines::{LineEvent, TOGETHER, entry, write_event};
use super::super::streams::LogsQuery;
use super::seam::{align, before, nanos, skew};
use super::{Finder, Mark, SharedLog};
use crate::api::server::ApiError;
use crate::bay::container::ContainerId;
use crate::engine::{EngineError, LogLine, LogQuery, LogStream, SharedEngine};
use crate::supervisor::session::ring::{End, Followed, Ring};

/// The last lines of what was read that are kept, to find them again in the ring.
const MARKS: usize = 4096;
/// An engine that is away is asked again after so long.
const RETRY: Duration = Duration::from_millis(500);
/// A log that lags behind the terminal is read again after so long.
const AGAIN: Duration = Duration::from_millis(100);
/// Readings in a row that brought nothing new: then there is nothing between the log and the ring.
const PATIENCE: u32 = 3;

/// One who follows.
pub struct Follower {
    app: App,
    engine: SharedEngine,
    id: ContainerId,
    log: Arc<SharedLog>,
    followed: Followed,
    changed: watch::Receiver<End>,
    state: State,
    /// The newest lines that it has, one after the other, oldest first.
    marks: VecDeque<Mark>,
    /// While it has none: since when it follows.
    since: Option<Timestamp>,
    /// Where it was in the ring when it had to read from the engine, and how many lines it was given since.
    left: Option<(u64, u64)>,
    given: u64,
    /// Readings that brought nothing.
    vain: u32,
    /// How far apart the two times of a line may be.
    skew: i64,
}

enum State {
    /// Takes what the engine has.
    Reading(Box<Reading>),
    /// Has read, and waits for the ring's first line, to know whether it had that.
    Joining,
    /// Takes what comes, from this line on, as long as there is no break.
    Live {
        next: u64,
        breaks: u64,
    },
    Over,
}

struct Reading {
    lines: BoxStream<'static, Vec<Result<LogLine, EngineError>>>,
    finder: Option<Finder>,
    numbering: Numbering,
    /// The program has ended: nothing follows.
    last: bool,
    lines_given: u64,
}

impl Follower {
    /// Begins to follow.
    ///
    /// # Errors
    /// The engine's, or what is wrong with the query.
    pub async fn begin(
        app: &App,
        (engine, id): (&SharedEngine, &ContainerId),
        ring: &Arc<Ring>,
        query: &LogsQuery,
    ) -> Result<Self, ApiError> {
        let since = query.not_before()?;
        let log = app.shared_logs.of(id, ring);
        let (changed, followed) = (log.ring.watch(), log.ring.follow());
        let end = log.ring.end();
        let mut follower = Self {
            app: app.clone(),
            engine: engine.clone(),
            id: id.clone(),
            log,
            followed,
            changed,
            state: State::Joining,
            marks: VecDeque::new(),
            since: since.or_else(|| (query.tail == Some(0)).then(Timestamp::now)),
            left: None,
            given: 0,
            vain: 0,
            skew: skew(app.handle.view.borrow().status.engine.is_here()),
        };
        if let Some(next) = follower.in_the_ring(query, since) {
            follower.go_live(next, end);
            return Ok(follower);
        }
        follower.marks.extend(query.had.map(Mark::of));
        let since = query.had.map(|had| before(had, follower.skew)).or(since);
        let lines = follower.open(LogQuery { follow: false, tail: query.tail, since }).await?;
        let finder = query.had.and_then(|had| Finder::new(&[Mark::of(had)], Some(had), follower.skew));
        follower.read(lines, finder, false);
        Ok(follower)
    }

    /// The first line that is wanted, where the ring has all from there on.
    fn in_the_ring(&self, query: &LogsQuery, since: Option<Timestamp>) -> Option<u64> {
        let ring = &self.log.ring;
        let (start, whole) = ring.start();
        let end = ring.end();
        if let Some(had) = query.had {
            let number = ring.since(nanos(had));
            let known = self.log.marks(number, number + 1);
            return (known == [Mark::of(had)]).then_some(number + 1);
        }
        if let Some(since) = since {
            let since = nanos(LineId::alone(since, 0));
            let before = ring.read(start).and_then(|portion| portion.lines.first().map(|(_, at)| *at));
            return (whole || before.is_some_and(|at| at < since)).then(|| ring.since(since));
        }
        match query.tail {
            Some(count) if whole || end.next - start >= count => Some(end.next.saturating_sub(count).max(start)),
            None if whole => Some(start),
            _ => None,
        }
    }

    fn go_live(&mut self, next: u64, end: End) {
        self.followed.is_at(next);
        if self.marks.is_empty() {
            let before = next.saturating_sub(super::MARKS as u64).max(self.log.ring.start().0);
            self.marks = self.log.marks(before, next).into();
        }
        (self.left, self.given, self.vain) = (None, 0, 0);
        self.state = State::Live { next, breaks: end.breaks };
    }

    fn open(&self, query: LogQuery) -> impl Future<Output = Result<LogStream, EngineError>> + Send + use<> {
        let (opening, engine, id) = (self.app.opening.clone(), self.engine.clone(), self.id.clone());
        async move {
            let _turn = opening.acquire().await;
            engine.logs(&id, &query).await
        }
    }

    fn read(&mut self, lines: LogStream, finder: Option<Finder>, last: bool) {
        let lines = lines.ready_chunks(TOGETHER).boxed();
        let numbering = Numbering::default();
        self.state = State::Reading(Box::new(Reading { lines, finder, numbering, last, lines_given: 0 }));
    }

    /// The next events; `None`: there are no more.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let mut events = BytesMut::new();
            match &mut self.state {
                State::Over => return None,
                State::Live { .. } => {
                    if let Some(bytes) = self.live(&mut events).await {
                        return Some(bytes);
                    }
                }
                State::Joining => self.join(&mut events).await,
                State::Reading(reading) => match reading.lines.next().await {
                    Some(lines) => self.take(lines, &mut events).await,
                    None => self.read_to_the_end(&mut events).await,
                },
            }
            if !events.is_empty() {
                return Some(events.freeze());
            }
        }
    }

    /// What is there; waits for more when there is nothing.
    async fn live(&mut self, events: &mut BytesMut) -> Option<Bytes> {
        let State::Live { next, breaks } = &mut self.state else { return None };
        let end = *self.changed.borrow_and_update();
        let piece = if end.breaks == *breaks { self.log.piece(*next) } else { None };
        let Some(piece) = piece else {
            self.followed.is_at(self.log.ring.start().0);
            self.left = (end.breaks == *breaks).then_some((*next, *breaks));
            self.read_again(false, events).await;
            return None;
        };
        if piece.next() > *next {
            let (bytes, marks) = piece.from(*next);
            self.marks.extend(marks);
            let surplus = self.marks.len().saturating_sub(super::MARKS);
            self.marks.drain(..surplus);
            *next = piece.next();
            self.followed.is_at(*next);
            return Some(bytes);
        }
        if end.over && *next >= end.next {
            // A stream's end says nothing: what it did not bring is in the log.
            self.read_again(true, events).await;
        } else if self.changed.changed().await.is_err() {
            self.over(events, None);
        }
        None
    }

    /// Reads from the engine what comes after the newest line that it has.
    async fn read_again(&mut self, last: bool, events: &mut BytesMut) {
        loop {
            let marks: Vec<Mark> = self.marks.iter().copied().collect();
            let since =
                marks.last().map(|mark| before(LineId::alone(mark.time(), mark.print), self.skew)).or(self.since);
            match self.open(LogQuery { follow: false, tail: None, since }).await {
                Ok(lines) => return self.read(lines, Finder::new(&marks, None, self.skew), last),
                // The log went with its container.
                Err(EngineError::NotFound { .. }) => return self.over(events, None),
                Err(error) if error.is_away() => tokio::time::sleep(RETRY).await,
                Err(error) => return self.over(events, Some(error.to_string())),
            }
        }
    }

    async fn take(&mut self, lines: Vec<Result<LogLine, EngineError>>, events: &mut BytesMut) {
        let mut failure = None;
        for line in lines {
            match line {
                Ok(line) => self.take_line(line, events),
                Err(error) => failure = Some(error),
            }
        }
        let State::Reading(reading) = &self.state else { return };
        match failure {
            None => {}
            Some(error) if error.is_away() => {
                let last = reading.last;
                tokio::time::sleep(RETRY).await;
                self.read_again(last, events).await;
            }
            Some(error) => self.over(events, Some(error.to_string())),
        }
    }

    fn take_line(&mut self, line: LogLine, events: &mut BytesMut) {
        let State::Reading(reading) = &mut self.state else { return };
        // All lines of an engine whose logs are shared have a time.
        let Ok(Some(id)) = reading.numbering.next(line.at) else { return };
        let Some(finder) = &mut reading.finder else { return self.give(&line, id, events) };
        if let Some(settled) = finder.push(line, id) {
            reading.finder = None;
            self.settled(settled, events);
        }
    }

    fn settled(&mut self, settled: super::seam::Settled, events: &mut BytesMut) {
        if !settled.found && self.is_no_help(settled.lines.first()) {
            // The ring has what is left.
            self.marks.clear();
            let end = self.log.ring.end();
            return self.meet(self.log.ring.start().0, end, events);
        }
        if !settled.found && !settled.lines.is_empty() {
            self.marks.clear();
        }
        for (line, id) in settled.lines {
            self.give(&line, id, events);
        }
    }

    /// Whether the log begins after the ring does: it has lost what was between.
    fn is_no_help(&self, oldest: Option<&(LogLine, LineId)>) -> bool {
        let end = self.log.ring.end();
        let start = self.log.ring.start().0;
        let first = self.log.ring.read(start).and_then(|portion| portion.lines.first().map(|(_, at)| *at));
        self.left.is_some_and(|(_, breaks)| breaks == end.breaks)
            && first.is_some_and(|first| oldest.is_none_or(|(_, id)| nanos(*id) > first))
    }

    fn give(&mut self, line: &LogLine, id: LineId, events: &mut BytesMut) {
        let print = print(&line.bytes);
        write_event(events, &LineEvent::Line(entry(line), Some(id.reading(print))));
        self.marks.push_back(Mark { at: nanos(id), print });
        if self.marks.len() > MARKS {
            self.marks.pop_front();
        }
        self.given += 1;
        if let State::Reading(reading) = &mut self.state {
            reading.lines_given += 1;
        }
    }

    async fn read_to_the_end(&mut self, events: &mut BytesMut) {
        let State::Reading(reading) = &mut self.state else { return };
        let held = reading.finder.take().map(|mut finder| finder.settle());
        if let Some(settled) = held {
            self.settled(settled, events);
        }
        // It may have gone on in the ring already.
        let State::Reading(reading) = &self.state else { return };
        if reading.last {
            return self.over(events, None);
        }
        self.vain = if reading.lines_given > 0 { 0 } else { self.vain + 1 };
        self.state = State::Joining;
        self.join(events).await;
    }

    /// Goes on in the ring where what was read ends.
    async fn join(&mut self, events: &mut BytesMut) {
        let end = *self.changed.borrow_and_update();
        let (start, _) = self.log.ring.start();
        let newest = self.marks.back().copied();
        let past: Vec<Mark> = self.marks.iter().copied().collect();
        let from = past.first().map_or(start, |mark| self.log.ring.since(mark.at - self.skew)).max(start);
        let live = self.log.marks(from, end.next);
        let next = match (live.first(), newest) {
            (None, _) if end.over => return self.read_again(true, events).await,
            (None, _) => {
                if self.changed.changed().await.is_err() {
                    self.over(events, None);
                }
                return;
            }
            (Some(_), None) => self.since.map_or(start, |since| self.log.ring.since(nanos(LineId::alone(since, 0)))),
            (Some(first), Some(newest)) => match align(&past, &live, self.skew) {
                Some(next) => from + next as u64,
                // Lines may have come between the two.
                None if newest.at < first.at && self.vain < PATIENCE => {
                    tokio::time::sleep(AGAIN).await;
                    return self.read_again(false, events).await;
                }
                None => self.log.ring.since(newest.at + 1).max(start),
            },
        };
        self.meet(next, end, events);
    }

    /// Goes on in the ring, and says what is missing in front of that.
    fn meet(&mut self, next: u64, end: End, events: &mut BytesMut) {
        if let Some((left, breaks)) = self.left
            && breaks == end.breaks
            && let Some(missed) = (next - left.min(next)).checked_sub(self.given).filter(|missed| *missed > 0)
        {
            write_event(events, &LineEvent::Missed(missed));
        }
        self.go_live(next, end);
    }

    fn over(&mut self, events: &mut BytesMut, why: Option<String>) {
        if let Some(why) = why {
            write_event(events, &LineEvent::Failed(why));
        }
        write_event(events, &LineEvent::End);
        self.state = State::Over;
    }
}
