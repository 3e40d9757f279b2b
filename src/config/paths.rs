//! Where a bay's files lie.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::bay::name::Name;
use crate::bay::template::short_hash;

use super::env::Env;

/// macOS takes 104 bytes for a socket's path, Linux 108, both with the NUL; a little is left for `.tmp` beside it.
const LONGEST_SOCKET: usize = 100;

/// The directories and files of one bay. Nothing is made until [`Paths::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `$XDG_STATE_HOME/podbay/<bay>`.
    pub state: PathBuf,
    /// The supervisor's socket; short enough for every system.
    pub socket: PathBuf,
    /// `$XDG_CONFIG_HOME/podbay`.
    pub config: PathBuf,
}

impl Paths {
    /// Where this bay's files lie.
    #[must_use]
    pub fn of(bay: &Name, env: &Env) -> Self {
        let state = Self::base(env).join(bay);
        let socket = socket(bay, &state, env);
        Self { state, socket, config: Self::config_dir(env) }
    }

    /// `$XDG_STATE_HOME/podbay`, with the state of each bay below it.
    #[must_use]
    pub fn base(env: &Env) -> PathBuf {
        xdg(env, "XDG_STATE_HOME", ".local/state").join("podbay")
    }

    /// `$XDG_CONFIG_HOME/podbay`, the same for every bay.
    #[must_use]
    pub fn config_dir(env: &Env) -> PathBuf {
        xdg(env, "XDG_CONFIG_HOME", ".config").join("podbay")
    }

    /// Makes the directories, 0700, as INTERFACE.md names them, and writes a few bytes to see that it can.
    ///
    /// # Errors
    /// The system's, with the path in it and what would help.
    pub fn create(&self) -> io::Result<()> {
        own_dir(&self.state)?;
        for part in ["sessions", "logs", "workers", "services", "repos"] {
            private_dir(&self.state.join(part))?;
        }
        own_dir(self.runtime())?;
        self.try_writing()
    }

    /// Directories can often still be made where no file can be written any more.
    fn try_writing(&self) -> io::Result<()> {
        let probe = self.state.join(format!(".writable-{}", std::process::id()));
        let written = File::create(&probe).and_then(|mut file| {
            file.write_all(&[0; 4096])?;
            file.sync_all()
        });
        let removed = fs::remove_file(&probe);
        written.map_err(|error| told("can't write in", &self.state, &error))?;
        removed.map_err(|error| told("can't remove a file in", &self.state, &error))
    }

    /// `workers/<name>`.
    #[must_use]
    pub fn worker(&self, name: &Name) -> PathBuf {
        self.state.join("workers").join(name)
    }

    /// `services/<name>`: a native service's files.
    #[must_use]
    pub fn service(&self, name: &Name) -> PathBuf {
        self.state.join("services").join(name)
    }

    /// The socket of a native service's shim, short enough for every system.
    #[must_use]
    pub fn service_socket(&self, name: &Name) -> PathBuf {
        let own = self.service(name).join("sock");
        if own.as_os_str().len() <= LONGEST_SOCKET {
            return own;
        }
        // Beside the supervisor's, whose directory is short; the hash holds bay and state directory, too.
        let short = self.runtime().join(format!("{}.svc", short_hash(own.as_os_str().as_bytes())));
        if short.as_os_str().len() <= LONGEST_SOCKET { short } else { own }
    }

    /// The supervisor's log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Where a user puts secrets, one file a name.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.config.join("secrets")
    }

    /// The parent directory of the socket.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        self.socket.parent().unwrap_or(&self.state)
    }
}

/// A base directory of the XDG specification, which says that relative values are to be ignored.
fn xdg(env: &Env, key: &str, below_home: &str) -> PathBuf {
    let named = env.get(key).map(PathBuf::from).filter(|path| path.is_absolute());
    named.unwrap_or_else(|| env.home.join(below_home))
}

/// `$XDG_RUNTIME_DIR/podbay/<bay>.sock`, else in the state directory; by a hash where that is too long for a system.
fn socket(bay: &Name, state: &Path, env: &Env) -> PathBuf {
    let short = || format!("{}.sock", short_hash(state.as_os_str().as_bytes()));
    let runtime = env.get("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let candidates = match runtime.map(|dir| dir.join("podbay")) {
        Some(dir) => [dir.join(format!("{bay}.sock")), dir.join(short())],
        None => [state.join("podbay.sock"), state.with_file_name(short())],
    };
    let fits = |path: &PathBuf| path.as_os_str().len() <= LONGEST_SOCKET;
    // Where even that is too long, a directory of the user's own in the one place that is short everywhere.
    candidates.into_iter().find(fits).unwrap_or_else(|| PathBuf::from(format!("/tmp/podbay-{}", env.uid)).join(short()))
}

/// Makes a directory that only its owner can enter, and what is missing above it. Says whether it was made.
///
/// # Errors
/// The system's, with the path in it and what would help.
pub fn private_dir(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map(|()| true)
        .map_err(|error| told("can't make the directory", path, &error))
}

/// Like [`private_dir`], for a directory that holds what nobody else may reach: it must be a real directory, ours, and
/// is closed to others when it is not.
fn own_dir(path: &Path) -> io::Result<()> {
    private_dir(path)?;
    let meta = fs::symlink_metadata(path).map_err(|error| told("can't look at", path, &error))?;
    let refuse = |why: &str| {
        let text = format!("refused to use {}: {why}", path.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    };
    if meta.is_symlink() {
        return refuse("it is a symbolic link; it must be a directory of your own");
    }
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us {
        return refuse(&format!("it belongs to user {}, not to you ({us})", meta.uid()));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|error| told("can't close", path, &error))?;
    }
    Ok(())
}

/// A file's mode as the system takes it: macOS has it in 16 bits.
#[must_use]
pub fn mode(bits: u32) -> rustix::fs::Mode {
    #[cfg(target_os = "macos")]
    let bits = u16::try_from(bits & 0o7777).unwrap_or(0o600);
    rustix::fs::Mode::from_bits_truncate(bits)
}

/// The system's error, with what was tried on which path and what would help.
pub fn told(tried: &str, path: &Path, error: &io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => "no permission to write there".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "something that is not a directory is in the way".to_owned()
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "a symbolic link is in the way".to_owned()
        }
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("{tried} {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        let vars = vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Env { vars, home: "/home/ann".into(), uid: 1000, ..Env::default() }
    }

    fn of(vars: &[(&str, &str)]) -> Paths {
        Paths::of(&"bay".parse().unwrap(), &env(vars))
    }

    #[test]
    fn paths_follow_xdg() {
        let plain = of(&[]);
        assert_eq!(plain.state, Path::new("/home/ann/.local/state/podbay/bay"));
        assert_eq!(plain.socket, Path::new("/home/ann/.local/state/podbay/bay/podbay.sock"));
        assert_eq!(plain.config, Path::new("/home/ann/.config/podbay"));
        let set = of(&[("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/run/user/1"), ("XDG_CONFIG_HOME", "relative")]);
        assert_eq!(set.state, Path::new("/s/podbay/bay"));
        assert_eq!(set.socket, Path::new("/run/user/1/podbay/bay.sock"));
        assert_eq!(set.config, Path::new("/home/ann/.config/podbay"));
    }

    #[test]
    fn a_socket_is_never_too_long_and_never_shared() {
        let long = format!("/{}", "d".repeat(70));
        let longer = format!("/{}", "d".repeat(200));
        let bays: [Name; 2] =
            [format!("a{}", "x".repeat(62)), format!("b{}", "x".repeat(62))].map(|n| n.parse().unwrap());
        let mut seen = std::collections::BTreeSet::new();
        for dir in [&long, &longer] {
            for key in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME"] {
                for bay in &bays {
                    let socket = Paths::of(bay, &env(&[(key, dir)])).socket;
                    assert!(socket.as_os_str().len() <= LONGEST_SOCKET, "{}", socket.display());
                    assert!(seen.insert(socket.clone()), "{}", socket.display());
                }
            }
        }
        assert!(of(&[("XDG_RUNTIME_DIR", &longer)]).socket.starts_with("/tmp/podbay-1000"));
    }
}
