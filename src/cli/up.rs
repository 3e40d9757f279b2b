//! Brings the bay to its configuration, and says what happens meanwhile.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::api::client::Client;
use crate::api::types::{BayEvent, Done, HistoryLine};

use super::consent;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;
use super::supervisor;

/// What is done sooner is not told of on the way: a claim is faster than a second stream would be.
const BRIEF: Duration = Duration::from_millis(60);

/// The answer of `up --json`: what was done, and what of the configuration was taken on the way.
#[derive(Debug, Serialize)]
struct Upped {
    #[serde(flatten)]
    done: Done,
    changes: Vec<String>,
}

/// `podbay up`.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    if let Some(error) = &context.broken {
        if let Ok(Some(client)) = supervisor::running(&context.paths).await {
            // It says so from now on, wherever it is looked at; its refusal is the same as ours.
            drop(client.reload().await);
        }
        return Err(error.clone());
    }
    let client = context.client().await?;
    // The supervisor may have begun with an older file.
    let read = client.reload().await?;
    read.changes.iter().chain(&read.notes).for_each(|text| note(text));
    if let Some(other) = elsewhere(context, read.source.as_deref()) {
        note(&other);
    }
    let client = if read.needs_restart { context.hand_over(&client).await? } else { client };
    consent::ask(context, &client).await?;
    let done = with_progress(&client, client.up()).await?;
    done.notes.iter().for_each(|text| note(text));
    let text = done.text.clone();
    context.out.answer(&Upped { done, changes: read.changes }, &text)?;
    Ok(Exit::Done)
}

/// The supervisor reads the file that it began with; whoever stands beside another one should know.
fn elsewhere(context: &Context, source: Option<&Path>) -> Option<String> {
    let own = context.config.source.as_deref()?;
    let same = |other: &Path| match (own.canonicalize(), other.canonicalize()) {
        (Ok(own), Ok(other)) => own == other,
        _ => own == other,
    };
    if source.is_some_and(same) {
        return None;
    }
    let read = source.map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    let bay = &context.config.bay;
    Some(format!("the supervisor of bay {bay} reads {read}, and not {}: it keeps to what it began with", own.display()))
}

/// Waits for `work`, and notes the history's new lines until then. Progress is a courtesy: when its stream breaks, the
/// work goes on without.
pub async fn with_progress<T, E>(client: &Client, work: impl Future<Output = Result<T, E>>) -> Result<T, CliError>
where
    CliError: From<E>,
{
    let began = jiff::Timestamp::now();
    let mut work = pin!(work);
    let later = async {
        tokio::time::sleep(BRIEF).await;
        client.events().await
    };
    let opened = tokio::select! {
        done = &mut work => return Ok(done?),
        opened = later => opened,
    };
    let Ok(mut events) = opened else { return Ok(work.await?) };
    loop {
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(Ok(BayEvent::Change(change))) => tell(&change.history),
                // What was said before the stream was there.
                Some(Ok(BayEvent::Snapshot(all))) => {
                    let since = all.history.iter().position(|line| line.at >= began).unwrap_or(all.history.len());
                    tell(all.history.get(since..).unwrap_or_default());
                }
                Some(Err(_)) | None => return Ok(work.await?),
            },
            done = &mut work => return Ok(done?),
        }
    }
}

fn tell(lines: &[HistoryLine]) {
    for line in lines {
        let name = line.name.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        note(&format!("{name}{}", line.text));
    }
}
