//! The client's side of the wire: a connection that is kept from request to request, one more for each stream.
//!
//! Owns deadlines, limits and the decoding of answers; trusts no answer to be whole, small or well-formed. Knows nothing
//! of terminals or of the supervisor's insides. Called by the CLI and the dashboard.

mod http;
mod sse;
mod websocket;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use ::http::Method;
use futures_util::stream::{BoxStream, StreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::types::{
    BayEvent, ContainerDetail, ContainerRow, Done, DownRequest, ErrorDetail, ExecRequest, Figures, Finding, Frame,
    ImageRow, IsolationRequest, NetworkRequest, NetworkStatus, PoolRequest, PoolRow, PortRow, Reloaded, SendRequest,
    ServiceRow, ServiceVerb, SessionRequest, SessionRow, SpawnReply, SpawnRequest, StatsRow, Status, UpRequest, Verb,
    Why,
};
use crate::bay::isolation::Isolation;
use crate::bay::session::{SessionId, TermSize};
use http::Call;

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("no supervisor answers on {socket}: {why}")]
    NoSupervisor {
        /// The socket.
        socket: PathBuf,
        /// What kind of refusal it was.
        kind: std::io::ErrorKind,
        /// The system's message.
        why: String,
    },
    /// The supervisor says no.
    #[error("{}", .0.message)]
    Refused(ErrorDetail),
    /// The connection broke, or the answer can't be read.
    #[error("the supervisor's answer can't be read: {0}")]
    Broken(String),
    /// No answer in time.
    #[error("the supervisor did not answer within {}s", .0.as_secs())]
    Deadline(Duration),
}

/// A client of one supervisor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Patience,
    idle: http::Idle,
}

/// How long a client waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For what waits until it is done: spawn, the verbs, up, down. After so long without an answer the supervisor is asked
    /// whether it lives; as long as it does, it is at work and answers by itself.
    pub work: Duration,
    /// For everything else, and for the beginning of a stream.
    pub answer: Duration,
}

/// Nobody waits longer for anything: longer than the longest transfer of a repository.
const LONGEST: Duration = Duration::from_mins(90);

impl Default for Patience {
    fn default() -> Self {
        Self { work: Duration::from_mins(1), answer: Duration::from_secs(10) }
    }
}

/// A terminal that is being looked at: both halves of its WebSocket.
pub struct Terminal {
    /// What the server sends; ends with the connection.
    pub incoming: mpsc::Receiver<TerminalMessage>,
    /// What the client sends. Dropping it sends what is queued and then ends the connection; `incoming` ends once the
    /// server has taken it.
    pub outgoing: mpsc::Sender<TerminalMessage>,
}

/// A WebSocket message of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalMessage {
    /// The program's bytes.
    Bytes(bytes::Bytes),
    /// A control frame.
    Frame(Frame),
}

/// Which log lines are asked for.
#[derive(Clone, Debug, Default)]
pub struct LogsRequest {
    /// Go on with what comes.
    pub follow: bool,
    /// The last so many lines.
    pub tail: Option<u64>,
    /// Not before this time, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Only what comes after this, as [`LogLines::last`] gave it; then the last two say nothing.
    pub after: Option<String>,
}

pub use sse::LogLines;

type Answer<T> = Result<T, ClientError>;

/// What stands unescaped in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn segment(text: &str) -> String {
    // A dot segment would be folded away by whoever normalises the path; escaped, it stays a name (that nobody has).
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

fn container_path(id: &str, rest: &str) -> String {
    format!("/api/containers/{}{rest}", segment(id))
}

fn size_query(size: Option<TermSize>) -> String {
    size.map(|size| format!("?rows={}&cols={}", size.rows, size.cols)).unwrap_or_default()
}

impl Client {
    /// A client of the supervisor behind this socket. Connects nothing yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), patience: Patience::default(), idle: http::Idle::default() }
    }

    /// The same client with other deadlines.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        http::json(self, Call::new(Method::GET, path, self.patience.answer)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize, deadline: Duration) -> Answer<T> {
        http::json(self, Call::new(Method::POST, path, deadline).with_json(body)?).await
    }

    /// Posts what may take long.
    async fn order<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answer<T> {
        self.until_done(Box::pin(self.post(path, body, LONGEST))).await
    }

    /// Waits as [`Patience::work`] says: what takes long has limits of its own there, such as the time a service has to
    /// stop, and no other clock may run out before them.
    async fn until_done<T>(&self, mut work: Pin<Box<impl Future<Output = Answer<T>>>>) -> Answer<T> {
        loop {
            if let Ok(answer) = tokio::time::timeout(self.patience.work, &mut work).await {
                return answer;
            }
            tokio::select! {
                biased;
                answer = &mut work => return answer,
                // Of one that has ended meanwhile, the work itself tells.
                health = Box::pin(self.health()) => if let Err(ClientError::Deadline(_)) = health {
                    return Err(ClientError::Deadline(self.patience.work));
                },
            }
        }
    }

    /// `GET /health`: whether the supervisor answers at all.
    pub async fn health(&self) -> Answer<()> {
        self.get::<serde_json::Value>("/health").await.map(drop)
    }

    /// `POST /api/reload`: the supervisor reads its configuration again.
    pub async fn reload(&self) -> Answer<Reloaded> {
        self.post("/api/reload", &(), self.patience.answer).await
    }

    /// `POST /api/isolation`: the user's word for a level.
    pub async fn allow(&self, level: Isolation) -> Answer<Done> {
        self.post("/api/isolation", &IsolationRequest { level }, self.patience.answer).await
    }

    /// `POST /api/token`: another token takes the place of the present one.
    pub async fn rotate_token(&self) -> Answer<Done> {
        self.post("/api/token", &(), self.patience.answer).await
    }

    /// `GET /api/status`.
    pub async fn status(&self) -> Answer<Status> {
        self.get("/api/status").await
    }

    /// `GET /api/containers`.
    pub async fn containers(&self) -> Answer<Vec<ContainerRow>> {
        self.get("/api/containers").await
    }

    /// `GET /api/ports`: every port of the bay, and who has it.
    pub async fn ports(&self) -> Answer<Vec<PortRow>> {
        self.get("/api/ports").await
    }

    /// `GET /api/containers/{id}`; `id` is a name or an id.
    pub async fn container(&self, id: &str) -> Answer<ContainerDetail> {
        self.get(&container_path(id, "")).await
    }

    /// `POST /api/containers`.
    pub async fn spawn(&self, request: &SpawnRequest) -> Answer<SpawnReply> {
        self.order("/api/containers", request).await
    }

    /// `POST /api/containers/{id}/{verb}`, `DELETE` for remove. Waits until it is done.
    pub async fn act(&self, id: &str, verb: Verb) -> Answer<Done> {
        if matches!(verb, Verb::Remove | Verb::Discard) {
            let path = container_path(id, if verb == Verb::Discard { "?force=true" } else { "" });
            return self.until_done(Box::pin(http::json(self, Call::new(Method::DELETE, &path, LONGEST)))).await;
        }
        self.order(&container_path(id, &format!("/{}", verb.as_str())), &()).await
    }

    /// `GET /api/network`.
    pub async fn network(&self) -> Answer<NetworkStatus> {
        self.get("/api/network").await
    }

    /// `POST /api/network`.
    pub async fn answer_network(&self, request: &NetworkRequest) -> Answer<Done> {
        self.order("/api/network", request).await
    }

    /// `GET /api/pool`.
    pub async fn pool(&self) -> Answer<Vec<PoolRow>> {
        self.get("/api/pool").await
    }

    /// `POST /api/pool`.
    pub async fn order_pool(&self, request: &PoolRequest) -> Answer<Done> {
        self.order("/api/pool", request).await
    }

    /// `GET /api/containers/{id}/unsaved`: what would be lost with its clone, a line each.
    pub async fn unsaved(&self, id: &str) -> Answer<Vec<String>> {
        self.until_done(Box::pin(http::json(self, Call::new(Method::GET, &container_path(id, "/unsaved"), LONGEST))))
            .await
    }

    /// `GET /api/images`.
    pub async fn images(&self) -> Answer<Vec<ImageRow>> {
        self.get("/api/images").await
    }

    /// `POST /api/images`: makes the host image when it is missing.
    pub async fn build_host_image(&self) -> Answer<Done> {
        self.order("/api/images", &()).await
    }

    /// `DELETE /api/images`: removes those that no container uses.
    pub async fn prune_images(&self) -> Answer<Done> {
        self.until_done(Box::pin(http::json(self, Call::new(Method::DELETE, "/api/images", LONGEST)))).await
    }

    /// `POST /api/up`.
    pub async fn up(&self) -> Answer<Done> {
        self.order("/api/up", &()).await
    }

    /// `POST /api/up`, only what is missing: what runs is left alone.
    pub async fn up_gently(&self) -> Answer<Done> {
        self.order("/api/up", &UpRequest { gently: true }).await
    }

    /// `POST /api/down`.
    pub async fn down(&self, request: DownRequest) -> Answer<Done> {
        self.order("/api/down", &request).await
    }

    /// `GET /api/why/{name}`.
    pub async fn why(&self, name: &str) -> Answer<Why> {
        self.get(&format!("/api/why/{}", segment(name))).await
    }

    /// `GET /api/stats`: every running container.
    pub async fn stats(&self) -> Answer<Vec<StatsRow>> {
        self.get("/api/stats").await
    }

    /// What the machine and these containers use; a name must be one, commas divide them.
    pub async fn figures(&self, names: &[String]) -> Answer<Figures> {
        let names: Vec<String> = names.iter().map(|name| segment(name)).collect();
        self.get(&format!("/api/figures?of={}", names.join(","))).await
    }

    /// `GET /api/doctor`: what the supervisor can look at.
    pub async fn doctor(&self) -> Answer<Vec<Finding>> {
        self.get("/api/doctor").await
    }

    /// `GET /api/events`: a snapshot, then changes. Ends with the connection.
    pub async fn events(&self) -> Answer<BoxStream<'static, Answer<BayEvent>>> {
        let call = Call::new(Method::GET, "/api/events", self.patience.answer);
        let answer = http::open(self, call).await?;
        Ok(sse::messages(answer).filter_map(|message| std::future::ready(sse::bay_event(message))).boxed())
    }

    /// `GET /api/containers/{id}/logs`. Ends with the log; a connection that ends before it is [`ClientError::Broken`].
    pub async fn logs(&self, id: &str, request: &LogsRequest) -> Answer<LogLines> {
        self.log_lines(&container_path(id, &logs_query(request)), request).await
    }

    async fn log_lines(&self, path: &str, request: &LogsRequest) -> Answer<LogLines> {
        let mut call = Call::new(Method::GET, path, self.patience.answer);
        if let Some(after) = request.after.as_deref().and_then(|after| after.parse().ok()) {
            call.headers.insert("last-event-id", after);
        }
        Ok(LogLines::new(http::open(self, call).await?))
    }

    /// `POST /api/containers/{id}/send`.
    pub async fn send(&self, id: &str, request: &SendRequest) -> Answer<Done> {
        self.post(&container_path(id, "/send"), request, self.patience.answer).await
    }

    /// `GET /api/services`.
    pub async fn services(&self) -> Answer<Vec<ServiceRow>> {
        self.get("/api/services").await
    }

    /// `POST /api/services/{name}/{verb}`. Waits until it is done.
    pub async fn service(&self, name: &str, verb: ServiceVerb) -> Answer<Done> {
        let path = format!("/api/services/{}/{}", segment(name), verb.as_str());
        self.order(&path, &()).await
    }

    /// `GET /api/services/{name}/logs`, as [`Client::logs`].
    pub async fn service_logs(&self, name: &str, request: &LogsRequest) -> Answer<LogLines> {
        self.log_lines(&format!("/api/services/{}{}", segment(name), logs_query(request)), request).await
    }

    /// `GET /api/sessions`.
    pub async fn sessions(&self) -> Answer<Vec<SessionRow>> {
        self.get("/api/sessions").await
    }

    /// `POST /api/containers/{id}/sessions`: one more shell.
    pub async fn open_session(&self, id: &str, request: &SessionRequest) -> Answer<SessionRow> {
        self.post(&container_path(id, "/sessions"), request, self.patience.answer).await
    }

    /// `DELETE /api/sessions/{id}`: ends its process and forgets its screen.
    pub async fn close_session(&self, id: SessionId) -> Answer<Done> {
        let path = format!("/api/sessions/{id}");
        http::json(self, Call::new(Method::DELETE, &path, self.patience.answer)).await
    }

    /// `GET /api/containers/{id}/terminal` (WebSocket): the main tty. Resets and live bytes come in; bytes and
    /// [`Frame::Resize`] go out.
    pub async fn main_terminal(&self, id: &str) -> Answer<Terminal> {
        self.main_terminal_at(id, None).await
    }

    /// The same, and says the size of the terminal that looks, so that the first screen fits.
    pub async fn main_terminal_at(&self, id: &str, size: Option<TermSize>) -> Answer<Terminal> {
        websocket::open(self, &container_path(id, &format!("/terminal{}", size_query(size)))).await
    }

    /// The same for one who only draws: of a flood comes the screen as it is, some times a second, and not every byte.
    pub async fn main_screen(&self, id: &str, size: TermSize) -> Answer<Terminal> {
        let path = container_path(id, &format!("/terminal{}&frames=true", size_query(Some(size))));
        websocket::open(self, &path).await
    }

    /// `GET /api/sessions/{id}/terminal` (WebSocket).
    pub async fn terminal(&self, id: SessionId) -> Answer<Terminal> {
        self.terminal_at(id, None).await
    }

    /// The same, and says the size of the terminal that looks, so that the first screen fits.
    pub async fn terminal_at(&self, id: SessionId, size: Option<TermSize>) -> Answer<Terminal> {
        websocket::open(self, &format!("/api/sessions/{id}/terminal{}", size_query(size))).await
    }

    /// The same for one who only draws, as [`Client::main_screen`].
    pub async fn screen(&self, id: SessionId, size: TermSize) -> Answer<Terminal> {
        let path = format!("/api/sessions/{id}/terminal{}&frames=true", size_query(Some(size)));
        websocket::open(self, &path).await
    }

    /// `GET /api/containers/{id}/exec` (WebSocket).
    pub async fn exec(&self, id: &str, request: &ExecRequest) -> Answer<Terminal> {
        websocket::open_with(self, &container_path(id, "/exec"), Some(request)).await
    }
}

fn logs_query(request: &LogsRequest) -> String {
    let mut query = format!("/logs?follow={}", request.follow);
    // Writing to a String can't fail.
    if let Some(tail) = request.tail {
        let _ = write!(query, "&tail={tail}");
    }
    if let Some(since) = request.since {
        let _ = write!(query, "&since={since}");
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_leave_its_segment() {
        for (name, path) in [
            ("fox", "/api/containers/fox"),
            ("x?force=1&y=", "/api/containers/x%3Fforce%3D1%26y%3D"),
            ("name/top?ps_args=aux#", "/api/containers/name%2Ftop%3Fps_args%3Daux%23"),
            ("..", "/api/containers/%2E%2E"),
            ("a\r\nHost: b", "/api/containers/a%0D%0AHost%3A%20b"),
            ("\u{e9}", "/api/containers/%C3%A9"),
        ] {
            assert_eq!(container_path(name, ""), path);
        }
    }

    #[test]
    fn a_logs_request_is_a_query() {
        let request = LogsRequest { follow: true, tail: Some(5), since: Some(-3), after: None };
        assert_eq!(logs_query(&request), "/logs?follow=true&tail=5&since=-3");
        assert_eq!(logs_query(&LogsRequest::default()), "/logs?follow=false");
    }
}
