//! Which workers need somebody, the most urgent first.

use std::collections::BTreeMap;

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
    /// Ends that were looked at: name, and when it ended.
    pub seen: BTreeMap<String, Timestamp>,
}

impl Model {
    /// What a worker needs. Of several terminals the most urgent counts; one that has ended calls until it was looked at.
    #[must_use]
    pub fn attention(&self, row: &ContainerRow) -> Option<Attention> {
        if let Some(call) = &row.call {
            return Some(call.clone()).filter(|call| self.inbox.seen.get(&row.name) != Some(&call.since));
        }
        if !matches!(row.state, State::Running | State::CutOff) {
            return None;
        }
        let open = self.feed.sessions(&row.name).filter(|session| session.ended.is_none());
        let told = open.filter_map(|session| Some((session.kind != SessionKind::Main, session.attention.clone()?)));
        told.min_by_key(|(shell, attention)| (attention.need, *shell)).map(|(_, attention)| attention)
    }

    /// The line under a worker: what it needs and how that is known, and why it is not simply running. What calls comes
    /// first: the reason may not fit.
    #[must_use]
    pub fn note_of(&self, row: &ContainerRow) -> Option<String> {
        let attention = self.attention(row).filter(|attention| attention.need != Need::Working);
        let Some(attention) = attention else { return row.reason.clone() };
        let age = age(attention.since, self.now);
        let need = format!("{}, {} {age}", attention.need.as_str(), attention.source.as_str());
        match &row.reason {
            // How it ended says the need, and more.
            Some(reason) if row.call.is_some() => Some(format!("{age} {reason}")),
            Some(reason) if attention.need.calls() => Some(format!("{need}; {reason}")),
            Some(reason) => Some(reason.clone()),
            None => Some(need),
        }
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

    /// Ends that are on the screen while somebody is there: they have been looked at. Whether there are new ones.
    pub fn look_at_ends(&mut self) -> bool {
        let selected = self.subject().filter(|_| self.layout().is_some()).map(|row| &row.name);
        let fresh = |row: &&ContainerRow| {
            let ended = row.call.as_ref().filter(|call| call.source == Source::Exit);
            ended.is_some_and(|call| self.inbox.seen.get(&row.name) != Some(&call.since))
        };
        let on_screen = |row: &&ContainerRow| Some(&row.name) == selected || self.is_seen(&row.name);
        let seen = self.feed.workers().filter(fresh).filter(on_screen);
        let seen: Vec<_> = seen.filter_map(|row| Some((row.name.clone(), row.call.as_ref()?.since))).collect();
        if seen.is_empty() {
            return false;
        }
        let mut known = std::mem::take(&mut self.inbox.seen);
        known.retain(|name, _| self.feed.row(name).is_some());
        known.extend(seen);
        self.inbox.seen = known;
        self.dirty = true;
        true
    }
}
