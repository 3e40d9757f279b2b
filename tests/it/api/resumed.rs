//! What a supervisor that was killed left of a setup.

use serde_json::{Value, json};

use super::open::Open;
use super::receiving::Receiving;
use super::setup::{body, open};
use crate::bay::until;

fn kept(open: &Open) -> Value {
    let file = open.den.state().join("workers/fox/setup.json");
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn begin(open: &Open, body: &Value) {
    let answer = open.request("POST", "/api/containers/fox/setup").json(body).send();
    assert_eq!(answer.status, 202, "{answer:?}");
}

fn until_told(receiving: &Receiving, status: &str) -> Value {
    loop {
        let report = receiving.next().2;
        if report["status"] == status {
            return report;
        }
        assert!(report["status"] != "failed", "{report}");
    }
}

#[test]
fn a_setup_goes_on_after_the_supervisor_was_killed() {
    let (mut open, receiving) = (open("sleep 2; echo installed"), Receiving::start(vec![]));
    let secret = "a-callback-secret-of-40-characters-at-all";
    let mut body = body(&open, &receiving);
    body["callbackSecret"] = json!(secret);
    begin(&open, &body);
    let first = until_told(&receiving, "installing");
    let marker = until("its command is known by a mark", || {
        kept(&open)["underway"]["marker"].as_str().map(str::to_owned).ok_or_else(|| kept(&open).to_string())
    });
    open.killed(|_| {});
    let again = open.request("POST", "/api/containers/fox/setup").json(&body).send();
    assert_eq!((again.status, again.code().as_str()), (409, "busy"), "it goes on: {again:?}");
    let last = until_told(&receiving, "ready");
    assert_eq!(last["containerId"], first["containerId"]);
    let workspace = open.den.state().join("workers/fox/workspace");
    assert_eq!(std::fs::read_to_string(workspace.join("README")).unwrap(), "hello\n");
    until("it is over", || if kept(&open)["underway"].is_null() { Ok(()) } else { Err(kept(&open).to_string()) });
    // What the first one had left running was ended before the second began.
    let store = open.den.fake.as_ref().unwrap().store();
    let ended = store.execs.values().any(|exec| exec.request.to_string().contains(&format!("={marker}\"]")));
    assert!(ended, "no word to what carries {marker}");
    drop(store);
    let text = kept(&open).to_string();
    assert!(!text.contains("gho_") && !text.contains(secret), "{text}");
    let terminal = open.bare("GET", "/api/containers/fox/terminal").query(&format!("token={secret}")).upgrade();
    let mut head = [0; 12];
    std::io::Read::read_exact(&mut terminal.open(), &mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101", "its secret opens its terminal still");
}

#[test]
fn a_setup_that_can_not_go_on_is_said_to_have_failed() {
    let (mut open, receiving) = (open("sleep 60"), Receiving::start(vec![]));
    let body = body(&open, &receiving);
    begin(&open, &body);
    until_told(&receiving, "installing");
    let name = format!("{}-fox", open.den.bay);
    open.killed(|open| {
        let mut store = open.den.fake.as_ref().unwrap().store();
        let id = store.find(&name).unwrap().id.clone();
        store.containers.remove(&id);
    });
    let told = loop {
        let report = receiving.next().2;
        if report["status"] == "failed" {
            break report;
        }
    };
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("broken off by the supervisor's end") && message.contains("fox"), "{message}");
}

#[test]
fn a_last_word_that_was_not_heard_is_said_by_the_next_supervisor() {
    // The receiver is busy until the first supervisor is gone.
    let (mut open, receiving) = (open("echo installed"), Receiving::start(vec!["200 OK", "200 OK", "503 Busy"]));
    begin(&open, &body(&open, &receiving));
    until_told(&receiving, "ready");
    let runs = |open: &Open| {
        let store = open.den.fake.as_ref().unwrap().store();
        store.execs.values().filter(|exec| exec.request.to_string().contains("echo installed")).count()
    };
    assert!(!kept(&open)["underway"]["told"].is_null(), "{}", kept(&open));
    open.killed(|_| {});
    until_told(&receiving, "ready");
    assert_eq!(runs(&open), 1, "only said again");
    until("it is over", || if kept(&open)["underway"].is_null() { Ok(()) } else { Err(kept(&open).to_string()) });
}
