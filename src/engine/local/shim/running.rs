//! The one task that decides: questions, news of the first process, output, ends.

mod checking;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::client::{self, Asked, Reply};
use super::health::Check;
use super::inside::{self, Inside};
use super::output::{Near, Output};
use super::ports::{self, Held};
use crate::bay::container::ContainerSpec;
use crate::engine::local::place::{Place, Stand};
use crate::engine::local::wire::{Answer, Ask, MOST, News, Order, Program, message, read, receive, send};
use crate::engine::local::{INIT_VERB, cgroup};
use crate::service::link::own_program;
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
struct First {
    /// `None`: it says nothing any more, and is about to end.
    control: Option<AsyncFd<OwnedFd>>,
    id: ProcessId,
}

struct Shim<'a> {
    place: &'a Place,
    spec: &'a ContainerSpec,
    /// No namespace ends what it has begun.
    bare: bool,
    output: Output,
    ports: Option<Result<Vec<Held>, u16>>,
    first: Option<First>,
    child: Option<Child>,
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

pub async fn run(
    place: &Place,
    (spec, bare): (&ContainerSpec, bool),
    (listener, ports): (UnixListener, Result<Vec<Held>, u16>),
    ready: impl FnOnce(),
) -> Result<(), String> {
    let told = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {error}")
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(told("follow signals"))?;
    // A terminal that closes somewhere is no reason to end.
    let _hangup = signal(SignalKind::hangup()).map_err(told("follow signals"))?;
    let listener = tokio::net::UnixListener::from_std(listener).map_err(told("listen"))?;
    let (requests, mut asked) = mpsc::channel(REQUESTS);
    let door = tokio::spawn(client::accept(listener, requests));
    let (dial, mut wanted) = inside::dial();
    let mut shim = Shim {
        place,
        spec,
        bare,
        output: Output::open(&place.log(), &spec.limits).map_err(told("open its log"))?,
        ports: Some(ports),
        first: None,
        child: None,
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
    ready();
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
            () = tokio::time::sleep(ALONE), if shim.first.is_none() => Woken::Alone,
        };
        shim.take(woken).await;
    }
    // Nobody comes in any more; who is in gets what is left.
    door.abort();
    let _ = place.at_socket(|path| std::fs::remove_file(path));
    drop(shim);
    let _ = tokio::time::timeout(LINGER, async { while asked.recv().await.is_some() {} }).await;
    Ok(())
}

/// How the first process ended; `None`: not by a code.
async fn gone(child: &mut Option<Child>) -> Option<i64> {
    match child {
        Some(child) => child.wait().await.ok().and_then(|status| status.code()).map(i64::from),
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
            Woken::Terminate => self.stop(TERM, GRACE),
            Woken::Alone => self.over = true,
        }
    }

    fn answer(&mut self, ask: Ask, reply: oneshot::Sender<Reply>) {
        let answer = match ask {
            Ask::Start => return self.start(reply),
            Ask::Attach => Reply::Look(self.output.look(), self.terminal.subscribe()),
            Ask::Wait if self.first.is_none() => Reply::Answer(Answer::Done),
            Ask::Stop { .. } if self.first.is_none() => {
                // What it holds ready for a start, its ports among it, is nobody's any more.
                self.over = true;
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

    fn start(&mut self, reply: oneshot::Sender<Reply>) {
        if self.first.is_some() {
            let _ = reply.send(Reply::Answer(Answer::Done));
            return;
        }
        match self.ports.take() {
            Some(Err(port)) => {
                let _ = reply.send(Reply::Answer(Answer::PortTaken(port)));
                self.over = true;
                return;
            }
            Some(Ok(held)) => {
                let dial = self.spec.network.is_alone().then(|| self.dial.clone());
                for held in held {
                    tokio::spawn(ports::pass_on(held, dial.clone()));
                }
            }
            None => {}
        }
        match self.begin() {
            Ok(()) => self.starting = Some(reply),
            Err(error) => {
                self.starting = Some(reply);
                self.failed(&format!("can't begin its first process: {error}"));
                self.over = true;
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(own_program());
        command.arg(INIT_VERB).arg(self.place.plan()).env_clear().stdin(Stdio::from(far));
        if self.spec.tty {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        } else {
            let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
            let ((out, out_far), (err, err_far)) = (pipe()?, pipe()?);
            command.stdout(out_far).stderr(err_far);
            self.output.connect(vec![out, err])?;
        }
        let child = command.current_dir("/").spawn()?;
        drop(command);
        let pid = child.id().unwrap_or(0);
        cgroup::enter(self.spec, self.place, pid);
        send(&near, &message(&Order::Go)?, &[])?;
        let flags = rustix::fs::fcntl_getfl(&near)?;
        rustix::fs::fcntl_setfl(&near, flags | rustix::fs::OFlags::NONBLOCK)?;
        let id = ProcessId::of(pid).unwrap_or(ProcessId { pid, start: 0 });
        self.first = Some(First { control: Some(watched(near)?), id });
        self.child = Some(child);
        Ok(())
    }

    fn failed(&mut self, why: &str) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        // What can't be written is told all the same.
        let _ = self.place.set_stand(&Stand::Failed(why.to_owned()));
        if let Some(reply) = self.starting.take() {
            let _ = reply.send(Reply::Answer(Answer::Refused(why.to_owned())));
        }
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
            Ok(_) | Err(_) => {
                first.control = None;
                return false;
            }
        };
        let Ok(news) = read::<News>(space.get(..count).unwrap_or_default()) else { return false };
        match news {
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
            // Gone since is what was wanted.
            Some(child) => drop(child.start_kill()),
            None => self.over = true,
        }
    }

    async fn end(&mut self, code: Option<i64>) {
        (self.first, self.child) = (None, None);
        if self.bare {
            // For as long as it takes, nobody is answered: nothing of it is to be seen afterwards.
            crate::engine::local::left::end_below();
        }
        self.output.finish().await;
        self.terminal.send_replace(None);
        let oom = cgroup::leave(self.place);
        if self.since.is_none() {
            self.failed(&match code {
                Some(code) => format!("its first process ended with {code} before it began"),
                None => "its first process was killed before it began".to_owned(),
            });
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

fn tell(first: Option<&First>, order: &Order) -> io::Result<()> {
    let first = first.ok_or_else(|| io::Error::other("it is not running"))?;
    // Its queue is longer than anybody asks for; if not, that is said.
    let control = first.control.as_ref().ok_or_else(|| io::Error::other("it ends"))?;
    send(control.get_ref().as_fd(), &message(order)?, &[]).map(drop)
}
