//! Stops workers. Nothing is lost by it: `start` brings them back.

use crate::api::types::{State, Verb};

use super::act::{self, ParentDeed};
use super::args::TargetArgs;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;

/// `podbay stop`.
pub async fn run(context: &Context, args: &TargetArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let mut rows = act::targets(&client, args).await?;
    if args.all {
        rows.retain(|row| !matches!(row.state, State::Exited));
        let question = format!("Stop {} workers?", rows.len());
        if !rows.is_empty() && !act::confirmed(&question, args.yes, false)? {
            note("nothing stopped");
            return Ok(Exit::Failed);
        }
    }
    let deed = ParentDeed("Stop", "Until it is repaired, it takes the network from");
    if !act::parent_confirmed(&client, &rows, args, deed).await? {
        note("nothing stopped");
        return Ok(Exit::Failed);
    }
    act::run(context, &client, rows, Verb::Stop).await
}
