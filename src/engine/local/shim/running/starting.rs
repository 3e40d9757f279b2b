//! The start, and what comes of it when there is none.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use tokio::sync::oneshot;

use super::super::client::Reply;
use super::super::ports;
use super::Shim;
use crate::engine::local::cgroup;
use crate::engine::local::place::Stand;
use crate::engine::local::wire::{Answer, Order, message, send};

impl Shim<'_> {
    /// The word to begin. The container's world is made by then, or is about to be.
    pub(super) fn start(&mut self, reply: oneshot::Sender<Reply>) {
        if std::mem::replace(&mut self.wanted, true) {
            let _ = reply.send(Reply::Answer(Answer::Done));
            return;
        }
        match self.ports.take() {
            Some(Err(port)) => {
                self.give_up();
                let _ = reply.send(Reply::Answer(Answer::PortTaken(port)));
                return;
            }
            Some(Ok(held)) => {
                let dial = self.spec.network.is_alone().then(|| self.dial.clone());
                for held in held {
                    self.passing.spawn(ports::pass_on(held, dial.clone()));
                }
            }
            None => {}
        }
        self.starting = Some(reply);
        let begun = match self.failure.take() {
            Some(why) => Err(why),
            None => self.begin().map_err(|error| format!("can't begin its first process: {error}")),
        };
        if let Err(why) = begun {
            self.failed(&why);
            self.give_up();
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let control = self.first.as_ref().and_then(|first| first.control.as_ref());
        let Some(control) = control else {
            // Why not is told by how it ends.
            return Ok(());
        };
        let groups = std::mem::take(&mut self.groups);
        let groups: Vec<_> = groups.iter().map(OwnedFd::as_fd).collect();
        match send(control.get_ref(), &message(&Order::Go)?, &groups) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent.map(drop),
        }
    }

    /// Ends what never began, before anybody is told.
    pub(super) fn give_up(&mut self) {
        self.over = true;
        self.ports = None;
        if let Some(child) = self.child.take() {
            child.end();
            cgroup::leave(self.place);
        }
    }

    /// It can't be begun. Until it is wanted, that waits for who asks.
    pub(super) fn failed(&mut self, why: &str) {
        if !self.wanted {
            self.failure.get_or_insert_with(|| why.to_owned());
            return;
        }
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        // What can't be written is told all the same.
        let _ = self.place.set_stand(&Stand::Failed(why.to_owned()));
        if let Some(reply) = self.starting.take() {
            let _ = reply.send(Reply::Answer(Answer::Refused(why.to_owned())));
        }
    }
}

/// Why a first process that has ended did not begin.
pub fn before_it_began(code: Option<i64>) -> String {
    match code {
        Some(code) => format!("its first process ended with {code} before it began"),
        None => "its first process was killed before it began".to_owned(),
    }
}
