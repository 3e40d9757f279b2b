//! The one task that decides: everything that happens becomes an event of the service's life, and what that says is done.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::keep::Keep;
use super::output::Output;
use super::serve::{self, Asked};
use super::spawn::Refusal;
use super::{Birth, Say, spawn, takeover};
use crate::bay::lifecycle::{Act, Event, Exit, Lifecycle, Memory, Phase};
use crate::service::ServiceError;
use crate::service::oom::{Ground, Watch};
use crate::service::process::{self, ProcessId, monotonic, signal_of};
use crate::service::protocol::{FirstWord, Order, RunState, Spec, Status, VERSION};

/// Requests of connections that wait for their turn; then the connection does.
const REQUESTS: usize = 16;
/// A shim whose service is at rest, and that nobody looks at, ends after so long: its status is on the disk.
const ALONE: Duration = Duration::from_secs(10);
/// What is still there after a kill is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Shim {
    pub(super) birth: Birth,
    run_lock: File,
    keep: Option<Keep>,
    pub(super) life: Option<Lifecycle>,
    pub(super) spec: Option<Spec>,
    pub(super) output: Output,
    pub(super) status: Status,
    shown: watch::Sender<Status>,
    /// SIGKILL was sent to this run: what turns up of it gets it, too.
    pub(super) killing: bool,
    /// The main process has ended well and left others: told of as soon as it is clear what those are.
    pub(super) parting: Option<(Exit, Duration)>,
    /// Nothing of the run is left.
    pub(super) empty: bool,
    /// Whether the kernel ends it for memory.
    pub(super) watch: Watch,
    /// To end once the service is at rest.
    quit: bool,
    spread: u64,
    /// The run that the last shim lost had ended so.
    past_exit: Option<Exit>,
    door: Door,
}

/// Where connections come in.
struct Door {
    task: JoinHandle<()>,
    requests: mpsc::Sender<Asked>,
}

/// Something happened.
enum Woken {
    Asked(Asked),
    Hangup,
    Child,
    Output(super::output::Ready),
    Time,
    Terminate,
    Alone,
}

pub(super) async fn run(birth: Birth, (past, run_lock, keep): Past, say: Say) -> Result<(), ServiceError> {
    let broken = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| ServiceError::Shim(format!("{what}: {error}"))
    };
    let mut children = signal(SignalKind::child()).map_err(broken("can't wait for children"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(broken("can't follow signals"))?;
    // A terminal that closes somewhere is no reason to end, and the disposition must not be inherited.
    let mut hangup = signal(SignalKind::hangup()).map_err(broken("can't follow signals"))?;
    let listener = listen(&birth.place.socket)?;
    let mut output =
        Output::open(&birth.place.log()).map_err(ServiceError::at("can't open the log in", &birth.place.log()))?;
    let keep = keep.map(|(keep, rest)| {
        output.inherit(rest);
        keep
    });
    let (requests, mut asked) = mpsc::channel(REQUESTS);
    let (mut status, past_exit) = inherited(&birth, past);
    status.holder = keep.as_ref().map(|keep| keep.holder);
    let (shown, _) = watch::channel(status.clone());
    let task = tokio::spawn(serve::accept(listener, requests.clone(), shown.clone()));
    let door = Door { task, requests };
    let mut shim = Shim::new((birth, run_lock, keep), output, (status, shown), past_exit, door);
    shim.show();
    super::tell(say, &FirstWord::Ready);
    while !shim.is_over() {
        let woken = tokio::select! {
            // Ends and orders go before a flood of output.
            biased;
            Some(()) = children.recv() => Woken::Child,
            Some(()) = terminate.recv() => Woken::Terminate,
            Some(()) = hangup.recv() => Woken::Hangup,
            Some(asked) = asked.recv() => Woken::Asked(asked),
            () = shim.time() => Woken::Time,
            ready = shim.output.ready() => Woken::Output(ready),
            () = alone(&shim.shown), if shim.status.state.is_at_rest() => Woken::Alone,
        };
        let flows = matches!(woken, Woken::Output(_));
        shim.take(woken);
        if flows {
            // A stream that always has more to read never waits: the timers, signals and sockets have their turn here.
            tokio::task::yield_now().await;
        }
    }
    shim.end();
    Ok(())
}

/// What the last shim wrote down, the lock of its runs, and its streams with what is left in them.
pub(super) type Past = (Status, File, Option<(Keep, [File; 2])>);

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

/// What a shim begins with, of what the last one wrote down.
fn inherited(birth: &Birth, past: Status) -> (Status, Option<Exit>) {
    let boot = process::boot();
    let same_boot = !boot.is_empty() && past.boot == boot;
    // Another boot's moments mean nothing in this one.
    let memory = if same_boot { past.memory } else { Memory { last_exit: past.memory.last_exit, ..Memory::default() } };
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
        left: past.left,
        memory_clue: past.memory_clue,
        ..Status::default()
    };
    let ended = matches!(past.state, RunState::Waiting | RunState::Stopping | RunState::Stuck);
    (status, past.exit.filter(|_| ended))
}

impl Shim {
    fn new(
        (birth, run_lock, keep): (Birth, File, Option<Keep>),
        output: Output,
        (status, shown): (Status, watch::Sender<Status>),
        past_exit: Option<Exit>,
        door: Door,
    ) -> Self {
        let spread = u64::from(status.shim.pid) ^ status.shim.start;
        Self {
            birth,
            run_lock,
            keep,
            life: None,
            spec: None,
            output,
            status,
            shown,
            killing: false,
            parting: None,
            empty: true,
            watch: Watch::default(),
            quit: false,
            spread,
            past_exit,
            door,
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
                // Statuses run together: the last order must not hide that an earlier one was carried out.
                self.status.last_order = self.status.last_order.max(told.id);
                if told.run.is_none_or(|run| run == self.status.run) {
                    self.obey(told.order);
                }
                if let Some(output) = told.output {
                    self.set_output(output);
                }
            }
            Woken::Asked(Asked::Strange(refused)) => {
                self.status.last_order = self.status.last_order.max(refused.id);
                self.status.refused = Some(refused);
            }
            Woken::Hangup => self.listen_anew(),
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
                let (dropped, seeking) = (self.output.log().dropped(), self.output.log().is_seeking());
                self.output.take(&ready);
                if seeking && !self.output.log().is_seeking() {
                    self.status.ready_log = true;
                    self.live(Event::Ready(true));
                } else if self.output.log().dropped() == dropped {
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
            Order::Resume(spec) => {
                let exit = self.past_exit.take().unwrap_or(Exit::Lost);
                self.start(*spec, Event::Lost(exit));
            }
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

    /// Hands an event to the service's life and does what it says, until nothing follows.
    pub(super) fn live(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.spread = self.spread.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let Some(life) = &mut self.life else { return };
            for act in life.handle(event, monotonic(), self.spread >> 33) {
                match act {
                    Act::Begin => next = Some(self.begin()),
                    Act::Signal(stop) => self.signal_all(signal_of(stop)),
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
        (self.status.exit, self.status.port_taken, self.status.ready_log) = (None, None, false);
        self.status.left = 0;
        // It was checked with the configuration; one that can't be read is never found.
        let sought = spec.ready_log.as_deref().and_then(|pattern| regex::bytes::Regex::new(pattern).ok());
        self.output.log().seek(sought);
        let begun = spawn::begin(spec, &self.status.mark, (&self.run_lock, self.keep.as_ref())).and_then(|begun| {
            self.output.connect(begun.ends).map_err(|error| format!("its output can't be followed: {error}"))?;
            Ok(begun.main)
        });
        match begun {
            Ok(main) => {
                self.watch = Watch::begin(Ground::default(), main.pid, monotonic());
                self.status.main = Some(main);
                self.status.hash.clone_from(&spec.hash);
                self.status.tty = spec.tty.is_some();
                Event::Began
            }
            Err(refusal) => {
                let why = match refusal {
                    Refusal::Because(why) => why,
                    Refusal::Port(port) => {
                        self.status.port_taken = Some(port);
                        format!("port {port} is held by another process")
                    }
                };
                // What is told of an end from now on is this one, and the kernel has no part in it.
                self.status.memory_clue = None;
                self.output.log().seek(None);
                self.output.log().note(&why, Timestamp::now());
                Event::NotBegun(why)
            }
        }
    }

    /// Somebody removed its socket, and a supervisor asks for it.
    fn listen_anew(&mut self) {
        if self.birth.place.socket.exists() {
            return;
        }
        if let Ok(listener) = listen(&self.birth.place.socket) {
            self.door.task.abort();
            self.door.task = tokio::spawn(serve::accept(listener, self.door.requests.clone(), self.shown.clone()));
        }
    }

    /// Brings the status up to date, for those who look and for those who come later.
    fn show(&mut self) {
        let now = monotonic();
        let state = self.life.as_ref().map_or(RunState::Idle, |life| RunState::of(life.phase()));
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
        self.keep = None;
    }
}
