//! Routes that ask for something once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::extract::{Asked, Body, Segment};
use super::{ApiError, App};
use crate::api::types::{
    ContainerDetail, ContainerRow, Done, DownRequest, NetworkRequest, PoolRequest, Reloaded, SEND_MAX, SendRequest,
    SessionRequest, SessionRow, SpawnReply, SpawnRequest, StatsRow, UpRequest, Verb, Why,
};
use crate::bay::container::{ContainerId, Role};
use crate::bay::matching::{self, MatchError};
use crate::bay::name::{Name, WARM};
use crate::bay::session::{SessionId, TermSize};
use crate::bay::template::WorkspaceMode;
use crate::engine::{SharedEngine, Stats};
use crate::supervisor::event::{Command, Reply};
use crate::supervisor::refusal;
use crate::supervisor::session::{ShellSpec, Typed};

pub(super) type Answer<T> = Result<Json<T>, ApiError>;

/// A file system has so long to say what a path leads to.
const PATH: Duration = Duration::from_secs(2);
/// Readings that are taken at once.
const READINGS: usize = 8;

impl App {
    /// Asks the machine and waits for its answer.
    pub(super) async fn ask(&self, command: Command) -> Result<Reply, ApiError> {
        let ended = || ApiError::new("internal", "the supervisor is ending");
        let (answer, answered) = oneshot::channel();
        self.handle.commands.send((command, answer)).await.map_err(|_| ended())?;
        match answered.await.map_err(|_| ended())? {
            Reply::Refused(error) => Err(ApiError(error)),
            reply => Ok(reply),
        }
    }

    pub(super) async fn done(&self, command: Command) -> Answer<Done> {
        match self.ask(command).await? {
            Reply::Done(done) => Ok(Json(done)),
            _ => Err(ApiError::new("internal", "the supervisor answered something else")),
        }
    }

    /// The row that a route's `{id}` means.
    pub(super) fn row(&self, word: &str) -> Result<ContainerRow, ApiError> {
        let view = self.handle.view.borrow().clone();
        let not_found = |error: &MatchError| ApiError::new("not-found", error.to_string());
        if let Some(exact) = view.containers.iter().find(|row| row.name == word) {
            return Ok(exact.clone());
        }
        if let Some(service) = self.native_service(word) {
            let why = format!("{} runs on this machine itself: it has no container", service.name);
            let error = ApiError::new("refused", why);
            return Err(error.hint("`podbay attach` opens the terminal of one with tty = true, and types into it"));
        }
        match matching::resolve(word, &view.containers).map_err(|error| not_found(&error))?.as_slice() {
            [row] => Ok((*row).clone()),
            many => {
                let names = many.iter().take(10).map(|row| row.name.clone()).collect();
                Err(not_found(&MatchError::Ambiguous { word: word.to_owned(), names }))
            }
        }
    }

    /// The row with its container, which must exist, and the engine.
    pub(super) async fn container(&self, word: &str) -> Result<(ContainerRow, ContainerId, SharedEngine), ApiError> {
        self.first_look().await;
        let row = self.row(word)?;
        if row.id.is_empty() {
            let why = row.reason.unwrap_or_else(|| "not there".to_owned());
            return Err(ApiError::new("busy", format!("{}: {why}", row.name)));
        }
        let engine = self.engine()?;
        let id = ContainerId::new(row.id.clone());
        Ok((row, id, engine))
    }

    /// The same, for what somebody does in it: nobody is let into a worker that waits in the pool, or it would be used.
    pub(super) async fn worked_in(&self, word: &str) -> Result<(ContainerRow, ContainerId, SharedEngine), ApiError> {
        let found = self.container(word).await?;
        not_warm(&found.0)?;
        Ok(found)
    }

    pub(super) fn engine(&self) -> Result<SharedEngine, ApiError> {
        self.handle.engine.borrow().clone().ok_or_else(|| {
            let reason = self.handle.view.borrow().status.engine.reason.clone();
            ApiError::new("engine-away", reason.unwrap_or_else(|| "the engine has not answered yet".to_owned()))
        })
    }
}

/// Refuses a worker of the pool.
pub(super) fn not_warm(row: &ContainerRow) -> Result<(), ApiError> {
    if row.name.starts_with(WARM) { Err(ApiError(refusal::warm())) } else { Ok(()) }
}

pub async fn spawn(State(app): State<App>, Body(mut request): Body<SpawnRequest>) -> Answer<SpawnReply> {
    let notes = super::hosted::understood(&mut request, &app.handle.config.borrow())?;
    let request = in_the_templates_words(&app, request).await;
    match app.ask(Command::Spawn(Box::new(request))).await? {
        Reply::Spawned(reply) => Ok(Json(SpawnReply { notes: [notes, reply.notes].concat(), ..reply })),
        _ => Err(ApiError::new("internal", "the supervisor answered something else")),
    }
}

/// A directory that is the template's by another name is the template's: its warm workers have it already.
async fn in_the_templates_words(app: &App, mut request: SpawnRequest) -> SpawnRequest {
    let Some(asked) = request.overrides.project.clone() else { return request };
    let config = app.handle.config.borrow().clone();
    let template = request.template.as_ref().map_or(Some(&config.worker), |name| config.template(name));
    let bound = template.filter(|template| template.workspace == WorkspaceMode::Bind && !template.project.is_empty());
    let Some(named) = bound.map(|template| template.project.clone()) else { return request };
    let env = app.handle.env.clone();
    let same = tokio::task::spawn_blocking(move || crate::workspace::is_same(&env, &named, &asked));
    // A directory that does not answer is looked at again when it is mounted.
    if matches!(tokio::time::timeout(PATH, same).await, Ok(Ok(true))) {
        request.overrides.project = None;
    }
    request
}

async fn act(app: &App, target: String, verb: Verb) -> Answer<Done> {
    app.done(Command::Act { target, verb }).await
}

pub async fn start(State(app): State<App>, Segment(id): Segment<String>) -> Answer<Done> {
    act(&app, id, Verb::Start).await
}

pub async fn stop(State(app): State<App>, Segment(id): Segment<String>) -> Answer<Done> {
    act(&app, id, Verb::Stop).await
}

pub async fn restart(State(app): State<App>, Segment(id): Segment<String>) -> Answer<Done> {
    act(&app, id, Verb::Restart).await
}

pub async fn refresh(State(app): State<App>, Segment(id): Segment<String>) -> Answer<Done> {
    act(&app, id, Verb::Refresh).await
}

/// What a removal may cost.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Removal {
    /// Also what is in its clone and nowhere else.
    force: bool,
}

/// Removes a worker; what is in its clone and nowhere else only by force.
pub async fn remove(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Asked(removal): Asked<Removal>,
) -> Answer<Done> {
    if removal.force {
        return act(&app, id, Verb::Discard).await;
    }
    app.first_look().await;
    // One that is not there, or being made, is the machine's to answer.
    if let Ok(row) = app.row(&id) {
        let unsaved = unsaved_of(&app, &row).await;
        if !unsaved.is_empty() {
            let message = format!("{}'s clone holds what is nowhere else:\n{}", row.name, unsaved.join("\n"));
            let hint = "commit and push it, or say that it may go: `podbay rm -y`, `?force=true`";
            return Err(ApiError::new("unsaved", message).hint(hint));
        }
    }
    act(&app, id, Verb::Remove).await
}

pub async fn pool(State(app): State<App>, Body(request): Body<PoolRequest>) -> Answer<Done> {
    app.done(Command::Pool(request)).await
}

/// What would be lost with a worker's clone.
pub async fn unsaved(State(app): State<App>, Segment(id): Segment<String>) -> Answer<Vec<String>> {
    app.first_look().await;
    let row = app.row(&id)?;
    Ok(Json(unsaved_of(&app, &row).await))
}

async fn unsaved_of(app: &App, row: &ContainerRow) -> Vec<String> {
    let Ok(name) = Name::worker(&row.name) else { return Vec::new() };
    app.handle.repositories.unsaved(&app.handle.paths.worker(&name)).await
}

pub async fn up(State(app): State<App>, Body(request): Body<Option<UpRequest>>) -> Answer<Done> {
    let UpRequest { gently } = request.unwrap_or_default();
    app.done(Command::Up { gently }).await
}

pub async fn down(State(app): State<App>, Body(request): Body<DownRequest>) -> Answer<Done> {
    let done = app.done(Command::Down(request)).await;
    if done.is_ok() {
        // Whoever asks after this answer must not reach the supervisor that ends.
        drop(std::fs::remove_file(&app.handle.paths.socket));
    }
    done
}

pub async fn reload_route(State(app): State<App>) -> Answer<Reloaded> {
    reload(&app).await.map(Json)
}

/// Reads the configuration anew. An invalid one changes nothing, and the supervisor says so until it is mended.
pub(super) async fn reload(app: &App) -> Result<Reloaded, ApiError> {
    let read = app.reload.clone();
    let tokens = app.tokens.clone();
    let read = move || {
        // Somebody may have written another one. What is wrong with it is a matter of the log: the old one stays good.
        if tokens.file().exists()
            && let Err(why) = tokens.ready()
        {
            tracing::warn!("the token stays as it was: {why}");
        }
        read()
    };
    let read = tokio::task::spawn_blocking(read);
    let read = read.await.map_err(|error| ApiError::new("internal", error.to_string()))?;
    match app.ask(Command::Reload(read.map(Arc::new))).await? {
        Reply::Reloaded(reloaded) => Ok(reloaded),
        _ => Err(ApiError::new("internal", "the supervisor answered something else")),
    }
}

pub async fn network(State(app): State<App>, Body(request): Body<NetworkRequest>) -> Answer<Done> {
    app.done(Command::Network(request)).await
}

/// Puts another token in the place of the present one, and lets go whoever used that.
pub async fn rotate_token(State(app): State<App>) -> Answer<Done> {
    let tokens = app.tokens.clone();
    let rotated = tokio::task::spawn_blocking(move || tokens.rotate()).await;
    let rotated = rotated.map_err(|error| ApiError::new("internal", error.to_string()))?;
    rotated.map_err(|why| ApiError::new("internal", why))?;
    tracing::info!("the API's token was rotated");
    let text = format!("a new token is in {}; connections with the old one were closed", app.tokens.file().display());
    let listens = app.handle.config.borrow().api.listen.is_some();
    let unused = "nothing asks for it: [api] listen names no TCP address";
    Ok(Json(Done { text, notes: if listens { vec![] } else { vec![unused.to_owned()] } }))
}

pub async fn why(State(app): State<App>, Segment(name): Segment<String>) -> Answer<Why> {
    // A supervisor that has just begun would say that it does not know.
    app.first_look().await;
    match app.ask(Command::Why(name)).await? {
        Reply::Why(why) => Ok(Json(*why)),
        _ => Err(ApiError::new("internal", "the supervisor answered something else")),
    }
}

pub async fn detail(State(app): State<App>, Segment(id): Segment<String>) -> Answer<ContainerDetail> {
    if let Some(service) = app.native_service(&id) {
        let inspect = serde_json::to_value(&service).unwrap_or_default();
        return Ok(Json(ContainerDetail { row: service.as_container(), host_port: None, inspect }));
    }
    let (row, id, engine) = app.container(&id).await?;
    let inspect = engine.describe(&id).await?;
    let host_port = row.ports.first().map(|mapping| mapping.host);
    Ok(Json(ContainerDetail { row, host_port, inspect }))
}

/// Types a text into the main tty.
pub async fn send(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Body(request): Body<SendRequest>,
) -> Answer<Done> {
    if request.text.len() > SEND_MAX {
        return Err(ApiError::new("invalid", format!("a text of more than {} KiB is not typed", SEND_MAX >> 10)));
    }
    app.first_look().await;
    let row = app.row(&id)?;
    not_warm(&row)?;
    let no_tty = || ApiError::new("refused", format!("{} has no terminal that is open", row.name));
    let session = app.handle.sessions.main_of(&row.name).ok_or_else(no_tty)?;
    let enter = request.enter.then(|| Typed::Bytes(Bytes::from_static(b"\r")));
    for typed in [Typed::Paste(request.text)].into_iter().chain(enter) {
        if !app.handle.sessions.send(session, typed).await {
            return Err(no_tty());
        }
    }
    Ok(Json(Done { text: format!("sent to {}", row.name), notes: vec![] }))
}

pub async fn open_session(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Body(request): Body<SessionRequest>,
) -> Answer<SessionRow> {
    if let Some(service) = app.native_service(&id) {
        let why = format!("{} runs on this machine itself: there is no container to open a shell in", service.name);
        return Err(ApiError::new("refused", why));
    }
    let (row, id, engine) = app.worked_in(&id).await?;
    let name: Name = row.name.parse().map_err(|_| ApiError::new("internal", "its name can't be read"))?;
    let size = TermSize::new(request.size.rows, request.size.cols);
    let shell = ShellSpec { command: &request.command, env: app.given_env(&row).await, size };
    Ok(Json(app.handle.sessions.open_shell(&engine, &id, &name, shell).await?))
}

pub async fn close_session(State(app): State<App>, Segment(id): Segment<u64>) -> Answer<Done> {
    if app.handle.sessions.close(SessionId(id)).await {
        return Ok(Json(Done { text: format!("session {id} is closed"), notes: vec![] }));
    }
    Err(ApiError::new("not-found", format!("there is no session {id}")))
}

/// One reading of everything that runs. What ends meanwhile is left out.
pub async fn stats(State(app): State<App>) -> Answer<Vec<StatsRow>> {
    app.first_look().await;
    let engine = app.engine()?;
    Ok(Json(readings(&app, &engine, |_| true).await))
}

/// One reading of each container that runs and is wanted, by name.
pub(super) async fn readings(
    app: &App,
    engine: &SharedEngine,
    wanted: impl Fn(&ContainerRow) -> bool,
) -> Vec<StatsRow> {
    let rows = app.handle.view.borrow().containers.clone();
    let running = rows.into_iter().filter(|row| row.started_at.is_some() && !row.id.is_empty() && wanted(row));
    let read = |row| {
        let engine = engine.clone();
        async move { reading(&engine, row).await }
    };
    let readings: Vec<_> = running.map(read).collect();
    let mut stats: Vec<StatsRow> =
        futures_util::stream::iter(readings).buffer_unordered(READINGS).filter_map(std::future::ready).collect().await;
    stats.sort_by(|a, b| a.name.cmp(&b.name));
    stats
}

/// Between the two readings that a CPU percentage needs.
const BETWEEN: Duration = Duration::from_millis(200);

async fn reading(engine: &SharedEngine, row: ContainerRow) -> Option<StatsRow> {
    let id = ContainerId::new(row.id);
    let mut stats: Stats = engine.stats(&id).await.ok()?;
    if stats.cpu_percent.is_none() {
        tokio::time::sleep(BETWEEN).await;
        stats = engine.stats(&id).await.ok()?;
    }
    // In a shared namespace the figures are the parent's.
    let own = row.role == Role::Parent || row.network != "shared";
    Some(StatsRow {
        name: row.name,
        cpu_percent: stats.cpu_percent,
        memory: stats.memory,
        memory_limit: stats.memory_limit,
        pids: stats.pids,
        network: stats.network.filter(|_| own),
        block: stats.block,
    })
}
