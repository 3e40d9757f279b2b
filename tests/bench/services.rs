//! What a native service costs under its shim: from a death to its replacement, idle, and in a flood.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use podbay::service::log::{Position, Reader};
use podbay::service::protocol::Status;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::process::cpu;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_mins(1);
/// The flood, in lines of 100 bytes.
const LINES: u64 = 2_000_000;

pub fn run(plan: Plan) -> Outcome {
    replacement(plan)?;
    idle(plan)?;
    flood(plan)
}

/// A bay with services and no engine.
struct Bay {
    root: TempDir,
}

impl Bay {
    fn start(services: &str) -> Result<Self, String> {
        let root = tempfile::Builder::new().prefix("pb").tempdir_in("/tmp").map_err(|error| error.to_string())?;
        for part in ["s", "r", "c/podbay", "h"] {
            fs::create_dir_all(root.path().join(part)).map_err(|error| error.to_string())?;
        }
        let config = format!("[bay]\nname = \"bench\"\n[engine]\nhost = \"unix:///nonexistent.sock\"\n{services}");
        fs::write(root.path().join("c/podbay/config.toml"), config).map_err(|error| error.to_string())?;
        let bay = Self { root };
        // It says that there is no engine; the services are started all the same.
        bay.verb(&["up"])?;
        Ok(bay)
    }

    fn verb(&self, args: &[&str]) -> Result<(), String> {
        let part = |part: &str| self.root.path().join(part);
        let mut command = Command::new(env!("CARGO_BIN_EXE_podbay"));
        command.args(args).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", part("h"));
        command.env("XDG_STATE_HOME", part("s")).env("XDG_RUNTIME_DIR", part("r")).env("XDG_CONFIG_HOME", part("c"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().map(drop).map_err(|error| error.to_string())
    }

    fn service(&self, name: &str) -> PathBuf {
        self.root.path().join("s/podbay/bench/services").join(name)
    }

    fn status(&self, name: &str) -> Option<Status> {
        serde_json::from_slice(&fs::read(self.service(name).join("status.json")).ok()?).ok()
    }

    fn shim(&self, name: &str) -> Result<u32, String> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.status(name).filter(|status| status.main.is_some()) {
                return Ok(status.shim.pid);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{name} does not start"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bay {
    fn drop(&mut self) {
        // What can't be brought down is ended with the next `down`; a bench fails nothing.
        let _ = self.verb(&["down", "-y"]);
    }
}

fn service(name: &str, command: &str, extra: &str) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nrun = \"host\"\nreason = \"stdio\"\ncommand = [{command}]\n\
         backoff = {{ initial = \"0s\", max = \"0s\" }}\nstart_limit = {{ burst = 100000, interval = \"1s\" }}\n{extra}\n"
    )
}

/// The pids that a program writes as its first act.
struct Births {
    lines: BufReader<File>,
    last: i32,
}

impl Births {
    fn new(path: &Path) -> Result<Self, String> {
        let made = Command::new("mkfifo").arg(path).status().map_err(|error| error.to_string())?;
        // Open both ways, so that no writer and no reader ever waits for the other.
        let file = File::options().read(true).write(true).open(path).map_err(|error| error.to_string())?;
        made.success()
            .then_some(Self { lines: BufReader::new(file), last: 0 })
            .ok_or_else(|| "mkfifo failed".to_owned())
    }

    fn next(&mut self) -> Result<i32, String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).map_err(|error| error.to_string())?;
        self.last = line.trim().parse().map_err(|_| format!("no pid: {line:?}"))?;
        Ok(self.last)
    }

    /// The times from a death to the next first act.
    fn replacements(&mut self, rounds: usize) -> Result<Vec<Duration>, String> {
        let mut pid = self.next()?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            std::thread::sleep(Duration::from_millis(20));
            let begun = Instant::now();
            let target = Pid::from_raw(pid).ok_or("no pid")?;
            kill_process(target, Signal::KILL).map_err(|error| error.to_string())?;
            pid = self.next()?;
            times.push(begun.elapsed());
        }
        Ok(times)
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64) * 1000.0
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn replacement(plan: Plan) -> Outcome {
    let rounds = plan.rounds() * 4;
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let script = |path: &Path| format!("echo $$ > {}; exec sleep 100000", path.display());

    let path = dir.path().join("loop");
    let mut births = Births::new(&path)?;
    let ending = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (ends, text) = (ending.clone(), script(&path));
    let bare = std::thread::spawn(move || {
        while !ends.load(std::sync::atomic::Ordering::Relaxed) {
            let child = Command::new("sh").args(["-c", &text]).stdin(Stdio::null()).spawn();
            // Its end is what the loop waits for, whatever it is.
            drop(child.map(|mut child| child.wait()));
        }
    });
    let floor = births.replacements(rounds);
    ending.store(true, std::sync::atomic::Ordering::Relaxed);
    if let Some(last) = Pid::from_raw(births.last) {
        let _ = kill_process(last, Signal::KILL);
    }
    let floor = median(floor?);
    bare.join().map_err(|_| "the bare loop failed")?;

    let path = dir.path().join("shim");
    let mut births = Births::new(&path)?;
    let bay = Bay::start(&service("mortal", &format!("\"sh\", \"-c\", '''{}'''", script(&path)), ""))?;
    bay.shim("mortal")?;
    let own = median(births.replacements(rounds)?);
    println!(
        "services: death to replacement {own:.2} ms, a bare wait loop {floor:.2} ms: {:.2} x (goal: 2 x)",
        own / floor
    );
    Ok(())
}

/// Private memory of a process in MB.
fn private(pid: u32) -> Result<f64, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).map_err(|error| error.to_string())?;
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<f64>().ok();
    let own = text.lines().filter(|line| line.starts_with("Private_") && !line.starts_with("Private_Hugetlb"));
    Ok(own.filter_map(kib).sum::<f64>() / 1024.0)
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn idle(plan: Plan) -> Outcome {
    let count = if plan.quick { 20 } else { 100 };
    let mut services = String::new();
    for number in 0..count {
        // Writing to a String can't fail.
        let _ = write!(services, "{}", service(&format!("s{number}0"), "\"sleep\", \"100000\"", ""));
    }
    let begun = Instant::now();
    let bay = Bay::start(&services)?;
    let shims = (0..count).map(|number| bay.shim(&format!("s{number}0"))).collect::<Result<Vec<u32>, String>>()?;
    let took = begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(2));
    let spent = |shims: &[u32]| shims.iter().map(|pid| cpu(*pid)).sum::<Result<f64, String>>();
    let window = Duration::from_secs(if plan.quick { 5 } else { 30 });
    let before = spent(&shims)?;
    std::thread::sleep(window);
    let used = spent(&shims)? - before;
    let memory = shims.iter().map(|pid| private(*pid)).collect::<Result<Vec<f64>, String>>()?;
    let largest = memory.iter().copied().fold(0.0, f64::max);
    // Beside each shim: who keeps what it has not read.
    let holders = (0..count).filter_map(|number| bay.status(&format!("s{number}0"))?.holder);
    let held = holders.map(|holder| private(holder.pid)).collect::<Result<Vec<f64>, String>>()?;
    println!(
        "services: {count} idle ones: {:.2} MB of private memory a shim, {largest:.2} at most (goal: under 2), and {:.2} MB for \
         who holds its streams; {used:.2} CPU seconds for all in {}s (goal: not to be measured); all started within {took:.1} s",
        memory.iter().sum::<f64>() / f64::from(count),
        held.iter().sum::<f64>() / f64::from(count),
        window.as_secs(),
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn flood(plan: Plan) -> Outcome {
    let lines = if plan.quick { LINES / 10 } else { LINES };
    let text = "x".repeat(99);
    let script = format!("yes {text} | head -n {lines}");
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let file = File::create(dir.path().join("plain")).map_err(|error| error.to_string())?;
    let plain = Command::new("sh").args(["-c", &script]).stdout(file).status().map_err(|error| error.to_string())?;
    let floor = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let bay = Bay::start(&service("flood", &format!("\"sh\", \"-c\", \"{script}; sleep 100000\""), ""))?;
    let shim = bay.shim("flood")?;
    let log = bay.service("flood").join("log");
    let mut reader = Reader::new(&log, Position::default());
    let mut seen = 0_u64;
    while seen < lines && begun.elapsed() < PATIENCE {
        let read = reader.read(4096).map_err(|error| error.to_string())?;
        if read.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
        seen += read.iter().filter(|line| line.bytes.len() == 99).count() as u64;
    }
    let own = begun.elapsed().as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{shim}/status")).map_err(|error| error.to_string())?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(str::trim).unwrap_or_default();
    println!(
        "services: {} MB in {lines} lines: {own:.2} s into the log and read again, {floor:.2} s into a file ({}): {:.1} x; lost \
         {} lines; the shim's memory at most {peak}",
        lines * 100 / 1_000_000,
        if plain.success() { "done" } else { "failed" },
        own / floor,
        lines.saturating_sub(seen),
    );
    Ok(())
}
