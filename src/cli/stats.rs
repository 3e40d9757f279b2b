//! Shows what running containers use.

use std::time::Duration;

use crate::api::client::Client;
use crate::api::types::StatsRow;

use super::args::StatsArgs;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::human;
use super::table::{Paint, Table};

/// Between two readings.
const PAUSE: Duration = Duration::from_secs(2);
/// Home, and clear what is below.
const REDRAW: &str = "\x1b[H\x1b[2J";

/// `podbay stats`.
pub async fn run(context: &Context, args: &StatsArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let mut rows = first(&client).await?;
    loop {
        if context.out.json {
            if args.watch { context.out.json_line(&rows)? } else { context.out.json(&rows)? }
        } else {
            let clear = if args.watch && context.out.width.is_some() { REDRAW } else { "" };
            context.out.text(&format!("{clear}{}", table(&rows).render(context.out)))?;
        }
        if !args.watch {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(PAUSE).await;
        rows = client.stats().await?;
    }
}

/// CPU use is the difference of two readings: when the supervisor has only one yet, a second one is asked for.
async fn first(client: &Client) -> Result<Vec<StatsRow>, CliError> {
    let rows = client.stats().await?;
    if rows.iter().all(|row| row.cpu_percent.is_some()) {
        return Ok(rows);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(client.stats().await?)
}

/// The table that people see.
pub fn table(rows: &[StatsRow]) -> Table {
    let mut table = Table::new(&["NAME", "CPU", "MEMORY", "LIMIT", "MEM %", "PIDS", "NET I/O", "BLOCK I/O"]);
    for row in rows {
        let pair = |(one, other): (u64, u64)| format!("{} / {}", human::bytes(one), human::bytes(other));
        let share =
            row.memory_limit.filter(|limit| *limit > 0).map(|limit| u128::from(row.memory) * 100 / u128::from(limit));
        let paint = match share {
            Some(90..) => Paint::Bad,
            Some(75..) => Paint::Warn,
            _ => Paint::Plain,
        };
        table.row(vec![
            row.name.as_str().into(),
            row.cpu_percent.map(|percent| format!("{percent:.1}%")).into(),
            human::bytes(row.memory).into(),
            row.memory_limit.map(human::bytes).into(),
            share.map(|share| super::table::Cell::painted(&format!("{share}%"), paint)).into(),
            row.pids.to_string().into(),
            row.network.map(pair).into(),
            pair(row.block).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::*;

    #[test]
    fn figures_have_units_and_what_is_not_known_has_none() {
        let row = |name: &str, cpu, memory_limit, network| StatsRow {
            name: name.to_owned(),
            cpu_percent: cpu,
            memory: 7 << 30,
            memory_limit,
            pids: 12,
            network,
            block: (0, 1536),
        };
        let rows = [row("fox", Some(103.25), Some(8 << 30), None), row("parent", None, None, Some((10, 20)))];
        let out = Output { json: false, width: None, colour: false };
        insta::assert_snapshot!(table(&rows).render(out), @r"
        NAME     CPU      MEMORY    LIMIT     MEM %   PIDS   NET I/O       BLOCK I/O
        fox      103.2%   7.0 GiB   8.0 GiB   87%     12     -             0 B / 1.5 KiB
        parent   -        7.0 GiB   -         -       12     10 B / 20 B   0 B / 1.5 KiB
        ");
    }
}
