//! What is known of a log of Podman's between two readings of it; see `logs`.

use std::collections::VecDeque;

use super::lines::{Lines, Piece};
use crate::engine::LogQuery;

/// What is kept between two readings of Podman's log.
#[derive(Default)]
pub struct Podman {
    /// The last lines of the first reading, as many as were asked for.
    pub last: VecDeque<Piece>,
    /// Whether the first reading is done.
    pub begun: bool,
    /// Lines without an end at the end of the reading before: they are shown when they stay so.
    pub held: Vec<Piece>,
    /// Those of this reading.
    pub holding: Vec<Piece>,
    /// Whether all is shown as it is, because nothing more comes.
    pub ending: bool,
    /// A tty's log so far.
    pub tty: Option<Tty>,
}

/// How far a tty's log was read.
pub struct Tty {
    pub lines: Lines,
    /// Bytes taken.
    pub length: usize,
}

impl Podman {
    /// Takes what is not to be passed on yet.
    pub fn keep(&mut self, piece: Piece, query: &LogQuery) -> Option<Piece> {
        let same = |held: &Piece| (held.stderr, &held.whole) == (piece.stderr, &piece.whole);
        if query.follow && piece.open && !self.ending && self.tty.is_none() {
            let stays = self.held.iter().any(same);
            self.holding.push(piece.clone());
            if !stays {
                return None;
            }
        }
        let Some(tail) = query.tail.filter(|_| !self.begun) else { return Some(piece) };
        self.last.push_back(piece);
        // With none to show, the last one says where to go on.
        if self.last.len() as u64 > tail.max(1) {
            self.last.pop_front();
        }
        None
    }
}
