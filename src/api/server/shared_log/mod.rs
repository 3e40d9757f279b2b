//! One follow of a container's log in the engine, for all who follow it here: a thousand readers of a busy log are one
//! to the engine, and each line is written as an event once.
//!
//! A [`Hub`] reads from the engine and passes pieces of finished events on; each [`Follower`] first reads by itself what
//! was there before, then goes on with the pieces. Pieces wait in a ring of [`PIECES`]: whoever is left behind by more
//! reads the log by itself from where it was, and misses nothing. By their ids lines are known again.

mod follower;
mod hub;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;

use super::line_id::LineId;
use crate::bay::container::ContainerId;
use crate::engine::{EngineError, SharedEngine};

pub use follower::Follower;
use hub::Hub;

/// Pieces that wait for the slowest.
const PIECES: usize = 256;

/// The hub of one container, once it is there.
type Entry = Arc<OnceCell<Hub>>;

/// All hubs, by container. One lives as long as somebody follows it.
#[derive(Clone, Default)]
pub struct SharedLogs(Arc<Mutex<BTreeMap<String, Weak<OnceCell<Hub>>>>>);

impl SharedLogs {
    /// The hub of this container, opened where there is none that goes on.
    ///
    /// # Errors
    /// The engine's.
    async fn of(&self, engine: &SharedEngine, id: &ContainerId) -> Result<Entry, EngineError> {
        let entry = self.entry(id);
        entry.get_or_try_init(|| Hub::open(engine, id)).await?;
        Ok(entry)
    }

    fn entry(&self, id: &ContainerId) -> Entry {
        // Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, entry| entry.strong_count() > 0);
        let known = all.get(id.as_str()).and_then(Weak::upgrade);
        if let Some(entry) = known.filter(|entry| entry.get().is_none_or(|hub| !hub.has_ended())) {
            return entry;
        }
        let entry = Entry::default();
        all.insert(id.to_string(), Arc::downgrade(&entry));
        entry
    }
}

/// A line, and how many bytes of it were read: of one without an end, a later reading may have more.
type Mark = (LineId, usize);

/// Lines that are events already, with where each ends.
#[derive(Debug)]
struct Piece {
    ends: Vec<(Mark, usize)>,
    bytes: bytes::Bytes,
}

impl Piece {
    /// What comes after what somebody has, and the last line of it.
    fn after(&self, had: Option<Mark>) -> Option<(bytes::Bytes, Mark)> {
        let (last, _) = *self.ends.last()?;
        let known = had.map_or(0, |had| self.ends.partition_point(|(mark, _)| *mark <= had));
        let from = known.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(_, end)| *end);
        (from < self.bytes.len()).then(|| (self.bytes.slice(from..), last))
    }
}

/// What a hub passes on.
#[derive(Debug)]
enum Told {
    Piece(Piece),
    /// It broke off, in words.
    Failed(String),
    /// The last line was said.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_goes_on_after_what_somebody_has() {
        let id = |text: &str| text.parse::<LineId>().unwrap();
        let ends = vec![((id("5.0"), 3), 3), ((id("5.1"), 2), 5), ((id("9.0"), 4), 9)];
        let piece = Piece { ends, bytes: bytes::Bytes::from_static(b"aaabbcccc") };
        let after = |had: Option<&str>| piece.after(had.map(|had| (id(had), usize::MAX))).map(|(bytes, _)| bytes);
        for (had, rest) in [
            (None, Some("aaabbcccc")),
            (Some("4.7"), Some("aaabbcccc")),
            (Some("5.0"), Some("bbcccc")),
            (Some("5.1"), Some("cccc")),
            (Some("8.0"), Some("cccc")),
            (Some("9.0"), None),
            (Some("10.0"), None),
        ] {
            assert_eq!(after(had).as_deref(), rest.map(str::as_bytes), "{had:?}");
        }
        let rest = piece.after(Some((id("9.0"), 3))).map(|(bytes, _)| bytes);
        assert_eq!(rest.as_deref(), Some(b"cccc".as_slice()), "a line of which only a part was there");
    }
}
