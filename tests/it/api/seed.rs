//! The examples of the host's document, asked by `curl` as they stand there.

use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use podbay::api::client::LogsRequest;
use serde_json::{Value, json};

use super::open::Open;
use super::wire::{Answer, read_until};
use crate::bay::den::{Conf, Den};
use crate::bay::until;

/// `curl` with the token in a file, as nobody's process list should have it; `None`: there is no curl.
fn curl(open: &Open, args: &[&str], path: &str) -> Option<(u16, Value)> {
    let header = open.den.path("header");
    std::fs::write(&header, format!("Authorization: Bearer {}\n", open.token())).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-m", "60", "-w", "\n%{http_code}", "-H"]).arg(format!("@{}", header.display()));
    curl.args(args).arg(format!("http://127.0.0.1:{}{path}", open.port));
    let output = match curl.output() {
        Ok(output) => output,
        Err(error) => {
            crate::bay::skip("the_documents_examples", &format!("no curl: {error}"));
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{output:?}"));
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    Some((status.parse().unwrap(), body))
}

const JSON: [&str; 2] = ["-H", "Content-Type: application/json"];

fn open() -> Open {
    let den = Den::fake();
    den.fake.as_ref().unwrap().store().add_image("node:24-slim");
    let port = super::open::free_port();
    den.configure(Conf { rest: &format!("[api]\nlisten = \"127.0.0.1:{port}\""), ..Conf::default() });
    Open::on(den, port)
}

#[test]
fn the_documents_examples() {
    let open = open();
    let Some((status, health)) = curl(&open, &[], "/health") else { return };
    assert_eq!((status, &health["status"]), (200, &json!("ok")), "{health}");
    assert!(health["containerCount"].is_u64() && health["uptime"].is_f64(), "{health}");

    let body =
        r#"{"name": "my-project", "image": "node:24-slim", "ports": [3000], "volumeName": "owner-repo-node_modules"}"#;
    let (status, made) =
        curl(&open, &[&["-X", "POST", "-d", body], JSON.as_slice()].concat(), "/api/containers").unwrap();
    assert_eq!((status, &made["name"]), (200, &json!("my-project")), "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(made["hostPort"].as_u64().is_some_and(|port| port > 0) && !id.is_empty(), "{made}");

    let (status, rows) = curl(&open, &[], "/api/containers").unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["id"] == json!(id)).cloned();
    assert_eq!((status, &row.unwrap()["name"]), (200, &json!("my-project")));

    let (status, detail) = curl(&open, &[], &format!("/api/containers/{id}")).unwrap();
    assert_eq!((status, &detail["id"], &detail["hostPort"]), (200, &json!(id), &made["hostPort"]), "{detail}");

    let body = r#"{"command": "echo out; echo err >&2; exit 3", "timeout": 60000}"#;
    let exec = format!("/api/containers/{id}/exec");
    let (status, ran) = curl(&open, &[&["-X", "POST", "-d", body], JSON.as_slice()].concat(), &exec).unwrap();
    assert_eq!((status, ran), (200, json!({"exitCode": 3, "stdout": "out\n", "stderr": "err\n", "timedOut": false})));

    let taken = r#"{"name": "my-project"}"#;
    let (status, error) =
        curl(&open, &[&["-X", "POST", "-d", taken], JSON.as_slice()].concat(), "/api/containers").unwrap();
    assert_eq!((status, &error["error"]["code"]), (409, &json!("name-taken")), "{error}");

    let (status, _) = curl(&open, &["-X", "DELETE"], &format!("/api/containers/{id}")).unwrap();
    assert_eq!(status, 200);
    let (status, error) = curl(&open, &[], &format!("/api/containers/{id}")).unwrap();
    assert_eq!((status, &error["error"]["code"]), (404, &json!("not-found")), "{error}");
}

#[test]
fn a_command_that_takes_too_long_is_said_to() {
    let open = open();
    open.den.spawn("fox");
    let run = |body: &Value| open.request("POST", "/api/containers/fox/exec").json(body).send();
    let late = run(&json!({"command": "echo begun; sleep 600", "timeout": 300}));
    let late = (late.status, late.json());
    assert_eq!(late.0, 200, "{late:?}");
    assert_eq!(
        (&late.1["timedOut"], &late.1["exitCode"], &late.1["stdout"]),
        (&json!(true), &Value::Null, &json!("begun\n"))
    );
    for (body, field) in [
        (json!({"command": "true", "timeout": 0}), "timeout"),
        (json!({"command": "true", "timeout": -1}), "timeout"),
        (json!({"command": ""}), "command"),
        (json!({"command": 5}), "command"),
        (json!({"command": []}), "command"),
    ] {
        let answer = run(&body);
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (400, &json!(field)), "{body}: {answer:?}");
    }
    assert_eq!(run(&json!({"command": ["echo", "a b"]})).json()["stdout"], "a b\n");
}

/// The data lines and ids of what came of a log.
fn lines(text: &str) -> Vec<(String, Value)> {
    let events = text.split("\n\n").filter(|event| event.contains("data: {\"line\""));
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    events.map(|event| (field(event, "id:"), serde_json::from_str(&field(event, "data:")).unwrap())).collect()
}

#[test]
fn a_log_that_is_cut_goes_on_where_it_was() {
    let open = open();
    open.den.ok(&["spawn", "fox", "-d", "--", "sh", "-c", "seq 1 50; read"]);
    let whole = until("all lines are there", || {
        let answer = open.get("/api/containers/fox/logs?follow=false");
        if lines(&answer.body).len() == 50 { Ok(answer.body) } else { Err(answer.body) }
    });
    let whole = lines(&whole);
    assert!(whole.iter().all(|(id, line)| !id.is_empty() && line["timestamp"].is_i64()), "{whole:?}");
    let text = |(_, line): &(String, Value)| line["line"].as_str().unwrap().trim_end().to_owned();
    assert_eq!(whole.iter().map(text).collect::<Vec<_>>(), (1..=50).map(|n| n.to_string()).collect::<Vec<_>>());
    for cut in [0, 1, 24, 48] {
        let request = open.request("GET", "/api/containers/fox/logs?follow=false&tail=5");
        let answer = request.header("Last-Event-ID", &whole[cut].0).send();
        assert_eq!(lines(&answer.body), whole[cut + 1..], "cut after line {}", cut + 1);
    }
    let nonsense = open.request("GET", "/api/containers/fox/logs?follow=false").header("Last-Event-ID", "x").send();
    assert_eq!(lines(&nonsense.body).len(), 50);
    // As a browser asks: no word of following, the token in the URL.
    let mut stream = open.bare("GET", &format!("/api/containers/fox/logs?token={}", open.token())).open();
    let head = read_until(&mut stream, "\"50");
    assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{head}");
    open.den.fake.as_ref().unwrap().write(&open.den.id("fox"), b"news\r\n");
    read_until(&mut stream, "news");
}

#[test]
fn a_line_is_known_again_wherever_it_is_read() {
    let mut open = open();
    open.den.ok(&["spawn", "fox", "-d", "--", "sh", "-c", "read"]);
    let write = |open: &Open, range: std::ops::Range<u32>| {
        for n in range {
            // Every third one reads like the others.
            let text = if n % 3 == 0 { "tick\r\n".to_owned() } else { format!("line {n}\r\n") };
            open.den.fake.as_ref().unwrap().write(&open.den.id("fox"), text.as_bytes());
        }
    };
    let read = |open: &Open, had: &str, last: &str| -> Vec<(String, String)> {
        let after = (!had.is_empty()).then(|| had.to_owned());
        let request = LogsRequest { follow: true, after, ..LogsRequest::default() };
        open.den.wait(async |client| {
            let mut log = client.logs("fox", &request).await.unwrap();
            let mut all: Vec<(String, String)> = Vec::new();
            while all.last().is_none_or(|(_, text)| text != last) {
                let next = tokio::time::timeout(Duration::from_secs(20), log.next()).await;
                let line = next.unwrap_or_else(|_| panic!("{last:?} did not come: {all:?}")).unwrap().unwrap().line;
                all.push((log.last().unwrap().to_owned(), line.trim_end().to_owned()));
            }
            all
        })
    };
    let text = |lines: &[(String, String)]| -> Vec<String> { lines.iter().map(|(_, line)| line.clone()).collect() };
    write(&open, 1..30);
    // By the terminal's stream, then by the log, then by the terminal's stream again.
    let first = read(&open, "", "line 29");
    open.killed(|open| write(open, 30..60));
    let all = text(&read(&open, "", "line 59"));
    assert_eq!((all.len(), &all[..29]), (59, &text(&first)[..]));
    write(&open, 60..90);
    let whole = read(&open, "", "line 89");
    assert_eq!((whole.len(), &text(&whole)[..59]), (89, &all[..]));
    for cut in [3, 20, 28] {
        let rest = read(&open, &first[cut].0, "line 89");
        assert_eq!(text(&rest), text(&whole)[cut + 1..], "cut after line {} of the first reading", cut + 1);
    }
    for cut in [4, 40, 63, 80] {
        let rest = read(&open, &whole[cut].0, "line 89");
        assert_eq!(text(&rest), text(&whole)[cut + 1..], "cut after line {}", cut + 1);
    }
    // Read to its end it is the same.
    let had = first[20].0.as_str();
    let rest = open.request("GET", "/api/containers/fox/logs?follow=false").header("Last-Event-ID", had).send();
    let rest: Vec<String> =
        lines(&rest.body).iter().map(|(_, line)| line["line"].as_str().unwrap().trim_end().to_owned()).collect();
    assert_eq!(rest, text(&whole)[21..]);
}

#[test]
fn a_pooled_container_is_asked_for_by_a_word() {
    let port = super::open::free_port();
    let api = format!("[api]\nlisten = \"127.0.0.1:{port}\"");
    let open = Open::on(Den::fake_with(Conf { rest: &api, ..Conf::default() }), port);
    let answer = open.request("POST", "/api/containers").json(&json!({"name": "x", "pool": true})).send();
    let error = answer.json();
    assert_eq!((answer.status, &error["error"]["field"]), (422, &json!("pool")), "{error}");
    let rest = format!("{api}\n[[template]]\nname = \"web\"\ncommand = [\"sh\"]\npool = {{ target = 1, min = 1 }}");
    open.den.configure(Conf { rest: &rest, ..Conf::default() });
    open.den.ok(&["up"]);
    let made = open.request("POST", "/api/containers").json(&json!({"name": "yak", "pool": true})).send();
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(open.den.row("yak").map(|row| row.template), Some("web".to_owned()));
}

#[test]
fn errors_have_one_shape_and_their_status() {
    let open = open();
    open.den.spawn("fox");
    let of = |answer: Answer| (answer.status, answer.code());
    let post = |path: &str, body: &Value| of(open.request("POST", path).json(body).send());
    let code = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(post("/api/containers", &json!({"name": "a/b"})), code(400, "invalid"));
    assert_eq!(post("/api/containers", &json!({"template": "nothing"})), code(422, "impossible"));
    assert_eq!(post("/api/containers", &json!({"image": "not-there"})), code(422, "impossible"));
    assert_eq!(post("/api/containers/fox/nothing", &json!({})), code(404, "not-found"));
    assert_eq!(post("/api/pool", &json!({"order": "drain"})), code(404, "not-found"));
    assert_eq!(of(open.request("POST", "/api/pool").send()), code(400, "invalid"));
    assert_eq!(of(open.request("POST", "/api/pool").body("text/plain", b"{}".to_vec()).send()), code(400, "invalid"));
    assert_eq!(of(open.get("/api/containers/fox/terminal")), code(400, "invalid"));
    assert_eq!(of(open.get("/api/containers/fox/logs?tail=x")), code(400, "invalid"));
    assert_eq!(of(open.request("DELETE", "/api/sessions/x").send()), code(404, "not-found"));
    open.den.fake.as_ref().unwrap().freeze(true);
    let away = until("the engine is away", || {
        let answer = open.request("POST", "/api/containers").json(&json!({"name": "late"})).send();
        if answer.status == 503 { Ok(answer) } else { Err(format!("{answer:?}")) }
    });
    assert_eq!((away.code().as_str(), away.header("retry-after")), ("engine-away", Some("5")));
}

#[test]
fn a_list_that_has_not_changed_is_not_sent_again() {
    let open = open();
    open.den.spawn("fox");
    let tag = until("the bay is at rest", || {
        let (one, other) = (open.get("/api/containers"), open.get("/api/containers"));
        let same = one.header("etag").filter(|tag| other.header("etag") == Some(tag)).map(str::to_owned);
        same.ok_or_else(|| format!("{one:?}"))
    });
    let again = |tag: &str| open.request("GET", "/api/containers").header("If-None-Match", tag).send();
    let same = again(&tag);
    assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some(tag.as_str())), "{same:?}");
    assert_eq!(again("\"another\"").status, 200);
    open.den.spawn("owl");
    let changed = again(&tag);
    assert!(changed.status == 200 && changed.body.contains("owl"), "{changed:?}");
}

#[test]
fn a_pooled_container_of_a_template_with_a_setup_command_is_a_warm_one() {
    let port = super::open::free_port();
    let rest = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\n[[template]]\nname = \"web\"\ncommand = [\"sh\"]\nsetup = \"echo x\"\nwarm = \"running\"\n\
         pool = {{ target = 1, min = 1 }}"
    );
    let open = Open::on(Den::fake_with(Conf { rest: &rest, ..Conf::default() }), port);
    open.den.ok(&["up"]);
    until("one is warm", || match open.get("/api/pool").json() {
        pool if pool[0]["warm"] == 1 => Ok(()),
        pool => Err(pool.to_string()),
    });
    let body = json!({"name": "yak", "pool": true, "volumeName": "owner-repo-node_modules"});
    let made = open.request("POST", "/api/containers").json(&body).send().json();
    assert_eq!((&made["claimed"], &made["name"]), (&json!(true), &json!("yak")), "{made}");
    assert!(made["notes"].to_string().contains("was made before"), "{made}");
}
