//! The screen, drawn from the model: `view(&Model, &mut Frame)`. Changes nothing, reads no clock.
//!
//! One file a pane. Text from outside is made [`Safe`](crate::terminal::safe::Safe) here, where it is drawn.

mod doors;
mod events;
mod figures;
mod footer;
mod header;
mod held;
mod inspect;
mod list;
mod logs;
mod main_pane;
mod overlay;
mod pool;
mod ports;
mod services;
mod terminal;
mod toast;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Widget};

use super::layout::{LEAST, Layout};
use super::model::{Model, Pane, Tab};
use super::widget::ansi::Piece;
use super::widget::line::fit;
use crate::terminal::safe::Safe;

/// Draws everything.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    if let Some(cursor) = draw(model, frame.buffer_mut()) {
        frame.set_cursor_position(cursor);
    }
}

/// The same; returns where the cursor is to be.
pub fn draw(model: &Model, buf: &mut Buffer) -> Option<Position> {
    let area = buf.area;
    let base = model.settings.theme.style("ui");
    buf.set_style(area, base);
    let Some(layout) = Layout::of(model, area) else {
        notice(model, area, buf);
        return None;
    };
    let canvas = &mut Canvas { model, buf };
    header::draw(canvas, layout.header);
    header::banner(canvas, layout.banner);
    header::switcher(canvas, layout.switcher);
    list::draw(canvas, &layout);
    let cursor = main_pane::draw(canvas, &layout);
    footer::draw(canvas, layout.footer);
    toast::draw(canvas, area);
    let over = overlay::draw(canvas, area, &layout);
    let cursor = if model.overlay.is_some() { over } else { cursor };
    cursor.filter(|at| area.contains(*at))
}

pub use terminal::{Bare, bare};

/// How many lines the text of the open overlay has.
#[must_use]
pub fn overlay_lines(model: &Model) -> usize {
    overlay::lines(model)
}

/// How many of a question's are seen at once.
pub fn told_at_once(model: &Model) -> usize {
    overlay::told_at_once(model.size.height)
}

/// All rows of a tab whose text changes by itself, to be held still.
#[must_use]
pub fn rows_of_tab(model: &Model, tab: Tab, columns: usize) -> Vec<Vec<Piece>> {
    held::rows(model, tab, columns)
}

/// Too small for any pane: one line that says so, as much of it as fits.
fn notice(model: &Model, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let (columns, rows) = LEAST;
    let long = format!("podbay needs {columns}x{rows}, this is {}x{}", area.width, area.height);
    let text = if usize::from(area.width) < long.len() { format!("needs {columns}x{rows}") } else { long };
    let text = fit(&text, usize::from(area.width), model.settings.symbols.ellipsis);
    buf.set_stringn(area.x, area.y + area.height / 2, text, usize::from(area.width), model.settings.theme.style("ui"));
}

/// What panes draw with.
struct Canvas<'a> {
    model: &'a Model,
    buf: &'a mut Buffer,
}

impl Canvas<'_> {
    fn style(&self, scope: &str) -> Style {
        self.model.settings.theme.style(scope)
    }

    /// One line of text; what does not fit is cut with a sign. Returns the column behind it.
    fn text(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        if area.is_empty() {
            return area.x;
        }
        let text = fit(text, usize::from(area.width), self.model.settings.symbols.ellipsis);
        self.buf.set_stringn(area.x, area.y, text, usize::from(area.width), style).0
    }

    /// The same for a text from outside.
    fn outside(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        self.text(area, Safe::new(text).as_str(), style)
    }

    /// A pane's frame with its title; returns what is inside.
    fn frame(&mut self, area: Rect, pane: Pane, title: Line<'_>) -> Rect {
        let focused = self.model.focus.pane == pane && self.model.overlay.is_none();
        let border = self.style(if focused { "ui.border.focused" } else { "ui.border" });
        self.boxed(area, border, title)
    }

    fn boxed(&mut self, area: Rect, border: Style, title: Line<'_>) -> Rect {
        let area = area.intersection(self.buf.area);
        if area.width < 2 || area.height < 2 {
            return Rect::ZERO;
        }
        let set = self.model.settings.symbols.border;
        let block = Block::new().borders(Borders::ALL).border_set(set).border_style(border).title(title);
        let inner = block.inner(area);
        block.render(area, self.buf);
        inner
    }
}

/// One row of an area; empty when it lies outside.
fn row(area: Rect, at: u16) -> Rect {
    if at < area.height { Rect { y: area.y + at, height: 1, ..area } } else { Rect::ZERO }
}

/// What is left of a row from a column on.
fn from(area: Rect, column: u16) -> Rect {
    let column = column.clamp(area.x, area.right());
    Rect { x: column, width: area.right() - column, ..area }
}

/// The cursor's place.
type Cursor = Option<Position>;
