//! Row X09: what agents do on their terminals, recorded by `tests/agent.py` and replayed with a clock of the test's own:
//! the state follows, does not flap, and finds back where a hook was lost.

use std::time::Duration;

use jiff::Timestamp;
use podbay::terminal::emulator::Emulator;
use podbay::terminal::watching::Watching;
use serde::Deserialize;

use super::emulator;

const TRACES: [(&str, &str); 7] = [
    ("turn", include_str!("../fixtures/traces/turn.jsonl")),
    ("lost-stop", include_str!("../fixtures/traces/lost-stop.jsonl")),
    ("lost-all", include_str!("../fixtures/traces/lost-all.jsonl")),
    ("spinner", include_str!("../fixtures/traces/spinner.jsonl")),
    ("permission", include_str!("../fixtures/traces/permission.jsonl")),
    ("login", include_str!("../fixtures/traces/login.jsonl")),
    ("trust", include_str!("../fixtures/traces/trust.jsonl")),
];

/// One line of a trace, by the seconds since its beginning.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: f64,
    out: Option<String>,
    typed: Option<String>,
    /// What is known then; `none`: nothing.
    state: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    most_changes: usize,
}

struct Replay {
    emulator: Emulator,
    watching: Watching,
    now: Timestamp,
    /// What was published, one after the other.
    published: Vec<String>,
}

impl Replay {
    fn state(&self) -> String {
        self.watching.state().map_or("none".to_owned(), |found| format!("{:?}", found.need).to_lowercase())
    }

    fn published(&mut self) {
        let state = self.state();
        if self.published.last() != Some(&state) {
            self.published.push(state);
        }
    }

    /// Time passes, and what is due by itself happens at its time.
    fn until(&mut self, then: Timestamp) {
        while let Some(due) = self.watching.due(self.now).filter(|due| *due <= then) {
            // As the supervisor's timer does it, never at the very moment.
            self.now = self.now.max(due) + Duration::from_millis(1);
            if self.watching.look(&self.emulator, self.now) {
                self.published();
            }
        }
        self.now = self.now.max(then);
    }

    fn line(&mut self, line: &Line) {
        if let Some(out) = &line.out {
            let fed = self.emulator.feed(out.as_bytes());
            self.watching.wrote(&fed, self.emulator.title(), self.now);
        }
        if line.typed.is_some() {
            self.watching.typed(self.now);
        }
        if self.watching.changed(self.now) {
            self.published();
        }
    }
}

#[test]
fn x09_the_state_follows_recorded_agents_and_does_not_flap() {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for (name, trace) in TRACES {
        let mut lines = trace.lines();
        let head: Head = serde_json::from_str(lines.next().unwrap()).unwrap();
        let mut replay =
            Replay { emulator: emulator(), watching: Watching::default(), now: start, published: Vec::new() };
        let mut judged = 0;
        for line in lines {
            let line: Line = serde_json::from_str(line).unwrap();
            replay.until(start + Duration::from_secs_f64(line.at));
            replay.line(&line);
            if let Some(state) = &line.state {
                assert_eq!(replay.state(), *state, "{name} at {} s; so far {:?}", line.at, replay.published);
                judged += 1;
            }
        }
        assert!(judged > 0, "{name}");
        assert!(replay.published.len() <= head.most_changes, "{name} flaps: {:?}", replay.published);
    }
}

#[test]
fn the_traces_are_those_of_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agent.py");
    let ran = std::process::Command::new("python3").arg(script).arg("--record").arg(directory.path()).status();
    if !ran.is_ok_and(|status| status.success()) {
        eprintln!("skipped: terminal::traces::the_traces_are_those_of_the_program: no python3");
        return;
    }
    for (name, trace) in TRACES {
        let made = std::fs::read_to_string(directory.path().join(format!("{name}.jsonl"))).unwrap();
        assert_eq!(made, trace, "{name}: `python3 tests/agent.py --record tests/it/fixtures/traces` makes it anew");
    }
}
