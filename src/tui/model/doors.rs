//! The dialog of names that were asked for outside of the bay.

use jiff::Timestamp;

use super::Model;
use crate::api::types::{AskedRow, NetworkAnswer};

/// The answers, in the order of their buttons, with what stands on them.
pub const ANSWERS: [(NetworkAnswer, &str); 3] =
    [(NetworkAnswer::Once, "once"), (NetworkAnswer::Bay, "for this bay"), (NetworkAnswer::Refuse, "keep refusing")];

/// What is chosen. By its name: the list changes while it is looked at.
#[derive(Debug)]
pub struct Doors {
    /// The name; one that is not asked for any more means the first.
    pub name: String,
    /// The answer's place.
    pub answer: usize,
    /// When the last answer was given, or a key was pressed too soon after it: it was not meant for the next name.
    pub answered_at: Option<Timestamp>,
}

impl Model {
    /// The names that wait for an answer.
    #[must_use]
    pub fn asked(&self) -> &[AskedRow] {
        self.feed.status().map_or(&[], |status| status.network.asked.as_slice())
    }

    /// The place of the chosen one.
    #[must_use]
    pub fn chosen_door(&self, doors: &Doors) -> usize {
        self.asked().iter().position(|row| row.name == doors.name).unwrap_or(0)
    }
}
