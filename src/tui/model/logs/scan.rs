//! Looking for an expression in a log, a part at a time: from the newest line back, and on with what comes in.

use std::collections::VecDeque;

use regex::{Regex, RegexBuilder};

use super::super::super::widget::ansi;
use super::shown;
use super::store::{Line, Store};

/// Most memory that an expression may take when it is compiled.
const MAX_REGEX: usize = 1 << 20;
/// What a line costs beside its text, in bytes of it.
const LINE: usize = 32;
/// How many times as dear as to look at a text it is to take it out of control sequences, or to fold it.
const STRIPPED: usize = 3;
const FOLDED: usize = 8;

/// An expression as it was typed.
#[derive(Clone, Debug)]
pub struct Query {
    /// The text.
    pub text: String,
    /// Lines without it are meant.
    pub not: bool,
    regex: Regex,
    /// What is in every text that it is in, whatever the capitals.
    word: Option<Regex>,
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
        let word = word_of(text).and_then(|word| RegexBuilder::new(word).case_insensitive(true).build().ok());
        Ok(Self { text: text.to_owned(), not, regex, word })
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
    fn fits(&self, line: &Line<'_>, work: &mut Work) -> bool {
        self.is_in_line(line, work) != self.not
    }

    fn is_in_line(&self, line: &Line<'_>, work: &mut Work) -> bool {
        let text = line.text;
        let found = if line.controls {
            let plain = work.room(text.len() * STRIPPED);
            ansi::write_text(text, plain);
            self.regex.is_match(plain)
        } else {
            work.room(text.len());
            self.regex.is_match(text)
        };
        // What is read on the screen is looked for, too: there a line of JSON says `status=500`.
        if found || !shown::may_fold(text) {
            return found;
        }
        if let Some(word) = &self.word {
            work.room(text.len());
            // Only an escaped letter, or one that is not seen, could make a word of what is none.
            let as_shown = text.is_ascii() && !text.contains("\\u");
            if as_shown && !word.is_match(text) {
                return false;
            }
        }
        let folded = work.room(text.len() * FOLDED);
        shown::write_folded(text, folded) && self.regex.is_match(folded)
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

/// The longest word that must be in a text for an expression to be in it; `None`: none can be told at a glance. Of three
/// letters at least, which is more than stands together where a line is folded and not in the line itself.
fn word_of(expression: &str) -> Option<&str> {
    if expression.contains('|') {
        return None;
    }
    // What comes after the first group, class or escape is not looked at.
    let plain = expression.split(['(', '[', '\\']).next().unwrap_or_default();
    let mut words = Vec::new();
    let mut from = 0;
    for (at, sign) in plain.char_indices().chain([(plain.len(), ' ')]).filter(|(_, sign)| !sign.is_ascii_alphabetic()) {
        // The letter before one of these may be missing.
        let end = if matches!(sign, '?' | '*' | '{') { at.saturating_sub(1) } else { at };
        words.extend(plain.get(from..end));
        from = at + sign.len_utf8();
    }
    let longest = words.into_iter().max_by_key(|word| word.len()).filter(|word| word.len() >= 3)?;
    (!shown::is_in_level(longest)).then_some(longest)
}

/// What may still be done before others have their turn, and where texts are put together meanwhile.
#[derive(Default)]
struct Work {
    left: usize,
    text: String,
}

impl Work {
    /// Room for a text, at a price.
    fn room(&mut self, cost: usize) -> &mut String {
        self.left = self.left.saturating_sub(cost);
        self.text.clear();
        &mut self.text
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

    /// Looks at more lines, first at what came in, then further back, for what about `budget` bytes of plain ones cost.
    /// What is left of it.
    pub fn step(&mut self, store: &Store, budget: usize) -> usize {
        let start = store.start();
        while self.found.front().is_some_and(|number| *number < start) {
            self.found.pop_front();
        }
        self.to = self.to.max(start);
        self.from = self.from.max(start);
        let mut work = Work { left: budget, text: String::new() };
        while work.left > 0 && self.to < store.end() {
            if store.get(self.to).is_some_and(|line| self.fits(&line, &mut work)) {
                self.found.push_back(self.to);
            }
            self.to += 1;
        }
        while work.left > 0 && self.from > start {
            self.from -= 1;
            if store.get(self.from).is_some_and(|line| self.fits(&line, &mut work)) {
                self.found.push_front(self.from);
            }
        }
        work.left
    }

    fn fits(&self, line: &Line<'_>, work: &mut Work) -> bool {
        work.left = work.left.saturating_sub(LINE);
        self.among.as_ref().is_none_or(|among| among.fits(line, work)) && self.query.fits(line, work)
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
    use proptest::prelude::*;

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
    fn a_part_is_as_much_as_its_lines_cost() {
        let lines = |line: &str| {
            let mut store = Store::default();
            for _ in 0..1000 {
                store.push(&LogEntry { line: line.to_owned(), timestamp: None, stderr: false, raw: None }, 0);
            }
            let mut scan = Scan::new(Query::new("[n]owhere", false).unwrap(), None, &store);
            assert_eq!(scan.step(&store, 10_000), 0);
            scan.percent(&store)
        };
        let [plain, coloured, json] = ["{xx} line", "\u{1b}[1mline", "{\"msg\":1}"].map(lines);
        assert!(plain > coloured && coloured > json && json > 0, "{plain} {coloured} {json}");
        let mut store = Store::default();
        fill(&mut store, 0, 10);
        let mut scan = Scan::new(Query::new("nowhere", false).unwrap(), None, &store);
        assert!(scan.step(&store, 10_000) > 9_000 && scan.is_done(&store));
        assert_eq!(scan.step(&store, 10_000), 10_000);
    }

    #[test]
    fn the_word_that_must_be_there_is_known() {
        for (expression, word) in [
            ("served in [0-9]*7", Some("served")),
            ("a timeout of .*seconds", Some("seconds")),
            ("tim.*seconds?", Some("second")),
            ("words* is", Some("word")),
            ("abc{2}", None),
            ("abcd{2}", Some("abc")),
            ("abc+", Some("abc")),
            ("one|three", None),
            ("(three)", None),
            ("(?x)t h r e e", None),
            (r"\bthree", None),
            ("[three]", None),
            ("rror", None),
            ("Warn", None),
            ("warning", Some("warning")),
            ("échec total", Some("total")),
            ("ab 12", None),
            ("", None),
        ] {
            assert_eq!(word_of(expression), word, "{expression}");
        }
    }

    /// Built of what is written in a log, of what is shown otherwise than it is written, and of what is not.
    fn line() -> impl Strategy<Value = String> {
        let odd = vec![r"\u0061", r"\t", r"\n", r"\b", "\u{200b}", "\u{fe0f}", "\u{7f}", "ſ"];
        let part = prop_oneof![prop::sample::select(vec!["abc", "bc", "a", " "]), prop::sample::select(odd)];
        let text = prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat());
        let value = (text.clone(), 0..6).prop_map(|(text, kind)| match kind {
            0 => "true".to_owned(),
            1 => "50".to_owned(),
            2 => format!(r#"{{"{text}":["{text}"]}}"#),
            _ => format!(r#""{text}""#),
        });
        let name = prop_oneof![Just("msg".to_owned()), Just("level".to_owned()), text];
        let fields =
            prop::collection::vec((name, value).prop_map(|(name, value)| format!(r#""{name}":{value}"#)), 1..4);
        fields.prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_line_that_is_not_folded_for_it_would_not_have_had_it(
            line in line(),
            expression in prop::sample::select(vec!["abc", "Abca", "sbc", "bcu", "nbc", "rue", "fatal"]),
        ) {
            let query = Query::new(expression, false).unwrap();
            let mut store = Store::default();
            store.push(&LogEntry { line: line.clone(), timestamp: None, stderr: false, raw: None }, 0);
            let (mut plain, mut folded) = (String::new(), String::new());
            ansi::write_text(&line, &mut plain);
            let has_folded = shown::write_folded(&line, &mut folded);
            let wanted = query.is_in(&plain) || has_folded && query.is_in(&folded);
            let mut scan = Scan::new(query, None, &store);
            scan.step(&store, usize::MAX);
            prop_assert_eq!(scan.len() == 1, wanted, "{} in {} or {}", expression, plain, folded);
        }
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
