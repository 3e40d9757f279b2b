//! What a setup does, phase by phase.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::job::Job;
use super::token::TokenFile;
use super::{Taken, image};
use crate::api::types::SetupPhase;
use crate::bay::container::ContainerId;
use crate::bay::remote::{Remote, Scheme};
use crate::bay::template::Template;
use crate::engine::{Exec, ExecId, ExecIo, ExecSpec, ExecState, SharedEngine};
use crate::supervisor::session::Marked;
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

/// One setup, with all that it needs.
pub struct Work {
    pub job: Job,
    pub engine: SharedEngine,
    pub id: ContainerId,
    pub template: Template,
    pub source: Source,
}

/// A file with a token, as git takes it.
pub enum Token {
    /// The repository needs none, or none is known.
    None,
    /// The setup brought it: the file goes with this.
    Brought(TokenFile),
    /// The configuration names it.
    Known(PathBuf),
}

impl Token {
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Brought(file) => Some(file.path()),
            Self::Known(path) => Some(path),
        }
    }
}

impl Work {
    /// From the clone to the last report, and the image after that: nobody waits for it.
    pub async fn run(mut self, taken: Taken) {
        let report = if let Some(told) = self.job.underway.told.clone() {
            told
        } else {
            let done = self.phases().await;
            self.job.last_word(done)
        };
        self.job.note_last(&report, taken).await;
        let wanted = report.status == SetupPhase::Ready && self.job.wants_image();
        let callback = self.job.callback.take();
        let heard = async {
            if let Some(callback) = callback {
                callback.tell(&report).await;
                callback.end().await;
            }
        };
        let imaged = async {
            if wanted {
                self.image().await;
            }
        };
        tokio::join!(heard, imaged);
        self.job.close().await;
    }

    async fn phases(&self) -> Result<String, String> {
        self.job.tell(SetupPhase::Cloning, format!("cloning {}", self.source.remote)).await;
        let mut notes = self.clone_repository().await?;
        if !self.job.wants_image() {
            self.job.keep(|underway| underway.request.github_token = None).await;
        }
        if !self.template.setup.is_empty() {
            self.job.tell(SetupPhase::Installing, "running the setup command".to_owned()).await;
            self.install().await?;
        }
        notes.insert(0, "the workspace is set up".to_owned());
        notes.extend(self.unlike_told().await);
        Ok(notes.join("; "))
    }

    async fn clone_repository(&self) -> Result<Vec<String>, String> {
        let handle = &self.job.app.handle;
        let worker = handle.paths.worker(&self.job.name);
        let place = Place { worker: &worker, owner: workspace::owner(&handle.env, &self.template) };
        let token = self.token().await?;
        let report = |_| {};
        let given_up = CancellationToken::new();
        let filling = Filling { token: token.path(), report: &report, given_up: &given_up };
        handle.repositories.fill(&place, &self.source, &filling).await.map_err(|error| error.to_string())
    }

    /// What opens the repository.
    pub async fn token(&self) -> Result<Token, String> {
        if let Some(file) = self.brought().await? {
            return Ok(Token::Brought(file));
        }
        let handle = &self.job.app.handle;
        let tokens = &handle.config.borrow().git.tokens;
        let known = workspace::token(&handle.paths, tokens, &self.source.remote).map_err(|error| error.to_string())?;
        Ok(known.map_or(Token::None, Token::Known))
    }

    /// The request's token, for its own host and over an encrypted way alone.
    async fn brought(&self) -> Result<Option<TokenFile>, String> {
        let brought = self.job.underway.request.github_token.clone();
        let Some(token) = brought.filter(|token| !token.is_empty()) else { return Ok(None) };
        if !takes_token(&self.source.remote) {
            return Ok(None);
        }
        let folder = self.job.app.handle.paths.state.clone();
        let written = tokio::task::spawn_blocking(move || TokenFile::write(&folder, &token)).await;
        let written = written.map_err(|error| error.to_string())?;
        written.map(Some).map_err(|error| format!("the token can't be handed to git: {error}"))
    }

    async fn install(&self) -> Result<(), String> {
        // What a supervisor that was killed has left running would install beside this.
        if let Some(marker) = self.job.underway.marker.clone() {
            Marked::again(self.id.clone(), marker).end(&self.engine, &ExecId(String::new())).await;
        }
        let marked = Marked::new(self.id.clone());
        let marker = marked.marker().to_owned();
        self.job.keep(move |underway| underway.marker = Some(marker)).await;
        let command = vec!["sh".to_owned(), "-c".to_owned(), self.template.setup.clone()];
        let mut env = self.job.underway.request.env_vars.clone();
        env.extend(marked.env());
        let workdir = Some(workspace::WORKSPACE.to_owned());
        let spec = ExecSpec { command, env, workdir, ..ExecSpec::default() };
        let Exec { id, io } = self.engine.exec(&self.id, &spec).await.map_err(|error| error.to_string())?;
        let mut tail = Vec::new();
        if tokio::time::timeout(LONGEST, read(io, &mut tail)).await.is_err() {
            marked.end(&self.engine, &id).await;
            return Err(format!("the setup command took longer than {}s", LONGEST.as_secs()));
        }
        let code = self.exit_code(&id).await?;
        if code == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&tail).into_owned();
        Err(format!("the setup command ended with code {code}: {}", Safe::new(said.trim())))
    }

    async fn exit_code(&self, exec: &ExecId) -> Result<i64, String> {
        let deadline = tokio::time::Instant::now() + LAST;
        loop {
            match self.engine.exec_state(exec).await.map_err(|error| error.to_string())? {
                ExecState::Exited { code } => return Ok(code),
                ExecState::Running { .. } if tokio::time::Instant::now() > deadline => {
                    return Err("the setup command closed its output and runs on".to_owned());
                }
                ExecState::Running { .. } => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// A caller that thinks of its worker as made from the repository's image, where it is not, would wait for nothing.
    async fn unlike_told(&self) -> Option<String> {
        if !self.job.underway.request.has_main_image || self.template.setup.is_empty() {
            return None;
        }
        let seen = self.engine.inspect(&self.id).await.ok()?;
        let told = format!("{} is no image of {}: all was installed anew", seen.image, self.source.remote);
        (!image::is_made_of(self, &seen).await).then_some(told)
    }

    async fn image(&self) {
        let text = match image::make(self).await {
            Ok(None) => return,
            Ok(Some(notes)) => format!("its repository's image was made: {notes}"),
            Err(why) => format!("its repository's image could not be made: {why}"),
        };
        self.job.app.note(Some(self.job.name.clone()), text);
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
