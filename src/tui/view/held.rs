//! A text that is held still in copy mode.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use super::super::model::copying::Copying;
use super::super::model::{Model, Tab};
use super::super::widget::ansi::{Piece, width};
use super::super::widget::line::{self, Part};
use super::{Canvas, Cursor, events, figures, ports, row};
use crate::terminal::safe::Safe;

/// All rows of a tab whose text changes by itself, as they are drawn at so many columns; none of another tab.
pub fn rows(model: &Model, tab: Tab, columns: usize) -> Vec<Vec<Piece>> {
    let count = match tab {
        Tab::Figures => model.figure_lines().len(),
        Tab::Events => model.event_rows(columns).len(),
        // A line for the head, and one for what is wrong.
        Tab::Ports => model.port_lines().len() + 2,
        Tab::Terminal | Tab::Logs | Tab::Inspect => 0,
    };
    let area = Rect::new(0, 0, clip(columns, u16::MAX), clip(count, u16::MAX / 2));
    let mut buf = Buffer::empty(area);
    let canvas = &mut Canvas { model, buf: &mut buf };
    match tab {
        Tab::Figures => figures::draw(canvas, area),
        Tab::Events => events::draw(canvas, area),
        Tab::Ports => ports::draw(canvas, area),
        Tab::Terminal | Tab::Logs | Tab::Inspect => {}
    }
    let mut rows: Vec<Vec<Piece>> = (0..area.height).map(|y| pieces(&buf, row(area, y))).collect();
    rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
    rows
}

/// A drawn row as text, without the spaces at its end.
fn pieces(buf: &Buffer, area: Rect) -> Vec<Piece> {
    let mut found: Vec<(String, Style)> = Vec::new();
    let (mut text, mut end) = (0, 0);
    let mut x = area.x;
    while x < area.right() {
        let Some(cell) = buf.cell((x, area.y)) else { break };
        let (symbol, style) = (cell.symbol(), cell.style());
        match found.last_mut() {
            Some((run, of)) if *of == style => run.push_str(symbol),
            _ => found.push((symbol.to_owned(), style)),
        }
        text += symbol.len();
        end = if symbol.trim().is_empty() { end } else { text };
        x += clip(width(symbol).max(1), u16::MAX);
    }
    let mut left = end;
    let mut row = Vec::new();
    for (run, style) in found {
        let part = run.get(..left.min(run.len())).unwrap_or_default();
        left -= part.len();
        if !part.is_empty() {
            row.push(Piece { style, ..Piece::new(Safe::new(part), "") });
        }
    }
    row
}

pub(super) fn draw(canvas: &mut Canvas<'_>, inner: Rect, copying: &Copying) -> Cursor {
    let base = canvas.style("ui");
    for (at, pieces) in (0..inner.height).zip(copying.held.iter().skip(copying.top)) {
        line::draw(canvas.buf, row(inner, at), pieces, base, Part::default());
    }
    marks(canvas, inner, copying, (copying.top, 0))
}

/// What is selected and what was found in a text whose first shown line and column are these; the cursor's place.
pub(super) fn marks(canvas: &mut Canvas<'_>, area: Rect, copying: &Copying, (top, left): (usize, usize)) -> Cursor {
    let model = canvas.model;
    let (selection, matched) = (canvas.style("ui.selection"), canvas.style("log.match"));
    for at in 0..area.height {
        let line = (top + usize::from(at)) as u64;
        let text = model.copy_line(copying, line).unwrap_or_default();
        let found = copying.search.as_ref().map(|query| query.places(&text)).unwrap_or_default();
        let columns = |bytes: usize| width(text.get(..bytes).unwrap_or_default());
        let found = found.into_iter().map(|(from, to)| (columns(from)..columns(to), matched));
        let selected = model.selected(copying, line).map(|range| (range, selection));
        for (range, style) in found.chain(selected) {
            let place = |column: usize| clip(column.saturating_sub(left), area.width);
            let (from, to) = (place(range.start), place(range.end));
            canvas.buf.set_style(Rect { x: area.x + from, width: to.saturating_sub(from), ..row(area, at) }, style);
        }
    }
    let at = usize::try_from(copying.head.line).unwrap_or(0).checked_sub(top)?;
    let column = clip(copying.head.column.checked_sub(left)?, u16::MAX);
    let at = u16::try_from(at).ok().filter(|at| *at < area.height && area.width > 0)?;
    Some(Position::new(area.x + column.min(area.width - 1), area.y + at))
}

fn clip(count: usize, most: u16) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX).min(most)
}
