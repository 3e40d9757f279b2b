//! A house of its own for each test: directories, and a fake supervisor that answers what the test lays down.

use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use podbay::api::types::{Frame, Snapshot, Status};
use podbay::config::env::Env;
use podbay::config::paths::Paths;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use crate::terminal::hostile;

/// No verb of these tests takes longer.
pub const LONG: Duration = Duration::from_secs(20);

/// Directories, a fake supervisor, and what it was asked.
pub struct House {
    pub dir: tempfile::TempDir,
    pub seen: Seen,
    server: Option<tokio::task::JoinHandle<()>>,
}

/// What the fake was asked, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until something that was asked fulfils the condition.
    pub fn wait(&self, what: &str, found: impl Fn(&str) -> bool) {
        let deadline = std::time::Instant::now() + LONG;
        while !self.all().iter().any(|request| found(request)) {
            assert!(std::time::Instant::now() < deadline, "never asked: {what}; was asked {:#?}", self.all());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl House {
    /// Nobody at home.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        Self { dir, seen: Seen::default(), server: None }
    }

    /// With a supervisor that answers as [`router`] does.
    pub fn open() -> Self {
        let mut house = Self::empty();
        let router = router(house.seen.clone());
        house.serve(router);
        house
    }

    pub fn serve(&mut self, router: Router) {
        let socket = self.paths().socket;
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        self.server = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    pub fn vars(&self) -> Vec<(String, String)> {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        [
            ("HOME", at("")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("XDG_STATE_HOME", at("state")),
            ("XDG_CONFIG_HOME", at("config")),
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("TERM", "xterm-256color".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }

    pub fn paths(&self) -> Paths {
        let env = Env {
            vars: self.vars().into_iter().collect(),
            cwd: self.dir.path().to_owned(),
            home: self.dir.path().to_owned(),
            ..Env::of_process()
        };
        Paths::of(&"podbay".parse().unwrap(), &env)
    }

    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[], "").await
    }

    /// Runs podbay with these arguments, variables and stdin.
    pub async fn run_with(&self, args: &[&str], vars: &[(&str, &str)], stdin: &str) -> Ran {
        let file = self.dir.path().join("stdin");
        std::fs::write(&file, stdin).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_podbay"));
        command.args(args).env_clear().envs(self.vars()).envs(vars.iter().copied()).current_dir(self.dir.path());
        command.stdin(std::fs::File::open(file).unwrap()).kill_on_drop(true);
        let output = tokio::time::timeout(LONG, command.output()).await;
        Ran::of(&output.unwrap_or_else(|_| panic!("podbay {args:?} does not end")).unwrap())
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub fn rows() -> Value {
    let row = |name: &str, role: &str, state: &str, reason: Option<&str>| {
        let id = match name {
            "fox" => "a111",
            "foxglove" => "b222",
            "owl" => "c333",
            _ => "d444",
        };
        json!({"id": id, "name": name, "role": role, "template": "default", "state": state,
               "image": "host", "network": "shared", "project": null, "branch": null, "ports": [], "health": null,
               "restarts": 0, "created_at": "2026-01-01T00:00:00Z", "started_at": null, "attention": null,
               "reason": reason})
    };
    json!([
        row("parent", "parent", "running", None),
        row("fox", "worker", "running", None),
        row("foxglove", "worker", "exited", Some("exited with code 1: \u{1b}]0;owned\u{7}\u{1b}[2J")),
        row("owl", "worker", "cut-off", Some("the parent restarted after this worker joined it")),
    ])
}

pub fn status() -> Status {
    serde_json::from_value(json!({
        "bay": "podbay", "version": "0.1.0", "pid": 1,
        "engine": {"kind": "docker", "endpoint": "unix:///run/docker.sock", "version": "20.10", "state": "up",
                   "reason": null, "next_try_at": null, "limits": []},
        "parent": null, "workers": {"running": 1}, "pool": [], "services": [],
        "disk": {"total": 10, "free": 5}, "capacity": {"cpus": 2, "memory": 1024, "workers": null},
        "uptime_s": 5, "templates": ["default"], "troubles": []
    }))
    .unwrap()
}

fn snapshot() -> Snapshot {
    serde_json::from_value(json!({
        "seq": 2, "status": status(), "containers": rows(), "sessions": [],
        "history": [{"seq": 1, "at": "2026-01-01T00:00:00Z", "name": null, "text": "started"},
                    {"seq": 2, "at": "2026-01-01T00:00:01Z", "name": "fox", "text": "made \u{1b}[31mred"}]
    }))
    .unwrap()
}

pub fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"error": {"code": code, "message": message, "hint": "a hint"}});
    (status, axum::Json(body)).into_response()
}

pub fn sse(body: String) -> Response {
    ([("content-type", "text/event-stream")], body).into_response()
}

/// What the fake says.
pub fn router(seen: Seen) -> Router {
    let events =
        || async { sse(format!("event: snapshot\ndata: {}\n\n", serde_json::to_string(&snapshot()).unwrap())) };
    Router::new()
        // Asked by each verb, which wants to know whether somebody lives behind the socket.
        .route("/health", get(|| async { axum::Json(serde_json::json!({})) }))
        .route("/api/services", get(|| async { axum::Json(Vec::<Value>::new()) }))
        .route("/api/containers", get(|| async { axum::Json(rows()) }).post(spawn))
        .route("/api/status", get(|| async { axum::Json(status()) }))
        .route("/api/events", get(events))
        .route("/api/stats", get(stats))
        .route("/api/why/{name}", get(why))
        .route("/api/doctor", get(doctor))
        .route("/api/containers/{id}/unsaved", get(|| async { axum::Json(Vec::<String>::new()) }))
        .route("/api/containers/{id}/logs", get(logs))
        .route("/api/containers/{id}/terminal", get(terminal))
        .route("/api/containers/{id}/exec", get(exec))
        .fallback(any(done))
        .with_state(seen)
}

async fn done(State(seen): State<Seen>, method: Method, uri: Uri, body: Bytes) -> Response {
    seen.add(format!("{method} {uri} {}", String::from_utf8_lossy(&body)));
    if uri.path().contains("owl") {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "engine-away", "the engine does not answer");
    }
    axum::Json(json!({"text": "done", "notes": ["a note"]})).into_response()
}

async fn spawn(State(seen): State<Seen>, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    seen.add(format!("spawn {text}"));
    if text.contains("taken") {
        return refuse(StatusCode::CONFLICT, "name-taken", "fox is there already");
    }
    if text.contains("\"image\":\"bad\"") {
        return refuse(StatusCode::BAD_REQUEST, "invalid", "no such image");
    }
    axum::Json(json!({"id": "abc", "name": "elk", "notes": ["~/.gitconfig is missing"]})).into_response()
}

async fn stats() -> Response {
    axum::Json(json!([{"name": "fox", "cpu_percent": 12.5, "memory": 1024, "memory_limit": 2048, "pids": 3,
                       "network": null, "block": [0, 0]}]))
    .into_response()
}

async fn why(uri: Uri) -> Response {
    if uri.path().ends_with("nobody") {
        return refuse(StatusCode::NOT_FOUND, "not-found", "no such name: \"nobody\"");
    }
    axum::Json(json!({"name": "fox", "wanted": "running", "observed": "running", "reason": null, "waits_for": null,
                      "last_error": null, "attempts": 0, "next_try_at": null, "hint": null, "history": []}))
    .into_response()
}

async fn doctor() -> Response {
    axum::Json(json!([{"check": "engine", "verdict": "ok", "text": "docker 20.10"}])).into_response()
}

async fn logs(State(seen): State<Seen>, uri: Uri) -> Response {
    seen.add(format!("logs {uri}"));
    let entries = [
        json!({"line": "\u{1b}[31mone\u{1b}[0m \u{1b}]52;c;AAAA\u{7}\r", "timestamp": 1_000}),
        json!({"line": "two", "timestamp": null, "stderr": true}),
        json!({"line": "three \u{9b}2J\u{202e}", "timestamp": 3_500}),
    ];
    let lines = entries.map(|entry| format!("data: {entry}\n\n")).concat();
    let end = if uri.path().contains("owl") { "" } else { "event: end\ndata: {}\n\n" };
    sse(format!("{lines}{end}"))
}

async fn terminal(State(seen): State<Seen>, RawQuery(query): RawQuery, upgrade: WebSocketUpgrade) -> Response {
    seen.add(format!("terminal {}", query.unwrap_or_default()));
    upgrade.on_upgrade(move |socket| screen(socket, seen))
}

async fn frame(socket: &mut WebSocket, frame: &Frame) {
    let _ = socket.send(Message::text(serde_json::to_string(frame).unwrap())).await;
}

/// A program that echoes. `end!` ends it with code 7, `flood!` writes without end, `cut!` breaks the connection,
/// `hang!` takes and says nothing more.
async fn screen(mut socket: WebSocket, seen: Seen) {
    frame(&mut socket, &Frame::Reset { rows: 24, cols: 80 }).await;
    let _ = socket.send(Message::Binary(Bytes::from_static(b"\x1b[?1049h\x1b[?1002hREADY"))).await;
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(bytes) => {
                seen.add(format!("typed {:?}", String::from_utf8_lossy(&bytes)));
                match bytes.as_ref() {
                    b"end!" => {
                        let ended = Frame::Ended { reason: "exited with code 7".to_owned(), code: Some(7) };
                        frame(&mut socket, &ended).await;
                    }
                    b"cut!" => return,
                    b"hang!" => std::future::pending().await,
                    b"flood!" => while socket.send(Message::Binary(vec![b'x'; 4096].into())).await.is_ok() {},
                    _ => {
                        let _ = socket.send(Message::Binary(bytes)).await;
                    }
                }
            }
            Message::Text(text) => seen.add(format!("frame {text}")),
            _ => break,
        }
    }
    seen.add("terminal closed".to_owned());
}

async fn exec(State(seen): State<Seen>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| command(socket, seen))
}

/// Without a tty: its stdin comes back on stdout, a word on stderr, exit code 3. With one: echoes, `end!` ends it.
async fn command(mut socket: WebSocket, seen: Seen) {
    let Some(Ok(Message::Text(request))) = socket.recv().await else { return };
    seen.add(format!("exec {request}"));
    if !request.contains("\"tty\":null") {
        return screen(socket, seen).await;
    }
    let _ = socket.send(Message::Binary(Bytes::from_static(b"\x02to stderr\n"))).await;
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(bytes) => {
                let answer: Vec<u8> = [b"\x01", bytes.as_ref()].concat();
                let _ = socket.send(Message::Binary(answer.into())).await;
            }
            Message::Text(text) if text.contains("eof") => {
                let ended = Frame::Ended { reason: "exited with code 3".to_owned(), code: Some(3) };
                frame(&mut socket, &ended).await;
            }
            _ => return,
        }
    }
}

/// Whether a text has nothing but newlines that acts on a terminal, or hides.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c != '\n' && hostile::acts(c))
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
