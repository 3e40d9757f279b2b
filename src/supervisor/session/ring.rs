//! The newest lines of a main tty, as its stream brought them.
//!
//! The engine's own follow skips, repeats and tears lines when it turns its files over, and lags; the stream that a
//! session holds open anyway does neither. Whoever follows takes lines from here, each by its number; what is older than
//! the ring is the engine's to tell. Bounded: [`LINES`] and [`BYTES`], and what somebody who follows has not taken yet, up
//! to [`BYTES_BEHIND`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

/// Kept in any case: what a dashboard shows of a log first.
const LINES: usize = 2_000;
/// The same in bytes, whichever is less.
const BYTES: usize = 128 << 10;
/// Kept for those who follow and are behind.
const BYTES_BEHIND: usize = 8 << 20;
/// What a line costs beside its bytes.
const LINE: usize = size_of::<(usize, i64)>();
/// A block is closed when it has so many bytes.
const BLOCK: usize = 16 << 10;
/// Or so many lines.
const BLOCK_LINES: usize = 256;
/// A line without an end is cut as the engine's log cuts it.
const LONGEST: usize = crate::engine::docker::MAX_LINE;

/// The ring of one main tty. Written by its session alone.
pub struct Ring {
    inner: Mutex<Inner>,
    end: watch::Sender<End>,
}

/// How far a ring goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The number of the line that comes next.
    pub next: u64,
    /// How often lines may have been missed: numbers of before say nothing about how many lines came since.
    pub breaks: u64,
    /// The program has ended, and all that it wrote is there.
    pub over: bool,
}

/// Lines that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// The first one's number.
    pub first: u64,
    /// Of each: where it ends in `text`, and when it came, in nanoseconds since 1970. No two have the same time.
    pub lines: Vec<(usize, i64)>,
    /// All of them, without their newlines.
    pub text: Bytes,
}

impl Portion {
    /// The number of the line after these.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// Each line: when it came, and its bytes.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Bytes)> {
        let begins = std::iter::once(0).chain(self.lines.iter().map(|(end, _)| *end));
        begins.zip(&self.lines).map(|(from, (end, at))| (*at, self.text.slice(from..*end)))
    }
}

#[derive(Default)]
struct Inner {
    blocks: VecDeque<Block>,
    end: End,
    bytes: usize,
    lines: usize,
    /// The line that has no end yet, and whether it was cut already.
    line: Vec<u8>,
    cut: bool,
    /// The stream was opened in the middle of a line.
    torn: bool,
    /// The first line here is the first that there ever was.
    whole: bool,
    last_at: i64,
    /// The line that each of those who follow takes next.
    followers: BTreeMap<u64, u64>,
    last_follower: u64,
}

#[derive(Default)]
struct Block {
    first: u64,
    text: Vec<u8>,
    lines: Vec<(usize, i64)>,
}

impl Block {
    fn size(&self) -> usize {
        self.text.len() + self.lines.len() * LINE
    }

    fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// From this line on.
    fn portion(&self, from: u64) -> Portion {
        let skipped = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.lines.len());
        let begin = skipped.checked_sub(1).and_then(|at| self.lines.get(at)).map_or(0, |(end, _)| *end);
        let lines = self.lines.get(skipped..).unwrap_or_default();
        Portion {
            first: self.first + skipped as u64,
            lines: lines.iter().map(|(end, at)| (end - begin, *at)).collect(),
            text: Bytes::copy_from_slice(self.text.get(begin..).unwrap_or_default()),
        }
    }
}

/// Somebody follows: what it has not taken is kept for as long as this lives.
pub struct Followed {
    ring: Arc<Ring>,
    follower: u64,
}

impl Followed {
    /// It takes this line next.
    pub fn is_at(&self, next: u64) {
        if let Some(at) = self.ring.lock().followers.get_mut(&self.follower) {
            *at = next;
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut inner = self.ring.lock();
        inner.followers.remove(&self.follower);
        inner.trim();
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self { inner: Mutex::default(), end: watch::Sender::new(End::default()) }
    }
}

impl Ring {
    /// Never held across an await. What a panic left behind is a shorter log at worst.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let end = {
            let mut inner = self.lock();
            change(&mut inner);
            inner.end
        };
        self.end.send_if_modified(|known| std::mem::replace(known, end) != end);
    }

    /// The stream is that of a program that was never started: nothing was written before.
    pub fn begins(&self) {
        self.change(|inner| inner.whole = inner.end == End::default() && inner.line.is_empty());
    }

    /// A stream was opened. `missed`: to a program that runs, so that lines may have come meanwhile, and what comes first
    /// may be the rest of one.
    pub fn opened(&self, missed: bool) {
        self.change(|inner| {
            inner.end.over = false;
            if missed {
                inner.torn = true;
                inner.break_off();
            }
        });
    }

    /// The program wrote something.
    pub fn push(&self, bytes: &[u8], now: Timestamp) {
        self.change(|inner| inner.push(bytes, i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX)));
    }

    /// The program has ended: a line without an end is one, too.
    pub fn ended(&self) {
        self.change(|inner| {
            let rest = std::mem::take(&mut inner.line);
            if !rest.is_empty() && !inner.torn {
                inner.give(&rest, inner.last_at);
            }
            inner.cut = false;
            inner.end.over = true;
        });
    }

    /// Tells when there is more.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<End> {
        self.end.subscribe()
    }

    /// How far it goes now.
    #[must_use]
    pub fn end(&self) -> End {
        self.lock().end
    }

    /// Somebody follows, from the first line that is kept on.
    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Followed {
        let mut inner = self.lock();
        inner.last_follower += 1;
        let (follower, start) = (inner.last_follower, inner.start());
        inner.followers.insert(follower, start);
        drop(inner);
        Followed { ring: self.clone(), follower }
    }

    /// The number of the first line that is kept, and whether it is the first that there ever was.
    #[must_use]
    pub fn start(&self) -> (u64, bool) {
        let inner = self.lock();
        (inner.start(), inner.whole)
    }

    /// Some lines from this one on, none when it is yet to come; `None`: it is not kept any more.
    #[must_use]
    pub fn read(&self, from: u64) -> Option<Portion> {
        let inner = self.lock();
        if from < inner.start() {
            return None;
        }
        let at = inner.blocks.partition_point(|block| block.next() <= from);
        let nothing = || Portion { first: from, ..Portion::default() };
        Some(inner.blocks.get(at).map_or_else(nothing, |block| block.portion(from)))
    }

    /// The number of the first line that came at this time or later.
    #[must_use]
    pub fn since(&self, at: i64) -> u64 {
        let inner = self.lock();
        let block = inner.blocks.partition_point(|block| block.lines.last().is_none_or(|(_, last)| *last < at));
        inner
            .blocks
            .get(block)
            .map_or(inner.end.next, |block| block.first + block.lines.partition_point(|(_, line)| *line < at) as u64)
    }
}

impl Inner {
    fn start(&self) -> u64 {
        self.blocks.front().map_or(self.end.next, |block| block.first)
    }

    /// What is kept does not go on with what comes.
    fn break_off(&mut self) {
        self.blocks = VecDeque::new();
        (self.bytes, self.lines) = (0, 0);
        (self.line, self.cut, self.whole) = (Vec::new(), false, false);
        // Whoever waits for the next line finds that it is gone.
        self.end.next += 1;
        self.end.breaks += 1;
    }

    fn push(&mut self, bytes: &[u8], now: i64) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.torn) {
                // The whole of this line is in the engine's log.
                self.break_off();
            } else if self.line.is_empty() && line.len() < LONGEST {
                if !(line.is_empty() && self.cut) {
                    self.give(line, now);
                }
            } else {
                self.add(line, now);
                let line = std::mem::take(&mut self.line);
                // One that was just cut at the limit has nothing left to say.
                if !line.is_empty() {
                    self.give(&line, now);
                }
            }
            self.cut = false;
        }
        self.add(rest, now);
        self.trim();
    }

    fn add(&mut self, mut rest: &[u8], now: i64) {
        while !rest.is_empty() && !self.torn {
            let (taken, later) = rest.split_at(rest.len().min(LONGEST - self.line.len()));
            self.line.extend_from_slice(taken);
            rest = later;
            if self.line.len() == LONGEST {
                let line = std::mem::take(&mut self.line);
                self.give(&line, now);
                self.cut = true;
            }
        }
    }

    fn give(&mut self, line: &[u8], now: i64) {
        let full = |block: &Block| block.text.len() >= BLOCK || block.lines.len() >= BLOCK_LINES;
        if self.blocks.back().is_none_or(full) {
            if let Some(last) = self.blocks.back_mut() {
                last.text.shrink_to_fit();
                last.lines.shrink_to_fit();
            }
            self.blocks.push_back(Block { first: self.end.next, ..Block::default() });
        }
        // A clock that goes back does not take the order with it.
        self.last_at = now.max(self.last_at + 1);
        if let Some(block) = self.blocks.back_mut() {
            block.text.extend_from_slice(line);
            block.lines.push((block.text.len(), self.last_at));
        }
        self.end.next += 1;
        self.bytes += line.len() + LINE;
        self.lines += 1;
    }

    fn trim(&mut self) {
        let slowest = self.followers.values().copied().min().unwrap_or(u64::MAX);
        while self.blocks.len() > 1
            && let Some(first) = self.blocks.front()
            && (self.bytes > BYTES || self.lines - first.lines.len() >= LINES)
            && (self.bytes > BYTES_BEHIND || first.next() <= slowest)
        {
            self.bytes -= first.size();
            self.lines -= first.lines.len();
            self.blocks.pop_front();
            self.whole = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanosecond(nanos.into()).unwrap()
    }

    fn all(ring: &Ring) -> Vec<(u64, String)> {
        let mut next = ring.start().0;
        let mut lines = Vec::new();
        while let Some(portion) = ring.read(next).filter(|portion| !portion.lines.is_empty()) {
            next = portion.next();
            let numbers = portion.first..;
            lines.extend(numbers.zip(portion.iter()).map(|(n, (_, b))| (n, String::from_utf8_lossy(&b).into_owned())));
        }
        lines
    }

    fn texts(ring: &Ring) -> Vec<String> {
        all(ring).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn bytes_become_lines_wherever_they_are_cut() {
        let text = format!("one\r\n\n{}\nthree\n{}", "x".repeat(2 * LONGEST), "y".repeat(LONGEST + 3));
        for cut in [1, 2, 7, 4096, LONGEST, text.len()] {
            let ring = Arc::new(Ring::default());
            let _followed = ring.follow();
            ring.begins();
            for chunk in text.as_bytes().chunks(cut) {
                ring.push(chunk, at(5));
            }
            let sizes = |ring: &Ring| texts(ring).iter().map(String::len).collect::<Vec<_>>();
            assert_eq!(sizes(&ring), [4, 0, LONGEST, LONGEST, 5, LONGEST], "cut {cut}");
            ring.ended();
            assert_eq!(sizes(&ring), [4, 0, LONGEST, LONGEST, 5, LONGEST, 3], "cut {cut}");
            assert_eq!((ring.start(), ring.end().over), ((0, true), true));
        }
    }

    #[test]
    fn memory_is_bounded_and_no_number_is_another_lines() {
        let ring = Arc::new(Ring::default());
        ring.begins();
        let write = |from: u64, to: u64| (from..to).for_each(|n| ring.push(format!("line {n}\n").as_bytes(), at(9)));
        write(0, 10_000);
        let kept = all(&ring);
        assert!((LINES..LINES + 2 * BLOCK_LINES).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|(number, text)| *text == format!("line {number}")));
        assert_eq!((kept.last().map(|(number, _)| *number), ring.start().1), (Some(9_999), false));
        assert_eq!(ring.read(10), None);
        let followed = ring.follow();
        write(10_000, 100_000);
        assert!(all(&ring).len() >= 90_000);
        followed.is_at(50_000);
        write(100_000, 100_001);
        assert!((50_000..51_000).contains(&all(&ring).len()), "what it has taken goes");
        write(100_001, 1_000_000);
        assert!(ring.lock().bytes <= BYTES_BEHIND + BLOCK);
        drop(followed);
        assert!(all(&ring).len() < LINES + 2 * BLOCK_LINES);
        ring.push(&vec![b'x'; 3 << 20], at(9));
        assert!(ring.lock().bytes <= BYTES + LONGEST + BLOCK);
    }

    #[test]
    fn a_stream_to_a_running_program_breaks_the_order_until_its_first_whole_line() {
        let ring = Ring::default();
        ring.begins();
        ring.push(b"one\ntw", at(1));
        let before = ring.end();
        ring.opened(true);
        assert_eq!(ring.read(before.next), None, "whoever waits is told");
        let opened = ring.end();
        ring.push(b"st of a line\nthree\n", at(2));
        assert_eq!(ring.read(opened.next), None, "the torn line is in the engine's log only");
        assert_eq!(texts(&ring), ["three"]);
        assert_eq!((ring.end().breaks, ring.start().1), (2, false));
        // Started again: all that comes is new.
        ring.ended();
        ring.opened(false);
        ring.push(b"four\n", at(3));
        assert_eq!(texts(&ring), ["three", "four"]);
        assert!(!ring.end().over);
    }

    #[test]
    fn times_only_go_up_and_find_their_lines() {
        let ring = Ring::default();
        ring.begins();
        ring.push(b"a\nb\n", at(10));
        ring.push(b"c\n", at(4));
        ring.push(b"d\n", at(20));
        let times: Vec<i64> = ring.read(0).unwrap().iter().map(|(at, _)| at).collect();
        assert_eq!(times, [10, 11, 12, 20]);
        assert_eq!([5, 10, 11, 13, 20, 21].map(|at| ring.since(at)), [0, 0, 1, 3, 3, 4]);
    }
}
