//! What a log's reader was given already, so that the same lines read again are passed over and repeats are kept.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use super::lines::Piece;

/// The clock may have gone back by so much inside what is read again.
const MARGIN: SignedDuration = SignedDuration::from_secs(2);
/// Lines remembered, at most: a burst of more in two seconds is only read again from where the memory begins.
const LIMIT: usize = 200_000;

/// The lines at and after a point of time that were given out.
#[derive(Default)]
pub struct Seen {
    given: VecDeque<(Timestamp, u64)>,
    /// What is older was given out, or was not asked for.
    floor: Option<Timestamp>,
    /// The first line that comes is the floor.
    from_first: bool,
    /// That line: what has its time and comes before it was not asked for.
    first: Option<(Timestamp, u64)>,
    last: Option<Timestamp>,
    /// A line of which only the beginning was given out when its connection ended.
    open: [Option<Piece>; 2],
}

/// A reading of the same log once more: each line given out before is passed over as often as it was given.
pub struct Again {
    left: HashMap<u64, u32>,
    /// Lines of this time are passed over until this one comes.
    first: Option<(Timestamp, u64)>,
}

impl Seen {
    /// For a reading that does not begin with the log: at a time, or with its last lines.
    pub fn beginning(since: Option<Timestamp>, with_last_lines: bool) -> Self {
        Self { floor: since, from_first: with_last_lines, ..Self::default() }
    }

    /// Notes what is given out.
    pub fn note(&mut self, piece: &Piece) {
        let [stdout, stderr] = &mut self.open;
        let open = if piece.stderr { stderr } else { stdout };
        *open = piece.open.then(|| piece.clone());
        if piece.open {
            return;
        }
        let Some(at) = piece.at else { return };
        if std::mem::take(&mut self.from_first) {
            self.floor = self.floor.max(Some(at));
            self.first = Some((at, fingerprint(piece)));
        }
        self.last = Some(at);
        self.given.push_back((at, fingerprint(piece)));
        let old = at.checked_sub(MARGIN).unwrap_or(at);
        while self.given.len() > LIMIT || self.given.front().is_some_and(|(first, _)| *first < old) {
            self.forget_first();
        }
    }

    /// Lines of one time are forgotten together: then what is left is all from the floor on.
    fn forget_first(&mut self) {
        let Some((first, _)) = self.given.pop_front() else { return };
        let next = first.checked_add(SignedDuration::from_nanos(1)).unwrap_or(first);
        self.floor = self.floor.max(Some(next));
        let floor = self.floor;
        while self.given.front().is_some_and(|(at, _)| Some(*at) < floor) {
            self.given.pop_front();
        }
    }

    /// From when to read again; `None` when nothing with a time was given out.
    pub fn since(&self) -> Option<Timestamp> {
        let earliest = self.last?.checked_sub(MARGIN).ok()?;
        Some(self.floor.map_or(earliest, |floor| floor.max(earliest)))
    }

    /// Begins another reading from [`Seen::since`].
    pub fn again(&self) -> Again {
        let mut left = HashMap::with_capacity(self.given.len());
        for (_, print) in &self.given {
            *left.entry(*print).or_insert(0) += 1;
        }
        let first = self.first.filter(|first| self.given.front() == Some(first));
        Again { left, first }
    }

    /// What is new of a piece of another reading; `None` when all of it was given out.
    pub fn fresh(&mut self, again: &mut Again, piece: Piece) -> Option<Piece> {
        if let Some((at, print)) = again.first {
            if piece.at == Some(at) && fingerprint(&piece) != print {
                return None;
            }
            again.first = None;
        }
        if !piece.open && piece.at.is_some() {
            let count = again.left.get_mut(&fingerprint(&piece)).filter(|count| **count > 0);
            if let Some(count) = count {
                *count -= 1;
                return None;
            }
        }
        let [stdout, stderr] = &self.open;
        let open = if piece.stderr { stderr } else { stdout };
        let begun = open.as_ref().filter(|open| open.at == piece.at && piece.whole.starts_with(&open.whole));
        let given = begun.map_or(0, |open| open.whole.len());
        Some(Piece { new_from: piece.new_from.max(given), ..piece })
    }
}

fn fingerprint(piece: &Piece) -> u64 {
    let mut hasher = DefaultHasher::new();
    (piece.at, piece.stderr, &piece.whole).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(nanos: i64, text: &str) -> Piece {
        let at = Timestamp::from_nanosecond(1_700_000_000_000_000_000 + i128::from(nanos)).unwrap();
        Piece { at: Some(at), stderr: false, whole: text.to_owned().into(), new_from: 0, open: false }
    }

    #[test]
    fn g07_repeats_of_one_time_are_kept() {
        let mut seen = Seen::default();
        for _ in 0..3 {
            seen.note(&piece(5, "same"));
        }
        let mut again = seen.again();
        let fresh: Vec<_> = (0..5).filter_map(|_| seen.fresh(&mut again, piece(5, "same"))).collect();
        assert_eq!(fresh.len(), 2);
        assert!(seen.since().unwrap() < piece(5, "").at.unwrap());
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let mut seen = Seen::default();
        let order = [10, 2_000_000_000, 1_000_000_000, 1_500_000_000];
        seen.note(&piece(order[0], "a"));
        seen.note(&piece(order[1], "b"));
        let since = seen.since().unwrap();
        let mut again = seen.again();
        let log = order.iter().zip(["a", "b", "c", "d"]).map(|(at, text)| piece(*at, text));
        let reread = log.filter(|piece| piece.at.unwrap() >= since);
        let fresh: Vec<_> = reread.filter_map(|piece| seen.fresh(&mut again, piece)).map(|p| p.whole).collect();
        assert_eq!(fresh, ["c", "d"]);
    }

    #[test]
    fn memory_is_bounded_and_never_repeats() {
        let mut seen = Seen::default();
        for index in 0..i64::try_from(LIMIT).unwrap() + 10 {
            seen.note(&piece(index / 3, "line"));
        }
        assert!(seen.given.len() <= LIMIT);
        let since = seen.since().unwrap();
        let mut again = seen.again();
        let log = (0..i64::try_from(LIMIT).unwrap() + 10).map(|index| piece(index / 3, "line"));
        let fresh = log.filter(|p| p.at.unwrap() >= since).filter_map(|p| seen.fresh(&mut again, p)).count();
        assert_eq!(fresh, 0);
    }

    #[test]
    fn a_line_that_was_cut_goes_on_where_it_was() {
        let mut seen = Seen::default();
        seen.note(&Piece { open: true, ..piece(1, "half a ") });
        let mut again = seen.again();
        let rest = seen.fresh(&mut again, piece(1, "half a line")).unwrap();
        assert_eq!(rest.line().unwrap().bytes, "line");
    }
}
