//! Counts workers: the running ones for people, all by state for programs.

use std::collections::BTreeMap;

use crate::api::types::{ContainerRow, State};

use super::context::Context;
use super::exit::{CliError, Exit};
use super::targets;

/// `podbay count`.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let counts = by_state(&targets::workers(client.containers().await?));
    if context.out.json {
        context.out.json(&counts)?;
    } else {
        context.out.line(counts.get(State::Running.as_str()).unwrap_or(&0))?;
    }
    Ok(Exit::Done)
}

fn by_state(workers: &[ContainerRow]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for worker in workers {
        *counts.entry(worker.state.as_str()).or_default() += 1;
    }
    counts
}
