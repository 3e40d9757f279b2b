//! Shows the way out of the bay, and answers what was asked for and refused.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::api::types::{NetworkAnswer, NetworkRequest, NetworkStatus};
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::human;
use super::output::note;
use super::table::Table;

/// Arguments of `network`.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: NetworkVerb,
}

/// What can be done about the way out.
#[derive(Debug, Subcommand)]
pub enum NetworkVerb {
    /// Show what is let through, and what was asked for and refused
    Ls,
    /// Let a name through from now on, in this bay
    Allow {
        /// A name, *.NAME or an address
        name: String,
        /// Its next connection alone
        #[arg(long)]
        once: bool,
    },
    /// Refuse a name from now on, and do not ask about it
    Refuse {
        /// A name, *.NAME or an address
        name: String,
    },
}

/// `podbay network`.
pub async fn run(context: &Context, args: NetworkArgs) -> Result<Exit, CliError> {
    let (name, answer) = match args.verb {
        NetworkVerb::Ls => return list(context).await,
        NetworkVerb::Allow { name, once: true } => (name, NetworkAnswer::Once),
        NetworkVerb::Allow { name, once: false } => (name, NetworkAnswer::Bay),
        NetworkVerb::Refuse { name } => (name, NetworkAnswer::Refuse),
    };
    let done = context.client().await?.answer_network(&NetworkRequest { name, answer }).await?;
    if context.out.json {
        context.out.json(&done)?;
    } else {
        note(Safe::new(&done.text).as_str());
    }
    Ok(Exit::Done)
}

async fn list(context: &Context) -> Result<Exit, CliError> {
    let network = context.client().await?.network().await?;
    if context.out.json {
        context.out.json(&network)?;
        return Ok(Exit::Done);
    }
    note(&format!("network: {}", Safe::new(&network.text)));
    context.out.text(&table(&network, Timestamp::now()).render(context.out))?;
    Ok(Exit::Done)
}

fn table(network: &NetworkStatus, now: Timestamp) -> Table {
    let mut table = Table::with_prose(&["NAME", "ANSWER", "ASKED"]);
    let answers = [
        (&network.allow, "in the configuration"),
        (&network.allowed, "allowed for this bay"),
        (&network.refused, "refused for this bay"),
    ];
    for (names, answer) in answers {
        for name in names {
            table.row(vec![name.as_str().into(), answer.into(), "".into()]);
        }
    }
    for row in &network.asked {
        let ago = human::span(now.as_second().saturating_sub(row.last_at.as_second()));
        let who = row.worker.as_ref().map(|worker| format!(" by {worker}")).unwrap_or_default();
        let times = if row.count == 1 { "once".to_owned() } else { format!("{} times", row.count) };
        let asked = format!("{times}{who}, {ago} ago");
        table.row(vec![format!("{}:{}", row.name, row.port).into(), "refused, waits for yours".into(), asked.into()]);
    }
    table
}
