//! HTTP/1.1 by hand: every byte can be held back, cut or wrong.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Shared;
use super::fault::Fault;
use super::routes::{self, route_key};
use super::streams::Session;

/// A request.
pub struct Request {
    pub method: String,
    /// Without the version of the API.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Bytes,
    pub upgrade: bool,
}

impl Request {
    pub fn param(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn flag(&self, key: &str) -> bool {
        matches!(self.param(key), Some("1" | "true" | "True"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// An answer.
pub enum Reply {
    /// With a whole body.
    Json(u16, Value),
    /// Without a body.
    Empty(u16),
    /// Chunks until the sender is gone.
    Stream(UnboundedReceiver<Bytes>),
    /// The connection becomes a stream of the program's bytes.
    Hijack(Session),
}

impl Reply {
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        Self::Json(status, serde_json::json!({"message": message.into()}))
    }
}

/// Serves one connection to its end.
pub async fn serve(mut stream: UnixStream, shared: Arc<Shared>) {
    let mut buf = BytesMut::new();
    while let Some(request) = read(&mut stream, &mut buf).await {
        shared.thawed().await;
        let key = route_key(&request.method, &request.path);
        let fault = {
            let mut store = shared.store();
            *store.calls.entry(key.clone()).or_default() += 1;
            store.faults.take(&key)
        };
        if before(&mut stream, fault.as_ref()).await {
            return;
        }
        let reply = match fault {
            Some(Fault::Status(status, message)) => Reply::error(status, message),
            _ => routes::handle(&shared, &request).await,
        };
        shared.thawed().await;
        if answer(&mut stream, buf.split().freeze(), reply, fault, &request, &shared).await {
            return;
        }
    }
}

/// Faults before anything is done; true when the connection is over.
async fn before(stream: &mut UnixStream, fault: Option<&Fault>) -> bool {
    match fault {
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Fault::HangBeforeHead) => std::future::pending().await,
        Some(Fault::Cut) => return true,
        Some(Fault::Garbage) => {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
            return true;
        }
        Some(Fault::Body(text)) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            let _ = stream.write_all(head.as_bytes()).await;
            return true;
        }
        _ => {}
    }
    false
}

/// Writes the answer; true when the connection is over.
async fn answer(
    stream: &mut UnixStream,
    early: Bytes,
    reply: Reply,
    fault: Option<Fault>,
    request: &Request,
    shared: &Arc<Shared>,
) -> bool {
    match fault {
        Some(Fault::LoseAnswer) => return true,
        Some(Fault::HoldAnswer) => std::future::pending().await,
        _ => {}
    }
    match reply {
        Reply::Json(status, value) => whole(stream, status, value.to_string().as_bytes(), fault).await,
        Reply::Empty(status) => whole(stream, status, b"", fault).await,
        Reply::Stream(chunks) => streamed(stream, chunks, fault, shared).await,
        Reply::Hijack(session) => {
            let head: &[u8] = if request.upgrade {
                b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\
                  Upgrade: tcp\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
            };
            if stream.write_all(head).await.is_err() {
                return true;
            }
            if matches!(fault, Some(Fault::HangAfterHead)) {
                std::future::pending::<()>().await;
            }
            session.run(stream, early, fault, shared).await;
            true
        }
    }
}

async fn whole(stream: &mut UnixStream, status: u16, body: &[u8], fault: Option<Fault>) -> bool {
    let head = format!(
        "HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // 204 and 304 have no body, and no length either.
    let head = if matches!(status, 204 | 304) { format!("HTTP/1.1 {status} X\r\n\r\n") } else { head };
    if stream.write_all(head.as_bytes()).await.is_err() {
        return true;
    }
    match fault {
        Some(Fault::HangAfterHead) => std::future::pending().await,
        Some(Fault::CutAfter(count) | Fault::EndAfter(count)) => {
            let _ = stream.write_all(body.get(..count).unwrap_or(body)).await;
            true
        }
        _ => stream.write_all(body).await.is_err(),
    }
}

/// True when the connection is over.
async fn streamed(
    stream: &mut UnixStream,
    mut chunks: UnboundedReceiver<Bytes>,
    fault: Option<Fault>,
    shared: &Shared,
) -> bool {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    if stream.write_all(head).await.is_err() {
        return true;
    }
    if matches!(fault, Some(Fault::HangAfterHead)) {
        std::future::pending::<()>().await;
    }
    let mut left = match fault {
        Some(Fault::CutAfter(count) | Fault::EndAfter(count)) => count,
        _ => usize::MAX,
    };
    let mut space = [0u8; 1];
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            // The reader has gone.
            gone = stream.read(&mut space) => match gone { Ok(count) if count > 0 => continue, _ => return true },
        };
        shared.thawed().await;
        let Some(mut chunk) = chunk else { break };
        chunk.truncate(left);
        left = left.saturating_sub(chunk.len());
        if !chunk.is_empty() {
            let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
            bytes.extend_from_slice(&chunk);
            bytes.extend_from_slice(b"\r\n");
            if stream.write_all(&bytes).await.is_err() {
                return true;
            }
        }
        if left == 0 {
            break;
        }
    }
    let cut = left == 0 && !matches!(fault, Some(Fault::EndAfter(_)));
    cut || stream.write_all(b"0\r\n\r\n").await.is_err()
}

async fn read(stream: &mut UnixStream, buf: &mut BytesMut) -> Option<Request> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(length) = parsed.parse(buf).ok()? {
            let header = |name: &str| {
                let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                found.map(|header| String::from_utf8_lossy(header.value).into_owned())
            };
            let size: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            let upgrade = header("upgrade").is_some();
            let (method, target) = (parsed.method?.to_owned(), parsed.path?.to_owned());
            buf.advance(length);
            while buf.len() < size {
                if stream.read_buf(buf).await.ok()? == 0 {
                    return None;
                }
            }
            let body = buf.split_to(size).freeze();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), plain(v)));
            return Some(Request { method, path: unversioned(path), query: query.collect(), body, upgrade });
        }
        if stream.read_buf(buf).await.ok()? == 0 {
            return None;
        }
    }
}

fn plain(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn unversioned(path: &str) -> String {
    let rest = path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/'));
    rest.map_or_else(|| path.to_owned(), |(_, rest)| format!("/{rest}"))
}
