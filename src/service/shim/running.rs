//! The one task that decides: everything that happens becomes an event of the service's life, and what that says is done.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::output::Output;
use super::serve::{self, Asked};
use super::{Birth, Say, spawn, takeover};
use crate::bay::lifecycle::{Act, Event, Exit, Lifecycle, Memory, Phase, Rules};
use crate::bay::service::StopSignal;
use crate::service::ServiceError;
use crate::service::process::{self, ProcessId, monotonic};
use crate::service::protocol::{FirstWord, Order, RunState, Spec, Status, VERSION};

/// Requests of connections that wait for their turn; then the connection does.
const REQUESTS: usize = 16;
/// A shim whose service is at rest, and that nobody looks at, ends after so long: its status is on the disk.
const ALONE: Duration = Duration::from_secs(10);
/// A program that goes into the background leaves its session only after its first process has ended: looked at so long
/// after that.
const BACKGROUND: Duration = Duration::from_millis(100);
/// What is still there after a kill is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

struct Shim {
    birth: Birth,
    run_lock: File,
    life: Option<Lifecycle>,
    spec: Option<Spec>,
    output: Output,
    status: Status,
    shown: watch::Sender<Status>,
    /// SIGKILL was sent to this run: what turns up of it gets it, too.
    killing: bool,
    /// The main process has ended well and left others: told of as soon as it is clear what those are.
    parting: Option<(Exit, Duration)>,
    /// Nothing of the run is left.
    empty: bool,
    /// To end once the service is at rest.
    quit: bool,
    spread: u64,
}

/// Something happened.
enum Woken {
    Asked(Asked),
    Child,
    Output(super::output::Ready),
    Time,
    Terminate,
    Alone,
}

pub(super) async fn run(birth: Birth, (past, run_lock): (Status, File), say: Say) -> Result<(), ServiceError> {
    let broken = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| ServiceError::Shim(format!("{what}: {error}"))
    };
    let mut children = signal(SignalKind::child()).map_err(broken("can't wait for children"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(broken("can't follow signals"))?;
    // A terminal that closes somewhere is no reason to end, and the disposition must not be inherited.
    let _hangup = signal(SignalKind::hangup()).map_err(broken("can't follow signals"))?;
    let listener = listen(&birth.place.socket)?;
    let output =
        Output::open(&birth.place.log()).map_err(ServiceError::at("can't open the log in", &birth.place.log()))?;
    let (requests, mut asked) = mpsc::channel(REQUESTS);
    let mut shim = Shim::new(birth, past, run_lock, output);
    shim.show();
    super::tell(say, &FirstWord::Ready);
    let shown = shim.shown.clone();
    tokio::spawn(serve::accept(listener, requests, shown));
    while !shim.is_over() {
        let woken = tokio::select! {
            // Ends and orders go before a flood of output.
            biased;
            Some(()) = children.recv() => Woken::Child,
            Some(()) = terminate.recv() => Woken::Terminate,
            Some(asked) = asked.recv() => Woken::Asked(asked),
            () = shim.time() => Woken::Time,
            ready = shim.output.ready() => Woken::Output(ready),
            () = alone(&shim.shown), if shim.status.state.is_at_rest() => Woken::Alone,
        };
        shim.take(woken);
    }
    shim.end();
    Ok(())
}

/// Pending while somebody looks.
async fn alone(shown: &watch::Sender<Status>) {
    loop {
        shown.closed().await;
        tokio::time::sleep(ALONE).await;
        if shown.is_closed() {
            return;
        }
    }
}

fn listen(socket: &Path) -> Result<UnixListener, ServiceError> {
    // The lock says that nobody listens there any more.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).map_err(ServiceError::at("can't listen on", socket))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(socket, mode).map_err(ServiceError::at("can't close to others", socket))?;
    Ok(listener)
}

impl Shim {
    fn new(birth: Birth, past: Status, run_lock: File, output: Output) -> Self {
        let boot = takeover::process_boot();
        let same_boot = past.boot == boot;
        // Another boot's moments mean nothing in this one.
        let memory =
            if same_boot { past.memory } else { Memory { last_exit: past.memory.last_exit, ..Memory::default() } };
        let own = ProcessId::own();
        let mark = format!("{}:{}-{:x}", birth.label, own.pid, own.start ^ u64::from(monotonic().subsec_nanos()) << 32);
        let status = Status {
            version: VERSION,
            boot,
            shim: own,
            mark,
            run: past.run,
            memory,
            ended_at: past.ended_at,
            ..Status::default()
        };
        let (shown, _) = watch::channel(status.clone());
        Self {
            birth,
            run_lock,
            life: None,
            spec: None,
            output,
            status,
            shown,
            killing: false,
            parting: None,
            empty: true,
            quit: false,
            spread: u64::from(own.pid) ^ own.start,
        }
    }

    fn is_over(&self) -> bool {
        self.quit && self.status.state.is_at_rest()
    }

    /// Until something is due.
    async fn time(&self) {
        let due = self.life.as_ref().and_then(Lifecycle::due);
        let due = self.parting.as_ref().map(|(_, at)| *at).into_iter().chain(due).min();
        let wait = due.map(|due| due.saturating_sub(monotonic()));
        let wait = if self.killing { Some(wait.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)) } else { wait };
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    }

    fn take(&mut self, woken: Woken) {
        match woken {
            Woken::Asked(Asked::Order(told)) => {
                self.obey(told.order);
                // Statuses run together: the last order must not hide that an earlier one was carried out.
                self.status.last_order = self.status.last_order.max(told.id);
            }
            Woken::Asked(Asked::Typed(bytes, room)) => {
                self.output.type_in(&bytes);
                let _ = room.send(self.output.has_room());
                return;
            }
            Woken::Asked(Asked::Look(reply)) => {
                // A client that is gone does not want it.
                let _ = reply.send(self.output.look());
                return;
            }
            Woken::Output(ready) => {
                let dropped = self.output.log().dropped();
                self.output.take(&ready);
                if self.output.log().dropped() == dropped {
                    return;
                }
            }
            Woken::Child => self.reap(),
            Woken::Time => {
                if self.killing {
                    self.kill_all();
                    self.reap();
                }
                if self.parting.as_ref().is_some_and(|(_, at)| *at <= monotonic()) {
                    self.part();
                }
                self.live(Event::Tick);
            }
            Woken::Terminate => {
                self.quit = true;
                self.live(Event::Stop);
            }
            Woken::Alone => self.quit = true,
        }
        self.show();
    }

    fn obey(&mut self, order: Order) {
        // Whatever is asked is asked of what is known.
        self.part();
        match order {
            Order::Start(spec) => self.start(*spec, Event::Start),
            Order::Resume(spec) => self.start(*spec, Event::Lost(Exit::Lost)),
            Order::Stop => self.live(Event::Stop),
            Order::Ready(yes) => self.live(Event::Ready(yes)),
            Order::Unhealthy(why) => self.live(Event::Unhealthy(why)),
            Order::Rules(rules) => self.set_rules(rules),
            Order::Resize(size) => self.output.resize(size),
            Order::Quit => self.quit = true,
        }
    }

    fn start(&mut self, spec: Spec, event: Event) {
        self.quit = false;
        let rules = spec.rules.clone();
        self.output.log().set_limits(spec.log_bytes, spec.log_files);
        self.spec = Some(spec);
        if self.life.is_none() {
            self.life = Some(Lifecycle::new(rules, self.status.memory.clone()));
        } else {
            self.set_rules(rules);
        }
        self.live(event);
    }

    fn set_rules(&mut self, rules: Rules) {
        if let Some(spec) = &mut self.spec {
            spec.rules = rules.clone();
        }
        if let Some(life) = &mut self.life {
            life.set_rules(rules);
        }
    }

    /// Hands an event to the service's life and does what it says, until nothing follows.
    fn live(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.spread = self.spread.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let Some(life) = &mut self.life else { return };
            for act in life.handle(event, monotonic(), self.spread >> 33) {
                match act {
                    Act::Begin => next = Some(self.begin()),
                    Act::Signal(stop) => self.signal_all(number(stop)),
                    Act::Kill => {
                        self.killing = true;
                        self.kill_all();
                    }
                }
            }
        }
    }

    fn begin(&mut self) -> Event {
        let Some(spec) = &self.spec else { return Event::NotBegun("it was never told how".to_owned()) };
        self.killing = false;
        self.empty = false;
        self.status.run += 1;
        self.status.log_start = self.output.position();
        let begun = spawn::begin(spec, &self.status.mark, &self.run_lock).and_then(|begun| {
            self.output.connect(begun.ends).map_err(|error| format!("its output can't be followed: {error}"))?;
            Ok(begun.main)
        });
        match begun {
            Ok(main) => {
                self.status.main = Some(main);
                self.status.hash.clone_from(&spec.hash);
                self.status.tty = spec.tty.is_some();
                Event::Began
            }
            Err(why) => {
                self.output.log().note(&why, Timestamp::now());
                Event::NotBegun(why)
            }
        }
    }

    /// Everything of the service: its main process's group, and what left that.
    fn signal_all(&self, signal: Signal) {
        let Some(main) = self.status.main.filter(|_| !self.empty) else { return };
        let all = process::descendants(std::process::id());
        // Only while it has a member: later, another group may have the number.
        let has_member = all.iter().any(|process| process.group == main.pid) || !cfg!(target_os = "linux");
        if let Some(group) = i32::try_from(main.pid).ok().and_then(Pid::from_raw).filter(|_| has_member) {
            // Gone since is what was wanted.
            let _ = rustix::process::kill_process_group(group, signal);
        }
        let escaped = all.into_iter().filter(|process| process.group != main.pid);
        escaped.for_each(|process| process.id.signal(signal));
    }

    fn kill_all(&self) {
        self.signal_all(Signal::KILL);
    }

    /// Takes leave of everything that has ended.
    fn reap(&mut self) {
        let mut main_ended = None;
        let mut empty = false;
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => main_ended = self.exit_of_main(pid, status).or(main_ended),
                Ok(None) => break,
                Err(rustix::io::Errno::INTR) => {}
                // No children: what was started is gone, and so is what those started, or it would be a child now.
                Err(_) => {
                    empty = true;
                    break;
                }
            }
        }
        // Known before anything is signalled: a search through all processes costs more than the next run.
        self.empty = empty && cfg!(target_os = "linux");
        if let Some(exit) = main_ended {
            self.main_ended(exit, empty);
        }
        if empty {
            self.part();
        }
        let ended = self.status.main.is_none_or(|main| !main.is_alive());
        if empty && ended && self.life.as_ref().is_some_and(|life| matches!(life.phase(), Phase::Stopping(_))) {
            self.output.finish();
            self.status.main = None;
            self.killing = false;
            self.live(Event::Emptied);
        }
    }

    /// How the main process ended, if it is the one that did.
    fn exit_of_main(&self, pid: Pid, status: rustix::process::WaitStatus) -> Option<Exit> {
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        self.status.main.filter(|main| main.pid == pid)?;
        let code = status.exit_status().map(|code| Exit::Code(i64::from(code)));
        code.or_else(|| status.terminating_signal().map(Exit::Signal))
    }

    fn main_ended(&mut self, exit: Exit, empty: bool) {
        self.status.ended_at = Some(Timestamp::now());
        let running = self.life.as_ref().is_some_and(|life| matches!(life.phase(), Phase::Running { .. }));
        if running && exit == Exit::Code(0) && !empty {
            self.parting = Some((exit, monotonic() + BACKGROUND));
        } else {
            self.live(Event::Ended(exit));
        }
    }

    /// Tells of an end that was held back.
    fn part(&mut self) {
        let Some((exit, _)) = self.parting.take() else { return };
        let daemonised = self.status.main.filter(|_| !self.empty).and_then(daemonised);
        self.live(Event::Ended(daemonised.unwrap_or(exit)));
    }

    /// Brings the status up to date, for those who look and for those who come later.
    fn show(&mut self) {
        let now = monotonic();
        let state = self.life.as_ref().map_or(RunState::Idle, state_of);
        if state != self.status.state || self.status.since.is_none() {
            self.status.state = state;
            self.status.since = Some(Timestamp::now());
        }
        if let Some(life) = &self.life {
            self.status.memory = life.memory().clone();
        }
        self.status.next_start_at = match self.life.as_ref().map(Lifecycle::phase) {
            Some(Phase::Waiting { until }) => Timestamp::now().checked_add(until.saturating_sub(now)).ok(),
            _ => None,
        };
        // Only one that was told already keeps its time: it would change with every look.
        let known = self.shown.borrow().clone();
        if known.state == RunState::Waiting && state == RunState::Waiting && known.run == self.status.run {
            self.status.next_start_at = known.next_start_at;
        }
        self.status.stuck = if state == RunState::Stuck {
            process::descendants(std::process::id()).iter().map(|process| process.id.pid).collect()
        } else {
            Vec::new()
        };
        self.status.dropped = self.output.log().dropped();
        if known == self.status {
            return;
        }
        self.shown.send_replace(self.status.clone());
        // A full disk must not end the service; the next change is written again.
        let _ = takeover::write(&self.birth.place.status(), &self.status);
    }

    fn end(mut self) {
        self.show();
        let _ = std::fs::remove_file(&self.birth.place.socket);
    }
}

/// A main process that ended by itself and left others in sessions of their own went into the background.
fn daemonised(main: ProcessId) -> Option<Exit> {
    let away = process::descendants(std::process::id()).into_iter().filter(|process| process.session != main.pid);
    u32::try_from(away.count()).ok().filter(|count| *count > 0).map(Exit::Daemonised)
}

const fn number(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::SIGTERM => Signal::TERM,
        StopSignal::SIGINT => Signal::INT,
        StopSignal::SIGQUIT => Signal::QUIT,
        StopSignal::SIGHUP => Signal::HUP,
        StopSignal::SIGUSR1 => Signal::USR1,
        StopSignal::SIGUSR2 => Signal::USR2,
        StopSignal::SIGKILL => Signal::KILL,
    }
}

fn state_of(life: &Lifecycle) -> RunState {
    match life.phase() {
        Phase::Idle => RunState::Idle,
        Phase::Starting { .. } => RunState::Starting,
        Phase::Running { .. } => RunState::Running,
        Phase::Stopping(stopping) if stopping.is_stuck() => RunState::Stuck,
        Phase::Stopping(_) => RunState::Stopping,
        Phase::Waiting { .. } => RunState::Waiting,
        Phase::Ended { success: true } => RunState::Done,
        Phase::Ended { success: false } => RunState::Ended,
        Phase::Failed => RunState::Failed,
    }
}
