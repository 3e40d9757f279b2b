//! Shims that are killed, stopped, cut off, or of another version, and what they leave: by the real binary.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use podbay::api::client::TerminalMessage;
use podbay::api::types::{ServiceRow, ServiceVerb};
use podbay::bay::session::TermSize;
use rustix::process::Signal;

use super::den::{Conf, Den};
use super::process::{alive, signal};
use super::pty::Pty;
use super::services::{act, den, lines, row, service, shim, until_gone, until_row, until_state, with_word};
use super::until;

/// Processes of this machine whose command line has this word, marked or not.
fn anywhere(word: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    pids.filter(|pid| alive(*pid) && has(pid)).collect()
}

fn reason(row: &ServiceRow) -> &str {
    row.reason.as_deref().unwrap_or_default()
}

/// It cleared its environment, left its session and closed nothing: its shim can't find it by its mark.
#[test]
fn what_a_killed_shim_left_is_found_by_the_lock_that_it_holds() {
    let word = format!("41{:06}", std::process::id());
    let den = den(&[service("tree", &format!("env -i setsid sleep {word} & exec sleep 4102"), "")]);
    den.ok(&["up"]);
    let main = until_state(&den, "tree", "running").pid;
    let left = until("it has left", || match anywhere(&word).as_slice() {
        [one] => Ok(*one),
        other => Err(format!("{other:?}")),
    });
    assert!(with_word(&den, &word).is_empty(), "it has no mark");
    signal(shim(&den, "tree"), Signal::KILL);
    until_row(&den, "tree", "runs again", |row| row.state == "running" && row.pid != main);
    assert!(!alive(left), "what was left was ended before another run began");
    until("its own", || if anywhere(&word).len() == 1 { Ok(()) } else { Err(format!("{:?}", anywhere(&word))) });
    assert_eq!(act(&den, "tree", ServiceVerb::Stop), Ok("stopped".to_owned()));
    assert_eq!(anywhere(&word), [0; 0]);
}

/// Its main process lost its tie to the shim, as by a set-uid program; the other has no mark, no session and no file.
#[test]
fn what_hides_is_found_by_the_main_process_that_outlived_its_shim() {
    let word = format!("42{:06}", std::process::id());
    let closes = "for at in /proc/$$/fd/*; do at=${at##*/}; [ $at -gt 2 ] && eval \"exec $at>&-\"; done";
    let hides = format!("{closes}; exec sleep {word}");
    let script = format!("env -i setsid bash -c '\\''{hides}'\\'' </dev/null >/dev/null 2>&1 & exec sleep 4115");
    let den = den(&[service("tree", &format!("exec setpriv --pdeathsig clear sh -c '{script}'"), "")]);
    den.ok(&["up"]);
    let main = until_state(&den, "tree", "running").pid;
    let hidden = || match anywhere(&word).as_slice() {
        [one] => Ok(*one),
        other => Err(format!("{other:?}")),
    };
    let left = until("it hides", hidden);
    let files = fs::read_dir(format!("/proc/{left}/fd")).unwrap().count();
    assert_eq!(files, 3, "it closed what it had");
    den.kill_supervisor();
    signal(shim(&den, "tree"), Signal::KILL);
    assert!(alive(main.unwrap()), "it is not tied to its shim");
    den.ok(&["service", "ls"]);
    until_row(&den, "tree", "runs again", |row| row.state == "running" && row.pid != main);
    assert!(!alive(left), "what hid was ended before another run began");
    until("its own", hidden);
    assert_eq!(act(&den, "tree", ServiceVerb::Stop), Ok("stopped".to_owned()));
    assert_eq!(anywhere(&word), [0; 0]);
}

#[test]
fn who_holds_the_lock_and_is_not_of_the_service_is_named_and_left_alone() {
    let den = den(&[service("web", "exec sleep 4103", "")]);
    den.ok(&["up"]);
    until_state(&den, "web", "running");
    act(&den, "web", ServiceVerb::Stop).unwrap();
    until_gone(&den, "shim");
    let lock = File::open(den.state().join("services/web/run.lock")).unwrap();
    lock.lock().unwrap();
    let own = std::process::id().to_string();
    let refused = act(&den, "web", ServiceVerb::Start).unwrap_err();
    assert!(
        refused.contains("processes of an earlier run can't be ended: pid ") && refused.contains(&own),
        "{refused}"
    );
    assert!(!refused.contains("another shim"), "{refused}");
    assert!(reason(&row(&den, "web")).contains(&own));
    drop(lock);
    until_state(&den, "web", "running");
}

#[test]
fn h16_a_shim_that_does_not_answer_is_left_alone_until_it_does() {
    let den = den(&[service("web", "exec sleep 4104", "")]);
    den.ok(&["up"]);
    let pid = until_state(&den, "web", "running").pid;
    let (shim, first) = (shim(&den, "web"), row(&den, "web"));
    signal(shim, Signal::STOP);
    den.kill_supervisor();
    den.ok(&["service", "ls"]);
    let mute = until_state(&den, "web", "unknown");
    assert!(reason(&mute).contains("does not answer within"), "{mute:?}");
    let refused = act(&den, "web", ServiceVerb::Restart).unwrap_err();
    assert!(refused.contains("can't be spoken with"), "{refused}");
    assert_eq!(with_word(&den, "4104").len(), 1, "never two of one service");
    signal(shim, Signal::CONT);
    let now = until_row(&den, "web", "runs", |row| row.state == "running");
    // It was to be restarted, and is: once, by the shim that it had.
    let again = until_row(&den, "web", "is restarted", |row| row.state == "running" && row.pid != pid);
    assert_eq!((again.restarts, now.name), (0, first.name), "by hand");
    let status = fs::read_to_string(den.state().join("services/web/status.json")).unwrap();
    assert!(status.contains("\"run\":2,"), "{status}");
    assert_eq!(super::services::shim(&den, "web"), shim);
    assert_eq!(with_word(&den, "4104").len(), 1);
}

#[test]
fn a_shim_whose_socket_was_removed_makes_another() {
    let den = den(&[service("web", "exec sleep 4105", "")]);
    den.ok(&["up"]);
    let (pid, shim) = (until_state(&den, "web", "running").pid, shim(&den, "web"));
    fs::remove_file(den.state().join("services/web/sock")).unwrap();
    den.kill_supervisor();
    den.ok(&["service", "ls"]);
    let found = until_state(&den, "web", "running");
    assert_eq!((found.pid, found.restarts), (pid, 0));
    assert_eq!(super::services::shim(&den, "web"), shim);
}

/// An upgrade meets shims of the podbay before it, a way back those of the podbay after it.
#[test]
fn a_shim_of_another_version_is_left_alone_with_a_word_or_spoken_with() {
    let den = den(&[service("web", "exec sleep 4106", "")]);
    let dir = den.state().join("services/web");
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("shim.lock")).unwrap();
    lock.lock().unwrap();
    let listener = UnixListener::bind(dir.join("sock")).unwrap();
    let says =
        std::sync::Arc::new(std::sync::Mutex::new(r#"{"version":9,"shim":{"pid":77},"state":"napping"}"#.to_owned()));
    let (told, heard) = std::sync::mpsc::channel();
    let words = says.clone();
    // Ends with this process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut writing = stream.try_clone().unwrap();
            let line = words.lock().unwrap().clone();
            let _ = writeln!(writing, "{line}");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        }
    });
    let up = den.run(&["up"]);
    assert_eq!(up.code, 1, "{up:?}");
    let strange = until_state(&den, "web", "unknown");
    assert!(reason(&strange).contains("of another podbay (pid 77, protocol 9; this one speaks 1)"), "{strange:?}");
    assert_eq!(with_word(&den, "4106"), [0; 0], "nothing is put in its place");
    assert_eq!(heard.iter().next().unwrap(), r#"{"version":1,"ask":"control"}"#);
    // One that says more than is known, and what is known.
    *says.lock().unwrap() =
        r#"{"version":2,"shim":{"pid":78,"start":1},"state":"running","main":{"pid":79,"start":1},"mood":"good"}"#
            .to_owned();
    let known = until_state(&den, "web", "running");
    assert_eq!((known.pid, known.reason), (Some(79), None));
    drop(lock);
}

#[test]
fn a_shim_refuses_what_it_does_not_know_and_its_service_goes_on() {
    let den = den(&[service("web", "exec sleep 4107", "")]);
    den.ok(&["up"]);
    let pid = until_state(&den, "web", "running").pid;
    let stream = std::os::unix::net::UnixStream::connect(den.state().join("services/web/sock")).unwrap();
    let mut writing = stream.try_clone().unwrap();
    // As a podbay of later says it.
    writing
        .write_all(b"{\"version\":7,\"ask\":\"control\",\"as\":\"podbay 9\"}\n{\"id\":1,\"order\":{\"dance\":3}}\n")
        .unwrap();
    let mut statuses = BufReader::new(stream).lines().map_while(Result::ok);
    let refused = statuses.find(|line| line.contains("\"refused\":{")).unwrap();
    assert!(refused.contains("\"id\":1") && refused.contains("dance"), "{refused}");
    let now = row(&den, "web");
    assert_eq!((now.state.as_str(), now.pid, now.restarts), ("running", pid, 0));
}

#[test]
fn what_a_killed_shim_had_not_read_is_in_the_log() {
    let script = "n=0; while :; do n=$((n+1)); echo $$ $n; echo $$ $n >> witness; echo $$ e$n >&2; sleep 0.01; done";
    let den = den(&[service("web", script, "")]);
    let said = || fs::read_to_string(den.path("h/witness")).unwrap_or_default();
    let says = |more: usize| {
        let before = said().lines().count();
        until("it goes on", || if said().lines().count() >= before + more { Ok(()) } else { Err(said()) });
    };
    den.ok(&["up"]);
    let pid = until_state(&den, "web", "running").pid.unwrap();
    says(3);
    // It reads nothing from now on, and its service goes on.
    signal(shim(&den, "web"), Signal::STOP);
    says(20);
    den.kill_supervisor();
    signal(shim(&den, "web"), Signal::KILL);
    until("it went with its shim", || if alive(pid) { Err(String::new()) } else { Ok(()) });
    let said = said();
    den.ok(&["service", "ls"]);
    until_row(&den, "web", "runs again", |row| row.state == "running" && row.pid != Some(pid));
    let logged = lines(&den, "web");
    let lost: Vec<&str> = said.lines().filter(|line| !logged.iter().any(|known| known == line)).collect();
    assert_eq!(lost, [""; 0]);
    assert!(logged.contains(&format!("{pid} e20")), "stderr, too");
    // Who holds what was not read goes with the last shim.
    let holders = with_word(&den, "podbay-holder");
    assert_eq!(holders.len(), 1, "{holders:?}");
    den.ok(&["down", "-y"]);
    until_gone(&den, "podbay-holder");
}

#[test]
fn readiness_by_a_line_outlives_the_line_and_the_supervisor() {
    let flood =
        "echo is up; n=0; while [ $n -lt 3000 ]; do n=$((n+1)); echo a line of no meaning $n; done; exec sleep 4108";
    let services = service("web", flood, "ready = { log = \"is up\", interval = \"50ms\" }");
    let worker = "[worker.limits]\nlog_max_size = \"4k\"\nlog_max_files = 2\n";
    let den = Den::fake_with(Conf { rest: &format!("{worker}{services}"), ..Conf::default() });
    den.ok(&["up"]);
    let ready = until_row(&den, "web", "is ready", |row| row.ready == Some(true));
    until("the line is rotated away", || {
        let lines = lines(&den, "web");
        let last = lines.last().is_some_and(|line| line.ends_with(" 3000"));
        if last && !lines.iter().any(|line| line == "is up") { Ok(()) } else { Err(format!("{} lines", lines.len())) }
    });
    den.kill_supervisor();
    den.ok(&["service", "ls"]);
    let found = until_row(&den, "web", "is ready", |row| row.ready == Some(true));
    assert_eq!((found.pid, found.restarts), (ready.pid, 0));
    // Another run must say it again.
    den.ok(&["service", "restart", "web"]);
    until_row(&den, "web", "is ready again", |row| row.ready == Some(true) && row.pid != ready.pid);
}

#[test]
fn the_end_that_a_killed_shim_saw_is_not_forgotten() {
    let slow = "restart = \"on-failure\"\nstart_limit = { burst = 50, interval = \"1s\" }";
    let table =
        service("job", "exit 7", slow).replace("initial = \"20ms\", max = \"100ms\"", "initial = \"1h\", max = \"1h\"");
    let den = den(&[table]);
    den.run(&["up"]);
    let waits = until_state(&den, "job", "backoff");
    assert_eq!(waits.last_exit.as_deref(), Some("exited with code 7"));
    den.kill_supervisor();
    signal(shim(&den, "job"), Signal::KILL);
    den.ok(&["service", "ls"]);
    let again = until_state(&den, "job", "backoff");
    assert_eq!(again.last_exit.as_deref(), Some("exited with code 7"));
}

#[test]
fn h13_a_port_that_was_taken_meanwhile_is_named_with_its_holder_at_a_restart() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let limit = format!("ports = [{port}]\nstart_limit = {{ burst = 10000, interval = \"1s\" }}");
    let den = den(&[service("web", "exec sleep 4109", &limit)]);
    den.ok(&["up"]);
    let first = until_state(&den, "web", "running");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    signal(first.pid.unwrap(), Signal::KILL);
    let words = format!("port {port} is held by ");
    let own = format!("(pid {})", std::process::id());
    let taken = until_row(&den, "web", "can't start", |row| reason(row).contains(&words) && reason(row).contains(&own));
    assert_eq!(taken.state, "backoff", "{taken:?}");
    assert!(taken.last_exit.is_some_and(|exit| exit.contains("could not be started") && exit.contains(&own)));
    assert!(lines(&den, "web").iter().any(|line| line == &format!("[podbay] port {port} is held by another process")));
    drop(listener);
    until_row(&den, "web", "runs again", |row| row.state == "running" && row.pid != first.pid);
}

#[test]
fn h10_a_probe_is_run_like_its_service_and_ends_with_its_supervisor() {
    let file = "env_file = [\"~/words\"]\nenv = { TWO = \"2\" }";
    let asks = "ready = { exec = [\"sh\", \"-c\", 'test \"$ONE$TWO\" = 12'], interval = \"50ms\" }";
    let hangs = "live = { exec = [\"sh\", \"-c\", \"setsid sleep 4111 & exec sleep 4112\"], interval = \"50ms\", timeout = \"10m\" }";
    let den = den(&[
        service("asked", "exec sleep 4110", &format!("{file}\n{asks}")),
        service("hangs", "exec sleep 4113", hangs),
    ]);
    fs::write(den.path("h/words"), "ONE=1\nTWO=no\n").unwrap();
    den.ok(&["up"]);
    until_row(&den, "asked", "is ready", |row| row.ready == Some(true));
    until("the probe hangs", || match (with_word(&den, "4111").as_slice(), with_word(&den, "4112").as_slice()) {
        ([_], [_]) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let left = with_word(&den, "4111");
    den.kill_supervisor();
    until_gone(&den, "4112");
    // What left the probe's session is ended by the next supervisor, before it asks again.
    den.ok(&["service", "ls"]);
    until("the other, too", || if alive(left[0]) { Err(String::new()) } else { Ok(()) });
    assert_eq!(row(&den, "hangs").restarts, 0);
}

#[test]
fn a_tty_service_is_typed_into_by_the_api_by_attach_and_in_the_dashboard() {
    let script = "stty -echo; while read line; do echo \"heard $line on $(stty size)\"; done";
    let den = den(&[service("talk", script, "tty = true"), service("plain", "exec sleep 4114", "")]);
    den.ok(&["up"]);
    until_row(&den, "talk", "has a terminal", |row| row.state == "running" && row.tty);
    let heard = den.wait(async |client| {
        let mut terminal = client.main_terminal_at("svc-talk", Some(TermSize::new(30, 90))).await.unwrap();
        terminal.outgoing.send(TerminalMessage::Bytes("api\r".into())).await.unwrap();
        let mut seen = Vec::new();
        let until = async {
            while let Some(message) = terminal.incoming.recv().await {
                if let TerminalMessage::Bytes(bytes) = message {
                    seen.extend_from_slice(&bytes);
                }
                if String::from_utf8_lossy(&seen).contains("heard api on 30 90") {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(20), until).await;
        String::from_utf8_lossy(&seen).into_owned()
    });
    assert!(heard.contains("heard api on 30 90"), "{heard:?}");
    // Whoever comes sees what was there; the last one who comes says how large it is.
    let mut pty = Pty::run(&den, &["attach", "talk"], 24, 80);
    pty.shows("heard api on 30 90");
    pty.type_in("attached\r");
    pty.shows("heard attached on 24 80");
    pty.type_in("\u{11}");
    assert_eq!(pty.end(Duration::from_secs(10)), 0);
    let mut refused = Pty::run(&den, &["attach", "plain"], 24, 80);
    refused.shows("plain has no terminal");
    assert_ne!(refused.end(Duration::from_secs(10)), 0);
    let ran = den.run(&["attach", "nobody"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    let mut pty = Pty::run(&den, &[], 30, 100);
    pty.shows("talk");
    pty.type_in("4");
    // The matrix has its columns where there is room.
    pty.type_in("z");
    pty.shows("runs on");
    pty.shows("native-api");
    pty.type_in("z");
    pty.loses("native-api");
    pty.type_in("\r");
    pty.shows("heard attached");
    pty.type_in("\r");
    pty.shows("TERMINAL");
    pty.type_in("seen\r");
    pty.shows("heard seen on");
    pty.type_in("\u{11}");
    pty.type_in("q");
    assert_eq!(pty.end(Duration::from_secs(10)), 0);
    assert_eq!(row(&den, "talk").restarts, 0);
}
