//! The user's word for walls that are weaker than namespaces: by `--isolation`, or by the answer to one question.

use std::time::Duration;

use crate::api::client::Client;
use crate::api::types::{EngineStatus, LinkState, Reloaded};
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

/// Refuses a word that would take what runs out of the bay's sight.
///
/// # Errors
/// That it would; the supervisor's.
pub async fn stays_in_sight(client: &Client, said: Isolation) -> Result<(), CliError> {
    if said != Isolation::Container {
        return Ok(());
    }
    let running = client.containers().await?.iter().filter(|row| row.started_at.is_some()).count();
    let kind = client.status().await?.engine.kind;
    said.out_of_sight(&kind, running).map_or(Ok(()), |why| Err(CliError::failed(why)))
}

/// Has a supervisor that runs heed what a flag said: nothing is made before it does. One that has its engine already keeps
/// to that one's level, and a new one takes its place.
///
/// # Errors
/// The supervisor's; and where it still has another level, because somebody else said so meanwhile.
pub async fn heard(context: &Context, client: Client, said: Isolation) -> Result<Client, CliError> {
    let read = client.reload().await?;
    if has(&read, said) {
        read.notes.iter().for_each(|text| note(text));
        return Ok(client);
    }
    let client = context.hand_over(&client).await?;
    if has(&client.reload().await?, said) {
        return Ok(client);
    }
    let bay = &context.config.bay;
    let error = CliError::usage(format!("the supervisor of bay {bay} does not run workers with isolation {said}"));
    Err(error.hint(format!("`podbay down` ends it; then `podbay --isolation {said}` starts another")))
}

/// One of an older podbay does not say.
fn has(read: &Reloaded, said: Isolation) -> bool {
    read.isolation.map_or(!read.needs_restart, |level| level == said)
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
    done.notes.iter().for_each(|text| note(text));
    Ok(())
}

/// The one question.
fn confirmed(level: Isolation) -> Result<bool, CliError> {
    output::ask(&format!("run this bay's workers with isolation {level}? {}", level.gives_up()))
}
