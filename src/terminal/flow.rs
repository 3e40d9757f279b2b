//! A screen at another width: lines that were broken at the old edge are put together and broken at the new one, as
//! terminals do that people sit at.
//!
//! Lines are written anew, from the oldest on, into a fresh screen of the new width. The cursor stays at its place in the
//! text; the rows of an alternate screen are its program's, they are only cut.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use vt100::{Cell, Screen};

use super::snapshot::{Pen, fills, main_of, write_row};
use crate::bay::session::TermSize;

/// A screen that rows are counted on is at most so high.
const TALL: usize = 4000;

/// A row of the old screen.
struct Row {
    cells: Vec<Cell>,
    /// Its line goes on in the next row.
    goes_on: bool,
}

/// The same text on a screen of the same height and of so many columns. May panic where the screen is broken.
pub(super) fn flown(screen: &Screen, size: TermSize, cols: u16, scrollback: usize) -> vt100::Parser {
    let mut live = screen.clone();
    live.set_scrollback(0);
    let mut parser = fresh(size.rows, cols, scrollback);
    if live.alternate_screen() {
        lines(&main_of(&live, size), size, cols, &mut parser);
        parser.process(b"\x1b[?1049h");
        cut(&live, size, cols, &mut parser);
    } else {
        lines(&live, size, cols, &mut parser);
    }
    parser.process(live.attributes_formatted().as_bytes());
    parser.process(live.input_mode_formatted().as_bytes());
    parser.process(if live.hide_cursor() { b"\x1b[?25l" } else { b"\x1b[?25h" });
    parser
}

fn fresh(rows: u16, cols: u16, scrollback: usize) -> vt100::Parser {
    let side = |cells: u16| NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN);
    vt100::Parser::new(side(rows), side(cols), scrollback)
}

/// The lines of a main screen, and its cursor.
fn lines(live: &Screen, size: TermSize, cols: u16, to: &mut vt100::Parser) {
    let (row, col) = live.cursor_position();
    let (mut above, mut rows) = rows(live, size);
    let last = rows.iter().rposition(|row| row.cells.iter().any(drawn)).unwrap_or(0);
    rows.truncate(last.max(usize::from(row)) + 1);
    let empty = size.rows.saturating_sub(u16::try_from(rows.len()).unwrap_or(u16::MAX));
    // A line that begins above the screen is counted from its beginning.
    let begun = above.iter().rposition(|row| !row.goes_on).map_or(0, |at| at + 1);
    let beginning = above.split_off(begun);
    let at = beginning.len() + usize::from(row);
    let part: Vec<Row> = beginning.into_iter().chain(rows).collect();
    let (mut before, mut after) = (Text::new(cols), Text::new(cols));
    for (number, row) in part.iter().enumerate() {
        let is_last = number + 1 == part.len();
        if number == at {
            let (left, right) = row.cells.split_at_checked(usize::from(col)).unwrap_or((&row.cells, &[]));
            before.cells(left);
            // To the cursor, also where nothing was drawn.
            let width = left.iter().rposition(drawn).map_or(0, |last| last + 1);
            before.gap(usize::from(col).min(usize::from(size.cols)).saturating_sub(width));
            after.pen = before.pen;
            after.cells(right);
            after.end(row, is_last);
        } else {
            let text = if number < at { &mut before } else { &mut after };
            text.cells(&row.cells);
            text.end(row, is_last);
        }
    }
    let tall = part.len() * usize::from(size.cols).div_ceil(usize::from(cols.max(1))) + 1;
    let mut counted = fresh(u16::try_from(tall.min(TALL)).unwrap_or(u16::MAX), cols, 0);
    counted.process(before.out.as_bytes());
    let (row, col) = counted.screen().cursor_position();
    counted.process(after.out.as_bytes());
    let count = counted.screen().cursor_position().0 + 1;
    let mut text = Text::new(cols);
    for row in &above {
        text.cells(&row.cells);
        text.end(row, false);
    }
    to.process(text.out.as_bytes());
    to.process(before.out.as_bytes());
    let at = to.screen().cursor_position().0;
    to.process(after.out.as_bytes());
    // Rows that were empty stay so as long as there is room: what lies above does not come down into them.
    let room = if text.out.is_empty() { 0 } else { size.rows.saturating_sub(count).min(empty) };
    if room == 0 && after.out.is_empty() {
        // It is where the text ends: perhaps behind the last column.
        return;
    }
    to.process("\r\n".repeat(usize::from(room)).as_bytes());
    let below = count.saturating_sub(row + 1) + room;
    let row = at - at.min((at + below).saturating_sub(size.rows - 1));
    to.process(format!("\x1b[0m\x1b[{};{}H", row + 1, col.min(cols.saturating_sub(1)) + 1).as_bytes());
}

/// The rows of an alternate screen, as much of them as there is room for.
fn cut(live: &Screen, size: TermSize, cols: u16, to: &mut vt100::Parser) {
    for (at, row) in rows(live, size).1.iter().enumerate() {
        let mut text = Text::new(cols);
        text.cells(row.cells.get(..usize::from(cols)).unwrap_or(&row.cells));
        to.process(format!("\x1b[{};1H", at + 1).as_bytes());
        to.process(text.out.as_bytes());
        to.process(b"\x1b[0m");
    }
    let (row, col) = live.cursor_position();
    to.process(format!("\x1b[{};{}H", row + 1, col.min(cols.saturating_sub(1)) + 1).as_bytes());
}

/// The rows above a screen, and its own.
fn rows(live: &Screen, size: TermSize) -> (Vec<Row>, Vec<Row>) {
    let mut screen = live.clone();
    let take = |screen: &Screen, row: u16| {
        let cells: Vec<Cell> = (0..=u16::MAX).map_while(|col| screen.cell(row, col).cloned()).collect();
        // A row that was cleared or drawn over since is a line of its own.
        let full = cells.len() >= usize::from(size.cols) && cells.last().is_some_and(fills);
        Row { goes_on: full && screen.row_wrapped(row), cells }
    };
    let mut above = Vec::new();
    let mut left = screen.scrollback_len();
    while left > 0 {
        screen.set_scrollback(left);
        let count = u16::try_from(left).unwrap_or(u16::MAX).min(size.rows);
        above.extend((0..count).map(|row| take(&screen, row)));
        left -= usize::from(count);
    }
    screen.set_scrollback(0);
    (above, (0..size.rows).map(|row| take(&screen, row)).collect())
}

fn drawn(cell: &Cell) -> bool {
    fills(cell) || Pen::of(cell) != Pen::default()
}

/// Rows written as text that the new edge breaks.
struct Text {
    out: String,
    pen: Pen,
    cols: u16,
}

impl Text {
    const fn new(cols: u16) -> Self {
        Self { out: String::new(), pen: Pen::PLAIN, cols }
    }

    fn cells(&mut self, cells: &[Cell]) {
        let cells: Vec<&Cell> = cells.iter().collect();
        // Gaps are spaces: a cursor that is moved stays in its row.
        write_row(&cells, 0, &mut self.pen, &mut self.out);
    }

    fn gap(&mut self, columns: usize) {
        self.pen.plain(&mut self.out);
        self.out.extend(std::iter::repeat_n(' ', columns.min(usize::from(self.cols))));
    }

    fn end(&mut self, row: &Row, is_last: bool) {
        if !row.goes_on && !is_last {
            self.pen.plain(&mut self.out);
            let _ = write!(self.out, "\r\n");
        }
    }
}
