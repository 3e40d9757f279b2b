//! What services live through: probes over the network that come and go, floods, signals of their own, an upgrade.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use podbay::api::types::{ServiceRow, ServiceVerb};

use super::den::{Conf, Den};
use super::process::{alive, copy_program};
use super::services::{act, den, lines, row, service, shim, until_row, until_state, with_word};
use super::until;

/// A web server of the test's own that answers with this code.
fn web() -> (u16, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let code = Arc::new(AtomicU16::new(503));
    let answer = code.clone();
    // Ends with this process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            let _ = BufReader::new(stream.try_clone().unwrap()).read_line(&mut line);
            let _ = write!(stream, "HTTP/1.1 {} x\r\nContent-Length: 0\r\n\r\n", answer.load(Ordering::SeqCst));
        }
    });
    (port, code)
}

fn says(row: &ServiceRow, text: &str) -> bool {
    row.reason.as_deref().is_some_and(|reason| reason.contains(text))
}

#[test]
fn h11_readiness_by_http_and_tcp_comes_goes_and_lets_others_start() {
    let (port, code) = web();
    let (live_port, live) = web();
    live.store(204, Ordering::SeqCst);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pace = "interval = \"50ms\", timeout = \"5s\", retries = 2";
    let den = den(&[
        service("web", "exec sleep 7001", &format!("ready = {{ http = \"http://127.0.0.1:{port}/health\", {pace} }}")),
        service("tcp", "exec sleep 7002", &format!("ready = {{ tcp = \"{free}\", {pace} }}")),
        service("after", "exec sleep 7003", "depends_on = { web = \"ready\", tcp = \"ready\" }"),
        service(
            "lives",
            "exec sleep 7004",
            &format!("live = {{ http = \"http://127.0.0.1:{live_port}/\", {pace}, start_period = \"0s\" }}"),
        ),
    ]);
    // Nobody is ready, and who asked is told so.
    let up = den.run(&["up"]);
    assert_eq!(up.code, 1, "{up:?}");
    until_row(&den, "web", "is not ready", |row| row.ready == Some(false) && says(row, "answers 503"));
    until_row(&den, "tcp", "is not ready", |row| row.ready == Some(false) && says(row, "refused"));
    let waits = until_state(&den, "after", "waiting");
    assert!(says(&waits, "waits for tcp to be ready, which runs; and for web to be ready, which runs"), "{waits:?}");
    code.store(200, Ordering::SeqCst);
    until_row(&den, "web", "is ready", |row| row.ready == Some(true) && row.reason.is_none());
    assert_eq!(row(&den, "after").state, "waiting");
    let listener = TcpListener::bind(free).unwrap();
    until_row(&den, "tcp", "is ready", |row| row.ready == Some(true));
    let after = until_state(&den, "after", "running");
    // Lost later, it stops nobody, and comes back.
    code.store(500, Ordering::SeqCst);
    until_row(&den, "web", "is ready no more", |row| row.ready == Some(false) && says(row, "answers 500"));
    assert_eq!((row(&den, "after").pid, row(&den, "web").restarts), (after.pid, 0));
    code.store(200, Ordering::SeqCst);
    until_row(&den, "web", "is ready again", |row| row.ready == Some(true));
    // Liveness that fails is a restart.
    let first = row(&den, "lives").pid;
    live.store(503, Ordering::SeqCst);
    let again = until_row(&den, "lives", "was restarted", |row| row.restarts > 0 && row.pid != first);
    assert!(again.last_exit.is_some_and(|exit| exit.contains("ended for its liveness probe")), "{first:?}");
    drop(listener);
    den.ok(&["down", "-y"]);
}

#[test]
fn a_container_service_is_asked_in_its_own_network() {
    let test = "a_container_service_is_asked_in_its_own_network";
    if !rustix::process::geteuid().is_root() {
        return super::skip(test, "only root enters the network of a container");
    }
    let server = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:8077") or die;
        while (my $c = $s->accept) { <$c>; print $c (-e "/tmp/bad" ? "HTTP/1.0 503 no\r\n\r\n" : "HTTP/1.0 200 ok\r\n\r\n"); close $c }"#;
    let of = |name: &str, probe: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nimage = \"host\"\nnetwork = \"none\"\ncommand = [\"perl\", \"-e\", '''{server}''']\n\
             backoff = {{ initial = \"100ms\", max = \"500ms\" }}\nstop = {{ timeout = \"1s\" }}\n{probe}\n"
        )
    };
    let pace = "interval = \"100ms\", timeout = \"5s\", retries = 2";
    let services = [
        of("web", &format!("ready = {{ http = \"http://127.0.0.1:8077/\", {pace} }}")),
        of("deaf", &format!("ready = {{ tcp = \"127.0.0.1:8078\", {pace} }}")),
        // Asked whether it lives once it has been ready: the server takes its time to begin.
        of(
            "lives",
            &format!(
                "ready = {{ tcp = \"127.0.0.1:8077\", {pace} }}\nlive = {{ http = \"http://127.0.0.1:8077/\", {pace} }}"
            ),
        ),
    ];
    let Some(den) = Den::docker_with(test, Conf { rest: &services.concat(), ..Conf::default() }) else { return };
    den.run(&["up"]);
    until_row(&den, "web", "is ready", |row| row.ready == Some(true));
    // On the same port of the same address, in another network.
    until_row(&den, "deaf", "is not ready", |row| row.ready == Some(false) && says(row, "refused"));
    let lives = until_row(&den, "lives", "is ready", |row| row.ready == Some(true));
    assert_eq!(lives.restarts, 0, "{lives:?}");
    assert_eq!(den.exec("svc-lives", "touch /tmp/bad").code, 0);
    let again = until_row(&den, "lives", "was restarted", |row| row.restarts > 0 && row.state == "running");
    assert!(again.last_exit.as_deref().is_some_and(|exit| exit.contains("answers 503")), "{again:?}");
    assert_ne!(again.started_at, lives.started_at);
    den.ok(&["down", "-y"]);
}

/// As many lines as it likes, as fast as it can, one of ten megabytes and bytes of no encoding among them.
#[test]
fn h08_a_flood_costs_no_line_and_no_memory() {
    let script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); seq 1 20000; done; \
                  head -c 10000000 /dev/zero | tr '\\0' x; echo; printf '\\377\\376 not utf-8\\n'; echo the end; exec sleep 7010";
    let den = den(&[service("flood", script, "")]);
    den.ok(&["up"]);
    until("it is through", || match den.ok(&["service", "logs", "-n", "1", "flood"]).as_str() {
        "the end\n" => Ok(()),
        last => Err(last.chars().take(100).collect()),
    });
    let said = lines(&den, "flood");
    assert_eq!(said.len(), 40 * 20_000 + 3);
    for (at, line) in said.iter().take(40 * 20_000).enumerate() {
        assert_eq!(*line, (at % 20_000 + 1).to_string());
    }
    let [long, odd, _] = &said[40 * 20_000..] else { panic!("{}", said.len()) };
    assert!(long.len() == 10_000_000 && long.bytes().all(|byte| byte == b'x'), "{}", long.len());
    assert!(odd.ends_with(" not utf-8"), "{odd}");
    let status = fs::read_to_string(format!("/proc/{}/status", shim(&den, "flood"))).unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak.is_some_and(|peak| peak < 64 * 1024), "H08's figure: {peak:?} kB");
    assert_eq!(row(&den, "flood").reason, None, "no line was dropped");
    den.ok(&["down", "-y"]);
}

/// One that never lets its shim come to rest is stopped as any other.
#[test]
fn an_endless_flood_is_no_reason_not_to_hear() {
    let den = den(&[service("flood", "exec yes", "stop = { timeout = \"5s\" }")]);
    den.ok(&["up"]);
    until("it floods", || match fs::read_dir(den.state().join("services/flood/log")).map(Iterator::count) {
        Ok(2..) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let begun = Instant::now();
    assert_eq!(act(&den, "flood", ServiceVerb::Stop), Ok("stopped".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    den.ok(&["down", "-y"]);
}

#[test]
fn a_stop_is_the_signal_that_was_asked_for_and_everything_said_until_the_end_is_kept() {
    let script = "trap 'echo asked by INT; seq 1 5000; exit 0' INT; trap 'echo asked by TERM' TERM; echo set; \
                  while :; do sleep 0.02; done";
    let den = den(&[service("polite", script, "stop = { signal = \"SIGINT\", timeout = \"20s\" }")]);
    den.ok(&["up"]);
    until("it listens", || if lines(&den, "polite") == ["set"] { Ok(()) } else { Err(String::new()) });
    let begun = Instant::now();
    assert_eq!(act(&den, "polite", ServiceVerb::Stop), Ok("stopped".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let said = lines(&den, "polite");
    assert_eq!((said.len(), said[1].as_str(), said.last().map(String::as_str)), (5002, "asked by INT", Some("5000")));
    assert_eq!(row(&den, "polite").last_exit.as_deref(), Some("exited with code 0"));
}

/// A new program takes the place of the old one: its supervisor finds the old shims, and their services as they were.
#[test]
fn k13_an_upgrade_costs_no_service_a_run() {
    let mut den = den(&[service("web", "exec sleep 7020", ""), service("tty", "exec sleep 7021", "tty = true")]);
    let copy = den.path("podbay");
    copy_program(&den.binary, &copy);
    den.binary.clone_from(&copy);
    den.ok(&["up"]);
    let of = |den: &Den| ["web", "tty"].map(|name| (until_state(den, name, "running").pid, shim(den, name)));
    let before = of(&den);
    let old = den.supervisor();
    // As an installer does it: another file under the same name.
    let fresh = den.path("podbay.new");
    copy_program(&copy, &fresh);
    fs::rename(&fresh, &copy).unwrap();
    den.kill_supervisor();
    den.ok(&["service", "ls"]);
    assert_ne!(den.supervisor(), old);
    assert_eq!(of(&den), before);
    assert!(!alive(old));
    // The old shim takes the new supervisor's orders.
    assert_eq!(act(&den, "web", ServiceVerb::Restart), Ok("restarted".to_owned()));
    assert_eq!((with_word(&den, "7020").len(), with_word(&den, "7021").len()), (1, 1));
    den.ok(&["down", "-y"]);
}

/// What the engine says is the reason, not that it said no.
#[test]
fn why_the_container_of_a_service_can_not_be_made_is_told() {
    let pace = "backoff = { initial = \"50ms\", max = \"100ms\" }\nstart_limit = { burst = 2, interval = \"60s\" }\n";
    let den = den(&[format!("[[service]]\nname = \"brain\"\nimage = \"no/such:image\"\n{pace}")]);
    let up = den.run(&["up"]);
    assert_eq!(up.code, 1, "{up:?}");
    assert!(up.stderr.contains("could not be started: image \"no/such:image\" is not "), "{up:?}");
    let brain = until_state(&den, "brain", "failed");
    assert!(says(&brain, "could not be started: image \"no/such:image\" is not on this engine"), "{brain:?}");
    let why = den.json(&["why", "brain"]);
    let exit = why["last_exit"].as_str().unwrap();
    assert!(exit.starts_with("could not be started: image \"no/such:image\" is not on this engine"), "{why}");
    den.ok(&["down", "-y"]);
}
