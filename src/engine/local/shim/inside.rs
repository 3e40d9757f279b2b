//! What a shim has of its container's network: listeners that it keeps, and sockets for what is passed in. The first
//! process makes them, because only it is there.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};

use super::client::Reply;
use crate::engine::local::wire::{Answer, Order};

/// Listeners that one container may have of this kind.
const MOST: usize = 64;
/// Connections that wait for a socket; then they are taken later.
const WANTED: usize = 64;

/// A way to sockets of the container's network.
pub type Dial = mpsc::Sender<oneshot::Sender<OwnedFd>>;
/// Those who want one.
pub type Wanted = mpsc::Receiver<oneshot::Sender<OwnedFd>>;

/// Both ends of it.
pub fn dial() -> (Dial, Wanted) {
    mpsc::channel(WANTED)
}

enum Taker {
    Listener(u16, oneshot::Sender<Reply>),
    Socket(oneshot::Sender<OwnedFd>),
}

/// What there is, and who waits for more.
#[derive(Default)]
pub struct Inside {
    /// Kept open: who connects while no supervisor accepts waits in their queues.
    listeners: BTreeMap<u16, OwnedFd>,
    takers: BTreeMap<u64, Taker>,
    next: u64,
}

impl Inside {
    /// The listener on this port; the one that is there already, if it is.
    pub fn listen(&mut self, port: u16, reply: oneshot::Sender<Reply>, tell: impl FnOnce(&Order) -> io::Result<()>) {
        let answer = match self.listeners.get(&port).map(OwnedFd::try_clone) {
            Some(Ok(listener)) => Reply::With(Answer::Done, vec![listener]),
            Some(Err(error)) => Reply::Answer(Answer::Conflict(error.to_string())),
            None if self.listeners.len() >= MOST => {
                Reply::Answer(Answer::Refused(format!("podbay listens on {MOST} ports of it already")))
            }
            None => {
                let number = self.number();
                match tell(&Order::Listen(number, port)) {
                    Ok(()) => return drop(self.takers.insert(number, Taker::Listener(port, reply))),
                    Err(error) => Reply::Answer(Answer::Conflict(error.to_string())),
                }
            }
        };
        // Who does not listen any more does not want it.
        let _ = reply.send(answer);
    }

    /// One more socket. Who wants it hears that there is none by the end of its channel.
    pub fn socket(&mut self, to: oneshot::Sender<OwnedFd>, tell: impl FnOnce(&Order) -> io::Result<()>) {
        let number = self.number();
        if tell(&Order::Socket(number)).is_ok() {
            self.takers.insert(number, Taker::Socket(to));
        }
    }

    /// It has come.
    pub fn given(&mut self, number: u64, fd: Option<OwnedFd>) {
        match (self.takers.remove(&number), fd) {
            (Some(Taker::Socket(to)), Some(socket)) => drop(to.send(socket)),
            (Some(Taker::Listener(port, reply)), Some(listener)) => {
                let answer = match listener.try_clone() {
                    Ok(copy) => Reply::With(Answer::Done, vec![copy]),
                    Err(error) => Reply::Answer(Answer::Conflict(error.to_string())),
                };
                self.listeners.insert(port, listener);
                let _ = reply.send(answer);
            }
            _ => {}
        }
    }

    /// It can't be had.
    pub fn not_given(&mut self, number: u64, why: &str) {
        if let Some(Taker::Listener(port, reply)) = self.takers.remove(&number) {
            let _ = reply.send(Reply::Answer(Answer::Refused(format!("listen on port {port} inside: {why}"))));
        }
    }

    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_made_once_and_kept() {
        let mut inside = Inside::default();
        let (reply, mut answer) = oneshot::channel();
        inside.listen(3128, reply, |order| {
            assert_eq!(*order, Order::Listen(1, 3128));
            Ok(())
        });
        assert!(answer.try_recv().is_err(), "it is still being made");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        inside.given(1, Some(listener.into()));
        assert!(matches!(answer.try_recv(), Ok(Reply::With(Answer::Done, fds)) if fds.len() == 1));
        let (reply, mut answer) = oneshot::channel();
        inside.listen(3128, reply, |_| panic!("it is there"));
        assert!(matches!(answer.try_recv(), Ok(Reply::With(Answer::Done, fds)) if fds.len() == 1));
        let (reply, mut answer) = oneshot::channel();
        inside.listen(80, reply, |_| Ok(()));
        inside.not_given(2, "Permission denied");
        let Ok(Reply::Answer(Answer::Refused(why))) = answer.try_recv() else { panic!("no answer") };
        assert!(why.contains("80") && why.contains("denied"), "{why}");
    }

    #[test]
    fn who_gets_no_socket_hears_of_it() {
        let mut inside = Inside::default();
        let (to, mut socket) = oneshot::channel();
        inside.socket(to, |_| Err(io::Error::other("it ends")));
        assert!(matches!(socket.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}
