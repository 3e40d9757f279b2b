//! A bay as a whole on this machine's own namespaces: clones and refreshes, services in containers, the guard.

use std::fs;

use super::{Nest, until};
use crate::git_server::{commit, git, repository};

#[test]
fn a_worker_is_given_a_clone_and_a_refresh_keeps_its_work() {
    let Some(nest) = Nest::new("a_worker_is_given_a_clone_and_a_refresh_keeps_its_work", "") else { return };
    let url = format!("file://{}", repository(&nest.path("h"), "ann/app.git").display());
    nest.ok(&["spawn", "fox", "-d", "--repo", &url, "--branch", "feature"]);
    let seen = nest.run(&["exec", "fox", "--", "sh", "-c", "cat feature; git branch --show-current"]);
    assert_eq!((seen.code, seen.stdout.as_str()), (0, "new\nfeature\n"), "{}", seen.stderr);
    let workspace = nest.path("s/podbay").join(&nest.bay).join("workers/fox/workspace");
    commit(&workspace, "work", "mine");
    let before = nest.row("fox");
    nest.ok(&["refresh", "fox", "-y"]);
    let after = nest.row("fox");
    assert_ne!(before["id"], after["id"]);
    assert_eq!(after["state"], "running");
    assert_eq!(fs::read_to_string(workspace.join("work")).unwrap(), "mine");
    let refused = nest.run(&["rm", "-f", "fox"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("would be lost: fox: 1 commit of feature"),
        "{}",
        refused.stderr
    );
    nest.ok(&["rm", "-f", "fox", "-y"]);
    until("the clone is gone", || if workspace.exists() { Err("it is there".to_owned()) } else { Ok(()) });
    nest.ok(&["spawn", "owl", "-d", "--repo", &url]);
    let owl = nest.path("s/podbay").join(&nest.bay).join("workers/owl/workspace");
    assert_eq!(git(&owl, &["rev-parse", "--abbrev-ref", "HEAD"]), "main");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_service_in_a_container_has_its_secret_and_its_signal_and_is_started_again() {
    let script =
        "cat /run/secrets/token; trap 'echo asked by USR1; exit 0' USR1; echo set; while :; do sleep 0.05; done";
    let more = format!(
        "[[service]]\nname = \"keeper\"\nimage = \"host\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n\
         secrets = [\"token\"]\nstop = {{ signal = \"SIGUSR1\", timeout = \"20s\" }}\n\
         backoff = {{ initial = \"100ms\", max = \"500ms\" }}\n"
    );
    let test = "a_service_in_a_container_has_its_secret_and_its_signal_and_is_started_again";
    let Some(nest) = Nest::new(test, &more) else { return };
    let secrets = nest.path("c/podbay/secrets");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("token"), "hush-hush\n").unwrap();
    fs::set_permissions(secrets.join("token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    nest.ok(&["up"]);
    let service = || nest.json(&["service", "ls"])[0].clone();
    let is = |state: &str| {
        until(&format!("it is {state}"), || {
            let row = service();
            if row["state"] == state { Ok(row) } else { Err(row.to_string()) }.map(drop)
        });
    };
    is("running");
    until("it has told", || {
        let log = nest.ok(&["service", "logs", "keeper"]);
        if log.contains("hush-hush") && log.contains("set") { Ok(()) } else { Err(log) }
    });
    // Its shim is killed, and it with that: it is started again, and said.
    let id = nest.row("svc-keeper")["id"].as_str().unwrap().to_owned();
    let state = nest.path("s/podbay").join(&nest.bay).join("containers").join(&id).join("state.json");
    let stand: serde_json::Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
    let shim = i32::try_from(stand["running"]["shim"]["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(shim).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    until("it was started again", || {
        let row = service();
        if row["restarts"].as_u64() >= Some(1) && row["state"] == "running" { Ok(()) } else { Err(row.to_string()) }
    });
    let why = nest.json(&["why", "keeper"]);
    let last = why["last_exit"].as_str().unwrap_or_default();
    assert!(why["observed"].as_str().unwrap().starts_with("running") && last.contains("shim was killed"), "{why}");
    nest.ok(&["service", "stop", "keeper"]);
    let log = nest.ok(&["service", "logs", "keeper"]);
    assert!(log.contains("asked by USR1"), "{log}");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_parent_that_ends_cuts_its_workers_off_and_a_repair_brings_them_back() {
    let test = "a_parent_that_ends_cuts_its_workers_off_and_a_repair_brings_them_back";
    let Some(nest) = Nest::new(test, "[network]\nallow = []\n") else { return };
    nest.ok(&["spawn", "fox", "-d"]);
    nest.ok(&["spawn", "owl", "-d"]);
    let namespace = |name: &str| nest.run(&["exec", name, "--", "readlink", "/proc/self/ns/net"]).stdout;
    assert_eq!(namespace("fox"), namespace("owl"));
    let before = (namespace("fox"), nest.row("fox")["started_at"].clone());
    let id = nest.row("parent")["id"].as_str().unwrap().to_owned();
    let state = nest.path("s/podbay").join(&nest.bay).join("containers").join(&id).join("state.json");
    let stand: serde_json::Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
    let shim = i32::try_from(stand["running"]["shim"]["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(shim).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    nest.until_state("fox", "cut-off");
    nest.until_state("owl", "cut-off");
    let why = nest.ok(&["why", "fox"]);
    assert!(why.contains("parent"), "{why}");
    let doctor = nest.run(&["doctor"]);
    assert!(doctor.stdout.contains("parent"), "{}", doctor.stdout);
    nest.ok(&["restart", "parent"]);
    nest.until_state("fox", "running");
    nest.until_state("owl", "running");
    assert_eq!(namespace("fox"), namespace("owl"));
    assert_ne!(before, (namespace("fox"), nest.row("fox")["started_at"].clone()));
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// By default a worker has the machine's own network: no parent can take it away, and nothing says that one did.
#[test]
fn a_parent_that_ends_takes_no_network_that_is_the_machines() {
    let Some(nest) = Nest::new("a_parent_that_ends_takes_no_network_that_is_the_machines", "") else { return };
    nest.ok(&["spawn", "fox", "-d"]);
    let before = nest.row("fox");
    let id = nest.row("parent")["id"].as_str().unwrap().to_owned();
    let state = nest.path("s/podbay").join(&nest.bay).join("containers").join(&id).join("state.json");
    let stand: serde_json::Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
    let shim = i32::try_from(stand["running"]["shim"]["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(shim).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    until("the parent has ended", || {
        let row = nest.row("parent");
        if row["state"] == "running" { Err(row.to_string()) } else { Ok(()) }
    });
    let after = nest.row("fox");
    assert_eq!((&after["state"], &after["reason"]), (&"running".into(), &serde_json::Value::Null), "{after}");
    nest.ok(&["restart", "parent"]);
    nest.until_state("parent", "running");
    let after = nest.row("fox");
    assert_eq!((&after["state"], &after["started_at"]), (&"running".into(), &before["started_at"]), "it was let be");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// A worker listens on the machine itself, on a port that the parent publishes: that keeps no parent from its start.
#[test]
fn a_parent_starts_again_while_a_worker_has_its_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let more = format!("[parent]\nports = [\"127.0.0.1:{free}:{free}\"]\n");
    let Some(nest) = Nest::new("a_parent_starts_again_while_a_worker_has_its_port", &more) else { return };
    let listen = format!(
        "use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => {free}) or die; \
         sleep 1000"
    );
    nest.ok(&["spawn", "web", "-d", "--", "perl", "-e", &listen]);
    until("it listens", || {
        std::net::TcpStream::connect(("127.0.0.1", free)).map(drop).map_err(|error| error.to_string())
    });
    nest.ok(&["restart", "parent", "-y"]);
    nest.ok(&["stop", "parent", "-y"]);
    nest.ok(&["restart", "parent", "-y"]);
    nest.ok(&["down", "-y"]);
    nest.ok(&["up"]);
    nest.until_state("parent", "running");
    assert_eq!(nest.row("web")["state"], "running");
    nest.ok(&["rm", "-f", "web"]);
    // Somebody else's it must not be.
    let _other = std::net::TcpListener::bind(("127.0.0.1", free)).unwrap();
    nest.ok(&["stop", "parent", "-y"]);
    let ran = nest.run(&["restart", "parent", "-y"]);
    assert!(ran.code != 0 && ran.stderr.contains(&free.to_string()), "{}{}", ran.stdout, ran.stderr);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_hook_of_an_agent_reaches_the_row() {
    let Some(nest) = Nest::new("a_hook_of_an_agent_reaches_the_row", "") else { return };
    nest.ok(&["spawn", "fox", "-d"]);
    let home = nest.path("s/podbay").join(&nest.bay).join("workers/fox/home");
    let exec = |command: &[&str]| drop(nest.ok(&[&["exec", "fox", "--"], command].concat()));
    crate::bay::hooks::are_seen(&home, exec, || nest.row("fox")["attention"].clone());
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}
