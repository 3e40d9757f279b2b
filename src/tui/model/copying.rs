//! Copy mode: a text of pane 5 held still, a cursor in it, and what is selected.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::super::widget::ansi::{Piece, width};
use super::logs::scan::Query;
use super::{Model, Tab};
use crate::terminal::still::Still;

/// Most bytes that are gathered for a copy; the terminal's own limit is lower.
const MAX_TEXT: usize = 1 << 20;

/// A place in a text: the line's number, and a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The line, as its text numbers them.
    pub line: u64,
    /// The column.
    pub column: usize,
}

/// What a selection is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Single characters.
    Characters,
    /// Whole words.
    Words,
    /// Whole lines.
    Lines,
}

/// Copy mode.
#[derive(Debug)]
pub struct Copying {
    /// Whose text: the row's name, and the tab.
    pub of: Option<String>,
    /// The tab.
    pub tab: Tab,
    /// A terminal's rows; the other texts hold still by themselves.
    pub still: Still,
    /// The rows of a text that changes by itself, as they were.
    pub held: Vec<Vec<Piece>>,
    /// The first row of the terminal, or of those, that is shown.
    pub top: usize,
    /// The cursor.
    pub head: Point,
    /// The other end of the selection; `None`: nothing is selected.
    pub anchor: Option<Point>,
    /// What the selection is made of.
    pub unit: Unit,
    /// The mouse made it: it ends with the button.
    pub by_mouse: bool,
    /// It followed before: it follows again after.
    pub followed: bool,
    /// A search began it: it ends with a search that is called off.
    pub by_search: bool,
    /// What is looked for, but for the logs, which have a search of their own.
    pub search: Option<Query>,
    /// The rows with it.
    pub found: Vec<u64>,
}

impl Copying {
    /// The two ends of the selection, the first one first; the last column is in.
    #[must_use]
    pub fn ends(&self) -> Option<(Point, Point)> {
        let anchor = self.anchor?;
        Some((anchor.min(self.head), anchor.max(self.head)))
    }
}

impl Model {
    /// The text of a line in copy mode, column by column as it is shown.
    #[must_use]
    pub fn copy_line(&self, copying: &Copying, line: u64) -> Option<String> {
        let at = usize::try_from(line).ok();
        match copying.tab {
            Tab::Terminal => {
                let row = copying.still.row(at?)?;
                Some(row.text(0, row.cells.len()))
            }
            Tab::Logs => {
                let logs = &self.main.logs;
                let line = logs.store.get(line)?;
                Some(logs.pieces(&line, usize::MAX).iter().map(|piece| piece.text.as_str()).collect())
            }
            Tab::Inspect => match &self.main.inspect.text {
                super::inspect::InspectText::Lines(lines) => Some(lines.get(at?)?.as_str().to_owned()),
                _ => None,
            },
            Tab::Figures | Tab::Events | Tab::Ports => {
                Some(copying.held.get(at?)?.iter().map(|piece| piece.text.as_str()).collect())
            }
        }
    }

    /// How many lines come before this one, and how many there are.
    #[must_use]
    pub fn copy_rank(&self, copying: &Copying, line: u64) -> (usize, usize) {
        let at = usize::try_from(line).unwrap_or(usize::MAX);
        match copying.tab {
            Tab::Terminal => (at, copying.still.len()),
            Tab::Logs => (self.main.logs.rank(line), self.main.logs.count()),
            Tab::Inspect => (at, self.main.inspect.text.len()),
            Tab::Figures | Tab::Events | Tab::Ports => (at, copying.held.len()),
        }
    }

    /// The line at this place.
    #[must_use]
    pub fn copy_nth(&self, copying: &Copying, rank: usize) -> Option<u64> {
        match copying.tab {
            Tab::Logs => self.main.logs.nth(rank),
            _ => Some(rank as u64),
        }
    }

    /// The columns of a line that are selected.
    #[must_use]
    pub fn selected(&self, copying: &Copying, line: u64) -> Option<Range<usize>> {
        let (first, last) = copying.ends()?;
        if line < first.line || line > last.line {
            return None;
        }
        if copying.unit == Unit::Lines {
            return Some(0..usize::MAX);
        }
        let mut from = if line == first.line { first.column } else { 0 };
        let mut to = if line == last.line { last.column.saturating_add(1) } else { usize::MAX };
        if copying.unit == Unit::Words
            && let Some(text) = self.copy_line(copying, line)
        {
            from = if line == first.line { word_at(&text, from).start } else { from };
            to = if line == last.line { word_at(&text, last.column).end } else { to };
        }
        Some(from..to)
    }

    /// What would be copied: the selection, or else the line with the cursor.
    #[must_use]
    pub fn selection_text(&self, copying: &Copying) -> String {
        let (first, last) = copying.ends().unwrap_or((copying.head, copying.head));
        let (begin, _) = self.copy_rank(copying, first.line);
        let (end, count) = self.copy_rank(copying, last.line);
        let mut out = String::new();
        for rank in begin..=end.min(count.saturating_sub(1)) {
            let Some(line) = self.copy_nth(copying, rank) else { break };
            let Some(text) = self.copy_line(copying, line) else { continue };
            let columns = self.selected(copying, line).unwrap_or(0..usize::MAX);
            let whole = columns.end >= width(&text);
            let part = text.get(bytes_of(&text, &columns)).unwrap_or_default();
            let row = usize::try_from(line).ok().filter(|_| copying.tab == Tab::Terminal);
            let goes_on = row.and_then(|at| copying.still.row(at)).is_some_and(|row| row.wrapped) && whole;
            // A row's empty cells are no text, but a line that goes on in the next row keeps its spaces.
            out.push_str(if copying.tab == Tab::Terminal && !goes_on { part.trim_end() } else { part });
            if rank < end && !goes_on {
                out.push('\n');
            }
            if out.len() > MAX_TEXT {
                break;
            }
        }
        out
    }
}

/// The bytes of a text that stand in these columns.
#[must_use]
pub fn bytes_of(text: &str, columns: &Range<usize>) -> Range<usize> {
    let mut column = 0;
    let (mut from, mut to) = (text.len(), text.len());
    for (at, grapheme) in text.grapheme_indices(true) {
        let next = column + width(grapheme);
        if from == text.len() && next > columns.start {
            from = at;
        }
        if column >= columns.end {
            to = at;
            break;
        }
        column = next;
    }
    from.min(to)..to
}

/// The columns of the word at a column: letters, digits and what names and paths are made of; else that one sign.
#[must_use]
pub fn word_at(text: &str, column: usize) -> Range<usize> {
    let is_word = |grapheme: &str| grapheme.chars().all(|c| c.is_alphanumeric() || "_-./~@:+%".contains(c));
    let mut start = 0;
    let mut at = 0;
    let mut before = false;
    for grapheme in text.graphemes(true) {
        let wide = width(grapheme).max(1);
        let word = is_word(grapheme);
        if !(word && before) {
            if at > column {
                return start..at;
            }
            start = at;
        }
        before = word;
        at += wide;
    }
    if column < at { start..at } else { column..column + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_one_wants_to_copy() {
        let text = "see /a/b-c.rs:12, (漢字 x)";
        let word = |column: usize| text.get(bytes_of(text, &word_at(text, column))).unwrap();
        assert_eq!((word(0), word(6), word(16), word(18)), ("see", "/a/b-c.rs:12", ",", "("));
        assert_eq!((word(20), word(25), word(3)), ("漢字", ")", " "));
        assert_eq!(word_at("ab", 9), 9..10);
        assert_eq!(bytes_of("ab", &(5..9)), 2..2);
        assert_eq!(bytes_of("漢字", &(1..2)), 0..3);
    }
}
