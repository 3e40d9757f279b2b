//! What the C library keeps of memory that was once needed.

/// Gives back what nobody needs now: a look at hundreds of containers takes for a moment what would be kept for good.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's own call, which any thread may make")]
pub fn give_back() {
    unsafe { libc::malloc_trim(0) };
}

/// Other libraries do it by themselves, or can't be asked.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn give_back() {}
