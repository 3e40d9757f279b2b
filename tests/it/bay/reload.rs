//! Another configuration for a bay that runs: by `up`, by SIGHUP, and with another engine.

use std::fs;

use rustix::process::Signal;

use super::den::{Conf, Den};
use super::process::signal;
use super::until;
use crate::fake_daemon::FakeDaemon;

fn pid(den: &Den) -> u32 {
    den.wait(async |client| client.status().await).unwrap().pid
}

fn troubles(den: &Den) -> Vec<String> {
    den.wait(async |client| client.status().await).unwrap().troubles
}

#[test]
fn up_says_what_it_takes_and_sighup_says_what_is_wrong() {
    let den = Den::fake();
    den.spawn("fox");
    let started = den.row("fox").unwrap().started_at;
    let file = den.path("c/podbay/config.toml");
    let good = fs::read_to_string(&file).unwrap();
    let changed = format!("{good}\n[worker.limits]\nmemory = \"1g\"\n[[template]]\nname = \"lab\"\n");
    fs::write(&file, &changed).unwrap();
    let ran = den.run(&["up"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for said in ["+ template lab", "~ template default: limits.memory", "podbay refresh fox"] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
    assert!(!den.run(&["up"]).stderr.contains("template"), "once");

    let line = changed.lines().count() + 1;
    let place = format!("config.toml:{line}:1");
    let shown = || {
        let troubles = troubles(&den);
        if troubles.iter().any(|text| text.contains(&place)) { Ok(()) } else { Err(format!("{troubles:?}")) }
    };
    fs::write(&file, format!("{changed}nmae = 1\n")).unwrap();
    let ran = den.run(&["up"]);
    assert!(ran.code == 2 && ran.stderr.contains(&place), "{ran:?}");
    until("the trouble is shown by who was asked to come up", shown);
    let doctor = den.run(&["doctor"]);
    let line_of = |check: &str| doctor.stdout.lines().find(|line| line.starts_with(check)).unwrap_or_default();
    assert!(doctor.code == 1 && line_of("configuration").contains(&place), "{doctor:?}");
    assert!(line_of("engine").contains("answers at"), "{doctor:?}");
    fs::write(&file, &changed).unwrap();
    den.ok(&["up"]);
    assert_eq!(troubles(&den), Vec::<String>::new());
    fs::write(&file, format!("{changed}nmae = 1\n")).unwrap();
    signal(pid(&den), Signal::HUP);
    until("the trouble is shown", shown);
    fs::write(&file, good).unwrap();
    signal(pid(&den), Signal::HUP);
    until("the trouble is over", || {
        let troubles = troubles(&den);
        if troubles.is_empty() { Ok(()) } else { Err(format!("{troubles:?}")) }
    });
    assert_eq!(den.row("fox").unwrap().started_at, started, "nothing that runs was touched");
}

#[test]
fn another_engine_is_taken_by_a_new_supervisor_and_the_old_one_keeps_its_containers() {
    let den = Den::fake();
    den.spawn("fox");
    let (first, file) = (pid(&den), den.path("c/podbay/config.toml"));
    let here = fs::read_to_string(&file).unwrap();
    let other = FakeDaemon::start();
    fs::write(&file, here.replace(&den.docker.socket.display().to_string(), &other.socket.display().to_string()))
        .unwrap();
    let ran = den.run(&["up"]);
    assert!(ran.code == 0 && ran.stderr.contains("a new supervisor takes over"), "{ran:?}");
    assert!(pid(&den) != first && den.row("fox").is_none(), "{:?}", den.rows());
    fs::write(&file, here).unwrap();
    den.ok(&["up"]);
    den.until_state(&["fox"], "running");
    // What the second engine was given is not this test's to leave.
    drop(other);
    den.configure(Conf::default());
}
