//! Tables for people: aligned by the width that a terminal gives each character, the last column wrapped or put on lines
//! of its own, never cut.

use unicode_width::UnicodeWidthStr as _;

use crate::terminal::safe::Safe;

use super::output::Output;

/// Between two columns, as the docker CLI has it.
const GAP: usize = 3;
/// A last column narrower than this is put on lines of its own.
const NARROW: usize = 32;
/// Where prose on lines of its own begins.
const INDENT: usize = 4;
/// What stands for nothing, so that the columns can be counted by a script.
const NOTHING: &str = "-";

/// How a cell looks where colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// As the terminal has it.
    Plain,
    /// All is well.
    Good,
    /// Look at it.
    Warn,
    /// Something is wrong.
    Bad,
    /// In the background.
    Dim,
}

impl Paint {
    const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Dim => "\x1b[2m",
        }
    }

    /// The text in this colour.
    pub fn over(self, text: &str, colour: bool) -> String {
        if colour && self != Self::Plain { format!("{}{text}\x1b[0m", self.sgr()) } else { text.to_owned() }
    }
}

/// One cell; its text is harmless.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A painted cell.
    pub fn painted(text: &str, paint: Paint) -> Self {
        Self { text: Safe::new(text).to_string(), paint }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::painted(text, Paint::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::painted(&text, Paint::Plain)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Self {
        cell.map_or_else(|| Self::painted("", Paint::Dim), Into::into)
    }
}

/// A table.
#[derive(Debug)]
pub struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// The last column is prose.
    prose: bool,
}

impl Table {
    /// A table of short cells.
    pub fn new(titles: &[&'static str]) -> Self {
        Self { titles: titles.to_vec(), rows: Vec::new(), prose: false }
    }

    /// A table whose last column is prose, mostly empty: wrapped on a terminal, and left out when empty.
    pub fn with_prose(titles: &[&'static str]) -> Self {
        Self { prose: true, ..Self::new(titles) }
    }

    /// One more row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The whole table, lines ended.
    pub fn render(&self, out: Output) -> String {
        let widths = self.widths();
        let used: usize = widths.iter().map(|width| width + GAP).sum();
        let room = out.width.map(|width| width.saturating_sub(used));
        let below = room.is_some_and(|room| room < NARROW);
        let mut text = self.titles(&widths, below);
        for row in &self.rows {
            let (cells, prose) = self.split(row);
            let line = Self::line(cells, &widths, out.colour);
            let Some(prose) = prose.filter(|cell| !cell.text.is_empty()) else {
                text.push_str(line.trim_end());
                text.push('\n');
                continue;
            };
            let (start, indent, width) = if below {
                let width = out.width.unwrap_or(usize::MAX).saturating_sub(INDENT).max(INDENT);
                (format!("{}\n{}", line.trim_end(), " ".repeat(INDENT)), INDENT, width)
            } else {
                (line, used, room.unwrap_or(usize::MAX))
            };
            let parts = wrap(&prose.text, width);
            let painted: Vec<String> = parts.iter().map(|part| prose.paint.over(part, out.colour)).collect();
            text.push_str(&start);
            text.push_str(&painted.join(&format!("\n{}", " ".repeat(indent))));
            text.push('\n');
        }
        text
    }

    fn titles(&self, widths: &[usize], below: bool) -> String {
        let cells: Vec<Cell> = self.titles.iter().map(|title| Cell::painted(title, Paint::Plain)).collect();
        let (short, prose) = self.split(&cells);
        let mut line = Self::line(short, widths, false);
        line.push_str(prose.filter(|_| !below).map_or("", |title| &title.text));
        format!("{}\n", line.trim_end())
    }

    fn split<'a>(&self, row: &'a [Cell]) -> (&'a [Cell], Option<&'a Cell>) {
        match row.split_last() {
            Some((prose, cells)) if self.prose => (cells, Some(prose)),
            _ => (row, None),
        }
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.titles.len() - usize::from(self.prose);
        (0..columns)
            .map(|column| {
                let title = self.titles.get(column).map_or(0, |title| title.width());
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.text.width().max(NOTHING.len())).max().unwrap_or(0).max(title)
            })
            .collect()
    }

    fn line(cells: &[Cell], widths: &[usize], colour: bool) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let text = if cell.text.is_empty() { NOTHING } else { &cell.text };
            line.push_str(&cell.paint.over(text, colour));
            line.push_str(&" ".repeat(width.saturating_sub(text.width()) + GAP));
        }
        line
    }
}

/// Breaks at spaces; a word that is wider than a line stands on one of its own, whole, so that it can be copied.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::with_prose(&["NAME", "STATE", "REASON"]);
        table.row(vec!["fox".into(), Cell::painted("running", Paint::Good), None::<String>.into()]);
        let reason = "the parent restarted after this worker joined it: the worker is alone in the old network";
        table.row(vec!["\u{72d0}\u{72f8}x".into(), Cell::painted("cut-off", Paint::Bad), reason.into()]);
        table
    }

    fn out(width: Option<usize>, colour: bool) -> Output {
        Output { json: false, width, colour }
    }

    #[test]
    fn columns_are_aligned_by_width_and_prose_is_never_cut() {
        insta::assert_snapshot!(table().render(out(None, false)), @r"
        NAME    STATE     REASON
        fox     running
        狐狸x   cut-off   the parent restarted after this worker joined it: the worker is alone in the old network
        ");
        insta::assert_snapshot!(table().render(out(Some(60), false)), @r"
        NAME    STATE     REASON
        fox     running
        狐狸x   cut-off   the parent restarted after this worker
                          joined it: the worker is alone in the old
                          network
        ");
        insta::assert_snapshot!(table().render(out(Some(40), false)), @r"
        NAME    STATE
        fox     running
        狐狸x   cut-off
            the parent restarted after this
            worker joined it: the worker is
            alone in the old network
        ");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = table().render(out(Some(60), false));
        let painted = table().render(out(Some(60), true));
        assert!(painted.contains("\x1b[31mcut-off\x1b[0m"));
        let stripped: String = ["\x1b[31m", "\x1b[32m", "\x1b[0m"].iter().fold(painted, |t, s| t.replace(s, ""));
        assert_eq!(stripped.replace(" \n", "\n"), plain.replace(" \n", "\n"));
    }

    #[test]
    fn a_cell_can_not_control_the_terminal() {
        let mut table = Table::new(&["NAME"]);
        table.row(vec!["a\x1b[2Jb\nc".into()]);
        let text = table.render(out(None, false));
        assert_eq!(text.matches('\n').count(), 2, "{text:?}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn a_wide_word_stays_whole() {
        assert_eq!(wrap("see /a/very/long/path now", 8), ["see", "/a/very/long/path", "now"]);
        assert!(wrap("", 8).is_empty());
    }
}
