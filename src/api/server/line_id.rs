//! Ids of log lines, so that a client that was cut off goes on where it was: the time of a line, and which of the lines
//! of that moment it is. Of a container's line also what it reads like: the same line has another time in the engine's
//! log than it had when it came by the worker's terminal. Of one that came by the terminal also what was written before
//! it: on a busy machine the two times are so far apart that lines which read alike can't be told by them.

use std::str::FromStr;

use jiff::Timestamp;

/// One line's id: `1700000000123456789.2` is the third line of that nanosecond; `1700000000123456789.2.9f3a01bc` reads
/// like that, `1700000000123456789.0.9f3a01bc.52e0d1aa` after lines that read like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineId {
    at: Timestamp,
    place: u64,
    print: Option<u32>,
    before: Option<u32>,
}

/// Lines before one that are known with it.
pub const BEFORE: usize = 3;

/// What the lines before one read like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before([Option<u32>; BEFORE]);

impl Before {
    /// One more, the newest.
    pub fn push(&mut self, print: u32) {
        self.0.rotate_left(1);
        if let Some(newest) = self.0.last_mut() {
            *newest = Some(print);
        }
    }

    /// The newest first, as far as they are known.
    pub fn newest(&self) -> impl Iterator<Item = u32> {
        self.0.iter().rev().map_while(|print| *print)
    }

    /// All in one; `None`: too few are known.
    pub fn print(&self) -> Option<u32> {
        self.0.iter().try_fold(0x811c_9dc5, |all: u32, one| one.map(|one| (all ^ one).wrapping_mul(0x0100_0193)))
    }
}

/// What a line reads like, its end apart: FNV-1a, folded.
pub fn print(line: &[u8]) -> u32 {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let hash = line
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 32) as u32 ^ (hash & 0xffff_ffff) as u32
}

impl LineId {
    /// When the line came.
    pub const fn at(self) -> Timestamp {
        self.at
    }

    /// The only line of its moment.
    pub const fn alone(at: Timestamp, print: u32) -> Self {
        Self { at, place: 0, print: Some(print), before: None }
    }

    /// Of a line after these.
    pub fn after(self, before: &Before) -> Self {
        Self { before: before.print(), ..self }
    }

    /// Of a line that reads like this.
    pub const fn reading(self, print: u32) -> Self {
        Self { print: Some(print), ..self }
    }

    /// What the line reads like, where that was said.
    pub const fn print(self) -> Option<u32> {
        self.print
    }

    /// What the lines before it read like, where that was said.
    pub const fn before(self) -> Option<u32> {
        self.before
    }

    /// Whether both are of one moment and place.
    pub fn stands_at(self, other: Self) -> bool {
        (self.at, self.place) == (other.at, other.place)
    }
}

impl std::fmt::Display for LineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at.as_nanosecond(), self.place)?;
        [self.print, self.before].into_iter().map_while(|print| print).try_for_each(|print| write!(f, ".{print:08x}"))
    }
}

impl FromStr for LineId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, place) = text.split_once('.').ok_or(())?;
        let at = at.parse().ok().and_then(|at| Timestamp::from_nanosecond(at).ok()).ok_or(())?;
        let mut parts = place.split('.');
        let place = parts.next().and_then(|place| place.parse().ok()).ok_or(())?;
        let read = |print: Option<&str>| print.map(|print| u32::from_str_radix(print, 16)).transpose().map_err(|_| ());
        let (print, before) = (read(parts.next())?, read(parts.next())?);
        if parts.next().is_some() { Err(()) } else { Ok(Self { at, place, print, before }) }
    }
}

/// Numbers lines as they come, and leaves out those that a client has.
#[derive(Debug, Default)]
pub struct Numbering {
    last: Option<LineId>,
    /// The newest line that the client has.
    had: Option<LineId>,
}

impl Numbering {
    /// For a client that has all lines up to this one.
    pub const fn after(had: Option<LineId>) -> Self {
        Self { last: None, had }
    }

    /// From when on the log is to be read.
    pub fn since(&self) -> Option<Timestamp> {
        self.had.map(|had| had.at)
    }

    /// The id of the next line, which came at this time; `Err`: the client has it. A line without a time has no id.
    pub fn next(&mut self, at: Option<Timestamp>) -> Result<Option<LineId>, ()> {
        let Some(at) = at else { return Ok(None) };
        let place = self.last.filter(|last| last.at == at).map_or(0, |last| last.place + 1);
        let id = LineId { at, place, print: None, before: None };
        self.last = Some(id);
        let had = self.had.is_some_and(|had| at < had.at || (at == had.at && place <= had.place));
        if had { Err(()) } else { Ok(Some(id)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i128) -> Timestamp {
        Timestamp::from_nanosecond(nanos).unwrap()
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = LineId { at: at(1_700_000_000_123_456_789), place: 2, print: None, before: None };
        assert_eq!(id.to_string(), "1700000000123456789.2");
        assert_eq!(id.to_string().parse(), Ok(id));
        let id = id.reading(0x9f_3a01);
        assert_eq!(id.to_string(), "1700000000123456789.2.009f3a01");
        assert_eq!(id.to_string().parse(), Ok(id));
        let mut before = Before::default();
        assert_eq!(id.after(&before), id);
        for line in [&b"a"[..], b"b", b"c"] {
            assert_eq!(before.print(), None, "too few");
            before.push(print(line));
        }
        let later = id.after(&before);
        assert_ne!(later.before(), None);
        assert_eq!(later.to_string().parse(), Ok(later));
        before.push(print(b"d"));
        assert_ne!(id.after(&before), later);
        assert_eq!((print(b"one\r"), print(b"one") == print(b"two")), (print(b"one"), false));
        for bad in
            ["", "x", "1", "1.", ".1", "1.x", "1.-1", "99999999999999999999999999.0", "1.1.x", "1.1.1.x", "1.1.1.1.1"]
        {
            assert_eq!(bad.parse::<LineId>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn wherever_a_stream_is_cut_nothing_is_missed_and_nothing_comes_twice() {
        let log = [1, 2, 2, 2, 3, 5, 5, 9].map(at);
        let numbered = |had: Option<LineId>| -> Vec<LineId> {
            let mut numbering = Numbering::after(had);
            let since = numbering.since();
            let lines = log.iter().filter(|line| since.is_none_or(|since| **line >= since));
            lines.filter_map(|line| numbering.next(Some(*line)).ok().flatten()).collect()
        };
        let all = numbered(None);
        assert_eq!(all.len(), log.len());
        for (count, had) in all.iter().enumerate() {
            assert_eq!(numbered(Some(*had)), all[count + 1..], "cut after {had}");
        }
    }

    #[test]
    fn a_line_without_a_time_comes_always_and_has_no_id() {
        let mut numbering = Numbering::after(Some(LineId { at: at(5), place: 0, print: None, before: None }));
        assert_eq!(numbering.next(None), Ok(None));
        assert_eq!(numbering.next(Some(at(4))), Err(()));
    }
}
