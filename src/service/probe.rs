//! Asking a native service how it is: by HTTP, by a connection, by a command, by its log.
//!
//! Each answer has a deadline; a command that does not keep it is killed with its group.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regex::bytes::Regex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::log::{Position, Reader};
use super::protocol::{Place, Status};
use crate::bay::name::Name;
use crate::bay::service::{Probe, ProbeTarget, ServiceConfig, ServiceRun};
use crate::config::env::Env;

/// Lines that are looked at in one go.
const LINES: usize = 4096;
/// The head of an answer that is read; the status stands in its first line.
const HEAD: usize = 1024;
/// What a command says on stderr is cut after this.
const SAID: u64 = 400;

/// What is asked, of what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The service.
    pub service: &'a ServiceConfig,
    /// Its present run.
    pub status: &'a Status,
    /// What its variables and directory are made from.
    pub env: &'a Env,
    /// Its files.
    pub place: &'a Place,
}

/// How far each log has been searched.
#[derive(Debug, Default)]
pub struct LogProbes {
    readers: Mutex<BTreeMap<Name, (u64, Reader)>>,
}

/// Asks the readiness probe, or the liveness probe. `Err` says why it did not pass.
///
/// # Errors
/// In words.
pub async fn ask(asked: &Asked<'_>, ready: bool, logs: &LogProbes) -> Result<(), String> {
    let probe = if ready { &asked.service.ready } else { &asked.service.live };
    let Some(Probe { target, timeout, .. }) = probe else { return Ok(()) };
    let limit = timeout.get();
    match target {
        ProbeTarget::Http(url) => in_time(limit, http(url)).await,
        ProbeTarget::Tcp(address) => in_time(limit, tcp(address)).await,
        ProbeTarget::Exec(argv) => exec(asked, argv, limit).await,
        ProbeTarget::Log(pattern) => logs.search(asked, pattern),
    }
}

/// Runs a question with a deadline.
///
/// # Errors
/// Its own, or that there was no answer.
pub async fn in_time(limit: Duration, question: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let answer = tokio::time::timeout(limit, question).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}

/// A connection that is accepted.
///
/// # Errors
/// The system's, with the address.
pub async fn tcp(address: &str) -> Result<(), String> {
    TcpStream::connect(address).await.map(drop).map_err(|error| format!("{address}: {error}"))
}

/// A GET that is answered with 2xx.
///
/// # Errors
/// What else it was answered with, or the system's words.
pub async fn http(url: &str) -> Result<(), String> {
    let uri: http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let said = |error: std::io::Error| format!("{url}: {error}");
    let mut stream = TcpStream::connect((bare, port)).await.map_err(said)?;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let authority = uri.authority().map_or(host, http::uri::Authority::as_str);
    // One line of an answer is all that is needed of it.
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: podbay\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(said)?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < HEAD {
        let mut chunk = [0; 256];
        let count = stream.read(&mut chunk).await.map_err(said)?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(&head);
    let code = line.split_ascii_whitespace().nth(1).and_then(|code| code.parse::<u16>().ok());
    match code.filter(|_| line.starts_with("HTTP/1.")) {
        Some(200..=299) => Ok(()),
        Some(code) => Err(format!("{url} answers {code}")),
        None => Err(format!("{url} does not answer like HTTP")),
    }
}

/// A command that ends with 0, as the service itself is run: same directory, same environment.
async fn exec(asked: &Asked<'_>, argv: &[String], limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("it has no command".to_owned()) };
    let ServiceRun::Host { cwd, .. } = &asked.service.run else { return Err("it runs in a container".to_owned()) };
    let home = asked.env.home.clone();
    let cwd = if cwd.is_empty() { home } else { asked.env.cwd.join(asked.env.expand(cwd)?) };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(cwd).env_clear().envs(&asked.env.vars).envs(&asked.service.env);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
        return Err(format!("{program} ended before it was seen"));
    };
    let stderr = child.stderr.take();
    let ended = tokio::time::timeout(limit, ended(pid)).await.is_ok();
    // The leader was not waited for, so its group can't be another's: what it left behind goes, too.
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    let status = child.wait().await.map_err(|error| format!("{program}: {error}"))?;
    if !ended {
        return Err(format!("{program} did not end within {limit:?} and was killed"));
    }
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        // A process that left the group may hold it open.
        let read = async { drop(stderr.take(SAID).read_to_end(&mut said).await) };
        let _ = tokio::time::timeout(Duration::from_millis(100), read).await;
    }
    let said = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned();
    let how =
        status.code().map_or_else(|| "was ended by a signal".to_owned(), |code| format!("exited with code {code}"));
    Err(if said.is_empty() { format!("{program} {how}") } else { format!("{program} {how}: {said}") })
}

/// Until a child has ended; it is not waited for, so that its number stays its own.
async fn ended(pid: Pid) {
    let mut pause = Duration::from_millis(2);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while let Ok(None) = rustix::process::waitid(WaitId::Pid(pid), options) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

impl LogProbes {
    /// Searches what came since the last question of this run.
    fn search(&self, asked: &Asked<'_>, pattern: &str) -> Result<(), String> {
        let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
        // Held for a few lines of a file, never across an await.
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let (run, dir) = (asked.status.run, asked.place.log());
        let fresh = |from: Position| (run, Reader::new(&dir, from));
        let entry = readers.entry(asked.service.name.clone()).or_insert_with(|| fresh(asked.status.log_start));
        if entry.0 != run {
            *entry = fresh(asked.status.log_start);
        }
        loop {
            let lines = entry.1.read(LINES).map_err(|error| format!("its log can't be read: {error}"))?;
            if lines.iter().any(|line| pattern.is_match(&line.bytes)) {
                return Ok(());
            }
            if lines.is_empty() {
                return Err(format!("no line like {:?} yet", pattern.as_str()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static str) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 512];
            let _ = stream.read(&mut bytes);
            let _ = stream.write_all(text.as_bytes());
        });
        format!("http://{address}/health?x=1")
    }

    #[tokio::test]
    async fn h10_http_wants_2xx_and_says_what_it_got() {
        assert_eq!(http(&answer("HTTP/1.1 204 No Content\r\n\r\n")).await, Ok(()));
        assert!(http(&answer("HTTP/1.1 503 Busy\r\n\r\n")).await.unwrap_err().ends_with("answers 503"));
        assert!(http(&answer("SSH-2.0-x\r\n")).await.unwrap_err().ends_with("does not answer like HTTP"));
        assert!(http(&answer("")).await.unwrap_err().ends_with("does not answer like HTTP"));
        assert!(http("http://127.0.0.1:1/").await.unwrap_err().contains("refused"));
    }

    #[tokio::test]
    async fn h10_a_question_without_an_answer_ends_in_time() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = in_time(Duration::from_millis(50), http(&url)).await;
        assert_eq!(answer, Err("no answer within 50ms".to_owned()));
    }
}
