//! Rows D11 and D12 on Docker: what an engine refuses, said with its cause, and nothing left of it.

use std::net::TcpListener;

use super::den::{Conf, Den};
use super::until;

#[test]
fn d12_a_port_held_by_a_process_names_it() {
    let Some(den) = Den::docker("d12_a_port_held_by_a_process_names_it") else { return };
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    den.configure(Conf { parent: &format!("ports = [\"127.0.0.1:{port}:8000\"]"), ..Conf::default() });
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    let taken = format!("port 127.0.0.1:{port} is taken by {} (pid {})", own.trim(), std::process::id());
    let ran = den.run(&["up"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(&taken), "{taken:?} in {ran:?}");
    let ran = den.run(&["spawn", "fox", "-d"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(&format!("the parent could not be brought up: {taken}")), "{ran:?}");
    nothing_left(&den);
    until("why there is no parent is listed", || match den.row("parent") {
        Some(row) if row.reason.as_deref().is_some_and(|why| why.contains(&taken)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let why = den.json(&["why", "parent"]);
    assert!(why["last_error"].as_str().is_some_and(|error| error.contains(&taken)), "{why}");
    drop(held);
    den.ok(&["up"]);
    den.spawn("fox");
}

#[test]
fn d12_a_port_held_by_a_container_names_it() {
    let Some(first) = Den::docker("d12_a_port_held_by_a_container_names_it") else { return };
    let Some(second) = Den::docker("d12_a_port_held_by_a_container_names_it") else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let conf = format!("ports = [\"127.0.0.1:{port}:8000\"]");
    first.configure(Conf { parent: &conf, ..Conf::default() });
    second.configure(Conf { parent: &conf, ..Conf::default() });
    first.ok(&["up"]);
    let ran = second.run(&["up"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let taken = format!("port 127.0.0.1:{port} is taken by container {}-parent", first.bay);
    assert!(ran.stderr.contains(&taken), "{taken:?} in {ran:?}");
    nothing_left(&second);
}

/// What was made half is removed, at the latest a moment after the answer.
fn nothing_left(den: &Den) {
    until("nothing is left over", || match den.in_engine() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

#[test]
fn d11_an_image_that_is_not_there_is_said_and_nothing_pulled() {
    let Some(den) = Den::docker("d11_an_image_that_is_not_there_is_said_and_nothing_pulled") else { return };
    let ran = den.run(&["spawn", "fox", "-d", "--image", "no-such-image:7"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let said = "image \"no-such-image:7\" is not on this engine; pull or build it there first";
    assert!(ran.stderr.contains(said), "{ran:?}");
    assert_eq!(den.in_engine(), ["parent"]);
    until("its directories are gone", || {
        if den.state().join("workers/fox").exists() { Err("they are there".to_owned()) } else { Ok(()) }
    });
    den.spawn("fox");
}

#[test]
fn a_command_that_is_not_there_is_said() {
    let Some(den) = Den::docker("a_command_that_is_not_there_is_said") else { return };
    // The worker's init is what the engine starts; it finds nothing, and ends as a shell would.
    let ran = den.run(&["spawn", "fox", "-d", "--", "no-such-command"]);
    assert!(ran.code == 1 && ran.stderr.contains("its program \"no-such-command\" can't be run"), "{ran:?}");
    den.ok(&["spawn", "fox", "-d", "--", "sh", "-c", "no-such-command"]);
    den.until_state(&["fox"], "exited");
    assert_eq!(den.json(&["why", "fox"])["reason"], "exited with code 127 (the command was not found)");
    assert!(den.ok(&["logs", "fox"]).contains("no-such-command"));
    let ran = den.run(&["exec", "parent", "--", "no-such-command"]);
    assert!(matches!(ran.code, 1 | 126 | 127), "{ran:?}");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("no-such-command"), "{ran:?}");
    let ran = den.run(&["exec", "fox", "--", "true"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is not running"), "{ran:?}");
}
