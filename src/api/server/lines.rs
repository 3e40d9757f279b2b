//! Lines of a log as server-sent events, many in one piece: a million lines one by one are a million writes, and as many
//! reads on the other side.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::line_id::LineId;
use crate::api::types::LogEntry;
use crate::engine::LogLine;

/// Lines that go out in one piece.
pub const TOGETHER: usize = 512;
/// A comment is sent when nothing else was for so long, so that nobody between takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One event of a log.
#[derive(Clone, Debug)]
pub enum LineEvent {
    /// A line, and where it stands.
    Line(LogEntry, Option<LineId>),
    /// So many lines should stand here: the engine's log does not have them any more, and they came too fast.
    Missed(u64),
    /// It broke off, in words.
    Failed(String),
    /// The last line was said.
    End,
}

/// The answer that an open stream of events is.
pub struct Lines(Body);

impl Lines {
    pub fn new(events: impl Stream<Item = LineEvent> + Send + 'static) -> Self {
        Self::written(events.ready_chunks(TOGETHER).map(|together| {
            let mut out = BytesMut::with_capacity(together.len() * 96);
            for event in &together {
                write_event(&mut out, event);
            }
            out.freeze()
        }))
    }

    /// Of events that are written already.
    pub fn written(events: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        let pieces = stream::unfold(events.boxed(), |mut events| async move {
            let piece = match tokio::time::timeout(KEEP_ALIVE, events.next()).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return None,
                Err(_) => Bytes::from_static(b":\n\n"),
            };
            Some((Ok::<_, Infallible>(piece), events))
        });
        Self(Body::from_stream(pieces))
    }
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")], self.0).into_response()
    }
}

/// One event, as it goes over the wire.
pub fn write_event(out: &mut BytesMut, event: &LineEvent) {
    match event {
        LineEvent::Line(entry, id) => {
            if let Some(id) = id {
                // Writing to memory can't fail.
                let _ = writeln!(out, "id: {id}");
            }
            out.extend_from_slice(b"data: ");
            // JSON has no newline of its own. Text and numbers can always be written.
            let _ = serde_json::to_writer(out.writer(), entry);
        }
        LineEvent::Missed(lines) => {
            let _ = write!(out, "event: missed\ndata: {{\"lines\":{lines}}}");
        }
        LineEvent::Failed(why) => {
            out.extend_from_slice(b"event: failed\ndata: ");
            out.extend_from_slice(why.replace(['\r', '\n'], " ").as_bytes());
        }
        LineEvent::End => out.extend_from_slice(b"event: end\ndata: {}"),
    }
    out.extend_from_slice(b"\n\n");
}

/// A line of the engine's as a client reads it.
pub fn entry(line: &LogLine) -> LogEntry {
    LogEntry::new(&line.bytes, line.at.map(jiff::Timestamp::as_millisecond), line.stderr)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row S06: a line can't forge another one.
    #[test]
    fn no_text_of_a_line_is_an_event_of_its_own() {
        let entry = LogEntry { line: "a\n\nevent: end\r\n".to_owned(), timestamp: Some(7), stderr: false, raw: None };
        let failed = LineEvent::Failed("x\n\ny".to_owned());
        let events = [LineEvent::Line(entry, None), LineEvent::Missed(3), failed, LineEvent::End];
        let mut written = BytesMut::new();
        for event in &events {
            write_event(&mut written, event);
        }
        let text = String::from_utf8(written.to_vec()).unwrap();
        let wanted = "data: {\"line\":\"a\\n\\nevent: end\\r\\n\",\"timestamp\":7}\n\nevent: missed\ndata: {\"lines\":3}\n\nevent: failed\ndata: x  y\n\n\
                      event: end\ndata: {}\n\n";
        assert_eq!(text, wanted);
    }
}
