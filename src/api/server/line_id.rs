//! Ids of log lines, so that a client that was cut off goes on where it was: the time of a line, and which of the lines
//! of that moment it is. Of a container's line also what it reads like: the same line has another time in the engine's
//! log than it had when it came by the worker's terminal.

use std::str::FromStr;

use jiff::Timestamp;

/// One line's id: `1700000000123456789.2` is the third line of that nanosecond; `1700000000123456789.2.9f3a01bc` reads
/// like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineId {
    at: Timestamp,
    place: u64,
    print: Option<u32>,
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
        Self { at, place: 0, print: Some(print) }
    }

    /// Of a line that reads like this.
    pub const fn reading(self, print: u32) -> Self {
        Self { print: Some(print), ..self }
    }

    /// What the line reads like, where that was said.
    pub const fn print(self) -> Option<u32> {
        self.print
    }

    /// Whether both are of one moment and place.
    pub fn stands_at(self, other: Self) -> bool {
        (self.at, self.place) == (other.at, other.place)
    }
}

impl std::fmt::Display for LineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at.as_nanosecond(), self.place)?;
        self.print.map_or(Ok(()), |print| write!(f, ".{print:08x}"))
    }
}

impl FromStr for LineId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, place) = text.split_once('.').ok_or(())?;
        let at = at.parse().ok().and_then(|at| Timestamp::from_nanosecond(at).ok()).ok_or(())?;
        let (place, print) = place.split_once('.').map_or((place, None), |(place, print)| (place, Some(print)));
        let print = print.map(|print| u32::from_str_radix(print, 16)).transpose().map_err(|_| ())?;
        Ok(Self { at, place: place.parse().map_err(|_| ())?, print })
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
        let id = LineId { at, place, print: None };
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
        let id = LineId { at: at(1_700_000_000_123_456_789), place: 2, print: None };
        assert_eq!(id.to_string(), "1700000000123456789.2");
        assert_eq!(id.to_string().parse(), Ok(id));
        let id = id.reading(0x9f_3a01);
        assert_eq!(id.to_string(), "1700000000123456789.2.009f3a01");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!((print(b"one\r"), print(b"one") == print(b"two")), (print(b"one"), false));
        for bad in ["", "x", "1", "1.", ".1", "1.x", "1.-1", "99999999999999999999999999.0", "1.1.x", "1.1.1.1"] {
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
        let mut numbering = Numbering::after(Some(LineId { at: at(5), place: 0, print: None }));
        assert_eq!(numbering.next(None), Ok(None));
        assert_eq!(numbering.next(Some(at(4))), Err(()));
    }
}
