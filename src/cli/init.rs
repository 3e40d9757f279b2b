//! Makes the bay's directories, and a commented configuration when there is none; shows them; cleans up.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::terminal::safe::Safe;

use crate::config::volumes::Volume;

use super::act::confirmed;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::human;
use super::output::note;
use super::supervisor;
use super::table::Table;

/// The configuration that a new user starts from: every key with its default.
const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Only show what there is
    #[arg(long)]
    pub status: bool,
    /// Remove what can be made again: logs, sessions, repository caches, volumes that nobody uses, empty worker directories
    #[arg(long, conflicts_with = "status")]
    pub clean: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// One place: an element of `init --json`.
#[derive(Debug, Serialize)]
struct Place {
    what: &'static str,
    path: PathBuf,
    exists: bool,
    /// Of a volume: bytes on the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Of a volume: workers whose clones are of its repository.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    used_by: Vec<String>,
}

/// `podbay init`.
pub async fn run(context: &Context, args: &InitArgs) -> Result<Exit, CliError> {
    if args.clean && !clean(context, args.yes).await? {
        note("nothing removed");
        return Ok(Exit::Failed);
    }
    if !args.status && !args.clean {
        make(context)?;
    }
    let places = places(context);
    if context.out.json {
        context.out.json(&places)?;
    } else {
        let mut table = Table::new(&["WHAT", "EXISTS", "SIZE", "USED BY", "PATH"]);
        for place in &places {
            let exists = if place.exists { "yes" } else { "no" };
            let size = place.bytes.map(human::bytes).unwrap_or_default();
            let used_by = place.used_by.join(" ");
            let path = place.path.display().to_string();
            table.row(vec![place.what.into(), exists.into(), size.into(), used_by.into(), path.into()]);
        }
        context.out.text(&table.render(context.out))?;
    }
    Ok(Exit::Done)
}

fn places(context: &Context) -> Vec<Place> {
    let state = &context.paths.state;
    let file = context.config.source.clone().unwrap_or_else(|| own_file(context));
    let all = [
        ("configuration", file),
        ("state", state.clone()),
        ("sessions", state.join("sessions")),
        ("logs", context.paths.logs()),
        ("workers", state.join("workers")),
        ("services", state.join("services")),
        ("repositories", state.join("repos")),
        ("secrets", context.paths.secrets()),
        ("socket", context.paths.socket.clone()),
    ];
    let places = all.into_iter();
    let places = places.map(|(what, path)| Place { what, exists: path.exists(), path, bytes: None, used_by: vec![] });
    let volumes = context.paths.volumes().into_iter().map(|volume| {
        let bytes = Some(volume.bytes());
        Place { what: "volume", exists: true, path: volume.path, bytes, used_by: volume.used_by }
    });
    places.chain(volumes).collect()
}

fn own_file(context: &Context) -> PathBuf {
    context.paths.config.join("config.toml")
}

fn make(context: &Context) -> Result<(), CliError> {
    let failed = |path: &Path, error: std::io::Error| CliError::failed(format!("{}: {error}", path.display()));
    context.paths.create().map_err(|error| failed(&context.paths.state, error))?;
    if context.config.source.is_some() {
        return Ok(());
    }
    let path = own_file(context);
    fs::create_dir_all(&context.paths.config).map_err(|error| failed(&path, error))?;
    // Its owner's only: environment variables may be written into it.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => file.write_all(EXAMPLE.as_bytes()).map_err(|error| failed(&path, error))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed(&path, error)),
    }
    note(&format!("wrote {}", Safe::new(&path.display().to_string())));
    Ok(())
}

/// The owner's key, intents, and every directory with something of a user's in it stay.
async fn clean(context: &Context, yes: bool) -> Result<bool, CliError> {
    if supervisor::running(&context.paths).await?.is_some() {
        let message = format!("the supervisor of bay {} runs and uses them", context.config.bay);
        return Err(CliError::failed(message).hint("`podbay down` first"));
    }
    let state = &context.paths.state;
    let (used, free): (Vec<Volume>, Vec<Volume>) =
        context.paths.volumes().into_iter().partition(|volume| !volume.used_by.is_empty());
    for volume in &used {
        note(&format!("kept, {} uses it: {}", volume.used_by.join(", "), volume.path.display()));
    }
    for volume in &free {
        note(&format!("would go: {} ({})", volume.path.display(), human::bytes(volume.bytes())));
    }
    let volumes = if free.is_empty() { "" } else { ", volumes that nobody uses" };
    let question = format!("Remove logs, sessions, repository caches{volumes} below {}?", state.display());
    if !confirmed(&question, yes, true)? {
        return Ok(false);
    }
    for dir in ["logs", "sessions", "repos"].map(|dir| state.join(dir)) {
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(CliError::failed(format!("{}: {error}", dir.display())));
            }
            _ => {}
        }
    }
    for volume in &free {
        volume.remove().map_err(|error| CliError::failed(error.to_string()))?;
    }
    let workers = fs::read_dir(state.join("workers")).into_iter().flatten().flatten();
    // What the pool left is a link to the worker that it became.
    for worker in workers.filter(|worker| worker.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_if_empty(&worker.path());
    }
    Ok(true)
}

/// A worker's directories go as a whole or not at all: an empty directory inside somebody's repository means something.
fn remove_if_empty(dir: &Path) {
    if holds_something(dir) {
        note(&format!("kept, it is not empty: {}", Safe::new(&dir.display().to_string())));
    } else if let Err(error) = fs::remove_dir_all(dir) {
        note(&format!("{}: {error}", Safe::new(&dir.display().to_string())));
    }
}

/// Whether there is anything but directories in it, or anything that can't be looked at.
fn holds_something(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return true };
    entries.into_iter().any(|entry| {
        let Ok(entry) = entry else { return true };
        // The names of the worker's own directories are podbay's; a directory below them is somebody's.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => holds_something(&entry.path()),
            _ => true,
        }
    })
}
