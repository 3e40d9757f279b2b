//! Many who look at once: followers of one busy log and terminals over TCP, while somebody types at the dashboard.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bay::Bay;
use super::echo::{Times, into};
use super::process::memory;
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_secs(30);
/// After the last line was printed: a busy machine is slow, not wrong.
const SLOWEST: Duration = Duration::from_mins(5);
/// What the busy program prints last.
const LAST: &str = "that-was-all";
/// Lines that it prints at once, and how often.
const BURST: u32 = 20;
const PAUSE_MS: u32 = 200;

/// So many of each, for so many seconds.
struct Crowd {
    followers: usize,
    terminals: usize,
    seconds: u32,
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn run(plan: Plan) -> Outcome {
    let crowd = if plan.quick {
        Crowd { followers: 100, terminals: 20, seconds: 10 }
    } else {
        Crowd { followers: 1000, terminals: 200, seconds: 60 }
    };
    let text = |error: std::io::Error| error.to_string();
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(text)?.port();
    let bay = Bay::with(&format!("[api]\nlisten = \"127.0.0.1:{port}\"\n"))?;
    let token = std::fs::read_to_string(bay.state().join("api-token")).map_err(text)?;
    let lines = crowd.seconds * 1000 / PAUSE_MS * BURST;
    let script = format!(
        "read _; n=0; while [ $n -lt {lines} ]; do k=0; while [ $k -lt {BURST} ]; do n=$((n+1)); k=$((k+1)); echo $n; \
         done; sleep 0.{PAUSE_MS}; done; echo {LAST}; sleep 1000"
    );
    bay.done(&["spawn", "busy", "--detach", "--", "sh", "-c", &script])?;
    bay.done(&["spawn", "echo", "--detach", "--", "cat"])?;
    let supervisor = bay.supervisor()?;
    let before = memory(supervisor)?.0;
    let dashboard = Pty::start(&[Bay::program()], &bay.vars(), 40, 120).map_err(text)?;
    dashboard.wait_for("echo", PATIENCE)?;
    // The list has the busy one first.
    dashboard.type_in("2j").map_err(text)?;
    into(&dashboard)?;
    let quiet = Times::of(&dashboard, 60)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(text)?;
    let ask = |path: &str, more: &str| {
        let head = format!("Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {}\r\n{more}\r\n", token.trim());
        format!("GET {path} HTTP/1.1\r\n{head}")
    };
    let log = ask("/api/containers/busy/logs", "");
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let terminal = ask("/api/containers/busy/terminal?rows=24&cols=80", upgrade);
    let patience = Duration::from_secs(u64::from(crowd.seconds)) + SLOWEST;
    let all = |request: &str, count: usize, is_log: bool| -> Vec<_> {
        let one = || {
            let reading = read(port, request.to_owned(), is_log);
            runtime.spawn(async move { tokio::time::timeout(patience, reading).await })
        };
        (0..count).map(|_| one()).collect()
    };
    let (followers, terminals) = (all(&log, crowd.followers, true), all(&terminal, crowd.terminals, false));
    bay.done(&["send", "busy", "go"])?;
    let begun = Instant::now();
    let mut most = 0.0_f64;
    let mut typed = Vec::new();
    while begun.elapsed() < Duration::from_secs(u64::from(crowd.seconds)) {
        typed.push(Times::of(&dashboard, 30)?);
        most = most.max(memory(supervisor)?.0);
    }
    let (mut whole, mut shown, mut why) = (0, 0, String::new());
    runtime.block_on(async {
        for follower in followers {
            match follower.await {
                Ok(Ok(Ok(count))) if count == lines => whole += 1,
                other => why = format!("{other:?}"),
            }
        }
        for terminal in terminals {
            shown += usize::from(matches!(terminal.await, Ok(Ok(Ok(_)))));
        }
    });
    let took = begun.elapsed();
    let after = memory(supervisor)?.0;
    let during = Times::all(typed);
    println!(
        "load: {} followers of one log and {} terminals, {lines} lines in {:.0} s: {whole} followers have every line, {shown} \
         terminals were shown the last one; supervisor {before:.0} MB before, {most:.0} MB at most, {after:.0} MB after",
        crowd.followers,
        crowd.terminals,
        took.as_secs_f64()
    );
    println!("load: key to echo in the dashboard, quiet: {quiet}; meanwhile: {during}");
    if (whole, shown) == (crowd.followers, crowd.terminals) { Ok(()) } else { Err(format!("not all was seen: {why}")) }
}

/// Reads a stream to the last line; of a log, how many lines came, none left out.
async fn read(port: u16, request: String, is_log: bool) -> Result<u32, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(text)?;
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let (mut buffer, mut open, mut count) = (vec![0; 64 << 10], String::new(), 0_u32);
    loop {
        let got = stream.read(&mut buffer).await.map_err(text)?;
        if got == 0 {
            return Err("it ended early".to_owned());
        }
        open.push_str(&String::from_utf8_lossy(buffer.get(..got).unwrap_or_default()));
        if open.contains(LAST) && (!is_log || open.rsplit("data: ").next().is_some_and(|last| last.contains(LAST))) {
            count += numbers(&open, count)?;
            return Ok(count);
        }
        // What is not a whole line yet is looked at again; of a terminal only the end matters.
        let keep = if is_log { open.rfind("data: ").unwrap_or(0) } else { open.len().saturating_sub(LAST.len()) };
        let keep = (0..=keep).rev().find(|at| open.is_char_boundary(*at)).unwrap_or(0);
        let rest = open.split_off(keep);
        if is_log {
            count += numbers(&open, count)?;
        }
        open = rest;
    }
}

/// How many numbered lines there are, which have to go on after those that were there.
fn numbers(events: &str, had: u32) -> Result<u32, String> {
    let lines = events.split("data: {\"line\":\"").skip(1);
    let numbers = lines.filter_map(|line| line.split(['\\', '"']).next()?.parse::<u32>().ok());
    let mut count = 0;
    for number in numbers {
        count += 1;
        if number != had + count {
            return Err(format!("{number} came after {}", had + count - 1));
        }
    }
    Ok(count)
}
