//! The engine without a daemon: from the request to a shell's prompt, against `docker run -it` of the same machine; many
//! at once; and what an idle container keeps.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use podbay::bay::container::{ContainerId, ContainerSpec, ImageRef, NetworkSpec, Status, label};
use podbay::bay::hardening::Hardening;
use podbay::bay::name::{ContainerName, Name};
use podbay::config::Config;
use podbay::engine::Engine;
use podbay::engine::local::LocalEngine;
use tokio::io::AsyncReadExt as _;

use super::figures::{by_turns, tell};
use super::pty::Pty;
use super::{Outcome, Plan};

const PROMPT: &str = "ready> ";
const PATIENCE: Duration = Duration::from_mins(1);

/// Against the docker CLI.
pub fn run(plan: Plan) -> Outcome {
    with_engine(|engine, runtime| {
        // A bay is never empty: its parent is there before anything else.
        let (parent, _) = runtime.block_on(begin(engine, "parent"))?;
        prompt(plan, engine, runtime)?;
        runtime.block_on(engine.remove(&parent)).map_err(|error| error.to_string())
    })
}

/// What needs no other engine.
pub fn crowd(plan: Plan) -> Outcome {
    with_engine(|engine, runtime| many(engine, runtime, if plan.quick { 20 } else { 100 }))
}

fn with_engine(work: impl FnOnce(&LocalEngine, &tokio::runtime::Runtime) -> Outcome) -> Outcome {
    let state = tempfile::tempdir().map_err(|error| error.to_string())?;
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let engine = LocalEngine::new(state.path().join("podbay"), env!("CARGO_BIN_EXE_podbay").into(), own);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    work(&engine, &runtime)
}

fn prompt(plan: Plan, engine: &LocalEngine, runtime: &tokio::runtime::Runtime) -> Outcome {
    let ours = || {
        runtime.block_on(async {
            let (id, took) = begin(engine, "prompt").await?;
            engine.remove(&id).await.map_err(|error| error.to_string())?;
            Ok(took)
        })
    };
    let image = host_image()?;
    let name = format!("bench-local-{}", std::process::id());
    let env = format!("PS1={PROMPT}");
    let argv = [
        "docker",
        "run",
        "--rm",
        "-it",
        "--init",
        "--name",
        &name,
        "-v",
        "/usr:/usr:ro",
        "-e",
        &env,
        "--network",
        "host",
        &image,
        "bash",
        "--norc",
    ];
    let vars: Vec<(String, String)> = std::env::vars().filter(|(key, _)| key == "PATH" || key == "HOME").collect();
    let theirs = || {
        let begun = Instant::now();
        let docker = Pty::start(&argv, &vars, 24, 80).map_err(|error| error.to_string())?;
        let came = docker.wait_for(PROMPT.trim(), PATIENCE)?;
        let took = came.saturating_duration_since(begun);
        let _ = Command::new("docker").args(["rm", "-f", &name]).output();
        Ok(took)
    };
    let (ours, theirs) = by_turns(plan.rounds(), ours, theirs)?;
    tell("request to prompt", ("local", ours), ("docker run -it", theirs));
    Ok(())
}

/// The image that podbay made there.
fn host_image() -> Result<String, String> {
    let mut docker = Command::new("docker");
    let output = docker.args(["images", "-q", "podbay-host"]).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned);
    text.ok_or_else(|| "no host image is there yet: run the part \"spawn\" first".to_owned())
}

/// A shell at its prompt, and how long that took.
async fn begin(engine: &LocalEngine, name: &str) -> Result<(ContainerId, Duration), String> {
    // What the supervisor has read long ago.
    let spec = spec(name)?;
    let told = |error: podbay::engine::EngineError| error.to_string();
    let begun = Instant::now();
    let id = engine.create(&spec).await.map_err(told)?.id;
    let mut tty = engine.attach(&id).await.map_err(told)?;
    engine.start(&id).await.map_err(told)?;
    let (mut seen, mut space) = (Vec::new(), [0; 1024]);
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(PROMPT) {
            match tty.output.read(&mut space).await {
                Ok(count @ 1..) => seen.extend_from_slice(space.get(..count).unwrap_or_default()),
                other => return Err(format!("no prompt: {other:?}")),
            }
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, read).await.map_err(|error| error.to_string())??;
    Ok((id, begun.elapsed()))
}

fn spec(name: &str) -> Result<ContainerSpec, String> {
    let told = |error: podbay::bay::name::NameError| error.to_string();
    let (bay, name): (Name, Name) = ("bench".parse().map_err(told)?, name.parse().map_err(told)?);
    let worker = Config::defaults().map_err(|error| format!("{error:?}"))?.worker;
    Ok(ContainerSpec {
        name: ContainerName::worker(&bay, &name),
        image: ImageRef::Host,
        entrypoint: Vec::new(),
        command: ["bash", "--norc"].map(str::to_owned).to_vec(),
        user: None,
        hostname: None,
        workdir: None,
        env: BTreeMap::from([("PS1".to_owned(), PROMPT.to_owned())]),
        labels: BTreeMap::from([(label::BAY.to_owned(), bay.to_string())]),
        network: NetworkSpec::Bridge(Vec::new()),
        mounts: Vec::new(),
        tty: true,
        stop_signal: None,
        limits: worker.limits,
        hardening: Hardening { cap_drop: vec!["ALL".to_owned()], ..worker.hardening },
        health: None,
    })
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn many(engine: &LocalEngine, runtime: &tokio::runtime::Runtime, count: u32) -> Outcome {
    runtime.block_on(async {
        let begun = Instant::now();
        let names: Vec<String> = (0..count).map(|number| format!("many-{number}")).collect();
        let all = try_join_all(names.iter().map(|name| begin(engine, name))).await?;
        println!("{count} shells at once: the last prompt after {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        // At rest, once what began them has settled.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut kept = (0u32, 0u32);
        for (id, _) in &all {
            let seen = engine.inspect(id).await.map_err(|error| error.to_string())?;
            let Status::Running { pid, .. } = seen.status else { return Err(format!("{seen:?}")) };
            let shim = parent(pid)?;
            kept = (kept.0 + private(shim)?, kept.1 + private(pid)?);
        }
        let each = |sum: u32| f64::from(sum) / f64::from(count) / 1024.0;
        println!("private memory of an idle one: shim {:.2} MB, first process {:.2} MB", each(kept.0), each(kept.1));
        for (id, _) in all {
            engine.remove(&id).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

fn parent(pid: u32) -> Result<u32, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let field = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
    field.ok_or(path)
}

/// In KB.
fn private(pid: u32) -> Result<u32, String> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?;
    let lines = rollup.lines().filter(|line| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"));
    Ok(lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok()).sum())
}
