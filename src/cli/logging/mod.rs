//! podbay's own log: one file a day under the state directory, a week kept, readable by its owner only, without secrets
//! and without control characters.
//!
//! Writing is done by a thread of its own; when the disk is too slow for it, lines are dropped and counted, and the work
//! goes on. The filter is `PODBAY_LOG`, `info` without one.

mod redact;
mod sink;

use std::fs::{OpenOptions, Permissions};
use std::io::IsTerminal as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::exit::CliError;
use sink::{Dropped, LineSink};

/// Days that are kept.
const KEPT: usize = 7;
/// Lines that wait for the disk, at most; more are dropped and counted.
const QUEUED: usize = 2048;

/// Where lines go beside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    /// To stderr: for whoever watches a supervisor in the foreground.
    Stderr,
}

/// Keeps the log open; writes out what is queued when dropped.
pub struct Log {
    _worker: WorkerGuard,
}

/// Starts the log of this process: `<dir>/<who>.<date>.log`.
///
/// # Errors
/// When the directory can't be written to.
pub fn start(dir: &Path, who: &str, also: Option<Also>) -> Result<Log, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::failed(format!("no log in {}: {error}", dir.display()));
    let files = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(who)
        .filename_suffix("log")
        .max_log_files(KEPT)
        .build(dir)
        .map_err(|error| failed(&error))?;
    let dropped = Dropped::default();
    let sink = LineSink::new(files, dropped.clone()).privately(dir, who);
    let (writer, worker) = NonBlockingBuilder::default().buffered_lines_limit(QUEUED).lossy(true).finish(sink);
    dropped.watch(writer.error_counter());
    let file = fmt::layer().with_ansi(false).with_writer(writer);
    let stderr = also.map(|Also::Stderr| {
        let writer = || LineSink::new(std::io::stderr(), Dropped::default());
        fmt::layer().with_ansi(false).with_target(std::io::stderr().is_terminal()).with_writer(writer)
    });
    // A second log in one process is a test's: the first one stays.
    let _ = tracing_subscriber::registry().with(filter()?).with(file).with(stderr).try_init();
    Ok(Log { _worker: worker })
}

/// bollard logs whole requests, environment included, below info.
fn filter() -> Result<EnvFilter, CliError> {
    let wanted = std::env::var("PODBAY_LOG").unwrap_or_default();
    let wanted = if wanted.trim().is_empty() { "info" } else { wanted.trim() };
    let words = capped(wanted);
    EnvFilter::builder().parse(&words).map_err(|error| {
        CliError::usage(format!("PODBAY_LOG={wanted:?} is not a filter: {error}")).hint("for example PODBAY_LOG=debug")
    })
}

/// The filter without a say on bollard, and the cap after it.
fn capped(wanted: &str) -> String {
    let others: Vec<&str> =
        wanted.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.starts_with("bollard")).collect();
    let quiet = wanted.split(',').map(str::trim).find(|word| matches!(*word, "off" | "error" | "warn"));
    format!("{}{}bollard={}", others.join(","), if others.is_empty() { "" } else { "," }, quiet.unwrap_or("info"))
}

/// Gives today's files of `who` to their owner only. The appender makes them by the umask, which is not podbay's alone:
/// workspaces are made under the same.
fn make_private(dir: &Path, who: &str) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().and_then(|name| name.strip_prefix(who)?.strip_suffix(".log")).is_some();
        if ours && entry.metadata()?.permissions().mode() & 0o077 != 0 {
            // By descriptor, and never through a link.
            let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
            let file = OpenOptions::new().append(true).custom_flags(flags).open(entry.path())?;
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bollard_never_says_more_than_info() {
        assert_eq!(capped("info"), "info,bollard=info");
        assert_eq!(capped("debug,bollard=trace,hyper=warn"), "debug,hyper=warn,bollard=info");
        assert_eq!(capped("bollard::uri=trace"), "bollard=info");
        assert_eq!(capped("warn"), "warn,bollard=warn");
    }

    #[test]
    fn files_are_made_private_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("supervisor.2026-01-01.log");
        std::fs::write(&log, "").unwrap();
        std::fs::set_permissions(&log, Permissions::from_mode(0o644)).unwrap();
        let other = dir.path().join("other.log");
        std::fs::write(&other, "").unwrap();
        std::fs::set_permissions(&other, Permissions::from_mode(0o644)).unwrap();
        make_private(dir.path(), "supervisor").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&log), mode(&other)), (0o600, 0o644));
        std::os::unix::fs::symlink(&other, dir.path().join("supervisor.x.log")).unwrap();
        let _ = make_private(dir.path(), "supervisor");
        assert_eq!(mode(&other), 0o644);
    }
}
