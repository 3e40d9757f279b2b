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

/// WIRE HERE: `crate::tui::run(client, config).await`.
async fn open(_client: Client, _config: &Config) -> color_eyre::Result<()> {
    std::future::ready(Err(color_eyre::eyre::eyre!("this build has no dashboard"))).await
}
