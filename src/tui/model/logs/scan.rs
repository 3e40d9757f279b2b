//! Looking for an expression in a log, a part at a time: from the newest line back, and on with what comes in.

use std::collections::VecDeque;

use regex::{Regex, RegexBuilder};

use super::super::super::widget::ansi;
use super::shown;
use super::store::{Line, Store};

/// Most memory that an expression may take when it is compiled.
const MAX_REGEX: usize = 1 << 20;

/// An expression as it was typed.
#[derive(Clone, Debug)]
pub struct Query {
    /// The text.
    pub text: String,
    /// Lines without it are meant.
    pub not: bool,
    regex: Regex,
}

impl Query {
    /// Reads an expression. Capitals count only where it has some.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn new(text: &str, not: bool) -> Result<Self, String> {
        let exact = text.chars().any(char::is_uppercase);
        let built = RegexBuilder::new(text).case_insensitive(!exact).size_limit(MAX_REGEX).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        })?;
        Ok(Self { text: text.to_owned(), not, regex })
    }

    /// What was typed, where a `!` before it can mean the lines without it; empty: nothing.
    ///
    /// # Errors
    /// As [`Query::new`].
    pub fn read(text: &str, may_negate: bool) -> Result<Option<Self>, String> {
        let (not, text) = text.strip_prefix('!').filter(|_| may_negate).map_or((false, text), |rest| (true, rest));
        if text.is_empty() { Ok(None) } else { Self::new(text, not).map(Some) }
    }

    /// As it was typed.
    #[must_use]
    pub fn typed(&self) -> String {
        format!("{}{}", if self.not { "!" } else { "" }, self.text)
    }

    /// Whether a line is meant.
    #[must_use]
    pub fn fits(&self, line: &Line<'_>) -> bool {
        let found = if line.controls {
            let plain: String = ansi::pieces(line.text).iter().map(|piece| piece.text.as_str()).collect();
            self.regex.is_match(&plain)
        } else {
            self.regex.is_match(line.text)
        };
        // What is read on the screen is looked for, too: there a line of JSON says `status=500`.
        let found = found || shown::folded_text(line.text).is_some_and(|text| self.regex.is_match(&text));
        found != self.not
    }

    /// Whether it is found in a text.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Where it is found in a text, in bytes; nothing where lines without it are meant.
    #[must_use]
    pub fn places(&self, text: &str) -> Vec<(usize, usize)> {
        if self.not {
            return Vec::new();
        }
        self.regex.find_iter(text).map(|found| (found.start(), found.end())).filter(|(a, b)| a < b).collect()
    }
}

/// The lines that an expression means, as far as they have been looked at.
#[derive(Clone, Debug)]
pub struct Scan {
    /// What is looked for.
    pub query: Query,
    /// Only among these.
    among: Option<Query>,
    /// The oldest line that was looked at.
    from: u64,
    /// The line after the newest one that was looked at.
    to: u64,
    found: VecDeque<u64>,
}

impl Scan {
    /// Nothing looked at yet.
    #[must_use]
    pub fn new(query: Query, among: Option<Query>, store: &Store) -> Self {
        Self { query, among, from: store.end(), to: store.end(), found: VecDeque::new() }
    }

    /// Looks at about `budget` bytes more: first at what came in, then further back.
    pub fn step(&mut self, store: &Store, budget: usize) {
        let start = store.start();
        while self.found.front().is_some_and(|number| *number < start) {
            self.found.pop_front();
        }
        self.to = self.to.max(start);
        self.from = self.from.max(start);
        let mut left = budget;
        while left > 0 && self.to < store.end() {
            if let Some(line) = store.get(self.to) {
                left = left.saturating_sub(line.text.len() + 32);
                if self.fits(&line) {
                    self.found.push_back(self.to);
                }
            }
            self.to += 1;
        }
        while left > 0 && self.from > start {
            self.from -= 1;
            if let Some(line) = store.get(self.from) {
                left = left.saturating_sub(line.text.len() + 32);
                if self.fits(&line) {
                    self.found.push_front(self.from);
                }
            }
        }
    }

    fn fits(&self, line: &Line<'_>) -> bool {
        self.among.as_ref().is_none_or(|among| among.fits(line)) && self.query.fits(line)
    }

    /// Whether everything was looked at.
    #[must_use]
    pub fn is_done(&self, store: &Store) -> bool {
        self.from <= store.start() && self.to >= store.end()
    }

    /// How much of the lines was looked at, in hundredths.
    #[must_use]
    pub fn percent(&self, store: &Store) -> u64 {
        let seen = self.to.saturating_sub(self.from.max(store.start()));
        (seen * 100).checked_div(store.len() as u64).unwrap_or(100).min(100)
    }

    /// How many lines were found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether none was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether this line was found.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        self.found.binary_search(&number).is_ok()
    }

    /// How many were found before this one.
    #[must_use]
    pub fn rank(&self, number: u64) -> usize {
        self.found.partition_point(|found| *found < number)
    }

    /// The one found at this place.
    #[must_use]
    pub fn at(&self, rank: usize) -> Option<u64> {
        self.found.get(rank).copied()
    }

    /// The last one found before this line.
    #[must_use]
    pub fn before(&self, number: u64) -> Option<u64> {
        self.at(self.rank(number).checked_sub(1)?)
    }

    /// The first one found after this line.
    #[must_use]
    pub fn after(&self, number: u64) -> Option<u64> {
        self.at(self.rank(number.saturating_add(1)))
    }

    /// All that were found.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        self.found.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::LogEntry;

    fn fill(store: &mut Store, from: usize, to: usize) {
        for at in from..to {
            let line = if at % 10 == 3 { format!("\u{1b}[31mErr\u{1b}[0mor {at}") } else { format!("fine {at}") };
            store.push(&LogEntry { line, timestamp: None, stderr: false, raw: None }, 0);
        }
    }

    #[test]
    fn parts_make_the_whole_while_lines_come_in() {
        let mut store = Store::default();
        fill(&mut store, 0, 1000);
        let mut scan = Scan::new(Query::new("error", false).unwrap(), None, &store);
        let mut steps = 0;
        while !scan.is_done(&store) {
            if steps < 20 {
                fill(&mut store, 1000 + steps * 10, 1010 + steps * 10);
            }
            scan.step(&store, 2000);
            steps += 1;
        }
        assert!(steps > 20, "{steps}");
        let wanted: Vec<u64> = store.iter().filter(|line| line.text.contains("Err")).map(|line| line.number).collect();
        assert_eq!((scan.numbers(), scan.len()), (wanted.clone(), 120));
        assert_eq!(scan.percent(&store), 100);
        let (first, second) = (wanted[0], wanted[1]);
        assert_eq!((scan.before(second), scan.after(first), scan.before(first)), (Some(first), Some(second), None));
        assert!(scan.has(first) && !scan.has(first + 1));
    }

    #[test]
    fn a_folded_line_is_found_by_what_is_shown_and_by_what_was_written() {
        let mut store = Store::default();
        for line in [r#"{"level":"error","msg":"no","status":500}"#, r#"{"level":"info","msg":"yes","status":200}"#] {
            store.push(&LogEntry { line: line.to_owned(), timestamp: None, stderr: false, raw: None }, 0);
        }
        let count = |text: &str, not: bool| {
            let mut scan = Scan::new(Query::new(text, not).unwrap(), None, &store);
            scan.step(&store, usize::MAX);
            scan.len()
        };
        assert_eq!((count("status=500", false), count("ERROR", false), count("\"status\":500", false)), (1, 1, 1));
        assert_eq!((count("status=500", true), count("status=5", false), count("status=7", false)), (1, 1, 0));
    }

    #[test]
    fn capitals_count_where_there_are_some_and_one_may_stand_among_others() {
        let mut store = Store::default();
        fill(&mut store, 0, 100);
        let count = |text: &str, not: bool, among: Option<&str>| {
            let among = among.map(|text| Query::new(text, false).unwrap());
            let mut scan = Scan::new(Query::new(text, not).unwrap(), among, &store);
            scan.step(&store, usize::MAX);
            scan.len()
        };
        assert_eq!((count("ERROR", false, None), count("Error", false, None)), (0, 10));
        assert_eq!((count("error", true, None), count("3$", false, Some("error"))), (90, 10));
        assert!(Query::new("a(", false).is_err() && Query::new("a{999}{999}{999}", false).is_err());
    }
}
