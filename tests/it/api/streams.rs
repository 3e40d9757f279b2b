//! Streams: what they say, how many there may be, and what is left of one whose client has gone.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::open::Open;
use super::wire::{Answer, PATIENCE, read_until, rest};
use crate::bay::until;

/// As many as there may be at once; the next one is told so.
const STREAMS: usize = 1536;

/// The events of a stream, as far as they have come whole: kind, id, data.
fn events(text: &str) -> Vec<(String, u64, Value)> {
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    let whole = text.split("\n\n").filter(|event| event.contains("event: ") && event.contains("data: "));
    let read = |event: &str| {
        let data = serde_json::from_str(&field(event, "data:")).ok()?;
        Some((field(event, "event:"), field(event, "id:").parse().unwrap(), data))
    };
    whole.filter_map(read).collect()
}

#[test]
fn events_are_the_bay_and_then_what_changes_each_with_a_higher_number() {
    let open = Open::new();
    open.den.spawn("fox");
    let mut stream = open.request("GET", "/api/events").open();
    let mut text = read_until(&mut stream, "event: snapshot");
    open.den.spawn("owl");
    text.push_str(&read_until(&mut stream, "\"owl\""));
    open.den.ok(&["rm", "fox", "-f", "-y"]);
    text.push_str(&read_until(&mut stream, "\"removed\":[\""));
    // Whatever was on its way.
    text.push_str(&read_until(&mut stream, "\n\n"));
    let events = events(&text);
    let (kinds, ids): (Vec<&str>, Vec<u64>) = events.iter().map(|(kind, id, _)| (kind.as_str(), *id)).unzip();
    assert!(kinds.len() > 2 && kinds[0] == "snapshot" && kinds[1..].iter().all(|kind| *kind == "change"), "{kinds:?}");
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    let first = &events[0].2;
    assert!(first["containers"].to_string().contains("\"fox\"") && first["status"]["bay"].is_string(), "{first}");
    for (_, id, data) in &events {
        assert_eq!(&data["seq"], &json!(id));
    }
}

#[test]
fn s16_there_are_only_so_many_streams_and_a_vanished_one_leaves_nothing() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let open = Open::new();
    let request = open.request("GET", "/api/events");
    let mut streams: Vec<TcpStream> = (0..STREAMS).map(|_| request.open()).collect();
    for stream in &mut streams {
        assert!(read_until(stream, "\r\n").starts_with("HTTP/1.1 200 "));
    }
    let full = open.get("/api/events");
    assert_eq!((full.status, full.code().as_str()), (429, "capacity"), "{full:?}");
    assert!(full.header("retry-after").is_some(), "{full:?}");
    assert_eq!(open.get("/api/status").status, 200, "short questions are answered all the same");
    let count = |open: &Open| {
        let text = open.get("/metrics").body;
        let line =
            text.lines().find_map(|line| line.strip_prefix("podbay_api_streams ")).unwrap_or_default().to_owned();
        line.parse::<usize>().unwrap()
    };
    assert_eq!(count(&open), STREAMS);
    // Gone without a word, all but one.
    streams.truncate(1);
    until("their places are free", || match count(&open) {
        1 => Ok(()),
        some => Err(some.to_string()),
    });
    let mut again = request.open();
    assert!(read_until(&mut again, "\r\n").starts_with("HTTP/1.1 200 "));
}

#[test]
fn s16_a_body_that_does_not_come_is_not_waited_for() {
    let open = Open::new();
    let mut stream = open
        .request("POST", "/api/containers")
        .header("Content-Type", "application/json")
        .header("Content-Length", "1000")
        .open();
    stream.write_all(b"{\"name\":").unwrap();
    let begun = Instant::now();
    let answer = Answer::of(&rest(&mut stream));
    let took = begun.elapsed();
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid"), "{answer:?}");
    assert!(answer.body.contains("did not come within"), "{answer:?}");
    assert!((Duration::from_secs(15)..PATIENCE).contains(&took), "{took:?}");
    assert!(!open.den.rows().iter().any(|row| row.role.as_str() == "worker"));
}
