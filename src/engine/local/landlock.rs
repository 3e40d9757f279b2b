//! Whether this kernel has Landlock, and what would help where it has not.

use std::io;

use rustix::io::Errno;

/// Since this version signals stay inside.
pub const SIGNALS: i32 = 6;
/// Since this version a file is not cut short by its path.
pub const TRUNCATE: i32 = 3;

/// The version of Landlock that this kernel has.
///
/// # Errors
/// Why there is none, with what would help.
pub fn version() -> Result<i32, String> {
    told(ask())
}

#[expect(unsafe_code, reason = "the version is asked for by a call that takes no memory")]
fn ask() -> io::Result<i32> {
    const VERSION: u32 = 1;
    // SAFETY: no pointer is passed, and nothing is made.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    i32::try_from(version).ok().filter(|version| *version >= 0).ok_or_else(io::Error::last_os_error)
}

fn told(version: io::Result<i32>) -> Result<i32, String> {
    version.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOSYS) => "this kernel has no Landlock: it came with Linux 5.13".to_owned(),
        Some(Errno::OPNOTSUPP) => {
            "this kernel has Landlock, and it is not turned on: add `landlock` to what `lsm=` on the kernel's command \
             line or CONFIG_LSM names (/sys/kernel/security/lsm shows it)"
                .to_owned()
        }
        Some(Errno::PERM) => {
            "the filter of system calls that this process runs under refuses Landlock: in a container, its engine's \
             (Docker's newer ones allow it)"
                .to_owned()
        }
        _ => format!("this kernel does not say whether it has Landlock: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_words() {
        for (errno, words) in [(Errno::NOSYS, "5.13"), (Errno::OPNOTSUPP, "lsm="), (Errno::PERM, "newer ones")] {
            let text = told(Err(errno.into())).unwrap_err();
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(told(Ok(4)), Ok(4));
    }
}
