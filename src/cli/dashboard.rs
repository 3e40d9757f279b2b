//! Opens the dashboard, with a supervisor behind it.

use std::io::IsTerminal as _;

use crate::api::client::Client;
use crate::config::Config;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::logging;

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
    open(client, &context.config).await.map_err(|error| CliError::failed(format!("{error:#}")))?;
    Ok(Exit::Done)
}

/// Brings the bay up behind the dashboard: what can't be done is seen there, with its reason.
async fn open(client: Client, config: &Config) -> color_eyre::Result<()> {
    let up = client.clone();
    let bringing_up = tokio::spawn(async move {
        if let Err(error) = up.up().await {
            tracing::warn!(%error, "the bay could not be brought up");
        }
    });
    let result = crate::tui::run(client, config).await;
    bringing_up.abort();
    result
}
