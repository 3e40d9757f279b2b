//! The system's `bwrap` as the opener of a user namespace, where podbay itself is refused one: Ubuntu's `AppArmor` knows
//! it, and not podbay.
//!
//! It opens the namespace and nothing more: a shim enters it and makes everything else by itself, as it does in one of
//! its own making, so terminals, job control and exit codes are podbay's own. Nobody is in it between the two but a
//! program that waits to be ended.

use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// Where a system has it. Not by `PATH`: who can write a directory of that would open the walls.
const PLACES: [&str; 2] = ["/usr/bin/bwrap", "/usr/local/bin/bwrap"];
/// How long it may take.
const OPEN: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// The one that this system has.
#[must_use]
pub fn find() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// What it says of what it has begun.
#[derive(Deserialize)]
struct Begun {
    #[serde(rename = "child-pid")]
    child: u32,
}

/// A namespace with somebody in it.
pub struct Opened {
    bwrap: Child,
    /// Whose namespace it is.
    pub pid: u32,
}

impl Drop for Opened {
    fn drop(&mut self) {
        // It ends what it has begun with itself.
        let _ = self.bwrap.kill();
        let _ = self.bwrap.wait();
    }
}

/// Has a user namespace opened in which this user has its own number.
///
/// # Errors
/// In words.
pub fn open(program: &Path) -> Result<Opened, String> {
    let name = program.display();
    let told = |error: std::io::Error| format!("have {name} open a user namespace: {error}");
    let (said, says) = rustix::pipe::pipe().map_err(|error| told(error.into()))?;
    rustix::io::fcntl_setfd(&said, rustix::io::FdFlags::CLOEXEC).map_err(|error| told(error.into()))?;
    let mut command = Command::new(program);
    command.args(["--unshare-user", "--die-with-parent", "--dev-bind", "/", "/", "--info-fd"]);
    command.arg(says.as_raw_fd().to_string()).args(["--", "sleep", "60"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    let mut bwrap = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(told)?;
    drop(says);
    if let Some(Begun { child }) = first_value(said) {
        let opened = Opened { bwrap, pid: child };
        wait_for_numbers(child).map_err(told)?;
        return Ok(opened);
    }
    let _ = bwrap.kill();
    let output = bwrap.wait_with_output().map_err(told)?;
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} opens no user namespace: {}", text.lines().next().unwrap_or("it says nothing")))
}

/// It says whom it has begun before that one has given itself its number: without one, no file can be made inside.
fn wait_for_numbers(pid: u32) -> std::io::Result<()> {
    let begun = Instant::now();
    let is_there = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).map(|text| !text.is_empty());
    while !(is_there("uid_map")? && is_there("gid_map")?) {
        if begun.elapsed() > OPEN {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// It says a JSON object over several lines, as soon as there is a namespace.
fn first_value(said: OwnedFd) -> Option<Begun> {
    let mut polled =
        [rustix::event::PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(&said), rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec::try_from(OPEN).ok()?;
    rustix::event::poll(&mut polled, Some(&timeout)).ok()?;
    let mut text = String::new();
    for line in BufReader::new(std::fs::File::from(said)).lines() {
        text.push_str(&line.ok()?);
        if let Ok(begun) = serde_json::from_str(&text) {
            return Some(begun);
        }
    }
    None
}
