//! Does what a plan says: writes the file, runs the programs, in an order that leaves nothing half-done.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::api::types::DownRequest;

use super::super::context::Context;
use super::super::exit::CliError;
use super::super::output::note;
use super::super::supervisor;
use super::{MARK, Plan, shown};

/// What a program of the system is given to answer. Restarting waits for the supervisor to listen.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a program did not do its part.
enum Failure {
    /// It is not there.
    Missing,
    /// It said no, in its own words.
    Said(String),
}

/// Writes and enables. The supervisor that runs hands the bay over; containers and services do not notice.
pub(super) async fn install(context: &Context, plan: &Plan) -> Result<String, CliError> {
    let old = own_text(&plan.path)?;
    for words in &plan.before {
        execute(words).await.map_err(|failure| refused(words, failure))?;
    }
    if old.as_deref() != Some(plan.text.as_str()) {
        write(&plan.path, &plan.text).map_err(|error| CliError::failed(format!("{}: {error}", plan.path.display())))?;
    }
    if let Some(client) = supervisor::running(&context.paths).await? {
        client.down(DownRequest { workers: false, supervisor_only: true }).await?;
        note("the supervisor that runs hands the bay over; containers and services go on");
    }
    for words in &plan.after {
        let forgiven = words.iter().any(|word| word == "bootout");
        match execute(words).await {
            Err(failure) if !forgiven => return Err(refused(words, failure)),
            _ => {}
        }
    }
    Ok(format!("installed {}", plan.path.display()))
}

/// Disables and removes. Without the system's program there is nothing to disable, and the file goes all the same.
pub(super) async fn remove(plan: &Plan) -> Result<String, CliError> {
    if own_text(&plan.path)?.is_none() {
        return Ok(format!("nothing to remove: there is no {}", plan.path.display()));
    }
    for words in &plan.before {
        if let Err(failure) = execute(words).await {
            note(&refused(words, failure).message);
        }
    }
    fs::remove_file(&plan.path).map_err(|error| CliError::failed(format!("{}: {error}", plan.path.display())))?;
    for words in &plan.after {
        if let Err(failure) = execute(words).await {
            note(&refused(words, failure).message);
        }
    }
    Ok(format!("removed {}", plan.path.display()))
}

/// The text of the file that is there, if podbay wrote it.
fn own_text(path: &Path) -> Result<Option<String>, CliError> {
    match fs::read_to_string(path) {
        Ok(text) if text.contains(MARK) => Ok(Some(text)),
        Ok(_) => {
            let message = format!("{} is there, and podbay did not write it: it stays as it is", path.display());
            Err(CliError::failed(message).hint("move it away first"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::failed(format!("{}: {error}", path.display()))),
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".podbay-boot.{}", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // What could not be finished is not left behind; the first error is the one that says why.
        let _ = fs::remove_file(&temporary);
    }
    written
}

async fn execute(words: &[String]) -> Result<(), Failure> {
    let Some((program, args)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(args).stdin(std::process::Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Failure::Said(if said.is_empty() { output.status.to_string() } else { said }))
        }
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Err(Failure::Missing),
        Ok(Err(error)) => Err(Failure::Said(error.to_string())),
        Err(_) => Err(Failure::Said(format!("no answer within {}s", PATIENCE.as_secs()))),
    }
}

fn refused(words: &[String], failure: Failure) -> CliError {
    let program = words.first().map_or("", String::as_str);
    match failure {
        Failure::Missing => CliError::failed(format!(
            "there is no {program} on this machine, so nothing starts podbay at boot"
        ))
        .hint(
            "have `podbay serve` started by what starts things here: an rc script, cron's @reboot, a container's entry \
             point; `podbay boot install --dry-run` prints what systemd or launchd would be given",
        ),
        Failure::Said(said) => {
            let error = CliError::failed(format!("`{}` failed: {said}", shown(words)));
            if said.contains("bus") || said.contains("XDG_RUNTIME_DIR") {
                error.hint("systemd runs nothing for you here: log in as this user (not by su or sudo), or `loginctl enable-linger`")
            } else {
                error
            }
        }
    }
}
