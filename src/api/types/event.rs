//! The stream of the bay: a snapshot, then changes; and its history.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bay::metric::Histogram;

use super::container::ContainerRow;
use super::session::SessionRow;
use super::status::Status;

/// One line of the bay's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryLine {
    /// Its number: a later line has a greater one.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What it is about; `null`: the bay itself.
    pub name: Option<String>,
    /// What happened, in words.
    pub text: String,
}

/// All that the dashboard shows, in one piece: the first event of `/api/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Number of the last change that is in it.
    pub seq: u64,
    /// The bay.
    pub status: Status,
    /// Parent, workers and services that are containers, in the order of `ls`.
    pub containers: Vec<ContainerRow>,
    /// Open terminals.
    pub sessions: Vec<SessionRow>,
    /// The newest lines of the history, oldest first.
    pub history: Vec<HistoryLine>,
    /// For `/metrics` alone.
    #[serde(skip)]
    pub counts: Counts,
}

/// What only `/metrics` shows, in its own format.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Workers that were made anew.
    pub refreshes: u64,
    /// Claims by how long they took, a pool each.
    pub claims: BTreeMap<String, Histogram>,
}

/// What changed since the last event of this stream. Absent means unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Number of this change.
    pub seq: u64,
    /// The bay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Rows that are new or changed, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerRow>,
    /// Names of rows that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// All sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<SessionRow>>,
    /// New lines of the history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryLine>,
}

/// One event of `/api/events`.
#[derive(Clone, Debug, PartialEq)]
pub enum BayEvent {
    /// `event: snapshot`.
    Snapshot(Box<Snapshot>),
    /// `event: change`.
    Change(Box<Change>),
}

impl Snapshot {
    /// Lays a change over it. Rows keep their order; new ones are put where `ls` would have them.
    pub fn apply(&mut self, change: Change) {
        self.seq = change.seq;
        if let Some(status) = change.status {
            self.status = status;
        }
        self.containers.retain(|row| !change.removed.contains(&row.name));
        for row in change.containers {
            match self.containers.iter_mut().find(|known| known.name == row.name) {
                Some(known) => *known = row,
                None => self.containers.push(row),
            }
        }
        self.containers.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
        if let Some(sessions) = change.sessions {
            self.sessions = sessions;
        }
        self.history.extend(change.history);
        let surplus = self.history.len().saturating_sub(HISTORY_KEPT);
        self.history.drain(..surplus);
    }

    /// What a client that has `older` must be told; `None` when nothing changed.
    #[must_use]
    pub fn since(&self, older: &Self) -> Option<Change> {
        let known = |name: &str| older.containers.iter().find(|row| row.name == name);
        let status = (!self.status.same_but_for_time(&older.status)).then(|| self.status.clone());
        let containers: Vec<ContainerRow> =
            self.containers.iter().filter(|row| known(&row.name) != Some(row)).cloned().collect();
        let gone = |row: &&ContainerRow| !self.containers.iter().any(|now| now.name == row.name);
        let removed: Vec<String> = older.containers.iter().filter(gone).map(|row| row.name.clone()).collect();
        let sessions = (self.sessions != older.sessions).then(|| self.sessions.clone());
        let last = older.history.last().map_or(0, |line| line.seq);
        let history: Vec<HistoryLine> = self.history.iter().filter(|line| line.seq > last).cloned().collect();
        let change = Change { seq: self.seq, status, containers, removed, sessions, history };
        let empty = Change { seq: self.seq, ..Change::default() };
        (change != empty).then_some(change)
    }
}

/// Lines of history that a snapshot holds.
pub const HISTORY_KEPT: usize = 500;
