//! Bytes between this terminal and a program's, until one of the many ends comes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use crate::api::client::{Terminal, TerminalMessage};
use crate::api::types::Frame;
use crate::bay::session::TermSize;

use crate::terminal::RESTORE;

use super::LeaveKey;
use crate::cli::exit::CliError;
use crate::cli::tty::{self, RawMode, Writer};

/// Until a leave key counts as meant for podbay.
const TWICE: Duration = Duration::from_millis(300);
/// Until what is under way is written out at the end.
const FLUSH: Duration = Duration::from_secs(1);
/// Bytes that are held while the program's side takes nothing. When it is full the terminal is not read.
const HELD: usize = 1 << 20;
/// Bytes of them that are sent at once.
const PIECE: usize = 16 << 10;
/// Between two looks whether the terminal is still there. SIGHUP says it sooner, where it is not ignored.
const LOOK: Duration = Duration::from_secs(1);
/// Between two sizes that are sent: a dragged window corner is hundreds of them.
const RESIZE: Duration = Duration::from_millis(50);

/// After the modes are taken back: all is cleared, before a whole screen is drawn again.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The user left.
    Left,
    /// The program ended.
    Ended {
        /// In words.
        reason: String,
        /// Its exit code, when known.
        code: Option<i64>,
    },
    /// The connection broke.
    Lost,
    /// podbay is to end; the terminal may be gone.
    Signal(u8),
}

/// A terminal that is gone is like its signal.
const HANGUP: Ending = Ending::Signal(1);

/// Lends this terminal to a program. Without a leave key every byte is the program's. `size` is what the program was
/// told already.
pub async fn pump(terminal: Terminal, leave: Option<LeaveKey>, size: TermSize) -> Result<Ending, CliError> {
    let Terminal { mut incoming, outgoing } = terminal;
    // Before raw mode: from there on, a signal must find its handler.
    let mut ends = Ends::new()?;
    let resizes = signal(SignalKind::window_change())?;
    let raw = RawMode::enter()?;
    let writer = Writer::screen();
    let ending = tokio::select! {
        ending = show(&mut incoming, &writer.bytes, size) => ending,
        ending = typed(tty::read_stdin(), &outgoing, leave) => ending,
        ending = ends.next() => ending,
        ending = gone() => ending,
        never = follow_size(resizes, &outgoing, size) => never,
    };
    if !matches!(ending, Ending::Signal(_)) {
        // Let go of the program's side first: what was typed last is sent while the screen is written out.
        drop(outgoing);
        let sent = timeout(FLUSH, async { while incoming.recv().await.is_some() {} });
        // Neither can be told to anybody any more.
        let _ = tokio::join!(sent, writer.finish(FLUSH));
    }
    drop(raw);
    Ok(ending)
}

/// The signals that end podbay.
struct Ends {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.hangup.recv() => HANGUP,
            _ = self.interrupt.recv() => Ending::Signal(2),
            _ = self.quit.recv() => Ending::Signal(3),
            _ = self.terminate.recv() => Ending::Signal(15),
        }
    }
}

async fn gone() -> Ending {
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        if !tty::is_there() {
            return HANGUP;
        }
    }
}

async fn show(incoming: &mut Receiver<TerminalMessage>, screen: &Sender<Bytes>, size: TermSize) -> Ending {
    let mut first = true;
    while let Some(message) = incoming.recv().await {
        let bytes = match message {
            TerminalMessage::Bytes(bytes) => bytes,
            // What the user has on the screen is scrolled up once, not lost.
            TerminalMessage::Frame(Frame::Reset { .. }) if std::mem::take(&mut first) => cleared(size.rows),
            TerminalMessage::Frame(Frame::Reset { .. }) => cleared(0),
            TerminalMessage::Frame(Frame::Ended { reason, code }) => return Ending::Ended { reason, code },
            // Another client typed last; this terminal shows what it can of the other size.
            TerminalMessage::Frame(_) => continue,
        };
        if screen.send(bytes).await.is_err() {
            return HANGUP;
        }
        fail_point("attach.shown");
    }
    Ending::Lost
}

fn cleared(scrolled: u16) -> Bytes {
    let lines = b"\r\n".repeat(usize::from(scrolled));
    [RESTORE, &lines, CLEAR].concat().into()
}

/// Reads on while the program's side takes nothing, up to a bound: a supervisor that hangs can be left, too.
async fn typed(mut stdin: Receiver<Bytes>, program: &Sender<TerminalMessage>, mut leave: Option<LeaveKey>) -> Ending {
    let mut held = BytesMut::new();
    let mut last = Instant::now();
    loop {
        let armed = leave.as_ref().is_some_and(LeaveKey::is_armed);
        let portion = tokio::select! {
            biased;
            room = program.reserve(), if !held.is_empty() => {
                // The other half knows whether the program ended or the connection broke.
                let Ok(room) = room else { return std::future::pending().await };
                room.send(piece(&mut held));
                continue;
            }
            portion = stdin.recv(), if held.len() < HELD => portion,
            () = sleep_until(last + TWICE), if armed => return Ending::Left,
        };
        let Some(portion) = portion else { return HANGUP };
        last = Instant::now();
        let Some(key) = &mut leave else {
            held.extend_from_slice(&portion);
            continue;
        };
        let typed = key.take(&portion);
        held.extend_from_slice(&typed.bytes);
        if typed.leave {
            // What was typed before the key is meant, as far as there is room for it.
            while !held.is_empty() && program.try_send(piece(&mut held)).is_ok() {}
            return Ending::Left;
        }
    }
}

fn piece(held: &mut BytesMut) -> TerminalMessage {
    TerminalMessage::Bytes(held.split_to(held.len().min(PIECE)).freeze())
}

async fn follow_size(mut resizes: Signal, program: &Sender<TerminalMessage>, mut told: TermSize) -> Ending {
    loop {
        let size = tty::size();
        if size != told {
            told = size;
            let frame = Frame::Resize { rows: size.rows, cols: size.cols };
            // As with typed bytes, the other half knows.
            let _ = program.send(TerminalMessage::Frame(frame)).await;
            sleep(RESIZE).await;
        } else if resizes.recv().await.is_none() {
            return std::future::pending().await;
        }
    }
}

/// Where the tests of debug builds let podbay panic, to see what becomes of the terminal.
fn fail_point(name: &str) {
    if cfg!(debug_assertions) {
        let wanted = std::env::var("PODBAY_FAIL_POINT").is_ok_and(|wanted| wanted == name);
        assert!(!wanted, "fail point {name}");
    }
}
