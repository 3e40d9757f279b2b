//! The sessions, over an engine that the test plays: rows X02 to X05, X10, X11 and V06 of the catalogue of faults.

mod attention;
mod clients;
mod ends;
mod shells;
mod stub;
mod typing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use podbay::api::types::SessionRow;
use podbay::bay::container::ContainerId;
use podbay::bay::name::Name;
use podbay::bay::session::{SessionId, TermSize};
use podbay::engine::SharedEngine;
use podbay::supervisor::session::{Attachment, Pace, Sent, Sessions, ShellSpec};
use podbay::terminal::emulator::Emulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use stub::Stub;

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

pub struct Scene {
    pub stub: Arc<Stub>,
    pub sessions: Sessions,
    pub changed: mpsc::Receiver<()>,
}

pub fn id() -> ContainerId {
    ContainerId::new("0123456789abcdef")
}

pub fn shell(command: &[String]) -> ShellSpec<'_> {
    ShellSpec { command, env: std::collections::BTreeMap::new(), size: TermSize::new(30, 90) }
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Scene {
    pub fn new() -> Self {
        let (sender, changed) = mpsc::channel(1);
        Self { stub: Stub::new(), sessions: Sessions::new(sender), changed }
    }

    pub fn engine(&self) -> SharedEngine {
        Arc::clone(&self.stub) as SharedEngine
    }

    pub async fn open(&self, adopted: bool) -> (SessionId, DuplexStream) {
        let opened =
            self.sessions.open_main(&self.engine(), &id(), &name("fox"), TermSize::default(), adopted).await.unwrap();
        (opened, self.stub.program().await)
    }

    pub async fn shell(&self) -> (SessionRow, DuplexStream) {
        let row = self.sessions.open_shell(&self.engine(), &id(), &name("fox"), shell(&[])).await;
        (row.unwrap(), self.stub.program().await)
    }

    pub fn row(&self, id: SessionId) -> SessionRow {
        self.sessions.rows().into_iter().find(|row| row.id == id).unwrap()
    }

    pub async fn until_row(&self, id: SessionId, what: &str, wanted: impl Fn(&SessionRow) -> bool) -> SessionRow {
        until(what, || format!("{:?}", self.sessions.rows()), || wanted(&self.row(id))).await;
        self.row(id)
    }

    pub async fn attach(&self, id: SessionId, rows: u16, cols: u16) -> Viewer {
        self.look(id, rows, cols, Pace::Bytes).await
    }

    pub async fn look(&self, id: SessionId, rows: u16, cols: u16, pace: Pace) -> Viewer {
        let attachment = self.sessions.attach(id, TermSize::new(rows, cols), pace).await.unwrap();
        let screen = Emulator::new(TermSize::default(), 100);
        let mut viewer = Viewer { attachment, screen, resets: 0, taken: 0, ended: None };
        viewer.next().await;
        assert_eq!(viewer.resets, 1, "the first is a reset");
        viewer
    }
}

/// Waits for something that is going to be so.
pub async fn until(what: &str, seen: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "never {what}: {}", seen());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A client that draws what it is sent.
pub struct Viewer {
    pub attachment: Attachment,
    pub screen: Emulator,
    pub resets: u32,
    /// Bytes that it was sent.
    pub taken: usize,
    pub ended: Option<(String, Option<i64>)>,
}

impl Viewer {
    /// Takes one message; `false` when the session says no more.
    pub async fn next(&mut self) -> bool {
        let sent = tokio::time::timeout(DEADLINE, self.attachment.output.recv()).await;
        match sent.unwrap_or_else(|_| panic!("nothing came; the screen is {:?}", self.screen.text())) {
            Some(Sent::Reset(size, bytes)) => {
                self.resets += 1;
                self.taken += bytes.len();
                self.screen = Emulator::new(size, 100);
                self.screen.feed(&bytes);
            }
            Some(Sent::Live(bytes)) => {
                self.taken += bytes.len();
                self.screen.feed(&bytes);
            }
            Some(Sent::Size(size)) => self.screen.resize(size),
            Some(Sent::Ended { reason, code }) => self.ended = Some((reason, code)),
            None => return false,
        }
        true
    }

    pub async fn until_shows(&mut self, text: &str) {
        while !self.screen.text().contains(text) {
            assert!(self.next().await, "ended without {text:?}: {:?}", self.screen.text());
        }
    }

    pub async fn until_ended(&mut self) -> (String, Option<i64>) {
        while self.ended.is_none() {
            assert!(self.next().await, "the stream ended without a word");
        }
        assert!(!self.next().await, "nothing follows the end");
        self.ended.clone().unwrap()
    }
}

/// What the program reads, up to so many bytes.
pub async fn read(program: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    tokio::time::timeout(DEADLINE, program.read_exact(&mut bytes)).await.expect("too little was typed").unwrap();
    bytes
}

pub async fn write(program: &mut DuplexStream, bytes: &[u8]) {
    tokio::time::timeout(DEADLINE, program.write_all(bytes)).await.expect("nobody reads").unwrap();
}
