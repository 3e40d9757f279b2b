//! Asking a native service how it is: by HTTP, by a connection, by a command, by its log.
//!
//! Each answer has a deadline; a command that does not keep it is killed with its group. A command dies with the
//! supervisor that asks, and what that left is ended by the next one. Lines of the log are looked for by the shim.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::process::{self, MARK};
use super::protocol::Status;
use super::user::become_user;
use crate::bay::service::{Probe, ProbeTarget};

/// The head of an answer that is read; the status stands in its first line.
const HEAD: usize = 1024;
/// What a command says on stderr is kept so far.
const SAID: usize = 400;
/// How long what a command said is read after its end.
const REST: Duration = Duration::from_millis(100);
/// What its processes carry in their environment: whose supervisor asks.
pub const ASKER: &str = "PODBAY_PROBE";

/// How a command is run: as the service itself is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunAs {
    /// Where it starts.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// User and group; `None`: those of the supervisor.
    pub ids: Option<(u32, u32)>,
    /// All groups of that user.
    pub groups: Vec<u32>,
    /// What is taken from the modes of its new files.
    pub umask: u32,
    /// Whose supervisor asks.
    pub asker: String,
}

/// Asks a probe of the present run. `run_as` is only waited for by a command. `Err` says why it did not pass.
///
/// # Errors
/// In words.
pub async fn ask(
    probe: &Probe,
    status: &Status,
    run_as: impl Future<Output = Result<RunAs, String>>,
) -> Result<(), String> {
    let limit = probe.timeout.get();
    match &probe.target {
        ProbeTarget::Http(url) => in_time(limit, http(url)).await,
        ProbeTarget::Tcp(address) => in_time(limit, tcp(address)).await,
        ProbeTarget::Exec(argv) => {
            let (run_as, mark, argv) = (run_as.await?, status.mark.clone(), argv.clone());
            on_a_thread(async move { exec(&run_as, &mark, &argv, limit).await }).await
        }
        ProbeTarget::Log(_) if status.ready_log => Ok(()),
        ProbeTarget::Log(pattern) => Err(format!("no line like {pattern:?} yet")),
    }
}

/// Ends the commands that an earlier supervisor asked and did not see the end of.
pub fn sweep(asker: &str) {
    // Whoever forks at this moment is seen by a later look.
    for _ in 0..3 {
        let left = process::with_variable(ASKER, asker);
        if left.is_empty() {
            return;
        }
        for id in left {
            id.signal(Signal::KILL);
        }
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

/// A command dies with the thread that began it: so that is one that lives exactly as long.
async fn on_a_thread<F>(question: F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let (sender, answer) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let answer = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(question));
        // Nobody hears it once the supervisor ends.
        drop(sender.send(answer));
    });
    match thread {
        Ok(_) => answer.await.unwrap_or_else(|_| Err("the probe failed".to_owned())),
        Err(error) => Err(format!("it can't be asked: {error}")),
    }
}

/// A command that ends with 0.
async fn exec(run_as: &RunAs, mark: &str, argv: &[String], limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("it has no command".to_owned()) };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(&run_as.cwd).env_clear().envs(&run_as.env);
    // Told apart from the service's own processes: a shim that sweeps leaves it alone.
    command.env(MARK, format!("{mark}:probe")).env(ASKER, &run_as.asker);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    become_user(command.as_std_mut(), run_as.ids, &run_as.groups);
    settle_in(&mut command, run_as.umask);
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
        return Err(format!("{program} ended before it was seen"));
    };
    let mut said = Vec::new();
    let ended = {
        // Polled once more after its end: also one that has nothing more to read.
        let drained = drain(child.stderr.take(), &mut said).fuse();
        tokio::pin!(drained);
        let ended = tokio::time::timeout(limit, async {
            tokio::select! {
                () = ended(pid) => {}
                // Its stderr is closed; it may go on.
                () = &mut drained => ended(pid).await,
            }
        });
        let ended = ended.await.is_ok();
        // The leader was not waited for, so its group can't be another's: what it left behind goes, too.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        // What it said last; a process that left the group may hold its stderr open.
        let _ = tokio::time::timeout(REST, drained).await;
        ended
    };
    let status = child.wait().await.map_err(|error| format!("{program}: {error}"))?;
    if !ended {
        return Err(format!("{program} did not end within {limit:?} and was killed"));
    }
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned();
    let how =
        status.code().map_or_else(|| "was ended by a signal".to_owned(), |code| format!("exited with code {code}"));
    Err(if said.is_empty() { format!("{program} {how}") } else { format!("{program} {how}: {said}") })
}

/// Reads all of it, so that nobody waits for room; the first of it is kept.
async fn drain(stderr: Option<tokio::process::ChildStderr>, said: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let room = SAID.saturating_sub(said.len()).min(count);
        said.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
}

/// What the child does between fork and exec: system calls alone.
#[expect(unsafe_code, reason = "what runs between fork and exec makes only system calls, and allocates nothing")]
fn settle_in(command: &mut tokio::process::Command, umask: u32) {
    // The supervisor's own is tight.
    let umask = crate::config::paths::mode(umask);
    let settle = move || {
        rustix::process::umask(umask);
        // Follows the thread that asks, and that the supervisor.
        #[cfg(target_os = "linux")]
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: see above; nothing of it takes a lock or allocates.
    unsafe { command.pre_exec(settle) };
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

    fn asks(argv: &[&str], timeout: &str) -> Probe {
        Probe {
            target: ProbeTarget::Exec(argv.iter().map(|&word| word.to_owned()).collect()),
            interval: "1s".parse().unwrap(),
            timeout: timeout.parse().unwrap(),
            retries: 1,
            start_period: "0s".parse().unwrap(),
        }
    }

    fn as_a_service(asker: &str) -> RunAs {
        let env =
            BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("WORD".to_owned(), "yes".to_owned())]);
        RunAs { cwd: "/".into(), env, ids: None, groups: Vec::new(), umask: 0o027, asker: asker.to_owned() }
    }

    async fn exec_with(argv: &[&str], timeout: &str, asker: &str) -> Result<(), String> {
        ask(&asks(argv, timeout), &Status::default(), async { Ok(as_a_service(asker)) }).await
    }

    #[tokio::test]
    async fn h10_a_command_is_run_like_the_service_and_may_say_as_much_as_it_likes() {
        let script = r#"test "$WORD" = yes && test "$(umask)" = 0027 && test "$(pwd)" = /"#;
        assert_eq!(exec_with(&["sh", "-c", script], "20s", "t").await, Ok(()));
        // More than a pipe holds: it would wait for ever if nobody read.
        let script = "echo first >&2; head -c 1000000 /dev/zero >&2; exit 3";
        let answer = exec_with(&["sh", "-c", script], "20s", "t").await;
        assert_eq!(answer, Err("sh exited with code 3: first".to_owned()));
        // One that closes its stderr goes on.
        assert_eq!(
            exec_with(&["sh", "-c", "exec 2>&-; sleep 0.05; exit 4"], "20s", "t").await,
            Err("sh exited with code 4".to_owned())
        );
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn what_an_earlier_supervisor_asked_is_ended_by_the_next() {
        let asker = format!("/test/{}", std::process::id());
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "setsid sleep 30 & wait"]).env(ASKER, &asker);
        let mut left = command.spawn().unwrap();
        let begun = std::time::Instant::now();
        while process::with_variable(ASKER, &asker).len() < 2 {
            assert!(begun.elapsed().as_secs() < 10);
            std::thread::sleep(Duration::from_millis(5));
        }
        sweep(&asker);
        left.wait().unwrap();
        assert_eq!(process::with_variable(ASKER, &asker), []);
    }

    #[tokio::test]
    async fn h10_a_question_without_an_answer_ends_in_time() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = in_time(Duration::from_millis(50), http(&url)).await;
        assert_eq!(answer, Err("no answer within 50ms".to_owned()));
    }
}
