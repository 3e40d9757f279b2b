//! What glibc keeps of the memory that was once needed. Elsewhere nothing is done.

/// All threads share one heap: a supervisor's do little at the same time, and each heap keeps what its thread once needed.
/// To be called while there is one thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's own setting, before there is a second thread")]
pub fn share() {
    // Where it can't be set, more memory is used.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives back what nobody needs now: a look at hundreds of containers takes for a moment what it would keep for good.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's own call, which any thread may make")]
pub fn give_back() {
    unsafe { libc::malloc_trim(0) };
}

/// There is nothing to set.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn share() {}

/// There is nothing to give back.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn give_back() {}
