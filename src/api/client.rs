//! The client's side of the wire: one short connection a request, one long one a stream.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use super::types::{
    BayEvent, ContainerDetail, ContainerRow, Done, DownRequest, ErrorDetail, ExecRequest, Finding, Frame, LogEntry,
    SendRequest, SessionRequest, SessionRow, SpawnReply, SpawnRequest, StatsRow, Status, Verb, Why,
};
use crate::bay::session::SessionId;

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("no supervisor answers on {socket}: {why}")]
    NoSupervisor {
        /// The socket.
        socket: PathBuf,
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
}

/// A terminal that is being looked at: both halves of its WebSocket.
pub struct Terminal {
    /// What the server sends; ends with the connection.
    pub incoming: mpsc::Receiver<TerminalMessage>,
    /// What the client sends.
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
}

type Answer<T> = Result<T, ClientError>;

#[expect(clippy::unused_async, clippy::todo, reason = "contract first")]
impl Client {
    /// A client of the supervisor behind this socket. Connects nothing yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /api/status`.
    pub async fn status(&self) -> Answer<Status> {
        todo!()
    }

    /// `GET /api/containers`.
    pub async fn containers(&self) -> Answer<Vec<ContainerRow>> {
        todo!()
    }

    /// `GET /api/containers/{id}`; `id` is a name or an id.
    pub async fn container(&self, _id: &str) -> Answer<ContainerDetail> {
        todo!()
    }

    /// `POST /api/containers`.
    pub async fn spawn(&self, _request: &SpawnRequest) -> Answer<SpawnReply> {
        todo!()
    }

    /// `POST /api/containers/{id}/{verb}`, `DELETE` for remove. Waits until it is done.
    pub async fn act(&self, _id: &str, _verb: Verb) -> Answer<Done> {
        todo!()
    }

    /// `POST /api/up`.
    pub async fn up(&self) -> Answer<Done> {
        todo!()
    }

    /// `POST /api/down`.
    pub async fn down(&self, _request: DownRequest) -> Answer<Done> {
        todo!()
    }

    /// `GET /api/why/{name}`.
    pub async fn why(&self, _name: &str) -> Answer<Why> {
        todo!()
    }

    /// `GET /api/stats`: every running container.
    pub async fn stats(&self) -> Answer<Vec<StatsRow>> {
        todo!()
    }

    /// `GET /api/doctor`: what the supervisor can look at.
    pub async fn doctor(&self) -> Answer<Vec<Finding>> {
        todo!()
    }

    /// `GET /api/events`: a snapshot, then changes. Ends with the connection.
    pub async fn events(&self) -> Answer<BoxStream<'static, Answer<BayEvent>>> {
        todo!()
    }

    /// `GET /api/containers/{id}/logs`.
    pub async fn logs(&self, _id: &str, _request: &LogsRequest) -> Answer<BoxStream<'static, Answer<LogEntry>>> {
        todo!()
    }

    /// `POST /api/containers/{id}/send`.
    pub async fn send(&self, _id: &str, _request: &SendRequest) -> Answer<Done> {
        todo!()
    }

    /// `GET /api/sessions`.
    pub async fn sessions(&self) -> Answer<Vec<SessionRow>> {
        todo!()
    }

    /// `POST /api/containers/{id}/sessions`: one more shell.
    pub async fn open_session(&self, _id: &str, _request: &SessionRequest) -> Answer<SessionRow> {
        todo!()
    }

    /// `DELETE /api/sessions/{id}`: ends its process and forgets its screen.
    pub async fn close_session(&self, _id: SessionId) -> Answer<Done> {
        todo!()
    }

    /// `GET /api/containers/{id}/terminal` (WebSocket): the main tty. Resets and live bytes come in; bytes and
    /// [`Frame::Resize`] go out.
    pub async fn main_terminal(&self, _id: &str) -> Answer<Terminal> {
        todo!()
    }

    /// `GET /api/sessions/{id}/terminal` (WebSocket).
    pub async fn terminal(&self, _id: SessionId) -> Answer<Terminal> {
        todo!()
    }

    /// `GET /api/containers/{id}/exec` (WebSocket).
    pub async fn exec(&self, _id: &str, _request: &ExecRequest) -> Answer<Terminal> {
        todo!()
    }
}
