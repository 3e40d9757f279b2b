//! A clone of a large repository: from the cache, as a worker gets it, against `git clone` from a server on this
//! machine, and against copying the finished clone, which is the floor.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use podbay::config::env::Env;
use podbay::workspace::cache::Repositories;
use podbay::workspace::clone::{Filling, Place, Source};
use tokio_util::sync::CancellationToken;

use super::figures::{by_turns, median, tell, time};
use super::{Outcome, Plan};

pub fn run(plan: Plan) -> Outcome {
    let fail = |error: std::io::Error| error.to_string();
    // Its name becomes that of the repository's owner, which begins with no dot.
    let room = tempfile::Builder::new().prefix("bench").tempdir().map_err(fail)?;
    let megabytes = if plan.quick { 20 } else { 100 };
    make_origin(room.path(), megabytes)?;
    let server = Server::start(room.path())?;
    let env = Arc::new(Env::of_process());
    let repos = room.path().join("repos");
    std::fs::create_dir(&repos).map_err(fail)?;
    let repositories = Repositories::new(repos, env);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    let source = Source {
        remote: format!("file://{}/origin.git", room.path().display()).parse().map_err(|error| format!("{error}"))?,
        branch: None,
    };
    let fill = |name: &str| -> Result<Duration, String> {
        let worker = room.path().join(name);
        std::fs::create_dir_all(worker.join("workspace")).map_err(fail)?;
        let given_up = CancellationToken::new();
        let filling = Filling { token: None, report: &|_| (), given_up: &given_up };
        let begun = Instant::now();
        let place = Place { worker: &worker, owner: None };
        let filled = repositories.fill(&place, &source, &filling);
        runtime.block_on(filled).map_err(|error| error.text)?;
        Ok(begun.elapsed())
    };
    let first = fill("first")?;
    let rounds = if plan.quick { 3 } else { 7 };
    let ours = || {
        let took = fill("ours")?;
        std::fs::remove_dir_all(room.path().join("ours")).map_err(fail)?;
        Ok(took)
    };
    let theirs = || {
        let into = room.path().join("theirs");
        let took = time(Command::new("git").args(["clone", "-q", &server.url()]).arg(&into))?;
        std::fs::remove_dir_all(into).map_err(fail)?;
        Ok(took)
    };
    let (ours, theirs) = by_turns(rounds, ours, theirs)?;
    let mut floors = Vec::new();
    for _ in 0..rounds {
        let into = room.path().join("copy");
        floors.push(time(Command::new("cp").arg("-a").arg(room.path().join("first/workspace")).arg(&into))?);
        std::fs::remove_dir_all(into).map_err(fail)?;
    }
    tell(&format!("clone of {megabytes} MB"), ("from the cache", ours), ("from a server", theirs));
    tell("  its floor", ("from the cache", ours), ("cp -a of the clone", median(floors)));
    tell("  the first one", ("fetches, too", first), ("from a server", theirs));
    Ok(())
}

/// A bare repository of files that do not compress, in one commit.
fn make_origin(room: &Path, megabytes: usize) -> Result<(), String> {
    let script = "git init -q -b main work && cd work && for i in $(seq $0); do head -c 1000000 /dev/urandom > f$i; done \
                  && git add . && git -c user.name=a -c user.email=a@example.org commit -qm all \
                  && git clone -q --bare . ../origin.git && cd .. && rm -rf work";
    time(Command::new("sh").args(["-c", script]).arg(megabytes.to_string()).current_dir(room)).map(drop)
}

/// `git daemon`, ended when dropped.
struct Server(Child, u16);

impl Server {
    fn start(room: &Path) -> Result<Self, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| error.to_string())?.port();
        let exec = Command::new("git").arg("--exec-path").output().map_err(|error| error.to_string())?.stdout;
        let daemon = Path::new(String::from_utf8_lossy(&exec).trim()).join("git-daemon");
        let mut daemon = Command::new(daemon);
        daemon.arg(format!("--base-path={}", room.display())).args(["--export-all", "--listen=127.0.0.1"]);
        daemon.arg(format!("--port={port}")).stdin(Stdio::null()).stderr(Stdio::null());
        let child = daemon.spawn().map_err(|error| format!("git daemon: {error}"))?;
        let server = Self(child, port);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("git daemon does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn url(&self) -> String {
        format!("git://127.0.0.1:{}/origin.git", self.1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
