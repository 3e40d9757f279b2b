//! Stops services, parent and supervisor. With no supervisor there is nobody to do it: containers that may still run
//! can't be told apart from none at all without one, so that is exit code 3 and not "done".

use crate::api::types::DownRequest;

use super::act;
use super::args::DownArgs;
use super::context::Context;
use super::exit::{CliError, Exit, Kind};
use super::output::note;
use super::up;

/// `podbay down`.
pub async fn run(context: &Context, args: &DownArgs) -> Result<Exit, CliError> {
    let Some(client) = context.running().await? else {
        let message = format!("no supervisor runs for bay {}", context.config.bay);
        let hint = "`podbay up` takes over what an earlier one left, then `podbay down` stops it";
        return Err(CliError::new(Kind::NoSupervisor, message).hint(hint));
    };
    let workers = if args.workers { ", parent and all workers" } else { " and parent" };
    let question = format!("Stop services{workers} of bay {}?", context.config.bay);
    if !act::confirmed(&question, args.yes, false)? {
        note("nothing stopped");
        return Ok(Exit::Failed);
    }
    let request = DownRequest { workers: args.workers, supervisor_only: false };
    let done = up::with_progress(&client, client.down(request)).await?;
    done.notes.iter().for_each(|text| note(text));
    context.out.answer(&done, &done.text)?;
    Ok(Exit::Done)
}
