//! Runs the supervisor in this process: in the foreground for tmux, systemd and launchd, or as the background child that
//! other verbs start.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use clap::Args;

use crate::api;
use crate::api::server::{Reload, ServeError, Start};
use crate::config::{Config, isolation};
use crate::supervisor::lock::LockError;

use super::consent;
use super::context::Context;
use super::exit::{CliError, Exit, Kind};
use super::logging;
use super::output::note;
use super::supervisor::FirstWord;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// As the child of another verb: a session of its own, and one line of JSON on stdout once it listens
    #[arg(long, hide = true)]
    pub background: bool,
}

impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        let message = error.to_string();
        match error {
            ServeError::Lock(LockError::Held { .. }) => {
                Self::new(Kind::NoSupervisor, message).hint("`podbay down` ends it; every other verb uses it")
            }
            _ => Self::failed(message),
        }
    }
}

/// `podbay serve`.
pub async fn run(context: &Context, args: &ServeArgs) -> Result<Exit, CliError> {
    if args.background {
        return background(context).await;
    }
    prepare(context)?;
    let _log = logging::start(&context.paths.logs(), "supervisor", Some(logging::Also::Stderr))?;
    let listens = format!("the supervisor of bay {} listens on {}", context.config.bay, context.paths.socket.display());
    let listening = || {
        note(&listens);
        // Not before: one that is refused, because another one runs, has no word in the bay.
        if let Err(error) = consent::keep(context) {
            note(&error.to_string());
        }
    };
    supervise(context, true, listening).await?;
    Ok(Exit::Done)
}

fn prepare(context: &Context) -> Result<(), CliError> {
    let create = context.paths.create();
    create.map_err(|error| CliError::failed(format!("the bay's directories can't be made: {error}")))
}

async fn background(context: &Context) -> Result<Exit, CliError> {
    // Away from the terminal of whoever ran the verb. It fails only for the leader of a session, who is away already.
    let _ = rustix::process::setsid();
    let result = serve_in_background(context).await;
    if let Err(error) = &result {
        say(&FirstWord::Refused { error: error.detail(), exit: error.kind.code() });
    }
    result
}

async fn serve_in_background(context: &Context) -> Result<Exit, CliError> {
    prepare(context)?;
    let _log = logging::start(&context.paths.logs(), "supervisor", None)?;
    let ready = || {
        say(&FirstWord::Ready { ready: true, pid: std::process::id() });
        // The pipe ends with the verb that reads it; what is printed later must not end the supervisor.
        if let Ok(null) = File::options().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(&null);
        }
    };
    supervise(context, false, ready).await?;
    Ok(Exit::Done)
}

/// Says the first word. When nobody listens any more, nobody misses it.
fn say(word: &FirstWord) {
    if let Ok(json) = serde_json::to_string(word) {
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{json}").and_then(|()| stdout.flush());
    }
}

async fn supervise(context: &Context, up: bool, ready: impl FnOnce() + Send) -> Result<(), ServeError> {
    let (file, bay, env) = (context.file.clone(), context.config.bay.clone(), context.env.clone());
    let (said, state) = (context.config.said, context.paths.state.clone());
    // Read anew with the same words as at the start: the flag's file and bay, and the last one about isolation.
    let reload: Reload = Arc::new(move || {
        let config = Config::load(file.as_deref(), &env).map_err(|error| error.to_string())?;
        let config = config.with_bay(bay.clone());
        Ok(config.with_isolation(isolation::latest(said, &state), &state))
    });
    api::server::serve(context.config.clone(), context.env.clone(), Start { reload, up }, ready).await
}
