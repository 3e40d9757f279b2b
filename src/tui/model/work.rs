//! What was asked for and is not done yet.

use std::collections::BTreeMap;

use crate::api::types::Verb;

/// Open requests.
#[derive(Debug, Default)]
pub struct Work {
    /// By container: the verb that is under way.
    pub verbs: BTreeMap<String, Verb>,
    /// Spawns that have not been answered.
    pub spawning: usize,
    /// The worker whose terminal is to be focused as soon as it can be.
    pub awaited: Option<String>,
}

/// A verb while it is under way.
#[must_use]
pub const fn doing(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "starting",
        Verb::Stop => "stopping",
        Verb::Restart => "restarting",
        Verb::Refresh => "refreshing",
        Verb::Remove => "removing",
    }
}
