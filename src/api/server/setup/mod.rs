//! A repository for a worker that is there already: cloned into its workspace while it runs, its template's setup
//! command run in it, and whoever asked told how far it is.
//!
//! Answered at once; the work goes on without its client. What a supervisor that ends leaves half done, the next takes up.

mod image;
mod job;
mod kept;
mod resume;
mod token;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

use super::callback::{self, Callback, Target};
use super::extract::{Body, Segment};
use super::{ApiError, App};
use crate::api::types::{ContainerRow, SetupPhase, SetupReply, SetupRequest};
use crate::bay::container::Role;
use crate::bay::name::Name;
use crate::bay::owner::hex;
use crate::bay::remote::{Branch, Remote};
use crate::bay::template::{Template, WorkspaceMode};
use crate::config::env::is_variable;
use crate::config::paths::Paths;
use crate::supervisor::event::Command;
use crate::supervisor::store::random;
use crate::workspace::clone::Source;

use job::Job;
use kept::{Files, Kept, Underway};
pub(super) use resume::resume;
pub(super) use token::Lent;
use work::Work;

/// Setups that go on, by worker, and what is kept of them.
#[derive(Clone)]
pub struct Setups {
    taken: Arc<Mutex<BTreeSet<Name>>>,
    files: Files,
}

impl Setups {
    pub fn new(paths: Arc<Paths>) -> Self {
        Self { taken: Arc::default(), files: Files::new(paths) }
    }

    /// A place for one; `None`: this worker has one already.
    fn begin(&self, name: &Name) -> Option<Taken> {
        let fresh = self.all().insert(name.clone());
        fresh.then(|| Taken { setups: self.clone(), name: name.clone() })
    }

    /// Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
    fn all(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one that goes on.
struct Taken {
    setups: Setups,
    name: Name,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.setups.all().remove(&self.name);
    }
}

/// `POST /api/containers/{id}/setup`.
pub async fn setup(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Body(request): Body<SetupRequest>,
) -> Result<(StatusCode, Json<SetupReply>), ApiError> {
    let source = source(&request)?;
    let target = receiver(&app, &request).await?;
    let (row, id, engine) = app.worked_in(&id).await?;
    let name: Name = row.name.parse().map_err(|_| ApiError::new("internal", "its name can't be read"))?;
    let template = checked(&app, &name, &row)?;
    if row.started_at.is_none() {
        return Err(ApiError::new("busy", format!("{} does not run", row.name)));
    }
    let taken = app.setups.begin(&name).ok_or_else(|| ApiError::new("busy", "a setup of it goes on"))?;
    let notes = notes(&request, &template, &source);
    let reply = SetupReply { id: id.to_string(), name: row.name, status: SetupPhase::Cloning, notes };
    let underway = keep(&app, &name, id.as_str(), request).await?;
    let callback = target.map(|target| begin_callback(&app, &name, target, &underway.request));
    let work = Work { job: Job { app: app.clone(), name, underway, callback }, engine, id, template, source };
    let ending = app.handle.ending.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = work.run(taken) => {}
            () = ending.cancelled() => {}
        }
    });
    Ok((StatusCode::ACCEPTED, Json(reply)))
}

/// Writes down what was asked for, before it is answered.
async fn keep(app: &App, name: &Name, id: &str, request: SetupRequest) -> Result<Underway, ApiError> {
    let internal = |why: &dyn std::fmt::Display| ApiError::new("internal", format!("it can't be kept: {why}"));
    let turn = hex(&random::<8>().map_err(|error| internal(&error))?);
    let opens = request.callback_secret.as_deref().and_then(|secret| app.lent.lend(id, secret));
    let begun = Timestamp::now();
    let underway = Underway { turn, container: id.to_owned(), begun, tries: 1, request, marker: None, told: None };
    let kept = Kept {
        env: underway.request.env_vars.clone(),
        opens: opens.map(|digest| (id.to_owned(), digest)),
        underway: Some(underway.clone()),
        ..Kept::default()
    };
    let (files, name) = (app.setups.files.clone(), name.clone());
    let written = tokio::task::spawn_blocking(move || files.begin(&name, &kept)).await;
    written.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?;
    Ok(underway)
}

/// Begins to tell whoever asked for it.
fn begin_callback(app: &App, name: &Name, target: Target, request: &SetupRequest) -> Callback {
    let (told, of) = (app.clone(), name.clone());
    let given_up: callback::GivenUp = Arc::new(move |text| told.note(Some(of.clone()), format!("its {text}")));
    let secret = request.callback_secret.clone().unwrap_or_default();
    Callback::begin(target, secret, given_up, app.handle.ending.clone())
}

/// The template of a worker that can be set up.
fn checked(app: &App, name: &Name, row: &ContainerRow) -> Result<Template, ApiError> {
    let impossible = |why: String| ApiError::new("impossible", why);
    if row.role != Role::Worker {
        return Err(impossible(format!("{} is no worker: only a worker has a workspace", row.name)));
    }
    let template = app.template_of(&row.template);
    let template = template.ok_or_else(|| impossible(format!("{}'s template is gone", row.name)))?;
    if !has_own_workspace(app, name, &template, row.project.as_deref()) {
        let why = format!("{}'s workspace is a directory of this machine, which a setup would change", row.name);
        return Err(impossible(why));
    }
    Ok(template)
}

/// Where the clone comes from.
fn source(request: &SetupRequest) -> Result<Source, ApiError> {
    let wrong = |field: &str, why: String| ApiError::new("invalid", why).field(field.to_owned());
    let short = request.repo.split('/').collect::<Vec<_>>();
    let url = match short.as_slice() {
        [owner, repo] if !owner.is_empty() && !repo.is_empty() && !request.repo.contains(':') => {
            format!("https://github.com/{}", request.repo)
        }
        _ => request.repo.clone(),
    };
    let remote: Remote =
        url.parse().map_err(|error: crate::bay::remote::RemoteError| wrong("repo", error.to_string()))?;
    let branch = request.branch.as_deref().filter(|branch| !branch.is_empty());
    let branch = branch.map(str::parse::<Branch>).transpose().map_err(|why| wrong("branch", why))?;
    for (key, value) in &request.env_vars {
        if !is_variable(key) || value.contains('\0') {
            return Err(wrong("envVars", format!("{key:?} is not a variable's name, or its value has a NUL in it")));
        }
    }
    Ok(Source { remote, branch })
}

/// Who is told, once its address is known to be one that may be.
async fn receiver(app: &App, request: &SetupRequest) -> Result<Option<callback::Target>, ApiError> {
    let Some(url) = request.callback_url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
    if request.callback_secret.as_deref().is_none_or(str::is_empty) {
        let text = "a callback is signed: say with which callbackSecret";
        return Err(ApiError::new("invalid", text).field("callbackSecret"));
    }
    let allowed = app.handle.config.borrow().api.callback_hosts.clone();
    let target = callback::target(url, &allowed).await;
    target.map(Some).map_err(|why| ApiError::new("invalid", format!("callbackUrl: {why}")).field("callbackUrl"))
}

/// A workspace of the worker's own is filled; a directory of the user's is never touched.
fn has_own_workspace(app: &App, name: &Name, template: &Template, project: Option<&str>) -> bool {
    let worker = app.handle.paths.worker(name);
    let clones = template.workspace == WorkspaceMode::Clone || crate::workspace::clone::standing(&worker).is_some();
    (clones || project.is_none_or(str::is_empty)) && worker.join("workspace").is_dir()
}

/// What is done otherwise than asked.
fn notes(request: &SetupRequest, template: &Template, source: &Source) -> Vec<String> {
    let mut notes = Vec::new();
    if request.github_token.is_some() && !work::takes_token(&source.remote) {
        notes.push("githubToken is not used: it is for github.com over https alone".to_owned());
    }
    if template.setup.is_empty() {
        notes.push(format!("template {} has no setup command: nothing is installed, and no image made", template.name));
    }
    if !request.env_vars.is_empty() {
        notes.push("envVars reach what is run in it from now on; its program runs already".to_owned());
    }
    if request.callback_secret.as_ref().is_some_and(|secret| secret.len() < token::SHORTEST) {
        notes.push(format!(
            "callbackSecret signs the callbacks; with fewer than {} characters it opens no terminal",
            token::SHORTEST
        ));
    }
    notes
}

impl App {
    /// The environment that a setup gave a worker, for what is run in it beside its program.
    pub(super) async fn given_env(&self, row: &ContainerRow) -> BTreeMap<String, String> {
        let Ok(name) = Name::worker(&row.name) else { return BTreeMap::new() };
        let files = self.setups.files.clone();
        tokio::task::spawn_blocking(move || files.of(&name).env).await.unwrap_or_default()
    }

    fn template_of(&self, name: &str) -> Option<Template> {
        let config = self.handle.config.borrow().clone();
        config.template(&name.parse().ok()?).cloned()
    }

    /// Writes a line of history, of a worker or of the bay.
    pub(super) fn note(&self, name: Option<Name>, text: String) {
        let app = self.clone();
        tokio::spawn(async move { drop(app.ask(Command::Note { name, text }).await) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(repo: &str, branch: &str) -> Result<(String, Option<String>), Option<String>> {
        let request =
            SetupRequest { repo: repo.to_owned(), branch: Some(branch.to_owned()), ..SetupRequest::default() };
        source(&request)
            .map(|source| (source.remote.url().to_owned(), source.branch.map(String::from)))
            .map_err(|error| error.0.field)
    }

    #[test]
    fn a_short_name_is_githubs() {
        let branch = Some("main".to_owned());
        assert_eq!(of("owner/repo", "main"), Ok(("https://github.com/owner/repo".to_owned(), branch)));
        assert_eq!(of("https://git.example/a/b", ""), Ok(("https://git.example/a/b".to_owned(), None)));
        for bad in
            ["", "repo", "/repo", "a/b/c", "https://u:p@github.com/a/b", "../x", "-x/y", "http://evil.example/a/b"]
        {
            assert_eq!(of(bad, "main"), Err(Some("repo".to_owned())), "{bad}");
        }
        for bad in ["-x", "a b", "..", "a..b", "x\n"] {
            assert_eq!(of("owner/repo", bad), Err(Some("branch".to_owned())), "{bad}");
        }
    }
}
