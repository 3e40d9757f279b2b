//! Lists the ports of the bay: what leads where, and who listens there.

use crate::api::types::PortRow;
use crate::bay::port::Protocol;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;
use super::table::Table;

/// `podbay ports`.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let rows = context.client().await?.ports().await?;
    if context.out.json {
        context.out.json(&rows)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        note("nothing is published, and nobody listens");
    }
    context.out.text(&table(&rows).render(context.out))?;
    Ok(Exit::Done)
}

fn table(rows: &[PortRow]) -> Table {
    let mut table = Table::with_prose(&["PORT", "INSIDE", "NAME", "PROCESS", "URL", "REASON"]);
    for row in rows {
        let protocol = if row.protocol == Protocol::Udp { "/udp" } else { "" };
        let process = row.process.as_ref().map(|process| match row.pid {
            Some(pid) => format!("{process} ({pid})"),
            None => process.clone(),
        });
        table.row(vec![
            row.port.map(|port| port.to_string()).unwrap_or_default().into(),
            format!("{}{protocol}", row.inside).into(),
            row.name.as_str().into(),
            process.unwrap_or_default().into(),
            row.url.clone().unwrap_or_default().into(),
            row.reason.clone().unwrap_or_default().into(),
        ]);
    }
    table
}
