//! Rows N: the parent's network is lost, and comes back.

use std::time::Duration;

use podbay::api::types::Verb;

use super::den::{Conf, Den};
use super::until;

/// What the product promises.
const NOTICED: Duration = Duration::from_secs(2);

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("w{number}")).collect()
}

fn bay_of(test: &str, count: usize, conf: Conf<'_>) -> Option<(Den, Vec<String>)> {
    let den = Den::docker_with(test, conf)?;
    let names = names(count);
    den.spawn_all(&names);
    for name in &names {
        let ran = den.exec(name, &format!("echo {name} > /workspace/mine; echo {name} > ~/mine"));
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    Some((den, names))
}

fn keeps_files(den: &Den, names: &[String]) {
    for name in names {
        let ran = den.exec(name, "cat /workspace/mine ~/mine; tail -n +3 /proc/net/dev | grep -c -v lo:");
        assert_eq!(ran.stdout, format!("{name}\n{name}\n1\n"), "{ran:?}");
    }
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn parent(den: &Den) -> String {
    format!("{}-parent", den.bay)
}

/// One round: the network goes, all workers are known to be cut off in time, a verb repairs them.
fn round(den: &Den, names: &[String], lose: impl FnOnce()) -> Duration {
    lose();
    let noticed = den.within_state(NOTICED, &refs(names), "cut-off");
    let why = den.json(&["why", &names[0]]);
    assert!(why["reason"].as_str().is_some_and(|reason| reason.contains("the parent")), "{why}");
    assert!(why["hint"].as_str().is_some_and(|hint| hint.contains("podbay restart parent")), "{why}");
    den.ok(&["restart", "parent"]);
    den.within_state(Duration::from_secs(30), &refs(names), "running");
    noticed
}

fn restart_rounds(test: &str, rounds: usize, workers: usize) {
    let Some((den, names)) = bay_of(test, workers, Conf::default()) else { return };
    for _ in 0..rounds {
        round(&den, &names, || den.docker.act(&parent(&den), "restart"));
    }
    keeps_files(&den, &names);
}

#[test]
fn n01_a_restarted_parent_is_noticed_in_two_seconds_and_repaired() {
    restart_rounds("n01_a_restarted_parent_is_noticed_in_two_seconds_and_repaired", 3, 3);
}

#[test]
#[ignore = "50 rounds of 10 workers"]
fn n01_in_full() {
    restart_rounds("n01_in_full", 50, 10);
}

#[test]
fn n02_a_dead_parent_is_waited_for() {
    let Some((den, names)) = bay_of("n02_a_dead_parent_is_waited_for", 2, Conf::default()) else { return };
    let started = |name: &str| den.inspect(name)["State"]["StartedAt"].clone();
    for verb in ["stop", "kill"] {
        let before: Vec<_> = names.iter().map(|name| started(name)).collect();
        den.docker.act(&parent(&den), verb);
        den.within_state(NOTICED, &refs(&names), "cut-off");
        // A start against a dead parent would end the worker for good.
        let refused = den.run(&["restart", &names[0]]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("the parent does not run"), "{refused:?}");
        assert_eq!(names.iter().map(|name| started(name)).collect::<Vec<_>>(), before, "restarted while it was down");
        den.ok(&["restart", "parent"]);
        den.until_state(&refs(&names), "running");
    }
    keeps_files(&den, &names);
}

#[test]
fn n03_workers_of_a_removed_parent_are_made_anew() {
    let Some((den, names)) = bay_of("n03_workers_of_a_removed_parent_are_made_anew", 2, Conf::default()) else {
        return;
    };
    let old: Vec<String> = names.iter().map(|name| den.id(name)).collect();
    round(&den, &names, || den.docker.remove(&parent(&den)));
    let new: Vec<String> = names.iter().map(|name| den.id(name)).collect();
    assert!(old.iter().all(|id| !new.contains(id)), "they are bound to the parent that is gone: {old:?} {new:?}");
    assert_eq!(den.in_engine(), ["parent", "w1", "w2"]);
    keeps_files(&den, &names);
}

#[test]
fn n04_n05_a_paused_parent_and_a_pulled_cable_need_nothing() {
    let Some((den, names)) = bay_of("n04_n05_a_paused_parent_and_a_pulled_cable_need_nothing", 1, Conf::default())
    else {
        return;
    };
    let started = den.inspect("w1")["State"]["StartedAt"].clone();
    den.docker.act(&parent(&den), "pause");
    until("the pause is said", || {
        let row = den.row("parent").unwrap();
        if row.reason.as_deref().is_some_and(|why| why.contains("paused")) { Ok(()) } else { Err(format!("{row:?}")) }
    });
    den.docker.act(&parent(&den), "unpause");
    den.until_state(&["parent", "w1"], "running");
    let cable = |verb: &str| {
        let body = serde_json::json!({"Container": parent(&den)});
        let (status, answer) = den.docker.call("POST", &format!("/networks/bridge/{verb}"), Some(&body));
        assert_eq!(status, 200, "{answer}");
    };
    cable("disconnect");
    cable("connect");
    keeps_files(&den, &names);
    den.until_state(&["parent", "w1"], "running");
    assert_eq!(den.inspect("w1")["State"]["StartedAt"], started, "something was done where nothing was needed");
}

#[test]
fn n06_a_worker_that_was_restarted_by_hand_against_a_dead_parent_comes_back() {
    let test = "n06_a_worker_that_was_restarted_by_hand_against_a_dead_parent_comes_back";
    let Some((den, names)) = bay_of(test, 2, Conf::default()) else { return };
    den.docker.act(&parent(&den), "stop");
    let (status, body) = den.docker.call("POST", &format!("/containers/{}-w1/restart?t=1", den.bay), None);
    assert!(status >= 400, "{status} {body}");
    den.until_state(&["w2"], "cut-off");
    until("the worker's end is explained", || match den.json(&["why", "w1"]) {
        why if why["reason"].is_string() && why["observed"].as_str().is_some_and(|is| !is.starts_with("running")) => {
            Ok(())
        }
        why => Err(why.to_string()),
    });
    den.ok(&["restart", "parent"]);
    den.until_state(&["parent", "w2"], "running");
    if den.row("w1").unwrap().state.as_str() != "running" {
        den.ok(&["start", "w1"]);
    }
    den.until_state(&["w1"], "running");
    keeps_files(&den, &names);
}

#[test]
fn n07_parent_and_workers_that_stopped_at_once_come_back_in_order() {
    let Some((den, names)) =
        bay_of("n07_parent_and_workers_that_stopped_at_once_come_back_in_order", 3, Conf::default())
    else {
        return;
    };
    den.kill_supervisor();
    for name in ["w2", "parent", "w1", "w3"] {
        den.docker.act(&format!("{}-{name}", den.bay), "kill");
    }
    den.ok(&["up"]);
    den.until_state(&["parent"], "running");
    // All that ran went down together while nobody looked: all of it comes back by itself.
    den.until_state(&refs(&names), "running");
    let at = |name: &str| den.row(name).unwrap().started_at.unwrap();
    assert!(names.iter().all(|name| at(name) > at("parent")), "a worker was started before its parent");
    keeps_files(&den, &names);
}

#[test]
fn repair_auto_needs_nobody() {
    let conf = Conf { parent: "repair = \"auto\"", ..Conf::default() };
    let Some((den, names)) = bay_of("repair_auto_needs_nobody", 2, conf) else { return };
    den.docker.act(&parent(&den), "kill");
    den.within_state(NOTICED, &["w1"], "cut-off");
    den.within_state(Duration::from_secs(30), &["parent", "w1", "w2"], "running");
    keeps_files(&den, &names);
}

#[test]
fn n09_two_workers_want_one_port() {
    let Some(den) = Den::docker("n09_two_workers_want_one_port") else { return };
    let serve = ["--", "python3", "-m", "http.server", "8000"];
    den.ok(&[&["spawn", "one", "-d"][..], &serve].concat());
    let listening = "grep -q ':1F40 .* 0A ' /proc/net/tcp";
    until("the first one listens", || match den.exec("one", listening) {
        ran if ran.code == 0 => Ok(()),
        ran => Err(format!("{ran:?}")),
    });
    den.ok(&[&["spawn", "two", "-d"][..], &serve].concat());
    den.until_state(&["two"], "exited");
    assert!(den.ok(&["logs", "two"]).contains("Address already in use"));
    let why = den.json(&["why", "two"]);
    assert_eq!(why["reason"], "exited with code 1");
    den.act("one", Verb::Stop).unwrap();
    den.act("two", Verb::Start).unwrap();
    den.until_state(&["two"], "running");
}
