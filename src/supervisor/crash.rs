//! Crash points: places where a test ends the supervisor with SIGKILL, as a power cut would.
//!
//! `PODBAY_CRASH_AT=name` kills at the first pass, `name:3` at the third. Not compiled into release builds.

/// Dies here if a test asked for it.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};

    static PASSES: AtomicU32 = AtomicU32::new(0);
    let Ok(wish) = std::env::var("PODBAY_CRASH_AT") else { return };
    let (wanted, count) = match wish.split_once(':') {
        Some((wanted, count)) => (wanted, count.parse().unwrap_or(1)),
        None => (wish.as_str(), 1),
    };
    if wanted == name && PASSES.fetch_add(1, Ordering::Relaxed) + 1 >= count {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, in release builds.
#[cfg(not(debug_assertions))]
pub const fn point(_name: &str) {}
