//! Rows D on the fake daemon: cut, frozen, flooding and slow, while the real supervisor looks on.

use std::time::{Duration, Instant};

use podbay::api::types::Verb;
use rustix::process::Signal;
use serde_json::json;

use super::den::{Conf, Den, spawn, summary};
use super::docker::Docker;
use super::process::signal;
use super::{measured, until, within};
use crate::fake_daemon::{EventFault, FakeDaemon, Fault};

fn bay(count: usize) -> (Den, Vec<String>) {
    let den = Den::fake();
    let names: Vec<String> = (1..=count).map(|number| format!("w{number}")).collect();
    den.spawn_all(&names);
    (den, names)
}

fn fake(den: &Den) -> &FakeDaemon {
    den.fake.as_ref().unwrap()
}

/// A den on a fake daemon behind a link that is not there yet.
fn absent() -> (Den, FakeDaemon) {
    let daemon = FakeDaemon::start();
    let mut den = Den::on(Docker::new(&daemon.socket), None, Conf::default());
    den.docker = Docker::new(den.path("d.sock"));
    den.configure(Conf::default());
    den.docker = Docker::new(&daemon.socket);
    (den, daemon)
}

#[test]
fn d01_an_absent_engine_is_a_state_and_not_an_end() {
    let (den, daemon) = absent();
    let socket = den.path("d.sock");
    assert_eq!(den.json(&["ls"]), json!([]));
    let status = until("the engine counts as away", || match den.json(&["status"]) {
        status if status["engine"]["state"] == "away" => Ok(status),
        status => Err(status.to_string()),
    });
    let reason = status["engine"]["reason"].as_str().unwrap();
    assert!(reason.contains(&*super::den::text(&socket)) && reason.contains("there is no such socket"), "{reason}");
    assert!(status["engine"]["next_try_at"].is_string(), "{status}");
    let ran = den.run(&["spawn", "fox", "-d"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("there is no such socket: start the engine"), "{ran:?}");
    assert_eq!(den.json(&["ls"]), json!([]), "nothing half-done stays");
    std::os::unix::fs::symlink(&daemon.socket, &socket).unwrap();
    until("it is found", || match den.json(&["status"]) {
        status if status["engine"]["state"] == "up" => Ok(()),
        status => Err(status["engine"].to_string()),
    });
    den.spawn("fox");
    drop(den);
}

/// Everything that is connected is cut, and what changes meanwhile is seen in time.
fn cuts(times: usize, limit: Duration) {
    let (den, _) = bay(1);
    let id = den.id("w1");
    let mut slowest = Duration::ZERO;
    for round in 0..times {
        fake(&den).disturb_events(if round % 2 == 0 { EventFault::Garble } else { EventFault::Lose });
        fake(&den).cut_all();
        let state = if round % 2 == 0 {
            fake(&den).kill(&id, 3);
            "exited"
        } else {
            fake(&den).start_container(&id);
            "running"
        };
        slowest = slowest.max(den.within_state(limit, &["w1"], state));
    }
    fake(&den).disturb_events(EventFault::None);
    measured(&format!("D05: {times} cuts, the slowest change was seen after {slowest:?}"));
}

#[test]
fn d05_cut_and_garbled_event_streams_hide_nothing() {
    cuts(8, Duration::from_secs(11));
}

#[test]
#[ignore = "1000 cuts"]
fn d05_in_full() {
    cuts(1000, Duration::from_secs(11));
}

#[test]
fn d06_a_frozen_daemon_is_away_in_15_seconds_and_back_in_5() {
    frozen(Duration::from_secs(18));
}

#[test]
#[ignore = "a minute"]
fn d06_in_full() {
    frozen(Duration::from_mins(1));
}

fn frozen(freeze: Duration) {
    let (den, _) = bay(2);
    let begun = Instant::now();
    fake(&den).freeze(true);
    let creates = fake(&den).calls("POST /containers/create");
    // A verb ends by the engine's loss, and not by its client's patience.
    let asked = den.command(&["spawn", "late", "-d"]);
    let asked = std::thread::spawn(move || super::process::finish(asked, &["spawn", "late"]));
    den.within_state(Duration::from_secs(15), &["w1", "w2", "parent"], "unknown");
    measured(&format!("D06: away {:?} after the freeze", begun.elapsed()));
    let status = den.json(&["status"]);
    assert_eq!(status["engine"]["state"], "away");
    let answered = Instant::now();
    den.ok(&["ls"]);
    assert!(answered.elapsed() < Duration::from_secs(2), "ls took {:?}", answered.elapsed());
    let refused = asked.join().unwrap();
    assert_eq!(refused.code, 4, "{refused:?}");
    std::thread::sleep(freeze.saturating_sub(begun.elapsed()));
    fake(&den).freeze(false);
    let back = den.within_state(Duration::from_secs(5), &["w1", "w2", "parent"], "running");
    measured(&format!("D06: back {back:?} after the thaw"));
    den.until_state(&["late"], "running");
    assert_eq!(fake(&den).calls("POST /containers/create") - creates, 1, "a timed-out call was made twice");
    assert_eq!(den.in_engine(), ["late", "parent", "w1", "w2"]);
}

#[test]
fn d07_a_daemon_that_takes_all_down_brings_all_back_in_order() {
    let (den, names) = bay(3);
    den.ok(&["stop", "w3"]);
    let taken = ["w1", "w2", "parent"];
    let ids: Vec<String> = taken.iter().map(|name| den.id(name)).collect();
    let at = |name: &str| den.row(name).and_then(|row| row.started_at);
    let before = taken.map(at);
    fake(&den).freeze(true);
    for id in &ids {
        fake(&den).kill(id, 137);
    }
    fake(&den).cut_all();
    until("the engine counts as away", || match den.json(&["status"]) {
        status if status["engine"]["state"] == "away" => Ok(()),
        other => Err(other["engine"].to_string()),
    });
    fake(&den).freeze(false);
    // That they run is also what was seen before.
    until("all run again", || {
        let now = taken.map(at);
        let again = now.iter().zip(&before).all(|(now, before)| now.is_some() && now > before);
        if again { Ok(()) } else { Err(summary(&den.rows())) }
    });
    den.until_state(&taken, "running");
    assert!(at("w1") > at("parent") && at("w2") > at("parent"), "{}", summary(&den.rows()));
    assert_eq!(den.row("w3").unwrap().state.as_str(), "exited", "the user stopped it");
    assert_eq!(names.len() + 1, den.in_engine().len());
}

#[test]
fn d08_a_daemon_killed_during_20_creates_is_converged_with() {
    let (den, _) = bay(1);
    let names: Vec<String> = (0..20).map(|number| format!("new-{number}")).collect();
    let before = fake(&den).calls("POST /containers/create");
    let accepted: Vec<bool> = den.wait(async |client| {
        let cut = async {
            while fake(&den).calls("POST /containers/create") < before + 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            fake(&den).cut_all();
        };
        let spawns = futures_util::future::join_all(names.iter().map(async |name| spawn(&client, name).await.is_ok()));
        let both = futures_util::future::join(spawns, cut);
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("every spawn is answered").0
    });
    // What was refused may have been asked for all the same; what is there, is there once and runs.
    let (there, _) = within(Duration::from_secs(20), "all that was asked for is there", || {
        let rows = den.rows();
        let all = rows.len() >= 2 && rows.iter().all(|row| row.state.as_str() == "running");
        let mut listed: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        listed.sort();
        if all && listed == den.in_engine() { Ok(listed) } else { Err(summary(&rows)) }
    });
    for (name, accepted) in names.iter().zip(accepted) {
        assert!(!accepted || there.contains(name), "{name} is lost");
    }
}

#[test]
fn d09_a_burst_of_events_while_nobody_reads_ends_right() {
    let (den, _) = bay(2);
    let (id, pid) = (den.id("w1"), den.supervisor());
    signal(pid, Signal::STOP);
    for _ in 0..1000 {
        fake(&den).kill(&id, 1);
        fake(&den).start_container(&id);
        fake(&den).kill(&id, 7);
        fake(&den).start_container(&id);
    }
    fake(&den).kill(&id, 9);
    signal(pid, Signal::CONT);
    den.within_state(Duration::from_secs(12), &["w1"], "exited");
    assert_eq!(den.json(&["why", "w1"])["reason"], "exited with code 9");
    assert_eq!(den.row("w2").unwrap().state.as_str(), "running");
}

#[test]
fn d14_a_container_that_can_not_be_removed_blocks_nobody() {
    let (den, _) = bay(2);
    let stuck = Fault::Status(409, "removal of container w1 is already in progress");
    fake(&den).fail_next("DELETE /containers/*", 2, stuck);
    let removing = den.command(&["rm", "-f", "w1"]);
    let removing = std::thread::spawn(move || super::process::finish(removing, &["rm", "-f", "w1"]));
    until("the first try has failed", || match fake(&den).calls("DELETE /containers/*") {
        0 => Err("no try yet".to_owned()),
        _ => Ok(()),
    });
    den.act("w2", Verb::Restart).unwrap();
    let ran = removing.join().unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fake(&den).calls("DELETE /containers/*"), 3);
    assert_eq!(den.in_engine(), ["parent", "w2"]);
    // One that never goes is given up, and says why.
    fake(&den).fail_next("DELETE /containers/*", 50, Fault::Status(500, "driver failed to remove root filesystem"));
    let ran = den.run(&["rm", "-f", "w2"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("driver failed to remove root filesystem"), "{ran:?}");
    assert!(den.json(&["why", "w2"])["last_error"].as_str().is_some_and(|why| why.contains("driver failed")));
    den.spawn("w3");
}
