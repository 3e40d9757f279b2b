//! The user's terminal: taken over, and given back exactly once, however the dashboard ends.
//!
//! The only file that writes escape sequences. Everything else draws cells.

use std::io::{self, IsTerminal, Stdout, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::layout::Size;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
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

/// What takes the terminal: its title is put aside, then the alternate screen, and on that one: keys that are one byte
/// otherwise are told apart (each screen has its own stack of that; who does not know it takes no notice), bracketed
/// paste, focus events, no cursor.
const TAKE: &str = "\x1b[22;2t\x1b[?1049h\x1b[>1u\x1b[?2004h\x1b[?1004h\x1b[?25l";
/// Asks for the mouse: clicks, drags, moves, counted by SGR.
const TAKE_MOUSE: &str = "\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h";
/// Undoes [`TAKE_MOUSE`].
const GIVE_MOUSE: &str = "\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l";
/// Undoes [`TAKE`], from the last to the first; the cursor has its own shape again.
const GIVE: &str = "\x1b[0 q\x1b[?1004l\x1b[?2004l\x1b[<1u\x1b[?1049l\x1b[?25h\x1b[23;2t";

/// Whether the terminal is ours at present: who turns it to `false` restores it.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the mouse was asked for.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// How the terminal's line was set before it was ours.
static LINE: OnceLock<Termios> = OnceLock::new();
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
        give_back_at_an_abort();
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
        Terminal::new(Frames::new(Screen(io::stdout()), size))
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

/// How large it is now, without opening anything.
fn size() -> io::Result<Size> {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Ok(Size::new(size.ws_col, size.ws_row)),
        _ => crossterm::terminal::size().map(Size::from),
    }
}

/// What is drawn on. One that is gone takes everything and shows nothing: ratatui prints what it can't write to stderr
/// when it is dropped, which is the same terminal, and a print that fails is a panic. One that is full is waited for, also
/// where another program has set their common descriptor not to wait.
#[derive(Debug)]
pub struct Screen<W>(W);

impl<W: Write + AsFd> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.patiently(|out| out.write(bytes));
        unless_gone(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.patiently(W::flush);
        unless_gone(flushed, ())
    }
}

impl<W: Write + AsFd> Screen<W> {
    fn patiently<T>(&mut self, mut write: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match write(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A signal ends the wait early: it is begun again.
                    let _ = poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None);
                }
                other => return other,
            }
        }
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
    if let Ok(line) = tcgetattr(io::stdin()) {
        let _ = LINE.set(line);
    }
    let taken = enable_raw_mode().and_then(|()| put(&[TAKE, if mouse { TAKE_MOUSE } else { "" }]));
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
    // Both are tried: a terminal that is gone refuses them, and then nothing is left to restore.
    let _ = put(&[if MOUSE.load(Ordering::SeqCst) { GIVE_MOUSE } else { "" }, GIVE]);
    let _ = disable_raw_mode();
}

fn put(sequences: &[&str]) -> io::Result<()> {
    let mut out = Screen(io::stdout());
    out.write_all(sequences.concat().as_bytes())?;
    out.flush()
}

/// An abort (a stack that overflowed, a panic amid a panic) runs nothing of ours but this.
extern "C" fn aborted(_: libc::c_int) {
    // No more than what a signal may interrupt anything for: system calls with what is there already.
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mouse = if MOUSE.load(Ordering::SeqCst) { GIVE_MOUSE } else { "" };
        for sequence in [mouse, GIVE] {
            let _ = rustix::io::write(rustix::stdio::stdout(), sequence.as_bytes());
        }
        if let Some(line) = LINE.get() {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, line);
        }
    }
    let _ = at_abort(libc::SIG_DFL);
    // Taken when this returns.
    let _ = kill_process(getpid(), Signal::ABORT);
}

fn give_back_at_an_abort() {
    let _ = at_abort(aborted as extern "C" fn(libc::c_int) as libc::sighandler_t);
}

#[expect(unsafe_code, reason = "the handler makes system calls only, and takes no lock")]
fn at_abort(handler: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: `aborted` and `SIG_DFL` are what is given, and both are fit for it.
    unsafe { libc::signal(libc::SIGABRT, handler) }
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
    let _ = put(&[text]);
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

/// Returns when the terminal is gone. Who waits for keys alone may wait for ever, and SIGHUP may be ignored, so the terminal
/// is asked when the system says that something is odd, and once a second.
pub async fn hung_up() {
    const NOW_AND_THEN: Duration = Duration::from_secs(1);
    let watched = watched();
    loop {
        match &watched {
            // A hang-up is told with whatever else is asked for: this asks for next to nothing.
            Some(watched) => match tokio::time::timeout(NOW_AND_THEN, watched.ready(Interest::PRIORITY)).await {
                Ok(Ok(mut odd)) if tcgetattr(io::stdout()).is_ok() => {
                    odd.clear_ready();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(Err(_)) => tokio::time::sleep(NOW_AND_THEN).await,
                _ => {}
            },
            None => tokio::time::sleep(NOW_AND_THEN).await,
        }
        if tcgetattr(io::stdout()).is_err() {
            return;
        }
    }
}

#[expect(unsafe_code, reason = "tokio asks for a promise that an owned descriptor keeps by itself")]
fn watched() -> Option<AsyncFd<OwnedFd>> {
    let fd = rustix::io::dup(io::stdout()).ok()?;
    // SAFETY: an `OwnedFd` always names the same descriptor, which is open as long as it lives.
    unsafe { AsyncFd::register_with_interest(fd, Interest::PRIORITY) }.ok()
}

/// A sequence for the terminal. One that is gone can't be told anything.
fn write(sequence: &str) {
    if TAKEN.load(Ordering::SeqCst) {
        say(sequence);
    }
}

/// What is done with the terminal beside drawing.
#[derive(Clone, Copy, Debug, Default)]
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
        put(&[&sequence]).map_err(|error| error.to_string())?;
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
    use std::os::fd::BorrowedFd;

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
        impl AsFd for Fails {
            fn as_fd(&self) -> BorrowedFd<'_> {
                rustix::stdio::stdout()
            }
        }
        let mut gone = Screen(Fails(rustix::io::Errno::IO.raw_os_error()));
        assert_eq!(gone.write(b"fox").unwrap(), 3);
        gone.flush().unwrap();
        let mut full = Screen(Fails(rustix::io::Errno::NOSPC.raw_os_error()));
        assert!(full.write(b"fox").is_err() && full.flush().is_err());
    }

    #[test]
    fn a_screen_that_is_full_is_waited_for() {
        use std::io::Read as _;
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let text = "fox ".repeat(1 << 18);
        let read = std::thread::spawn(move || {
            let mut read = String::new();
            reader.read_to_string(&mut read).map(|_| read)
        });
        let mut screen = Screen(writer);
        screen.write_all(text.as_bytes()).unwrap();
        screen.flush().unwrap();
        drop(screen);
        assert!(read.join().unwrap().unwrap() == text);
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
