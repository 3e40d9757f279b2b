//! Server-sent events: the stream of lines, and what podbay's two streams say in it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use http_body_util::BodyExt as _;

use super::http::{OpenAnswer, broken};
use super::{Answer, ClientError};
use crate::api::types::{BayEvent, LogEntry};

/// The longest line, and the largest event, that is taken: a line of a log has up to 16 MiB, and JSON may write each byte
/// of it as six.
const EVENT_MAX: usize = if cfg!(test) { 8 << 20 } else { 104 << 20 };

/// One event as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// `event:`, empty for the default.
    pub event: String,
    /// `data:` lines, joined by newlines.
    pub data: String,
    /// `id:`, empty where there is none.
    pub id: String,
}

/// Takes bytes in any portions, gives whole events.
#[derive(Debug, Default)]
struct Parser {
    buffer: BytesMut,
    /// How far `buffer` was searched for a newline: without it, a long line that comes in small portions costs its square.
    searched: usize,
    message: Message,
    has_data: bool,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Answer<Option<Message>> {
        while let Some(line) = self.line()? {
            if let Some(message) = self.take_line(&line)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Answer<Option<Bytes>> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', unsearched) else {
            self.searched = self.buffer.len();
            return if self.searched > EVENT_MAX { Err(too_large()) } else { Ok(None) };
        };
        let mut line = self.buffer.split_to(self.searched + at).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    fn take_line(&mut self, line: &[u8]) -> Answer<Option<Message>> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            let whole = std::mem::take(&mut self.has_data) || !message.event.is_empty();
            return Ok(whole.then_some(message));
        }
        let text = String::from_utf8_lossy(line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "id" => value.clone_into(&mut self.message.id),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.has_data = true;
                self.message.data.push_str(value);
                if self.message.data.len() > EVENT_MAX {
                    return Err(too_large());
                }
            }
            // Comments (an empty field: the server's keep-alive), `retry`, and what the standard may yet invent.
            _ => {}
        }
        Ok(None)
    }
}

fn too_large() -> ClientError {
    ClientError::Broken(format!("an event of the stream is larger than {} MiB", EVENT_MAX >> 20))
}

struct Reading {
    answer: OpenAnswer,
    parser: Parser,
    over: bool,
}

/// The events of an answer. A connection that ends inside an event is an error; one that ends between two is the end.
pub(super) fn messages(answer: OpenAnswer) -> impl Stream<Item = Answer<Message>> + Send {
    let reading = Reading { answer, parser: Parser::default(), over: false };
    stream::unfold(reading, |mut reading| async move {
        if reading.over {
            return None;
        }
        let next = next_message(&mut reading).await.transpose()?;
        reading.over = next.is_err();
        Some((next, reading))
    })
}

async fn next_message(reading: &mut Reading) -> Answer<Option<Message>> {
    loop {
        if let Some(message) = reading.parser.next()? {
            return Ok(Some(message));
        }
        match reading.answer.response.body_mut().frame().await {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame.map_err(broken)?.into_data() {
                    reading.parser.push(&data);
                }
            }
        }
    }
}

fn decode<T: serde::de::DeserializeOwned>(message: &Message) -> Answer<T> {
    serde_json::from_str(&message.data)
        .map_err(|error| ClientError::Broken(format!("event {:?}: {error}", message.event)))
}

/// What a message of `/api/events` says; `None` for a kind that this version does not know.
pub(super) fn bay_event(message: Answer<Message>) -> Option<Answer<BayEvent>> {
    match message {
        Err(error) => Some(Err(error)),
        Ok(message) if message.event == "snapshot" => Some(decode(&message).map(BayEvent::Snapshot)),
        Ok(message) if message.event == "change" => Some(decode(&message).map(BayEvent::Change)),
        Ok(_) => None,
    }
}

/// The entries of a log, up to its `end` event. What ends without one is broken: the log may have more.
pub struct LogLines {
    source: Option<BoxStream<'static, Answer<Message>>>,
    last: Option<String>,
}

impl LogLines {
    pub(super) fn new(answer: OpenAnswer) -> Self {
        Self { source: Some(messages(answer).boxed()), last: None }
    }

    /// Where the newest entry stands, for [`super::LogsRequest::after`]; `None`: of none is that known.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

impl Stream for LogLines {
    type Item = Answer<LogEntry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        let next = ready!(source.poll_next_unpin(context));
        let entry = match next {
            None => Err(ClientError::Broken("the log broke off before its end".to_owned())),
            Some(Err(error)) => Err(error),
            Some(Ok(message)) if message.event == "end" => {
                self.source = None;
                return Poll::Ready(None);
            }
            Some(Ok(mut message)) => {
                if !message.id.is_empty() {
                    self.last = Some(std::mem::take(&mut message.id));
                }
                return Poll::Ready(Some(log_entry(&message)));
            }
        };
        self.source = None;
        Poll::Ready(Some(entry))
    }
}

fn log_entry(message: &Message) -> Answer<LogEntry> {
    match message.event.as_str() {
        // What is missing is said where it is missing.
        "missed" => decode(message).map(|missed: Missed| LogEntry {
            line: format!(
                "[podbay: {} lines are missing here: they came too fast, and the engine's log has lost them]",
                missed.lines
            ),
            timestamp: None,
            stderr: true,
            raw: None,
        }),
        "failed" => Err(ClientError::Broken(message.data.clone())),
        _ => decode(message),
    }
}

/// What an event `missed` says.
#[derive(serde::Deserialize)]
struct Missed {
    lines: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nevent: snapshot\nid: 7\ndata: {\"a\":\ndata:  1}\n\n:\n\nretry: 5\n\ndata\n\ndata: \u{e9}\r\n\r\nevent: end\n\ndata: cut";

    fn message(event: &str, data: &str) -> Message {
        Message { event: event.to_owned(), data: data.to_owned(), id: String::new() }
    }

    #[test]
    fn events_are_whole_whatever_the_portions() {
        let expected = [
            Message { id: "7".to_owned(), ..message("snapshot", "{\"a\":\n 1}") },
            message("", ""),
            message("", "\u{e9}"),
            message("end", ""),
        ];
        for portion in 1..STREAM.len() {
            let mut parser = Parser::default();
            let mut got = Vec::new();
            for bytes in STREAM.as_bytes().chunks(portion) {
                parser.push(bytes);
                while let Some(message) = parser.next().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, expected, "portions of {portion}");
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_refused() {
        let mut parser = Parser::default();
        let portion = vec![b'x'; 1 << 20];
        let refused = (0..10).any(|_| {
            parser.push(&portion);
            parser.next().is_err()
        });
        assert!(refused);
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1 << 20));
        let refused = (0..10).any(|_| {
            parser.push(line.as_bytes());
            parser.next().is_err()
        });
        assert!(refused);
    }

    #[test]
    fn unknown_events_are_passed_over_and_garbage_is_said() {
        assert!(bay_event(Ok(message("news", "{}"))).is_none());
        let error = bay_event(Ok(message("change", "{"))).unwrap().unwrap_err();
        assert!(error.to_string().contains("event \"change\""), "{error}");
    }
}
