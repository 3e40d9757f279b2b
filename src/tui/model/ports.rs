//! The ports tab: what leads where, and who listens there.

use std::time::Duration;

use jiff::Timestamp;

use super::Model;
use crate::api::types::PortRow;
use crate::bay::port::Protocol;

/// Between two looks.
pub const PACE: Duration = Duration::from_secs(2);

/// Where the tab stands.
#[derive(Debug, Default)]
pub struct Ports {
    /// A question is on its way.
    pub waits: bool,
    /// When it is asked again; `None`: at once.
    pub next_at: Option<Timestamp>,
    /// Why there was no answer.
    pub failed: Option<String>,
    /// The last answer.
    pub rows: Option<Vec<PortRow>>,
    /// The first line that is shown.
    pub top: usize,
}

/// One line of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortLine {
    /// On the engine's machine; `-`: nowhere outside of the bay.
    pub port: String,
    /// In the container's namespace.
    pub inside: String,
    /// Whose it is.
    pub name: String,
    /// The program that listens.
    pub process: String,
    /// Where it is reached, or why it is not.
    pub place: String,
    /// It is reached.
    pub reached: bool,
}

impl Model {
    /// All lines of the table.
    #[must_use]
    pub fn port_lines(&self) -> Vec<PortLine> {
        self.main.ports.rows.iter().flatten().map(line).collect()
    }
}

fn line(row: &PortRow) -> PortLine {
    let udp = if row.protocol == Protocol::Udp { "/udp" } else { "" };
    let pid = row.pid.map(|pid| format!(" {pid}")).unwrap_or_default();
    PortLine {
        port: row.port.map_or_else(|| "-".to_owned(), |port| port.to_string()),
        inside: format!("{}{udp}", row.inside),
        name: row.name.clone(),
        process: row.process.as_ref().map(|process| format!("{process}{pid}")).unwrap_or_default(),
        place: [row.url.as_deref(), row.reason.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", "),
        reached: row.url.is_some(),
    }
}
