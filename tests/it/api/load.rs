//! Many who look at once: followers of one busy log, and terminals.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::open::Open;
use super::wire::Request;
use crate::bay::measured;

/// What the busy program prints last.
const LAST: &str = "that-was-all";

/// Reads until the text has come; all that came.
async fn read_until(port: u16, request: &Request, text: &str) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    stream.write_all(&request.bytes()).await.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut searched = 0;
    loop {
        let count = stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())?;
        if count == 0 {
            return Err(format!(
                "it ended early: {:?}",
                String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(200)..])
            ));
        }
        let from = searched.min(bytes.len()).saturating_sub(text.len());
        if bytes[from..].windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(bytes);
        }
        searched = bytes.len();
    }
}

/// The numbers that a log's stream has, in order.
fn numbers(stream: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(stream);
    let lines = text.split("data: {\"line\":\"").skip(1);
    lines.filter_map(|line| line.split(['\\', '"']).next()?.parse().ok()).collect()
}

/// Resident kilobytes of a process.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn load(followers: usize, terminals: usize, lines: u64, most_mib: u64) {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let open = Open::new();
    let script = format!("read; seq 1 {lines}; echo {LAST}; read");
    open.den.ok(&["spawn", "fox", "-d", "--", "sh", "-c", &script]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let log = open.request("GET", "/api/containers/fox/logs");
    let terminal = open.request("GET", "/api/containers/fox/terminal?rows=24&cols=80").upgrade();
    let (port, begun) = (open.port, Instant::now());
    let (followed, looked): (Vec<_>, Vec<_>) = runtime.block_on(async {
        let each = |count: usize, request: &Request| -> Vec<_> {
            let one = || {
                let request = request.clone();
                tokio::spawn(async move { read_until(port, &request, LAST).await })
            };
            (0..count).map(|_| one()).collect()
        };
        let (logs, screens) = (each(followers, &log), each(terminals, &terminal));
        // Whoever comes before the first line and whoever comes after it sees the same log.
        let sent = tokio::task::spawn_blocking({
            let request = open.request("POST", "/api/containers/fox/send");
            move || request.json(&serde_json::json!({"text": "go", "enter": true})).send().status
        });
        assert_eq!(sent.await.unwrap(), 200);
        let all = async |tasks: Vec<tokio::task::JoinHandle<_>>| {
            let mut results = Vec::new();
            for task in tasks {
                results.push(task.await.unwrap());
            }
            results
        };
        tokio::time::timeout(Duration::from_mins(5), async { (all(logs).await, all(screens).await) })
            .await
            .expect("in time")
    });
    let took = begun.elapsed();
    let follows = open.den.fake.as_ref().unwrap().calls("GET /containers/*/logs");
    let most = {
        let store = open.den.fake.as_ref().unwrap().store();
        store.find(&format!("{}-fox", open.den.bay)).unwrap().main.most_followers
    };
    for stream in followed {
        let seen = numbers(&stream.unwrap());
        assert!(seen.iter().copied().eq(1..=lines), "{} of {lines} lines came", seen.len());
    }
    for screen in looked {
        drop(screen.unwrap());
    }
    let asked = Instant::now();
    assert_eq!(open.get("/api/status").status, 200);
    let mib = resident(open.den.supervisor()) >> 10;
    measured(&format!(
        "{followers} followers of {lines} lines and {terminals} terminals: {took:?}, {mib} MiB, {follows} readings of the \
         log, {most} follows at once; then a status in {:?}",
        asked.elapsed()
    ));
    assert!(most <= 3, "{most} follows of one log in the engine");
    assert!(mib < most_mib, "{mib} MiB");
}

#[test]
fn many_followers_and_terminals_miss_nothing() {
    load(60, 12, 500, 400);
}

#[test]
#[ignore = "1,000 followers and 200 terminals"]
fn many_followers_and_terminals_in_full() {
    load(1000, 200, 2000, 1024);
}
