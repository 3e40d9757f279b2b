//! From a claim to the first byte of the command's output, through the API and through the verb in a terminal, against
//! `docker run -d` and `docker exec` of the same image and network.

use std::process::Command;
use std::time::{Duration, Instant};

use podbay::api::client::{Client, TerminalMessage};
use podbay::api::types::SpawnRequest;
use podbay::bay::session::TermSize;

use super::bay::Bay;
use super::figures::{median, tell, time};
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_secs(20);
const MARK: &str = "first-output-of-the-command";
const POOL: &str = r#"
[[template]]
name = "pooled"
command = ["sh", "-c", "echo first-output-of-the-command; exec sleep 1000"]
pool = { target = 3, min = 0, max_creating = 2 }
"#;

pub fn run(plan: Plan) -> Outcome {
    let bay = Bay::with(POOL)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let client = Client::new(bay.socket());
    let rounds = if plan.quick { 10 } else { 60 };
    let (mut api, mut verb, mut docker) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        runtime.block_on(full(&client))?;
        let name = format!("api-{round}");
        api.push(runtime.block_on(through_api(&client, &name))?);
        bay.done(&["rm", "--force", "--yes", &name])?;
        if round % 3 == 0 {
            runtime.block_on(full(&client))?;
            let name = format!("verb-{round}");
            verb.push(through_verb(&bay, &name)?);
            bay.done(&["rm", "--force", "--yes", &name])?;
            runtime.block_on(full(&client))?;
            docker.push(run_and_exec(&bay)?);
        }
    }
    let late = percentile(&api, 99);
    let theirs = median(docker);
    tell("claim to first output, API", ("podbay", median(api.clone())), ("docker run + exec", theirs));
    tell("claim to first output, API, p99 to p50", ("p99", late), ("p50", median(api)));
    tell("claim to first output, verb", ("podbay spawn", median(verb)), ("docker run + exec", theirs));
    Ok(())
}

fn percentile(times: &[Duration], part: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * part).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Waits until the pool is full: what is measured is a claim, not the making of the next one.
async fn full(client: &Client) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows = client.pool().await.map_err(|error| error.to_string())?;
        if rows.iter().all(|row| row.warm == row.target && row.creating + row.draining == 0) {
            // What was made last is still settling down.
            tokio::time::sleep(Duration::from_millis(200)).await;
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the pool does not fill: {rows:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn through_api(client: &Client, name: &str) -> Result<Duration, String> {
    let size = TermSize::new(30, 100);
    let request = SpawnRequest {
        name: Some(name.to_owned()),
        template: "pooled".parse().ok(),
        size: Some(size),
        ..SpawnRequest::default()
    };
    let begin = Instant::now();
    let reply = client.spawn(&request).await.map_err(|error| error.to_string())?;
    let mut terminal = client.main_terminal_at(&reply.name, Some(size)).await.map_err(|error| error.to_string())?;
    let mut seen = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(PATIENCE, terminal.incoming.recv()).await {
        if let TerminalMessage::Bytes(bytes) = message {
            seen.extend_from_slice(&bytes);
        }
        if String::from_utf8_lossy(&seen).contains(MARK) {
            let took = begin.elapsed();
            return if reply.claimed { Ok(took) } else { Err(format!("a cold start: {:?}", reply.notes)) };
        }
    }
    Err(format!("no output of {name}: {:?}", String::from_utf8_lossy(&seen)))
}

fn through_verb(bay: &Bay, name: &str) -> Result<Duration, String> {
    let begin = Instant::now();
    let pty = Pty::start(&[Bay::program(), "spawn", name, "-t", "pooled"], &bay.vars(), 30, 100)
        .map_err(|error| error.to_string())?;
    let seen = pty.wait_for(MARK, PATIENCE)?;
    Ok(seen.duration_since(begin))
}

fn run_and_exec(bay: &Bay) -> Result<Duration, String> {
    let parent = format!("{}-parent", bay.name());
    let output = Command::new("docker").args(["inspect", "-f", "{{.Config.Image}}", &parent]).output();
    let image = String::from_utf8_lossy(&output.map_err(|error| error.to_string())?.stdout).trim().to_owned();
    let (network, label) = (format!("container:{parent}"), format!("podbay.bay={}", bay.name()));
    let mut run = Command::new("docker");
    run.args(["run", "-d", "--init", "--name", "bench-docker-claim", "--label", &label, "--network", &network]);
    let started = time(run.args(["-v", "/usr:/usr:ro", &image, "sleep", "infinity"]))?;
    let executed = time(Command::new("docker").args(["exec", "bench-docker-claim", "echo", MARK]))?;
    time(Command::new("docker").args(["rm", "-f", "bench-docker-claim"]))?;
    Ok(started + executed)
}
