//! Which lines are on the screen. Counted in rows from the lowest one up, so that what follows moves nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::super::super::widget::line::rows;
use super::Logs;

/// So many rows mean the very end.
const FAR: usize = usize::MAX / 8;
/// A line of so many bytes is not read through for each key.
const LONG: usize = 1 << 12;
/// Lines whose height is kept.
const MAX_HEIGHTS: usize = 256;

/// The lowest row on the screen: a line, and how many of its rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line's number.
    pub line: u64,
    /// Its rows that are on the screen or above it, from 1 on.
    pub rows: usize,
}

/// A line of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line's number.
    pub line: u64,
    /// Its rows that lie above the page.
    pub above: usize,
    /// Its rows on the page.
    pub rows: usize,
}

/// Rows of long lines, as far as somebody asked: each key and each frame asks for the same few.
#[derive(Debug, Default)]
pub struct Heights(RefCell<BTreeMap<(u64, usize, bool), usize>>);

impl Heights {
    /// What is known by this line, so many columns, and whether it is folded; else what `count` says.
    fn of(&self, key: (u64, usize, bool), count: impl FnOnce() -> usize) -> usize {
        let known = self.0.borrow().get(&key).copied();
        known.unwrap_or_else(|| {
            let rows = count();
            let mut all = self.0.borrow_mut();
            if all.len() >= MAX_HEIGHTS {
                all.clear();
            }
            all.insert(key, rows);
            rows
        })
    }
}

impl Logs {
    /// How many lines are not hidden.
    #[must_use]
    pub fn count(&self) -> usize {
        self.filter.as_ref().map_or(self.store.len(), super::scan::Scan::len)
    }

    /// How many lines that are not hidden come before this one.
    #[must_use]
    pub fn rank(&self, line: u64) -> usize {
        let before = || usize::try_from(line.saturating_sub(self.store.start())).unwrap_or(usize::MAX);
        self.filter.as_ref().map_or_else(before, |filter| filter.rank(line))
    }

    /// The line at this place among those that are not hidden.
    #[must_use]
    pub fn nth(&self, rank: usize) -> Option<u64> {
        let line = || Some(self.store.start() + rank as u64).filter(|line| *line < self.store.end());
        self.filter.as_ref().map_or_else(line, |filter| filter.at(rank))
    }

    /// The last line that is not hidden.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.nth(self.count().checked_sub(1)?)
    }

    fn before(&self, line: u64) -> Option<u64> {
        self.nth(self.rank(line).checked_sub(1)?)
    }

    fn after(&self, line: u64) -> Option<u64> {
        let rank = self.rank(line);
        self.nth(rank + usize::from(self.nth(rank) == Some(line)))
    }

    /// Rows that a line takes on a page of so many columns.
    #[must_use]
    pub fn rows_of(&self, line: u64, columns: usize) -> usize {
        if !self.look.wrap {
            return 1;
        }
        let Some(line) = self.store.get(line) else { return 1 };
        let columns = columns.saturating_sub(self.margin());
        let count = || rows(&self.pieces(&line, usize::MAX), columns);
        if line.text.len() < LONG {
            return count();
        }
        self.heights.of((line.number, columns, self.look.fold), count)
    }

    /// The lowest row that is shown.
    #[must_use]
    pub fn place(&self, columns: usize) -> Option<Place> {
        let at = |line| Place { line, rows: self.rows_of(line, columns) };
        let Some(place) = self.look.place else { return self.last().map(at) };
        // A line that has gone, or was hidden, gives its place to the next one.
        let line = self.nth(self.rank(place.line)).or_else(|| self.last())?;
        if line == place.line {
            return Some(Place { line, rows: place.rows.clamp(1, self.rows_of(line, columns)) });
        }
        Some(at(line))
    }

    /// The lines of a page, from the top. A page that is not full begins with the first line.
    #[must_use]
    pub fn page(&self, columns: usize, height: usize) -> Vec<Row> {
        let Some(place) = self.place(columns) else { return Vec::new() };
        let mut page = Vec::new();
        let mut left = height;
        let mut next = Some(place);
        while let Some(place) = next.filter(|_| left > 0) {
            let rows = place.rows.min(left);
            page.push(Row { line: place.line, above: place.rows - rows, rows });
            left -= rows;
            next = self.before(place.line).map(|line| Place { line, rows: self.rows_of(line, columns) });
        }
        page.reverse();
        self.fill_up(&mut page, left, place, columns);
        page
    }

    /// Adds what follows to a page whose lines do not reach its end.
    fn fill_up(&self, page: &mut Vec<Row>, mut left: usize, lowest: Place, columns: usize) {
        let all = self.rows_of(lowest.line, columns);
        if let Some(row) = page.last_mut() {
            let more = (all - lowest.rows.min(all)).min(left);
            row.rows += more;
            left -= more;
        }
        let mut next = self.after(lowest.line);
        while let Some(line) = next.filter(|_| left > 0) {
            let rows = self.rows_of(line, columns).min(left);
            page.push(Row { line, above: 0, rows });
            left -= rows;
            next = self.after(line);
        }
    }

    /// The lowest row of the first page.
    fn first_place(&self, columns: usize, height: usize) -> Option<Place> {
        let mut left = height;
        let mut line = self.nth(0)?;
        loop {
            let rows = self.rows_of(line, columns);
            if rows >= left {
                return Some(Place { line, rows: left.max(1) });
            }
            left -= rows;
            match self.after(line) {
                Some(next) => line = next,
                None => return Some(Place { line, rows }),
            }
        }
    }

    /// Moves by rows; upwards leaves following, reaching the end takes it up again. Whether it stands at the top.
    pub fn scroll(&mut self, rows: isize, (columns, height): (usize, usize)) -> bool {
        let Some(from) = self.place(columns) else { return false };
        let Some(first) = self.first_place(columns, height) else { return false };
        let far = rows.unsigned_abs() >= FAR;
        let to = match (rows >= 0, far) {
            (true, true) => None,
            (true, false) => self.down(from, rows.unsigned_abs(), columns),
            (false, true) => Some(first),
            (false, false) => Some(self.up(from, rows.unsigned_abs(), columns)),
        };
        // The first page is the highest.
        let to = to.map(|to| if (to.line, to.rows) < (first.line, first.rows) { first } else { to });
        let is_last = |to: Place| Some(to.line) == self.last() && to.rows >= self.rows_of(to.line, columns);
        self.look.place = to.filter(|to| !(is_last(*to) && (rows > 0 || self.look.place.is_none())));
        to == Some(first)
    }

    fn up(&self, from: Place, mut rows: usize, columns: usize) -> Place {
        let mut place = from;
        while rows >= place.rows {
            rows -= place.rows;
            let Some(line) = self.before(place.line) else { return Place { rows: 1, ..place } };
            place = Place { line, rows: self.rows_of(line, columns) };
        }
        Place { rows: place.rows - rows, ..place }
    }

    /// `None`: past the end.
    fn down(&self, from: Place, mut rows: usize, columns: usize) -> Option<Place> {
        let mut place = from;
        loop {
            let all = self.rows_of(place.line, columns);
            let left = all - place.rows.min(all);
            if rows <= left {
                return Some(Place { rows: place.rows + rows, ..place });
            }
            rows -= left;
            place = Place { line: self.after(place.line)?, rows: 0 };
        }
    }

    /// Shows a line in the middle of the page, if it is not on it.
    pub fn show(&mut self, line: u64, (columns, height): (usize, usize)) {
        if self.page(columns, height).iter().any(|row| row.line == line && row.above == 0) {
            // It stays where it is, also when more comes.
            self.look.place = self.place(columns);
            return;
        }
        self.look.place = Some(Place { line, rows: self.rows_of(line, columns) });
        self.scroll(isize::try_from(height / 2).unwrap_or(0), (columns, height));
        if self.look.place.is_none() {
            self.look.place = self.place(columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::Query;
    use super::*;
    use crate::api::types::LogEntry;

    const PAGE: (usize, usize) = (20, 10);

    fn filled(count: usize, text: &str) -> Logs {
        let mut logs = Logs::default();
        add(&mut logs, 0, count, text);
        logs
    }

    fn add(logs: &mut Logs, from: usize, to: usize, text: &str) {
        for at in from..to {
            logs.store.push(&LogEntry { line: format!("{at} {text}"), timestamp: None, stderr: false, raw: None }, 0);
        }
    }

    /// First and last line of the page, counted from the oldest.
    fn seen(logs: &Logs) -> (u64, u64) {
        let page = logs.page(PAGE.0, PAGE.1);
        let number = |row: Option<&Row>| row.unwrap().line - logs.store.start();
        (number(page.first()), number(page.last()))
    }

    #[test]
    fn scrolling_up_leaves_following_and_the_end_takes_it_up() {
        let mut logs = filled(100, "x");
        logs.look.left = 7;
        assert_eq!(seen(&logs), (90, 99));
        logs.scroll(-5, PAGE);
        add(&mut logs, 100, 107, "x");
        assert_eq!((logs.look.place.is_some(), seen(&logs)), (true, (85, 94)));
        assert!(logs.scroll(isize::MIN / 2, PAGE));
        assert_eq!(seen(&logs), (0, 9));
        logs.scroll(3, PAGE);
        assert_eq!(seen(&logs), (3, 12));
        logs.scroll(isize::MAX / 2, PAGE);
        assert_eq!((logs.look.place, seen(&logs), logs.look.left), (None, (97, 106), 7));
        logs.scroll(-1, PAGE);
        logs.scroll(1, PAGE);
        assert_eq!(logs.look.place, None);
    }

    #[test]
    fn a_page_that_is_not_full_begins_with_the_first_line() {
        let mut logs = filled(3, "x");
        assert_eq!(seen(&logs), (0, 2));
        logs.scroll(-5, PAGE);
        add(&mut logs, 3, 8, "x");
        assert_eq!(seen(&logs), (0, 7));
    }

    #[test]
    fn a_wrapped_line_is_scrolled_through_row_by_row() {
        let mut logs = filled(1, "");
        logs.look.wrap = true;
        add(&mut logs, 1, 2, &"z".repeat(20 * 50 - 2));
        assert_eq!(logs.page(20, 10), [Row { line: logs.store.start() + 1, above: 40, rows: 10 }]);
        logs.scroll(-15, PAGE);
        assert_eq!(logs.page(20, 10)[0].above, 25);
        logs.scroll(isize::MIN / 2, PAGE);
        let rows: Vec<usize> = logs.page(20, 10).iter().map(|row| row.rows).collect();
        assert_eq!(rows, [1, 9]);
        logs.scroll(20, PAGE);
        assert_eq!(logs.page(20, 10)[0].above, 19);
    }

    #[test]
    fn a_long_line_is_as_high_as_it_is_after_every_change() {
        let mut logs = filled(1, "");
        logs.look.wrap = true;
        let trace = format!(r#"{{"msg":"m","trace":"{}"}}"#, "z".repeat(10_000));
        logs.store.push(&LogEntry { line: trace, timestamp: None, stderr: false, raw: None }, 0);
        let line = logs.store.start() + 1;
        let heights = |logs: &Logs| [logs.rows_of(line, 20), logs.rows_of(line, 100), logs.rows_of(line, 20)];
        let folded = 10_000 + "m trace=".len();
        assert_eq!(heights(&logs), [folded.div_ceil(20), folded.div_ceil(100), folded.div_ceil(20)]);
        logs.look.fold = false;
        let raw = 10_000 + r#"{"msg":"m","trace":""}"#.len();
        assert_eq!(heights(&logs), [raw.div_ceil(20), raw.div_ceil(100), raw.div_ceil(20)]);
        logs.marks.insert(line);
        assert_eq!(logs.rows_of(line, 20), raw.div_ceil(19), "a sign takes a column");
        logs.clear(Vec::new());
        add(&mut logs, 0, 2, &"z".repeat(5000));
        assert_eq!(logs.rows_of(line, 20), 5002_usize.div_ceil(20));
    }

    #[test]
    fn hidden_lines_take_no_room_and_a_line_that_is_shown_is_seen() {
        let mut logs = filled(1000, "x");
        logs.narrow(Some(Query::new("5 ", false).unwrap()));
        logs.scan();
        assert_eq!((logs.count(), seen(&logs)), (100, (905, 995)));
        logs.scroll(-10, PAGE);
        assert_eq!(seen(&logs), (805, 895));
        let line = logs.store.start() + 105;
        logs.show(line, PAGE);
        let (first, last) = seen(&logs);
        assert!(first < 105 && 105 < last, "{first} {last}");
        // A place on a hidden line passes to the next one.
        logs.narrow(None);
        logs.look.place = Some(Place { line: logs.store.start() + 6, rows: 1 });
        logs.narrow(Some(Query::new("5 ", false).unwrap()));
        logs.scan();
        assert_eq!(logs.place(20).unwrap().line, logs.store.start() + 15);
    }

    #[test]
    fn lines_that_go_take_nobody_along() {
        let mut logs = filled(100, "x");
        logs.look.place = Some(Place { line: logs.store.start() - 5, rows: 1 });
        assert_eq!(seen(&logs), (0, 9));
        assert!(Logs::default().page(20, 10).is_empty());
        assert_eq!(logs.page(20, 0), []);
    }
}
