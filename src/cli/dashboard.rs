//! Opens the dashboard, with a supervisor behind it.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::net::UnixStream;

use crate::api::client::Client;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::logging;
use super::supervisor;

/// `podbay` alone.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let error = CliError::usage("the dashboard needs a terminal, and this is none");
        return Err(error.hint("`podbay ls`, `podbay status` and all other verbs work without; `podbay --help`"));
    }
    if context.env.get("TERM").is_none_or(|term| term == "dumb") {
        let error = CliError::usage("the dashboard can't draw on this terminal: TERM is unset or \"dumb\"");
        return Err(error.hint("set TERM, for example to xterm-256color"));
    }
    let client = context.client().await?;
    let _log = logging::start(&context.paths.logs(), "dashboard", None)?;
    open(client, context).await.map_err(|error| match error.downcast_ref::<crate::tui::StartError>() {
        Some(_) => CliError::usage(format!("{error:#}")),
        None => CliError::failed(format!("{error:#}")),
    })?;
    Ok(Exit::Done)
}

/// How often it is looked whether the supervisor is still there.
const WATCH: Duration = Duration::from_secs(1);

/// Brings the bay up behind the dashboard: what can't be done is seen there, with its reason.
async fn open(client: Client, context: &Context) -> color_eyre::Result<()> {
    let up = client.clone();
    let bringing_up = async move {
        if let Err(error) = up.up_gently().await {
            tracing::warn!(%error, "the bay could not be brought up");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = crate::tui::run(client, &context.config) => result,
        () = bringing_up => Ok(()),
        () = keep_supervisor(context) => Ok(()),
    }
}

/// A supervisor that was killed leaves its socket behind and is started again; one that was told to end takes its socket
/// with it, and is left alone.
async fn keep_supervisor(context: &Context) {
    loop {
        tokio::time::sleep(WATCH).await;
        let answer = UnixStream::connect(&context.paths.socket).await;
        if answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
            match supervisor::ensure_quietly(&context.paths, &context.config).await {
                Ok(_) => tracing::info!("the supervisor was gone and is started again"),
                Err(error) => tracing::warn!(%error, "the supervisor is gone and could not be started again"),
            }
        }
    }
}
