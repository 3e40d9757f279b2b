//! The user's terminal: taken over, and given back exactly once, however the dashboard ends.
//!
//! The only file that writes escape sequences. Everything else draws cells.

use std::io::{self, IsTerminal, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
    EnableMouseCapture,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::backend::Frames;
use super::msg::Msg;
use super::notify::{self, Way};
use crate::config::env::Env;
use crate::terminal::safe::Safe;

/// Most bytes that are given to the clipboard.
const MAX_COPY: usize = 64 << 10;

/// Whether the terminal is ours at present: who turns it to `false` restores it.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the mouse was asked for.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// What the last panic said, while nothing could be printed.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Why there is nothing to draw on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TtyError {
    /// Output or input goes elsewhere.
    #[error("the dashboard needs a terminal, and {0} is none; `podbay ls` and `podbay status` print to anything")]
    NoTty(&'static str),
    /// `TERM` is unset.
    #[error("TERM is not set, so nothing is known of this terminal; set it, or use `podbay ls` and `podbay status`")]
    NoTerm,
    /// `TERM=dumb`.
    #[error("TERM is \"dumb\": this terminal can't be drawn on; use `podbay ls` and `podbay status`")]
    Dumb,
}

/// Whether there is a terminal that can be drawn on.
///
/// # Errors
/// [`TtyError`] says what is missing and what works without.
pub fn check(env: &Env) -> Result<(), TtyError> {
    for (name, there) in [("stdin", io::stdin().is_terminal()), ("stdout", io::stdout().is_terminal())] {
        if !there {
            return Err(TtyError::NoTty(name));
        }
    }
    check_term(env)
}

fn check_term(env: &Env) -> Result<(), TtyError> {
    match env.get("TERM") {
        None => Err(TtyError::NoTerm),
        Some("dumb") => Err(TtyError::Dumb),
        Some(_) => Ok(()),
    }
}

/// The terminal, taken over. Gives it back when it is dropped.
#[derive(Debug)]
pub struct Tty {
    mouse: bool,
}

impl Tty {
    /// Takes the terminal over: raw mode, alternate screen, bracketed paste, focus events, the mouse if asked for.
    ///
    /// # Errors
    /// The system's; the terminal is then as it was.
    pub fn enter(mouse: bool) -> io::Result<Self> {
        keep_panics_back();
        let tty = Self { mouse };
        take(mouse)?;
        Ok(tty)
    }

    /// What ratatui draws on.
    ///
    /// # Errors
    /// The system's.
    pub fn terminal(&self) -> io::Result<Terminal<Frames<Screen<Stdout>>>> {
        // Never `Terminal::clear`: it asks the terminal for its cursor and waits two seconds for one that does not tell.
        // The alternate screen is empty anyway.
        Terminal::new(Frames::new(Screen(io::stdout())))
    }

    /// What the executor does with the terminal.
    #[must_use]
    pub fn copier(&self, env: &Env) -> Copier {
        Copier { tmux: env.get("TMUX").is_some(), mouse: self.mouse }
    }

    /// Gives the terminal back.
    pub fn leave(&mut self) {
        restore();
    }
}

/// What is drawn on. One that is gone takes everything and shows nothing: ratatui prints what it can't write to stderr
/// when it is dropped, which is the same terminal, and a print that fails is a panic.
#[derive(Debug)]
pub struct Screen<W>(W);

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_gone(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_gone(self.0.flush(), ())
    }
}

fn unless_gone<T>(result: io::Result<T>, done: T) -> io::Result<T> {
    let gone = [rustix::io::Errno::IO, rustix::io::Errno::NXIO].map(rustix::io::Errno::raw_os_error);
    match result {
        Err(error) if error.raw_os_error().is_some_and(|errno| gone.contains(&errno)) => Ok(done),
        other => other,
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        restore();
    }
}

fn take(mouse: bool) -> io::Result<()> {
    // Marked first: a failure half-way through is undone in full.
    TAKEN.store(true, Ordering::SeqCst);
    MOUSE.store(mouse, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| {
        let mut out = io::stdout();
        // Keys that are one byte otherwise are told apart by a terminal that can; others take no notice.
        out.write_all(b"\x1b[22;2t\x1b[>1u")?;
        execute!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange, cursor::Hide)?;
        if mouse { execute!(out, EnableMouseCapture) } else { Ok(()) }
    });
    if taken.is_err() {
        restore();
    }
    taken
}

/// Gives the terminal back, once for each time it was taken.
fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // Each step is tried: a terminal that is gone refuses all of them, and then nothing is left to restore.
    if MOUSE.load(Ordering::SeqCst) {
        let _ = execute!(out, DisableMouseCapture);
    }
    // The title that was there before, where the terminal keeps it.
    let _ = out.write_all(b"\x1b[<1u\x1b[0 q\x1b[23;2t");
    let _ = execute!(out, DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// While the terminal is ours, a panic's report is kept instead of being written into the screen. A panic of a
/// background task then costs nothing but its task; one of the dashboard is printed after the terminal is restored.
fn keep_panics_back() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if crate::terminal::panic_is_contained() {
                // The emulator deals with it.
            } else if TAKEN.load(Ordering::SeqCst) {
                tracing::error!("{info}");
                *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

/// Prints the report that was kept back.
pub fn report_panic() {
    let report = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    let text: Vec<String> =
        report.iter().flat_map(|report| report.lines()).map(|line| Safe::new(line).to_string()).collect();
    let _ = writeln!(io::stderr(), "podbay failed, and says sorry: {}", text.join("\n"));
}

/// A line on the user's own screen.
pub fn say(text: &str) {
    // A terminal that is gone can't be told anything.
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// Turns the system's signals into messages: those that end, and the one that suspends.
///
/// # Errors
/// The system's.
pub fn watch_signals(messages: mpsc::Sender<Msg>) -> io::Result<JoinHandle<()>> {
    let on = |kind: SignalKind| signal(kind);
    let mut end: Vec<SignalStream> = vec![
        on(SignalKind::terminate())?,
        on(SignalKind::interrupt())?,
        on(SignalKind::hangup())?,
        on(SignalKind::quit())?,
    ];
    let mut suspend = on(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    Ok(tokio::spawn(async move {
        loop {
            let ends = futures_util::future::select_all(end.iter_mut().map(|stream| Box::pin(stream.recv())));
            let msg = tokio::select! {
                _ = ends => Msg::End,
                _ = suspend.recv() => Msg::Suspend,
            };
            if messages.send(msg).await.is_err() {
                return;
            }
        }
    }))
}

/// Returns when the terminal is gone. crossterm never tells (its thread spins on the dead descriptor), and SIGHUP may be
/// ignored, so the terminal is asked once a second.
pub async fn hung_up() {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if rustix::termios::tcgetattr(io::stdout()).is_err() {
            return;
        }
    }
}

/// A sequence for the terminal. One that is gone can't be told anything.
fn write(sequence: &str) {
    if TAKEN.load(Ordering::SeqCst) {
        say(sequence);
    }
}

/// What is done with the terminal beside drawing.
#[derive(Clone, Copy, Debug)]
pub struct Copier {
    tmux: bool,
    mouse: bool,
}

impl Copier {
    /// Gives a text to the terminal's clipboard. How many characters, or why not.
    ///
    /// # Errors
    /// In words.
    pub fn copy(self, text: &str) -> Result<usize, String> {
        let sequence = self.sequence(text)?;
        let mut out = io::stdout();
        out.write_all(sequence.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())?;
        Ok(text.chars().count())
    }

    /// OSC 52, wrapped where tmux would keep it for itself.
    fn sequence(self, text: &str) -> Result<String, String> {
        if text.len() > MAX_COPY {
            return Err(format!("{} bytes are more than the {MAX_COPY} that terminals take", text.len()));
        }
        let lines: Vec<String> = text.split('\n').map(|line| Safe::new(line).into_string()).collect();
        let coded = base64::engine::general_purpose::STANDARD.encode(lines.join("\n"));
        let sequence = format!("\u{1b}]52;c;{coded}\u{7}");
        if !self.tmux {
            return Ok(sequence);
        }
        // tmux takes the plain one where `set-clipboard` is on, and passes the wrapped one on where `allow-passthrough` is.
        Ok(format!("{sequence}{}", notify::passed_through(&sequence)))
    }

    /// Calls the user.
    pub fn notify(self, way: Way, text: &str) {
        write(&way.sequence(text, self.tmux));
    }

    /// The cursor's shape, as DECSCUSR numbers it; 0: the terminal's own.
    pub fn cursor(self, shape: u8) {
        write(&format!("\u{1b}[{} q", shape.min(6)));
    }

    /// Sets the window's title.
    pub fn title(self, text: &str) {
        write(&notify::title(text));
    }

    /// As [`suspend`].
    ///
    /// # Errors
    /// The system's.
    pub fn suspend(self) -> io::Result<()> {
        suspend(self.mouse)
    }
}

/// Gives the terminal back, stops this process until it is continued, and takes the terminal again.
///
/// # Errors
/// The system's.
pub fn suspend(mouse: bool) -> io::Result<()> {
    restore();
    kill_process(getpid(), Signal::STOP)?;
    // Another thread may be the one that takes the signal, and this one would run on until the stop reaches it.
    std::thread::sleep(Duration::from_millis(20));
    take(mouse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_that_is_gone_refuses_nothing() {
        struct Fails(i32);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(self.0))
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::Error::from_raw_os_error(self.0))
            }
        }
        let mut gone = Screen(Fails(rustix::io::Errno::IO.raw_os_error()));
        assert_eq!(gone.write(b"fox").unwrap(), 3);
        gone.flush().unwrap();
        let mut full = Screen(Fails(rustix::io::Errno::NOSPC.raw_os_error()));
        assert!(full.write(b"fox").is_err() && full.flush().is_err());
    }

    #[test]
    fn copies_are_coded_wrapped_and_capped() {
        let plain = Copier { tmux: false, mouse: false };
        assert_eq!(plain.sequence("fox").unwrap(), "\u{1b}]52;c;Zm94\u{7}");
        let tmux = Copier { tmux: true, ..plain };
        assert_eq!(plain.sequence("a\n\u{1b}b").unwrap(), "\u{1b}]52;c;YQpcdXsxYn1i\u{7}");
        assert_eq!(
            tmux.sequence("fox").unwrap(),
            "\u{1b}]52;c;Zm94\u{7}\u{1b}Ptmux;\u{1b}\u{1b}]52;c;Zm94\u{7}\u{1b}\\"
        );
        assert!(plain.sequence(&"x".repeat(MAX_COPY + 1)).is_err());
    }

    #[test]
    fn a_terminal_that_cant_be_drawn_on_is_named() {
        let env = |term: &str| Env { vars: [("TERM".to_owned(), term.to_owned())].into(), ..Env::default() };
        assert_eq!(check_term(&env("")), Err(TtyError::NoTerm));
        assert_eq!(check_term(&env("dumb")), Err(TtyError::Dumb));
        assert_eq!(check_term(&env("xterm-256color")), Ok(()));
    }
}
