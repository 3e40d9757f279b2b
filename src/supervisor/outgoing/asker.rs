//! Asks the machine whether a program may have a connection, and sees whose program it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::api::types::Snapshot;
use crate::bay::outgoing::{Host, is_listed};
use crate::config::Config;
use crate::supervisor::event::{Command, Reply};
use crate::supervisor::executor::Asked;
use crate::supervisor::machine::Knock;

/// For the machine's answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Looks through all processes at a time: who asks for much is served without being named.
const LOOKS: usize = 2;

/// What is the same for every run of the parent.
#[derive(Clone)]
pub struct Whole {
    pub machine: mpsc::Sender<Asked>,
    pub view: watch::Receiver<Arc<Snapshot>>,
    pub config: watch::Receiver<Arc<Config>>,
}

/// Asks for the programs of one network.
pub struct Asker {
    whole: Whole,
    /// The parent's first process, and the proxy's port.
    place: (u32, u16),
    looks: Arc<Semaphore>,
}

impl Asker {
    pub fn new(whole: Whole, place: (u32, u16)) -> Self {
        Self { whole, place, looks: Arc::new(Semaphore::new(LOOKS)) }
    }

    /// Whether this may be connected to, by the program that asks from this port.
    pub async fn may(&self, host: &Host, port: u16, from: u16) -> bool {
        if is_listed(&self.whole.config.borrow().network.allow, host) {
            return true;
        }
        let worker = self.worker(from).await;
        let knock = Knock { host: host.clone(), port, worker };
        matches!(self.ask(Command::Knock(knock)).await, Some(Reply::Open(true)))
    }

    /// That a name leads where nothing is let through.
    pub async fn strayed(&self, host: Host, why: String) {
        self.ask(Command::Strayed { host, why }).await;
    }

    async fn ask(&self, command: Command) -> Option<Reply> {
        let asking = async {
            let (answer, answered) = oneshot::channel();
            self.whole.machine.send((command, answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(ANSWER, asking).await.ok().flatten()
    }

    async fn worker(&self, from: u16) -> Option<String> {
        let turn = self.looks.clone().try_acquire_owned().ok()?;
        let (pid, to) = self.place;
        let look = move || {
            let holder = crate::engine::listeners::connected(Path::new("/proc"), pid, from, to);
            drop(turn);
            holder?.container
        };
        let id = tokio::task::spawn_blocking(look).await.ok().flatten()?;
        let view = self.whole.view.borrow().clone();
        view.containers.iter().find(|row| row.id == id.as_str()).map(|row| row.name.clone())
    }
}
