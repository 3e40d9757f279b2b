//! Where a log of the engine's and the lines that a terminal brought meet. The same line stands in both, with two times
//! that are nearly the same.

use jiff::{SignedDuration, Timestamp};

use crate::api::server::line_id::{BEFORE, Before, LineId, print};
use crate::engine::LogLine;

/// The two times of one line are never further apart, in nanoseconds: there is a megabyte at most on each way.
const SKEW: i64 = 2_000_000_000;
/// Where the engine has another clock.
const SKEW_AFAR: i64 = 60_000_000_000;
/// So near are they where nothing but their times tells lines apart.
const NEAR: i64 = 250_000_000;
/// Lines that match one after the other are no chance.
const SURE: usize = 4;
/// Lines that are compared at most.
const DEEP: usize = 64;
/// Bytes that are held back at most until it is known where to go on.
const HELD: usize = 4 << 20;

/// When a line came, in nanoseconds since 1970, and what it reads like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub at: i64,
    pub print: u32,
}

/// How far apart the two times of a line may be, by whether the engine is on this machine.
pub const fn skew(here: bool) -> i64 {
    if here { SKEW } else { SKEW_AFAR }
}

impl Mark {
    /// Of a line that has this id.
    pub fn of(id: LineId) -> Self {
        Self { at: nanos(id), print: id.print().unwrap_or_default() }
    }

    /// Its time.
    pub fn time(self) -> Timestamp {
        Timestamp::from_nanosecond(self.at.into()).unwrap_or_default()
    }
}

/// How many lines from the first one of `live` on stand in `past`, or will: the line of `live` to go on with. `None`: they
/// do not meet.
pub fn align(past: &[Mark], live: &[Mark], skew: i64) -> Option<usize> {
    let mut best: Option<(i64, usize)> = None;
    let last = past.len().checked_sub(1)?;
    // Where the last line of `live` is in `past`, or the last line of `past` in `live`.
    let ahead = (0..last).map(|at| (at, live.len().wrapping_sub(1)));
    for (in_past, in_live) in ahead.chain((0..live.len()).map(|at| (last, at))) {
        let (Some(one), Some(other)) = (past.get(in_past), live.get(in_live)) else { continue };
        let apart = (one.at - other.at).abs();
        if one.print != other.print || apart > skew || best.is_some_and(|(best, _)| best <= apart) {
            continue;
        }
        let both = past.get(..=in_past)?.iter().rev().zip(live.get(..=in_live)?.iter().rev()).take(DEEP);
        let (mut count, mut same, mut alike) = (0, true, true);
        for (one, other) in both {
            count += 1;
            same &= one.print == other.print;
            alike &= one.print == past.get(in_past)?.print;
        }
        if same && (apart <= NEAR || (count >= SURE && !alike)) {
            best = Some((apart, in_live + 1 + (last - in_past)));
        }
    }
    best.map(|(_, next)| next)
}

/// Finds in a log what comes after a line that somebody has.
pub struct Finder {
    /// The last lines that it has, oldest first.
    had: Vec<Mark>,
    /// The place of the last one, where it is known.
    id: Option<LineId>,
    /// What was read last.
    seen: Before,
    skew: i64,
    /// How far from its time the best one is.
    best: Option<i64>,
    held: Vec<(LogLine, LineId)>,
    bytes: usize,
}

/// What a [`Finder`] knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    /// What comes first.
    pub lines: Vec<(LogLine, LineId)>,
    /// Whether the line was there; otherwise these are the lines after its time.
    pub found: bool,
}

impl Finder {
    /// For somebody who has these lines; `None`: for nobody.
    pub fn new(had: &[Mark], id: Option<LineId>, skew: i64) -> Option<Self> {
        let had = had.get(had.len().saturating_sub(BEFORE + 1)..)?.to_vec();
        (!had.is_empty()).then_some(Self {
            had,
            id,
            seen: Before::default(),
            skew,
            best: None,
            held: Vec::new(),
            bytes: 0,
        })
    }

    /// Takes the next line; once it is settled all others are new.
    pub fn push(&mut self, line: LogLine, id: LineId) -> Option<Settled> {
        let wanted = *self.had.last()?;
        let (at, print) = (nanos(id), print(&line.bytes));
        let apart = (at - wanted.at).abs();
        let known = self.had.iter().rev().skip(1).zip(self.seen.newest()).all(|(one, other)| one.print == other);
        let told = self.id.and_then(LineId::before).zip(self.seen.print());
        let reads_alike = print == wanted.print && known && told.is_none_or(|(wanted, seen)| wanted == seen);
        let exact = reads_alike && self.id.is_some_and(|wanted| wanted.stands_at(id));
        let matches = reads_alike && apart <= self.skew;
        self.seen.push(print);
        if exact || (matches && self.best.is_none_or(|best| apart <= best)) {
            self.best = Some(apart);
            (self.held, self.bytes) = (Vec::new(), 0);
            return exact.then(|| self.settle());
        }
        if self.best.is_some() || at > wanted.at {
            self.bytes += line.bytes.len() + size_of::<(LogLine, LineId)>();
            self.held.push((line, id));
        }
        let past = wanted.at + self.best.unwrap_or(self.skew);
        (at > past || self.bytes > HELD).then(|| self.settle())
    }

    /// There are no more lines.
    pub fn settle(&mut self) -> Settled {
        Settled { lines: std::mem::take(&mut self.held), found: self.best.is_some() }
    }
}

/// So early a log is read, to find a line in it.
pub fn before(had: LineId, skew: i64) -> Timestamp {
    had.at().checked_sub(SignedDuration::from_nanos(skew)).unwrap_or_else(|_| had.at())
}

/// The time of an id.
pub fn nanos(id: LineId) -> i64 {
    i64::try_from(id.at().as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::server::line_id::Numbering;
    use bytes::Bytes;

    const SECOND: i64 = 1_000_000_000;

    /// Lines at these milliseconds.
    fn marks(lines: &[(i64, &str)]) -> Vec<Mark> {
        lines.iter().map(|(at, text)| Mark { at: at * 1_000_000, print: print(text.as_bytes()) }).collect()
    }

    #[test]
    fn two_readings_of_one_log_meet_where_they_are_the_same() {
        let log = marks(&[(1000, "a"), (1001, "b"), (1002, "c"), (1003, "d"), (1004, "e"), (1005, "f")]);
        let late: Vec<Mark> = log.iter().map(|mark| Mark { at: mark.at + 700_000_000, ..*mark }).collect();
        // The terminal's lines begin at the third one; the log was read to the fifth, or the other way round.
        assert_eq!(align(&log[..5], &log[2..], SKEW), Some(3));
        assert_eq!(align(&log[..], &log[2..4], SKEW), Some(4), "two are yet to come");
        assert_eq!(align(&log[..], &late[1..], SKEW), Some(5), "four lines in a row are no chance");
        assert_eq!(align(&log[..4], &late[3..], SKEW), None, "one may be");
        assert_eq!(align(&log[..2], &log[2..], SKEW), None);
        assert_eq!((align(&[], &log, SKEW), align(&log, &[], SKEW)), (None, None));
    }

    #[test]
    fn of_lines_that_are_all_alike_their_times_tell() {
        let ticks: Vec<Mark> = (0..20).map(|n| Mark { at: n * SECOND, print: 7 }).collect();
        let heard: Vec<Mark> = ticks.iter().map(|mark| Mark { at: mark.at + 3_000_000, ..*mark }).collect();
        for (read, from, to) in [(10, 3, 20), (10, 0, 5), (20, 10, 12), (5, 4, 20)] {
            assert_eq!(align(&ticks[..read], &heard[from..to], SKEW), Some(read - from), "{read} {from} {to}");
        }
        assert_eq!(align(&ticks[..10], &heard[10..], SKEW), None, "the next one was never read");
    }

    fn line(at: i64, text: &str) -> LogLine {
        let at = Timestamp::from_nanosecond(at.into()).ok();
        LogLine { at, stderr: false, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn after(had: &[Mark], id: Option<&str>, log: &[(i64, &str)]) -> (Vec<String>, bool) {
        let mut finder = Finder::new(had, id.map(|id| id.parse().unwrap()), SKEW).unwrap();
        let mut numbering = Numbering::default();
        let mut lines = Vec::new();
        let mut settled = None;
        for (at, text) in log {
            let line = line(*at, text);
            let id = numbering.next(line.at).unwrap().unwrap();
            if settled.is_some() {
                lines.push((line, id));
            } else if let Some(found) = finder.push(line, id) {
                settled = Some(found.found);
                lines = found.lines;
            }
        }
        let found = settled.unwrap_or_else(|| {
            let settled = finder.settle();
            lines = settled.lines;
            settled.found
        });
        (lines.into_iter().map(|(line, _)| String::from_utf8_lossy(&line.bytes).into_owned()).collect(), found)
    }

    #[test]
    fn a_log_goes_on_after_the_line_that_somebody_has() {
        let log = [(SECOND, "a"), (2 * SECOND, "b\r"), (2 * SECOND + 9, "c"), (9 * SECOND, "d")];
        let rest = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let had = [Mark { at: 2 * SECOND + 500_000, print: print(b"b") }];
        assert_eq!(after(&had, None, &log), (rest(&["c", "d"]), true));
        // It is not there any more: what is newer comes.
        let gone = [Mark { at: 2 * SECOND + 5, print: print(b"x") }];
        assert_eq!(after(&gone, None, &log), (rest(&["c", "d"]), false));
        let newest = [Mark { at: 9 * SECOND - 5, print: print(b"d") }];
        assert_eq!(after(&newest, None, &log), (rest(&[]), true));
    }

    #[test]
    fn of_the_same_line_again_and_again_the_nearest_is_meant() {
        let log: Vec<(i64, &str)> = (0..10).map(|n| (n * SECOND, "tick")).collect();
        let had: Vec<Mark> = (0..=4).map(|n| Mark { at: n * SECOND + 4_000_000, print: print(b"tick") }).collect();
        assert_eq!(after(&had, None, &log), (vec!["tick".to_owned(); 5], true));
        // Where other lines stand between them those tell, even if the line came late.
        let texts = ["one", "tick", "two", "three", "tick", "four", "five", "tick", "six"];
        let log: Vec<(i64, &str)> = (0..).map(|at| at * 1_000_000).zip(texts).collect();
        let mut before = Before::default();
        texts[1..4].iter().for_each(|text| before.push(print(text.as_bytes())));
        for late in [0, 1, 3, 900] {
            let at = Timestamp::from_nanosecond(i128::from(4 + late) * 1_000_000).unwrap();
            let id = LineId::alone(at, print(b"tick")).after(&before);
            let rest = after(&[Mark::of(id)], Some(&id.to_string()), &log).0;
            assert_eq!(rest, ["four", "five", "tick", "six"], "{late} ms late");
        }
        // Of one moment its place tells, where it is known.
        let log = [(7, "same"), (7, "same"), (7, "same"), (8, "end")];
        let had = [Mark { at: 7, print: print(b"same") }];
        assert_eq!(after(&had, Some("7.1"), &log).0, ["same", "end"]);
    }
}
