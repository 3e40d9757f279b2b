//! The lines of a log as they came: cheap to take in, bounded, each called by a number that never changes.
//!
//! Lines lie in blocks of text, so that a million of them are a few thousand allocations. Nothing is parsed here.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::types::LogEntry;

/// Lines that are kept for certain; past it the oldest block goes.
pub const MAX_LINES: usize = 1_000_000;
/// Bytes that are kept at most, with what is noted about each line.
pub const MAX_BYTES: usize = 128 << 20;
/// Text of one block: what a [`Head`] can count.
const BLOCK: usize = u16::MAX as usize;
/// A longer line becomes several.
const LONGEST: usize = BLOCK;
/// Containers that a [`Head`] can tell apart: far more than are followed together.
const MAX_SOURCES: u16 = 1 << 14;
/// The number of the first line that is taken in. What is older, and read later, comes before it.
const ORIGIN: u64 = 1 << 40;
/// A line of which nobody told the time.
const NO_TIME: i32 = i32::MIN;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number; the next one's is greater by one.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: Option<i64>,
    /// Which of the followed containers wrote it.
    pub source: u16,
    /// It came by stderr.
    pub stderr: bool,
    /// There is something in it beside text.
    pub controls: bool,
    /// As it came.
    pub text: &'a str,
}

/// What is noted of a line: 8 bytes, for there are a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// Milliseconds since the block's own time.
    since: i32,
    end: u16,
    /// The source, and above it whether it came by stderr and whether there is something beside text.
    from: u16,
}

const STDERR: u16 = MAX_SOURCES;
const CONTROLS: u16 = MAX_SOURCES << 1;

impl Head {
    fn new(since: i32, end: usize, source: u16, stderr: bool, controls: bool) -> Self {
        let flags = if stderr { STDERR } else { 0 } | if controls { CONTROLS } else { 0 };
        Self { since, end: u16::try_from(end).unwrap_or(u16::MAX), from: source.min(MAX_SOURCES - 1) | flags }
    }
}

/// Lines one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    first: u64,
    /// The time of its first line that has one.
    time: Option<i64>,
    text: String,
    heads: Vec<Head>,
}

impl Block {
    fn starting(first: u64, room: usize) -> Self {
        Self { first, time: None, text: String::with_capacity(room), heads: Vec::new() }
    }

    /// A time as it is noted here; `None`: it lies weeks away from the others.
    fn since(&self, at: Option<i64>) -> Option<i32> {
        let Some(at) = at else { return Some(NO_TIME) };
        let since = i32::try_from(at.checked_sub(self.time.unwrap_or(at))?).ok()?;
        (since != NO_TIME).then_some(since)
    }

    fn takes(&self, text: &str, at: Option<i64>) -> bool {
        self.text.len() + text.len() <= BLOCK && self.heads.len() < BLOCK / 4 && self.since(at).is_some()
    }

    fn after(&self) -> u64 {
        self.first + self.heads.len() as u64
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.heads.len() * size_of::<Head>()
    }

    fn line(&self, number: u64) -> Option<Line<'_>> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let head = self.heads.get(at)?;
        let begin = at.checked_sub(1).and_then(|before| self.heads.get(before)).map_or(0, |head| usize::from(head.end));
        let time = self.time.filter(|_| head.since != NO_TIME);
        Some(Line {
            number,
            at: time.map(|time| time + i64::from(head.since)),
            source: head.from & (MAX_SOURCES - 1),
            stderr: head.from & STDERR != 0,
            controls: head.from & CONTROLS != 0,
            text: self.text.get(begin..usize::from(head.end))?,
        })
    }

    /// Its lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        (self.first..self.after()).filter_map(|number| self.line(number))
    }
}

/// The lines.
#[derive(Clone, Debug)]
pub struct Store {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
    lines: usize,
    dropped: u64,
    /// Lines and bytes that it may hold.
    most: (usize, usize),
}

impl Default for Store {
    fn default() -> Self {
        Self::bounded(MAX_LINES, MAX_BYTES)
    }
}

impl Store {
    const fn bounded(lines: usize, bytes: usize) -> Self {
        Self { blocks: VecDeque::new(), bytes: 0, lines: 0, dropped: 0, most: (lines, bytes) }
    }

    /// Takes a line in; drops the oldest where there are too many.
    pub fn push(&mut self, entry: &LogEntry, source: u16) {
        let mut rest = entry.line.as_str();
        loop {
            let (piece, after) = split(rest);
            self.append(piece, entry.timestamp, source, entry.stderr);
            if after.is_empty() {
                break;
            }
            rest = after;
        }
        self.trim();
    }

    fn append(&mut self, text: &str, at: Option<i64>, source: u16, stderr: bool) {
        if !self.blocks.back().is_some_and(|block| block.takes(text, at)) {
            if let Some(last) = self.blocks.back_mut() {
                // It will not grow any more.
                let last = Arc::make_mut(last);
                last.text.shrink_to_fit();
                last.heads.shrink_to_fit();
            }
            let first = self.end();
            self.blocks.push_back(Arc::new(Block::starting(first, BLOCK.min(text.len().max(4096)))));
        }
        let Some(block) = self.blocks.back_mut().map(Arc::make_mut) else { return };
        block.text.push_str(text);
        let controls = text.bytes().any(|byte| byte < b' ' && byte != b'\t');
        block.time = block.time.or(at);
        let since = block.since(at).unwrap_or(NO_TIME);
        block.heads.push(Head::new(since, block.text.len(), source, stderr, controls));
        self.bytes += text.len() + size_of::<Head>();
        self.lines += 1;
    }

    fn trim(&mut self) {
        while let Some(oldest) = self.blocks.front() {
            let lines = oldest.heads.len();
            let spare = self.lines - lines >= self.most.0 || self.bytes > self.most.1;
            if !spare || self.blocks.len() == 1 {
                return;
            }
            self.bytes -= oldest.bytes();
            self.lines -= lines;
            self.dropped += lines as u64;
            self.blocks.pop_front();
        }
    }

    /// Puts the first `count` lines of another store before these.
    pub fn prepend(&mut self, older: &Self, count: usize) {
        let mut head = Self::default();
        let lines = older.blocks.iter().flat_map(|block| block.lines());
        for line in lines.take(count) {
            head.append(line.text, line.at, line.source, line.stderr);
        }
        let mut first = self.start().saturating_sub(head.lines as u64);
        for block in &mut head.blocks {
            let block = Arc::make_mut(block);
            block.first = first;
            first = block.after();
        }
        self.bytes += head.bytes;
        self.lines += head.lines;
        head.blocks.append(&mut self.blocks);
        self.blocks = head.blocks;
        self.dropped += older.dropped;
        self.trim();
    }

    /// The number of the oldest line.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.blocks.front().map_or(ORIGIN, |block| block.first)
    }

    /// The number that the next line will have.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.blocks.back().map_or(ORIGIN, |block| block.after())
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.lines
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// How many had to go.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What it holds, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A line by its number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Line<'_>> {
        let after = self.blocks.partition_point(|block| block.first <= number);
        self.blocks.get(after.checked_sub(1)?)?.line(number)
    }

    /// All lines, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Line<'_>> {
        (self.start()..self.end()).filter_map(|number| self.get(number))
    }

    /// The blocks, to be read elsewhere while more lines come in here.
    #[must_use]
    pub fn blocks(&self) -> Vec<Arc<Block>> {
        self.blocks.iter().cloned().collect()
    }
}

/// The first piece of a line, and the rest.
fn split(text: &str) -> (&str, &str) {
    if text.len() <= LONGEST {
        return (text, "");
    }
    let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(LONGEST);
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> LogEntry {
        LogEntry { line: line.to_owned(), timestamp: Some(7), stderr: false, raw: None }
    }

    const LINES: usize = 40_000;
    const BYTES: usize = 4 << 20;

    fn filled(count: usize, text: &str) -> Store {
        let mut store = Store::bounded(LINES, BYTES);
        for at in 0..count {
            store.push(&entry(&format!("{at} {text}")), 0);
        }
        store
    }

    #[test]
    fn so_many_lines_are_kept_for_certain_and_what_goes_is_counted() {
        let store = filled(LINES + 30_000, "x");
        assert!(store.len() >= LINES && store.len() < LINES + BLOCK / 4, "{}", store.len());
        assert_eq!(store.len() as u64 + store.dropped(), (LINES + 30_000) as u64);
        let oldest = store.iter().next().unwrap();
        assert_eq!(oldest.text, format!("{} x", store.dropped()));
        assert_eq!(store.iter().next_back().unwrap().text, format!("{} x", LINES + 29_999));
    }

    #[test]
    fn bytes_are_bounded_too_and_long_lines_become_several() {
        let store = filled(5, &"é".repeat(1 << 20));
        assert!(store.bytes() <= BYTES && store.dropped() > 0, "{}", store.bytes());
        assert!(store.iter().all(|line| line.text.len() <= LONGEST));
        let whole = filled(1, &"é".repeat(1 << 20));
        let text: String = whole.iter().map(|line| line.text.to_owned()).collect();
        assert_eq!(text, format!("0 {}", "é".repeat(1 << 20)));
        assert_eq!(whole.len(), 33);
    }

    #[test]
    fn what_is_noted_of_a_line_comes_back_as_it_was() {
        const YEAR: i64 = 365 * 24 * 3600 * 1000;
        let told =
            [Some(5 * YEAR), None, Some(5 * YEAR - 3), Some(9 * YEAR), Some(-YEAR), Some(i64::MAX), Some(i64::MIN)];
        let mut store = Store::default();
        for (source, at) in (0..).zip(told) {
            let entry = LogEntry { line: "x".to_owned(), timestamp: at, stderr: source % 2 == 1, raw: None };
            store.push(&entry, source);
        }
        let back: Vec<Option<i64>> = store.iter().map(|line| line.at).collect();
        assert_eq!(back, told, "a line that is years away begins a block of its own");
        let noted = store.iter().map(|line| (line.source, line.stderr, line.controls));
        assert!(noted.eq((0..7).map(|source| (source, source % 2 == 1, false))));
        store.push(&entry("\u{1b}[1mbold"), MAX_SOURCES - 1);
        let last = store.iter().next_back().unwrap();
        assert!(last.controls && !last.stderr && last.source == MAX_SOURCES - 1);
    }

    #[test]
    fn numbers_stay_when_older_lines_come_before() {
        let mut store = filled(10, "new");
        let (start, third) = (store.start(), store.start() + 2);
        let text = store.get(third).unwrap().text.to_owned();
        store.prepend(&filled(20_000, "old"), 10_000);
        assert_eq!((store.get(third).unwrap().text, store.len()), (text.as_str(), 10_010));
        assert_eq!(store.get(start - 1).unwrap().text, "9999 old");
        assert_eq!(store.get(store.start()).unwrap().text, "0 old");
        assert!(store.get(store.end()).is_none() && store.get(store.start() - 1).is_none());
        let all: Vec<u64> = store.iter().map(|line| line.number).collect();
        assert!(all.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    }
}
