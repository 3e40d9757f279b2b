//! Shows the bay's history, and goes on with it.

use clap::Args;
use futures_util::StreamExt as _;

use crate::api::types::{BayEvent, HistoryLine};
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::{CliError, Exit, Kind};
use super::why::at;

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
}

/// `podbay events`.
pub async fn run(context: &Context, args: &EventsArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let mut events = client.events().await?;
    let mut shown = 0;
    while let Some(event) = events.next().await {
        let (history, is_snapshot) = match event? {
            BayEvent::Snapshot(snapshot) => (snapshot.history, true),
            BayEvent::Change(change) => (change.history, false),
        };
        for line in history.iter().filter(|line| line.seq > shown) {
            print(context, line)?;
        }
        shown = history.last().map_or(shown, |line| line.seq.max(shown));
        if is_snapshot && !args.follow {
            return Ok(Exit::Done);
        }
    }
    Err(CliError::new(Kind::NoSupervisor, "the supervisor went away"))
}

fn print(context: &Context, line: &HistoryLine) -> Result<(), CliError> {
    if context.out.json {
        return context.out.json_line(line);
    }
    let name = line.name.as_deref().unwrap_or("bay");
    context.out.line(format!("{}  {:<12}  {}", at(line.at), Safe::new(name), Safe::new(&line.text)))
}
