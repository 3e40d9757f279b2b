//! A program in a pty, seen through a terminal emulator. Used by the benches and by what draws the README's picture.

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// A running program and its screen. Killed when dropped.
pub struct Pty {
    /// The program's process.
    pub child: Box<dyn Child + Send + Sync>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    seen: Arc<Seen>,
    _master: Box<dyn MasterPty + Send>,
}

struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser,
    /// When the last bytes came.
    at: Instant,
    ended: bool,
}

/// What a terminal is asked for its cursor's place, and has to answer.
const WHERE: &[u8] = b"\x1b[6n";

impl Pty {
    /// Starts a program with these variables and no others.
    pub fn start(argv: &[&str], vars: &[(String, String)], rows: u16, cols: u16) -> std::io::Result<Self> {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).map_err(std::io::Error::other)?;
        let mut command = CommandBuilder::from_argv(argv.iter().map(Into::into).collect());
        command.env_clear();
        for (key, value) in vars {
            command.env(key, value);
        }
        if let Some((_, home)) = vars.iter().find(|(key, _)| key == "HOME") {
            command.cwd(home);
        }
        let mut reader = pair.master.try_clone_reader().map_err(std::io::Error::other)?;
        let writer = Arc::new(Mutex::new(pair.master.take_writer().map_err(std::io::Error::other)?));
        let child = pair.slave.spawn_command(command).map_err(std::io::Error::other)?;
        let (Ok(high), Ok(wide)) = (rows.try_into(), cols.try_into()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let state = State { parser: vt100::Parser::new(high, wide, 0), at: Instant::now(), ended: false };
        let seen = Arc::new(Seen { state: Mutex::new(state), changed: Condvar::new() });
        let (sight, answer) = (Arc::clone(&seen), Arc::clone(&writer));
        std::thread::spawn(move || {
            let mut bytes = [0; 16 << 10];
            loop {
                let count = reader.read(&mut bytes).unwrap_or(0);
                let came = bytes.get(..count).unwrap_or_default();
                let mut state = lock(&sight.state);
                state.at = Instant::now();
                state.ended = count == 0;
                state.parser.process(came);
                sight.changed.notify_all();
                drop(state);
                if count == 0 {
                    return;
                }
                if came.windows(WHERE.len()).any(|window| window == WHERE) {
                    let _ = lock(&answer).write_all(b"\x1b[1;1R");
                }
            }
        });
        Ok(Self { child, writer, seen, _master: pair.master })
    }

    /// Types.
    pub fn type_in(&self, text: &str) -> std::io::Result<()> {
        let mut writer = lock(&self.writer);
        writer.write_all(text.as_bytes())?;
        writer.flush()
    }

    /// Waits until the screen is as wanted, and says when its last bytes had come; else what is on it.
    pub fn wait(&self, patience: Duration, wanted: impl Fn(&vt100::Screen) -> bool) -> Result<Instant, String> {
        let deadline = Instant::now() + patience;
        let mut state = lock(&self.seen.state);
        loop {
            if wanted(state.parser.screen()) {
                return Ok(state.at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                return Err(state.parser.screen().contents());
            }
            state = self.seen.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until a text is on the screen.
    pub fn wait_for(&self, text: &str, patience: Duration) -> Result<Instant, String> {
        self.wait(patience, |screen| screen.contents().contains(text))
            .map_err(|screen| format!("{text:?} did not come within {patience:?}:\n{screen}"))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
