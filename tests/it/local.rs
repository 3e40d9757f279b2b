//! The bay without a daemon, by the binary: verbs, a supervisor that is killed, and nothing left over.

mod left;
mod network;
mod whole;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::skip::has_namespaces;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bay of its own, on this machine's own namespaces.
pub struct Nest {
    pub bay: String,
    /// Nothing of the machine's `/run` is there.
    pub hidden: bool,
    root: TempDir,
}

pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Nest {
    /// `None` where this user has no user namespaces, after saying so.
    pub fn new(test: &str, more: &str) -> Option<Self> {
        has_namespaces(test).then(|| Self::bare(more))
    }

    /// For levels that need no namespaces.
    pub fn bare(more: &str) -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        let root = tempfile::Builder::new().prefix("pbl").rand_bytes(5).tempdir_in("/tmp").unwrap();
        for part in ["h", "s", "r", "c/podbay"] {
            fs::create_dir_all(root.path().join(part)).unwrap();
        }
        let bay = format!("pbl-{:07x}", RandomState::new().hash_one(0) & 0x0fff_ffff);
        let ports = if more.contains("[parent]") { "" } else { "[parent]\nports = []\n" };
        let text = format!("[bay]\nname = \"{bay}\"\n[engine]\nkind = \"local\"\n{ports}{more}\n");
        fs::write(root.path().join("c/podbay/config.toml"), text).unwrap();
        Self { bay, hidden: false, root }
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.root.path().join(part)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let podbay = env!("CARGO_BIN_EXE_podbay");
        let mut command = if self.hidden {
            let mut command = Command::new("unshare");
            let root = rustix::process::geteuid().is_root();
            command.args(if root { &["--mount"][..] } else { &["--user", "--map-root-user", "--mount"] });
            command.args(["sh", "-c", "mount -t tmpfs none /run && exec \"$@\"", "sh", podbay]);
            command
        } else {
            Command::new(podbay)
        };
        let part = |part: &str| self.path(part).display().to_string();
        command.args(args).env_clear().current_dir(self.path("h")).stdin(Stdio::null());
        for (key, place) in [("HOME", "h"), ("XDG_STATE_HOME", "s"), ("XDG_RUNTIME_DIR", "r"), ("XDG_CONFIG_HOME", "c")]
        {
            command.env(key, part(place));
        }
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("RUST_BACKTRACE", "0");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "podbay {}: {}{}", args.join(" "), ran.stdout, ran.stderr);
        ran.stdout
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], args].concat())).unwrap()
    }

    pub fn row(&self, name: &str) -> Value {
        let rows = self.json(&["ls"]);
        rows.as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap_or(Value::Null)
    }

    pub fn until_state(&self, name: &str, state: &str) {
        until(&format!("{name} is {state}"), || {
            let row = self.row(name);
            if row["state"] == state { Ok(()) } else { Err(row.to_string()) }
        });
    }

    pub fn kill_supervisor(&self) {
        let pid = self.json(&["status"])["pid"].as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        until("the supervisor is gone", || match rustix::process::test_kill_process(pid) {
            // Whoever started it takes leave of it; here that is nobody's child for long.
            Ok(()) if !is_zombie(pid.as_raw_nonzero().get()) => Err("it lives".to_owned()),
            _ => Ok(()),
        });
    }

    /// The same of one that may be in its first steps or its last, when it answers nobody.
    pub fn kill_supervisor_unasked(&self) {
        let lock = self.path("s/podbay").join(&self.bay).join("lock");
        let pid = fs::read_to_string(lock).ok().and_then(|text| text.trim().parse().ok());
        // The lock names it before it does anything; a pid of before may be somebody else's by now.
        let pid = pid.filter(|pid| self.processes().iter().any(|(own, line)| own == pid && line.contains(" serve")));
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { return };
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }

    /// Processes of this bay: supervisors and what they fork name its directory, programs without namespaces have it in
    /// their environment.
    fn processes(&self) -> Vec<(i32, String)> {
        let root = self.root.path().display().to_string();
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let of_bay = |pid: i32| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?.replace('\0', " ");
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let ours = line.contains(&root) || String::from_utf8_lossy(&environ).contains(&format!("={root}/"));
            (ours && !is_zombie(pid)).then_some((pid, line))
        };
        pids.filter_map(of_bay).collect()
    }

    pub fn is_empty(&self) {
        until("nothing is left", || {
            let left = self.processes();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        // Those that ended are kept until somebody removes them; nothing of them is half made, nor in the kernel.
        let containers = self.path("s/podbay").join(&self.bay).join("containers");
        let names = || -> Vec<String> {
            let entries = fs::read_dir(&containers).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        if names().iter().any(|name| name.len() != 64) {
            // A supervisor that is killed in the middle of a making or a removal leaves that to the next one.
            self.ok(&["ls"]);
            until("what was left is gone", || {
                let left = names();
                if left.iter().any(|name| name.len() != 64) { Err(format!("{left:?}")) } else { Ok(()) }
            });
            self.ok(&["down", "--workers", "-y"]);
        }
        for name in names() {
            assert_eq!(name.len(), 64, "{name}");
            let group = std::path::Path::new("/sys/fs/cgroup/memory/podbay").join(&name);
            assert!(!group.exists(), "{}", group.display());
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&self.root.path().display().to_string()), "{mounts}");
    }
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

impl Drop for Nest {
    fn drop(&mut self) {
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for pid in left.into_iter().filter_map(|(pid, _)| rustix::process::Pid::from_raw(pid)) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(seen) = look() {
        assert!(begun.elapsed() < PATIENCE, "{what}: saw {seen}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_bay_needs_no_daemon() {
    let Some(nest) = Nest::new("a_bay_needs_no_daemon", "") else { return };
    fs::create_dir(nest.path("h/project")).unwrap();
    fs::write(nest.path("h/project/note"), "of the project").unwrap();
    nest.ok(&["spawn", "fox", "-d", "-p", "project"]);
    let status = nest.json(&["status"]);
    assert_eq!(
        (&status["engine"]["kind"], &status["engine"]["endpoint"]),
        (&"local".into(), &"local://namespaces".into())
    );
    assert!(status["engine"]["limits"].to_string().contains("seccomp"), "{status}");
    let row = nest.row("fox");
    assert_eq!((&row["state"], &row["image"], &row["network"]), (&"running".into(), &"host".into(), &"shared".into()));
    let ran = nest.run(&["exec", "fox", "--", "sh", "-c", "cat note; id -u; pwd; exit 5"]);
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (5, format!("of the project{own}\n/workspace\n").as_str()),
        "{}",
        ran.stderr
    );
    nest.ok(&["send", "fox", "echo from-the-$((40+2))"]);
    until("its log has it", || {
        let log = nest.ok(&["logs", "fox"]);
        if log.contains("from-the-42") { Ok(()) } else { Err(log) }
    });
    let stats = nest.json(&["stats"]);
    assert!(stats.to_string().contains("fox"), "{stats}");
    // Of all that listens on the machine, what is the bay's.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen =
        "use IO::Socket::INET; for (IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => ";
    nest.ok(&["send", "fox", &format!("perl -e \"{listen}{free})) {{ sleep 300 }}\" &")]);
    until("its port is seen", || {
        let ports = nest.json(&["ports"]);
        let rows = ports.as_array().unwrap();
        let inside = |port: u16| rows.iter().any(|row| row["inside"] == port);
        let other = other.local_addr().unwrap().port();
        assert!(!inside(other), "{other} is the machine's: {ports}");
        if inside(free) && rows.iter().all(|row| row["name"] == "fox") { Ok(()) } else { Err(ports.to_string()) }
    });
    nest.ok(&["stop", "fox"]);
    nest.until_state("fox", "exited");
    nest.ok(&["start", "fox"]);
    nest.until_state("fox", "running");
    nest.ok(&["restart", "fox"]);
    nest.until_state("fox", "running");
    let why = nest.json(&["why", "fox"]);
    assert_eq!((&why["isolation"], &why["reason"]), (&"namespaces".into(), &Value::Null), "{why}");
    assert!(why["limits"].to_string().contains("seccomp: system calls are not filtered"), "{why}");
    let doctor = nest.run(&["doctor"]);
    assert!(doctor.stdout.contains("local") && doctor.stdout.contains("podbay's own"), "{}", doctor.stdout);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// As on a machine that has no engine: nobody's sockets are in its `/run`.
#[test]
fn a_machine_without_an_engine_needs_no_configuration() {
    let Some(mut nest) = Nest::new("a_machine_without_an_engine_needs_no_configuration", "") else { return };
    let file = nest.path("c/podbay/config.toml");
    fs::write(&file, format!("[bay]\nname = \"{}\"\n[parent]\nports = []\n", nest.bay)).unwrap();
    nest.hidden = true;
    nest.ok(&["spawn", "fox", "-d"]);
    let engine = nest.json(&["status"])["engine"].clone();
    assert_eq!((&engine["kind"], &engine["endpoint"]), (&"local".into(), &"local://namespaces".into()));
    let ran = nest.run(&["exec", "fox", "--", "sh", "-c", "git --version"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("git version"), "{}{}", ran.stdout, ran.stderr);
    // An engine that turns up later does not take the bay away from the one that it has.
    nest.kill_supervisor();
    nest.hidden = false;
    nest.until_state("fox", "running");
    assert_eq!(nest.json(&["status"])["engine"]["kind"], "local");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_worker_has_its_secret_and_its_agents_home() {
    let more = "[worker]\nsecrets = [\"token\"]\nagent_home = { from = \"~/agent\", to = \"~/.agent\", copy = \
                [\"settings.json\"] }\n";
    let Some(nest) = Nest::new("a_worker_has_its_secret_and_its_agents_home", more) else { return };
    for part in ["c/podbay/secrets", "h/agent"] {
        fs::create_dir_all(nest.path(part)).unwrap();
    }
    let secret = nest.path("c/podbay/secrets/token");
    fs::write(&secret, "hush-hush\n").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(nest.path("h/agent/settings.json"), "{\"own\": 1}").unwrap();
    fs::write(nest.path("h/agent/history"), "not to be copied").unwrap();
    let script = "cat ${PODBAY_ROOT:-}/run/secrets/token; grep -o '\"own\": 1' ~/.agent/settings.json; ls -A ~/.agent; echo more > \
                  ~/.agent/settings.json; env | grep -c hush";
    for level in ["namespaces", "none"] {
        nest.ok(&["--isolation", level, "spawn", level, "-d"]);
        let ran = nest.run(&["exec", level, "--", "sh", "-c", script]);
        assert_eq!(ran.stdout, "hush-hush\n\"own\": 1\nsettings.json\n0\n", "{level}: {}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(nest.path("h/agent/settings.json")).unwrap(), "{\"own\": 1}", "the user's stays");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// A daemon that was stopped leaves its socket, and one that is another group's is no engine either.
#[test]
fn a_socket_that_does_not_answer_is_said_and_not_waited_for() {
    let Some(mut nest) = Nest::new("a_socket_that_does_not_answer_is_said_and_not_waited_for", "") else { return };
    let file = nest.path("c/podbay/config.toml");
    let bay = |more: &str| format!("[bay]\nname = \"{}\"\n[parent]\nports = []\n{more}", nest.bay);
    fs::write(&file, bay("")).unwrap();
    let socket = nest.path("h/.docker/run/docker.sock");
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    // What names an image can't do without a daemon, and is told what keeps it from one.
    fs::write(&file, bay("[worker]\nimage = \"agent:1\"\n")).unwrap();
    nest.hidden = true;
    let refused = nest.run(&["spawn", "fox", "-d"]);
    assert!(refused.code == 4 && refused.stderr.contains("docker.sock"), "{}", refused.stderr);
    nest.ok(&["down", "-y"]);
    fs::write(&file, bay("")).unwrap();
    nest.ok(&["spawn", "fox", "-d"]);
    let said = || nest.json(&["status"])["engine"]["limits"].to_string();
    let words = format!("docker: not used, {}: nobody listens there", socket.display());
    assert!(said().contains(&words), "{}", said());
    let doctor: Value = serde_json::from_str(&nest.run(&["--json", "doctor"]).stdout).unwrap();
    let context = doctor.as_array().unwrap().iter().find(|finding| finding["check"] == "context").unwrap();
    assert!(context["text"].as_str().unwrap().contains("podbay's own: [engine] kind = \"auto\""), "{context}");
    nest.kill_supervisor();
    assert!(said().contains(&words), "the bay stays with its engine, and says what it could have: {}", said());
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_killed_supervisor_finds_its_workers_again() {
    let Some(nest) = Nest::new("a_killed_supervisor_finds_its_workers_again", "") else { return };
    nest.ok(&["spawn", "fox", "-d"]);
    nest.ok(&["spawn", "owl", "-d", "--", "sh", "-c", "while read line; do echo got $line; done"]);
    let before = [nest.row("fox"), nest.row("owl")];
    nest.kill_supervisor();
    nest.until_state("owl", "running");
    let after = [nest.row("fox"), nest.row("owl")];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before["id"], &before["started_at"]), (&after["id"], &after["started_at"]));
    }
    nest.ok(&["send", "owl", "this"]);
    until("it heard", || {
        let log = nest.ok(&["logs", "owl"]);
        if log.contains("got this") { Ok(()) } else { Err(log) }
    });
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn an_image_is_refused_with_what_to_do() {
    let Some(nest) = Nest::new("an_image_is_refused_with_what_to_do", "") else { return };
    let ran = nest.run(&["spawn", "fox", "-d", "--image", "debian:12"]);
    assert!(ran.code != 0 && ran.stderr.contains("debian:12") && ran.stderr.contains("\"host\""), "{}", ran.stderr);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_warm_worker_is_claimed() {
    let more = "[[template]]\nname = \"warm\"\ncommand = [\"bash\"]\npool = { target = 2, min = 1, max_creating = 2, idle_timeout = \"0s\" }";
    let Some(nest) = Nest::new("a_warm_worker_is_claimed", more) else { return };
    nest.ok(&["up"]);
    until("the pool is full", || {
        let pool = nest.json(&["pool", "status"]);
        if pool[0]["warm"] == 2 { Ok(()) } else { Err(pool.to_string()) }
    });
    nest.ok(&["spawn", "fox", "-t", "warm", "-d"]);
    assert_eq!(nest.json(&["pool", "status"])[0]["hits"], 1);
    nest.ok(&["send", "fox", "echo claimed-$((40+2))"]);
    until("it is a shell", || {
        let log = nest.ok(&["logs", "fox"]);
        if log.contains("claimed-42") { Ok(()) } else { Err(log) }
    });
    nest.ok(&["pool", "scale", "0"]);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}
