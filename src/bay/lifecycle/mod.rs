//! The life of one service: a pure machine, the same for a native process, whose shim runs it, and for a container,
//! whose supervisor does.
//!
//! It is told what happened and when, and says what is to be done. At most one run at a time: a new one begins only
//! after nothing is left of the last. Time is a duration since some fixed moment that never jumps.

mod policy;

use std::time::Duration;

use super::backoff::Backoff;
use super::service::StopSignal;

pub use policy::{Exit, Memory, Rules};

/// After SIGKILL, how long until what is still there counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// How long what a main process left behind may take to end by itself.
const LEFTOVERS: Duration = Duration::from_secs(2);
/// How often something stuck is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(5);

/// Something happened to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants it to run; by hand, so that earlier failures are forgiven.
    Start,
    /// It ended so while nobody looked after it: its rules say what follows.
    Lost(Exit),
    /// Somebody wants it not to run.
    Stop,
    /// Somebody wants it to run anew.
    Restart,
    /// Its liveness probe failed so often that it must end.
    Unhealthy(String),
    /// Its readiness probe passed, or does not any more.
    Ready(bool),
    /// The run that was asked for has begun.
    Began,
    /// It could not begin.
    NotBegun(String),
    /// Its main process has ended; others of it may be left.
    Ended(Exit),
    /// Nothing of the run is left.
    Emptied,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Begin a run; answered by [`Event::Began`] or [`Event::NotBegun`].
    Begin,
    /// Send this to all of it.
    Signal(StopSignal),
    /// SIGKILL to all of it, what escaped included.
    Kill,
}

/// What happens once nothing is left of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    /// Nothing: a user wanted it so.
    Rest,
    /// Another run, at once.
    Again,
    /// What the rules say.
    Rules,
}

/// Where a service is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is wanted of it.
    Idle,
    /// A run was asked for; `stop`: it is to end as soon as it has begun.
    Starting {
        /// Somebody wants it not to run, meanwhile.
        stop: bool,
    },
    /// Its main process is there.
    Running {
        /// Since when.
        since: Duration,
        /// Since when it is ready, if it is.
        ready: Option<Duration>,
    },
    /// It is to end, or its main process has ended and others of it are left.
    Stopping(Stopping),
    /// It begins again at this time.
    Waiting {
        /// When.
        until: Duration,
    },
    /// It has ended, and its rules say that this is the end.
    Ended {
        /// With one of its success codes.
        success: bool,
    },
    /// It was started too often; a user must start it.
    Failed,
}

/// The end of a run, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// How the main process ended; `None`: not yet.
    exit: Option<Exit>,
    /// How long the run was up and ready, for the backoff.
    stable: Duration,
    /// When SIGKILL is due; `None`: it was sent.
    kill_at: Option<Duration>,
    /// When it counts as stuck, or is killed again.
    stuck_at: Duration,
    /// SIGKILL did not help.
    stuck: bool,
    then: Then,
}

impl Stopping {
    /// SIGKILL did not help.
    #[must_use]
    pub const fn is_stuck(&self) -> bool {
        self.stuck
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    rules: Rules,
    phase: Phase,
    backoff: Backoff,
    memory: Memory,
}

impl Lifecycle {
    /// One that has never run, or one that another looked after before.
    #[must_use]
    pub fn new(rules: Rules, memory: Memory) -> Self {
        let backoff = Self::backoff(&rules, memory.failures);
        Self { rules, phase: Phase::Idle, backoff, memory }
    }

    fn backoff(rules: &Rules, failures: u32) -> Backoff {
        let mut backoff = Backoff::new(rules.backoff.initial.get(), rules.backoff.max.get());
        for _ in 0..failures.min(32) {
            backoff.fail(0);
        }
        backoff
    }

    /// Takes other rules from now on. One that waits for a restart that they do not know stays as it ended.
    pub fn set_rules(&mut self, rules: Rules) {
        self.backoff = Self::backoff(&rules, self.memory.failures);
        self.rules = rules;
        if let (Phase::Waiting { .. }, Some(exit)) = (&self.phase, &self.memory.last_exit)
            && !self.rules.again(exit)
        {
            self.phase = Phase::Ended { success: self.rules.is_success(exit) };
        }
    }

    /// Takes over a run that was found, and has gone on for so long.
    pub fn adopt(&mut self, since: Duration) {
        self.phase = Phase::Running { since, ready: self.rules.ready_at_once.then_some(since) };
    }

    /// Takes it that the present run, which is ready, has been so since an earlier time.
    pub fn ready_since(&mut self, at: Duration) {
        if let Phase::Running { since, ready: Some(ready) } = &mut self.phase {
            *ready = at.max(*since).min(*ready);
        }
    }

    /// Takes these as its latest starts, oldest first.
    pub fn recall_starts(&mut self, starts: impl IntoIterator<Item = Duration>) {
        self.memory.starts = starts.into_iter().collect();
    }

    /// Takes it as ended for good, as another left it.
    pub fn rest_as(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// Where it is.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What outlives this process.
    #[must_use]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether a process of it may be there.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. } | Phase::Stopping(_))
    }

    /// When time alone changes something next.
    #[must_use]
    pub const fn due(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Stopping(stopping) => match stopping.kill_at {
                Some(at) => Some(at),
                None => Some(stopping.stuck_at),
            },
            _ => None,
        }
    }

    /// Takes one event. `spread` is any number; it picks the jitter of a wait.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Duration, spread: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        match event {
            Event::Start => self.start(now, &mut acts),
            Event::Lost(exit) => self.lost(&exit, now, spread, &mut acts),
            Event::Stop => self.stop(now, Then::Rest, &mut acts),
            Event::Restart => self.restart(now, &mut acts),
            Event::Unhealthy(why) => self.unhealthy(why, now, &mut acts),
            Event::Ready(yes) => self.ready(yes, now),
            Event::Began => self.began(now, &mut acts),
            Event::NotBegun(why) => self.not_begun(why, now, spread, &mut acts),
            Event::Ended(exit) => self.ended(exit, now, &mut acts),
            Event::Emptied => self.emptied(now, spread, &mut acts),
            Event::Tick => self.tick(now, &mut acts),
        }
        acts
    }

    /// A run that nobody asked for: it follows another.
    fn begin_again(&mut self, now: Duration, acts: &mut Vec<Act>) {
        self.memory.restarts = self.memory.restarts.saturating_add(1);
        self.begin(now, acts);
    }

    /// A run that somebody asked for: what was counted before is of another wish.
    fn begin_asked(&mut self, now: Duration, acts: &mut Vec<Act>) {
        self.memory.restarts = 0;
        self.begin(now, acts);
    }

    fn begin(&mut self, now: Duration, acts: &mut Vec<Act>) {
        self.memory.starts.push_back(now);
        while self.memory.starts.len() > usize::try_from(self.rules.limit.burst).unwrap_or(usize::MAX).max(1) {
            self.memory.starts.pop_front();
        }
        self.phase = Phase::Starting { stop: false };
        acts.push(Act::Begin);
    }

    fn forgive(&mut self) {
        self.memory.starts.clear();
        self.memory.failures = 0;
        self.backoff.reset();
    }

    fn start(&mut self, now: Duration, acts: &mut Vec<Act>) {
        match &mut self.phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Ended { .. } | Phase::Failed => {
                self.forgive();
                self.begin_asked(now, acts);
            }
            Phase::Starting { stop } => *stop = false,
            Phase::Stopping(stopping) if stopping.then == Then::Rest => stopping.then = Then::Again,
            Phase::Running { .. } | Phase::Stopping(_) => {}
        }
    }

    fn lost(&mut self, exit: &Exit, now: Duration, spread: u64, acts: &mut Vec<Act>) {
        if matches!(self.phase, Phase::Idle) {
            self.memory.last_exit = Some(exit.clone());
            self.decide(exit, Duration::ZERO, (now, spread), acts);
        }
    }

    /// Asks a run to end; the first wish of a user beats what the rules would say.
    fn stop(&mut self, now: Duration, then: Then, acts: &mut Vec<Act>) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Waiting { .. } | Phase::Ended { .. } | Phase::Failed => self.phase = Phase::Idle,
            Phase::Starting { stop } => *stop = true,
            Phase::Running { .. } => {
                let stable = self.stable(now);
                acts.push(Act::Signal(self.rules.stop.signal));
                let kill_at = now + self.rules.stop.timeout.get();
                self.phase = Phase::Stopping(Stopping {
                    exit: None,
                    stable,
                    kill_at: Some(kill_at),
                    stuck_at: kill_at + STUCK_AFTER,
                    stuck: false,
                    then,
                });
            }
            Phase::Stopping(stopping) => stopping.then = then,
        }
    }

    fn restart(&mut self, now: Duration, acts: &mut Vec<Act>) {
        match &self.phase {
            Phase::Running { .. } | Phase::Stopping(_) => {
                self.forgive();
                self.stop(now, Then::Again, acts);
            }
            _ => self.start(now, acts),
        }
    }

    fn unhealthy(&mut self, why: String, now: Duration, acts: &mut Vec<Act>) {
        if matches!(self.phase, Phase::Running { .. }) {
            self.stop(now, Then::Rules, acts);
            if let Phase::Stopping(stopping) = &mut self.phase {
                stopping.exit = Some(Exit::Unhealthy(why));
            }
        }
    }

    /// How long the present run has been up and ready.
    const fn stable(&self, now: Duration) -> Duration {
        match &self.phase {
            Phase::Running { ready: Some(since), .. } => now.saturating_sub(*since),
            _ => Duration::ZERO,
        }
    }

    const fn ready(&mut self, yes: bool, now: Duration) {
        if let Phase::Running { ready, .. } = &mut self.phase {
            *ready = match (yes, *ready) {
                (true, None) => Some(now),
                (true, since) => since,
                (false, _) => None,
            };
        }
    }

    fn began(&mut self, now: Duration, acts: &mut Vec<Act>) {
        let Phase::Starting { stop } = self.phase else { return };
        self.adopt(now);
        if stop {
            self.stop(now, Then::Rest, acts);
        }
    }

    fn not_begun(&mut self, why: String, now: Duration, spread: u64, acts: &mut Vec<Act>) {
        let Phase::Starting { stop } = self.phase else { return };
        let exit = Exit::NotStarted(why);
        self.memory.last_exit = Some(exit.clone());
        if stop {
            self.phase = Phase::Idle;
            return;
        }
        self.decide(&exit, Duration::ZERO, (now, spread), acts);
    }

    /// The main process has ended. What it left behind is asked to end, too.
    fn ended(&mut self, exit: Exit, now: Duration, acts: &mut Vec<Act>) {
        match &mut self.phase {
            Phase::Running { .. } => {
                self.memory.last_exit = Some(exit.clone());
                let stable = self.stable(now);
                let kill_at = now + LEFTOVERS.min(self.rules.stop.timeout.get());
                acts.push(Act::Signal(StopSignal::SIGTERM));
                self.phase = Phase::Stopping(Stopping {
                    exit: Some(exit),
                    stable,
                    kill_at: Some(kill_at),
                    stuck_at: kill_at + STUCK_AFTER,
                    stuck: false,
                    then: Then::Rules,
                });
            }
            Phase::Stopping(stopping) => {
                // A run that was ended for its probes failed by them, whatever its code.
                let exit = stopping.exit.get_or_insert(exit);
                self.memory.last_exit = Some(exit.clone());
            }
            _ => {}
        }
    }

    fn emptied(&mut self, now: Duration, spread: u64, acts: &mut Vec<Act>) {
        let Phase::Stopping(stopping) = &self.phase else { return };
        let stopping = stopping.clone();
        match (stopping.then, stopping.exit) {
            (Then::Rest, _) => {
                self.forgive();
                self.phase = Phase::Idle;
            }
            (Then::Again, _) => self.begin_asked(now, acts),
            (Then::Rules, exit) => {
                let exit = exit.unwrap_or(Exit::Lost);
                self.decide(&exit, stopping.stable, (now, spread), acts);
            }
        }
    }

    /// What the rules say after an end that nobody asked for.
    fn decide(&mut self, exit: &Exit, stable: Duration, (now, spread): (Duration, u64), acts: &mut Vec<Act>) {
        if !self.rules.again(exit) {
            self.phase = Phase::Ended { success: self.rules.is_success(exit) };
            return;
        }
        if stable >= self.rules.backoff.reset_after.get() && stable > Duration::ZERO {
            self.memory.failures = 0;
            self.backoff.reset();
        }
        let wait = self.backoff.fail(spread);
        self.memory.failures = self.backoff.failures();
        let until = now + wait;
        if self.rules.limit_reached(&self.memory.starts, until) {
            self.phase = Phase::Failed;
        } else if wait.is_zero() {
            self.begin_again(now, acts);
        } else {
            self.phase = Phase::Waiting { until };
        }
    }

    fn tick(&mut self, now: Duration, acts: &mut Vec<Act>) {
        match &mut self.phase {
            Phase::Waiting { until } if *until <= now => self.begin_again(now, acts),
            Phase::Stopping(stopping) => {
                if stopping.kill_at.is_some_and(|at| at <= now) {
                    stopping.kill_at = None;
                    stopping.stuck_at = now + STUCK_AFTER;
                    acts.push(Act::Kill);
                } else if stopping.kill_at.is_none() && stopping.stuck_at <= now {
                    stopping.stuck = true;
                    stopping.stuck_at = now + KILL_AGAIN;
                    acts.push(Act::Kill);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
