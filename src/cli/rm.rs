//! Removes workers. Running ones only by force: their main process, and what it knows, is gone for good. Work in a clone
//! that is nowhere else goes only when somebody said so, or with `-y`.

use crate::api::client::Client;
use crate::api::types::{ContainerRow, State, Verb};
use crate::bay::container::Role;
use crate::bay::matching::Named as _;

use super::act;
use super::args::RmArgs;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;

/// `podbay rm`.
pub async fn run(context: &Context, args: &RmArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let rows = act::targets(&client, &args.targets).await?;
    if let Some(service) = rows.iter().find(|row| row.role == Role::Service) {
        let message = format!("{} is a service, nothing removed", service.called());
        let hint = "take it out of the configuration and say `podbay up`; `podbay service stop` only stops it";
        return Err(CliError::usage(message).hint(hint));
    }
    let running: Vec<&str> = rows.iter().filter(|row| is_alive(row)).map(|row| row.name.as_str()).collect();
    if !running.is_empty() && !args.force {
        let message = format!("still running, nothing removed: {}", running.join(", "));
        return Err(CliError::failed(message).hint("stop them first, or say -f"));
    }
    if args.targets.all && !rows.is_empty() {
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let question = format!("Remove {} workers ({})?", rows.len(), names.join(", "));
        if !act::confirmed(&question, args.targets.yes, true)? {
            note("nothing removed");
            return Ok(Exit::Failed);
        }
    }
    let unsaved = unsaved(&client, &rows).await?;
    if unsaved.is_empty() {
        return act::run(context, &client, rows, Verb::Remove).await;
    }
    for line in &unsaved {
        note(&format!("would be lost: {line}"));
    }
    if !act::confirmed("Remove all the same? It can't be had back.", args.targets.yes, true)? {
        note("nothing removed");
        return Ok(Exit::Failed);
    }
    act::run(context, &client, rows, Verb::Discard).await
}

/// What is in the workers' clones and nowhere else, a line each.
async fn unsaved(client: &Client, rows: &[ContainerRow]) -> Result<Vec<String>, CliError> {
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| row.role == Role::Worker) {
        let unsaved = client.unsaved(&row.name).await?;
        lines.extend(unsaved.into_iter().map(|line| format!("{}: {line}", row.name)));
    }
    Ok(lines)
}

/// What can't be seen may be running.
fn is_alive(row: &ContainerRow) -> bool {
    match row.state {
        State::Running | State::CutOff | State::Warm | State::Unknown => true,
        State::Creating | State::Exited | State::Failed => false,
    }
}
