//! One request at a time on a connection, one deadline each. The last connection is kept for the next request.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use super::{Answer, Client, ClientError};
use crate::api::types::{ErrorBody, ErrorDetail};
use crate::stream::Stream;

/// The largest JSON answer that is read; the largest honest one (the inspect of a container) is under 100 KiB.
const BODY_MAX: usize = 32 << 20;
/// Until a full backlog of the socket is tried again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

/// A request before it is sent.
pub(super) struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub deadline: Duration,
}

/// An answer whose body is still on its way. Dropping it closes the connection.
pub(super) struct OpenAnswer {
    pub response: Response<Incoming>,
    line: Line,
}

/// One connection. Dropping it closes it.
struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: AbortOnDropHandle<()>,
}

impl OpenAnswer {
    /// For a connection that is about to speak something else.
    pub fn into_upgrade(self) -> (Response<Incoming>, AbortOnDropHandle<()>) {
        (self.response, self.line.connection)
    }
}

/// The connection whose answer was read to its end: who asks again need not connect again.
#[derive(Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Option<Line>>>);

impl Idle {
    fn take(&self) -> Option<Line> {
        self.slot().take().filter(|line| !line.sender.is_closed())
    }

    fn keep(&self, line: Line) {
        *self.slot() = Some(line);
    }

    /// Held for a moment, never across an await.
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.slot().is_some() { "Idle(connected)" } else { "Idle" })
    }
}

impl<'a> Call<'a> {
    pub fn new(method: Method, path: &'a str, deadline: Duration) -> Self {
        Self { method, path, headers: HeaderMap::new(), body: Bytes::new(), deadline }
    }

    pub fn with_json(mut self, body: &impl Serialize) -> Answer<Self> {
        let json = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        self.body = json.into();
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self)
    }

    fn into_request(self) -> Answer<Request<Full<Bytes>>> {
        let mut request =
            Request::builder().method(self.method).uri(self.path).body(Full::new(self.body)).map_err(|error| {
                ClientError::Broken(format!("the path {:?} can't be asked for: {error}", self.path))
            })?;
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(request)
    }
}

/// Sends and reads the whole answer as JSON.
pub(super) async fn json<T: DeserializeOwned>(client: &Client, call: Call<'_>) -> Answer<T> {
    let deadline = call.deadline;
    let exchange = async {
        let (bytes, line) = body(send(client, call).await?).await?;
        client.idle.keep(line);
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Broken(error.to_string()))
    };
    within(deadline, exchange).await
}

/// Sends and waits for the headers of a good answer.
pub(super) async fn open(client: &Client, call: Call<'_>) -> Answer<OpenAnswer> {
    within(call.deadline, send(client, call)).await
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Answer<T>>) -> Answer<T> {
    tokio::time::timeout(deadline, work).await.unwrap_or(Err(ClientError::Deadline(deadline)))
}

async fn send(client: &Client, call: Call<'_>) -> Answer<OpenAnswer> {
    let mut request = call.into_request()?;
    if let Some(line) = client.idle.take() {
        match again(line, request).await? {
            Ok(answer) => return good(answer).await,
            Err(unsent) => request = unsent,
        }
    }
    let stream = connect(client.socket()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // What goes wrong here is told by the response or its body, which fail at the same moment.
        let _ = connection.with_upgrades().await;
    }));
    let response = sender.send_request(request).await.map_err(broken)?;
    good(OpenAnswer { response, line: Line { sender, connection } }).await
}

/// Asks on a connection that has answered before. The request comes back where the other side has closed it since: it was
/// not sent, or it only asks and may be sent twice.
async fn again(mut line: Line, request: Request<Full<Bytes>>) -> Answer<Result<OpenAnswer, Request<Full<Bytes>>>> {
    if line.sender.ready().await.is_err() {
        return Ok(Err(request));
    }
    let copy = (request.method() == Method::GET).then(|| request.clone());
    match line.sender.try_send_request(request).await {
        Ok(response) => Ok(Ok(OpenAnswer { response, line })),
        Err(mut error) => match error.take_message().or(copy) {
            Some(unsent) => Ok(Err(unsent)),
            None => Err(broken(error.into_error())),
        },
    }
}

/// The answer, unless it is a refusal.
async fn good(answer: OpenAnswer) -> Answer<OpenAnswer> {
    let status = answer.response.status();
    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer);
    }
    let (bytes, _) = body(answer).await?;
    Err(refusal(status, &bytes))
}

async fn connect(socket: &Path) -> Answer<Stream> {
    loop {
        match UnixStream::connect(socket).await.and_then(Stream::of) {
            Ok(stream) => return Ok(stream),
            // A full backlog of a unix socket is refused at once; the caller's deadline ends the waiting.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => tokio::time::sleep(BACKLOG_PAUSE).await,
            Err(error) => {
                let (socket, kind) = (socket.to_owned(), error.kind());
                return Err(ClientError::NoSupervisor { socket, kind, why: error.to_string() });
            }
        }
    }
}

async fn body(answer: OpenAnswer) -> Answer<(Bytes, Line)> {
    let OpenAnswer { response, line } = answer;
    let collected = Limited::new(response.into_body(), BODY_MAX).collect().await;
    collected.map(|body| (body.to_bytes(), line)).map_err(|error| ClientError::Broken(error.to_string()))
}

pub(super) fn broken(error: impl std::error::Error) -> ClientError {
    // hyper's own text is only the outermost of the story.
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    ClientError::Broken(text)
}

fn refusal(status: StatusCode, bytes: &[u8]) -> ClientError {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(bytes) {
        return ClientError::Refused(body.error);
    }
    let code = match status {
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::CONFLICT => "busy",
        status if status.is_client_error() => "invalid",
        _ => "internal",
    };
    let text: String = String::from_utf8_lossy(bytes).trim().chars().take(200).collect();
    let message = if text.is_empty() { format!("the supervisor answered {status}") } else { text };
    ClientError::Refused(ErrorDetail { code: code.to_owned(), message, ..ErrorDetail::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_the_agreed_body_still_has_a_code_and_words() {
        let refused = |status, bytes: &[u8]| match refusal(status, bytes) {
            ClientError::Refused(detail) => (detail.code, detail.message),
            other => panic!("{other:?}"),
        };
        let of = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        assert_eq!(refused(StatusCode::NOT_FOUND, b""), of("not-found", "the supervisor answered 404 Not Found"));
        assert_eq!(refused(StatusCode::BAD_GATEWAY, b"<html>"), of("internal", "<html>"));
        let body = br#"{"error":{"code":"busy","message":"wait"}}"#;
        assert_eq!(refused(StatusCode::CONFLICT, body), of("busy", "wait"));
    }
}
