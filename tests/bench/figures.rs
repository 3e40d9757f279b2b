//! Times, and how they are told.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// One line: what, ours, theirs, and how many times theirs ours is.
#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn tell(what: &str, ours: (&str, Duration), theirs: (&str, Duration)) {
    let ratio = ours.1.as_secs_f64() / theirs.1.as_secs_f64();
    let (one, other) = (millis(ours.1), millis(theirs.1));
    println!("{what}: {} {one}, {} {other}: {ratio:.2} x", ours.0, theirs.0);
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// How long a command takes that has to end well.
pub fn time(command: &mut Command) -> Result<Duration, String> {
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let took = begin.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Two things by turns, so that a busy machine is as busy for the one as for the other.
pub fn by_turns(
    rounds: usize,
    mut ours: impl FnMut() -> Result<Duration, String>,
    mut theirs: impl FnMut() -> Result<Duration, String>,
) -> Result<(Duration, Duration), String> {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        times.0.push(ours()?);
        times.1.push(theirs()?);
    }
    Ok((median(times.0), median(times.1)))
}
