//! A screen as the bytes that draw it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::num::NonZeroU16;

use unicode_width::UnicodeWidthChar;
use vt100::{Cell, Color, Screen};

use super::filter::RESTORE;
use super::keyboard::Keyboard;
use super::modes::Tracked;
use crate::bay::session::TermSize;

/// An empty screen with nothing set.
pub(super) fn blank() -> Vec<u8> {
    let mut out = RESTORE.to_vec();
    out.extend_from_slice(b"\x1b[H\x1b[2J");
    out
}

/// All of a screen, with the lines above it or without. May panic where the screen is broken.
pub(super) fn write(screen: &Screen, tracked: &Tracked, size: TermSize, above: bool) -> Vec<u8> {
    let mut live = Cow::Borrowed(screen);
    if live.scrollback() > 0 {
        live.to_mut().set_scrollback(0);
    }
    let mut out = String::new();
    if live.alternate_screen() {
        let main = main_of(&live, size);
        rows_of(&main, size, above, &mut out);
        out.push_str(&main.cursor_state_formatted());
        out.push_str(&main.attributes_formatted());
        keyboard(tracked.main_keyboard(), &mut out);
        out.push_str("\x1b[?1049h\x1b[0m\x1b[H");
    }
    rows_of(&live, size, above, &mut out);
    if let Some((top, bottom)) = tracked.region() {
        let _ = write!(out, "\x1b[{top};{bottom}r");
    }
    out.push_str(&live.cursor_state_formatted());
    out.push_str(&live.attributes_formatted());
    out.push_str(&live.input_mode_formatted());
    out.push_str(if tracked.focus { "\x1b[?1004h" } else { "" });
    out.push_str(if tracked.no_wrap { "\x1b[?7l" } else { "" });
    keyboard(tracked.keyboard(), &mut out);
    if tracked.cursor_shape > 0 {
        let _ = write!(out, "\x1b[{} q", tracked.cursor_shape);
    }
    out.push_str(if tracked.synchronised { "\x1b[?2026h" } else { "" });
    let mut bytes = blank();
    bytes.extend_from_slice(out.as_bytes());
    bytes
}

fn keyboard(keyboard: Keyboard, out: &mut String) {
    if keyboard.flags() > 0 {
        let _ = write!(out, "\x1b[={};1u", keyboard.flags());
    }
}

/// The modes alone, of a screen that may be broken.
pub(super) fn modes(screen: &Screen) -> Vec<u8> {
    let alternate = if screen.alternate_screen() { "\x1b[?1049h" } else { "" };
    let hidden = if screen.hide_cursor() { "\x1b[?25l" } else { "" };
    format!("{alternate}{hidden}{}", screen.input_mode_formatted()).into_bytes()
}

/// The main screen as it would be if the program left the alternate one now.
pub(super) fn main_of(live: &Screen, size: TermSize) -> Screen {
    let rows = NonZeroU16::new(size.rows).unwrap_or(NonZeroU16::MIN);
    let cols = NonZeroU16::new(size.cols).unwrap_or(NonZeroU16::MIN);
    let mut parser = vt100::Parser::new(rows, cols, 0);
    *parser.screen_mut() = live.clone();
    parser.process(b"\x1b[?1049l");
    parser.screen().clone()
}

/// Scrollback and screen, from the top: what does not fit scrolls up to where it was.
fn rows_of(screen: &Screen, size: TermSize, above: bool, out: &mut String) {
    let mut pen = Pen::default();
    let mut joined = true;
    let mut first = true;
    let mut add = |screen: &Screen, row: u16| {
        let cells: Vec<&Cell> = (0..=u16::MAX).map_while(|col| screen.cell(row, col)).collect();
        if !first && !joined {
            pen.plain(out);
            out.push_str("\r\n");
        } else if !first && cells.first().is_none_or(|c| !c.has_contents()) {
            // The wrap only happens with a character.
            pen.plain(out);
            out.push_str(" \x08\x1b[1X");
        }
        first = false;
        write_row(&cells, size.cols, &mut pen, out);
        let full = cells.len() == usize::from(size.cols);
        joined = screen.row_wrapped(row) && full && cells.last().is_some_and(|c| fills(c));
    };
    let mut left = if above { screen.scrollback_len() } else { 0 };
    if left > 0 {
        let mut back = screen.clone();
        while left > 0 {
            back.set_scrollback(left);
            let count = u16::try_from(left).unwrap_or(u16::MAX).min(size.rows);
            (0..count).for_each(|row| add(&back, row));
            left -= usize::from(count);
        }
    }
    (0..size.rows).for_each(|row| add(screen, row));
    pen.plain(out);
}

pub(super) fn fills(cell: &Cell) -> bool {
    cell.has_contents() || cell.is_wide_continuation()
}

/// Where it is wider than `cols`, gaps are spaces.
pub(super) fn write_row(cells: &[&Cell], cols: u16, pen: &mut Pen, out: &mut String) {
    let end = cells.iter().rposition(|c| fills(c) || Pen::of(c) != Pen::default()).map_or(0, |i| i + 1);
    let overlong = cells.len() > usize::from(cols);
    let mut gap = 0;
    let mut skip = false;
    for (col, cell) in cells.iter().enumerate().take(end) {
        if std::mem::take(&mut skip) {
            continue;
        }
        let look = Pen::of(cell);
        if !cell.has_contents() {
            if look != Pen::default() {
                step(gap, overlong, out);
                gap = 0;
                pen.change(look, out);
                out.push_str("\x1b[1X");
            }
            gap += 1;
            continue;
        }
        step(gap, overlong, out);
        gap = 0;
        pen.change(look, out);
        skip = cell.is_wide() && cells.get(col + 1).is_some_and(|next| next.is_wide_continuation());
        if cell.is_wide() && !skip {
            // Half of a broken pair: drawn whole it would push all else aside.
            out.push(cell.contents().chars().next().filter(|c| c.width() == Some(1)).unwrap_or(' '));
        } else {
            out.push_str(cell.contents());
        }
    }
}

/// Over cells that were never drawn; in a line that is wider than the terminal they become spaces.
fn step(gap: usize, overlong: bool, out: &mut String) {
    if overlong {
        out.extend(std::iter::repeat_n(' ', gap));
    } else if gap > 0 {
        let _ = write!(out, "\x1b[{gap}C");
    }
}

/// One row as text, without trailing spaces.
pub(super) fn plain_row(screen: &Screen, row: u16, cols: u16) -> String {
    let mut text = String::new();
    for cell in (0..cols).filter_map(|col| screen.cell(row, col)) {
        if cell.has_contents() {
            text.push_str(cell.contents());
        } else if !cell.is_wide_continuation() {
            text.push(' ');
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// How a cell is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pen {
    front: Color,
    back: Color,
    /// Bold, dim, italic, underline, inverse.
    flags: [bool; 5],
}

impl Pen {
    /// Nothing set.
    pub const PLAIN: Self = Self { front: Color::Default, back: Color::Default, flags: [false; 5] };

    pub fn of(cell: &Cell) -> Self {
        Self {
            front: cell.fgcolor(),
            back: cell.bgcolor(),
            flags: [cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse()],
        }
    }

    pub fn plain(&mut self, out: &mut String) {
        self.change(Self::PLAIN, out);
    }

    fn change(&mut self, to: Self, out: &mut String) {
        if *self == to {
            return;
        }
        *self = to;
        out.push_str("\x1b[0");
        for (set, code) in to.flags.into_iter().zip([1, 2, 3, 4, 7]) {
            if set {
                let _ = write!(out, ";{code}");
            }
        }
        colour(to.front, 30, out);
        colour(to.back, 40, out);
        out.push('m');
    }
}

fn colour(colour: Color, base: u16, out: &mut String) {
    let _ = match colour {
        Color::Default => Ok(()),
        Color::Idx(n @ 0..8) => write!(out, ";{}", base + u16::from(n)),
        Color::Idx(n @ 8..16) => write!(out, ";{}", base + 52 + u16::from(n)),
        Color::Idx(n) => write!(out, ";{};5;{n}", base + 8),
        Color::Rgb(r, g, b) => write!(out, ";{};2;{r};{g};{b}", base + 8),
    };
}
