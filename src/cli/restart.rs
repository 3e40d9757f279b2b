//! Restarts workers; of the parent: repairs all that were cut off.

use crate::api::types::Verb;

use super::act::{self, ParentDeed};
use super::args::TargetArgs;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;

/// `podbay restart`.
pub async fn run(context: &Context, args: &TargetArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let rows = act::targets(&client, args).await?;
    if !act::parent_confirmed(&client, &rows, args, ParentDeed("Restart", act::ENDS)).await? {
        note("nothing restarted");
        return Ok(Exit::Failed);
    }
    act::run(context, &client, rows, Verb::Restart).await
}
