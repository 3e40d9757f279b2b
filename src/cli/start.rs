//! Starts stopped workers.

use crate::api::types::Verb;

use super::act;
use super::args::TargetArgs;
use super::context::Context;
use super::exit::{CliError, Exit};

/// `podbay start`.
pub async fn run(context: &Context, args: &TargetArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let rows = act::targets(&client, args).await?;
    act::run(context, &client, rows, Verb::Start).await
}
