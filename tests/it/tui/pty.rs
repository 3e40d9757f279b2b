//! Rows T01, T02, T03, T08 and T09 of the catalogue of faults: a real terminal, taken and given back.
//!
//! The dashboard runs in a child: this test binary again, asked for the one test named `child`.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use podbay::bay::session::TermSize;
use podbay::config::env::Env;
use podbay::terminal::emulator::Emulator;
use podbay::tui::effect::{Effect, StreamKey};
use podbay::tui::msg::{FeedMsg, Msg, TerminalMsg};
use podbay::tui::tty::Copier;
use podbay::tui::{Execute, StartError, show};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::sync::mpsc;

use super::bay;
use super::driver::settings;

/// Every wait ends here.
const DEADLINE: Duration = Duration::from_mins(1);
const MARK: &str = "PODBAY_TEST_DASHBOARD";
/// So many changes are told, as fast as they are taken.
const FLOOD: &str = "PODBAY_TEST_FLOOD";
const CHANGES: u32 = 3000;
/// How it fails when it is asked for a copy, or to suspend.
const FAILS: &str = "PODBAY_TEST_FAILS";

/// Tells of a bay; asked for a copy, it fails as badly as code can.
struct Script(mpsc::Sender<Msg>, Copier);

impl Execute for Script {
    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => {
                let sent = self.0.try_send(Msg::Feed(FeedMsg::Snapshot(Box::new(bay::running()))));
                assert!(sent.is_ok());
                if std::env::var_os(FLOOD).is_some() {
                    tokio::spawn(flood(self.0.clone()));
                }
            }
            Effect::Copy(_) => match std::env::var(FAILS).as_deref() {
                Ok("abort") => std::process::abort(),
                Ok("overflow") => assert_ne!(deeper(1), 0),
                _ => panic!("the dashboard's own thread failed"),
            },
            // What is drawn next finds no room; the terminal is there again when the loop has ended.
            Effect::Suspend if std::env::var_os(FAILS).is_some() => {
                let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
                let back = GoesBack(rustix::io::dup(std::io::stdout()).unwrap());
                rustix::stdio::dup2_stdout(full).unwrap();
                let (key, msg) = (StreamKey::default(), TerminalMsg::Bytes(Bytes::from_owner(back)));
                assert!(self.0.try_send(Msg::Terminal { key, msg }).is_ok());
            }
            Effect::Inspect { .. } => {
                tokio::spawn(async { panic!("a background task failed") });
            }
            Effect::Suspend => {
                self.1.suspend().unwrap();
            }
            _ => {}
        }
    }
}

/// A descriptor that takes the place of stdout again when it goes.
struct GoesBack(std::os::fd::OwnedFd);

impl AsRef<[u8]> for GoesBack {
    fn as_ref(&self) -> &[u8] {
        b"never read"
    }
}

impl Drop for GoesBack {
    fn drop(&mut self) {
        rustix::stdio::dup2_stdout(&self.0).unwrap();
    }
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn deeper(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 512]);
    deeper(depth + 1) + kept.iter().sum::<u64>()
}

async fn flood(messages: mpsc::Sender<Msg>) {
    for at in 1..=CHANGES {
        let mut snapshot = bay::running();
        snapshot.status.engine.version = format!("v{at}");
        // Another name in each row, so that each frame is another one in full.
        snapshot.containers.iter_mut().for_each(|row| row.template = format!("template-{at}"));
        if messages.send(Msg::Feed(FeedMsg::Snapshot(Box::new(snapshot)))).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
}

#[test]
#[ignore = "the dashboard that the tests of this file start"]
fn child() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shown = runtime.block_on(show(settings(), true, &Env::of_process(), Script));
    if let Err(report) = shown {
        let usage = report.downcast_ref::<StartError>().is_some();
        let _ = writeln!(std::io::stderr(), "usage={usage}: {report}");
        rustix_exit(usage);
    }
    let _ = writeln!(std::io::stdout(), "the shell's own line");
}

#[expect(clippy::exit, reason = "a child that must not print the harness's summary")]
fn rustix_exit(usage: bool) -> ! {
    std::process::exit(if usage { 2 } else { 1 })
}

/// A dashboard in a terminal of its own.
struct Dashboard {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    seen: Arc<Mutex<Vec<u8>>>,
    open: Arc<AtomicBool>,
    /// Nothing is read, as on a line that stalls.
    stalled: Arc<AtomicBool>,
    reading: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(unsafe_code, reason = "the pty crate gives its descriptor as a number only")]
fn nonblocking(raw: std::os::fd::RawFd) {
    // SAFETY: the master that this descriptor belongs to is held by the caller.
    let fd = unsafe { BorrowedFd::borrow_raw(raw) };
    let flags = rustix::fs::fcntl_getfl(fd).unwrap();
    rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
}

fn command() -> CommandBuilder {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["tui::pty::child", "--exact", "--ignored", "--nocapture", "-q"]);
    command.env_clear();
    command.env("TERM", "xterm-256color");
    command.env(MARK, "1");
    command
}

impl Dashboard {
    fn start(command: CommandBuilder) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        nonblocking(pair.master.as_raw_fd().unwrap());
        let mut reader = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let open = Arc::new(AtomicBool::new(true));
        let stalled: Arc<AtomicBool> = Arc::default();
        let (sink, goes_on, waits) = (Arc::clone(&seen), Arc::clone(&open), Arc::clone(&stalled));
        // The reader holds the master open, too, so it must be able to let go.
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while goes_on.load(Ordering::SeqCst) {
                if waits.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                }
                match reader.read(&mut buffer) {
                    Ok(count @ 1..) => sink.lock().unwrap().extend(buffer.get(..count).unwrap_or_default()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(2)),
                    _ => return,
                }
            }
        });
        Self { child, master: Some(pair.master), writer: Some(writer), seen, open, stalled, reading: Some(reading) }
    }

    fn up() -> Self {
        let dashboard = Self::start(command());
        dashboard.until("badger");
        assert!(!dashboard.cooked(), "raw mode");
        dashboard
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// What a terminal shows that has read all of it.
    fn screen(&self) -> String {
        let mut parser = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
        parser.process(&self.seen.lock().unwrap());
        parser.screen().contents()
    }

    fn count(&self, sequence: &str) -> usize {
        self.text().matches(sequence).count()
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < DEADLINE, "{what} never came:\n{}", self.text().escape_debug());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until(&self, text: &str) {
        self.wait(text, || self.text().contains(text));
    }

    fn press(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.process_id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    fn exit(&mut self) -> u32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(begun.elapsed() < DEADLINE, "it never ended:\n{}", self.text().escape_debug());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[expect(unsafe_code, reason = "the pty crate gives its descriptor as a number only")]
    fn cooked(&self) -> bool {
        let raw = self.master.as_ref().unwrap().as_raw_fd().unwrap();
        // SAFETY: the master is held by `self` for as long as the borrow lives.
        let fd = unsafe { BorrowedFd::borrow_raw(raw) };
        let modes = tcgetattr(fd).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Everything that was taken was given back, once.
    fn restored(&self) {
        self.restored_each(1);
    }

    /// The same of a terminal that was taken so many times.
    fn restored_each(&self, times: usize) {
        // The process may be gone before its last bytes have been read.
        self.wait("left for good", || self.count("\u{1b}[?1049l") >= times && self.count("\u{1b}[?25h") >= times);
        for mode in ["?1049", "?2004", "?1004", "?1000", "?1002", "?1003", "?1006"] {
            let count = |letter| self.count(&format!("\u{1b}[{mode}{letter}"));
            assert_eq!((count('h'), count('l')), (times, times), "{mode}: {}", self.text().escape_debug());
        }
        let text = self.text();
        assert!(text.rfind("\u{1b}[?25h") > text.rfind("\u{1b}[?25l"), "the cursor is hidden");
        let after = text.rsplit("\u{1b}[?1049l").next().unwrap_or_default();
        let moves =
            |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with(['H', 'J']);
        let drawn = after.split("\u{1b}[").skip(1).any(moves);
        assert!(!drawn, "drawn on the user's own screen: {}", after.escape_debug());
        assert!(self.cooked(), "raw mode is still on");
        assert_eq!(self.keyboards(), times, "so often the keys were asked for");
    }

    /// How often the keys were told apart on the alternate screen. Each screen has a stack of its own, so what was asked
    /// for on one is given back before it is left, and the other is left alone.
    fn keyboards(&self) -> usize {
        let mut terminal = Emulator::new(TermSize::new(24, 80), 0);
        let mut asked = 0;
        let mut before = false;
        for piece in self.text().split_inclusive('\u{1b}') {
            assert!(!(before && piece.starts_with("[?1049")), "the screen is left with its keyboard changed");
            terminal.feed(piece.as_bytes());
            let modes = terminal.modes();
            assert!(modes.alternate_screen || !modes.disambiguate, "the user's own screen is changed at {piece:?}");
            asked += usize::from(modes.disambiguate && !before);
            before = modes.disambiguate;
        }
        asked
    }
}

#[test]
fn quitting_gives_the_terminal_back() {
    let mut dashboard = Dashboard::up();
    dashboard.press("q");
    assert_eq!(dashboard.exit(), 0);
    dashboard.restored();
    let text = dashboard.text();
    assert!(text.find("the shell's own line") > text.find("\u{1b}[?1049l"), "{}", text.escape_debug());
}

#[test]
fn signals_give_the_terminal_back() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut dashboard = Dashboard::up();
        dashboard.signal(signal);
        assert_eq!(dashboard.exit(), 0, "{signal:?}");
        dashboard.restored();
    }
}

#[test]
fn a_panic_of_the_dashboard_is_told_on_the_restored_screen() {
    let mut dashboard = Dashboard::up();
    dashboard.press("y");
    assert_ne!(dashboard.exit(), 0);
    dashboard.restored();
    let text = dashboard.text();
    let told = text.find("the dashboard's own thread failed");
    assert!(told.is_some() && told > text.find("\u{1b}[?1049l"), "{}", text.escape_debug());
}

#[test]
fn a_panic_of_a_task_closes_nothing() {
    let mut dashboard = Dashboard::up();
    dashboard.press("i");
    dashboard.until("asking the engine");
    dashboard.press("?");
    dashboard.until("everywhere");
    assert_eq!(dashboard.count("a background task failed"), 0);
    dashboard.press("\u{1b}");
    dashboard.signal(Signal::TERM);
    assert_eq!(dashboard.exit(), 0);
    dashboard.restored();
}

#[test]
fn suspending_gives_the_terminal_back_and_coming_back_takes_it() {
    let mut dashboard = Dashboard::up();
    for (round, by_key) in [(1, true), (2, false)] {
        if by_key {
            dashboard.press("\u{1a}");
        } else {
            dashboard.signal(Signal::TSTP);
        }
        dashboard.wait("suspended", || dashboard.count("\u{1b}[?1049l") == round && dashboard.cooked());
        let before = dashboard.count("badger");
        dashboard.signal(Signal::CONT);
        dashboard.wait("drawn again", || dashboard.count("badger") > before);
        assert!(!dashboard.cooked());
    }
    dashboard.press("q");
    assert_eq!(dashboard.exit(), 0);
    dashboard.restored_each(3);
}

#[test]
fn an_abort_and_a_stack_that_overflows_give_the_terminal_back() {
    for fails in ["abort", "overflow"] {
        let mut command = command();
        command.env(FAILS, fails);
        let mut dashboard = Dashboard::start(command);
        dashboard.until("badger");
        dashboard.press("y");
        assert_ne!(dashboard.exit(), 0);
        dashboard.restored();
    }
    // As by another's hand.
    let mut dashboard = Dashboard::up();
    dashboard.signal(Signal::ABORT);
    assert_ne!(dashboard.exit(), 0);
    dashboard.restored();
}

#[test]
fn an_error_gives_the_terminal_back_and_is_told() {
    let mut command = command();
    command.env(FAILS, "drawing");
    let mut dashboard = Dashboard::start(command);
    dashboard.until("badger");
    dashboard.press("\u{1a}");
    assert_eq!(dashboard.exit(), 1);
    dashboard.restored();
    dashboard.until("drawing on the terminal failed: No space left on device");
    let text = dashboard.text();
    assert!(text.find("drawing on the terminal failed") > text.find("\u{1b}[?1049l"), "{}", text.escape_debug());
}

/// What a process, and those that it started, have worked.
fn worked(pid: u32) -> Duration {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let below: Duration = children.split_whitespace().map(|child| worked(child.parse().unwrap())).sum();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name: user and system time, its own and that of those it has waited for.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ').skip(11).take(4));
    let ticks: u64 = fields.into_iter().flatten().map(|field| field.parse::<u64>().unwrap()).sum();
    below + Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('Z'))
}

/// Its terminal goes: it is gone soon, and does not spin until then.
fn hang_up(mut dashboard: Dashboard) {
    let pid = dashboard.child.process_id().unwrap();
    let (begun, before) = (Instant::now(), worked(pid));
    dashboard.open.store(false, Ordering::SeqCst);
    dashboard.reading.take().unwrap().join().unwrap();
    drop(dashboard.writer.take());
    drop(dashboard.master.take());
    dashboard.wait("the end", || has_ended(pid));
    let (took, worked) = (begun.elapsed(), worked(pid).saturating_sub(before));
    dashboard.exit();
    assert!(took < Duration::from_secs(2), "{took:?}");
    // A twentieth of what it may take.
    assert!(worked <= Duration::from_millis(100), "{worked:?} of work in {took:?}");
}

#[test]
fn a_terminal_that_goes_away_ends_it_within_two_seconds() {
    hang_up(Dashboard::up());
    // The session's leader ignores SIGHUP and hands nothing on: the dashboard must notice by itself.
    let mut shell = CommandBuilder::new("/bin/sh");
    let exe = std::env::current_exe().unwrap();
    let line = format!("trap '' HUP; {} tui::pty::child --exact --ignored --nocapture -q; exit 0", exe.display());
    shell.args(["-c", &line]);
    shell.env_clear();
    shell.env("TERM", "xterm-256color");
    shell.env(MARK, "1");
    let dashboard = Dashboard::start(shell);
    dashboard.until("badger");
    hang_up(dashboard);
}

#[test]
fn without_a_usable_terminal_there_is_a_message() {
    for (term, message) in [("dumb", "TERM is \"dumb\""), ("", "TERM is not set")] {
        let mut command = command();
        command.env("TERM", term);
        let mut dashboard = Dashboard::start(command);
        assert_eq!(dashboard.exit(), 2);
        dashboard.until(message);
        dashboard.until("usage=true");
        assert_eq!(dashboard.count("\u{1b}["), 0);
    }
    let args = ["tui::pty::child", "--exact", "--ignored", "--nocapture", "-q"];
    let exe = std::env::current_exe().unwrap();
    let output = std::process::Command::new(exe).args(args).env(MARK, "1").env("TERM", "xterm").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the dashboard needs a terminal"), "{text}");
}

/// Kilobytes that a process holds.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

#[test]
fn t08_a_line_that_stalls_costs_frames_and_nothing_else() {
    let mut command = command();
    command.env(FLOOD, "1");
    let mut dashboard = Dashboard::start(command);
    dashboard.until("badger");
    dashboard.stalled.store(true, Ordering::SeqCst);
    let pid = dashboard.child.process_id().unwrap();
    let before = resident(pid);
    // Long enough for all changes many times over, were they kept.
    std::thread::sleep(Duration::from_secs(2));
    let grown = resident(pid).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} kB more");
    let drawn = dashboard.text().len();
    dashboard.stalled.store(false, Ordering::SeqCst);
    dashboard.wait("the last change", || dashboard.screen().contains(&format!("v{CHANGES}")));
    // One frame a change would be some hundred bytes each.
    let caught_up = dashboard.text().len() - drawn;
    assert!(caught_up < 1 << 20, "{caught_up} bytes");
    dashboard.press("q");
    assert_eq!(dashboard.exit(), 0);
    dashboard.restored();
}
