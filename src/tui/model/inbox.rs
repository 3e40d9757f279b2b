//! Which workers need somebody, the most urgent first.

use jiff::Timestamp;

use crate::api::types::{ContainerRow, State};
use crate::bay::attention::{Attention, Need, Source};
use crate::bay::session::SessionKind;

use super::Model;
use super::list::age;

/// What is known about who needs somebody, and what the user was told of it.
#[derive(Debug, Default)]
pub struct Inbox {
    /// What the user was told of: name, need, since when. `None`: before the first snapshot.
    pub told: Option<Vec<(String, Need, Timestamp)>>,
    /// The window's title as it was last set.
    pub title: String,
    /// Whether the user's terminal has the focus; `None`: it never said.
    pub looking: Option<bool>,
}

impl Model {
    /// What a worker needs. Of several terminals the most urgent counts; a worker that failed has none that could.
    #[must_use]
    pub fn attention(&self, row: &ContainerRow) -> Option<Attention> {
        if row.state == State::Failed {
            let since = row.started_at.or(row.created_at).unwrap_or(self.now);
            return Some(Attention { need: Need::Failed, source: Source::Screen, since });
        }
        if !matches!(row.state, State::Running | State::CutOff) {
            return None;
        }
        let open = self.feed.sessions(&row.name).filter(|session| session.ended.is_none());
        let told = open.filter_map(|session| Some((session.kind != SessionKind::Main, session.attention.clone()?)));
        told.min_by_key(|(shell, attention)| (attention.need, *shell)).map(|(_, attention)| attention)
    }

    /// The line under a worker: why it is not simply running, or what it needs and how that is known.
    #[must_use]
    pub fn note_of(&self, row: &ContainerRow) -> Option<String> {
        if row.reason.is_some() {
            return row.reason.clone();
        }
        let attention = self.attention(row).filter(|attention| attention.need != Need::Working)?;
        let age = age(attention.since, self.now);
        Some(format!("{}, {} {age}", attention.need.as_str(), attention.source.as_str()))
    }

    /// Those that need somebody, then the idle ones; of equals the one that waits longest first.
    #[must_use]
    pub fn inbox(&self) -> Vec<(&ContainerRow, Attention)> {
        let with = |row| Some((row, self.attention(row)?));
        let waits = |found: &(&ContainerRow, Attention)| found.1.need.calls() || found.1.need == Need::Idle;
        let mut all: Vec<(&ContainerRow, Attention)> = self.feed.workers().filter_map(with).filter(waits).collect();
        all.sort_by(|(a, x), (b, y)| (x.need, x.since, &a.name).cmp(&(y.need, y.since, &b.name)));
        all
    }

    /// How many need somebody.
    #[must_use]
    pub fn calling(&self) -> usize {
        self.inbox().iter().filter(|(_, attention)| attention.need.calls()).count()
    }
}
