//! The log of a worker, for all who follow it: live from the terminal's stream that its session holds open, what is older
//! from the engine, each line written as an event once.
//!
//! A [`Follower`] takes lines from the session's ring by their numbers. What the ring does not have (any more) it reads
//! from the engine, and goes on in the ring where the two meet: `seam` knows how. Whoever is left behind by more than the
//! ring keeps does the same, and is told what the engine has lost meanwhile.

mod follower;
mod seam;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use super::line_id::{BEFORE, Before, LineId, print};
use super::lines::{LineEvent, write_event};
use crate::api::types::LogEntry;
use crate::bay::container::ContainerId;
use crate::supervisor::session::ring::{Portion, Ring};

pub use follower::Follower;
pub use seam::{Finder, Mark, Settled, before, skew};

/// Written events that are kept for those who come to them next.
const WRITTEN: usize = 256 << 10;
/// The last lines of a piece that are known by what they read like.
const MARKS: usize = 8;

/// All logs that somebody follows, by container.
#[derive(Clone, Default)]
pub struct SharedLogs(Arc<Mutex<BTreeMap<String, Weak<SharedLog>>>>);

impl SharedLogs {
    fn of(&self, id: &ContainerId, ring: &Arc<Ring>) -> Arc<SharedLog> {
        // Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, log| log.strong_count() > 0);
        let known = all.get(id.as_str()).and_then(Weak::upgrade);
        if let Some(log) = known.filter(|log| Arc::ptr_eq(&log.ring, ring)) {
            return log;
        }
        let log = Arc::new(SharedLog { ring: ring.clone(), written: Mutex::default() });
        all.insert(id.to_string(), Arc::downgrade(&log));
        log
    }
}

/// One ring with those who follow it.
struct SharedLog {
    ring: Arc<Ring>,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    pieces: VecDeque<Arc<Piece>>,
    bytes: usize,
}

impl SharedLog {
    /// The events of this line and some after it, none when it is yet to come; `None`: the ring does not have it any more.
    fn piece(&self, next: u64) -> Option<Arc<Piece>> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let known = written.pieces.iter().rev().find(|piece| piece.first <= next && next < piece.next());
        if let Some(piece) = known {
            return Some(piece.clone());
        }
        let portion = self.ring.read(next)?;
        let mut before = Before::default();
        let oldest = next.saturating_sub(BEFORE as u64).max(self.ring.start().0);
        self.marks(oldest, next).iter().for_each(|mark| before.push(mark.print));
        let piece = Arc::new(Piece::write(&portion, before));
        if !piece.ends.is_empty() {
            written.bytes += piece.bytes.len();
            written.pieces.push_back(piece.clone());
        }
        while written.bytes > WRITTEN && written.pieces.len() > 1 {
            let oldest = written.pieces.pop_front();
            written.bytes -= oldest.map_or(0, |piece| piece.bytes.len());
        }
        Some(piece)
    }

    /// What the lines from this one up to that one read like.
    fn marks(&self, from: u64, to: u64) -> Vec<Mark> {
        let mut marks = Vec::new();
        let mut next = from;
        while next < to
            && let Some(portion) = self.ring.read(next).filter(|portion| !portion.lines.is_empty())
        {
            next = portion.next();
            let wanted = usize::try_from(to - portion.first).unwrap_or(usize::MAX);
            marks.extend(portion.iter().take(wanted).map(|(at, line)| Mark { at, print: print(&line) }));
        }
        marks
    }
}

/// Lines that are events already.
#[derive(Debug)]
struct Piece {
    first: u64,
    /// Where each ends.
    ends: Vec<usize>,
    bytes: Bytes,
    /// The last ones.
    marks: Vec<Mark>,
}

impl Piece {
    fn write(portion: &Portion, mut before: Before) -> Self {
        let count = portion.lines.len();
        let mut bytes = BytesMut::with_capacity(portion.text.len() + count * 96);
        let (mut ends, mut marks) = (Vec::with_capacity(count), Vec::with_capacity(MARKS));
        for (number, (at, line)) in portion.iter().enumerate() {
            let print = print(&line);
            let time = Timestamp::from_nanosecond(at.into()).unwrap_or_default();
            let entry = LogEntry::new(&line, Some(time.as_millisecond()), false);
            write_event(&mut bytes, &LineEvent::Line(entry, Some(LineId::alone(time, print).after(&before))));
            before.push(print);
            ends.push(bytes.len());
            if number + MARKS >= count {
                marks.push(Mark { at, print });
            }
        }
        Self { first: portion.first, ends, bytes: bytes.freeze(), marks }
    }

    fn next(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    /// From this line on, with what the last ones of those read like.
    fn from(&self, next: u64) -> (Bytes, &[Mark]) {
        let skipped = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.ends.len());
        let begin = skipped.checked_sub(1).and_then(|at| self.ends.get(at)).copied().unwrap_or(0);
        let marks = self.marks.len().saturating_sub(self.ends.len() - skipped);
        (self.bytes.slice(begin..), self.marks.get(marks..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ring: &Ring, text: &str, at: i64) {
        ring.push(text.as_bytes(), Timestamp::from_nanosecond(at.into()).unwrap());
    }

    #[test]
    fn each_takes_a_piece_from_where_it_is() {
        let ring = Arc::new(Ring::default());
        ring.begins();
        let log = SharedLogs::default().of(&ContainerId::new("x"), &ring);
        assert!(log.piece(0).unwrap().ends.is_empty());
        written(&ring, "a\nb\nc\n", 5);
        let piece = log.piece(0).unwrap();
        let text = |from| String::from_utf8(piece.from(from).0.to_vec()).unwrap();
        assert_eq!(text(0).matches("\n\n").count(), 3);
        assert!(text(2).starts_with("id: 7.0.") && text(2).contains("\"line\":\"c\""), "{}", text(2));
        let prints = |from| piece.from(from).1.iter().map(|mark| mark.print).collect::<Vec<_>>();
        assert_eq!(prints(1), [print(b"b"), print(b"c")]);
        assert!(text(3).is_empty() && prints(3).is_empty());
        assert!(Arc::ptr_eq(&piece, &log.piece(1).unwrap()), "written once");
        assert_eq!(log.marks(1, 3), piece.from(1).1);
        written(&ring, "d\n", 9);
        let ids = |piece: &Piece| -> Vec<LineId> {
            let text = String::from_utf8(piece.bytes.to_vec()).unwrap();
            text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
        };
        let (later, whole) = (log.piece(3).unwrap(), Piece::write(&ring.read(0).unwrap(), Before::default()));
        assert!(ids(&later)[0].before().is_some(), "what stood before it is known of another piece's lines, too");
        assert_eq!(ids(&later)[0], ids(&whole)[3]);
        ring.opened(true);
        assert!(log.piece(4).is_none());
    }

    #[test]
    fn what_is_written_for_others_is_bounded() {
        let ring = Arc::new(Ring::default());
        ring.begins();
        let log = SharedLogs::default().of(&ContainerId::new("x"), &ring);
        let mut next = 0;
        for at in 0..100_000 {
            written(&ring, &format!("line {at} of many\n"), at);
            if at % 100 == 99 {
                next = log.piece(next).unwrap().next();
            }
        }
        assert!(next > 99_000, "{next}");
        assert!(log.written.lock().unwrap().bytes <= WRITTEN);
    }
}
