//! What the user types, as events: read by the loop itself as soon as it is there. A thread that waits for keys would have
//! to wake the loop for each.

mod parse;

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use crossterm::event::Event;
use futures_util::Stream;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use parse::Parser;

/// Read at once.
const CHUNK: usize = 4096;

/// The events of a terminal.
pub struct Input {
    terminal: AsyncFd<OwnedFd>,
    resized: Signal,
    parser: Parser,
}

impl Input {
    /// Of this process's own terminal.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> io::Result<Self> {
        Self::of(rustix::io::dup(rustix::stdio::stdin())?)
    }

    #[expect(unsafe_code, reason = "tokio asks for a promise that an owned descriptor keeps by itself")]
    fn of(terminal: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` always names the same descriptor, which is open as long as it lives.
        let terminal = unsafe { AsyncFd::register_with_interest(terminal, Interest::READABLE) }?;
        Ok(Self { terminal, resized: signal(SignalKind::window_change())?, parser: Parser::default() })
    }

    /// Reads what is there. `false`: nothing is.
    fn read(&mut self) -> io::Result<bool> {
        let terminal = self.terminal.get_ref();
        // Its descriptor is that of other programs, too, so it is left one that waits; it is read only where it need not.
        let waiting = usize::try_from(rustix::io::ioctl_fionread(terminal)?).unwrap_or(usize::MAX);
        if waiting == 0 {
            return Ok(false);
        }
        let mut chunk = [0; CHUNK];
        let most = waiting.min(CHUNK);
        let count = match rustix::io::read(terminal, chunk.get_mut(..most).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(false),
            read => read?,
        };
        self.parser.take(chunk.get(..count).unwrap_or_default(), waiting > count);
        Ok(true)
    }
}

impl Stream for Input {
    type Item = io::Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Event>>> {
        let input = &mut *self;
        if input.resized.poll_recv(cx).is_ready() {
            let size = rustix::termios::tcgetwinsize(input.terminal.get_ref()).map_err(io::Error::from);
            return Poll::Ready(Some(size.map(|size| Event::Resize(size.ws_col, size.ws_row))));
        }
        loop {
            if let Some(event) = input.parser.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            let known = match input.terminal.poll_read_ready(cx) {
                Poll::Ready(Ok(mut seen)) => {
                    // What comes after the reading wakes again.
                    seen.clear_ready();
                    true
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => false,
            };
            // Also where nothing is known of: what is typed amid a flood of news goes before the rest of them.
            match input.read() {
                Ok(true) => {}
                Ok(false) if known => {}
                Ok(false) => return Poll::Pending,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossterm::event::{KeyCode, KeyEvent};
    use futures_util::{FutureExt as _, StreamExt as _};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    use tokio::time::timeout;

    use super::*;

    fn pair() -> (OwnedFd, Input) {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let far = rustix::fs::open(ptsname(&near, Vec::new()).unwrap(), flags, rustix::fs::Mode::empty()).unwrap();
        let mut line = tcgetattr(&far).unwrap();
        line.make_raw();
        tcsetattr(&far, OptionalActions::Now, &line).unwrap();
        (near, Input::of(far).unwrap())
    }

    fn char(c: char) -> Event {
        Event::Key(KeyEvent::from(KeyCode::Char(c)))
    }

    #[tokio::test]
    async fn keys_come_one_by_one_and_are_seen_without_waiting() {
        let (near, mut input) = pair();
        assert!(input.next().now_or_never().is_none());
        rustix::io::write(&near, b"ab\x1b[").unwrap();
        let mut next = async || timeout(Duration::from_secs(20), input.next()).await.unwrap().unwrap().unwrap();
        assert_eq!((next().await, next().await), (char('a'), char('b')));
        // The rest of a sequence: nobody waited for it, and the system has told of nothing yet.
        rustix::io::write(&near, b"Ac").unwrap();
        assert_eq!(next().await, Event::Key(KeyEvent::from(KeyCode::Up)));
        assert_eq!(input.next().now_or_never().unwrap().unwrap().unwrap(), char('c'));
        assert!(input.next().now_or_never().is_none());
        let typing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            rustix::io::write(&near, b"d").unwrap();
            near
        });
        let woken = timeout(Duration::from_secs(20), input.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(woken, char('d'));
        drop(typing.join().unwrap());
        let gone = timeout(Duration::from_secs(20), input.next()).await.unwrap().unwrap();
        assert!(gone.is_err(), "{gone:?}");
    }
}
