//! The machine: all state of a bay, changed by events alone, telling in effects what is to be done.
//!
//! Pure: no I/O, no clock, no await. Nothing here remembers that a step was done; [`super::reconcile`] finds the next one
//! from what is seen. `command` turns wishes into goals, `look` takes in what the engine says, `progress` moves goals
//! along, `view` says how things are.

mod alerts;
mod answer;
mod asked;
mod calls;
mod capacity;
mod claim;
mod command;
mod down;
mod look;
mod making;
mod outgoing;
mod pace;
mod pool;
mod progress;
mod refresh;
mod reload;
mod repair;
mod service;
mod settle;
mod view;
mod why;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::types::{ContainerRow, ErrorDetail, HistoryLine, SessionRow, Snapshot};
use crate::bay::alert::Alerts;
use crate::bay::backoff::Backoff;
use crate::bay::container::{ContainerId, Observed, ObservedNetwork};
use crate::bay::isolation::Isolation;
use crate::bay::name::Name;
use crate::bay::owner::{Nonce, OwnerKey};
use crate::bay::phase::Progress;
use crate::config::{ApiConfig, Config};
use crate::engine::Identity;

use super::event::{Command, CommandId, Effect, Event, Gauges, Now, Reply, ServiceEffect};
use super::goal::{PARENT, Step};
use super::guard::{self, Namespaces};
use super::refusal;
use super::store::Stored;

pub use outgoing::Knock;
pub use service::{Want, Which};

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
    /// The newest lines of history that the last supervisor kept, the oldest first.
    pub history: Vec<HistoryLine>,
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
    /// The last one failed: what there is, is not known.
    failed: bool,
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
    /// A service's verb, and the word for it once it is done.
    Service(&'static str),
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
    /// What could be had where that is all that is missing.
    weaker: Option<Isolation>,
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
    /// How far a step under way is, and when that was last said.
    progress: BTreeMap<String, (Progress, Duration)>,
    /// What a goal waits for.
    waits: BTreeMap<String, Cow<'static, str>>,
    /// Why the last goal of a name was not reached.
    faults: BTreeMap<String, String>,
    /// Rules leave a name alone until then: what failed for good is not tried again at once.
    resting: BTreeMap<String, Duration>,
    /// A process of a running container was killed for memory.
    ooms: BTreeMap<String, Timestamp>,
    /// Names that this repair has already tried.
    repairing: Option<BTreeSet<String>>,
    /// How workers fare.
    health: refresh::Health,
    /// When each container was first seen, and how old it was then.
    ages: BTreeMap<ContainerId, (Duration, Duration)>,
    /// What tells whether a warm worker was made by its template as it is: reckoned once a configuration.
    hashes: BTreeMap<Name, String>,
    /// Pools, by template.
    pools: BTreeMap<Name, pool::Pool>,
    /// What is known of warm workers' runs.
    warmth: BTreeMap<ContainerId, pool::Warmth>,
    /// Ids of the images of pooled templates, by reference.
    images: BTreeMap<String, String>,
    images_due: Duration,
    /// What earlier warm workers left was cleared.
    swept: bool,
    /// What was written last is in the system's memory alone.
    jotted: bool,
    /// To be written and synced with this event, changed or not.
    save_due: bool,
    /// For bringing a lost parent back unasked.
    parent_backoff: Backoff,
    parent_not_before: Duration,
    services: service::Services,
    /// A `down` that waits for the services to end.
    going_down: Option<(CommandId, crate::api::types::DownRequest)>,
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
    /// Why the configuration file, as it is now, is not the one in effect.
    config_trouble: Option<String>,
    /// Why the API does not listen on TCP.
    api_trouble: Option<String>,
    /// Where the API listens since the beginning.
    began_api: ApiConfig,
    /// Names that are asked for.
    doors: outgoing::Doors,
    gauges: Gauges,
    alerts: Alerts,
    /// The change that the alerts were judged after, and when they are judged again without one.
    judging: (u64, Duration),
    refreshes: u64,
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
        let Birth { config, key, mut stored, boot, pid, troubles, history } = birth;
        claim::look_again(&mut stored);
        // A state of before there was such a word.
        stored.pools_up |= stored.services_up;
        let endpoint = config.engine.host.clone();
        let began_api = config.api.clone();
        let rebooted = !stored.boot.is_empty() && stored.boot != boot;
        let gap_since = if rebooted { stored.seen_at } else { None };
        let first_order = now.wall.as_microsecond().unsigned_abs();
        let mut machine = Self {
            services: service::Services::new(&config, &stored, first_order),
            hashes: pool::hashes(&config),
            going_down: None,
            config,
            key,
            boot,
            pid,
            endpoint,
            link: Link::Connecting,
            identity: None,
            weaker: None,
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
            progress: BTreeMap::new(),
            waits: BTreeMap::new(),
            faults: BTreeMap::new(),
            resting: BTreeMap::new(),
            ooms: BTreeMap::new(),
            repairing: None,
            health: refresh::Health::default(),
            ages: BTreeMap::new(),
            pools: BTreeMap::new(),
            warmth: BTreeMap::new(),
            images: BTreeMap::new(),
            images_due: Duration::ZERO,
            swept: false,
            jotted: false,
            save_due: false,
            parent_backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            parent_not_before: Duration::ZERO,
            pending: Vec::new(),
            deferred: Vec::new(),
            gap_since,
            last_good: None,
            sessions: Vec::new(),
            sessions_open: BTreeSet::new(),
            sessions_known: BTreeSet::new(),
            history_seq: history.last().map_or(0, |line| line.seq),
            history: history.into(),
            rows: Vec::new(),
            troubles,
            save_trouble: None,
            config_trouble: None,
            api_trouble: None,
            began_api,
            doors: outgoing::Doors::default(),
            gauges: Gauges::default(),
            alerts: Alerts::default(),
            judging: (0, Duration::ZERO),
            refreshes: 0,
            exiting: false,
            seq: 0,
            dirty: true,
            spread: u64::from(pid) ^ now.wall.as_millisecond().unsigned_abs(),
        };
        if !machine.history.is_empty() {
            machine.say(now, None, format!("another supervisor begins (pid {pid})"));
        }
        (machine, vec![Effect::Service(ServiceEffect::Survey), Effect::Connect])
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
            self.advance_services(now, &mut out);
            self.go_down(now, &mut out);
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
        self.keep_state(&mut out);
        out.0
    }

    fn take(&mut self, event: Event, now: Now, out: &mut Out) {
        match event {
            Event::Command(id, command) => self.take_command(id, command, now, out),
            Event::Connected { endpoint, answer } => self.connected(endpoint, answer, now, out),
            Event::Looked { look, seen, namespaces } => self.take_look(look, seen, namespaces, now, out),
            Event::Pinged(answer) => self.take_ping(answer, now, out),
            Event::Hinted(hint) => self.take_hint(hint, now, out),
            Event::Stepped(stepped) => self.take_step(*stepped, now, out),
            Event::Progressed { target, progress } => self.progressed(target, progress, now),
            Event::Service(event) => self.take_service(event, now, out),
            Event::Probed { id, run, answer } => self.take_probe(&id, run, answer, now),
            Event::Shut { id, run } => self.shut(&id, run),
            Event::Taken { id, run } => self.taken(&id, run),
            Event::Images(images) => {
                self.dirty |= self.images != images;
                self.images = images;
            }
            Event::FirstOutputs(outputs) => self.first_outputs(outputs),
            Event::Surveyed(vitals) => self.take_survey(vitals, now),
            Event::Kept { name, notes } => {
                self.stored.forgetting.remove(name.as_str());
                for note in notes {
                    self.say(now, Some(name.as_str()), note);
                }
            }
            Event::Sessions(rows) => {
                self.sessions = rows;
                self.dirty = true;
            }
            Event::Tick(gauges) => self.tick(gauges, now, out),
            Event::Wake => {}
            Event::Saved(result) => self.saved(result),
            Event::Terminate => {
                self.exiting = true;
                self.save_due |= self.jotted;
                out.push(Effect::Exit);
            }
        }
    }

    /// The next number for a backoff's jitter: a plain congruential sequence, so that the machine stays pure.
    const fn next_spread(&mut self) -> u64 {
        self.spread = self.spread.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.spread >> 33
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
        self.keep_gates(now);
        self.keep_names(now);
        self.keep_pools(now);
    }

    /// What everybody may see.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        view::snapshot(self, now)
    }

    /// The configuration in effect.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Number of the last change, to see cheaply whether there is a new snapshot.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    fn parent(&self) -> Option<&Observed> {
        self.seen.get(PARENT).map(|seen| &seen.container)
    }

    /// Why this running container has no network.
    fn lost(&self, container: &Observed) -> Option<crate::bay::reason::Reason> {
        guard::lost(container, self.parent(), &self.namespaces)
    }
}
