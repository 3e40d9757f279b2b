//! Native services through the real binary: real shims, real processes.

use std::fs;
use std::time::{Duration, Instant};

use podbay::api::types::{ServiceRow, ServiceVerb};
use rustix::process::Signal;

use super::den::{Conf, Den};
use super::process::{alive, marked, signal};
use super::{until, within};

/// A `[[service]]` that runs this script.
pub fn service(name: &str, script: &str, extra: &str) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nrun = \"host\"\nreason = \"native-api\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n\
         backoff = {{ initial = \"20ms\", max = \"100ms\" }}\n{extra}\n"
    )
}

pub fn den(services: &[String]) -> Den {
    Den::fake_with(Conf { rest: &services.concat(), ..Conf::default() })
}

pub fn rows(den: &Den) -> Vec<ServiceRow> {
    den.wait(async |client| client.services().await).unwrap_or_default()
}

pub fn row(den: &Den, name: &str) -> ServiceRow {
    let rows = rows(den);
    rows.iter().find(|row| row.name == name).cloned().unwrap_or_else(|| panic!("no service {name} in {rows:#?}"))
}

/// Waits until a service's row is as wanted.
pub fn until_row(den: &Den, name: &str, what: &str, wanted: impl Fn(&ServiceRow) -> bool) -> ServiceRow {
    within(Duration::from_secs(20), &format!("{name} {what}"), || {
        let all = rows(den);
        let found = all.iter().find(|row| row.name == name).filter(|row| wanted(row)).cloned();
        found.ok_or_else(|| format!("{all:#?}"))
    })
    .0
}

pub fn until_state(den: &Den, name: &str, state: &str) -> ServiceRow {
    until_row(den, name, state, |row| row.state == state)
}

pub fn act(den: &Den, name: &str, verb: ServiceVerb) -> Result<String, String> {
    den.wait(async |client| client.service(name, verb).await).map(|done| done.text).map_err(|error| error.to_string())
}

pub fn lines(den: &Den, name: &str) -> Vec<String> {
    den.ok(&["service", "logs", name]).lines().map(str::to_owned).collect()
}

/// The pid of a service's shim.
pub fn shim(den: &Den, name: &str) -> u32 {
    let path = den.state().join("services").join(name).join("status.json");
    let status: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    u32::try_from(status["shim"]["pid"].as_u64().unwrap()).unwrap()
}

/// Living processes of this den whose command line has this word.
pub fn with_word(den: &Den, word: &str) -> Vec<u32> {
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|argument| argument == word)
    };
    marked(&den.bay).into_iter().filter(|pid| alive(*pid) && has(pid)).collect()
}

pub fn until_gone(den: &Den, word: &str) {
    until(&format!("no process {word}"), || match with_word(den, word) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

const TICKS: &str = "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.05; done";

#[test]
fn a_native_service_starts_is_listed_is_logged_is_stopped_and_goes_with_the_bay() {
    let den = den(&[
        service("tick", TICKS, "ports = [34011]"),
        service("once", "echo $WORD; exit 0", "restart = \"on-failure\"\nenv = { WORD = \"done\" }"),
    ]);
    den.ok(&["up"]);
    let tick = until_state(&den, "tick", "running");
    assert_eq!((tick.run.as_str(), tick.reason_for_host.as_deref()), ("host", Some("native-api")));
    assert_eq!((tick.ports.as_slice(), tick.restarts, tick.reason), (&[34011][..], 0, None));
    assert!(alive(tick.pid.unwrap()));
    let once = until_state(&den, "once", "exited");
    assert_eq!((once.last_exit.as_deref(), once.pid), (Some("exited with code 0"), None));
    assert_eq!(lines(&den, "once"), ["done"]);
    until("a few lines", || if lines(&den, "tick").len() >= 3 { Ok(()) } else { Err(String::new()) });
    assert_eq!(lines(&den, "tick")[..2], ["tick 1", "tick 2"]);

    assert_eq!(den.ok(&["service", "stop", "ti"]).trim(), "tick: stopped");
    let stopped = row(&den, "tick");
    assert_eq!((stopped.state.as_str(), stopped.reason.as_deref()), ("stopped", Some("stopped by request")));
    assert!(!alive(tick.pid.unwrap()));
    let refused = den.run(&["service", "start", "nobody"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert_eq!(den.ok(&["service", "restart", "tick"]).trim(), "tick: restarted");
    assert_ne!(until_state(&den, "tick", "running").pid, tick.pid);
    let status = den.json(&["status"]);
    assert_eq!(status["services"][0]["state"], "running");
    // The matrix is in `status` as people read it, too.
    let status = den.ok(&["status"]);
    assert!(status.contains("service   tick: running on the host for native-api, port 34011"), "{status}");
    let once = "service   once: exited on the host for native-api: exited with code 0: done";
    assert!(status.contains(once), "{status}");
    let why = den.json(&["why", "tick"]);
    assert_eq!((why["name"].as_str(), why["wanted"].as_str()), (Some("tick"), Some("running")));
    den.ok(&["down", "-y"]);
    until_gone(&den, "shim");
}

#[test]
fn h16_a_killed_supervisor_costs_no_service_a_line_or_a_restart_and_a_new_one_finds_all() {
    let den = den(&[service("tick", TICKS, "")]);
    den.ok(&["up"]);
    let pid = until_state(&den, "tick", "running").pid.unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        den.kill_supervisor();
        assert!(alive(pid), "it went with its supervisor");
        den.ok(&["service", "ls"]);
        let found = row(&den, "tick");
        assert_eq!((found.pid, found.restarts, found.state.as_str()), (Some(pid), 0, "running"));
    }
    let ticks = lines(&den, "tick");
    let expected: Vec<String> = (1..=ticks.len()).map(|n| format!("tick {n}")).collect();
    assert_eq!(ticks, expected, "after {:?}", begun.elapsed());
    // A service that ends while no supervisor is there is started again all the same.
    den.kill_supervisor();
    signal(pid, Signal::KILL);
    until("its shim starts it again", || {
        let path = den.state().join("services/tick/status.json");
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains("\"run\":2") { Ok(()) } else { Err(text) }
    });
    den.ok(&["service", "ls"]);
    let again = row(&den, "tick");
    assert_eq!((again.restarts, again.last_exit.as_deref()), (1, Some("ended by SIGKILL")));
}

/// What happened, and how it last ended, is told by the next supervisor as by the one that saw it.
#[test]
fn why_and_events_go_on_over_a_killed_supervisor() {
    let den = den(&[service("bad", "exit 9", "restart = \"no\"")]);
    den.run(&["up"]);
    until_state(&den, "bad", "failed");
    until("the history is kept", || {
        let kept = fs::read_to_string(den.state().join("history.json")).unwrap_or_default();
        if kept.contains("failed: exited with code 9") { Ok(()) } else { Err(kept) }
    });
    let told = |events: &str| events.lines().filter(|line| line.contains("failed: exited with code 9")).count();
    assert_eq!(told(&den.ok(&["events"])), 1);
    for round in 1..=2 {
        den.kill_supervisor();
        // The first thing that the next supervisor is asked.
        let why = den.ok(&["why", "bad"]);
        assert!(why.contains("failed") && !why.contains("has not answered yet"), "{why}");
        let events = until("it has looked", || {
            let events = den.ok(&["events"]);
            if events.matches("another supervisor begins").count() == round { Ok(events) } else { Err(events) }
        });
        assert!(told(&events) >= 1, "{events}");
        let numbers: Vec<u64> = den
            .ok(&["events", "--json"])
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["seq"].as_u64().unwrap()
            })
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let why = until("it is known", || {
            let why = den.json(&["why", "bad"]);
            if why["observed"].as_str().is_some_and(|seen| seen.starts_with("failed")) {
                Ok(why)
            } else {
                Err(why.to_string())
            }
        });
        assert_eq!(why["last_exit"], "exited with code 9");
        let history = why["history"].as_array().unwrap();
        assert!(history.iter().any(|line| line["text"] == "failed: exited with code 9"), "{why}");
        until("the history is kept", || {
            let kept = fs::read_to_string(den.state().join("history.json")).unwrap_or_default();
            if kept.matches("another supervisor begins").count() == round { Ok(()) } else { Err(kept) }
        });
    }
    // One that ends in order keeps the last line, too.
    den.ok(&["down", "-y"]);
    let events = den.ok(&["events"]);
    assert!(events.contains("svc-bad") && events.matches("another supervisor begins").count() == 3, "{events}");
    den.ok(&["down", "-y"]);
}

#[test]
fn a_killed_shim_takes_its_service_along_and_the_next_one_leaves_nothing_of_it() {
    let script = "setsid sleep 4001 & sleep 4002 & echo begun; wait";
    let den = den(&[service("tree", script, "")]);
    den.ok(&["up"]);
    let first = until_state(&den, "tree", "running").pid.unwrap();
    until("its children", || {
        if with_word(&den, "4001").len() + with_word(&den, "4002").len() == 2 { Ok(()) } else { Err(String::new()) }
    });
    signal(shim(&den, "tree"), Signal::KILL);
    let second = until_row(&den, "tree", "runs again", |row| row.state == "running" && row.pid != Some(first));
    assert!(!alive(first));
    assert_eq!(second.restarts, 1);
    until("one of each", || match (with_word(&den, "4001").len(), with_word(&den, "4002").len()) {
        (1, 1) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // Nobody is there to see it: the next supervisor's shim ends what was left.
    let second = second.pid.unwrap();
    den.kill_supervisor();
    signal(shim(&den, "tree"), Signal::KILL);
    den.ok(&["service", "ls"]);
    until_row(&den, "tree", "runs again", |row| row.state == "running" && row.pid != Some(second));
    den.ok(&["service", "stop", "tree"]);
    until_gone(&den, "4001");
    until_gone(&den, "4002");
}

#[test]
fn h03_h04_a_stop_ends_all_of_it_what_ignores_the_signal_too() {
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 4003' & while :; do sleep 4004; done";
    let den = den(&[service("deaf", script, "stop = { signal = \"SIGTERM\", timeout = \"300ms\" }")]);
    den.ok(&["up"]);
    until("its children", || if with_word(&den, "4003").is_empty() { Err(String::new()) } else { Ok(()) });
    let begun = Instant::now();
    assert_eq!(act(&den, "deaf", ServiceVerb::Stop), Ok("stopped".to_owned()));
    let took = begun.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!((with_word(&den, "4003"), with_word(&den, "4004")), (vec![], vec![]));
    assert_eq!(row(&den, "deaf").last_exit.as_deref(), Some("ended by SIGKILL"));
}

#[test]
fn h02_h06_h07_what_goes_into_the_background_closes_its_output_or_leaves_it_to_others_is_seen() {
    let den = den(&[
        service("daemon", "setsid sleep 4005 & exit 0", "restart = \"no\""),
        service("mute", "exec >&- 2>&-; sleep 4006", ""),
        service("heir", "sleep 4007 & echo last words; exit 7", "restart = \"no\""),
        service("ampersand", "sleep 4012 & exit 0", "restart = \"no\""),
        service("quick", "sleep 0.01 & exit 0", "restart = \"no\""),
    ]);
    // Two of them end badly, and `up` says so.
    let up = den.run(&["up"]);
    let daemon = until_state(&den, "daemon", "failed");
    assert!(daemon.reason.as_deref().unwrap_or_default().contains("went into the background"), "{daemon:?}\n{up:?}");
    until_gone(&den, "4005");
    let heir = until_state(&den, "heir", "failed");
    assert_eq!(heir.last_exit.as_deref(), Some("exited with code 7"));
    until_gone(&den, "4007");
    assert_eq!(lines(&den, "heir"), ["last words"]);
    let ampersand = until_state(&den, "ampersand", "exited");
    assert!(ampersand.reason.as_deref().unwrap_or_default().contains("went into the background"), "{ampersand:?}");
    until_gone(&den, "4012");
    let quick = until_state(&den, "quick", "exited");
    assert_eq!(quick.reason.as_deref(), Some("exited with code 0: done"), "what ends by itself is not ended");
    let mute = until_state(&den, "mute", "running");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!((row(&den, "mute").pid, row(&den, "mute").restarts), (mute.pid, 0), "closing its output is no end");
}

#[test]
fn h13_what_is_missing_is_named_and_a_port_with_its_holder() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broken = |name: &str, command: &str, extra: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nrun = \"host\"\nreason = \"stdio\"\ncommand = [{command}]\nrestart = \"no\"\n{extra}\n"
        )
    };
    let den = den(&[
        broken("program", "\"/no/such/program\"", ""),
        broken("directory", "\"true\"", "cwd = \"/no/such/directory\""),
        broken("file", "\"/dev/null\"", ""),
        broken("taken", "\"sleep\", \"4008\"", &format!("ports = [{port}]")),
    ]);
    let up = den.run(&["up"]);
    assert_eq!(up.code, 1, "{up:?}");
    for (name, words) in [
        ("program", "\"/no/such/program\" was not found"),
        ("directory", "its directory /no/such/directory does not exist"),
        ("file", "\"/dev/null\" may not be executed"),
    ] {
        let row = until_state(&den, name, "failed");
        assert!(row.reason.as_deref().unwrap_or_default().contains(words), "{row:?}");
    }
    let taken = until_state(&den, "taken", "backoff");
    let reason = taken.reason.unwrap();
    assert!(reason.starts_with(&format!("port {port} is held by ")), "{reason}");
    assert!(reason.ends_with(&format!("(pid {})", std::process::id())), "{reason}");
    assert!(taken.next_start_at.is_some());
    drop(listener);
    until_state(&den, "taken", "running");
}

#[test]
fn dependencies_start_in_order_wait_with_a_reason_and_stop_in_reverse() {
    let den = den(&[
        service("web", "echo web; exec sleep 4009", "depends_on = { base = \"ready\", migrate = \"exited\" }"),
        service("migrate", "sleep 0.1; echo migrated", "restart = \"no\"\ndepends_on = { base = \"started\" }"),
        service(
            "base",
            "sleep 0.2; echo base is up; trap 'sleep 0.2; exit 0' TERM; while :; do sleep 0.05; done",
            "ready = { log = \"is up\", interval = \"50ms\" }",
        ),
        service("stuck", "exec sleep 4010", "depends_on = { broken = \"exited\" }"),
        service("broken", "exit 4", "restart = \"no\""),
    ]);
    let up = den.run(&["up"]);
    assert_eq!(up.code, 1, "{up:?}");
    assert!(up.stderr.contains("broken"), "{up:?}");
    let web = until_state(&den, "web", "running");
    assert_eq!(until_row(&den, "base", "is ready", |row| row.ready == Some(true)).state, "running");
    let base = row(&den, "base");
    assert!(web.started_at > base.started_at);
    let stuck = until_state(&den, "stuck", "waiting");
    let reason = stuck.reason.unwrap();
    assert!(reason.contains("waits for broken to end with success, which failed"), "{reason}");
    let (web, base) = (web.pid.unwrap(), base.pid.unwrap());
    let mut down = den
        .command(&["down", "-y"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut web_went_first = false;
    until("all are gone", || {
        web_went_first |= !alive(web) && alive(base);
        if alive(base) { Err("base".to_owned()) } else { Ok(()) }
    });
    assert!(down.wait().unwrap().success());
    assert!(web_went_first, "what waits for it stops before it");
}

#[test]
fn h14_a_reload_touches_only_what_changed() {
    let services = |word: &str, third: bool| {
        let third = if third { service("third", "exec sleep 4013", "") } else { String::new() };
        [service("same", "exec sleep 4011", ""), service("other", &format!("exec sleep {word}"), ""), third].concat()
    };
    let den = Den::fake_with(Conf { rest: &services("4012", false), ..Conf::default() });
    den.ok(&["up"]);
    let same = until_state(&den, "same", "running").pid;
    let other = until_state(&den, "other", "running").pid;
    let config = den.path("c/podbay/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    // Wrong in one place, and right in another, which is not taken either.
    let wrong = text.replace("4012", "4014").replacen("reason = ", "raeson = ", 1);
    fs::write(&config, &wrong).unwrap();
    let line = wrong.lines().position(|line| line.starts_with("raeson")).unwrap() + 1;
    let ran = den.run(&["up"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    for said in [format!("config.toml:{line}:"), "raeson".to_owned(), "reason".to_owned()] {
        assert!(ran.stderr.contains(&said), "{said}: {ran:?}");
    }
    assert_eq!(with_word(&den, "4014"), [0; 0], "an invalid file changes nothing");
    assert_eq!((row(&den, "same").pid, row(&den, "other").pid), (same, other), "an invalid file changes nothing");
    assert_eq!((row(&den, "same").restarts, row(&den, "other").restarts), (0, 0));
    fs::write(&config, text.replace("4012", "4014") + &service("third", "exec sleep 4013", "")).unwrap();
    den.ok(&["up"]);
    until_row(&den, "other", "is another", |row| row.state == "running" && row.pid != other);
    assert_eq!((with_word(&den, "4012"), with_word(&den, "4014").len()), (vec![], 1));
    let third = until_state(&den, "third", "running").pid;
    assert_eq!((row(&den, "same").pid, row(&den, "same").restarts), (same, 0));
    // What only its shim follows is told to it: nothing is started anew.
    let other = row(&den, "other").pid;
    let patient = fs::read_to_string(&config).unwrap().replace("max = \"100ms\"", "max = \"200ms\"");
    let patient = patient.replace("\"native-api\"", "\"stdio\"");
    fs::write(&config, patient).unwrap();
    signal(den.supervisor(), Signal::HUP);
    until("its shim knows", || {
        let status = fs::read_to_string(den.state().join("services/same/status.json")).unwrap();
        if status.contains("\"last_order\":0,") { Err(status) } else { Ok(()) }
    });
    den.ok(&["up"]);
    let pids = ["same", "other", "third"].map(|name| row(&den, name).pid);
    assert_eq!(pids, [same, other, third]);
    fs::write(&config, text.replace(&service("other", "exec sleep 4012", ""), "")).unwrap();
    den.ok(&["up"]);
    until("other and third are gone", || match rows(&den).as_slice() {
        [only] if only.name == "same" && only.pid == same => Ok(()),
        rows => Err(format!("{rows:#?}")),
    });
    until_gone(&den, "4013");
    until_gone(&den, "4014");
}

/// A line that is to say that it is ready counts for the run that goes on, also when it was said before anybody waited.
#[test]
fn a_line_that_a_reload_waits_for_is_found_in_the_run_that_goes_on() {
    let says = "echo hello is up; trap 'echo asked for more' USR1; while :; do sleep 0.02; done";
    let of = |extra: &str| service("says", says, extra);
    let den = den(&[of("")]);
    den.ok(&["up"]);
    let pid = until_state(&den, "says", "running").pid;
    until("it said so", || if lines(&den, "says").is_empty() { Err(String::new()) } else { Ok(()) });
    let config = den.path("c/podbay/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    for (log, ready) in [("is up", true), ("asked for more", false)] {
        let pace = "interval = \"50ms\", retries = 1, start_period = \"0s\"";
        fs::write(&config, text.replace(&of(""), &of(&format!("ready = {{ log = \"{log}\", {pace} }}")))).unwrap();
        signal(den.supervisor(), Signal::HUP);
        until_row(&den, "says", log, |row| row.ready == Some(ready));
    }
    signal(pid.unwrap(), Signal::USR1);
    until_row(&den, "says", "is ready", |row| row.ready == Some(true));
    assert_eq!((row(&den, "says").pid, row(&den, "says").restarts), (pid, 0));
    den.ok(&["down", "-y"]);
}

#[test]
fn h10_probes_decide_readiness_and_life_and_what_hangs_is_killed() {
    let den = den(&[
        service(
            "flaky",
            "exec sleep 4015",
            "live = { exec = [\"sh\", \"-c\", \"echo no good >&2; exit 1\"], interval = \"20ms\", timeout = \"5s\", retries = 2 }",
        ),
        service(
            "hangs",
            "exec sleep 4016",
            "ready = { exec = [\"sh\", \"-c\", \"sleep 4017 & sleep 4018\"], interval = \"50ms\", timeout = \"100ms\", retries = 2 }",
        ),
    ]);
    den.ok(&["up"]);
    let flaky = until_row(&den, "flaky", "was restarted", |row| row.restarts > 0);
    let exit = flaky.last_exit.unwrap();
    assert!(exit.contains("ended for its liveness probe: sh exited with code 1: no good"), "{exit}");
    let hangs =
        until_row(&den, "hangs", "fails", |row| row.reason.as_deref().unwrap_or_default().contains("was killed"));
    assert_eq!((hangs.state.as_str(), hangs.ready), ("running", Some(false)));
    assert!(with_word(&den, "4017").len() <= 1, "probes pile up");
}

#[test]
fn container_services_follow_the_same_rules_in_the_same_graph() {
    let container = |name: &str, script: &str, extra: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nimage = \"host\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n\
             backoff = {{ initial = \"100ms\", max = \"500ms\" }}\nstop = {{ timeout = \"1s\" }}\n{extra}\n"
        )
    };
    let services = [
        container(
            "base",
            "echo base is up; exec sleep 4019",
            "network = \"none\"\nready = { log = \"is up\", interval = \"100ms\" }\nlive = { exec = [\"true\"], interval = \"500ms\" }",
        ),
        service("native", "exec sleep 4020", "depends_on = { base = \"ready\" }"),
        container("shared", "exec sleep 4021", "depends_on = { native = \"started\" }"),
        container("bad", "exit 5", "network = \"none\"\nstart_limit = { burst = 2, interval = \"60s\" }"),
    ];
    let Some(den) = Den::docker_with(
        "container_services_follow_the_same_rules_in_the_same_graph",
        Conf { rest: &services.concat(), ..Conf::default() },
    ) else {
        return;
    };
    den.run(&["up"]);
    let shared = until_state(&den, "shared", "running");
    assert_eq!((shared.run.as_str(), shared.reason_for_host), ("container", None));
    assert_eq!(until_row(&den, "base", "is ready", |row| row.ready == Some(true)).state, "running");
    let bad = until_state(&den, "bad", "failed");
    assert!(
        bad.reason.as_deref().unwrap_or_default().contains("exited with code 5; it was started 2 times"),
        "{bad:?}"
    );
    assert_eq!(lines(&den, "base"), ["base is up"]);
    let label = den.inspect("svc-base")["Config"]["Labels"]["podbay.role"].clone();
    assert_eq!((label.as_str(), den.row("svc-base").unwrap().role.as_str()), (Some("service"), "service"));
    // Adopted as it is, what was given up stays so.
    let (id, native) = (den.id("svc-base"), row(&den, "native").pid);
    den.kill_supervisor();
    den.ok(&["service", "ls"]);
    assert_eq!(
        (den.id("svc-base"), row(&den, "native").pid, row(&den, "bad").state),
        (id, native, "failed".to_owned())
    );
    assert_eq!(until_state(&den, "base", "running").restarts, 0);
    // A death is followed by another run.
    den.docker.act(&format!("{}-svc-base", den.bay), "kill");
    until_row(&den, "base", "runs again", |row| row.state == "running" && row.restarts == 1);
    assert_eq!(act(&den, "base", ServiceVerb::Stop), Ok("stopped".to_owned()));
    assert_eq!(row(&den, "base").state, "stopped");
    // A changed definition is a container anew; one that is not wanted any more is removed.
    let file = den.path("c/podbay/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("4021", "4022").replace(&services[3], "")).unwrap();
    let before = den.id("svc-shared");
    den.ok(&["up"]);
    until_state(&den, "shared", "running");
    assert_ne!(den.id("svc-shared"), before);
    until("bad is removed", || {
        let names = den.in_engine();
        if names.iter().any(|name| name == "svc-bad") { Err(format!("{names:?}")) } else { Ok(()) }
    });
    den.ok(&["down", "-y"]);
    until_gone(&den, "shim");
}

/// A service has the user's umask, not the supervisor's, and nothing of what whoever said `up` had open.
#[test]
fn a_service_begins_with_a_clean_table() {
    let script = "umask; ls -l /proc/self/fd; echo told; exec sleep 5011";
    let den = den(&[service("plain", script, "")]);
    let held = den.path("held");
    // As a script does that holds a lock while it calls the verb.
    let mut up = std::process::Command::new("sh");
    up.arg("-c").arg("umask 027; exec 9>\"$1\"; shift; exec \"$@\"").arg("sh").arg(&held);
    up.arg(&den.binary).args(["up"]).env_clear().current_dir(den.path("h")).envs(den.variables());
    let ran = super::process::finish(up, &["up"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    until("it has told", || {
        let said = lines(&den, "plain");
        if said.iter().any(|line| line.ends_with("told")) { Ok(()) } else { Err(format!("{said:?}")) }
    });
    let said = lines(&den, "plain");
    assert!(said.iter().any(|line| line.ends_with("0027")), "{said:#?}");
    let name = held.display().to_string();
    assert!(!said.iter().any(|line| line.contains(&name)), "{said:#?}");
    for pid in [den.supervisor(), shim(&den, "plain")] {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let links: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        assert!(!links.contains(&held), "{pid}: {links:?}");
    }
    den.ok(&["down", "-y"]);
}

/// It would be one of the service's processes, and end with it.
#[test]
fn a_service_starts_no_supervisor() {
    let den = den(&[]);
    let mut verb = den.command(&["ls"]);
    verb.env("PODBAY_SERVICE", "bay/brain:17-ab");
    let ran = super::process::finish(verb, &["ls"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("a process of the service bay/brain starts none"), "{ran:?}");
    assert!(den.supervisors().is_empty());
    den.ok(&["ls"]);
    let mut verb = den.command(&["ls"]);
    verb.env("PODBAY_SERVICE", "bay/brain:17-ab");
    assert_eq!(super::process::finish(verb, &["ls"]).code, 0, "one that runs is used");
}

#[test]
fn a_followed_log_goes_on_over_a_rotation_and_another_supervisor() {
    let script = "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.01; done";
    let worker = "[worker.limits]\nlog_max_size = \"4k\"\nlog_max_files = 100\n";
    let den = Den::fake_with(Conf { rest: &format!("{worker}{}", service("tick", script, "")), ..Conf::default() });
    den.ok(&["up"]);
    let file = den.path("followed");
    let mut follow = den.command(&["service", "logs", "-f", "tick"]);
    let mut follow =
        follow.stdout(fs::File::create(&file).unwrap()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let shown = || fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let more = |count: usize| {
        let before = shown().len();
        until("more lines", || if shown().len() >= before + count { Ok(()) } else { Err(format!("{before}")) });
    };
    more(100);
    for _ in 0..2 {
        den.kill_supervisor();
        den.ok(&["service", "ls"]);
        more(100);
    }
    signal(follow.id(), Signal::KILL);
    follow.wait().unwrap();
    let lines = shown();
    // The last one may be half.
    let expected: Vec<String> = (1..lines.len()).map(|n| format!("tick {n}")).collect();
    assert_eq!(lines[..lines.len() - 1], expected);
    assert!(fs::read_dir(den.state().join("services/tick/log")).unwrap().count() > 2, "it was rotated");
    den.ok(&["down", "-y"]);
}

/// As systemd gives them: a directory that a variable names, and nothing of them in the environment.
#[test]
fn a_native_service_has_its_secrets_as_files() {
    let script = "cat $CREDENTIALS_DIRECTORY/token; stat -c %a $CREDENTIALS_DIRECTORY $CREDENTIALS_DIRECTORY/token; \
                  env | grep -c hush; exec sleep 5012";
    let den = den(&[service("keeper", script, "secrets = [\"token\"]")]);
    let secrets = den.path("c/podbay/secrets");
    fs::create_dir_all(&secrets).unwrap();
    let refused = den.run(&["up"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("does not exist; put the secret there, with mode 0600"), "{refused:?}");
    fs::write(secrets.join("token"), "hush-hush\n").unwrap();
    fs::set_permissions(secrets.join("token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    den.ok(&["service", "start", "keeper"]);
    until("it has read it", || match lines(&den, "keeper") {
        said if said.len() == 4 => Ok(()),
        said => Err(format!("{said:?}")),
    });
    assert_eq!(lines(&den, "keeper"), ["hush-hush", "700", "400", "0"]);
}

#[test]
fn only_root_runs_a_service_as_another_user() {
    let script = "id -u; id -G; echo again > /dev/stdout; echo $HOME $USER; exec sleep 5013";
    let probe = "ready = { exec = [\"sh\", \"-c\", \"test $(id -u) = 65534\"], interval = \"50ms\" }\ncwd = \"/\"";
    let den = den(&[
        service("other", script, &format!("user = \"nobody\"\n{probe}")),
        service("nobody", "exec sleep 5014", "user = \"no-such-user\"\nrestart = \"no\""),
    ]);
    den.run(&["up"]);
    let unknown = until_state(&den, "nobody", "backoff");
    assert!(unknown.reason.is_some_and(|reason| reason.contains("nobody is called so here")));
    if !rustix::process::geteuid().is_root() {
        let refused = until_state(&den, "other", "backoff");
        return assert!(refused.reason.is_some_and(|reason| reason.contains("only root can do that")));
    }
    let nobody = fs::read_to_string("/etc/passwd").unwrap();
    let nobody: Vec<&str> = nobody.lines().find(|line| line.starts_with("nobody:")).unwrap().split(':').collect();
    until("it has told", || match lines(&den, "other") {
        said if said.len() == 4 => Ok(()),
        said => Err(format!("{said:?}")),
    });
    assert_eq!(lines(&den, "other"), [nobody[2], nobody[3], "again", &format!("{} nobody", nobody[5])]);
    if nobody[2] == "65534" {
        until_row(&den, "other", "is asked as it runs", |row| row.ready == Some(true));
    }
}

/// The supervisor sees a list of groups of the test's own, in a mount namespace.
#[test]
fn who_runs_a_service_has_their_groups() {
    let test = "who_runs_a_service_has_their_groups";
    let asks = "test \"$(id -G)\" = \"$(id -g) 4029 4106\"";
    let probe =
        format!("ready = {{ exec = [\"sh\", \"-c\", '{asks}'], interval = \"50ms\" }}\ncwd = \"/\"\nuser = \"nobody\"");
    let den = den(&[service("other", "id -G; exec sleep 5015", &probe)]);
    let group = den.path("group");
    fs::write(&group, "heard:x:4029:ann,nobody\nseen:x:4044:ann\ndrawn:x:4106:nobody\n").unwrap();
    let script = format!("mount --bind {} /etc/group && exec \"$@\"", group.display());
    let mut up = std::process::Command::new("unshare");
    up.args(["--mount", "sh", "-c", &script, "sh"]).arg(&den.binary).args(["up"]).env_clear().envs(den.variables());
    let up = up.current_dir(den.path("h")).stdin(std::process::Stdio::null());
    let may = std::process::Command::new("unshare").args(["--mount", "true"]).status();
    if !rustix::process::geteuid().is_root() || !may.is_ok_and(|status| status.success()) {
        return super::skip(test, "only root, in a mount namespace, can show it another list of groups");
    }
    let ran = up.output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    until_row(&den, "other", "its probe has them, too", |row| row.ready == Some(true));
    let own = lines(&den, "other").join("");
    assert!(own.ends_with(" 4029 4106") && own.split(' ').count() == 3, "{own}");
}

/// Every verb that takes a name takes a service's, as `service ls` shows it.
#[test]
fn a_service_is_meant_by_its_plain_name_everywhere() {
    let den = den(&[service("stream", TICKS, ""), service("once", "echo over", "restart = \"on-failure\"")]);
    den.ok(&["up"]);
    let first = until_state(&den, "stream", "running").pid;
    until_state(&den, "once", "exited");
    for word in ["once", "on", "svc-once", "service/once"] {
        assert_eq!(den.ok(&["logs", word]), "over\n", "{word}");
        assert_eq!(den.json(&["why", word])["name"], "once", "{word}");
    }
    assert_eq!(den.ok(&["restart", "stream"]), "stream: restarted\n");
    let second = until_row(&den, "stream", "runs again", |row| row.state == "running" && row.pid != first);
    assert_eq!(second.restarts, 0, "it was asked for");
    assert_eq!(den.ok(&["stop", "str"]), "stream: stopped\n");
    assert_eq!(row(&den, "stream").reason.as_deref(), Some("stopped by request"));
    assert_eq!(den.ok(&["start", "s*"]), "stream: started\n");
    until_state(&den, "stream", "running");
    for (args, code, said) in [
        (&["rm", "-f", "stream"][..], 2, "stream is a service, nothing removed"),
        (&["exec", "stream", "true"], 1, "stream runs on this machine itself"),
        (&["send", "stream", "hello"], 1, "stream runs on this machine itself"),
        (&["refresh", "strem"], 5, "did you mean \"stream\"?"),
        (&["spawn", "-d", "stream"], 2, "stream is the name of a service of this bay"),
        (&["stop", "worker/stream"], 5, "no such name: \"worker/stream\""),
    ] {
        let ran = den.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {ran:?}");
    }
    assert_eq!(row(&den, "stream").state, "running");
    den.ok(&["down", "-y"]);
}
