//! A fake dockerd on a unix socket: Docker's API 1.41 over containers in memory whose programs are a few lines of
//! interpreter, with a script of faults. It runs on a thread of its own, so tests may be async or not, and so may what
//! they test, in this process or in another.
//!
//! The contract suite of `engine/contract.rs` runs on it and on real engines, so that it stays honest.
//!
//! ```ignore
//! let daemon = FakeDaemon::start();
//! daemon.fail_next("POST /containers/*/start", 1, Fault::Status(500, "boom"));
//! let engine = daemon.engine();
//! assert_eq!(daemon.calls("POST /containers/create"), 0);
//! ```
#![allow(dead_code, clippy::allow_attributes, reason = "each test module uses its own part of it")]

mod fault;
mod http;
mod program;
mod routes;
mod store;
mod streams;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use podbay::engine::docker::{Address, Deadlines, DockerEngine, Endpoint};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};

pub use fault::{EventFault, Fault};
pub use store::{Container, Store};

/// A running fake daemon; it ends when this is dropped.
pub struct FakeDaemon {
    /// Its socket.
    pub socket: PathBuf,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: TempDir,
}

/// What the connections of one daemon share.
pub struct Shared {
    store: Mutex<Store>,
    /// True while the daemon is frozen: it takes connections and answers nothing.
    frozen: watch::Sender<bool>,
    /// Counts up when all connections are to be cut.
    cut: watch::Sender<u64>,
}

impl Shared {
    /// The containers, images, faults and counters.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns as soon as the daemon is not frozen.
    pub async fn thawed(&self) {
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }
}

impl FakeDaemon {
    /// Starts one on a socket of its own, with an image called `img` in it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let shared =
            Arc::new(Shared { store: Mutex::default(), frozen: watch::Sender::new(false), cut: watch::Sender::new(0) });
        shared.store().add_image("img");
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (on_thread, path) = (shared.clone(), socket.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = UnixListener::bind(&path).unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, on_thread) => {}
                }
            });
        });
        is_ready.recv_timeout(Duration::from_secs(5)).expect("the fake daemon listens");
        Self { socket, shared, stop: Some(stop), thread: Some(thread), _folder: folder }
    }

    /// As `DOCKER_HOST` takes it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// An engine on it, with the deadlines of production.
    pub fn engine(&self) -> DockerEngine {
        self.engine_with(Deadlines::default())
    }

    /// An engine on it.
    pub fn engine_with(&self, deadlines: Deadlines) -> DockerEngine {
        let address = Address::Unix(self.socket.clone());
        DockerEngine::new(Endpoint { url: self.url(), address, source: "the test".to_owned() }, deadlines)
    }

    /// Everything in it, to look at and to change.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store()
    }

    /// The next `count` calls of a route meet a fault. Routes are written as `METHOD /path`, ids as `*`.
    pub fn fail_next(&self, route: &str, count: usize, fault: Fault) {
        self.store().faults.add(route, count, fault);
    }

    /// What is to happen to the events of all streams from now on.
    pub fn disturb_events(&self, fault: EventFault) {
        self.store().event_fault = fault;
    }

    /// How often a route was called.
    pub fn calls(&self, route: &str) -> usize {
        self.store().calls.get(route).copied().unwrap_or(0)
    }

    /// Adds a running container that somebody else made, with these labels.
    pub fn add(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let id = store::add_foreign(&self.shared, name, labels);
        store::start(&self.shared, &id).expect("it starts");
        id
    }

    /// Ends the main process behind everybody's back.
    pub fn kill(&self, id: &str, code: i64) {
        store::finish(&self.shared, id, code, false);
    }

    /// Ends the main process as the kernel does when its memory is full.
    pub fn oom(&self, id: &str) {
        store::finish(&self.shared, id, 137, true);
    }

    /// Starts it behind everybody's back.
    pub fn start_container(&self, id: &str) {
        store::start(&self.shared, id).expect("it starts");
    }

    /// Removes it behind everybody's back.
    pub fn remove(&self, id: &str) {
        store::remove(&self.shared, id);
    }

    /// One container, by id or name.
    pub fn container(&self, id: &str) -> Option<Container> {
        self.store().find(id).cloned()
    }

    /// What was typed into the main process so far.
    pub fn typed(&self, id: &str) -> Vec<u8> {
        self.store().find(id).map(|container| container.main.typed.clone()).unwrap_or_default()
    }

    /// Lets the main process write.
    pub fn write(&self, id: &str, bytes: &[u8]) {
        store::write_main(&self.shared, id, false, bytes);
    }

    /// As SIGSTOP and SIGCONT do.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Cuts every open connection, as a daemon that dies.
    pub fn cut_all(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.freeze(false);
        self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    store::use_runtime(&shared, tokio::runtime::Handle::current());
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let mut cut = shared.cut.subscribe();
        shared.store().connections += 1;
        tokio::spawn(async move {
            tokio::select! {
                () = http::serve(stream, shared.clone()) => {}
                _ = cut.changed() => {}
            }
            shared.store().connections -= 1;
        });
    }
}
