//! A repository for a worker that is there already: cloned into its workspace while it runs, its template's setup
//! command run in it, and whoever asked told how far it is.
//!
//! Answered at once; the work goes on without its client. A supervisor that ends takes it along: what was half cloned is
//! known to be, and the next setup begins anew.

mod token;
mod work;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::callback::{self, Callback};
use super::extract::{Body, Segment};
use super::{ApiError, App};
use crate::api::types::{SetupPhase, SetupReply, SetupRequest};
use crate::bay::container::Role;
use crate::bay::name::Name;
use crate::bay::remote::{Branch, Remote};
use crate::bay::template::{Template, WorkspaceMode};
use crate::config::env::is_variable;
use crate::supervisor::event::Command;
use crate::workspace::clone::Source;

pub(super) use token::Lent;
use work::Work;

/// Setups that go on, by worker.
#[derive(Clone, Default)]
pub struct Setups(Arc<Mutex<BTreeSet<Name>>>);

impl Setups {
    /// A place for one; `None`: this worker has one already.
    fn begin(&self, name: &Name) -> Option<Underway> {
        let fresh = self.all().insert(name.clone());
        fresh.then(|| Underway { setups: self.clone(), name: name.clone() })
    }

    /// Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
    fn all(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that goes on.
struct Underway {
    setups: Setups,
    name: Name,
}

impl Drop for Underway {
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
    let impossible = |why: String| ApiError::new("impossible", why);
    if row.role != Role::Worker {
        return Err(impossible(format!("{} is no worker: only a worker has a workspace", row.name)));
    }
    if row.started_at.is_none() {
        return Err(ApiError::new("busy", format!("{} does not run", row.name)));
    }
    let name: Name = row.name.parse().map_err(|_| ApiError::new("internal", "its name can't be read"))?;
    let template = app.template_of(&row.template);
    let template = template.ok_or_else(|| impossible(format!("{}'s template is gone", row.name)))?;
    if !has_own_workspace(&app, &name, &template, row.project.as_deref()) {
        let why = format!("{}'s workspace is a directory of this machine, which a setup would change", row.name);
        return Err(impossible(why));
    }
    let underway = app.setups.begin(&name).ok_or_else(|| ApiError::new("busy", "a setup of it goes on"))?;
    let notes = notes(&request, &template, &source);
    let callback = target.map(|target| {
        let (told, of) = (app.clone(), name.clone());
        let given_up: callback::GivenUp = Arc::new(move |text| told.note(of.clone(), text));
        let secret = request.callback_secret.clone().unwrap_or_default();
        Callback::begin(target, secret, given_up, app.handle.ending.clone())
    });
    if let Some(secret) = &request.callback_secret {
        app.lent.lend(&id.to_string(), secret);
    }
    let reply = SetupReply { id: id.to_string(), name: row.name, status: SetupPhase::Cloning, notes };
    let work = Work { app: app.clone(), engine, id, name, template, source, request, callback };
    let ending = app.handle.ending.clone();
    tokio::spawn(async move {
        let _underway = underway;
        tokio::select! {
            () = work.run() => {}
            () = ending.cancelled() => {}
        }
    });
    Ok((StatusCode::ACCEPTED, Json(reply)))
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
        notes.push(format!("template {} has no setup command: nothing is installed", template.name));
        if !request.env_vars.is_empty() {
            notes.push("envVars are the setup command's; a worker's own are given when it is made".to_owned());
        }
    }
    if request.build_main_image && !request.has_main_image {
        notes.push("images are made of workers that are spawned with a repository, not by a setup".to_owned());
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
    fn template_of(&self, name: &str) -> Option<Template> {
        let config = self.handle.config.borrow().clone();
        config.template(&name.parse().ok()?).cloned()
    }

    /// Writes a line of history.
    pub(super) fn note(&self, name: Name, text: String) {
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
