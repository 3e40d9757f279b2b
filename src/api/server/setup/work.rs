//! What a setup does, phase by phase.

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::token::TokenFile;
use crate::api::server::App;
use crate::api::server::callback::Callback;
use crate::api::types::{SetupPhase, SetupReport, SetupRequest};
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::bay::remote::{Remote, Scheme};
use crate::bay::template::Template;
use crate::engine::{Exec, ExecIo, ExecSpec, ExecState, SharedEngine};
use crate::terminal::safe::Safe;
use crate::workspace;
use crate::workspace::clone::{Filling, Place, Source};

/// The host whose tokens a setup may bring.
const GITHUB: &str = "github.com";
/// The longest setup command.
const LONGEST: Duration = Duration::from_hours(1);
/// Of a command that failed, so much is told.
const TAIL: usize = 1500;
/// Until the engine knows an exit code.
const LAST: Duration = Duration::from_secs(5);

/// One setup.
pub struct Work {
    pub app: App,
    pub engine: SharedEngine,
    pub id: ContainerId,
    pub name: Name,
    pub template: Template,
    pub source: Source,
    pub request: SetupRequest,
    pub callback: Option<Callback>,
}

impl Work {
    /// From the clone to the last report.
    pub async fn run(self) {
        let done = self.phases().await;
        match done {
            Ok(text) => self.tell(SetupPhase::Ready, text).await,
            Err(why) => self.tell(SetupPhase::Failed, why).await,
        }
    }

    async fn phases(&self) -> Result<String, String> {
        self.tell(SetupPhase::Cloning, format!("cloning {}", self.source.remote)).await;
        let mut notes = self.clone_repository().await?;
        if !self.template.setup.is_empty() {
            self.tell(SetupPhase::Installing, "running the setup command".to_owned()).await;
            self.install().await?;
        }
        notes.insert(0, "the workspace is set up".to_owned());
        Ok(notes.join("; "))
    }

    async fn clone_repository(&self) -> Result<Vec<String>, String> {
        let handle = &self.app.handle;
        let worker = handle.paths.worker(&self.name);
        let place = Place { worker: &worker, owner: workspace::owner(&handle.env, &self.template) };
        let brought = self.brought().await?;
        let known = || {
            let tokens = &handle.config.borrow().git.tokens;
            workspace::token(&handle.paths, tokens, &self.source.remote).map_err(|error| error.to_string())
        };
        let known = if brought.is_none() { known()? } else { None };
        let token = brought.as_ref().map(TokenFile::path).or(known.as_deref());
        let report = |_| {};
        let given_up = CancellationToken::new();
        let filling = Filling { token, report: &report, given_up: &given_up };
        handle.repositories.fill(&place, &self.source, &filling).await.map_err(|error| error.to_string())
    }

    /// The request's token, for its own host and over an encrypted way alone.
    async fn brought(&self) -> Result<Option<TokenFile>, String> {
        let Some(token) = self.request.github_token.clone().filter(|token| !token.is_empty()) else { return Ok(None) };
        if !takes_token(&self.source.remote) {
            return Ok(None);
        }
        let folder = self.app.handle.paths.state.clone();
        let written = tokio::task::spawn_blocking(move || TokenFile::write(&folder, &token)).await;
        let written = written.map_err(|error| error.to_string())?;
        written.map(Some).map_err(|error| format!("the token can't be handed to git: {error}"))
    }

    async fn install(&self) -> Result<(), String> {
        let command = vec!["sh".to_owned(), "-c".to_owned(), self.template.setup.clone()];
        let workdir = Some("/workspace".to_owned());
        let spec = ExecSpec { command, env: self.request.env_vars.clone(), workdir, ..ExecSpec::default() };
        let Exec { id, io } = self.engine.exec(&self.id, &spec).await.map_err(|error| error.to_string())?;
        let mut tail = Vec::new();
        if tokio::time::timeout(LONGEST, read(io, &mut tail)).await.is_err() {
            return Err(format!("the setup command took longer than {}s", LONGEST.as_secs()));
        }
        let deadline = tokio::time::Instant::now() + LAST;
        let code = loop {
            match self.engine.exec_state(&id).await.map_err(|error| error.to_string())? {
                ExecState::Exited { code } => break code,
                ExecState::Running { .. } if tokio::time::Instant::now() > deadline => {
                    return Err("the setup command closed its output and runs on".to_owned());
                }
                ExecState::Running { .. } => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        if code == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&tail).into_owned();
        Err(format!("the setup command ended with code {code}: {}", Safe::new(said.trim())))
    }

    async fn tell(&self, status: SetupPhase, message: String) {
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        self.app.note(self.name.clone(), format!("setup {}{said}", status.as_str()));
        let Some(callback) = &self.callback else { return };
        let report = SetupReport {
            container_id: self.id.to_string(),
            name: self.name.to_string(),
            status,
            message,
            timestamp: Timestamp::now().as_millisecond(),
        };
        callback.tell(&report).await;
    }
}

/// Whether a token that a request brings is for this repository's host.
pub fn takes_token(remote: &Remote) -> bool {
    remote.host() == GITHUB && remote.scheme() == Scheme::Https
}

/// Reads to the end, and keeps the last of it.
async fn read(io: ExecIo, tail: &mut Vec<u8>) {
    let ExecIo::Pipes { mut output, input } = io else { return };
    drop(input);
    while let Some(Ok(chunk)) = output.next().await {
        tail.extend_from_slice(&chunk.bytes);
        let surplus = tail.len().saturating_sub(TAIL);
        tail.drain(..surplus);
    }
}
