//! The user's word for walls that are weaker than namespaces: by `--isolation`, or by the answer to one question.

use std::time::Duration;

use crate::api::client::Client;
use crate::api::types::{EngineStatus, LinkState};
use crate::bay::isolation::Isolation;
use crate::config::isolation;
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::CliError;
use super::output::{self, note};

/// How long the first look at the engine may take before nobody waits for it here.
const LOOK: Duration = Duration::from_secs(12);
/// Between two looks at it.
const PACE: Duration = Duration::from_millis(50);

/// What a flag said is kept for the bay.
///
/// # Errors
/// The system's.
pub fn keep(context: &Context) -> Result<(), CliError> {
    let Some(level) = context.config.said else { return Ok(()) };
    let kept = context.paths.create().and_then(|()| isolation::keep(&context.paths.state, level));
    kept.map_err(|error| CliError::failed(format!("--isolation can't be kept for the bay: {error}")))
}

/// Asks, where weaker walls are all that is missing and somebody is there to answer.
///
/// # Errors
/// The supervisor's.
pub async fn ask(context: &Context, client: &Client) -> Result<(), CliError> {
    if context.out.json || !output::can_ask() {
        return Ok(());
    }
    let begun = tokio::time::Instant::now();
    loop {
        let engine = client.status().await?.engine;
        match (engine.state, engine.weaker) {
            (LinkState::Away, Some(level)) => return answer(client, &engine, level).await,
            (LinkState::Connecting, _) if begun.elapsed() < LOOK => tokio::time::sleep(PACE).await,
            _ => return Ok(()),
        }
    }
}

async fn answer(client: &Client, engine: &EngineStatus, level: Isolation) -> Result<(), CliError> {
    note(Safe::new(engine.reason.as_deref().unwrap_or_default()).as_str());
    if !confirmed(level)? {
        return Ok(());
    }
    let done = client.allow(level).await?;
    note(&done.text);
    Ok(())
}

/// The one question.
fn confirmed(level: Isolation) -> Result<bool, CliError> {
    output::ask(&format!("run this bay's workers with isolation {level}? {}", level.gives_up()))
}
