//! An emulator's cells as cells of the dashboard. The only place where a symbol is set as it comes, so each is checked.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier};
use unicode_segmentation::UnicodeSegmentation;

use super::super::theme::Depth;
use super::ansi::width;
use crate::terminal::still::Still;

/// Shown for what can't be.
const REPLACEMENT: &str = "\u{fffd}";

/// Draws a screen into an area, clipped to it, with no more colours than there are.
pub fn draw(screen: &vt100::Screen, area: Rect, buf: &mut Buffer, colours: Option<Depth>) {
    draw_from(screen, 0, area, buf, colours);
}

/// The same from the row `top` on.
pub fn draw_from(screen: &vt100::Screen, top: u16, area: Rect, buf: &mut Buffer, colours: Option<Depth>) {
    cells(|row, col| screen.cell(row.saturating_add(top), col), area, buf, colours);
}

/// Draws rows that are held still, from the row `top` on.
pub fn draw_still(still: &Still, top: usize, area: Rect, buf: &mut Buffer, colours: Option<Depth>) {
    let cell = |row: u16, col: u16| still.row(top + usize::from(row))?.cells.get(usize::from(col));
    cells(cell, area, buf, colours);
}

fn cells<'a>(cell: impl Fn(u16, u16) -> Option<&'a vt100::Cell>, area: Rect, buf: &mut Buffer, colours: Option<Depth>) {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    for row in 0..area.height {
        let start = buf.index_of(area.x, area.y + row);
        let line = buf.content.iter_mut().skip(start).take(usize::from(area.width));
        for (col, to) in (0..).zip(line) {
            let Some(from) = cell(row, col) else { continue };
            to.reset();
            style(from, to, colours);
            // The half of a wide character that lies outside can't be drawn.
            let cut = from.is_wide() && col + 1 >= area.width;
            if from.has_contents() && !from.is_wide_continuation() && !cut {
                to.set_symbol(symbol(from));
            }
        }
    }
}

/// Where the cursor is, if the program shows it and it lies inside the area.
#[must_use]
pub fn cursor(screen: &vt100::Screen, area: Rect) -> Option<Position> {
    let (row, col) = screen.cursor_position();
    let shown = !screen.hide_cursor() && screen.scrollback() == 0 && row < area.height && area.width > 0;
    // Behind the last column it stands on it, as terminals draw it.
    shown.then(|| Position::new(area.x + col.min(area.width - 1), area.y + row))
}

/// One grapheme without anything that controls, as wide as the emulator took it.
fn symbol(cell: &vt100::Cell) -> &str {
    let contents = cell.contents();
    match contents.as_bytes() {
        [] => return " ",
        // Nearly all of them: a screen is drawn anew for each key that is typed into it.
        [b' '..=b'~'] if !cell.is_wide() => return contents,
        _ => {}
    }
    let Some(first) = contents.graphemes(true).next() else { return " " };
    if first.chars().any(hidden) {
        return REPLACEMENT;
    }
    let expected = if cell.is_wide() { 2 } else { 1 };
    if width(first) == expected {
        return first;
    }
    // A variation selector or a joiner made it wider or narrower than the emulator counted: without it, it fits.
    let base = first.chars().next().and_then(|c| first.get(..c.len_utf8())).unwrap_or(REPLACEMENT);
    if width(base) == expected { base } else { REPLACEMENT }
}

/// Controls, bidi marks, tags, and what else has no place in a cell.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Into a cell that was reset.
fn style(cell: &vt100::Cell, to: &mut Cell, colours: Option<Depth>) {
    if let Some(depth) = colours {
        (to.fg, to.bg) = (depth.fit(colour(cell.fgcolor())), depth.fit(colour(cell.bgcolor())));
    }
    let attributes = [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ];
    to.modifier = attributes.into_iter().filter(|(on, _)| *on).map(|(_, modifier)| modifier).collect();
}

const fn colour(colour: vt100::Color) -> Color {
    match colour {
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(number) => Color::Indexed(number),
        vt100::Color::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::session::TermSize;
    use crate::terminal::emulator::Emulator;

    fn drawn(bytes: &str, columns: u16) -> Buffer {
        let mut emulator = Emulator::new(TermSize::new(2, columns), 0);
        emulator.feed(bytes.as_bytes());
        let area = Rect::new(0, 0, columns, 2);
        let mut buf = Buffer::empty(area);
        draw(emulator.screen(), area, &mut buf, Some(Depth::True));
        buf
    }

    #[test]
    fn cells_keep_text_and_style() {
        let buf = drawn("\x1b[1;31mé\x1b[0m漢x", 6);
        assert_eq!((buf[(0, 0)].symbol(), buf[(0, 0)].fg), ("é", Color::Indexed(1)));
        assert!(buf[(0, 0)].modifier.contains(Modifier::BOLD));
        assert_eq!((buf[(1, 0)].symbol(), buf[(2, 0)].symbol(), buf[(3, 0)].symbol()), ("漢", " ", "x"));
    }

    #[test]
    fn nothing_that_controls_reaches_a_cell() {
        for hostile in ["a\u{202e}b", "a\u{e0041}", "a\u{200b}b", "\u{26a0}\u{fe0f}x", "a\u{301}\u{302}", "🏳️‍🌈x"]
        {
            let buf = drawn(hostile, 8);
            for cell in buf.content() {
                assert!(!cell.symbol().chars().any(hidden), "{hostile:?}: {:?}", cell.symbol());
            }
        }
    }
}
