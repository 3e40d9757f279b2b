//! What a worker finds: its workspace, home, agent settings, mounts and secrets, as directories of this machine.
//!
//! Makes directories and files below the state directory and nowhere else; never removes what a user put there without
//! being told to. A worker's home is the worker's to write, so nothing in it is reached through a symlink. Knows no
//! engine. Called by the supervisor's executor, off its task.

mod build;
pub mod cache;
pub mod clone;
pub mod env_file;
pub mod git;
mod home;
mod hooks;
mod ignored;
mod losses;
mod mounts;
mod project;
mod secrets;
pub mod spec;
mod user;
pub mod warm;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bay::container::ImageRef;
use crate::bay::mount::{Mount, MountRule};
use crate::bay::name::Name;
use crate::bay::remote::{Remote, Scheme};
use crate::bay::template::{ParentSpec, Template};
use crate::bay::volume::VolumeName;
use crate::config::env::Env;
use crate::config::paths::{Paths, private_dir, told};
use crate::config::volumes::VOLUME;

use build::Build;
use mounts::MountList;
pub use mounts::SSH_AGENT;
pub use project::{is_same, source};
use user::WorkerUser;

pub use user::Account;

/// Where a worker's workspace stands in it, and where it starts.
pub const WORKSPACE: &str = "/workspace";

/// What a setup over the API must remember, beside the workspace.
pub const SETUP: &str = "setup.json";
/// Where clients of other hosts look for a workspace; it is there beside the other place for those that name a volume.
const APP: &str = "/app";
/// Where a volume that is asked for by its name stands in a workspace.
const PACKAGES: &str = "node_modules";

/// What a container is given of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// `uid:gid` or a name, as the engine takes it; `None`: the image's own.
    pub user: Option<String>,
    /// Where it starts.
    pub workdir: Option<PathBuf>,
    /// Environment: the template's, the files', and what the mounts need (`HOME`, `SSH_AUTH_SOCK`).
    pub env: BTreeMap<String, String>,
    /// The user's home in the container; empty where none is mounted.
    pub home: PathBuf,
    /// Bind mounts, sources canonical and checked.
    pub mounts: Vec<Mount>,
    /// What was skipped or done otherwise, in words for the user.
    pub notes: Vec<String>,
}

/// Why a worker can't be given what its template says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WorkspaceError {
    /// A sentence that names the path and what would be right.
    pub text: String,
    /// What to do about it, where the sentence does not say it.
    pub hint: Option<String>,
    /// The template or the request is at fault, not what it met.
    pub by_request: bool,
}

impl WorkspaceError {
    fn new(text: impl std::fmt::Display) -> Self {
        Self { text: text.to_string(), hint: None, by_request: true }
    }
}

impl From<git::GitError> for WorkspaceError {
    fn from(error: git::GitError) -> Self {
        Self { text: error.to_string(), hint: error.hint(), by_request: false }
    }
}

impl From<io::Error> for WorkspaceError {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

/// Where a worker's things come from.
pub struct Ground<'a> {
    /// The bay's files.
    pub paths: &'a Paths,
    /// The supervisor's environment.
    pub env: &'a Env,
    /// The engine's endpoint, when it is a socket of this machine: never mounted.
    pub engine_socket: Option<PathBuf>,
}

/// Makes a worker's directories and says what to mount. Idempotent: what is there is kept.
///
/// # Errors
/// [`WorkspaceError`]; then nothing new is left behind.
pub fn prepare(ground: &Ground<'_>, name: &Name, template: &Template) -> Result<Prepared, WorkspaceError> {
    let user = WorkerUser::of(&template.user, ground.env);
    let mut list = MountList::new(ground, user.home.clone());
    // First what only looks, so that most mistakes are found before anything is made.
    let project = project::project(ground, &list, template)?;
    let env = env_file::environment(ground.env, &template.env_file, &template.env)?;
    let secrets = secrets::read(ground.paths, &template.secrets)?;

    private_dir(&ground.paths.state.join("workers"))?;
    // It is made anew instead of a claim that failed, perhaps.
    warm::withdraw(&ground.paths.worker(name));
    let mut build = Build::start(&ground.paths.state.join("workers"), name, user.owner(ground.env))?;
    list.add_own(&build.dir(Path::new("home"))?, &user.home, false)?;
    let workspace = match project {
        Some(project) => project,
        None => build.dir(Path::new("workspace"))?,
    };
    list.add_own(&workspace, Path::new(WORKSPACE), false)?;
    volumes(ground, template, user.owner(ground.env), &mut list)?;
    if let Some(volume) = &template.named_volume {
        named_volume(ground, (name, volume), (&mut build, user.owner(ground.env)), (&workspace, &mut list))?;
    }
    home::agent(ground, &template.agent_home, &mut build, &mut list)?;
    list.add_rules(&template.mounts)?;
    list.add_ssh(template.ssh)?;
    secrets::place(secrets, &mut build, &mut list)?;
    home::mount_points(&mut build, &list)?;
    build.keep();

    list.notes.extend(user.note(ground.env));
    Ok(list.prepared(user.text, env))
}

/// The directories that this clone shares with the others of its repository.
fn volumes(
    ground: &Ground<'_>,
    template: &Template,
    owner: Option<(u32, u32)>,
    list: &mut MountList<'_>,
) -> Result<(), WorkspaceError> {
    let source = project::source(template, None)?;
    for rule in &template.volumes {
        let Some(source) = &source else {
            list.notes.push(format!("volume {}: not mounted, it is one of clones", rule.name));
            continue;
        };
        let path = ground.paths.volume(&rule.of(&source.remote), &source.remote.identity())?;
        if let Some((uid, gid)) = owner {
            // The directory alone: what is in it belongs to whoever put it there.
            std::os::unix::fs::lchown(&path, Some(uid), Some(gid))?;
        }
        list.add_own(&path, &rule.target, false)?;
    }
    Ok(())
}

/// The directory that all workers share which name the same volume, and the workspace at the place where their clients
/// look for it.
fn named_volume(
    ground: &Ground<'_>,
    (name, volume): (&Name, &VolumeName),
    (build, owner): (&mut Build, Option<(u32, u32)>),
    (workspace, list): (&Path, &mut MountList<'_>),
) -> Result<(), WorkspaceError> {
    let path = ground.paths.volume(volume.as_str(), &volume.identity())?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::lchown(&path, Some(uid), Some(gid))?;
    }
    // So that nobody takes it for unused.
    build.replace(Path::new(VOLUME), 0o600, volume.identity().as_bytes())?;
    if workspace == ground.paths.worker(name).join("workspace") {
        // Left to the engine, the place that it is mounted on would be root's.
        build.dir(&Path::new("workspace").join(PACKAGES))?;
    }
    list.add_own(&path, &Path::new(WORKSPACE).join(PACKAGES), false)?;
    if list.mounts().iter().any(|mount| mount.target.starts_with(APP)) {
        list.notes.push(format!("{APP} is not the workspace: the template mounts something there"));
        return Ok(());
    }
    list.add_own(workspace, Path::new(APP), false)?;
    list.add_own(&path, &Path::new(APP).join(PACKAGES), false)
}

/// Whom a worker's files are given to; `None`: they stay with the invoking user.
#[must_use]
pub fn owner(env: &Env, template: &Template) -> Option<(u32, u32)> {
    WorkerUser::of(&template.user, env).owner(env)
}

/// Why a gate of this template could not read its claim file; `None`: it can.
#[must_use]
pub fn locked_out(env: &Env, template: &Template) -> Option<String> {
    WorkerUser::of(&template.user, env).note(env)
}

/// The file with the token of a remote's host, checked like any secret; `None`: no token is named for that host.
///
/// # Errors
/// [`WorkspaceError`] when the file is missing or others can read it.
pub fn token(
    paths: &Paths,
    tokens: &BTreeMap<String, Name>,
    remote: &Remote,
) -> Result<Option<PathBuf>, WorkspaceError> {
    let encrypted = matches!(remote.scheme(), Scheme::Https | Scheme::Http);
    let Some(name) = tokens.get(&remote.host()).filter(|_| encrypted) else { return Ok(None) };
    secrets::read(paths, std::slice::from_ref(name))?;
    Ok(Some(paths.secrets().join(name)))
}

/// A native service's secrets, laid out for it; the directory that they are in.
///
/// # Errors
/// [`WorkspaceError`].
pub fn service_secrets(paths: &Paths, name: &Name, names: &[Name]) -> Result<PathBuf, WorkspaceError> {
    let secrets = secrets::read(paths, names)?;
    let dir = paths.service(name).join("secrets");
    if secrets.is_empty() && !dir.exists() {
        return Ok(dir);
    }
    private_dir(&paths.state.join("services"))?;
    let mut build = Build::start(&paths.state.join("services"), name, None)?;
    let dir = secrets::lay_out(secrets, &mut build)?;
    build.keep();
    Ok(dir)
}

/// A user of this machine, by its user database.
///
/// # Errors
/// [`WorkspaceError`]: nobody is called so.
pub fn account(user: &str) -> Result<Account, WorkspaceError> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    Account::of(user, &passwd).ok_or_else(|| {
        WorkspaceError::new(format_args!(
            "user {user:?}: nobody is called so here; write a name of /etc/passwd, or UID:GID"
        ))
    })
}

/// The groups of a user of this machine.
#[must_use]
pub fn groups(account: &Account) -> Vec<u32> {
    account.groups(&fs::read_to_string("/etc/group").unwrap_or_default())
}

/// What a container service is given.
///
/// # Errors
/// [`WorkspaceError`].
pub fn prepare_service(
    ground: &Ground<'_>,
    name: &Name,
    like: &ParentSpec,
    (user, names): (&str, &[Name]),
) -> Result<Prepared, WorkspaceError> {
    let prepared = prepare_parent(ground, like)?;
    let named = (!user.is_empty()).then(|| WorkerUser::of(user, ground.env));
    let owner = named.as_ref().and_then(|user| user.owner(ground.env));
    let secrets = secrets::read(ground.paths, names)?;
    let mut list = MountList::new(ground, PathBuf::from("/root"));
    if !secrets.is_empty() {
        private_dir(&ground.paths.state.join("services"))?;
        let mut build = Build::start(&ground.paths.state.join("services"), name, owner)?;
        secrets::place(secrets, &mut build, &mut list)?;
        build.keep();
    }
    let given = list.prepared(String::new(), BTreeMap::new());
    let mounts = prepared.mounts.into_iter().chain(given.mounts).collect();
    Ok(Prepared { user: named.map(|user| user.text).or(prepared.user), mounts, ..prepared })
}

/// The secret that signs what alerts tell.
///
/// # Errors
/// [`WorkspaceError`] when it is missing or others can read it.
pub fn alert_secret(paths: &Paths, name: &str) -> Result<String, WorkspaceError> {
    let name = name.parse::<Name>().map_err(WorkspaceError::new)?;
    secrets::text(paths, &name)
}

/// What the parent is given.
///
/// # Errors
/// [`WorkspaceError`].
pub fn prepare_parent(ground: &Ground<'_>, parent: &ParentSpec) -> Result<Prepared, WorkspaceError> {
    // Another image runs as that image says: its command was made for it.
    let user = (parent.image == ImageRef::Host).then(|| WorkerUser::of("", ground.env));
    let home = user.as_ref().map_or_else(|| PathBuf::from("/root"), |user| user.home.clone());
    let mut list = MountList::new(ground, home);
    list.add_rules(&parent.volumes)?;
    let Prepared { mounts, notes, .. } = list.prepared(String::new(), BTreeMap::new());
    let user = user.map(|user| user.text);
    Ok(Prepared { user, env: parent.env.clone(), mounts, notes, ..Prepared::default() })
}

/// Forgets a removed worker: its private home goes; its private workspace too if it is empty, else it is kept and the
/// answer says where.
///
/// # Errors
/// The system's.
pub fn forget(paths: &Paths, name: &Name) -> io::Result<Vec<String>> {
    warm::forget(paths, name);
    let worker = paths.worker(name);
    for part in ["home", "agent", "secrets"] {
        let path = worker.join(part);
        match fs::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(told("can't remove", &path, &error)),
        }
    }
    clone::clear_half(&worker)?;
    for file in [VOLUME, SETUP, "setup.new"] {
        match fs::remove_file(worker.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(told("can't remove", &worker.join(file), &error));
            }
            _ => {}
        }
    }
    let workspace = worker.join("workspace");
    // A place that a volume was mounted on; with anything in it, it stays.
    let _ = fs::remove_dir(workspace.join(PACKAGES));
    match fs::remove_dir(&workspace) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            return Ok(vec![format!("{name}'s workspace is not empty and was kept: {}", workspace.display())]);
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told("can't remove", &workspace, &error)),
        _ => {}
    }
    clone::forget_note(&worker)?;
    match fs::remove_dir(&worker) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Ok(vec![format!("{name}'s directory holds files of others and was kept: {}", worker.display())])
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("can't remove", &worker, &error)),
        _ => Ok(Vec::new()),
    }
}

/// A rule as its user wrote it, for messages.
fn rule_text(rule: &MountRule) -> String {
    String::from(rule.clone())
}
