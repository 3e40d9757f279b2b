//! The API's client against servers that answer well, badly, late and never.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, RawQuery};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::{any, get, post};
use futures_util::{StreamExt as _, stream};
use podbay::api::client::{Client, ClientError, LogsRequest, Patience, TerminalMessage};
use podbay::api::types::{BayEvent, DownRequest, ExecRequest, Frame, SendRequest, ServiceVerb, SpawnRequest, Verb};
use podbay::bay::session::TermSize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);

struct Server {
    dir: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    fn of(router: Router) -> Self {
        Self::with(|listener| async move { axum::serve(listener, router).await.unwrap() })
    }

    /// Writes these bytes to whoever connects, then holds or closes the connection.
    fn raw(bytes: &'static [u8], hold: bool) -> Self {
        Self::with(move |listener| async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(bytes).await;
                    if hold {
                        std::future::pending::<()>().await;
                    }
                });
            }
        })
    }

    fn with<F: Future<Output = ()> + Send + 'static>(serve: impl FnOnce(UnixListener) -> F) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let task = tokio::spawn(serve(listener));
        Self { dir, task }
    }

    fn client(&self) -> Client {
        Client::new(self.dir.path().join("s"))
    }

    fn hasty(&self) -> Client {
        let short = Duration::from_millis(200);
        self.client().with_patience(Patience { work: short, answer: short })
    }
}

fn sse(parts: Vec<&'static str>) -> axum::response::Response {
    let stream = stream::iter(parts.into_iter().map(Ok::<_, Infallible>));
    ([("content-type", "text/event-stream")], Body::from_stream(stream)).into_response()
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn verbs_are_routes_and_names_are_escaped() {
    let (seen, mut requests) = tokio::sync::mpsc::channel(8);
    let echo = move |method: Method, uri: axum::http::Uri, body: Bytes| async move {
        seen.send(format!("{method} {uri} {}", String::from_utf8_lossy(&body))).await.unwrap();
        axum::Json(json!({"text": "done", "notes": ["n"]}))
    };
    let server = Server::of(Router::new().fallback(any(echo)));
    let client = server.client();
    let done = client.act("x?force=1", Verb::Stop).await.unwrap();
    assert_eq!((done.text.as_str(), done.notes.len()), ("done", 1));
    client.act("fox", Verb::Remove).await.unwrap();
    client.send("fox", &SendRequest { text: "hi".to_owned(), enter: true }).await.unwrap();
    client.reload().await.unwrap();
    let mut got = Vec::new();
    while let Ok(request) = requests.try_recv() {
        got.push(request);
    }
    assert_eq!(
        got,
        [
            "POST /api/containers/x%3Fforce%3D1/stop null",
            "DELETE /api/containers/fox ",
            "POST /api/containers/fox/send {\"text\":\"hi\",\"enter\":true}",
            "POST /api/reload null",
        ]
    );
}

#[tokio::test]
async fn a_refusal_comes_with_code_message_and_hint() {
    let body = json!({"error": {"code": "not-found", "message": "no such worker", "hint": "podbay ls"}});
    let refuse = move || async move { (StatusCode::NOT_FOUND, axum::Json(body)) };
    let server = Server::of(Router::new().fallback(any(refuse)));
    let Err(ClientError::Refused(detail)) = server.client().container("x").await else { panic!("not refused") };
    assert_eq!((detail.code.as_str(), detail.hint.as_deref()), ("not-found", Some("podbay ls")));
    let Err(ClientError::Refused(detail)) = server.client().main_terminal("x").await else { panic!("not refused") };
    assert_eq!((detail.code.as_str(), detail.hint.as_deref()), ("not-found", Some("podbay ls")));
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_somebody_silent() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Client::new(dir.path().join("none")).containers().await.unwrap_err();
    assert!(matches!(&missing, ClientError::NoSupervisor { why, .. } if why.contains("No such file")), "{missing:?}");
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("stale")).unwrap());
    let stale = Client::new(dir.path().join("stale")).containers().await.unwrap_err();
    assert!(matches!(&stale, ClientError::NoSupervisor { why, .. } if why.contains("refused")), "{stale:?}");

    for server in [Server::raw(b"", true), Server::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[", true)] {
        let started = std::time::Instant::now();
        let silent = server.hasty().containers().await.unwrap_err();
        assert!(matches!(silent, ClientError::Deadline(_)), "{silent:?}");
        let silent = server.hasty().act("x", Verb::Stop).await.unwrap_err();
        assert!(matches!(silent, ClientError::Deadline(_)), "{silent:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    let silent = Server::raw(b"", true);
    assert!(matches!(silent.hasty().events().await.err(), Some(ClientError::Deadline(_))));
    assert!(matches!(silent.hasty().main_terminal("x").await.err(), Some(ClientError::Deadline(_))));
}

/// A server that closes each connection after so many answers; what it heard on which is told.
fn closing(answers: usize) -> (Server, tokio::sync::mpsc::Receiver<(usize, String)>) {
    let (heard, told) = tokio::sync::mpsc::channel(64);
    let server = Server::with(move |listener| async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let heard = heard.clone();
            tokio::spawn(async move {
                for _ in 0..answers {
                    let mut request = vec![0; 4096];
                    let Ok(read @ 1..) = stream.read(&mut request).await else { return };
                    let head = String::from_utf8_lossy(&request[..read]).lines().next().unwrap().to_owned();
                    heard.send((number, head)).await.unwrap();
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"text\":\"ok\"}").await.unwrap();
                }
            });
        }
    });
    (server, told)
}

#[tokio::test]
async fn requests_go_over_one_connection_while_it_lasts_and_none_is_sent_twice() {
    for answers in 1..4 {
        let (server, mut told) = closing(answers);
        let client = server.client();
        for number in 0..6 {
            timeout(LONG, client.act(&format!("w{number}"), Verb::Stop)).await.unwrap().unwrap();
            // The other side's end is on its way.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for number in 0..6 {
            let expected = (number / answers, format!("POST /api/containers/w{number}/stop HTTP/1.1"));
            assert_eq!(told.recv().await.unwrap(), expected, "{answers} answers a connection");
        }
        assert!(told.try_recv().is_err(), "{answers} answers a connection: one was sent twice");
    }
}

#[tokio::test]
async fn garbage_is_an_error_and_not_a_panic() {
    let garbage: [&'static [u8]; 7] = [
        b"",
        b"\0\xff\xfe",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{]}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ];
    for bytes in garbage {
        let server = Server::raw(bytes, false);
        let error = timeout(LONG, server.client().containers()).await.unwrap().unwrap_err();
        assert!(matches!(error, ClientError::Broken(_)), "{:?}: {error:?}", String::from_utf8_lossy(bytes));
        let terminal = timeout(LONG, server.client().main_terminal("x")).await.unwrap();
        assert!(matches!(terminal.err(), Some(ClientError::Broken(_))), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn events_are_a_snapshot_and_changes_with_comments_between() {
    let parts = vec![
        ": keep-alive\n\nevent: change\nid: 3\nda",
        "ta: {\"seq\":3,\"removed\":[\"fox\"]}\n\n",
        "event: unheard-of\ndata: {}\n\n: keep-alive\n\nevent: change\ndata: {\"seq\":4}\n\nevent: change\ndata: {\"se",
    ];
    let server = Server::of(Router::new().route("/api/events", get(|| async { sse(parts) })));
    let mut events = server.client().events().await.unwrap();
    let mut seqs = Vec::new();
    while let Some(event) = timeout(LONG, events.next()).await.unwrap() {
        match event.unwrap() {
            BayEvent::Change(change) => seqs.push((change.seq, change.removed.len())),
            BayEvent::Snapshot(_) => panic!("there was none"),
        }
    }
    assert_eq!(seqs, [(3, 1), (4, 0)]);
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_once_and_ends() {
    let cut = format!("{CHUNKED}40\r\nevent: change\ndata: {{\"seq\":1}}\n\n");
    for bytes in [cut.clone(), format!("{CHUNKED}1c\r\nevent: change\ndata: garbage\n\n\r\n0\r\n\r\n")] {
        let server = Server::raw(bytes.leak().as_bytes(), false);
        let events: Vec<_> = timeout(LONG, server.client().events().await.unwrap().collect()).await.unwrap();
        let errors = events.iter().filter(|event| matches!(event, Err(ClientError::Broken(_)))).count();
        assert_eq!(errors, 1, "{events:?}");
        assert!(events.last().is_some_and(Result::is_err), "{events:?}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let endless = || async {
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone())))
    };
    let server = Server::of(Router::new().fallback(get(endless)));
    let mut events = server.client().events().await.unwrap();
    let error = timeout(LONG, events.next()).await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("larger than 104 MiB"), "{error}");
    assert!(events.next().await.is_none());
    let error = timeout(LONG, server.client().containers()).await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn a_log_ends_with_its_end_and_not_with_its_connection() {
    let route = |RawQuery(query): RawQuery, Path(id): Path<String>| async move {
        let end = if id == "whole" { "event: end\ndata: {}\n\n" } else { "" };
        let line = if query.as_deref() == Some("follow=false&tail=2") { "asked" } else { "not asked" };
        let entry = json!({"line": line, "timestamp": 5, "stderr": true});
        ([("content-type", "text/event-stream")], format!("data: {entry}\n\n{end}"))
    };
    let server = Server::of(Router::new().route("/api/containers/{id}/logs", get(route)));
    let request = LogsRequest { tail: Some(2), ..LogsRequest::default() };
    let whole: Vec<_> = server.client().logs("whole", &request).await.unwrap().collect().await;
    assert_eq!(whole.len(), 1);
    let entry = whole[0].as_ref().unwrap();
    assert_eq!((entry.line.as_str(), entry.timestamp, entry.stderr), ("asked", Some(5), true));
    let cut: Vec<_> = server.client().logs("cut", &request).await.unwrap().collect().await;
    assert!(matches!(cut.as_slice(), [Ok(_), Err(ClientError::Broken(_))]), "{cut:?}");
}

#[tokio::test]
async fn a_terminal_carries_bytes_and_frames_both_ways() {
    let route = |RawQuery(query): RawQuery, upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            socket.send(Message::text(query.unwrap_or_default())).await.unwrap();
            socket.send(Message::text(r#"{"type":"reset","rows":24,"cols":80}"#)).await.unwrap();
            while let Some(Ok(message)) = socket.recv().await {
                match message {
                    Message::Binary(bytes) => socket.send(Message::Binary(bytes)).await.unwrap(),
                    Message::Text(text) => socket.send(Message::Binary(Bytes::from(text))).await.unwrap(),
                    _ => return,
                }
            }
        })
    };
    let server = Server::of(Router::new().route("/api/containers/{id}/terminal", get(route)));
    let size = TermSize { rows: 24, cols: 80 };
    let mut terminal = server.client().main_terminal_at("fox", Some(size)).await.unwrap();
    // The query's text is no frame and is passed over.
    let first = timeout(LONG, terminal.incoming.recv()).await.unwrap().unwrap();
    assert_eq!(first, TerminalMessage::Frame(Frame::Reset { rows: 24, cols: 80 }));
    let all: Vec<u8> = (0..=255).collect();
    terminal.outgoing.send(TerminalMessage::Bytes(all.clone().into())).await.unwrap();
    assert_eq!(terminal.incoming.recv().await.unwrap(), TerminalMessage::Bytes(all.into()));
    terminal.outgoing.send(TerminalMessage::Frame(Frame::Resize { rows: 3, cols: 4 })).await.unwrap();
    let frame = br#"{"type":"resize","rows":3,"cols":4}"#;
    assert_eq!(terminal.incoming.recv().await.unwrap(), TerminalMessage::Bytes(Bytes::from_static(frame)));
}

#[tokio::test]
async fn the_last_keys_before_a_detach_arrive() {
    let (seen, mut typed) = tokio::sync::mpsc::channel(8);
    let route = move |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            let mut bytes = Vec::new();
            while let Some(Ok(Message::Binary(more))) = socket.recv().await {
                bytes.extend_from_slice(&more);
            }
            seen.send(bytes).await.unwrap();
        })
    };
    let server = Server::of(Router::new().fallback(get(route)));
    let terminal = server.client().main_terminal("fox").await.unwrap();
    for byte in 0..60_u8 {
        terminal.outgoing.send(TerminalMessage::Bytes(vec![byte].into())).await.unwrap();
    }
    drop(terminal);
    let bytes = timeout(LONG, typed.recv()).await.unwrap().unwrap();
    assert_eq!(bytes, (0..60).collect::<Vec<u8>>());
}

#[tokio::test]
async fn a_slow_reader_holds_the_server_back_and_loses_nothing() {
    const MESSAGES: u32 = 4000;
    let (progress, sent) = tokio::sync::watch::channel(0);
    let route = move |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            for number in 0..MESSAGES {
                let mut bytes = number.to_be_bytes().to_vec();
                bytes.resize(4096, 0);
                socket.send(Message::Binary(bytes.into())).await.unwrap();
                progress.send_replace(number + 1);
            }
        })
    };
    let server = Server::of(Router::new().fallback(get(route)));
    let mut terminal = server.client().main_terminal("fox").await.unwrap();
    // The server stands still well before its end: nothing has moved for a while.
    let mut sent = sent;
    while timeout(Duration::from_millis(300), sent.changed()).await.is_ok() {}
    assert!(*sent.borrow() < MESSAGES, "all {MESSAGES} messages went out unread");
    for number in 0..MESSAGES {
        let message = timeout(LONG, terminal.incoming.recv()).await.unwrap();
        let Some(TerminalMessage::Bytes(bytes)) = message else { panic!("{message:?} at {number}") };
        assert_eq!(bytes[..4], number.to_be_bytes());
    }
}

#[tokio::test]
async fn exec_sends_its_request_first() {
    let route = |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(|mut socket| async move {
            let Some(Ok(Message::Text(first))) = socket.recv().await else { panic!("no request") };
            socket.send(Message::Binary(Bytes::from(first))).await.unwrap();
            socket.send(Message::text(r#"{"type":"ended","reason":"exited with code 3","code":3}"#)).await.unwrap();
        })
    };
    let server = Server::of(Router::new().route("/api/containers/{id}/exec", get(route)));
    let request = ExecRequest { command: vec!["true".to_owned()], tty: None };
    let mut terminal = server.client().exec("fox", &request).await.unwrap();
    let first = terminal.incoming.recv().await.unwrap();
    assert_eq!(first, TerminalMessage::Bytes(serde_json::to_vec(&request).unwrap().into()));
    let ended = Frame::Ended { reason: "exited with code 3".to_owned(), code: Some(3) };
    assert_eq!(terminal.incoming.recv().await.unwrap(), TerminalMessage::Frame(ended));
    assert_eq!(timeout(LONG, terminal.incoming.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn posting_takes_the_long_deadline() {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        axum::Json(json!({"text": "", "id": "1", "name": "fox"}))
    };
    let server = Server::of(Router::new().fallback(post(slow).get(slow)));
    let patience = Patience { work: LONG, answer: Duration::from_millis(100) };
    let client = server.client().with_patience(patience);
    assert!(client.up().await.is_ok());
    assert!(client.spawn(&SpawnRequest::default()).await.is_ok());
    assert!(matches!(client.reload().await, Err(ClientError::Deadline(_))));
}

/// A stop takes what the service's own time limit allows: that is no silence of the supervisor.
#[tokio::test]
async fn work_is_waited_for_as_long_as_the_supervisor_lives() {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        axum::Json(json!({"text": "done", "id": "1", "name": "fox"}))
    };
    let health = get(|| async { axum::Json(json!({})) });
    let server = Server::of(Router::new().route("/health", health).fallback(any(slow)));
    let work = Duration::from_millis(100);
    let client = server.client().with_patience(Patience { work, answer: LONG });
    let request = SpawnRequest::default();
    let (stop, act, up, down, spawn) = tokio::join!(
        client.service("web", ServiceVerb::Stop),
        client.act("fox", Verb::Remove),
        client.up(),
        client.down(DownRequest::default()),
        client.spawn(&request),
    );
    assert_eq!([stop, act, up, down].map(|done| done.unwrap().text), ["done"; 4]);
    assert_eq!(spawn.unwrap().name, "fox");
    // It takes connections and does nothing: it is stopped itself.
    let deaf = Server::of(Router::new().fallback(any(std::future::pending::<&str>)));
    let silent = deaf.hasty().service("web", ServiceVerb::Stop).await.unwrap_err();
    assert!(matches!(silent, ClientError::Deadline(_)), "{silent:?}");
}
