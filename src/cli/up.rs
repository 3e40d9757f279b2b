//! Brings the bay to its configuration, and says what happens meanwhile.

use std::pin::pin;

use futures_util::StreamExt as _;

use crate::api::client::Client;
use crate::api::types::BayEvent;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;

/// `podbay up`.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let client = context.client().await?;
    // The supervisor may have begun with an older file.
    client.reload().await?;
    let done = with_progress(&client, client.up()).await?;
    done.notes.iter().for_each(|text| note(text));
    context.out.answer(&done, &done.text)?;
    Ok(Exit::Done)
}

/// Waits for `work`, and notes the history's new lines until then. Progress is a courtesy: when its stream breaks, the
/// work goes on without.
pub async fn with_progress<T, E>(client: &Client, work: impl Future<Output = Result<T, E>>) -> Result<T, CliError>
where
    CliError: From<E>,
{
    let mut work = pin!(work);
    let opened = tokio::select! {
        done = &mut work => return Ok(done?),
        opened = client.events() => opened,
    };
    let Ok(mut events) = opened else { return Ok(work.await?) };
    loop {
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(Ok(BayEvent::Change(change))) => change.history.iter().for_each(|line| {
                    let name = line.name.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
                    note(&format!("{name}{}", line.text));
                }),
                Some(Ok(BayEvent::Snapshot(_))) => {}
                Some(Err(_)) | None => return Ok(work.await?),
            },
            done = &mut work => return Ok(done?),
        }
    }
}
