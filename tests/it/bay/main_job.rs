//! The main job on real containers, by the verbs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::den::{Conf, Den};
use super::until;

#[test]
fn a_worker_from_spawn_to_down() {
    let Some(den) = Den::docker("a_worker_from_spawn_to_down") else { return };
    let spawned = den.json(&["spawn", "fox", "-d"]);
    assert_eq!(spawned["name"], "fox");

    let rows = den.json(&["ls"]);
    let parts: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| [&row["name"], &row["role"], &row["state"]]).collect();
    assert_eq!(parts, [["parent", "parent", "running"], ["fox", "worker", "running"]]);
    let fox = &rows[1];
    assert_eq!(fox["id"], json!(den.id("fox")));
    assert_eq!(
        [&fox["template"], &fox["image"], &fox["network"], &fox["restarts"], &fox["reason"]],
        [&json!("default"), &json!("host"), &json!("shared"), &json!(0), &Value::Null]
    );
    assert_eq!(den.ok(&["ls", "-q"]), "parent\nfox\n");
    assert_eq!(den.ok(&["count"]), "1\n");

    let status = den.json(&["status"]);
    assert_eq!([&status["bay"], &status["engine"]["state"]], [&json!(den.bay), &json!("up")]);
    assert_eq!([&status["workers"], &status["troubles"]], [&json!({"running": 1}), &json!([])]);
    assert_eq!(status["pid"], den.supervisor());
    let why = den.json(&["why", "fox"]);
    assert_eq!([&why["wanted"], &why["reason"]], [&json!("running"), &Value::Null]);
    let stats = den.json(&["stats"]);
    let fox = stats.as_array().unwrap().iter().find(|row| row["name"] == "fox").unwrap();
    assert!(fox["memory"].as_u64() > Some(0) && fox["pids"].as_u64() >= Some(1), "{fox}");

    let ran = den.exec("fox", "echo out; echo err >&2; exit 42");
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (42, "out\n", "err\n"));
    den.ok(&["send", "fox", "echo sent-$((40+2))"]);
    until("what was sent is in the log", || {
        let log = den.ok(&["logs", "fox"]);
        if log.lines().any(|line| line.trim_end() == "sent-42") { Ok(()) } else { Err(log) }
    });
    stopped_started_and_made_anew(&den);
    down_and_up(&den);
}

fn stopped_started_and_made_anew(den: &Den) {
    den.ok(&["exec", "fox", "--", "bash", "-c", "echo work > /workspace/w; echo home > ~/h"]);
    let kept = |what: &str| {
        let ran = den.exec("fox", "cat /workspace/w ~/h");
        assert_eq!((ran.code, &*ran.stdout), (0, "work\nhome\n"), "{what}: {ran:?}");
    };
    let first = den.id("fox");
    den.ok(&["stop", "fox"]);
    assert_eq!(den.inspect("fox")["State"]["Running"], false);
    let why = den.json(&["why", "fox"]);
    assert_eq!([&why["wanted"], &why["reason"]], [&json!("stopped, by request"), &json!("stopped by request")]);
    assert_eq!(den.ok(&["count"]), "0\n");
    den.ok(&["start", "fox"]);
    kept("start");
    let before = den.inspect("fox")["State"]["StartedAt"].clone();
    den.ok(&["restart", "fox"]);
    assert_ne!(den.inspect("fox")["State"]["StartedAt"], before);
    assert_eq!(den.id("fox"), first, "a restart keeps the container");
    kept("restart");
    assert_eq!(den.row("fox").unwrap().restarts, 2);
    den.ok(&["refresh", "fox"]);
    assert_ne!(den.id("fox"), first, "a refresh makes a new one");
    assert_eq!(den.in_engine(), ["fox", "parent"], "and leaves no old one");
    kept("refresh");
    let ran = den.run(&["rm", "fox"]);
    assert_eq!(ran.code, 1, "running: {ran:?}");
    assert!(ran.stderr.contains("still running, nothing removed: fox"), "{ran:?}");
    den.ok(&["rm", "-f", "fox"]);
    assert_eq!(den.in_engine(), ["parent"]);
    assert_eq!(den.run(&["why", "fox"]).code, 5);
}

fn down_and_up(den: &Den) {
    den.spawn("owl");
    den.ok(&["down", "-y"]);
    until("the supervisor has ended", || match den.supervisors() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    assert!(!den.socket().exists());
    assert_eq!(den.inspect("parent")["State"]["Running"], false);
    assert_eq!(den.inspect("owl")["State"]["Running"], true, "workers are kept");
    assert_eq!(den.run(&["down", "-y"]).code, 3);
    den.ok(&["up"]);
    assert!(den.json(&["ls"]).as_array().unwrap().iter().all(|row| row["state"] == "running"));
    den.ok(&["up"]);
    den.ok(&["down", "--workers", "-y"]);
    assert_eq!(den.inspect("owl")["State"]["Running"], false);
}

#[test]
fn workers_share_localhost() {
    let Some(den) = Den::docker("workers_share_localhost") else { return };
    den.ok(&["spawn", "server", "-d", "--", "python3", "-m", "http.server", "8000"]);
    den.spawn("client");
    let fetch = "import urllib.request as r; print(r.urlopen('http://localhost:8000/', timeout=5).status)";
    until("the server answers in the other worker", || {
        let ran = den.run(&["exec", "client", "--", "python3", "-c", fetch]);
        if (ran.code, ran.stdout.trim()) == (0, "200") { Ok(()) } else { Err(format!("{ran:?}")) }
    });
    let git = den.exec("client", "cd /workspace && git init -q . && git --version && python3 --version");
    assert_eq!(git.code, 0, "{git:?}");
    assert!(git.stdout.contains("git version") && git.stdout.contains("Python 3"), "{git:?}");
}

#[test]
fn bridge_has_a_port_and_none_has_only_lo() {
    let Some(den) = Den::docker("bridge_has_a_port_and_none_has_only_lo") else { return };
    let serve = ["--", "python3", "-m", "http.server", "8000"];
    let args = ["--json", "spawn", "web", "-d", "--network", "bridge", "--port", "8000"];
    let spawned: Value = serde_json::from_str(&den.ok(&[&args[..], &serve].concat())).unwrap();
    let port = u16::try_from(spawned["hostPort"].as_u64().unwrap()).unwrap();
    assert_eq!(den.row("web").unwrap().ports.first().map(|mapping| mapping.host), Some(port));
    until("the host's port answers", || get(port));
    den.ok(&["spawn", "alone", "-d", "--network", "none"]);
    let devices = den.exec("alone", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    assert_eq!(devices.stdout, "lo\n", "{devices:?}");
    assert_eq!(den.in_engine(), ["alone", "web"], "no parent is needed for these");
}

fn get(port: u16) -> Result<(), String> {
    let talk = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    match talk() {
        Ok(text) if text.starts_with("HTTP/1.0 200") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

const TEMPLATE: &str = r#"
secrets = ["token"]
env = { COLOUR = "red" }
mounts = ["${HOME}/extra:/extra:ro"]
agent_home = { from = "~/agent", to = "~/.agent", copy = ["settings.json"] }
ssh = "none"
[worker.limits]
cpus = 1.5
memory = "256m"
memory_reservation = "128m"
pids = 77
nofile = [512, 1024]
log_max_size = "3m"
log_max_files = 2
[worker.hardening]
cap_add = ["CHOWN", "KILL"]
read_only = true
[worker.health]
test = ["true"]
interval = "1s"
timeout = "2s"
retries = 4
"#;

#[test]
fn inspect_shows_what_the_template_says() {
    let test = "inspect_shows_what_the_template_says";
    let Some(den) = Den::docker_with(test, Conf { worker: TEMPLATE, ..Conf::default() }) else { return };
    for (path, content) in [
        ("c/podbay/secrets/token", "hush-4711"),
        ("h/agent/settings.json", "{\"a\":1}"),
        ("h/extra/file", "extra"),
        ("h/private", "not for workers"),
    ] {
        let path = den.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let refused = den.run(&["spawn", "fox", "-d"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("c/podbay/secrets/token has mode 0644; make it 0600"), "{refused:?}");
    fs::set_permissions(den.path("c/podbay/secrets/token"), fs::Permissions::from_mode(0o600)).unwrap();
    den.spawn("fox");
    let seen = den.inspect("fox");
    let (config, host) = (&seen["Config"], &seen["HostConfig"]);
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let table = [
        (&config["User"], json!(format!("{uid}:{gid}"))),
        (&config["WorkingDir"], json!("/workspace")),
        (&config["Tty"], json!(true)),
        (&config["Cmd"], json!(["bash"])),
        (&config["StopSignal"], json!("SIGHUP")),
        (&config["Healthcheck"]["Test"], json!(["CMD", "true"])),
        (&config["Healthcheck"]["Interval"], json!(1_000_000_000)),
        (&config["Healthcheck"]["Timeout"], json!(2_000_000_000)),
        (&config["Healthcheck"]["Retries"], json!(4)),
        (&host["NetworkMode"], json!(format!("container:{}", den.id("parent")))),
        (&host["RestartPolicy"]["Name"], json!("no")),
        (&host["NanoCpus"], json!(1_500_000_000)),
        (&host["Memory"], json!(256 << 20)),
        (&host["MemorySwap"], json!(256 << 20)),
        (&host["MemoryReservation"], json!(128 << 20)),
        (&host["PidsLimit"], json!(77)),
        (&host["Ulimits"], json!([{"Name": "nofile", "Soft": 512, "Hard": 1024}])),
        (&host["LogConfig"], json!({"Type": "json-file", "Config": {"max-size": "3145728", "max-file": "2"}})),
        (&host["CapDrop"], json!(["ALL"])),
        (&host["CapAdd"], json!(["CHOWN", "KILL"])),
        (&host["SecurityOpt"], json!(["no-new-privileges"])),
        (&host["ReadonlyRootfs"], json!(true)),
        (&host["Init"], json!(true)),
        (&host["Privileged"], json!(false)),
        (&host["AutoRemove"], json!(false)),
        (&host["Binds"], Value::Null),
    ];
    for (number, (is, should)) in table.iter().enumerate() {
        assert_eq!(*is, should, "field {number} of {}", serde_json::to_string_pretty(&seen).unwrap());
    }
    labels_and_mounts(&den, &seen);
    what_the_worker_sees(&den);
    den.until_state(&["fox"], "running");
    until("its health is known", || match den.row("fox").unwrap().health {
        Some(podbay::bay::container::HealthState::Healthy) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let shown = format!("{}{}", seen, den.inspect("parent"));
    assert!(!shown.contains("hush-4711"), "the secret shows");
}

fn labels_and_mounts(den: &Den, seen: &Value) {
    let labels = &seen["Config"]["Labels"];
    assert_eq!([&labels["podbay.bay"], &labels["podbay.role"]], [&json!(den.bay), &json!("worker")]);
    assert_eq!(labels["podbay.template"], "default");
    for key in ["podbay.template-hash", "podbay.owner"] {
        assert!(labels[key].as_str().is_some_and(|text| text.len() >= 12), "{key} of {labels}");
    }
    let home = den.path("h");
    for mount in seen["Mounts"].as_array().unwrap() {
        let source = std::path::Path::new(mount["Source"].as_str().unwrap());
        assert!(!home.starts_with(source), "a home directory is mounted: {mount}");
        for all in ["/home", "/root", "/etc", "/", "/var/run", "/run"] {
            assert_ne!(source, std::path::Path::new(all), "{mount}");
        }
    }
}

fn what_the_worker_sees(den: &Den) {
    let script = "id -u; echo $COLOUR; cat /run/secrets/token; echo; grep -o 'a.: 1' ~/.agent/settings.json; grep -q podbay ~/.agent/settings.json && echo hooked; cat /extra/file; \
                  echo; test -e ~/private || echo no-private; touch /extra/x 2>/dev/null || echo extra-ro; \
                  touch /usr/x 2>/dev/null || echo usr-ro; touch /tmp/x /workspace/x ~/x && echo writable; ulimit -n; \
                  grep CapEff /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2";
    let ran = den.exec("fox", script);
    let uid = rustix::process::getuid().as_raw().to_string();
    // CHOWN is bit 0, KILL bit 5; a user other than root has them in its bounding set alone.
    let caps = if uid == "0" { "0000000000000021" } else { "0000000000000000" };
    let expected = [
        &*uid,
        "red",
        "hush-4711",
        // The user's own settings, and the hooks that tell what the agent does.
        "a\": 1",
        "hooked",
        "extra",
        "no-private",
        "extra-ro",
        "usr-ro",
        "writable",
        "512",
        caps,
        "1",
    ];
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected, "{ran:?}");
}
