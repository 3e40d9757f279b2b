//! The user's terminal while a program has it: raw mode, and the way back on every path out.
//!
//! crossterm's reader is not used here: after a hangup it never returns. Reading and writing are done by threads with
//! plain system calls, so that neither a silent nor a stalled terminal holds anything else up.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::ThreadId;
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::{mpsc, oneshot};

use crate::bay::session::TermSize;
use crate::terminal::RESTORE;

/// To the last line: leaving the alternate screen may have put the cursor anywhere.
const BELOW: &[u8] = b"\x1b[9999;1H\r\n";
/// How long a stalled terminal is waited for before it is left as it is.
const STALLED: Duration = Duration::from_millis(500);
/// Bytes that are read at once.
const PORTION: usize = 16 << 10;
/// Bytes that are written at once: between two of these portions the terminal can be given back.
const SCREEN_PORTION: usize = 4 << 10;
/// Portions under way between the terminal and the program, each way. When it is full the terminal is not read, and the
/// kernel holds what is typed.
const QUEUED: usize = 16;

/// The terminal as it was, and whose it is now.
struct Saved {
    termios: Termios,
    thread: ThreadId,
}

/// Held while a portion is written: what gives the terminal back waits for it, for a moment, and comes last.
static WRITING: Mutex<()> = Mutex::new(());
/// From here on, a program's output is for nobody.
static GIVEN_BACK: AtomicBool = AtomicBool::new(false);

/// Who takes it out restores the terminal: so it is done exactly once.
static SAVED: Mutex<Option<Saved>> = Mutex::new(None);

/// The terminal is raw while this lives.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Makes the terminal on stdin raw.
    ///
    /// # Errors
    /// The system's.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let termios = tcgetattr(&stdin)?;
        let mut raw = termios.clone();
        raw.make_raw();
        // Saved first: whatever ends the process between the two lines, the way back is known.
        let saved = Saved { termios, thread: std::thread::current().id() };
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        GIVEN_BACK.store(false, Ordering::SeqCst);
        let raw_mode = Self(());
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(raw_mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
        saved.as_ref().into_iter().for_each(restore);
    }
}

/// Called by the panic hook, before the report is printed. A panic on another thread leaves a terminal that is still in
/// use alone.
pub fn restore_after_panic() {
    let Ok(mut saved) = SAVED.try_lock() else { return };
    let ours = saved.as_ref().is_some_and(|saved| saved.thread == std::thread::current().id());
    if ours && let Some(saved) = saved.take() {
        restore(&saved);
    }
}

fn restore(saved: &Saved) {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    GIVEN_BACK.store(true, Ordering::SeqCst);
    let _last = wait_for_writer();
    // Each step is tried, whatever came of the others: the terminal may be gone, or stalled. What a stalled one has not
    // taken is dropped, to make room for the way back.
    if !writable(stdout.as_fd(), STALLED) {
        let _ = tcflush(&stdin, QueueSelector::OFlush);
    }
    if writable(stdout.as_fd(), Duration::ZERO) {
        let _ = write_all(stdout.as_fd(), &[RESTORE, BELOW].concat());
    }
    // Answers of the terminal to the program's queries that nobody read are not for the shell.
    let _ = tcflush(&stdin, QueueSelector::IFlush);
    let _ = tcsetattr(&stdin, OptionalActions::Now, &saved.termios);
}

/// The size of the terminal on stdout.
pub fn size() -> TermSize {
    tcgetwinsize(io::stdout()).map(|size| TermSize::new(size.ws_row, size.ws_col)).unwrap_or_default()
}

/// Whether the terminal is still there: after a hangup, every question about it fails.
pub fn is_there() -> bool {
    !matches!(tcgetattr(io::stdin()), Err(Errno::IO | Errno::NOTTY | Errno::BADF))
}

/// Reads stdin in a thread. The channel closes at its end: a hangup of a terminal, or the end of a file.
pub fn read_stdin() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUED);
    // Not joined: it sits in a read that only its terminal can end, and ends with the process.
    std::thread::spawn(move || {
        let stdin = io::stdin();
        let mut buffer = vec![0; PORTION];
        loop {
            match rustix::io::read(stdin.as_fd(), &mut buffer[..]) {
                Ok(0) => return,
                Ok(count) => {
                    let portion = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                    if sender.blocking_send(portion).is_err() {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None);
                }
                Err(_) => return,
            }
        }
    });
    receiver
}

/// stdout or stderr, written by a thread.
pub struct Writer {
    /// What is to be written. When it is full, whoever writes waits: a terminal that is stalled stalls its program, and
    /// nothing else.
    pub bytes: mpsc::Sender<Bytes>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    /// Writes a program's screen to the terminal on stdout, until it is given back.
    pub fn screen() -> Self {
        Self::start(write_screen)
    }

    /// Writes to stdout.
    pub fn stdout() -> Self {
        Self::start(|bytes| write_all(io::stdout().as_fd(), bytes))
    }

    /// Writes to stderr.
    pub fn stderr() -> Self {
        Self::start(|bytes| write_all(io::stderr().as_fd(), bytes))
    }

    fn start(write: impl Fn(&[u8]) -> io::Result<()> + Send + 'static) -> Self {
        let (bytes, mut queue) = mpsc::channel::<Bytes>(QUEUED);
        let (finished, done) = oneshot::channel();
        std::thread::spawn(move || {
            let mut result = Ok(());
            while result.is_ok()
                && let Some(bytes) = queue.blocking_recv()
            {
                result = write(&bytes);
            }
            // Whoever waited has given up.
            let _ = finished.send(result);
        });
        Self { bytes, done }
    }

    /// Waits until all is written, at most `patience`.
    ///
    /// # Errors
    /// What the writing failed with.
    pub async fn finish(self, patience: Duration) -> io::Result<()> {
        drop(self.bytes);
        match tokio::time::timeout(patience, self.done).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Polled, because a writer may sit in a write to a stalled terminal for ever.
fn wait_for_writer() -> Option<MutexGuard<'static, ()>> {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..STALLED.as_millis() / STEP.as_millis() {
        match WRITING.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
        }
    }
    None
}

/// Writes to the screen, up to the moment when the terminal is given back.
fn write_screen(bytes: &[u8]) -> io::Result<()> {
    for portion in bytes.chunks(SCREEN_PORTION) {
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        if GIVEN_BACK.load(Ordering::SeqCst) {
            return Ok(());
        }
        write_all(io::stdout().as_fd(), portion)?;
    }
    Ok(())
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody else made this description non-blocking; it is shared.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn writable(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let Ok(patience) = Timespec::try_from(patience) else { return true };
    matches!(poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&patience)), Ok(1..))
}
