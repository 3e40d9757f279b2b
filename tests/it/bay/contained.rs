//! Container services on Docker: what each is given, how it is stopped, and what is known of it afterwards.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use podbay::api::types::ServiceVerb;

use super::den::{Conf, Den};
use super::services::{act, lines, row, until_row, until_state};
use super::until;

fn contained(name: &str, script: &str, extra: &str) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nimage = \"host\"\nnetwork = \"none\"\n\
         command = [\"sh\", \"-c\", '''{script}''']\nbackoff = {{ initial = \"100ms\", max = \"500ms\" }}\n{extra}\n"
    )
}

#[test]
fn a_container_service_has_its_user_its_secrets_and_the_signal_that_it_is_stopped_by() {
    let test = "a_container_service_has_its_user_its_secrets_and_the_signal_that_it_is_stopped_by";
    let script = "cat /run/secrets/token; id -u; id -g; env | grep -c h[u]sh; \
                  trap 'echo asked by USR1; exit 0' USR1; trap 'echo asked by TERM; exit 1' TERM; \
                  echo set; while :; do sleep 0.05; done";
    let keeper = contained(
        "keeper",
        script,
        "user = \"1234:1235\"\nsecrets = [\"token\"]\nstop = { signal = \"SIGUSR1\", timeout = \"20s\" }",
    );
    let Some(den) = Den::docker_with(test, Conf { rest: &keeper, ..Conf::default() }) else { return };
    let secrets = den.path("c/podbay/secrets");
    fs::create_dir_all(&secrets).unwrap();
    let refused = den.run(&["up"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("put the secret there, with mode 0600"), "{refused:?}");
    fs::write(secrets.join("token"), "hush-hush\n").unwrap();
    fs::set_permissions(secrets.join("token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    den.ok(&["service", "start", "keeper"]);
    until("it has told", || match lines(&den, "keeper") {
        said if said.len() == 5 => Ok(()),
        said => Err(format!("{said:?}")),
    });
    assert_eq!(lines(&den, "keeper"), ["hush-hush", "1234", "1235", "0", "set"]);
    let inspected = den.inspect("svc-keeper");
    assert_eq!(inspected["Config"]["User"], "1234:1235");
    assert_eq!(inspected["Config"]["StopSignal"], "SIGUSR1");
    assert!(!inspected.to_string().contains("hush"), "a secret is told by inspect");
    let begun = Instant::now();
    assert_eq!(act(&den, "keeper", ServiceVerb::Stop), Ok("stopped".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(15), "it was killed: {:?}", begun.elapsed());
    assert_eq!(lines(&den, "keeper").last().map(String::as_str), Some("asked by USR1"));
    assert_eq!(row(&den, "keeper").last_exit.as_deref(), Some("exited with code 0"));
    // Another signal is another container, and who does not heed it is killed when its own grace is over.
    let file = den.path("c/podbay/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    let changed =
        text.replace("SIGUSR1", "SIGHUP").replace("20s", "1s").replace("trap 'echo asked by USR1", "trap '' HUP; : '");
    fs::write(&file, changed).unwrap();
    let before = den.id("svc-keeper");
    den.ok(&["up"]);
    until_state(&den, "keeper", "running");
    assert_ne!(den.id("svc-keeper"), before);
    assert_eq!(den.inspect("svc-keeper")["Config"]["StopSignal"], "SIGHUP");
    until("it ignores the signal", || match lines(&den, "keeper") {
        said if said.last().is_some_and(|line| line == "set") => Ok(()),
        said => Err(format!("{said:?}")),
    });
    let begun = Instant::now();
    assert_eq!(act(&den, "keeper", ServiceVerb::Stop), Ok("stopped".to_owned()));
    let took = begun.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(9)).contains(&took), "{took:?}");
    den.ok(&["down", "-y"]);
}

/// What a container service's rules remember is kept for the next supervisor; a restart by hand is none.
#[test]
fn how_a_container_service_last_ended_is_known_to_the_next_supervisor() {
    let test = "how_a_container_service_last_ended_is_known_to_the_next_supervisor";
    let script = "sleep 1; exit 7";
    let start_limit = "start_limit = { burst = 100, interval = \"1s\" }";
    let Some(den) = Den::docker_with(test, Conf { rest: &contained("ends", script, start_limit), ..Conf::default() })
    else {
        return;
    };
    den.run(&["up"]);
    let ended = until_row(&den, "ends", "was started again", |row| row.restarts >= 2 && row.state == "running");
    assert_eq!(ended.last_exit.as_deref(), Some("exited with code 7"));
    den.kill_supervisor();
    den.ok(&["service", "ls"]);
    let after = until_row(&den, "ends", "is found", |row| row.state != "unknown");
    assert_eq!(after.last_exit.as_deref(), Some("exited with code 7"));
    assert!(after.restarts >= ended.restarts, "{after:?}");
    assert_eq!(den.json(&["why", "ends"])["last_exit"], "exited with code 7");
    // By hand: not counted, and what was counted before is of another wish.
    act(&den, "ends", ServiceVerb::Stop).unwrap();
    let name = "svc-ends";
    assert!(den.row(name).unwrap().restarts >= ended.restarts, "`ls` says the same");
    den.docker.remove(&format!("{}-{name}", den.bay));
    until("the supervisor has seen that it is gone", || den.row(name).map_or(Ok(()), |row| Err(row.name)));
    act(&den, "ends", ServiceVerb::Start).unwrap();
    assert_eq!(until_state(&den, "ends", "running").restarts, 0);
    assert_eq!(den.row(name).unwrap().restarts, 0);
    den.ok(&["down", "-y"]);
}

/// Row D12 for services: who holds a port is told before a start is tried, a container by its name, and the bay's own
/// parent with the way out.
#[test]
fn a_port_that_a_container_holds_is_told_with_its_name() {
    let test = "a_port_that_a_container_holds_is_told_with_its_name";
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (own, parents) = (free(), free());
    let native = |name: &str, port: u16, word: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nrun = \"host\"\nreason = \"stdio\"\ncommand = [\"sleep\", \"{word}\"]\n\
             ports = [{port}]\ndepends_on = {{ holder = \"started\" }}\n"
        )
    };
    let holder = contained("holder", "exec sleep 7101", "").replace("\"none\"", "\"bridge\"");
    let holder = holder.replace("command", &format!("ports = [\"127.0.0.1:{own}:80\"]\ncommand"));
    let parent = format!("ports = [\"127.0.0.1:{own}:80\", \"127.0.0.1:{parents}:81\"]");
    let rest = format!("{holder}{}", native("late", own, "7102"));
    let Some(den) = Den::docker_with(test, Conf { parent: &parent, rest: &rest, ..Conf::default() }) else { return };
    den.run(&["up"]);
    let published: Vec<u16> = den.row("parent").unwrap().ports.iter().map(|mapping| mapping.host).collect();
    assert_eq!(published, [parents], "the other one is a service's on this machine");
    let late = until_state(&den, "late", "backoff");
    let said = format!("port {own} is held by container {}-svc-holder", den.bay);
    assert_eq!(late.reason.as_deref(), Some(said.as_str()));
    assert!(late.next_start_at.is_some());
    // What the parent was made with before there was such a service.
    let file = den.path("c/podbay/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{}", native("later", parents, "7103"))).unwrap();
    den.run(&["up"]);
    let later = until_state(&den, "later", "backoff");
    let said = format!(
        "port {parents} is held by container {}-parent: `podbay refresh parent` makes it anew without it",
        den.bay
    );
    assert_eq!(later.reason.as_deref(), Some(said.as_str()));
    let found = den.run(&["--json", "doctor"]).stdout;
    assert!(found.contains(&format!("port {parents} of service later is published by the parent")), "{found}");
    den.ok(&["refresh", "parent"]);
    until_state(&den, "later", "running");
    assert_eq!(den.row("parent").unwrap().ports, []);
    den.ok(&["down", "-y"]);
}
