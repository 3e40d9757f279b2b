//! The rows of the fault catalogue over the real binary, end to end: its verbs, its API, its dashboard in a real pty,
//! on Docker and on the fake daemon.
//!
//! Each test has a bay of its own in directories of its own ([`den::Den`]), which ends its supervisor, removes its
//! containers and checks that nothing is left, also after a panic. A test that can't run here says so by name;
//! `PODBAY_REQUIRE_DOCKER=1` makes the absence of Docker a failure. Full counts are `#[ignore]`d.

mod clones;
mod contained;
mod contained_logs;
mod crash;
mod daemon;
mod dashboard;
pub mod den;
pub mod docker;
mod docker_down;
mod doctor;
mod followed;
pub mod hooks;
mod hosted;
mod images;
mod input;
mod killing;
mod lives;
mod main_job;
mod memory;
mod network;
mod own_daemon;
mod pool;
mod ports;
pub mod process;
mod programs;
mod pty;
mod reload;
mod returning;
mod running;
mod services;
mod shims;
mod state_dir;
mod supervisors;
mod systemd;

use std::time::{Duration, Instant};

pub use crate::skip::skipped as skip;

/// Prints a figure; seen with `--nocapture`.
#[expect(clippy::print_stdout, reason = "figures are for people")]
pub fn measured(text: &str) {
    println!("{text}");
}

/// Waits for a condition, and says what it saw when it did not come in time. Gives the time that it took.
pub fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(value) => return (value, begun.elapsed()),
            Err(seen) if begun.elapsed() > limit => panic!("{what}: not within {limit:?}; saw {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// [`within`] a time that is long enough for a busy machine.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    within(Duration::from_secs(30), what, look).0
}
