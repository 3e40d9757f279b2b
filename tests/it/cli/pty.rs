//! podbay in a pty of its own.
#![expect(clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::termios::{LocalModes, tcgetattr};

use super::fake::{House, LONG};

/// A running podbay and its terminal.
pub struct Pty {
    user: Option<User>,
    pub child: Box<dyn Child + Send + Sync>,
    /// The other side. While it is held, the terminal's settings outlive podbay, and nothing that came is lost.
    held: Option<File>,
    /// All that came.
    pub screen: Vec<u8>,
    /// How much of it was waited for already.
    waited: usize,
}

/// The user's side of a terminal.
struct User {
    master: Box<dyn MasterPty + Send>,
    reader: Option<Box<dyn Read + Send>>,
    writer: Option<Box<dyn Write + Send>>,
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pty {
    pub fn start(house: &House, program: &[&str], vars: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(size(24, 80)).unwrap();
        let mut command = CommandBuilder::new(program[0]);
        command.args(&program[1..]);
        command.env_clear();
        for (key, value) in house.vars() {
            command.env(key, value);
        }
        for (key, value) in vars {
            command.env(key, value);
        }
        command.cwd(house.dir.path());
        let child = pair.slave.spawn_command(command).unwrap();
        let held = Some(open(&pair.master.tty_name().unwrap()));
        let reader = Some(pair.master.try_clone_reader().unwrap());
        let writer = Some(pair.master.take_writer().unwrap());
        let user = Some(User { master: pair.master, reader, writer });
        Self { user, child, held, screen: Vec::new(), waited: 0 }
    }

    fn user(&mut self) -> &mut User {
        self.user.as_mut().unwrap()
    }

    pub fn podbay(house: &House, args: &[&str]) -> Self {
        Self::start(house, &[&[env!("CARGO_BIN_EXE_podbay")], args].concat(), &[])
    }

    pub fn type_in(&mut self, bytes: &[u8]) {
        let writer = self.user().writer.as_mut().unwrap();
        writer.write_all(bytes).unwrap();
        writer.flush().unwrap();
    }

    /// Types while the test reads: what comes back of a large text would block a terminal that nobody reads.
    pub fn type_and_wait_for(&mut self, bytes: Vec<u8>, end: &str) {
        let mut writer = self.user().writer.take().unwrap();
        let thread = std::thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer
        });
        self.wait_for(end);
        let writer = thread.join().unwrap();
        self.user().writer = Some(writer);
    }

    pub fn resize(&mut self, rows: u16, cols: u16) {
        self.user().master.resize(size(rows, cols)).unwrap();
    }

    /// Reads until the text has come. Reading happens nowhere else, so that dropping all handles is a hangup.
    pub fn wait_for(&mut self, text: &str) {
        let came = self.read_until(text.as_bytes());
        assert!(came, "{text:?} never came; came: {:?}", String::from_utf8_lossy(&self.screen));
    }

    /// Reads to the end, and gives the exit status.
    pub fn end(&mut self) -> ExitStatus {
        let status = self.exit();
        // The held side keeps the terminal open: its end is marked, not met.
        self.held.as_mut().unwrap().write_all(b"\0end\0").unwrap();
        assert!(self.read_until(b"\0end\0"));
        status
    }

    pub fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "podbay does not end: {:?}", String::from_utf8_lossy(&self.screen));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What came after the text came last.
    pub fn after(&self, text: &[u8]) -> Vec<u8> {
        let at = self.screen.windows(text.len()).rposition(|window| window == text).unwrap();
        self.screen[at + text.len()..].to_vec()
    }

    /// Whether keys are edited and echoed by the kernel, as a shell wants it.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(self.held.as_ref().unwrap()).unwrap().local_modes;
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert!(modes.contains(cooked) || !modes.intersects(cooked), "half raw: {modes:?}");
        modes.contains(cooked)
    }

    /// Closes the terminal from the user's side, as an ssh connection that breaks.
    pub fn hang_up(&mut self) {
        self.held = None;
        self.user = None;
    }

    /// Reads in a thread, because a read can't be given a deadline; the thread stops at the text.
    fn read_until(&mut self, text: &[u8]) -> bool {
        let mut reader = self.user().reader.take().unwrap();
        let (sender, portions) = mpsc::channel();
        let (wanted, mut unread) = (text.to_vec(), self.screen[self.waited..].to_vec());
        let thread = std::thread::spawn(move || {
            let mut portion = [0; 4096];
            while find(&unread, &wanted).is_none() {
                let count = match reader.read(&mut portion) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => count,
                };
                unread.extend_from_slice(&portion[..count]);
                if sender.send(portion[..count].to_vec()).is_err() {
                    break;
                }
            }
            reader
        });
        let deadline = Instant::now() + LONG;
        loop {
            match portions.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(portion) => self.screen.extend(portion),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
            }
        }
        self.user().reader = Some(thread.join().unwrap());
        let found = find(&self.screen[self.waited..], text);
        self.waited = found.map_or(self.screen.len(), |at| self.waited + at + text.len());
        found.is_some()
    }
}

/// Without making it anybody's controlling terminal.
fn open(tty: &Path) -> File {
    let flags = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap();
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(tty).unwrap()
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}
