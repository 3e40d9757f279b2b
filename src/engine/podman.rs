//! Podman has no daemon of its own: where its program is there, and the configuration names an image, its service is begun
//! for as long as somebody uses it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::config::env::Env;

/// It ends by itself when nobody has asked it anything for so many seconds; the stream of events is such a question.
const IDLE: &str = "600";
/// How long it may take to listen.
const BEGIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// How much is read of what it says when it fails.
const WORDS: u64 = 4096;

/// The program, on the user's `PATH`.
#[must_use]
pub fn program(env: &Env) -> Option<PathBuf> {
    let path = env.get("PATH")?;
    std::env::split_paths(path).map(|dir| dir.join("podman")).find(|file| {
        file.is_absolute() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
    })
}

/// Where it listens when nobody says otherwise.
#[must_use]
pub fn socket(env: &Env) -> PathBuf {
    let runtime = env.get("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute() && env.uid != 0);
    runtime.map_or_else(|| PathBuf::from("/run/podman/podman.sock"), |dir| dir.join("podman/podman.sock"))
}

/// Begins its service, and waits until it listens. It is nobody's child for long, and in no group of this process.
///
/// # Errors
/// In words: what it said.
pub async fn begin(program: &Path, socket: &Path, is_up: impl Fn(&Path) -> bool) -> Result<(), String> {
    let told = |error: std::io::Error| format!("`podman system service` can't be begun: {error}");
    if let Some(dir) = socket.parent() {
        std::fs::create_dir_all(dir).map_err(told)?;
    }
    let mut command = Command::new(program);
    command.args(["system", "service", "--time", IDLE]).arg(format!("unix://{}", socket.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).current_dir("/");
    let mut child = command.spawn().map_err(told)?;
    let begun = Instant::now();
    while !is_up(socket) {
        if child.try_wait().map_err(told)?.is_some() {
            return Err(format!("`podman system service` ended at once: {}", words(&mut child).await));
        }
        if begun.elapsed() > BEGIN {
            child.start_kill().map_err(told)?;
            return Err(format!("`podman system service` does not listen on {}", socket.display()));
        }
        tokio::time::sleep(LOOK).await;
    }
    // What it says from now on is for nobody; what it would wait for is.
    tokio::spawn(async move {
        if let Some(mut said) = child.stderr.take() {
            drop(tokio::io::copy(&mut said, &mut tokio::io::sink()).await);
        }
        child.wait().await
    });
    Ok(())
}

async fn words(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(said) = child.stderr.take() {
        // A part of a message is better than none.
        let _ = said.take(WORDS).read_to_string(&mut text).await;
    }
    text.lines().last().unwrap_or("it says nothing").to_owned()
}
