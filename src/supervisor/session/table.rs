//! The list of sessions, as the rest of the supervisor sees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::link::Link;
use super::ring::Ring;
use super::sizing::Told;
use super::{Attachment, Pace, Peek, Typed, Waking};
use crate::api::types::SessionRow;
use crate::bay::container::ContainerId;
use crate::bay::idle::Activity;
use crate::bay::name::Name;
use crate::bay::session::{SessionId, SessionKind, TermSize};
use crate::engine::SharedEngine;

/// What a session's task is asked.
pub(super) enum Command {
    Attach(TermSize, Pace, oneshot::Sender<Attachment>),
    Link(Box<Link>, oneshot::Sender<()>),
    Type(Typed, oneshot::Sender<bool>),
    Claim(Waking, oneshot::Sender<bool>),
    Peek(oneshot::Sender<Peek>),
    Screen(oneshot::Sender<String>),
    Close(oneshot::Sender<()>),
}

/// What a session's task is told. The latest counts, so that telling never waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub fate: Fate,
    /// How often the container was started.
    pub starts: u64,
}

/// What has become of the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Alive,
    Ended {
        reason: String,
        code: Option<i64>,
    },
    Forgotten,
}

/// A session in the table.
pub(super) struct Entry {
    pub row: SessionRow,
    pub container: ContainerId,
    /// Which engine its stream is open to.
    pub linked: Option<Weak<dyn crate::engine::Engine>>,
    pub commands: mpsc::Sender<Command>,
    pub orders: watch::Sender<Orders>,
    /// When its program last printed something.
    pub heard: Arc<Heard>,
    /// The size that its terminal has.
    pub told: Arc<Told>,
    /// Its newest lines, of a main tty.
    pub ring: Option<Arc<Ring>>,
}

/// A moment that one task sets and others read: milliseconds after the session began.
pub(super) struct Heard {
    began: Instant,
    at: AtomicU64,
}

impl Heard {
    /// Now.
    pub fn new() -> Self {
        Self { began: Instant::now(), at: AtomicU64::new(0) }
    }

    /// Something was printed.
    pub fn note(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(now, Ordering::Relaxed);
    }

    fn quiet(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.at.load(Ordering::Relaxed)))
    }
}

pub(super) struct Table {
    inner: Mutex<Inner>,
    changed: mpsc::Sender<()>,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<SessionId, Entry>,
    last: u64,
    /// Since they were last taken. No more than sessions: each has one first output a claim.
    first_outputs: Vec<(ContainerId, Duration)>,
    /// The terminal's size of whoever claimed last.
    usual: Option<TermSize>,
}

impl Table {
    pub fn new(changed: mpsc::Sender<()>) -> Self {
        Self { inner: Mutex::default(), changed }
    }

    /// Never held across an await. What a panic left behind is whole: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        // Full: a notice that has not been read yet says the same.
        let _ = self.changed.try_send(());
    }

    /// A row with an id of its own, not in the table yet.
    pub fn row(&self, name: &Name, kind: SessionKind, title: &str, size: TermSize) -> SessionRow {
        let mut inner = self.lock();
        inner.last += 1;
        SessionRow {
            id: SessionId(inner.last),
            name: name.as_str().to_owned(),
            kind,
            title: title.to_owned(),
            size,
            clients: 0,
            ended: None,
            attention: None,
        }
    }

    pub fn insert(&self, entry: Entry) {
        self.lock().entries.insert(entry.row.id, entry);
        self.notify();
    }

    /// Changes one entry; notifies when its row is another then.
    pub fn update(&self, id: SessionId, change: impl FnOnce(&mut Entry)) {
        let changed = {
            let mut inner = self.lock();
            let Some(entry) = inner.entries.get_mut(&id) else {
                return;
            };
            let before = entry.row.clone();
            change(entry);
            entry.row != before
        };
        if changed {
            self.notify();
        }
    }

    pub fn first_output(&self, id: &ContainerId, took: Duration) {
        self.lock().first_outputs.push((id.clone(), took));
        self.notify();
    }

    pub fn take_first_outputs(&self) -> Vec<(ContainerId, Duration)> {
        std::mem::take(&mut self.lock().first_outputs)
    }

    pub fn remove(&self, id: SessionId) {
        let removed = self.lock().entries.remove(&id);
        if removed.is_some() {
            self.notify();
        }
    }

    pub fn remove_container(&self, id: &ContainerId) {
        self.lock().entries.retain(|_, entry| entry.container != *id);
        self.notify();
    }

    pub fn rename(&self, id: &ContainerId, name: &Name) {
        let sessions: Vec<SessionId> =
            self.lock().entries.values().filter(|e| e.container == *id).map(|e| e.row.id).collect();
        for session in sessions {
            self.update(session, |entry| name.as_str().clone_into(&mut entry.row.name));
        }
    }

    pub fn order(&self, id: &ContainerId, change: impl Fn(&mut Orders)) {
        for entry in self.lock().entries.values().filter(|e| e.container == *id) {
            entry.orders.send_modify(&change);
        }
    }

    pub fn order_one(&self, id: SessionId, change: impl FnOnce(&mut Orders)) {
        if let Some(entry) = self.lock().entries.get(&id) {
            entry.orders.send_modify(change);
        }
    }

    /// Hands a command to a session; waits while its queue is full. `false`: there is none of this id.
    pub async fn command(&self, id: SessionId, command: Command) -> bool {
        let sender = self.lock().entries.get(&id).map(|entry| entry.commands.clone());
        match sender {
            Some(sender) => sender.send(command).await.is_ok(),
            None => false,
        }
    }

    pub fn main_of_container(&self, id: &ContainerId) -> Option<SessionId> {
        self.find(|entry| entry.container == *id)
    }

    /// What the engine was told of the size of a container's main tty.
    pub fn told(&self, id: &ContainerId) -> Option<Arc<Told>> {
        let session = self.main_of_container(id)?;
        self.lock().entries.get(&session).map(|entry| entry.told.clone())
    }

    pub fn ring(&self, id: &ContainerId) -> Option<Arc<Ring>> {
        let session = self.main_of_container(id)?;
        self.lock().entries.get(&session)?.ring.clone()
    }

    pub fn usual(&self) -> Option<TermSize> {
        self.lock().usual
    }

    pub fn set_usual(&self, size: TermSize) {
        self.lock().usual = Some(size);
    }

    pub fn main_of_name(&self, name: &str) -> Option<SessionId> {
        self.find(|entry| entry.row.name == name)
    }

    fn find(&self, wanted: impl Fn(&Entry) -> bool) -> Option<SessionId> {
        let inner = self.lock();
        // Of two containers with one name (one is being replaced) the newer one is meant.
        let mut mains = inner.entries.values().rev().filter(|e| e.row.kind == SessionKind::Main);
        mains.find(|e| wanted(e)).map(|e| e.row.id)
    }

    /// Whether a session's stream is open, to this engine, and not that of a program that has ended.
    pub fn is_linked(&self, id: SessionId, engine: &SharedEngine) -> bool {
        let inner = self.lock();
        let entry = inner.entries.get(&id).filter(|entry| entry.orders.borrow().fate == Fate::Alive);
        let linked = entry.and_then(|entry| entry.linked.as_ref()).and_then(Weak::upgrade);
        linked.is_some_and(|known| Arc::ptr_eq(&known, engine))
    }

    /// What goes on at a container's terminals; `None`: it has none that is open, so nothing is known.
    pub fn activity(&self, id: &ContainerId) -> Option<Activity> {
        let inner = self.lock();
        let open = inner.entries.values().filter(|entry| entry.container == *id && entry.linked.is_some());
        open.map(|entry| Activity { clients: entry.row.clients, quiet: entry.heard.quiet() })
            .reduce(|one, other| Activity { clients: one.clients + other.clients, quiet: one.quiet.min(other.quiet) })
    }

    pub fn rows(&self) -> Vec<SessionRow> {
        self.lock().entries.values().map(|entry| entry.row.clone()).collect()
    }
}
