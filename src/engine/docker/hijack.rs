//! Connections that stop being HTTP: attach and exec.
//!
//! The head is written and read by hand, because an engine may take over the connection with `101` or with `200`, and
//! hyper's client hands out the stream for the first only. What came along with the head is part of the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use super::dial::{Stream, dial};
use super::endpoint::Endpoint;
use super::error;
use super::transport::complaint;
use crate::engine::EngineError;

/// A head longer than this is no head.
const HEAD_LIMIT: usize = 32 * 1024;
/// Of an error's body, so much is read.
const BODY_LIMIT: usize = 64 * 1024;

/// The two ways of a taken-over connection.
pub struct Hijacked {
    /// What the engine sends, from the first byte after the head.
    pub output: Output,
    /// What it receives. Shutting it down closes this way only; dropping it sends nothing.
    pub input: WriteHalf<Stream>,
}

/// The reading half, with what came together with the head in front.
pub struct Output {
    early: Bytes,
    rest: ReadHalf<Stream>,
}

impl AsyncRead for Output {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.rest).poll_read(cx, buf);
        }
        let count = buf.remaining().min(self.early.len());
        buf.put_slice(self.early.get(..count).unwrap_or_default());
        self.early.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// POSTs `body` to `path` and takes the connection over. Without a deadline.
///
/// # Errors
/// As any call; the engine's own refusals by their status.
pub async fn hijack(endpoint: &Endpoint, what: &str, path: &str, body: &[u8]) -> Result<Hijacked, EngineError> {
    let mut stream = dial(endpoint).await.map_err(|error| error::unreachable(endpoint, &error))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let lost = |error: io::Error| error::broken(endpoint, what, &error);
    stream.write_all(&[head.as_bytes(), body].concat()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut bytes = BytesMut::with_capacity(4096);
    let head = loop {
        if stream.read_buf(&mut bytes).await.map_err(lost)? == 0 {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        match parse_head(&bytes) {
            Ok(Some(head)) => break head,
            Ok(None) if bytes.len() < HEAD_LIMIT => {}
            Ok(None) => return Err(error::unreadable(what, &"its head has no end")),
            Err(error) => return Err(error::unreadable(what, &error)),
        }
    };
    bytes.advance(head.length);
    if matches!(head.status, 101 | 200) {
        let (rest, input) = tokio::io::split(stream);
        // A copy: the rest of the head's buffer would live as long as the stream.
        return Ok(Hijacked { output: Output { early: Bytes::copy_from_slice(&bytes), rest }, input });
    }
    let wanted = head.body.unwrap_or(BODY_LIMIT).min(BODY_LIMIT);
    while bytes.len() < wanted {
        // Without a length the body is as good as what comes by the deadline; its status is the news.
        match stream.read_buf(&mut bytes).await {
            Ok(count) if count > 0 => {}
            _ => break,
        }
        if head.body.is_none() && bytes.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    let text = if head.body.is_none() { dechunk(&bytes) } else { bytes.to_vec() };
    Err(error::of_status(what, head.status, &complaint(&text)))
}

struct Head {
    status: u16,
    length: usize,
    body: Option<usize>,
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let body = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = body.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
    Ok(Some(Head { status: response.code.unwrap_or(0), length, body }))
}

/// The text of a short chunked body; the bytes as they are when they are not chunked.
fn dechunk(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = bytes;
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) {
        let Ok(size) = usize::try_from(size) else { break };
        let Some(chunk) = rest.get(start..).and_then(|tail| tail.get(..size.min(tail.len()))) else { break };
        text.extend_from_slice(chunk);
        match rest.get(start.saturating_add(size).saturating_add(2)..) {
            Some(tail) if size > 0 => rest = tail,
            _ => break,
        }
    }
    if text.is_empty() { bytes.to_vec() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_chunks() {
        assert!(parse_head(b"HTTP/1.1 101 UPGR").unwrap().is_none());
        let head = parse_head(b"HTTP/1.1 409 Conflict\r\nContent-Length: 12\r\n\r\nxx").unwrap().unwrap();
        assert_eq!((head.status, head.body), (409, Some(12)));
        assert!(parse_head(b"SSH-2.0-OpenSSH\r\n").is_err());
        assert_eq!(dechunk(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(dechunk(b"plain text"), b"plain text");
        assert_eq!(dechunk(b"ff\r\nshort"), b"short");
    }
}
