//! The image of a repository, for later workers of it: made as `podbay image build` makes it, by a worker of the
//! repository's default branch that goes again once its image is there.

use std::io;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::work::Work;
use crate::api::server::App;
use crate::api::types::{SpawnRequest, Verb};
use crate::bay::container::{Observed, label};
use crate::bay::name::Name;
use crate::bay::remote::Remote;
use crate::bay::template::{Overrides, short_hash};
use crate::config::paths::private_dir;
use crate::supervisor::event::{Command, Reply};
use crate::workspace;
use crate::workspace::clone::{Filling, Place, Source};

/// Makes it where there is none; what is to be said of that.
pub async fn make(work: &Work) -> Result<Option<String>, String> {
    let app = &work.job.app;
    let seen = work.engine.inspect(&work.id).await.map_err(|error| error.to_string())?;
    let name = maker(&work.source.remote)?;
    let at_work = app.row(name.as_str()).is_ok();
    if work.template.setup.is_empty() || at_work || is_made_of(work, &seen).await {
        return Ok(None);
    }
    let made = match fill(work, &name).await {
        Ok(()) => spawn(app, request(work, &seen, &name)).await,
        Err(why) => Err(why),
    };
    // It may have gone by itself already; nobody has worked in its clone.
    if app.ask(Command::Act { target: name.to_string(), verb: Verb::Discard }).await.is_err() && made.is_err() {
        let (paths, gone) = (app.handle.paths.clone(), name);
        let clear =
            move || workspace::clone::remove(&paths.worker(&gone)).and_then(|()| workspace::forget(&paths, &gone));
        drop(tokio::task::spawn_blocking(clear).await);
    }
    made.map(Some)
}

/// The one worker that a repository's image is made by: two setups of it don't make it twice.
fn maker(remote: &Remote) -> Result<Name, String> {
    let name = format!("image-{}", short_hash(remote.identity().as_bytes()));
    name.parse().map_err(|_| format!("{name:?} is no name"))
}

/// Whether a worker was made from an image of this repository: that has all that an image of it has.
pub async fn is_made_of(work: &Work, seen: &Observed) -> bool {
    let Some(store) = work.engine.images() else { return false };
    let identity = work.source.remote.identity();
    let rows = work.job.app.handle.prebuilt.rows(store).await.unwrap_or_default();
    rows.iter().any(|row| row.repository == identity && (row.reference == seen.image || row.id == seen.image))
}

/// Its clone is there before it is asked for: a token that the setup brought opens the repository here and nowhere else.
async fn fill(work: &Work, name: &Name) -> Result<(), String> {
    let handle = &work.job.app.handle;
    let worker = handle.paths.worker(name);
    let owner = workspace::owner(&handle.env, &work.template);
    let made = worker.clone();
    let made = tokio::task::spawn_blocking(move || directories(&made, owner)).await;
    made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let (token, given_up) = (work.token().await?, CancellationToken::new());
    let filling = Filling { token: token.path(), report: &|_| {}, given_up: &given_up };
    let source = Source { branch: None, ..work.source.clone() };
    let filled = handle.repositories.fill(&Place { worker: &worker, owner }, &source, &filling).await;
    filled.map(drop).map_err(|error| error.to_string())
}

fn directories(worker: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let workspace = worker.join("workspace");
    for dir in [worker.parent().unwrap_or(worker), worker, &workspace] {
        private_dir(dir)?;
    }
    owner.map_or(Ok(()), |(uid, gid)| std::os::unix::fs::lchown(&workspace, Some(uid), Some(gid)))
}

/// A worker like the one that was set up, that ends at once.
fn request(work: &Work, seen: &Observed, name: &Name) -> SpawnRequest {
    let like: Overrides = serde_json::from_str(seen.label(label::REQUEST)).unwrap_or_default();
    let overrides = Overrides {
        repo: Some(work.source.remote.url().to_owned()),
        image: like.image,
        memory: like.memory,
        cpus: like.cpus,
        pids: like.pids,
        network: like.network,
        volume: like.volume,
        rm: true,
        command: vec!["true".to_owned()],
        ..Overrides::default()
    };
    let template = Some(work.template.name.clone());
    SpawnRequest { name: Some(name.to_string()), template, overrides, ..SpawnRequest::default() }
}

async fn spawn(app: &App, request: SpawnRequest) -> Result<String, String> {
    match app.ask(Command::Spawn(Box::new(request))).await.map_err(|error| error.0.message)? {
        Reply::Spawned(reply) => Ok(reply.notes.join("; ")),
        _ => Err("the supervisor answered something else".to_owned()),
    }
}
