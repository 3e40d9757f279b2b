//! `doctor`: each finding with its fix, in time, whatever hangs or is missing.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::den::{Conf, Den};

/// What doctor finds, and how it ends.
fn findings(den: &Den) -> (Vec<Value>, i32) {
    let ran = den.run(&["--json", "doctor"]);
    let found: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    for finding in &found {
        let bad = finding["verdict"] == "fail" || finding["verdict"] == "warn";
        assert!(!bad || finding["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "no fix: {finding}");
    }
    (found, ran.code)
}

fn find<'a>(found: &'a [Value], check: &str, text: &str) -> &'a Value {
    let fits = |finding: &&Value| finding["check"] == check && finding["text"].as_str().unwrap().contains(text);
    found.iter().find(fits).unwrap_or_else(|| panic!("no {check:?} with {text:?} in {found:#?}"))
}

#[test]
fn every_finding_has_its_fix_and_holders_are_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let parent = format!("ports = [\"127.0.0.1:{port}:3000\"]");
    let rest = "[[service]]\nname = \"ears\"\nrun = \"host\"\nreason = \"other: it was always so\"\ncommand = [\"true\"]\n\
                restart = \"no\"\n[[template]]\nname = \"lab\"\nimage = \"no/such:image\"\n";
    let den = Den::fake_with(Conf { parent: &parent, rest, ..Conf::default() });
    let (found, code) = findings(&den);
    assert_eq!(code, 1, "{found:#?}");
    let held = find(&found, "ports", &format!("{port} held by "));
    assert!(held["text"].as_str().unwrap().ends_with(&format!("(pid {})", std::process::id())), "{held}");
    find(&found, "services", "it was always so");
    assert_eq!(find(&found, "image", "template lab")["verdict"], "fail");
    assert_eq!(find(&found, "image", "template default")["verdict"], "ok");
    find(&found, "capacity", "lab: room for ");
    for check in ["engine", "context", "permissions", "cgroups", "disk", "namespace sharing", "TERM", "clock"] {
        find(&found, check, "");
    }
}

#[test]
fn ports_are_told_by_verb() {
    let den = Den::fake_with(Conf { worker: "network = \"bridge\"\nports = [80]", ..Conf::default() });
    den.spawn("fox");
    den.spawn("owl");
    let rows = den.json(&["ports"]);
    let of =
        |name: &str| rows.as_array().unwrap().iter().find(|row| row["name"] == name && row["inside"] == 80).cloned();
    let (fox, owl) = (of("fox").unwrap(), of("owl").unwrap());
    assert_ne!(fox["port"], owl["port"], "{rows}");
    assert_eq!(fox["url"], format!("http://127.0.0.1:{}", fox["port"]), "{rows}");
}

#[test]
fn an_engine_that_hangs_is_said_before_anybody_gives_up() {
    let den = Den::fake();
    den.ok(&["ls"]);
    let fake = den.fake.as_ref().unwrap();
    fake.freeze(true);
    let begun = Instant::now();
    let (found, _) = findings(&den);
    fake.freeze(false);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    find(&found, "image", "no answer within");
}

#[test]
fn without_a_supervisor_the_machine_is_looked_at_all_the_same() {
    let den = Den::fake();
    fs::create_dir_all(den.state().parent().unwrap()).unwrap();
    fs::write(den.state(), "in the way").unwrap();
    let (found, code) = findings(&den);
    assert_eq!(code, 1);
    assert_eq!(find(&found, "supervisor", "")["verdict"], "fail");
    assert_eq!(find(&found, "engine", "")["verdict"], "skipped");
    for check in ["disk", "TERM", "tmux passthrough", "state directory"] {
        find(&found, check, "");
    }
    fs::remove_file(den.state()).unwrap();
}
