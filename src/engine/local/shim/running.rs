//! The one task that decides: questions, news of the first process, output, ends.

mod checking;
mod starting;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Ready;
use super::client::{self, Asked, Reply};
use super::first::{Child, First};
use super::health::Check;
use super::inside::{self, Inside};
use super::output::{Near, Output};
use super::ports::Held;
use crate::bay::container::ContainerSpec;
use crate::engine::local::cgroup;
use crate::engine::local::place::{Place, Stand};
use crate::engine::local::wire::{Answer, Ask, MOST, News, Order, Program, message, read, receive, send};
use crate::service::process::{self, ProcessId};
use crate::service::shim::output::{readable, watched};

/// Questions that wait for their turn; then who asks does.
const REQUESTS: usize = 16;
/// One that was never told to start, and that nobody asks anything, ends after so long.
const ALONE: Duration = Duration::from_secs(10);
/// How long the last readers may take, once all has ended.
const LINGER: Duration = Duration::from_secs(2);
/// Ended processes that are remembered.
const REMEMBERED: usize = 512;
/// What a machine that goes down leaves everybody.
const GRACE: Duration = Duration::from_secs(5);
/// `SIGTERM`.
const TERM: i32 = 15;

/// The way to the first process.
struct Way {
    /// `None`: it says nothing any more, and is about to end.
    control: Option<AsyncFd<OwnedFd>>,
    id: ProcessId,
}

impl Way {
    fn to(first: First) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&first.control)?;
        rustix::fs::fcntl_setfl(&first.control, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self { control: Some(watched(first.control)?), id: first.id })
    }
}

struct Shim<'a> {
    place: &'a Place,
    spec: &'a ContainerSpec,
    /// No namespace ends what it has begun.
    bare: bool,
    output: Output,
    ports: Option<Result<Vec<Held>, u16>>,
    /// What passes connections on, while it runs.
    passing: JoinSet<()>,
    first: Option<Way>,
    child: Option<Child>,
    /// Where the first process enters the groups that hold its limits, as far as it does that itself.
    groups: Vec<OwnedFd>,
    /// It was told to start.
    wanted: bool,
    /// Why the first process ended before that.
    failure: Option<String>,
    since: Option<Timestamp>,
    terminal: watch::Sender<Option<Near>>,
    /// Who waits for the start.
    starting: Option<oneshot::Sender<Reply>>,
    /// Who waits for the end.
    ending: Vec<oneshot::Sender<Reply>>,
    kill_at: Option<Instant>,
    /// It was said why it did not begin.
    is_told: bool,
    /// How the main process ended.
    code: Option<i64>,
    execs: BTreeMap<u64, Option<i64>>,
    beginning: BTreeMap<u64, oneshot::Sender<Reply>>,
    next_exec: u64,
    check: Option<Check>,
    inside: Inside,
    dial: inside::Dial,
    over: bool,
}

enum Woken {
    Asked(Asked),
    News,
    Output(Option<usize>),
    Gone(Option<i64>),
    Wanted(oneshot::Sender<OwnedFd>),
    Kill,
    Check,
    Terminate,
    Alone,
}

/// Looks after the container to its end.
///
/// # Errors
/// In words: it can't begin.
pub fn run(mut ready: Ready) -> Result<(), String> {
    let runtime = ready.runtime.take().map_or_else(runtime, Ok)?;
    runtime.block_on(look_after(ready))
}

/// What it runs on.
///
/// # Errors
/// In words.
pub fn runtime() -> Result<Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("begin: {error}"))
}

async fn look_after(ready: Ready) -> Result<(), String> {
    let Ready { place, spec, bare, listener, ports, mut first, grouped, lock, runtime: _ } = ready;
    let place = &place;
    let told = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {error}")
    };
    let child = Child::of(&first).map_err(told("follow its first process"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(told("follow signals"))?;
    // A terminal that closes somewhere is no reason to end.
    let _hangup = signal(SignalKind::hangup()).map_err(told("follow signals"))?;
    let listener = tokio::net::UnixListener::from_std(listener).map_err(told("listen"))?;
    let (requests, mut asked) = mpsc::channel(REQUESTS);
    let door = tokio::spawn(client::accept(listener, requests));
    let (dial, mut wanted) = inside::dial();
    let mut output = Output::open(&place.log(), &spec.limits).map_err(told("open its log"))?;
    output.connect(std::mem::take(&mut first.streams)).map_err(told("follow what it writes"))?;
    let groups = if grouped {
        cgroup::limit(&spec, place);
        Vec::new()
    } else {
        cgroup::enter(&spec, place, first.id.pid)
    };
    let mut shim = Shim {
        place,
        spec: &spec,
        bare,
        output,
        ports: Some(ports),
        passing: JoinSet::new(),
        first: Some(Way::to(first).map_err(told("follow its first process"))?),
        child: Some(child),
        groups,
        wanted: false,
        failure: None,
        since: None,
        terminal: watch::channel(None).0,
        starting: None,
        ending: Vec::new(),
        kill_at: None,
        is_told: false,
        code: None,
        execs: BTreeMap::new(),
        beginning: BTreeMap::new(),
        next_exec: 1,
        check: None,
        inside: Inside::default(),
        dial,
        over: false,
    };
    while !shim.over {
        let woken = tokio::select! {
            // Ends and questions go before a flood of output.
            biased;
            gone = gone(&mut shim.child) => Woken::Gone(gone),
            () = readable(shim.first.as_ref().and_then(|first| first.control.as_ref())) => Woken::News,
            Some(()) = terminate.recv() => Woken::Terminate,
            Some(asked) = asked.recv() => Woken::Asked(asked),
            Some(to) = wanted.recv() => Woken::Wanted(to),
            () = due(shim.kill_at) => Woken::Kill,
            () = due(shim.check.as_ref().map(Check::due)) => Woken::Check,
            ready = shim.output.ready() => Woken::Output(ready),
            () = tokio::time::sleep(ALONE), if !shim.wanted => Woken::Alone,
        };
        shim.take(woken).await;
    }
    // Nobody comes in any more; who is in gets what is left.
    door.abort();
    let _ = place.at_socket(|path| std::fs::remove_file(path));
    shim.give_up();
    drop(shim);
    let _ = tokio::time::timeout(LINGER, async { while asked.recv().await.is_some() {} }).await;
    drop(lock);
    Ok(())
}

/// How the first process ended; `None`: not by a code.
async fn gone(child: &mut Option<Child>) -> Option<i64> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Shim<'_> {
    async fn take(&mut self, woken: Woken) {
        match woken {
            Woken::Asked(Asked { ask, reply }) => self.answer(ask, reply),
            Woken::News => {
                let ran = self.since.is_some();
                self.hear(false);
                if !ran && self.since.is_some() {
                    // Most containers ask for nothing more than this.
                    crate::service::heap::give_back();
                }
            }
            Woken::Output(ready) => self.output.take(ready),
            Woken::Gone(code) => {
                // What it said last, whatever is known of readiness by now.
                while self.hear(true) {}
                self.end(code).await;
            }
            Woken::Wanted(to) => {
                let first = self.first.as_ref().filter(|_| self.since.is_some());
                self.inside.socket(to, |order| tell(first, order));
            }
            Woken::Kill => self.kill(),
            Woken::Check => self.probe(),
            Woken::Terminate if !self.wanted => self.give_up(),
            Woken::Terminate => self.stop(TERM, GRACE),
            Woken::Alone => self.give_up(),
        }
    }

    fn answer(&mut self, ask: Ask, reply: oneshot::Sender<Reply>) {
        let answer = match ask {
            Ask::Start => return self.start(reply),
            Ask::Attach => Reply::Look(self.output.look(), self.terminal.subscribe()),
            Ask::Wait if !self.wanted => Reply::Answer(Answer::Done),
            Ask::Stop { .. } if !self.wanted => {
                // What it holds ready for a start, its ports among it, is nobody's any more.
                self.give_up();
                Reply::Answer(Answer::Done)
            }
            Ask::Wait => return self.ending.push(reply),
            Ask::Stop { signal, grace } => {
                self.ending.push(reply);
                return self.stop(signal, Duration::from_millis(grace));
            }
            Ask::Resize(size) => Reply::Answer(match self.terminal.borrow().as_ref() {
                Some(near) if self.spec.tty => match crate::service::shim::spawn::resize(near.get_ref(), size) {
                    Ok(()) => Answer::Done,
                    Err(error) => Answer::Conflict(error.to_string()),
                },
                _ => Answer::Conflict("it has no terminal now".to_owned()),
            }),
            Ask::Exec(program) => return self.exec(program, reply),
            Ask::ExecState(number) => Reply::Answer(match self.execs.get(&number) {
                Some(Some(code)) => Answer::Ended(*code),
                Some(None) => Answer::Runs,
                None => Answer::Unknown,
            }),
            Ask::Listen(port) if self.spec.network.is_alone() => {
                let first = self.first.as_ref().filter(|_| self.since.is_some());
                return self.inside.listen(port, reply, |order| tell(first, order));
            }
            Ask::Listen(_) => Reply::Answer(Answer::Refused("its network is not its own".to_owned())),
        };
        // Who does not listen any more does not want it.
        let _ = reply.send(answer);
    }

    /// One piece of news; `false`: there is none.
    fn hear(&mut self, at_the_end: bool) -> bool {
        let Some(first) = &mut self.first else { return false };
        let Some(control) = &first.control else { return false };
        let mut space = vec![0; MOST];
        let heard = if at_the_end {
            receive(control.get_ref(), &mut space)
        } else {
            control.try_io(Interest::READABLE, |fd| receive(fd, &mut space))
        };
        let (count, fds) = match heard {
            Ok((count @ 1.., fds)) => (count, fds),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return false;
            }
            // It has ended with an order unread: the kernel says so once, and only then what it said itself.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return true,
            Ok(_) | Err(_) => {
                first.control = None;
                return false;
            }
        };
        let Ok(news) = read::<News>(space.get(..count).unwrap_or_default()) else { return false };
        match news {
            // Heard before there is any of this.
            News::Ahead => {}
            News::Began => self.began(fds),
            News::Failed(why) => self.failed(&why),
            News::Ended(code) => self.code = Some(code),
            News::ExecEnded(number, code) if self.checked(number, Some(code)) => {}
            News::ExecBegan(number) => {
                if let Some(reply) = self.beginning.remove(&number) {
                    self.execs.insert(number, None);
                    let _ = reply.send(Reply::With(Answer::Began(number), fds));
                }
            }
            News::ExecFailed(number, why) => {
                self.checked(number, None);
                if let Some(reply) = self.beginning.remove(&number) {
                    let _ = reply.send(Reply::Answer(Answer::Refused(why)));
                }
            }
            News::Gave(number) => self.inside.given(number, fds.into_iter().next()),
            News::GaveNot(number, why) => self.inside.not_given(number, &why),
            News::ExecEnded(number, code) => {
                self.execs.insert(number, Some(code));
                let ended = self.execs.iter().filter(|(_, code)| code.is_some());
                let surplus = ended.clone().count().saturating_sub(REMEMBERED);
                let oldest: Vec<u64> = ended.take(surplus).map(|(number, _)| *number).collect();
                self.execs.retain(|number, _| !oldest.contains(number));
            }
        }
        true
    }

    fn began(&mut self, ends: Vec<OwnedFd>) {
        if self.spec.tty && self.output.connect(ends).is_err() {
            self.failed("its terminal can't be followed");
            return self.kill();
        }
        let Some(first) = &self.first else { return };
        let since = Timestamp::now();
        self.since = Some(since);
        let stand = Stand::Running { boot: process::boot(), shim: ProcessId::own(), first: first.id, since };
        if let Err(error) = self.place.set_stand(&stand) {
            self.failed(&format!("its state can't be written down: {error}"));
            return self.kill();
        }
        if self.spec.tty {
            self.terminal.send_replace(self.output.first());
        }
        self.begin_checks();
        if let Some(reply) = self.starting.take() {
            let _ = reply.send(Reply::Answer(Answer::Done));
        }
    }

    fn exec(&mut self, program: Box<Program>, reply: oneshot::Sender<Reply>) {
        let number = self.next_exec;
        self.next_exec += 1;
        match self.tell(&Order::Exec(number, program)) {
            Ok(()) => drop(self.beginning.insert(number, reply)),
            Err(error) => {
                let _ = reply.send(Reply::Answer(Answer::Conflict(error.to_string())));
            }
        }
    }

    fn tell(&self, order: &Order) -> io::Result<()> {
        tell(self.first.as_ref().filter(|_| self.since.is_some()), order)
    }

    fn stop(&mut self, signal: i32, grace: Duration) {
        if grace.is_zero() || self.tell(&Order::Signal(signal)).is_err() {
            return self.kill();
        }
        let at = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
    }

    /// With the first process, the kernel ends all of them.
    fn kill(&mut self) {
        self.kill_at = None;
        match &mut self.child {
            Some(child) => child.kill(),
            None => self.over = true,
        }
    }

    async fn end(&mut self, code: Option<i64>) {
        (self.first, self.child) = (None, None);
        if !self.wanted {
            self.failed(&starting::before_it_began(code));
            return;
        }
        if self.bare {
            // For as long as it takes, nobody is answered: nothing of it is to be seen afterwards.
            crate::engine::local::left::end_below();
        }
        // Whoever hears of the end may want its ports.
        self.passing.shutdown().await;
        self.output.finish().await;
        self.terminal.send_replace(None);
        let oom = cgroup::leave(self.place);
        if self.since.is_none() {
            self.failed(&starting::before_it_began(code));
        } else {
            // Killed with all of it.
            let code = self.code.unwrap_or(137);
            let stand = Stand::Ended { code, oom: oom && code == 137, at: Timestamp::now(), error: String::new() };
            // Without it the next look says that it was killed.
            let _ = self.place.set_stand(&stand);
        }
        for reply in self.ending.drain(..) {
            let _ = reply.send(Reply::Answer(Answer::Done));
        }
        self.over = true;
    }
}

fn tell(first: Option<&Way>, order: &Order) -> io::Result<()> {
    let first = first.ok_or_else(|| io::Error::other("it is not running"))?;
    // Its queue is longer than anybody asks for; if not, that is said.
    let control = first.control.as_ref().ok_or_else(|| io::Error::other("it ends"))?;
    send(control.get_ref().as_fd(), &message(order)?, &[]).map(drop)
}
