//! Workers that call for somebody though no program of theirs can: those that ended by themselves, and those that could
//! not be brought to what is wanted.

use crate::api::types::{ContainerRow, State};
use crate::bay::attention::{Attention, Need, Source};
use crate::bay::container::{Role, Status};

use super::super::event::Now;
use super::Machine;
use super::pool::is_warm;

impl Machine {
    /// Writes into the rows who calls, since when. Whoever was stopped by request ended as was wanted, and what is under
    /// way is not over; the pool looks after its own.
    pub(super) fn note_calls(&self, rows: &mut [ContainerRow], now: Now) {
        for row in rows.iter_mut().filter(|row| row.role == Role::Worker && !is_warm(&row.name)) {
            row.call = self.call_of(row, now);
            if let Some(call) = &row.call {
                row.attention = Some(call.to_string());
            }
        }
    }

    fn call_of(&self, row: &ContainerRow, now: Now) -> Option<Attention> {
        if self.stored.goals.contains_key(&row.name) || self.stored.stopped.contains(&row.name) {
            return None;
        }
        // Whose time the engine does not tell has called since that was first seen.
        let before = self.rows.iter().find(|old| old.name == row.name && old.id == row.id);
        let known = before.and_then(|old| old.call.as_ref());
        let since = |source| known.filter(|call| call.source == source).map_or(now.wall, |call| call.since);
        match (row.state, &self.seen.get(&row.name)?.container.status) {
            (State::Exited, Status::Exited { code, oom, at, .. }) => {
                Some(Attention::of_end(*code, *oom, at.unwrap_or_else(|| since(Source::Exit))))
            }
            (State::Failed, _) => {
                Some(Attention { need: Need::Failed, source: Source::Podbay, since: since(Source::Podbay) })
            }
            _ => None,
        }
    }
}
