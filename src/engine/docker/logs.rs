//! The engine's log, followed to its true end.
//!
//! A follow may end cleanly with most lines missing, and ends the same way when the daemon dies. So after each end the
//! log is read again from the last lines on, until the container has ended and a reading brings nothing new. Lines
//! wait in a channel of [`AHEAD`] lines; when it is full nothing more is read from the engine.
//!
//! Podman's follow leaves out lines from the middle (of 200,000 it gave 9,000 to 90,000), and its last lines are glued
//! together where one was cut. Its log is only ever read whole and from a time on, and a follow asks again and again.
//! Into a tty's log it writes a time stamp wherever the program paused: that one is read without them, and what was
//! given out already is known by its length.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio_util::codec::Decoder;

use super::DockerEngine;
use super::error::{self, within};
use super::frames::{FrameError, Frames, Part};
use super::lines::{Lines, Piece, QUIET};
use super::podman_log::{Podman, Tty};
use super::seen::Seen;
use crate::bay::container::{ContainerId, Status};
use crate::engine::{Engine, EngineError, LogLine, LogQuery, LogStream};

/// Lines that wait for the reader.
const AHEAD: usize = 256;
/// Between two follows of a container that still runs.
const PAUSE: Duration = Duration::from_millis(200);

/// Between two readings of Podman's log: so many times as long as one takes, within these bounds. Podman reads all of
/// the file each time.
const REST: u32 = 8;
const RESTS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));

/// How often a last reading may break off.
const PATIENCE: u32 = 5;

/// One reading of the log.
struct Reading {
    /// Lines that were passed on.
    lines: usize,
    /// Whether it ended where a message ends.
    whole: bool,
}

type Sender = mpsc::Sender<Result<LogLine, EngineError>>;

/// Why reading stops before the end.
enum Stop {
    /// Nobody reads any more.
    Unread,
    /// The engine failed.
    Failed(EngineError),
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

/// Opens a log.
///
/// # Errors
/// When its first answer does not come, or is a refusal.
pub async fn open(engine: &DockerEngine, id: &ContainerId, query: &LogQuery) -> Result<LogStream, EngineError> {
    let seen = engine.inspect(id).await?;
    let session = within("ask for the engine's version", engine.deadlines.read, engine.session()).await?;
    let (to, from) = mpsc::channel(AHEAD);
    let mut reader = Reader {
        engine: engine.clone(),
        what: format!("read the log of {}", seen.name),
        id: id.clone(),
        tty: seen.tty,
        seen: Seen::beginning(query.since, query.tail.is_some()),
        query: query.clone(),
        to,
        podman: session
            .podman
            .then(|| Podman { tty: seen.tty.then(|| Tty { lines: Lines::plain(), length: 0 }), ..Podman::default() }),
    };
    if query.follow && query.tail == Some(0) && !session.podman {
        reader.find_the_end().await?;
    }
    let answer = reader.request(&reader.first_query()).await?;
    tokio::spawn(async move {
        if let Err(Stop::Failed(error)) = reader.run(answer).await {
            // Nobody is there to be told when this fails.
            let _ = reader.to.send(Err(error)).await;
        }
    });
    Ok(futures_util::stream::unfold(from, |mut from| async { Some((from.recv().await?, from)) }).boxed())
}

struct Reader {
    engine: DockerEngine,
    what: String,
    id: ContainerId,
    tty: bool,
    seen: Seen,
    query: LogQuery,
    to: Sender,
    podman: Option<Podman>,
}

impl Reader {
    /// Notes the last line without passing it on: a follow from the end has a place to go on from then, whatever
    /// happens to it.
    async fn find_the_end(&mut self) -> Result<(), EngineError> {
        let deadline = self.engine.deadlines.head;
        let path = self.path(false, "1", None);
        let what = self.what.clone();
        let (aside, mut unread) = mpsc::channel(AHEAD);
        let to = std::mem::replace(&mut self.to, aside);
        let read = async {
            let answer = self.request(&path).await?;
            match self.read(answer, false).await {
                Err(Stop::Failed(error)) => Err(error),
                _ => Ok(()),
            }
        };
        let done = within(&what, deadline, read).await;
        unread.close();
        self.to = to;
        done
    }

    fn first_query(&self) -> String {
        let follow = self.query.follow && self.podman.is_none();
        if let Some(since) = self.seen.since() {
            return self.path(follow, "all", Some(since));
        }
        if self.podman.is_some() {
            return self.path(false, "all", self.query.since);
        }
        let tail = self.query.tail.map_or_else(|| "all".to_owned(), |count| count.to_string());
        self.path(self.query.follow, &tail, self.query.since)
    }

    fn path(&self, follow: bool, tail: &str, since: Option<jiff::Timestamp>) -> String {
        let since = since.map(|at| format!("&since={}.{:09}", at.as_second(), at.subsec_nanosecond()));
        let since = since.unwrap_or_default();
        let stamps = self.podman.as_ref().is_none_or(|podman| podman.tty.is_none());
        format!(
            "/containers/{}/logs?stdout=1&stderr=1&timestamps={}&follow={}&tail={tail}{since}",
            self.id,
            u8::from(stamps),
            u8::from(follow)
        )
    }

    async fn request(&self, path: &str) -> Result<Incoming, EngineError> {
        let deadline = self.engine.deadlines.head;
        let call = async {
            let session = self.engine.session().await?;
            let path = session.path(path);
            self.engine.wire.send(&self.what, Method::GET, &path, Bytes::new()).await
        };
        within(&self.what, deadline, call).await.map(http::Response::into_body)
    }

    async fn run(&mut self, answer: Incoming) -> Result<(), Stop> {
        if self.podman.is_some() {
            return self.run_podman(answer).await;
        }
        let again = self.seen.since().is_some();
        let first = self.read(answer, again).await;
        if !self.query.follow {
            return first.map(|_| ());
        }
        first?;
        loop {
            if self.to.is_closed() {
                return Err(Stop::Unread);
            }
            // First whether it has ended, then the rest: what it wrote before its end is there by then.
            if self.ended().await? {
                return self.finish().await;
            }
            tokio::time::sleep(PAUSE).await;
            let since = self.seen.since().or(self.query.since);
            let tail = if self.seen.since().is_some() { "all" } else { "0" };
            let answer = self.request(&self.path(true, tail, since)).await?;
            self.read(answer, true).await?;
        }
    }

    async fn run_podman(&mut self, answer: Incoming) -> Result<(), Stop> {
        self.read(answer, false).await?;
        let first = self.podman.as_mut().map(|podman| {
            podman.begun = true;
            std::mem::take(&mut podman.last)
        });
        for piece in first.into_iter().flatten() {
            if self.query.tail == Some(0) {
                self.seen.note(&piece);
            } else {
                self.give(piece).await?;
            }
        }
        let mut rest = RESTS.0;
        while self.query.follow {
            if self.ended().await? {
                if let Some(podman) = &mut self.podman {
                    podman.ending = true;
                }
                return self.finish().await;
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.to.closed() => return Err(Stop::Unread),
            }
            let begun = Instant::now();
            let since = self.seen.since().or(self.query.since);
            let answer = self.request(&self.path(false, "all", since)).await?;
            self.read(answer, true).await?;
            rest = begun.elapsed().saturating_mul(REST).clamp(RESTS.0, RESTS.1);
        }
        Ok(())
    }

    async fn ended(&self) -> Result<bool, Stop> {
        match self.engine.inspect(&self.id).await {
            Ok(seen) => Ok(matches!(seen.status, Status::Exited { .. } | Status::Removing)),
            Err(EngineError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads again what may be missing, until a whole reading brings nothing new.
    async fn finish(&mut self) -> Result<(), Stop> {
        let mut broken = 0;
        loop {
            match self.catch_up().await? {
                Reading { lines: 0, whole: true } => return Ok(()),
                Reading { whole: true, .. } => {}
                Reading { whole: false, .. } if broken < PATIENCE => broken += 1,
                Reading { whole: false, .. } => return Err(self.garbled(&FrameError::Cut)),
            }
        }
    }

    async fn catch_up(&mut self) -> Result<Reading, Stop> {
        const NOTHING: Reading = Reading { lines: 0, whole: true };
        let nothing_yet = self.seen.since().is_none();
        if nothing_yet && self.query.tail == Some(0) && self.podman.is_none() {
            return Ok(NOTHING);
        }
        let since = self.seen.since().or(self.query.since);
        let answer = match self.request(&self.path(false, "all", since)).await {
            Ok(answer) => answer,
            // Removed: the log went with it.
            Err(EngineError::NotFound { .. } | EngineError::Conflict { .. }) => return Ok(NOTHING),
            Err(error) => return Err(error.into()),
        };
        self.read(answer, true).await
    }

    /// Passes on what is new in a tty's log of Podman's.
    async fn read_tty(&mut self, mut answer: Incoming, mut tty: Tty) -> Result<Reading, Stop> {
        let (mut count, mut at) = (0, 0);
        while let Some(frame) = answer.frame().await {
            let frame = frame.map_err(|error| error::broken(&self.engine.wire.endpoint, &self.what, &error))?;
            let data = frame.into_data().unwrap_or_default();
            let known = tty.length.saturating_sub(at).min(data.len());
            at += data.len();
            let mut pieces = Vec::new();
            tty.lines.push(&Part { stderr: false, bytes: data.slice(known..), last: false }, &mut pieces);
            self.pass_on(pieces, &mut None, &mut count).await?;
        }
        // A prompt is shown when nothing came after it for one reading. A shorter log was begun anew.
        let quiet = at <= tty.length;
        tty.length = at;
        let done = !self.query.follow || self.podman.as_ref().is_some_and(|podman| podman.ending || !podman.begun);
        if quiet || done {
            let mut pieces = Vec::new();
            tty.lines.flush(&mut pieces);
            self.pass_on(pieces, &mut None, &mut count).await?;
        }
        if let Some(podman) = &mut self.podman {
            podman.tty = Some(tty);
        }
        Ok(Reading { lines: count, whole: true })
    }

    /// Passes on one answer to its end.
    async fn read(&mut self, mut answer: Incoming, again: bool) -> Result<Reading, Stop> {
        if let Some(tty) = self.podman.as_mut().and_then(|podman| podman.tty.take()) {
            return self.read_tty(answer, tty).await;
        }
        let mut lines = Lines::new(self.tty);
        let mut frames = Frames::default();
        let mut buf = bytes::BytesMut::new();
        let mut before = again.then(|| self.seen.again());
        let mut count = 0;
        loop {
            let mut pieces = Vec::new();
            // The rest of a frame is on its way, or will be read again; Podman's readings end by themselves.
            let inside = !(self.tty || buf.is_empty() && frames.is_between());
            let quiet = if lines.is_open() && !inside && self.podman.is_none() { QUIET } else { Duration::MAX };
            let frame = tokio::select! {
                frame = tokio::time::timeout(quiet, answer.frame()) => frame,
                // A quiet log would keep its connection for as long as its container runs.
                () = self.to.closed() => return Err(Stop::Unread),
            };
            match frame {
                Err(_) => lines.flush(&mut pieces),
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if self.tty {
                        lines.push(&Part { stderr: false, bytes: data, last: false }, &mut pieces);
                    } else {
                        buf.extend_from_slice(&data);
                        while let Some(part) = frames.decode(&mut buf).map_err(|e| self.garbled(&e))? {
                            lines.push(&part, &mut pieces);
                        }
                    }
                }
                Ok(end) => {
                    if !(inside && self.query.follow) {
                        lines.flush(&mut pieces);
                    }
                    self.pass_on(pieces, &mut before, &mut count).await?;
                    if let Some(podman) = &mut self.podman {
                        podman.held = std::mem::take(&mut podman.holding);
                    }
                    // A follow that breaks off is no failure: the catch-up says whether the engine is still there.
                    let whole = !matches!(end, Some(Err(_))) && buf.is_empty() && frames.is_between();
                    return match end {
                        Some(Err(error)) if !self.query.follow => {
                            Err(error::broken(&self.engine.wire.endpoint, &self.what, &error).into())
                        }
                        _ if !whole && !self.query.follow => Err(self.garbled(&FrameError::Cut)),
                        _ => Ok(Reading { lines: count, whole }),
                    };
                }
            }
            self.pass_on(pieces, &mut before, &mut count).await?;
        }
    }

    async fn pass_on(
        &mut self,
        pieces: Vec<Piece>,
        before: &mut Option<super::seen::Again>,
        count: &mut usize,
    ) -> Result<(), Stop> {
        for piece in pieces {
            let fresh = match before {
                Some(before) => self.seen.fresh(before, piece),
                None => Some(piece),
            };
            let Some(piece) = fresh else { continue };
            let now = match &mut self.podman {
                Some(podman) => podman.keep(piece, &self.query),
                None => Some(piece),
            };
            let Some(piece) = now else { continue };
            *count += usize::from(self.give(piece).await?);
        }
        Ok(())
    }

    /// Gives out one piece; whether there was something in it.
    async fn give(&mut self, piece: Piece) -> Result<bool, Stop> {
        if self.query.follow {
            self.seen.note(&piece);
        }
        let Some(line) = piece.line() else { return Ok(false) };
        self.to.send(Ok(line)).await.map_err(|_| Stop::Unread)?;
        Ok(true)
    }

    fn garbled(&self, error: &FrameError) -> Stop {
        error::unreadable(&self.what, error).into()
    }
}
