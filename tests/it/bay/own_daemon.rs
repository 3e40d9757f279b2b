//! A Docker daemon of the test's own, in a network namespace of its own, to be frozen and killed. Rows D06 and D07 as
//! they really are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::den::{Conf, Den, text};
use super::docker::Docker;
use super::process::signal;
use super::{measured, skip, within};

/// containerd and dockerd; ended, unmounted and removed when this is dropped.
struct OwnDaemon {
    root: TempDir,
    /// Holds the network namespace.
    holder: Child,
    containerd: Child,
    dockerd: Option<Child>,
    live_restore: bool,
}

fn quiet(program: &str, log: &Path) -> Command {
    let mut command = Command::new(program);
    let log = fs::File::options().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command
}

impl OwnDaemon {
    /// `None` where it can't be: no root, no dockerd, or it does not come up.
    fn start(live_restore: bool, data: Option<&str>) -> Result<Self, String> {
        if !rustix::process::getuid().is_root() {
            return Err("a daemon of its own needs root".to_owned());
        }
        let root = tempfile::Builder::new().prefix("pd").rand_bytes(4).tempdir_in("/tmp").map_err(|e| e.to_string())?;
        let at = |part: &str| root.path().join(part);
        let config = format!(
            "version = 2\nroot = \"{0}/cd-root\"\nstate = \"{0}/cd-state\"\n[grpc]\naddress = \"{0}/cd.sock\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsystemd_cgroup = false\n[debug]\nlevel = \"warn\"\n",
            root.path().display()
        );
        let config = format!("disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n{config}");
        fs::write(at("cd.toml"), config).map_err(|error| error.to_string())?;
        let mut holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "ip link set lo up; echo up; exec sleep 86400"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let up = holder.stdout.take().map(std::io::BufReader::new);
        up.map(|mut up| std::io::BufRead::read_line(&mut up, &mut line));
        let containerd = quiet("containerd", &at("containerd.log")).arg("--config").arg(at("cd.toml")).spawn();
        let containerd = match containerd {
            Ok(child) => child,
            Err(error) => {
                let _ = holder.kill();
                let _ = holder.wait();
                return Err(format!("containerd: {error}"));
            }
        };
        let mut own = Self { root, holder, containerd, dockerd: None, live_restore };
        if let Some(size) = data {
            fs::create_dir(own.at("data")).map_err(|error| error.to_string())?;
            let option = format!("size={size}");
            let mounted =
                Command::new("mount").args(["-t", "tmpfs", "-o", &option, "none"]).arg(own.at("data")).status();
            if !mounted.is_ok_and(|status| status.success()) {
                return Err("a tmpfs can't be mounted".to_owned());
            }
        }
        own.start_dockerd()?;
        Ok(own)
    }

    fn at(&self, part: &str) -> PathBuf {
        self.root.path().join(part)
    }

    fn docker(&self) -> Docker {
        Docker::new(self.at("d.sock"))
    }

    fn start_dockerd(&mut self) -> Result<(), String> {
        let mut command = quiet("nsenter", &self.at("dockerd.log"));
        command.args(["-t", &self.holder.id().to_string(), "-n", "dockerd", "--storage-driver=vfs", "--config-file="]);
        command.arg(format!("--live-restore={}", self.live_restore));
        for (flag, part) in [("--containerd", "cd.sock"), ("--data-root", "data"), ("--exec-root", "exec")] {
            command.arg(flag).arg(self.at(part));
        }
        command.arg("--pidfile").arg(self.at("d.pid")).arg("-H").arg(format!("unix://{}", text(&self.at("d.sock"))));
        let mut child = command.spawn().map_err(|error| format!("dockerd: {error}"))?;
        let docker = self.docker();
        for _ in 0..400 {
            if docker.answers() {
                self.dockerd = Some(child);
                return Ok(());
            }
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
        let log = fs::read_to_string(self.at("dockerd.log")).unwrap_or_default();
        Err(format!("a dockerd of its own does not come up: {}", log.lines().last().unwrap_or_default()))
    }

    fn pid(&self) -> u32 {
        self.dockerd.as_ref().unwrap().id()
    }

    fn kill(&mut self, how: Signal) {
        let mut child = self.dockerd.take().unwrap();
        signal(child.id(), how);
        let _ = child.wait();
    }
}

impl Drop for OwnDaemon {
    fn drop(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            signal(dockerd.id(), Signal::CONT);
            signal(dockerd.id(), Signal::TERM);
            let _ = dockerd.wait();
        }
        signal(self.containerd.id(), Signal::TERM);
        let _ = self.containerd.wait();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mine = text(self.root.path());
        let below = mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| path.starts_with(&mine));
        let mut below: Vec<&str> = below.collect();
        below.reverse();
        for path in below {
            let _ = Command::new("umount").args(["-l", path]).status();
        }
    }
}

fn bay(test: &str, live_restore: bool, data: Option<&str>) -> Option<(OwnDaemon, Den)> {
    match OwnDaemon::start(live_restore, data) {
        Ok(own) => {
            let den = Den::on(own.docker(), None, Conf::default());
            den.spawn_all(&["w1", "w2", "w3"].map(str::to_owned));
            Some((own, den))
        }
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

/// Kills the daemon and starts it again; what ran is running again, parent first.
fn restarts(test: &str, live_restore: bool, how: Signal, rounds: usize) {
    let Some((mut own, den)) = bay(test, live_restore, None) else { return };
    den.ok(&["exec", "w1", "--", "bash", "-c", "echo kept > /workspace/w"]);
    let pids = || ["parent", "w1", "w2", "w3"].map(|name| den.inspect(name)["State"]["Pid"].clone());
    for _ in 0..rounds {
        let before = pids();
        own.kill(how);
        den.within_state(Duration::from_secs(15), &["w1"], "unknown");
        own.start_dockerd().unwrap();
        den.within_state(Duration::from_secs(40), &["parent", "w1", "w2", "w3"], "running");
        if live_restore {
            assert_eq!(pids(), before, "adopted");
        } else {
            let at = |name: &str| den.row(name).unwrap().started_at.unwrap();
            assert!(["w1", "w2", "w3"].iter().all(|name| at(name) > at("parent")), "a worker came before its parent");
        }
        let ran = den.exec("w1", "cat /workspace/w; tail -n +3 /proc/net/dev | grep -c -v lo:");
        assert_eq!(ran.stdout, "kept\n1\n", "{ran:?}");
    }
}

#[test]
fn d07_kill_9_of_dockerd_without_live_restore() {
    restarts("d07_kill_9_of_dockerd_without_live_restore", false, Signal::KILL, 1);
}

#[test]
#[ignore = "half a minute"]
fn p09_a_daemon_that_is_killed_in_mid_refill_finds_its_pool_again() {
    let test = "p09_a_daemon_that_is_killed_in_mid_refill_finds_its_pool_again";
    let Some((mut own, den)) = bay(test, false, None) else { return };
    let rest = "[[template]]\nname = \"pooled\"\npool = { target = 6, min = 1, max_creating = 2 }";
    den.configure(Conf { rest, ..Conf::default() });
    den.wait(async |client| client.reload().await.map(drop)).unwrap();
    let warm =
        |den: &Den| den.wait(async |client| client.pool().await).unwrap_or_default().first().map_or(0, |row| row.warm);
    within(Duration::from_secs(30), "some are warm, not all", || {
        let count = warm(&den);
        if (1..6).contains(&count) { Ok(()) } else { Err(count.to_string()) }
    });
    own.kill(Signal::KILL);
    den.within_state(Duration::from_secs(15), &["w1"], "unknown");
    own.start_dockerd().unwrap();
    within(Duration::from_secs(90), "the pool is full", || {
        let count = warm(&den);
        if count == 6 { Ok(()) } else { Err(format!("{count}: {:?}", den.json(&["pool", "status"]))) }
    });
    let there = den.in_engine().into_iter().filter(|name| name.starts_with("warm-")).count();
    assert_eq!(there, 6, "none too many, none left over: {:?}", den.in_engine());
    let spawned = den.json(&["spawn", "fox", "-t", "pooled", "-d"]);
    assert_eq!(spawned["claimed"], true, "{spawned}");
}

#[test]
fn d13_a_full_disk_of_the_engine_is_said_and_running_workers_go_on() {
    let test = "d13_a_full_disk_of_the_engine_is_said_and_running_workers_go_on";
    let Some((own, den)) = bay(test, false, Some("24m")) else { return };
    let started = den.inspect("w1")["State"]["StartedAt"].clone();
    let filler = own.at("data/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    drop(file);
    let ran = den.run(&["spawn", "late", "-d"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("no space left on device"), "{ran:?}");
    assert_eq!(den.in_engine(), ["parent", "w1", "w2", "w3"], "nothing half-done stays");
    let ran = den.exec("w1", "echo works");
    assert_eq!(ran.stdout, "works\n", "{ran:?}");
    fs::remove_file(filler).unwrap();
    den.spawn("late");
    assert_eq!(den.inspect("w1")["State"]["StartedAt"], started);
}

#[test]
#[ignore = "four combinations, 20 rounds each"]
fn d07_in_full() {
    for (live_restore, how) in
        [(true, Signal::TERM), (true, Signal::KILL), (false, Signal::TERM), (false, Signal::KILL)]
    {
        restarts("d07_in_full", live_restore, how, 20);
    }
}

#[test]
#[ignore = "a minute and more"]
fn d06_on_docker_in_full() {
    let Some((own, den)) = bay("d06_on_docker_in_full", false, None) else { return };
    signal(own.pid(), Signal::STOP);
    let away = den.within_state(Duration::from_secs(15), &["parent", "w1", "w2", "w3"], "unknown");
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(45) {
        let asked = std::time::Instant::now();
        den.ok(&["ls"]);
        assert!(asked.elapsed() < Duration::from_secs(2), "ls took {:?}", asked.elapsed());
        std::thread::sleep(Duration::from_secs(1));
    }
    signal(own.pid(), Signal::CONT);
    let back = within(Duration::from_secs(5), "it is back", || {
        let up = den.rows().iter().all(|row| row.state.as_str() == "running");
        if up { Ok(()) } else { Err(super::den::summary(&den.rows())) }
    });
    measured(&format!("D06: away after {away:?}, back after {:?}", back.1));
}
