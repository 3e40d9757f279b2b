//! One service, as far as the supervisor knows it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bay::backoff::Backoff;
use crate::bay::graph::Progress;
use crate::bay::lifecycle::{Lifecycle, Memory, Rules};
use crate::bay::name::Name;
use crate::bay::service::{
    BackoffRule, HostReason, RestartPolicy, ServiceConfig, ServiceRun, StartLimit, StopRule, StopSignal,
};
use crate::bay::size::Span;
use crate::service::protocol::{RunState, Status};

use super::super::super::store::ServiceTimes;
use super::health::Health;

/// An order is carried out at once, but for a start, which may have to begin a shim, up to three times, first.
pub(super) const ORDER: Duration = Duration::from_mins(1);
/// Whoever asked is told after so long what it still waits for.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// What is wanted of a service, kept on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Nothing: nobody brought the bay up, or it was brought down.
    #[default]
    Down,
    /// It runs.
    Up,
    /// It does not: a user stopped it.
    Stopped,
}

/// A start that is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owed {
    #[default]
    Nothing,
    /// Somebody asked for it.
    Start,
    /// It ran, and its shim or the machine went down: its rules say whether it runs again.
    Resume,
}

/// What is seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// An order is under way.
    Busy,
    /// Its state.
    Is(RunState),
}

/// Why a start could not even be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub text: String,
    /// Not before this time.
    pub until: Duration,
    pub until_wall: Timestamp,
}

/// Who has the port that a run was to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortHolder {
    /// Which run.
    pub run: u64,
    /// In words, with the port.
    pub text: String,
}

/// One service.
#[derive(Debug)]
pub(super) struct Unit {
    pub config: ServiceConfig,
    /// It is not in the configuration any more.
    pub removed: bool,
    pub want: Want,
    pub owed: Owed,
    /// To be stopped first, and then started.
    pub anew: bool,
    /// The run that what is due comes after; `None`: nothing was due when that was last written down.
    pub after: Option<u64>,
    /// It stops only after what waits for it.
    pub in_order: bool,
    /// What it waits for.
    pub waits: Option<String>,
    /// Since when.
    pub waits_since: Option<Duration>,
    /// What is said to who waits for it: some of that does not come by itself, or not soon.
    pub blocked: Option<String>,
    /// Its last shim was killed, and no other has begun since: what it left may live.
    pub unproven: bool,
    pub trouble: Option<Trouble>,
    /// When a run after a failure has lasted long enough to be told of.
    pub lasts_at: Option<Duration>,
    /// Its shim lives and can't be spoken with: nothing is known, nothing is done.
    pub mute: Option<Trouble>,
    pub holder: Option<PortHolder>,
    pub troubles: Backoff,
    /// What was last seen of it.
    pub status: Status,
    pub line: Line,
    /// The rules of a container's runs; a native service's are its shim's. `None`: it is native.
    pub life: Option<Lifecycle>,
    /// Of a container: what is written down of its times.
    pub kept: Kept,
    /// The engine was looked at since this supervisor began.
    pub found: bool,
    pub health: Health,
}

/// Times of a container service as they are written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The starts that these are.
    pub starts: VecDeque<Duration>,
    pub times: ServiceTimes,
}

/// How the supervisor stands with a native service's shim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// There is a connection, or one is being made.
    pub open: bool,
    /// The order that is under way, and what is owed if it is lost.
    pub awaiting: Option<(u64, Owed)>,
    /// An order, and when it was first seen to be under way.
    pub asked: Option<(u64, Duration)>,
    /// It is under way for too long.
    pub late: bool,
    /// It was told to stop its service.
    pub stop_told: bool,
    /// It was told to end.
    pub quit_told: bool,
    /// The order with the newest rules for its output.
    pub rules_told: u64,
}

impl Unit {
    pub fn new(config: ServiceConfig, want: Want) -> Self {
        Self::remembering(config, want, Memory::default())
    }

    /// One whose runs an earlier supervisor has seen; of a native one, its shim knows better.
    pub fn remembering(config: ServiceConfig, want: Want, past: Memory) -> Self {
        let status = Status { memory: past.clone(), ..Status::default() };
        let life = (!config.is_native()).then(|| Lifecycle::new(Rules::of(&config), past));
        Self {
            life,
            kept: Kept::default(),
            found: false,
            config,
            removed: false,
            want,
            owed: Owed::Nothing,
            anew: false,
            after: None,
            in_order: false,
            waits: None,
            waits_since: None,
            blocked: None,
            unproven: false,
            trouble: None,
            lasts_at: None,
            mute: None,
            holder: None,
            troubles: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            status,
            line: Line::default(),
            health: Health::default(),
        }
    }

    /// One that runs and is in no configuration any more: enough to end it.
    pub fn orphan(name: Name) -> Self {
        let second = Span::seconds(1);
        let config = ServiceConfig {
            name,
            run: ServiceRun::Host { reason: HostReason::Other("removed".to_owned()), cwd: String::new(), tty: false },
            command: Vec::new(),
            ports: Vec::new(),
            env: BTreeMap::new(),
            env_file: Vec::new(),
            user: String::new(),
            secrets: Vec::new(),
            restart: RestartPolicy::No,
            success_exit_codes: vec![0],
            depends_on: BTreeMap::new(),
            ready: None,
            live: None,
            stop: StopRule { signal: StopSignal::SIGTERM, timeout: Span::seconds(10) },
            backoff: BackoffRule { initial: second, max: second, reset_after: second },
            start_limit: StartLimit { burst: 1, interval: second },
        };
        Self { removed: true, ..Self::new(config, Want::Down) }
    }

    pub const fn sight(&self) -> Sight {
        let unseen = (self.life.is_some() && !self.found) || self.mute.is_some();
        if self.line.awaiting.is_some() || unseen { Sight::Busy } else { Sight::Is(self.status.state) }
    }

    /// Whether a process of it may be there, or come by itself.
    pub fn may_live(&self) -> bool {
        self.line.awaiting.is_some() || self.unproven || self.mute.is_some() || !self.status.state.is_at_rest()
    }

    /// A service that was removed from the configuration and is gone.
    pub fn is_over(&self) -> bool {
        self.removed && !self.may_live() && !self.line.open
    }

    /// Whether it is ready; `None`: it has no probe that says so, or does not run.
    pub fn ready(&self) -> Option<bool> {
        let running = self.status.state == RunState::Running;
        match (&self.config.ready, running) {
            (Some(_), true) => Some(self.health.is_ready()),
            (Some(_), false) => Some(false),
            (None, _) => None,
        }
    }

    pub fn progress(&self) -> Progress {
        let to_come = self.owed != Owed::Nothing || self.anew || self.line.awaiting.is_some();
        match self.status.state {
            RunState::Running if self.ready() != Some(false) => Progress::Ready,
            RunState::Running => Progress::Started,
            RunState::Stopping | RunState::Stuck if self.want == Want::Up => Progress::Restarting,
            RunState::Waiting => Progress::Restarting,
            RunState::Starting => Progress::Waiting,
            _ if self.want == Want::Up && to_come => Progress::Waiting,
            RunState::Done => Progress::Done,
            RunState::Ended | RunState::Failed => Progress::Failed,
            RunState::Idle | RunState::Stopping | RunState::Stuck => Progress::Stopped,
        }
    }

    pub fn due(&self) -> Option<Duration> {
        // A container's stop is tried again with a tick, once the engine is there.
        let tried = (self.owed != Owed::Nothing || self.line.open || self.unproven) && !self.is_contained_stopping();
        let trouble = self.trouble.as_ref().filter(|_| tried);
        let probes = (self.status.state == RunState::Running).then(|| self.health.due()).flatten();
        let asked = self.line.asked.filter(|_| !self.line.late).map(|(_, since)| since + ORDER);
        let waits = self.waits_since.filter(|_| self.blocked.is_none()).map(|since| since + PATIENCE);
        let mute = self.mute.as_ref().filter(|_| !self.line.open).map(|mute| mute.until);
        let limits = asked.into_iter().chain(waits).chain(mute);
        trouble
            .map(|trouble| trouble.until)
            .into_iter()
            .chain(probes)
            .chain(self.life_due())
            .chain(limits)
            .chain(self.lasts_at)
            .min()
    }
}
