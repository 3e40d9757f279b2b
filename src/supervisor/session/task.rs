//! One session's task: everything that happens becomes an event, and events are handled one after the other. Nothing
//! here waits for a client, a program or the engine.

mod life;
mod watching;

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use life::Looking;
use watching::Watching;

use super::claim::{self, Shown};
use super::clients::{ClientId, Clients, Said};
use super::link::{self, Line, Link, Look, Target};
use super::ring::Ring;
use super::sizing::Sizing;
use super::table::{Command, Entry, Heard, Orders, Table};
use super::typing::Typing;
use super::{Pace, Sent, Typed, Waking};
use crate::api::types::SessionRow;
use crate::bay::session::{SessionId, SessionKind, TermSize};
use crate::engine::SharedEngine;
use crate::terminal::RESTORE;
use crate::terminal::emulator::Emulator;
use crate::terminal::keys;

/// Lines kept above a screen.
const SCROLLBACK: usize = 1000;
/// Commands that wait for the task; then the caller does.
const COMMANDS: usize = 16;
/// A flood that has stopped for so long is drawn, and what was put aside of it given back.
const SETTLED: Duration = Duration::from_millis(100);
/// How often those who are behind are looked after.
const CATCH_UP: Duration = Duration::from_millis(10);
/// How long clients that are behind may take to hear of the end of a session that is forgotten.
const GOODBYE: Duration = Duration::from_secs(1);

struct Session {
    id: SessionId,
    table: Weak<Table>,
    target: Target,
    engine: SharedEngine,
    /// What the title is while the program gives none; empty: the container's name.
    label: String,
    commands: mpsc::Receiver<Command>,
    orders: watch::Receiver<Orders>,
    starts: u64,
    emulator: Emulator,
    clients: Clients,
    line: Line,
    typing: Typing,
    sizing: Sizing,
    looking: Looking,
    watching: Watching,
    catch_up_at: Instant,
    settle_at: Instant,
    said_refusing: bool,
    shown: Shown,
    state: State,
    heard: Arc<Heard>,
    /// Of a main tty alone: a shell has no log.
    ring: Option<Arc<Ring>>,
}

/// Where a session is in its life.
enum State {
    /// Its program runs, as far as is known.
    Open,
    /// The engine does not answer; it is asked again.
    Away,
    /// The program has ended; its last words are read until then.
    Ending { until: Instant, last: Sent },
    /// All is said.
    Ended(Sent),
}

enum Event {
    Command(Option<Command>),
    Said(ClientId, Said),
    Output(io::Result<Bytes>),
    Wrote(io::Result<()>),
    Looked(Look),
    Orders,
    SizeDue,
    CatchUp,
    Settle,
    Watch,
    LastWords,
}

/// Puts a session into the table and starts its task.
pub(super) fn start(table: &Arc<Table>, row: SessionRow, target: Target, link: Link) -> SessionId {
    let id = row.id;
    let (sender, commands) = mpsc::channel(COMMANDS);
    let (orders_sender, orders) = watch::channel(Orders::default());
    let size = TermSize::new(row.size.rows, row.size.cols);
    let mut session = Session {
        id,
        table: Arc::downgrade(table),
        engine: Arc::clone(&link.engine),
        label: if row.kind == SessionKind::Main { String::new() } else { row.title.clone() },
        commands,
        orders,
        starts: 0,
        emulator: Emulator::new(size, SCROLLBACK),
        clients: Clients::default(),
        line: Line::default(),
        typing: Typing::default(),
        sizing: Sizing::new(size, &link.engine, &target),
        looking: Looking::default(),
        watching: Watching::default(),
        catch_up_at: Instant::now(),
        settle_at: Instant::now(),
        said_refusing: false,
        shown: Shown::default(),
        state: State::Open,
        heard: Arc::new(Heard::new()),
        ring: matches!(target, Target::Main(_)).then(Arc::default),
        target,
    };
    let container = session.target.container().clone();
    let (heard, told, ring) = (session.heard.clone(), session.sizing.told().clone(), session.ring.clone());
    table.insert(Entry { row, container, linked: None, commands: sender, orders: orders_sender, heard, told, ring });
    session.link(link);
    tokio::spawn(session.run());
    id
}

impl Session {
    async fn run(mut self) {
        loop {
            let event = self.next().await;
            if !self.handle(event) {
                break;
            }
        }
        self.table().inspect(|table| table.remove(self.id));
        let deadline = Instant::now() + GOODBYE;
        while self.clients.are_behind() && Instant::now() < deadline {
            self.catch_up();
            sleep(CATCH_UP).await;
        }
    }

    async fn next(&mut self) -> Event {
        let behind = self.clients.are_behind();
        let last_words = if let State::Ending { until, .. } = &self.state { Some(*until) } else { None };
        tokio::select! {
            command = self.commands.recv() => Event::Command(command),
            Ok(()) = self.orders.changed() => Event::Orders,
            (client, said) = self.clients.next() => Event::Said(client, said),
            output = self.line.read() => Event::Output(output),
            wrote = self.typing.pump() => Event::Wrote(wrote),
            look = self.looking.next() => Event::Looked(look),
            () = self.sizing.due() => Event::SizeDue,
            () = sleep_until(self.catch_up_at), if behind => Event::CatchUp,
            () = sleep_until(self.settle_at), if self.emulator.is_behind() => Event::Settle,
            () = self.watching.due() => Event::Watch,
            () = sleep_until(last_words.unwrap_or_else(Instant::now)), if last_words.is_some() => Event::LastWords,
        }
    }

    /// `false`: the session is over and forgotten.
    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Command(None) => {
                let forgotten = self.table().is_some();
                self.finish_now(if forgotten { "the container is gone" } else { "the supervisor ends" }, None);
                return false;
            }
            Event::Command(Some(command)) => return self.obey(command),
            Event::Said(client, said) => self.said(client, said),
            Event::Output(Ok(bytes)) if !bytes.is_empty() => self.output(&bytes),
            Event::Output(_) => self.stream_ended(),
            // The reading side sees the same end, and says it once.
            Event::Wrote(Err(_)) => self.typing.close(),
            Event::Wrote(Ok(())) => self.say_refusing(),
            Event::Looked(look) => self.looked(look),
            Event::Orders => return self.ordered(),
            Event::SizeDue => self.take_size(),
            Event::CatchUp => self.catch_up(),
            Event::Settle => {
                let rebuilt = self.emulator.settle();
                self.mend(rebuilt);
            }
            Event::Watch => {
                if self.watching.look(&self.emulator) {
                    self.publish();
                }
            }
            Event::LastWords => self.finish(),
        }
        true
    }

    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Attach(size, pace, reply) => self.attach(size, pace, reply),
            Command::Link(link, reply) => {
                self.looking.forget_failures();
                self.link(*link);
                // The caller may have given up.
                let _ = reply.send(());
            }
            Command::Type(typed, reply) => {
                let _ = reply.send(self.type_in(typed));
            }
            Command::Peek(reply) => {
                let _ = reply.send(self.shown.peek());
            }
            Command::Screen(reply) => {
                let _ = reply.send(self.emulator.text());
            }
            Command::Claim(waking, reply) => {
                let _ = reply.send(self.claim(&waking));
            }
            Command::Close(reply) => {
                let ended = matches!(self.state, State::Ended(_) | State::Ending { .. });
                let shell = match &self.target {
                    Target::Main(_) if !ended => {
                        let _ = reply.send(());
                        return true;
                    }
                    Target::Shell(shell) if !self.has_exited() => Some((Arc::clone(&self.engine), shell.clone())),
                    _ => None,
                };
                self.finish_now("closed", None);
                tokio::spawn(async move {
                    if let Some((engine, shell)) = shell {
                        super::shell::end(&engine, &shell).await;
                    }
                    let _ = reply.send(());
                });
                return false;
            }
        }
        true
    }

    /// A gate is woken: what was on the screen was nobody's.
    fn claim(&mut self, waking: &Waking) -> bool {
        if let Some(size) = waking.size {
            // The engine has been told of it, before the name was given.
            self.sizing.want(size);
            self.sizing.take();
        }
        self.emulator = Emulator::new(self.sizing.now(), SCROLLBACK);
        self.clients.reset();
        let woken = self.typing.push(&waking.line);
        if woken {
            self.shown.woken(waking.began);
        }
        self.publish();
        woken
    }

    fn attach(&mut self, size: TermSize, pace: Pace, reply: tokio::sync::oneshot::Sender<super::Attachment>) {
        // Its own size first, where that counts: what it sees first is then right already.
        let alone = self.clients.len() == 0 && !matches!(self.state, State::Ended(_));
        if alone {
            self.sizing.want(size);
            if self.sizing.is_due() {
                self.take_size();
            } else {
                self.sizing.tell_again();
            }
        }
        let reset = reset(&self.emulator, true);
        let attachment = self.clients.attach(size, pace, reset);
        if let State::Ended(last) = &self.state {
            self.clients.farewell(&last.clone());
            self.catch_up();
        }
        // A caller that has given up has dropped its half: that is noticed as any other detaching.
        let _ = reply.send(attachment);
        self.publish();
    }

    /// A stream, the first or another one.
    fn link(&mut self, link: Link) {
        let other_engine = !Arc::ptr_eq(&self.engine, &link.engine);
        self.engine = link.engine;
        if other_engine {
            self.sizing.tell_another(&self.engine, &self.target);
        }
        if let Some(ring) = &self.ring {
            ring.opened(link.history.is_some());
        }
        self.line.open(link.tty.output);
        self.typing.open(link.tty.input);
        self.shown.begin(link.history.as_deref().unwrap_or_default());
        if let Some(history) = &link.history {
            self.emulator = Emulator::new(self.sizing.now(), SCROLLBACK);
            // Questions in it were answered long ago.
            self.emulator.feed(history);
            self.watching.adopted(history);
            if !claim::waits(history) {
                self.sizing.nudge();
            }
            self.clients.reset();
        } else if !self.looking.is_first() {
            // Started again: a new program on the old screen.
            self.emulator.feed(RESTORE);
            self.emulator.feed(b"\r\n");
            self.clients.reset();
        }
        match &self.target {
            Target::Main(_) => self.looking.stop(),
            Target::Shell(shell) => self.looking.begin(link::watch_shell(Arc::clone(&self.engine), shell.clone())),
        }
        self.looking.linked();
        self.said_refusing = false;
        self.state = State::Open;
        self.publish();
    }

    fn output(&mut self, bytes: &[u8]) {
        self.heard.note();
        if let Some(ring) = &self.ring {
            ring.push(bytes, jiff::Timestamp::now());
        }
        if let Some(took) = self.shown.take(bytes)
            && let Some(table) = self.table()
        {
            table.first_output(self.target.container(), took);
        }
        let fed = self.emulator.feed(bytes);
        if !fed.replies.is_empty() {
            self.typing.push(&fed.replies);
        }
        self.settle_at = Instant::now() + SETTLED;
        self.mend(fed.rebuilt);
        self.watching.wrote(&fed, self.emulator.title());
        if !fed.forward.is_empty() {
            self.clients.live(&Bytes::from(fed.forward));
        }
        if self.watching.changed() || fed.title_changed {
            self.publish();
        }
    }

    fn mend(&mut self, rebuilt: bool) {
        if rebuilt {
            tracing::warn!(session = %self.id, "the emulator failed; the program is asked to draw anew");
            self.sizing.nudge();
        }
    }

    fn said(&mut self, client: ClientId, said: Said) {
        match said {
            Said::Gone => {
                self.clients.remove(client);
                self.publish();
            }
            Said::Typed(Typed::Size(size)) => self.clients.resized(client, size),
            Said::Typed(typed) => {
                self.clients.typed(client);
                self.type_in(typed);
                // At once, not at the next turn: somebody waits for the answer.
                self.typing.write_now().unwrap_or_else(|_| self.typing.close());
                self.say_refusing();
            }
        }
        if let Some(size) = self.clients.size() {
            self.sizing.want(size);
        }
    }

    fn type_in(&mut self, typed: Typed) -> bool {
        let taken = match typed {
            Typed::Bytes(bytes) => self.typing.push(&bytes),
            Typed::Paste(text) => self.typing.push(&keys::paste(&text, self.emulator.modes())),
            Typed::Size(_) => return true,
        };
        self.watching.typed();
        if self.watching.changed() {
            self.publish();
        }
        self.say_refusing();
        taken
    }

    fn say_refusing(&mut self) {
        let refusing = self.typing.is_refusing();
        if std::mem::replace(&mut self.said_refusing, refusing) != refusing {
            self.publish();
        }
    }

    fn take_size(&mut self) {
        let size = self.sizing.take();
        self.emulator.resize(size);
        self.clients.tell_size(size);
        self.sizing.tell();
        self.publish();
    }

    fn catch_up(&mut self) {
        self.catch_up_at = Instant::now() + CATCH_UP;
        let before = self.clients.len();
        let emulator = &self.emulator;
        self.clients.catch_up(|above| reset(emulator, above));
        if self.clients.len() != before {
            self.publish();
        }
    }

    fn table(&self) -> Option<Arc<Table>> {
        self.table.upgrade()
    }

    /// Brings the row up to date.
    fn publish(&self) {
        let Some(table) = self.table() else {
            return;
        };
        let program = self.emulator.title();
        let trouble = match self.state {
            State::Away => " (the engine is away)",
            _ if self.typing.is_refusing() => " (does not read: input was dropped)",
            _ => "",
        };
        table.update(self.id, |entry| {
            let known = [program, &self.label, &entry.row.name].into_iter().find(|t| !t.is_empty());
            entry.row.title = format!("{}{trouble}", known.unwrap_or_default());
            entry.row.size = self.sizing.now();
            entry.row.clients = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
            entry.row.ended = match &self.state {
                State::Ended(Sent::Ended { reason, .. }) => Some(reason.clone()),
                _ => None,
            };
            // Whoever has ended asks for nothing any more.
            entry.row.attention = self.watching.state().filter(|_| entry.row.ended.is_none());
            entry.linked = self.line.is_open().then(|| Arc::downgrade(&self.engine));
        });
    }
}

/// The screen as it is, with the lines above it or without.
fn reset(emulator: &Emulator, above: bool) -> Sent {
    let bytes = if above { emulator.snapshot() } else { emulator.snapshot_of_screen() };
    Sent::Reset(emulator.size(), Bytes::from(bytes))
}
