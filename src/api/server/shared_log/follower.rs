//! Somebody who follows a log.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::super::App;
use super::super::line_id::{LineId, Numbering};
use super::super::lines::{LineEvent, TOGETHER, entry, write_event};
use super::super::streams::LogsQuery;
use super::{Entry, Mark, Told};
use crate::api::server::ApiError;
use crate::bay::container::ContainerId;
use crate::engine::{EngineError, LogLine, LogQuery, LogStream, SharedEngine};

/// Lines that are there already, many at a time.
type Reading = BoxStream<'static, Vec<Result<LogLine, EngineError>>>;

/// One who follows.
pub struct Follower {
    app: App,
    engine: SharedEngine,
    id: ContainerId,
    told: Receiver<Arc<Told>>,
    /// What it reads by itself, before it goes on with what all are told.
    reading: Option<Reading>,
    numbering: Numbering,
    /// The newest line that it has.
    had: Option<Mark>,
    /// It has had a piece since it last read by itself: the next one follows that, also where a clock was set back.
    joined: bool,
    /// What it reads is only to know where the end is.
    silent: bool,
    over: bool,
    /// Keeps the hub.
    _hub: Entry,
}

impl Follower {
    /// Begins to follow. `None`: this log has just ended, and is read as one that goes no further.
    ///
    /// # Errors
    /// The engine's, or what is wrong with the query.
    pub async fn begin(
        app: &App,
        (engine, id): (&SharedEngine, &ContainerId),
        query: &LogsQuery,
    ) -> Result<Option<Self>, ApiError> {
        let since = query.not_before()?;
        let _turn = app.opening.acquire().await;
        let hub = app.shared_logs.of(engine, id).await?;
        // First this, then what is there already: between the two nothing is missed.
        let Some(told) = hub.get().and_then(super::Hub::subscribe) else { return Ok(None) };
        let silent = query.tail == Some(0);
        let tail = if silent { Some(1) } else { query.tail };
        let lines = engine.logs(id, &LogQuery { follow: false, tail, since }).await?;
        let numbering = query.numbering();
        let had = query.had.or_else(|| since.map(LineId::before)).map(|id| (id, usize::MAX));
        let (app, engine, id) = (app.clone(), engine.clone(), id.clone());
        let reading = Some(together(lines));
        Ok(Some(Self { app, engine, id, told, reading, numbering, had, joined: false, silent, over: false, _hub: hub }))
    }

    /// The next events; `None`: there are no more.
    pub async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            let events = match &mut self.reading {
                Some(reading) => {
                    if let Some(lines) = reading.next().await {
                        self.read(&lines)
                    } else {
                        (self.reading, self.silent) = (None, false);
                        None
                    }
                }
                None => self.hear().await,
            };
            if events.is_some() {
                return events;
            }
        }
        None
    }

    fn read(&mut self, lines: &[Result<LogLine, EngineError>]) -> Option<Bytes> {
        let mut events = BytesMut::new();
        for line in lines {
            match line {
                Ok(line) => {
                    let Ok(id) = self.numbering.next(line.at) else { continue };
                    self.had = id.map(|id| (id, line.bytes.len())).or(self.had);
                    if !self.silent {
                        write_event(&mut events, &LineEvent::Line(entry(line), id));
                    }
                }
                Err(error) => {
                    self.end(&mut events, Some(error.to_string()));
                    break;
                }
            }
        }
        (!events.is_empty()).then(|| events.freeze())
    }

    async fn hear(&mut self) -> Option<Bytes> {
        let mut events = BytesMut::new();
        match self.told.recv().await {
            Ok(told) => match &*told {
                Told::Piece(piece) => {
                    let (bytes, last) = piece.after(self.had.filter(|_| !self.joined))?;
                    (self.had, self.joined) = (Some(last), true);
                    return Some(bytes);
                }
                Told::Failed(why) => self.end(&mut events, Some(why.clone())),
                Told::End => self.end(&mut events, None),
            },
            Err(RecvError::Closed) => self.end(&mut events, None),
            // It was too slow for the others: what it has missed is in the log.
            Err(RecvError::Lagged(_)) => match read_again((&self.app, &self.engine, &self.id), self.had).await {
                Ok(lines) => {
                    self.numbering = Numbering::after(self.had.map(|(id, _)| id));
                    (self.reading, self.joined) = (Some(together(lines)), false);
                }
                Err(error) => self.end(&mut events, Some(error.to_string())),
            },
        }
        (!events.is_empty()).then(|| events.freeze())
    }

    fn end(&mut self, events: &mut BytesMut, why: Option<String>) {
        if let Some(why) = why {
            write_event(events, &LineEvent::Failed(why));
        }
        write_event(events, &LineEvent::End);
        self.over = true;
    }
}

async fn read_again(
    (app, engine, id): (&App, &SharedEngine, &ContainerId),
    had: Option<Mark>,
) -> Result<LogStream, EngineError> {
    let _turn = app.opening.acquire().await;
    let since = had.map(|(id, _)| id.at());
    engine.logs(id, &LogQuery { follow: false, tail: None, since }).await
}

fn together(lines: LogStream) -> Reading {
    lines.ready_chunks(TOGETHER).boxed()
}
