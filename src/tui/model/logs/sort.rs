//! Lines of several containers, held for a moment so that they are shown in the order in which they were written.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::types::LogEntry;

/// How long lines wait for those of other containers.
const WINDOW: Duration = Duration::from_millis(200);
/// How long a container that does not answer holds up the others.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines that wait at most; more are let go at once.
const MAX_WAITING: usize = 50_000;

/// Lines that wait.
#[derive(Debug, Default)]
pub struct Sorter {
    waiting: Vec<(u16, LogEntry)>,
    since: Option<Timestamp>,
}

impl Sorter {
    /// Takes lines in.
    pub fn take(&mut self, source: u16, entries: Vec<LogEntry>, now: Timestamp) {
        if !entries.is_empty() {
            self.since.get_or_insert(now);
            self.waiting.extend(entries.into_iter().map(|entry| (source, entry)));
        }
    }

    /// The lines that have waited long enough, in the order of their times; those without one stay behind the line
    /// before them.
    pub fn ready(&mut self, now: Timestamp, opening: bool) -> Vec<(u16, LogEntry)> {
        let Some(since) = self.since else { return Vec::new() };
        let window = if opening { PATIENCE } else { WINDOW };
        if now.duration_since(since).unsigned_abs() < window && self.waiting.len() < MAX_WAITING {
            return Vec::new();
        }
        self.flush()
    }

    /// All that wait, in their order.
    pub fn flush(&mut self) -> Vec<(u16, LogEntry)> {
        self.since = None;
        let mut last = BTreeMap::new();
        let keyed = std::mem::take(&mut self.waiting).into_iter().map(|(source, entry)| {
            // A container's own order holds, whatever its clock does.
            let newest = last.entry(source).or_insert(i64::MIN);
            *newest = entry.timestamp.unwrap_or(*newest).max(*newest);
            (*newest, source, entry)
        });
        let mut ready: Vec<(i64, u16, LogEntry)> = keyed.collect();
        ready.sort_by_key(|(at, ..)| *at);
        ready.into_iter().map(|(_, source, entry)| (source, entry)).collect()
    }

    /// When the lines have waited long enough.
    #[must_use]
    pub fn due(&self, opening: bool) -> Option<Timestamp> {
        self.since.map(|since| since + if opening { PATIENCE } else { WINDOW })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: Option<i64>, text: &str) -> LogEntry {
        LogEntry { line: text.to_owned(), timestamp: at, stderr: false, raw: None }
    }

    #[test]
    fn lines_are_let_go_in_the_order_of_their_times() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut sorter = Sorter::default();
        sorter.take(0, vec![entry(Some(1), "a"), entry(None, "b"), entry(Some(9), "c"), entry(Some(4), "d")], now);
        sorter.take(1, vec![entry(Some(2), "x"), entry(Some(9), "y")], now);
        assert!(sorter.ready(now, false).is_empty());
        assert_eq!(sorter.due(false), Some(now + WINDOW));
        assert!(sorter.ready(now + WINDOW, true).is_empty());
        let ready = sorter.ready(now + WINDOW, false);
        let order: String = ready.iter().map(|(_, entry)| entry.line.as_str()).collect();
        assert_eq!((order.as_str(), sorter.due(false)), ("abxcdy", None));
        sorter.take(0, vec![entry(None, "z"); MAX_WAITING], now);
        assert_eq!(sorter.ready(now, false).len(), MAX_WAITING);
    }
}
