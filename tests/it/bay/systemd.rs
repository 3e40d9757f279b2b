//! As a unit of systemd: a manager of its own, in a mount namespace where the system looks booted by it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use podbay::api::types::ServiceVerb;
use rustix::process::Signal;

use super::den::Den;
use super::process::{alive, signal};
use super::services::{act, den, lines, row, service, until_state};
use super::{skip, until, within};

const MANAGER: &str = "/lib/systemd/systemd";
/// A user's manager starts only where the system's is known to run: by this directory.
const BOOTED: &str = "mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && exec /lib/systemd/systemd --user \
                      --log-target=console";
const ROUNDS: usize = 10;

/// A user's manager, ended with the test.
struct Manager<'a> {
    den: &'a Den,
    child: Child,
}

impl<'a> Manager<'a> {
    /// Why there can be none, else one that answers.
    fn start(den: &'a Den) -> Result<Self, &'static str> {
        if !Path::new(MANAGER).exists() {
            return Err("systemd is not installed");
        }
        if !rustix::process::getuid().is_root() {
            return Err("only root may make a mount namespace");
        }
        fs::create_dir_all("/run/systemd").unwrap();
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", BOOTED]).env_clear().envs(den.variables());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut manager = Self { den, child };
        for _ in 0..100 {
            if manager.within(&["systemctl", "--user", "show-environment"]).is_ok() {
                return Ok(manager);
            }
            if manager.child.try_wait().unwrap().is_some() {
                return Err("no manager of systemd's starts here");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("no manager of systemd's answers here")
    }

    /// Runs something where the manager is: its stdout, or what it said else.
    fn within(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.child.id().to_string(), "--"]).args(words);
        let output = command.env_clear().envs(self.den.variables()).stdin(Stdio::null()).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    fn main_pid(&self, unit: &str) -> u32 {
        let pid = self.within(&["systemctl", "--user", "show", "-P", "MainPID", unit]).unwrap();
        pid.trim().parse().unwrap()
    }
}

impl Drop for Manager<'_> {
    fn drop(&mut self) {
        signal(self.child.id(), Signal::TERM);
        for _ in 0..100 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return clear_slices();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a manager leaves of itself among the control groups; one that somebody else's processes are in stays.
fn clear_slices() {
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        drop(fs::remove_dir(hierarchy.path().join("app.slice")));
    }
}

#[test]
fn k14_services_and_their_terminals_outlive_a_restarted_unit() {
    let test = "k14_services_and_their_terminals_outlive_a_restarted_unit";
    let count = "n=0; while :; do n=$((n+1)); echo line-$n; sleep 0.05; done";
    let den = den(&[service("plain", count, ""), service("screen", count, "tty = true")]);
    let manager = match Manager::start(&den) {
        Ok(manager) => manager,
        Err(why) => return skip(test, why),
    };
    let program = env!("CARGO_BIN_EXE_podbay");
    let installed = manager.within(&[program, "--bay", &den.bay, "boot", "install"]).unwrap();
    assert!(installed.contains("installed"), "{installed}");
    let unit = format!("podbay-{}.service", den.bay);
    for name in ["plain", "screen"] {
        until("it is started", || act(&den, name, ServiceVerb::Start));
        until_state(&den, name, "running");
    }
    let pids = || ["plain", "screen"].map(|name| row(&den, name).pid.unwrap());
    let before = pids();
    let mut supervisor = manager.main_pid(&unit);
    for round in 0..ROUNDS {
        manager.within(&["systemctl", "--user", "restart", &unit]).unwrap();
        let next = manager.main_pid(&unit);
        assert!(next != supervisor && !alive(supervisor), "round {round}: {supervisor} was to end, {next} runs");
        supervisor = next;
        let ((), took) = within(Duration::from_secs(20), "both are adopted", || {
            let rows = den.wait(async |client| client.services().await).map_err(|error| error.to_string())?;
            let running = rows.iter().filter(|row| row.state == "running").count();
            if running == 2 { Ok(()) } else { Err(format!("{rows:#?}")) }
        });
        super::measured(&format!("round {round}: both services known again after {took:?}"));
        assert_eq!(pids(), before, "round {round}: the same processes");
    }
    // Not a line is missing, in either log.
    for name in ["plain", "screen"] {
        let lines: Vec<String> = lines(&den, name).into_iter().map(|line| line.trim_end().to_owned()).collect();
        let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("line-")).collect();
        let wanted: Vec<String> = (1..=told.len()).map(|n| format!("line-{n}")).collect();
        assert!(told.len() > ROUNDS && told.iter().map(|line| line.as_str()).eq(wanted.iter()), "{name}: {told:?}");
    }
    let removed = manager.within(&[program, "--bay", &den.bay, "boot", "remove"]).unwrap();
    assert!(removed.contains("removed"), "{removed}");
    assert_eq!(before.map(alive), [true, true], "what it stood for goes on");
}
