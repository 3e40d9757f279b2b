//! Two FIFOs between a service and its shim, held open by a small process of their own: what a killed shim had not read
//! is still in them when the next one comes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::OwnedFd;
#[cfg(target_os = "linux")]
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::service::process::ProcessId;
use crate::service::protocol::Place;

/// Waits for the end of the shim, and then so long for the next one, in seconds. A shell: it needs next to no memory.
const HOLDER: &str = r#"exec 3<&0
{ read -r _; exec sleep 600; } <&3 3<&- 4<>"$1" 5<>"$2" >/dev/null 2>&1 &
echo $!"#;

/// The FIFOs of a service, and who holds them.
pub(super) struct Keep {
    paths: [PathBuf; 2],
    /// Who holds them open.
    pub holder: ProcessId,
    /// Closed with this process: then the holder counts.
    _lifeline: OwnedFd,
}

impl Keep {
    /// Takes them over from the last shim's holder. It must not become a child of this process: so before that collects
    /// the orphans of its service. What is in them is read from the files that are given.
    pub fn begin(place: &Place, past: Option<ProcessId>) -> io::Result<(Self, [File; 2])> {
        let paths = [place.dir.join("out"), place.dir.join("err")];
        for path in &paths {
            make(path)?;
        }
        // Open from here on, so that nothing is lost between one holder and the next.
        let [out, err] = &paths;
        let rest = [both_ways(out)?, both_ways(err)?];
        let (far, lifeline) = super::spawn::plain_pipe()?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", HOLDER, "podbay-holder"]).args(&paths).current_dir("/");
        let mut shell = shell.stdin(far).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        shell.wait()?;
        let holder = line.trim().parse().ok().and_then(ProcessId::of);
        let holder = holder.ok_or_else(|| io::Error::other("its streams have no holder"))?;
        past.inspect(|past| past.signal(Signal::KILL));
        Ok((Self { paths, holder, _lifeline: lifeline }, rest))
    }

    /// The ends of one run: of its output and of its errors, near and far. The near one does not block.
    pub fn ends(&self) -> io::Result<[(OwnedFd, OwnedFd); 2]> {
        let [out, err] = &self.paths;
        Ok([ends(out)?, ends(err)?])
    }
}

/// Nobody needs them any more. A shim that is killed does not come to this.
impl Drop for Keep {
    fn drop(&mut self) {
        self.holder.signal(Signal::KILL);
    }
}

/// Where no process is known for sure, its holder could not be ended.
#[cfg(not(target_os = "linux"))]
fn make(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn make(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_fifo() => return Ok(()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    Ok(rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)?)
}

fn both_ways(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

fn ends(path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let near = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    // It has a reader, so this does not wait.
    let far = OpenOptions::new().write(true).open(path)?;
    Ok((near.into(), far.into()))
}
