//! Prebuilt images: what a repository's setup command installed once, for every later worker of it.
//!
//! The first worker of a repository has its setup command run in a container beside it, over the same mounts; what that
//! left in the container's own file system becomes the image `<owner>-<repo>:main`. Another setup command or another
//! base image makes another one. Which images are podbay's is written down by their ids: a label alone proves nothing.
//! That one is about to be made is written down before, with a nonce that the image has in a label.

mod leftover;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::types::ImageRow;
use crate::bay::container::{ContainerId, ContainerSpec, ImageFacts, ImageRef, NetworkSpec, Role, Wall, label};
use crate::bay::name::{ContainerName, Name};
use crate::bay::owner::{Nonce, OwnerKey};
use crate::bay::phase::{Phase, Progress};
use crate::bay::remote::Remote;
use crate::bay::template::short_hash;
use crate::engine::images::{Commit, ImageStore};
use crate::engine::{EngineError, ExecIo, ExecSpec, ExecState, SharedEngine};
use crate::workspace::WorkspaceError;
use crate::workspace::git::Report;

use super::crash;
use super::event::StepError;
use super::store::random;

/// The longest setup.
const LONGEST: Duration = Duration::from_hours(1);
/// Of a setup that failed, so much is told.
const TAIL: usize = 1500;
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(250);
/// The version of the file.
const VERSION: u32 = 1;
/// Runs the setup command, then becomes the worker's own.
const INCREMENTAL: &str = "sh -c \"$0\" || printf 'podbay: the setup command ended with %s\\n' \"$?\" >&2; exec \"$@\"";

/// The images of a bay. One for each supervisor.
pub struct Prebuilt {
    file: PathBuf,
    built: Mutex<Vec<Built>>,
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Names of the containers that images are made in at this moment.
    building: Mutex<BTreeSet<String>>,
}

/// An image that podbay made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Built {
    id: String,
    reference: String,
    /// Which repository it is of.
    identity: String,
    /// Setup command and base image, as a hash.
    setup: String,
    /// The base image, as its template names it.
    base: String,
    at: Timestamp,
    /// It has no id yet, and is about to be made with this nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    built: Vec<Built>,
}

/// For whom an image is wanted.
pub struct Order<'a> {
    /// The bay.
    pub bay: &'a Name,
    /// Signs what is made for a while.
    pub key: &'a OwnerKey,
    /// The repository.
    pub remote: &'a Remote,
    /// Its setup command.
    pub setup: &'a str,
    /// Also when there is one already.
    pub rebuild: bool,
    /// Hears how far it is.
    pub report: &'a Report,
    /// Cancelled when nobody wants it any more.
    pub given_up: &'a CancellationToken,
}

impl Prebuilt {
    /// What is written down in the state directory. A file that can't be read is none: images are made again.
    #[must_use]
    pub fn new(state: &std::path::Path) -> Self {
        let file = state.join("images.json");
        let kept: Kept = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let built = if kept.version <= VERSION { kept.built } else { Vec::new() };
        Self { file, built: Mutex::new(built), turns: Mutex::default(), building: Mutex::default() }
    }

    /// Gives a worker the image of its repository, made if need be, and lets its setup command run incrementally where
    /// it has not just run.
    ///
    /// # Errors
    /// The engine's, or that the setup command failed, with its last words.
    pub async fn prepare(
        &self,
        engine: &SharedEngine,
        order: &Order<'_>,
        mut spec: ContainerSpec,
    ) -> Result<(ContainerSpec, Vec<String>), StepError> {
        let facts = engine.image(&spec.image).await?;
        let mut notes = Vec::new();
        if let (ImageRef::Named(base), Some(store)) = (&spec.image, engine.images()) {
            let setup = short_hash(format!("{}\0{}\0{:?}", facts.id, order.setup, spec.user).as_bytes());
            let identity = order.remote.identity();
            let turn = self.turns().entry(identity.clone()).or_default().clone();
            // Whoever has it may install for an hour.
            let _turn = tokio::select! {
                turn = turn.lock() => turn,
                () = order.given_up.cancelled() => return Err(failed("it was given up".to_owned())),
            };
            self.settle_pending(store, Some(&identity)).await?;
            let known = if order.rebuild { None } else { self.known(store, &identity, &setup).await? };
            if let Some(image) = known {
                spec.image = ImageRef::Named(image);
            } else {
                let (reference, base) = (self.reference(order.remote), base.clone());
                let nonce: [u8; 16] = random().map_err(|error| failed(format!("no random number: {error}")))?;
                let pending = Some(crate::bay::owner::hex(&nonce));
                let at = Timestamp::now();
                let one = Built { id: String::new(), reference: reference.clone(), identity, setup, base, at, pending };
                // One that failed late may be there all the same: that is looked at before the next.
                let id = self.build(engine, store, order, (&spec, &facts, &one)).await?;
                self.settled(&one, Some(&id))?;
                notes.push(format!("the setup command has run; {reference} is the image of later workers"));
                spec.image = ImageRef::Named(reference);
                return Ok((spec, notes));
            }
        }
        let own = if spec.command.is_empty() { facts.command.clone() } else { spec.command.clone() };
        if own.is_empty() {
            notes
                .push("the setup command was not run again: the worker's command is its image's entrypoint".to_owned());
        } else {
            let begin = ["sh", "-c", INCREMENTAL, order.setup].map(str::to_owned);
            spec.command = begin.into_iter().chain(own).collect();
        }
        Ok((spec, notes))
    }

    /// The image of this repository and setup, if the engine still has it.
    async fn known(&self, store: &dyn ImageStore, identity: &str, setup: &str) -> Result<Option<String>, EngineError> {
        let fits = |built: &&Built| built.identity == identity && built.setup == setup && built.pending.is_none();
        let found = self.built().iter().rev().find(fits).cloned();
        let Some(found) = found else { return Ok(None) };
        if store.seen(&found.id).await?.is_none() {
            return Ok(None);
        }
        // Somebody may have given its name to another one.
        let named = store.seen(&found.reference).await?.is_some_and(|seen| seen.id == found.id);
        Ok(Some(if named { found.reference } else { found.id }))
    }

    /// `<owner>-<repo>:main`, as an engine takes it; two repositories of one name don't take it from each other.
    fn reference(&self, remote: &Remote) -> String {
        let mut name = String::new();
        for c in format!("{}-{}", remote.owner(), remote.repo()).to_lowercase().chars() {
            let c = if c.is_ascii_alphanumeric() { c } else { '-' };
            if c != '-' || !name.ends_with('-') {
                name.push(c);
            }
        }
        let name = name.trim_matches('-');
        let (plain, identity) = (format!("{name}:main"), remote.identity());
        let other = self.built().iter().any(|built| built.reference == plain && built.identity != identity);
        if other { format!("{name}-{}:main", short_hash(identity.as_bytes())) } else { plain }
    }

    async fn build(
        &self,
        engine: &SharedEngine,
        store: &dyn ImageStore,
        order: &Order<'_>,
        (spec, facts, one): (&ContainerSpec, &ImageFacts, &Built),
    ) -> Result<String, StepError> {
        let reference = one.reference.as_str();
        let _at_work = self.at_work(builder_name(order.bay, reference).as_str());
        (order.report)(Progress::new(Phase::Installing, format!("the setup command of {}", order.remote)));
        leftover::remove(engine, order.bay, order.key, |name| name == builder_name(order.bay, reference).as_str())
            .await?;
        engine.ensure_image(&spec.image).await?;
        let id = engine.create(&builder(order, spec, reference)?).await?.id;
        let made = async {
            engine.start(&id).await?;
            let ran = tokio::select! {
                ran = run(engine, &id, order.setup, spec) => ran,
                () = order.given_up.cancelled() => Err(failed("it was given up".to_owned())),
            };
            ran?;
            (order.report)(Progress::new(Phase::Installing, format!("writing the image {reference}")));
            let mut labels = labels_of(order, spec);
            labels.insert(leftover::NONCE.to_owned(), one.pending.clone().unwrap_or_default());
            self.add(one.clone())?;
            crash::point("before-commit");
            let commit = Commit { container: &id, reference, labels: &labels, base: facts };
            let made = store.commit(commit).await?;
            crash::point("after-commit");
            Ok::<String, StepError>(made)
        };
        let made = made.await;
        if let Err(error) = engine.remove(&id).await {
            tracing::warn!(%error, "the container of a setup command was left; the next build removes it");
        }
        made
    }

    /// All images that podbay made here, the newest first.
    ///
    /// # Errors
    /// The engine's.
    pub async fn rows(&self, store: &dyn ImageStore) -> Result<Vec<ImageRow>, EngineError> {
        let built = self.known_built();
        let mut rows = Vec::new();
        for one in built.into_iter().rev() {
            let seen = store.seen(&one.id).await?;
            let named = store.seen(&one.reference).await?.is_some_and(|seen| seen.id == one.id);
            let state = match &seen {
                None => "gone",
                Some(_) if named => "ready",
                Some(_) => "replaced",
            };
            rows.push(ImageRow {
                reference: one.reference,
                id: one.id,
                repository: one.identity,
                base: one.base,
                state: state.to_owned(),
                size: seen.map(|seen| seen.size),
                built_at: one.at,
            });
        }
        Ok(rows)
    }

    /// Removes the images that no container uses; what was kept has its reason. Answers with lines of what was done.
    ///
    /// # Errors
    /// The engine's, or that the file can't be written.
    pub async fn prune(&self, store: &dyn ImageStore) -> Result<(Vec<String>, Vec<String>), StepError> {
        let (mut removed, mut kept, mut broken) = (Vec::new(), Vec::new(), None);
        for one in self.known_built() {
            match store.remove_image(&one.id).await {
                Ok(()) => {
                    self.built().retain(|built| built.id != one.id);
                    removed.push(one.reference);
                }
                Err(EngineError::Conflict { message, .. }) => kept.push(format!("{}: {message}", one.reference)),
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        // What went is written down, however it ended.
        self.write()?;
        broken.map_or(Ok((removed, kept)), |error| Err(error.into()))
    }

    fn add(&self, built: Built) -> Result<(), StepError> {
        self.built().push(built);
        self.write()
    }

    fn write(&self) -> Result<(), StepError> {
        let kept = Kept { version: VERSION, built: self.built().clone() };
        let fresh = self.file.with_extension("new");
        let written = serde_json::to_vec_pretty(&kept).map_err(io::Error::from).and_then(|text| {
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.file)
        });
        written.map_err(|error| failed(format!("{} can't be written: {error}", self.file.display())))
    }

    /// Held for a moment, never across an await.
    fn built(&self) -> MutexGuard<'_, Vec<Built>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, BTreeMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(text: String) -> StepError {
    StepError::Workspace(WorkspaceError { text, hint: None, by_request: false })
}

/// The name of the container that an image is made in.
fn builder_name(bay: &Name, reference: &str) -> ContainerName {
    ContainerName::build(bay, &short_hash(reference.as_bytes()))
}

/// A container over the worker's mounts that waits; nothing of the worker's environment is in it, because an image keeps
/// what its container had.
fn builder(order: &Order<'_>, spec: &ContainerSpec, reference: &str) -> Result<ContainerSpec, StepError> {
    let nonce = random().map(Nonce::from_bytes).map_err(|error| failed(format!("no random number: {error}")))?;
    let wait = "trap 'exit 0' TERM; sleep 86400 & wait";
    let labels = [
        (label::BAY, order.bay.to_string()),
        (label::ROLE, Role::Worker.as_str().to_owned()),
        (label::OWNER, order.key.sign(order.bay, Role::Worker, &nonce)),
    ];
    Ok(ContainerSpec {
        name: builder_name(order.bay, reference),
        command: ["sh", "-c", wait].map(str::to_owned).into(),
        env: spec.env.iter().filter(|(key, _)| *key == "HOME").map(|(k, v)| (k.clone(), v.clone())).collect(),
        labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        network: match &spec.network {
            NetworkSpec::Bridge(_) => NetworkSpec::Bridge(Vec::new()),
            NetworkSpec::Walled(wall) => NetworkSpec::Walled(Wall { ports: Vec::new(), ..wall.clone() }),
            other => other.clone(),
        },
        tty: false,
        stop_signal: None,
        health: None,
        ..spec.clone()
    })
}

/// What the image says of itself; what its container said is taken back, or containers made from it would say it, too.
fn labels_of(order: &Order<'_>, spec: &ContainerSpec) -> BTreeMap<String, String> {
    let own = [
        (label::BAY, order.bay.as_str()),
        (label::ROLE, "image"),
        (label::OWNER, ""),
        ("podbay.repository", &order.remote.identity()),
    ];
    let taken = spec.labels.keys().map(|key| (key.clone(), String::new()));
    taken.chain(own.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect()
}

/// Runs the setup command with the worker's own environment.
async fn run(engine: &SharedEngine, id: &ContainerId, setup: &str, spec: &ContainerSpec) -> Result<(), StepError> {
    let exec = ExecSpec {
        command: ["sh", "-c", setup].map(str::to_owned).into(),
        tty: None,
        env: spec.env.clone(),
        user: None,
        workdir: spec.workdir.as_ref().map(|dir| dir.display().to_string()),
    };
    let exec = engine.exec(id, &exec).await?;
    let ExecIo::Pipes { mut output, input } = exec.io else {
        return Err(failed("the engine gave it a tty".to_owned()));
    };
    // Nobody answers its questions.
    drop(input);
    let (mut tail, until) = (Vec::new(), Instant::now() + LONGEST);
    let mut open = true;
    loop {
        tokio::select! {
            chunk = output.next(), if open => match chunk {
                Some(Ok(chunk)) => {
                    tail.extend_from_slice(&chunk.bytes);
                    let surplus = tail.len().saturating_sub(TAIL);
                    tail.drain(..surplus);
                }
                _ => open = false,
            },
            // The end of its stream says nothing: a process of its own may hold it open, or it may have broken.
            () = tokio::time::sleep(LOOK) => match engine.exec_state(&exec.id).await? {
                ExecState::Exited { code: 0 } => return Ok(()),
                ExecState::Exited { code } => return Err(ended(code, &tail)),
                ExecState::Running { .. } if Instant::now() > until => {
                    return Err(failed(format!("the setup command did not end within {} minutes", LONGEST.as_secs() / 60)));
                }
                ExecState::Running { .. } => {}
            },
        }
    }
}

fn ended(code: i64, tail: &[u8]) -> StepError {
    let words = String::from_utf8_lossy(tail);
    let last: Vec<&str> = words.lines().rev().filter(|line| !line.trim().is_empty()).take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    let hint = "run it by hand in a worker of a template without `setup`".to_owned();
    let text = format!("the setup command ended with {code}: {}", last.join("; "));
    StepError::Workspace(WorkspaceError { text, hint: Some(hint), by_request: false })
}
