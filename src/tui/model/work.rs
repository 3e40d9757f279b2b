//! What was asked for and is not done yet.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::types::Verb;

/// Open requests.
#[derive(Debug, Default)]
pub struct Work {
    /// By container: the verb that is under way.
    pub verbs: BTreeMap<String, Verb>,
    /// By pool: how many were asked for, until the feed says so too. The key pressed again counts on from there.
    pub scaled: BTreeMap<String, u32>,
    /// Spawns that have not been answered.
    pub spawning: usize,
    /// When the last of them was asked for by a key.
    pub spawned_at: Option<Timestamp>,
    /// Notes about new workers that were shown already.
    pub told: BTreeSet<String>,
    /// The question about weaker walls was put.
    pub asked_isolation: bool,
    /// The worker whose terminal is to be focused as soon as it can be.
    pub awaited: Option<String>,
    /// Since when.
    pub awaited_since: Option<Timestamp>,
    /// What was copied of which row last, and when: the same key then copies the next thing of it.
    pub copied: Option<(String, usize, Timestamp)>,
}

/// A verb while it is under way.
#[must_use]
pub const fn doing(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "starting",
        Verb::Stop => "stopping",
        Verb::Restart => "restarting",
        Verb::Refresh => "refreshing",
        Verb::Remove | Verb::Discard => "removing",
    }
}
