//! A screen held still: all its rows with those above it, to be looked through and copied while the program goes on.

use vt100::{Cell, Screen};

use crate::bay::session::TermSize;

/// A screen and what has left it, from the oldest row on.
#[derive(Clone, Debug, Default)]
pub struct Still {
    rows: Vec<StillRow>,
}

/// One row.
#[derive(Clone, Debug, Default)]
pub struct StillRow {
    /// Its cells.
    pub cells: Vec<Cell>,
    /// Its line goes on in the next row.
    pub wrapped: bool,
}

impl StillRow {
    /// Its text between two columns, the first in, the last not; empty cells are spaces.
    #[must_use]
    pub fn text(&self, from: usize, to: usize) -> String {
        let cells = self.cells.iter().skip(from).take(to.saturating_sub(from));
        cells
            .filter(|cell| !cell.is_wide_continuation())
            .map(|cell| if cell.has_contents() { cell.contents() } else { " " })
            .collect()
    }
}

/// All rows of a screen. May panic where the screen is broken.
pub(super) fn of(screen: &Screen, size: TermSize) -> Still {
    let mut screen = screen.clone();
    let mut rows = Vec::new();
    let take = |screen: &Screen, row: u16| StillRow {
        cells: (0..size.cols).map_while(|col| screen.cell(row, col).cloned()).collect(),
        wrapped: screen.row_wrapped(row),
    };
    let mut above = screen.scrollback_len();
    while above > 0 {
        screen.set_scrollback(above);
        let count = u16::try_from(above).unwrap_or(u16::MAX).min(size.rows);
        rows.extend((0..count).map(|row| take(&screen, row)));
        above -= usize::from(count);
    }
    screen.set_scrollback(0);
    rows.extend((0..size.rows).map(|row| take(&screen, row)));
    Still { rows }
}

impl Still {
    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row, counted from the oldest.
    #[must_use]
    pub fn row(&self, at: usize) -> Option<&StillRow> {
        self.rows.get(at)
    }
}
