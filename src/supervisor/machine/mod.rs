//! The machine: all state of a bay, changed by events alone, telling in effects what is to be done.
//!
//! Pure: no I/O, no clock, no await. Nothing here remembers that a step was done; [`super::reconcile`] finds the next one
//! from what is seen. `command` turns wishes into goals, `look` takes in what the engine says, `progress` moves goals
//! along, `view` says how things are.

mod command;
mod look;
mod progress;
mod refresh;
mod repair;
mod settle;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::types::{ContainerRow, Disk, ErrorDetail, HistoryLine, SessionRow, Snapshot};
use crate::bay::backoff::Backoff;
use crate::bay::container::{ContainerId, Observed, Status};
use crate::bay::owner::{Nonce, OwnerKey};
use crate::config::Config;
use crate::engine::Identity;

use super::event::{Command, CommandId, Effect, Event, Now, Reply};
use super::goal::{PARENT, Step};
use super::guard::{self, Namespaces};
use super::refusal;
use super::store::Stored;

/// A full look at least this often; events only make it sooner.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A ping this long after the last answer.
const PING_AFTER: Duration = Duration::from_secs(5);
/// Unanswered pings until the engine counts as away.
const MISSES: u32 = 3;
/// Lines of history kept.
const HISTORY: usize = crate::api::types::HISTORY_KEPT;
/// Commands that may wait for the first answer of the engine.
const DEFERRED: usize = 64;

/// What the machine is told once.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The configuration.
    pub config: Arc<Config>,
    /// The bay's key.
    pub key: OwnerKey,
    /// What the last supervisor left.
    pub stored: Stored,
    /// The present boot.
    pub boot: String,
    /// This process.
    pub pid: u32,
    /// What had to be said of the state already.
    pub troubles: Vec<String>,
}

/// How the engine stands.
#[derive(Debug)]
enum Link {
    Connecting,
    Up { missed: u32, pinging: bool, heard: Duration },
    Away { why: String, next: Duration, next_wall: Timestamp, connecting: bool },
}

/// The state of the looking.
#[derive(Debug, Default)]
struct Looking {
    /// Number of the last look asked for.
    last: u64,
    /// It has not come back yet.
    in_flight: bool,
    /// Something changed since it was asked for.
    again: bool,
    /// The next one by the clock.
    due: Duration,
    /// One has come back since the link came up.
    known: bool,
}

/// One container of ours, as last seen.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    container: Observed,
    nonce: Nonce,
    /// The look that was the newest when this was seen: a look asked for earlier knows less.
    epoch: u64,
}

/// A command that waits for goals.
#[derive(Debug)]
struct Pending {
    id: CommandId,
    kind: PendingKind,
    targets: BTreeSet<String>,
    failures: Vec<(String, ErrorDetail)>,
    notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum PendingKind {
    Spawn(String),
    Verb(&'static str),
    /// Parent first, then everything that is cut off.
    Repair {
        repaired: u32,
    },
    Down,
}

/// All state of a bay.
#[derive(Debug)]
pub struct Machine {
    config: Arc<Config>,
    key: OwnerKey,
    boot: String,
    pid: u32,
    endpoint: String,
    link: Link,
    identity: Option<Identity>,
    backoff: Backoff,
    looking: Looking,
    seen: BTreeMap<String, Seen>,
    retired: BTreeMap<String, Seen>,
    foreign: BTreeSet<String>,
    /// Ids that were removed, with the look that was the newest then.
    vanished: Vec<(ContainerId, u64)>,
    namespaces: Namespaces,
    stored: Stored,
    written: Stored,
    /// Steps under way.
    busy: BTreeMap<String, Step>,
    /// What a goal waits for.
    waits: BTreeMap<String, &'static str>,
    /// Why the last goal of a name was not reached.
    faults: BTreeMap<String, String>,
    /// Rules leave a name alone until then: what failed for good is not tried again at once.
    resting: BTreeMap<String, Duration>,
    /// A process of a running container was killed for memory.
    ooms: BTreeMap<String, Timestamp>,
    /// Names that this repair has already tried.
    repairing: Option<BTreeSet<String>>,
    /// When each container was first seen, and how old it was then.
    ages: BTreeMap<ContainerId, (Duration, Duration)>,
    /// For bringing a lost parent back unasked.
    parent_backoff: Backoff,
    parent_not_before: Duration,
    pending: Vec<Pending>,
    deferred: Vec<(CommandId, Command)>,
    /// The engine was away or nobody looked: what then ended was taken down, not done.
    gap_since: Option<Timestamp>,
    /// When all was last seen well.
    last_good: Option<Timestamp>,
    sessions: Vec<SessionRow>,
    sessions_open: BTreeSet<ContainerId>,
    /// Containers that ever had one: forgotten with the container.
    sessions_known: BTreeSet<ContainerId>,
    history: VecDeque<HistoryLine>,
    history_seq: u64,
    rows: Vec<ContainerRow>,
    troubles: Vec<String>,
    save_trouble: Option<String>,
    disk: Disk,
    exiting: bool,
    seq: u64,
    dirty: bool,
    spread: u64,
}

/// Effects in the making.
#[derive(Debug, Default)]
struct Out(Vec<Effect>);

impl Out {
    fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    fn reply(&mut self, id: CommandId, reply: Reply) {
        self.0.push(Effect::Reply(id, reply));
    }
}

impl Machine {
    /// A machine that has seen nothing yet, and the first thing to do.
    #[must_use]
    pub fn new(birth: Birth, now: Now) -> (Self, Vec<Effect>) {
        let Birth { config, key, stored, boot, pid, troubles } = birth;
        let endpoint = config.engine.host.clone();
        let rebooted = !stored.boot.is_empty() && stored.boot != boot;
        let gap_since = if rebooted { stored.seen_at } else { None };
        let machine = Self {
            config,
            key,
            boot,
            pid,
            endpoint,
            link: Link::Connecting,
            identity: None,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            looking: Looking::default(),
            seen: BTreeMap::new(),
            retired: BTreeMap::new(),
            foreign: BTreeSet::new(),
            vanished: Vec::new(),
            namespaces: Namespaces::new(),
            written: stored.clone(),
            stored,
            busy: BTreeMap::new(),
            waits: BTreeMap::new(),
            faults: BTreeMap::new(),
            resting: BTreeMap::new(),
            ooms: BTreeMap::new(),
            repairing: None,
            ages: BTreeMap::new(),
            parent_backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            parent_not_before: Duration::ZERO,
            pending: Vec::new(),
            deferred: Vec::new(),
            gap_since,
            last_good: None,
            sessions: Vec::new(),
            sessions_open: BTreeSet::new(),
            sessions_known: BTreeSet::new(),
            history: VecDeque::new(),
            history_seq: 0,
            rows: Vec::new(),
            troubles,
            save_trouble: None,
            disk: Disk::default(),
            exiting: false,
            seq: 0,
            dirty: true,
            spread: u64::from(pid) ^ now.wall.as_millisecond().unsigned_abs(),
        };
        (machine, vec![Effect::Connect])
    }

    /// Takes one event and says what is to be done about it.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        if let Event::Saved(result) = event {
            // Told in the middle of carrying out effects: it changes what is said, and begins nothing.
            self.saved(result);
            return Vec::new();
        }
        let mut out = Out::default();
        self.take(event, now, &mut out);
        // A goal that is reached may be what a rule waited for, and a rule may set a goal: a few rounds bring rest.
        for _ in 0..4 {
            let goals = self.stored.goals.clone();
            self.keep_rules(now);
            self.advance(now, &mut out);
            if goals == self.stored.goals {
                break;
            }
        }
        self.answer_repairs(&mut out);
        if self.exiting {
            self.refuse_all(&refusal::busy("the supervisor is ending"), &mut out);
        }
        self.settle(now, &mut out);
        if self.stored != self.written {
            self.written = self.stored.clone();
            // First, so that no step is taken which a crash would make forgotten.
            out.0.insert(0, Effect::Save(Box::new(self.stored.clone())));
        }
        out.0
    }

    fn take(&mut self, event: Event, now: Now, out: &mut Out) {
        match event {
            Event::Command(id, command) => self.take_command(id, command, now, out),
            Event::Connected { endpoint, answer } => {
                if let Some(endpoint) = endpoint {
                    self.endpoint = endpoint;
                }
                match answer {
                    Ok(identity) => self.link_up(identity, now, out),
                    Err(error) => self.link_lost(&error.to_string(), now, out),
                }
            }
            Event::Looked { look, seen, namespaces } => self.take_look(look, seen, namespaces, now, out),
            Event::Pinged(answer) => self.take_ping(answer, now, out),
            Event::Hinted(hint) => self.take_hint(hint, now, out),
            Event::Stepped(stepped) => self.take_step(*stepped, now, out),
            Event::Sessions(rows) => {
                self.sessions = rows;
                self.dirty = true;
            }
            Event::Tick(disk) => self.tick(disk, now, out),
            Event::Saved(result) => self.saved(result),
            Event::Terminate => {
                self.exiting = true;
                out.push(Effect::Exit);
            }
        }
    }

    /// The next number for a backoff's jitter: a plain congruential sequence, so that the machine stays pure.
    const fn next_spread(&mut self) -> u64 {
        self.spread = self.spread.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.spread >> 33
    }

    fn saved(&mut self, result: Result<(), String>) {
        let trouble = result.err().map(|why| format!("the state can't be saved: {why}"));
        self.dirty |= trouble != self.save_trouble;
        self.save_trouble = trouble;
    }

    fn tick(&mut self, disk: Disk, now: Now, out: &mut Out) {
        self.disk = disk;
        if self.save_trouble.is_some() {
            // There may be space again.
            out.push(Effect::Save(Box::new(self.stored.clone())));
        }
        match &mut self.link {
            Link::Connecting => {}
            Link::Away { next, connecting, .. } => {
                if *next <= now.mono && !*connecting {
                    *connecting = true;
                    out.push(Effect::Connect);
                }
            }
            Link::Up { pinging, heard, .. } => {
                if now.mono.saturating_sub(*heard) >= PING_AFTER && !*pinging {
                    *pinging = true;
                    out.push(Effect::Ping);
                }
                if now.mono >= self.looking.due {
                    self.look(now, out);
                }
            }
        }
    }

    /// Asks for a look, or for one more once the present one is back.
    fn look(&mut self, now: Now, out: &mut Out) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        if self.looking.in_flight {
            self.looking.again = true;
            return;
        }
        self.looking.last += 1;
        self.looking.in_flight = true;
        self.looking.again = false;
        self.looking.due = now.mono + LOOK_EVERY;
        out.push(Effect::Look(self.looking.last));
    }

    /// Rules that hold without anybody asking.
    fn keep_rules(&mut self, now: Now) {
        if !self.looking.known || self.exiting || !matches!(self.link, Link::Up { .. }) {
            return;
        }
        self.recover_from_gap(now);
        self.keep_parent(now);
        self.refresh_due(now);
        self.remove_ended(now);
        self.clear_retired(now);
        self.repair();
    }

    /// What everybody may see.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        view::snapshot(self, now)
    }

    /// Number of the last change, to see cheaply whether there is a new snapshot.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The running parent's pid, when the engine's processes are this machine's: watched between looks.
    #[must_use]
    pub fn parent_pid(&self) -> Option<u32> {
        let identity = self.identity.as_ref()?;
        match self.seen.get(PARENT)?.container.status {
            Status::Running { pid, .. } if identity.local && pid != 0 => Some(pid),
            _ => None,
        }
    }

    /// Whether the engine's processes are this machine's.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.local)
    }

    /// The running parent and its start, when its process can't be watched from here.
    #[must_use]
    pub fn remote_parent(&self) -> Option<(ContainerId, Option<Timestamp>)> {
        let parent = self.parent().filter(|parent| parent.status.is_running())?;
        (self.looking.known && self.parent_pid().is_none()).then(|| (parent.id.clone(), parent.status.since()))
    }

    /// Host ports that containers of this bay publish.
    #[must_use]
    pub fn host_ports(&self) -> BTreeSet<u16> {
        self.seen.values().flat_map(|seen| &seen.container.ports).map(|port| port.host).collect()
    }

    fn parent(&self) -> Option<&Observed> {
        self.seen.get(PARENT).map(|seen| &seen.container)
    }

    /// Why this running container has no network.
    fn lost(&self, container: &Observed) -> Option<crate::bay::reason::Reason> {
        guard::lost(container, self.parent(), &self.namespaces)
    }
}
