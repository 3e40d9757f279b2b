//! Row S01 of the catalogue of faults: every hostile string in every text of every answer, through every verb that
//! prints, in words and as JSON.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::fake::{House, Ran, is_plain, refuse, rows, status};
use crate::terminal::hostile;

/// All strings in one text, with something plain before, between and behind.
fn all() -> String {
    let strings: Vec<String> =
        hostile::strings().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    format!("plain {} plain", strings.join(" | "))
}

/// The same answer with this text for every one in it that is no word of the protocol.
fn forged(value: Value, text: &str) -> Value {
    const WORDS: [&str; 14] = [
        "name",
        "role",
        "state",
        "id",
        "kind",
        "isolation",
        "verdict",
        "protocol",
        "at",
        "created_at",
        "network",
        "way",
        "last_at",
        "built_at",
    ];
    match value {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Array(items) => items.into_iter().map(|item| forged(item, text)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| {
                let kept = WORDS.contains(&key.as_str()) && value.is_string();
                let value = if kept { value } else { forged(value, text) };
                (key, value)
            });
            Value::Object(fields.collect())
        }
        other => other,
    }
}

fn history(text: &str) -> Value {
    json!([{"seq": 1, "at": "2026-01-01T00:00:00Z", "name": text, "text": text}])
}

fn answer(path: &str, text: &str) -> Option<Value> {
    let at = "2026-01-01T00:00:00Z";
    let service = json!([{"name": text, "run": text, "reason_for_host": text, "state": text, "pid": 1, "ports": [],
        "ready": null, "restarts": 0, "last_exit": text, "next_start_at": null, "depends_on": {text: text},
        "reason": text}]);
    let pool = json!([{"template": text, "target": 1, "min": 1, "max_creating": 1, "warm": 0, "claimed": 0,
        "creating": 0, "hits": 0, "misses": 0, "claim_ms": {"p50": null, "p95": null}, "last_error": text}]);
    let asked = json!([{"name": text, "port": 443, "count": 1, "last_at": at, "worker": text}]);
    let network = json!({"way": "listed", "text": text, "allow": [text], "allowed": [text], "refused": [text],
        "asked": asked});
    Some(match path {
        "/health" => json!({}),
        "/api/containers" => {
            let mut rows = forged(rows(), text);
            let calls = json!({"need": "failed", "source": "exit", "since": at});
            rows[2]["call"] = calls;
            rows
        }
        "/api/status" => {
            let mut told = forged(serde_json::to_value(status()).unwrap(), text);
            told["pool"] = pool;
            told["services"] = service;
            told["network"] = network;
            told["troubles"] = json!([text]);
            told["engine"]["reason"] = json!(text);
            told["engine"]["limits"] = json!([text]);
            told["alerts"] = json!([{"name": text, "severity": text, "subject": text, "summary": text, "since": at}]);
            told
        }
        "/api/services" => service,
        "/api/pool" => pool,
        "/api/network" => network,
        "/api/ports" => json!([{"port": 3000, "inside": 3000, "protocol": "tcp", "name": text, "process": text,
            "pid": 7, "url": text, "reason": text}]),
        "/api/images" => json!([{"reference": text, "id": text, "repository": text, "base": text, "state": text,
            "size": 1, "built_at": at}]),
        "/api/stats" => json!([{"name": text, "cpu_percent": 1.0, "memory": 1, "memory_limit": null, "pids": 1,
            "network": null, "block": [0, 0]}]),
        "/api/doctor" => json!([{"check": text, "verdict": "ok", "text": text}]),
        why if why.starts_with("/api/why/") => json!({"name": text, "kind": text, "wanted": text, "observed": text,
            "reason": text, "waits_for": text, "last_error": text, "last_exit": text, "attempts": 1,
            "next_try_at": null, "hint": text, "history": history(text)}),
        _ => return None,
    })
}

fn sse(body: String) -> Response {
    ([("content-type", "text/event-stream")], body).into_response()
}

fn router(text: String) -> Router {
    Router::new().fallback(move |request: Request| {
        let text = text.clone();
        async move {
            let path = request.uri().path();
            if path == "/api/events" {
                let snapshot = json!({"seq": 2, "status": answer("/api/status", &text), "sessions": [],
                    "containers": answer("/api/containers", &text), "history": history(&text)});
                return sse(format!("event: snapshot\ndata: {snapshot}\n\n"));
            }
            if path.ends_with("/logs") {
                let line = json!({"line": text, "timestamp": 1_000});
                return sse(format!("data: {line}\n\nevent: end\ndata: {{}}\n\n"));
            }
            if path.contains("owl") {
                return refuse(axum::http::StatusCode::CONFLICT, "refused", &text);
            }
            match answer(path, &text).filter(|_| request.method() == Method::GET) {
                Some(answer) => axum::Json(answer).into_response(),
                None => axum::Json(json!({"text": text, "id": text, "name": text, "notes": [text]})).into_response(),
            }
        }
    })
}

fn judged(args: &[&str], ran: &Ran) {
    assert!(is_plain(&ran.out), "podbay {args:?} writes to stdout: {:?}", first(&ran.out));
    assert!(is_plain(&ran.err), "podbay {args:?} writes to stderr: {:?}", first(&ran.err));
}

/// Where it goes wrong, with what stands before.
fn first(text: &str) -> &str {
    let at = text.char_indices().find(|(_, c)| *c != '\n' && hostile::acts(*c)).map_or(0, |(at, _)| at);
    let from = (0..=at.saturating_sub(40)).rev().find(|from| text.is_char_boundary(*from)).unwrap_or(0);
    let to = (at + 8..=text.len()).find(|to| text.is_char_boundary(*to)).unwrap_or(text.len());
    &text[from..to]
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_no_answer_controls_the_terminal_of_any_verb() {
    let text = all();
    // The system itself ends an argument there.
    let asked = text.replace('\0', "");
    let mut house = House::empty();
    house.serve(router(text.clone()));
    let verbs: [&[&str]; 22] = [
        &["ls"],
        &["count"],
        &["status"],
        &["why", "fox"],
        &["stats"],
        &["ports"],
        &["network", "ls"],
        &["events"],
        &["logs", "fox"],
        &["logs", "-t", "fox"],
        &["pool", "status"],
        &["pool", "cleanup"],
        &["service", "ls"],
        &["image", "ls"],
        &["doctor"],
        &["up"],
        &["spawn", "elk", "-d"],
        &["stop", "fox"],
        &["stop", "owl"],
        &["refresh", "owl"],
        &["send", "fox", "hi"],
        &["why", &asked],
    ];
    for args in verbs {
        for args in [args.to_vec(), [args, &["--json"]].concat()] {
            let ran = house.run(&args).await;
            judged(&args, &ran);
            let told = args.contains(&"owl") || args.len() > 1 && args[1] == asked;
            assert!(ran.code == 0 || told, "podbay {args:?}: {ran:?}");
            // What was asked for came through: nothing is plain because nothing is there.
            let came = ran.out.contains("plain") || ran.err.contains("plain");
            assert!(came || ["count", "send"].contains(&args[0]), "podbay {args:?}: {ran:?}");
        }
    }
    // JSON means what was said.
    let rows = house.run(&["ls", "--json"]).await.json();
    assert_eq!(rows[2]["reason"], text);
    let line = house.run(&["logs", "fox", "--json"]).await.json();
    assert_eq!(line["line"], text);
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_no_argument_and_no_configuration_controls_the_terminal() {
    let house = House::open();
    let text = all();
    let argument = text.replace('\0', "");
    for args in [&["stop", &argument][..], &["why", &argument], &[argument.as_str()], &["ls", &argument]] {
        for args in [args.to_vec(), [args, &["--json"]].concat()] {
            let ran = house.run(&args).await;
            assert!(ran.code != 0 || args[0] == "why", "podbay {args:?}: {ran:?}");
            judged(&args, &ran);
        }
    }
    let file = house.dir.path().join("podbay.toml");
    for bytes in hostile::strings() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let quoted = toml::Value::String(text.clone());
        for config in [
            format!("[bay]\n{text} = 1\n").into_bytes(),
            format!("[bay]\n{quoted} = 1\n").into_bytes(),
            format!("[bay]\nname = {quoted}\n").into_bytes(),
            [b"[bay]\nname = \"", bytes.as_slice(), b"\"\n"].concat(),
        ] {
            std::fs::write(&file, &config).unwrap();
            let args = ["config", "check"];
            let ran = house.run(&args).await;
            assert_eq!(ran.code, 2, "{}: {ran:?}", String::from_utf8_lossy(&config));
            judged(&args, &ran);
        }
    }
}
