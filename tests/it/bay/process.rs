//! Processes of the tests: run to their end, found by their mark, ended by their pid.

use std::fs;
use std::io::{ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// No verb takes this long; one that does is ended and shown.
const VERB: Duration = Duration::from_secs(90);
/// In the environment of everything that a den starts, with its name.
pub const MARK: &str = "PB_DEN";

/// What a verb did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A supervisor in the foreground.
pub struct Served(pub Child);

impl Served {
    /// Waits for its end; what it ended with.
    pub fn end(&mut self) -> ExitStatus {
        until("the supervisor ends", || self.0.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, or ends it when it takes too long.
pub fn finish(mut command: Command, args: &[&str]) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    // A copy of the binary can't be run while another thread's child still has it open for writing.
    let begun = Instant::now();
    while matches!(&child, Err(error) if error.kind() == ErrorKind::ExecutableFileBusy) && begun.elapsed() < VERB {
        std::thread::sleep(Duration::from_millis(5));
        child = command.spawn();
    }
    let mut child = child.unwrap();
    let reader = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().unwrap()));
    let stderr = reader(Box::new(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > VERB {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "podbay {} did not end: stdout {:?}, stderr {:?}",
                args.join(" "),
                stdout.join().unwrap(),
                stderr.join().unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let code = std::os::unix::process::ExitStatusExt::signal(&status).map_or(status.code().unwrap_or(-1), |n| 128 + n);
    Ran { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Processes that carry a den's mark.
pub fn marked(bay: &str) -> Vec<u32> {
    let mark = format!("{MARK}={bay}").into_bytes();
    let own = std::process::id();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own)
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|pair| pair == mark)
        })
        .collect()
}

/// A process whose first thread is dead still holds its files and locks until the last one is.
pub fn alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z') || threads > 1
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    // It may be gone already.
    let _ = kill_process(pid, signal);
}

/// Copies a program. By another process: one that this one has open for writing, and any child that another test starts
/// meanwhile with it, can't be run (`ETXTBSY`).
pub fn copy_program(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}
