//! The lines of one container: a bounded ring, and the part of it that is seen.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::api::types::LogEntry;

use super::super::effect::StreamKey;
use super::super::widget::ansi::{self, Piece};
use super::terminals::Run;

/// Lines kept; the oldest go first.
const MAX_LINES: usize = 20_000;
/// Bytes kept; the oldest lines go first.
const MAX_BYTES: usize = 16 << 20;

/// The logs tab.
#[derive(Debug)]
pub struct Logs {
    /// What is followed.
    pub stream: Option<LogStream>,
    /// The lines, oldest first.
    pub lines: VecDeque<LogLine>,
    /// Bytes in them.
    bytes: usize,
    /// The line after the last that is shown; counts only while `follow` is off.
    pub end: usize,
    /// The first column that is shown.
    pub left: usize,
    /// Stay at the newest line.
    pub follow: bool,
    /// Break long lines.
    pub wrap: bool,
    /// Show when a line came.
    pub timestamps: bool,
}

/// A log that is followed.
#[derive(Debug)]
pub struct LogStream {
    /// The stream.
    pub key: StreamKey,
    /// The container's name.
    pub name: String,
    /// Its run.
    pub run: Run,
    /// How it stands.
    pub state: LogState,
}

/// How a log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// Asked for.
    Opening,
    /// Lines come.
    Live,
    /// No more will come.
    Ended,
    /// The stream was cut.
    Lost {
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

/// One line, harmless.
#[derive(Debug)]
pub struct LogLine {
    /// Milliseconds since 1970.
    pub at: Option<i64>,
    /// It came by stderr.
    pub stderr: bool,
    /// Its text, with the colours it asked for.
    pub pieces: Vec<Piece>,
    /// Its width in columns.
    pub width: usize,
    bytes: usize,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            stream: None,
            lines: VecDeque::new(),
            bytes: 0,
            end: 0,
            left: 0,
            follow: true,
            wrap: false,
            timestamps: false,
        }
    }
}

impl LogLine {
    fn new(entry: &LogEntry) -> Self {
        let pieces = ansi::pieces(&entry.line);
        let width = pieces.iter().map(|piece| ansi::width(piece.text.as_str())).sum();
        let text: usize = pieces.iter().map(|piece| piece.text.as_str().len() + size_of::<Piece>()).sum();
        Self { at: entry.timestamp, stderr: entry.stderr, pieces, width, bytes: text + size_of::<Self>() }
    }

    /// Rows that it takes when it is broken at `columns`.
    #[must_use]
    pub fn rows(&self, columns: usize) -> usize {
        self.width.div_ceil(columns.max(1)).max(1)
    }
}

impl Logs {
    /// Forgets the lines, for another subject.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
        self.end = 0;
        self.left = 0;
        self.follow = true;
    }

    /// Takes lines in; drops the oldest where there are too many.
    pub fn push(&mut self, entries: &[LogEntry]) {
        for entry in entries {
            let line = LogLine::new(entry);
            self.bytes += line.bytes;
            self.lines.push_back(line);
            while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
                let Some(oldest) = self.lines.pop_front() else { break };
                self.bytes -= oldest.bytes;
                self.end = self.end.saturating_sub(1);
            }
        }
    }

    /// The line after the last that is shown.
    #[must_use]
    pub fn shown_end(&self) -> usize {
        if self.follow { self.lines.len() } else { self.end.min(self.lines.len()) }
    }

    /// Columns that the time takes.
    #[must_use]
    pub const fn time_width(&self) -> usize {
        if self.timestamps { 13 } else { 0 }
    }

    fn rows_of(&self, line: &LogLine, columns: usize) -> usize {
        if self.wrap { line.rows(columns.saturating_sub(self.time_width())) } else { 1 }
    }

    /// The smallest `end` that still fills a page of this size.
    fn first_end(&self, columns: usize, rows: usize) -> usize {
        let mut filled = 0;
        for (at, line) in self.lines.iter().enumerate() {
            filled += self.rows_of(line, columns);
            if filled >= rows {
                // A line that does not fit entirely would push the first one out of sight.
                return if filled > rows && at > 0 { at } else { at + 1 };
            }
        }
        self.lines.len()
    }

    /// Moves by lines; upwards leaves following, reaching the end takes it up again.
    pub fn scroll(&mut self, lines: isize, (columns, rows): (usize, usize)) {
        let from = self.shown_end();
        let to = from.saturating_add_signed(lines).max(self.first_end(columns, rows)).min(self.lines.len());
        self.end = to;
        self.follow = to == self.lines.len() && (lines > 0 || self.follow);
    }

    /// The lines of a page, first one first. A page that is not full begins at the top.
    #[must_use]
    pub fn page(&self, columns: usize, rows: usize) -> (usize, usize) {
        let end = self.shown_end();
        let mut filled = 0;
        let mut start = end;
        while start > 0 {
            let Some(line) = self.lines.get(start - 1) else { break };
            filled += self.rows_of(line, columns);
            if filled > rows && start < end {
                break;
            }
            start -= 1;
            if filled >= rows {
                break;
            }
        }
        (start, end)
    }

    /// When a lost log is tried again.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self.stream.as_ref()?.state {
            LogState::Lost { retry_at, .. } => Some(retry_at),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, text: &str) -> Vec<LogEntry> {
        (0..count).map(|at| LogEntry { line: format!("{at} {text}"), timestamp: None, stderr: false }).collect()
    }

    #[test]
    fn the_ring_is_bounded_by_lines_and_bytes() {
        let mut logs = Logs::default();
        logs.push(&entries(MAX_LINES + 500, "x"));
        assert_eq!(logs.lines.len(), MAX_LINES);
        logs.clear();
        logs.push(&entries(600, &"y".repeat(60_000)));
        assert!(logs.bytes <= MAX_BYTES && logs.lines.len() < 300, "{}", logs.bytes);
    }

    #[test]
    fn scrolling_up_leaves_following_and_the_end_takes_it_up() {
        let mut logs = Logs::default();
        logs.push(&entries(100, "x"));
        assert_eq!(logs.page(40, 10), (90, 100));
        logs.scroll(-5, (40, 10));
        logs.push(&entries(7, "x"));
        assert_eq!((logs.follow, logs.page(40, 10)), (false, (85, 95)));
        logs.scroll(isize::MIN / 2, (40, 10));
        assert_eq!(logs.page(40, 10), (0, 10));
        logs.scroll(isize::MAX / 2, (40, 10));
        assert_eq!((logs.follow, logs.page(40, 10)), (true, (97, 107)));
    }

    #[test]
    fn a_wrapped_page_holds_fewer_lines_and_the_first_is_reached() {
        let mut logs = Logs { wrap: true, ..Logs::default() };
        logs.push(&entries(50, &"z".repeat(60)));
        let (start, end) = logs.page(20, 10);
        assert_eq!((start, end), (48, 50));
        logs.scroll(isize::MIN / 2, (20, 10));
        assert_eq!(logs.page(20, 10).0, 0);
    }
}
