//! A real terminal for the binary: a pty, read through an emulator that answers as terminals do.

use std::io::{Read as _, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::termios::{LocalModes, tcgetattr};

use super::den::Den;
use super::within;

type Writer = Arc<Mutex<Box<dyn Write + Send>>>;

/// The binary in a terminal.
pub struct Pty {
    pub child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
    /// One for the whole life: dropping it types Enter and Ctrl-D.
    writer: Writer,
    screen: Arc<Mutex<Screen>>,
    /// Held open, so that the terminal's modes can be read after the program's end.
    tty: std::fs::File,
}

struct Screen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Pty {
    /// Runs a verb (none: the dashboard) in a terminal of this size.
    pub fn run(den: &Den, args: &[&str], rows: u16, cols: u16) -> Self {
        Self::run_with(den, args, rows, cols, &[])
    }

    /// The same, with more environment.
    pub fn run_with(den: &Den, args: &[&str], rows: u16, cols: u16, env: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(&den.binary);
        command.args(args);
        command.env_clear();
        den.variables().into_iter().for_each(|(key, value)| command.env(key, value));
        command.env("TERM", "xterm-256color");
        for (key, value) in env {
            command.env(key, value);
        }
        command.cwd(den.path("h"));
        let child = pair.slave.spawn_command(command).unwrap();
        let tty = std::fs::File::open(pair.master.tty_name().unwrap()).unwrap();
        drop(pair.slave);
        let writer: Writer = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let screen = Arc::new(Mutex::new(Screen { parser: parser(rows, cols), bytes: Vec::new() }));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (to, answers) = (screen.clone(), writer.clone());
        std::thread::spawn(move || {
            let mut space = [0; 8192];
            while let Ok(count @ 1..) = reader.read(&mut space) {
                let asked = space[..count].windows(4).filter(|four| *four == b"\x1b[6n").count();
                let mut screen = lock(&to);
                screen.bytes.extend_from_slice(&space[..count]);
                screen.parser.process(&space[..count]);
                let (row, column) = screen.parser.screen().cursor_position();
                drop(screen);
                for _ in 0..asked {
                    let _ = write!(lock(&answers), "\x1b[{};{}R", row + 1, column + 1);
                }
            }
        });
        Self { child, _master: pair.master, writer, screen, tty }
    }

    pub fn type_in(&self, text: &str) {
        let mut writer = lock(&self.writer);
        writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).unwrap();
    }

    pub fn text(&self) -> String {
        lock(&self.screen).parser.screen().contents()
    }

    /// Waits for a text on the screen; the time it took.
    pub fn shows(&self, text: &str) -> Duration {
        self.shows_within(Duration::from_secs(30), text)
    }

    pub fn shows_within(&self, limit: Duration, text: &str) -> Duration {
        let look = || {
            let screen = self.text();
            if screen.contains(text) { Ok(()) } else { Err(format!("this screen:\n{screen}")) }
        };
        within(limit, &format!("{text:?} on the screen"), look).1
    }

    /// Waits until a text is gone from the screen.
    pub fn loses(&self, text: &str) {
        super::until(&format!("no {text:?} on the screen"), || {
            let screen = self.text();
            if screen.contains(text) { Err(format!("this screen:\n{screen}")) } else { Ok(()) }
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Waits for the program's end; its exit code.
    pub fn end(&mut self, limit: Duration) -> u32 {
        let screen = self.screen.clone();
        let look = || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status.exit_code()),
            None => Err(format!("it runs, with this screen:\n{}", lock(&screen).parser.screen().contents())),
        };
        within(limit, "the program ends", look).0
    }

    /// The terminal is as a shell wants it: cooked, on the main screen, cursor on, all modes off.
    pub fn is_restored(&self) {
        let modes = tcgetattr(&self.tty).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
        super::until("the terminal is restored", || {
            let screen = lock(&self.screen);
            let seen = screen.parser.screen();
            let left = [
                ("alternate screen", seen.alternate_screen()),
                ("hidden cursor", seen.hide_cursor()),
                ("mouse", seen.mouse_protocol_mode() != vt100::MouseProtocolMode::None),
                ("bracketed paste", seen.bracketed_paste()),
                ("application cursor", seen.application_cursor()),
                ("application keypad", seen.application_keypad()),
            ];
            let left: Vec<&str> = left.iter().filter(|(_, on)| *on).map(|(what, _)| *what).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }

    /// How often the program wrote this.
    pub fn wrote(&self, sequence: &str) -> usize {
        let screen = lock(&self.screen);
        screen.bytes.windows(sequence.len()).filter(|window| *window == sequence.as_bytes()).count()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            super::process::signal(self.pid(), rustix::process::Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn parser(rows: u16, cols: u16) -> vt100::Parser {
    vt100::Parser::new(rows.try_into().unwrap(), cols.try_into().unwrap(), 0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
