//! Shows the pools, and sizes, drains and cleans them.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::api::types::{PoolOrder, PoolRequest, PoolRow};
use crate::bay::name::Name;
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::human;
use super::output::note;
use super::table::{Cell, Paint, Table};

/// Arguments of `pool`.
#[derive(Debug, Args)]
pub struct PoolArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: PoolVerb,
}

/// What can be done with pools.
#[derive(Debug, Subcommand)]
pub enum PoolVerb {
    /// Show warm workers, claims and errors
    Status,
    /// Keep N workers warm, until the configuration says otherwise
    Scale {
        /// So many
        #[arg(value_name = "N")]
        target: u32,
        #[command(flatten)]
        which: Which,
    },
    /// Let all warm workers go, and make no more until it is scaled
    Drain(Which),
    /// Let go what is of no use, forget errors, and try again now
    Cleanup(Which),
}

/// Which pool.
#[derive(Debug, Args)]
pub struct Which {
    /// The pool of this template
    #[arg(short, long)]
    pub template: Option<Name>,
}

/// `podbay pool`.
pub async fn run(context: &Context, args: &PoolArgs) -> Result<Exit, CliError> {
    let (which, order) = match &args.verb {
        PoolVerb::Status => return status(context).await,
        PoolVerb::Scale { target, which } => (which, PoolOrder::Scale { target: *target }),
        PoolVerb::Drain(which) => (which, PoolOrder::Drain),
        PoolVerb::Cleanup(which) => (which, PoolOrder::Cleanup),
    };
    let request = PoolRequest { template: which.template.clone(), order };
    let done = context.client().await?.order_pool(&request).await?;
    context.out.answer(&done, &done.text)?;
    done.notes.iter().for_each(|text| note(text));
    Ok(Exit::Done)
}

async fn status(context: &Context) -> Result<Exit, CliError> {
    let rows = context.client().await?.pool().await?;
    if context.out.json {
        context.out.json(&rows)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        note("no pool configured: [[template]] pool = { target = 3 } makes one");
    }
    context.out.text(&table(&rows, Timestamp::now()).render(context.out))?;
    Ok(Exit::Done)
}

/// The table that people see.
fn table(rows: &[PoolRow], now: Timestamp) -> Table {
    let titles = ["TEMPLATE", "WARM", "CREATING", "CLAIMED", "HITS", "MISSES", "P50", "P95", "REASON"];
    let mut table = Table::with_prose(&titles);
    for row in rows {
        let warm = format!("{}/{}", row.warm, row.target);
        let paint = match row.warm {
            0 if row.target > 0 => Paint::Bad,
            warm if warm < row.min => Paint::Warn,
            _ => Paint::Good,
        };
        table.row(vec![
            row.template.as_str().into(),
            Cell::painted(&warm, paint),
            row.creating.to_string().into(),
            row.claimed.to_string().into(),
            row.hits.to_string().into(),
            row.misses.to_string().into(),
            row.claim_ms.p50.map(millis).into(),
            row.claim_ms.p95.map(millis).into(),
            reason(row, now).into(),
        ]);
    }
    table
}

fn millis(time: f64) -> String {
    format!("{time:.1} ms")
}

/// Why it is not full, and when it tries again.
pub fn reason(row: &PoolRow, now: Timestamp) -> Option<String> {
    let error = row.last_error.as_deref().map(|error| Safe::new(error).to_string())?;
    let seconds = row.next_try_at.map(|next| next.as_second().saturating_sub(now.as_second()));
    Some(match seconds {
        Some(seconds) if seconds > 0 => format!("{error}; next try in {}", human::span(seconds)),
        _ => error,
    })
}
