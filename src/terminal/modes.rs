//! The modes of a terminal that a program may set.

use super::filter::Filter;
use super::keyboard::Keyboard;

/// What is kept of modes that the emulator does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tracked {
    /// The alternate screen is shown.
    pub alternate: bool,
    /// Focus changes are reported.
    pub focus: bool,
    /// Output is held back until it is whole.
    pub synchronised: bool,
    /// No wrapping at the last column.
    pub no_wrap: bool,
    /// Mode 3 is meant: mode 40 was set.
    pub columns: bool,
    /// Characters push those to the right of them.
    pub insert: bool,
    /// DECSCUSR: the cursor's shape; 0: the terminal's own.
    pub cursor_shape: u8,
    /// The program has asked something of the keyboard.
    pub keyboard_used: bool,
    /// Of the main and of the alternate screen.
    screens: [Own; 2],
}

/// What each screen has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Own {
    /// Top and bottom, counted from 1; `None`: all of it.
    region: Option<(u16, u16)>,
    origin: bool,
    saved_origin: bool,
    keyboard: Keyboard,
}

impl Tracked {
    fn own(&self) -> Own {
        let [main, alternate] = self.screens;
        if self.alternate { alternate } else { main }
    }

    const fn own_mut(&mut self) -> &mut Own {
        let [main, alternate] = &mut self.screens;
        if self.alternate { alternate } else { main }
    }

    /// Top and bottom of the scroll region, counted from 1, where there is one.
    pub fn region(&self) -> Option<(u16, u16)> {
        self.own().region
    }

    /// What the program asked of the keyboard.
    pub fn keyboard(&self) -> Keyboard {
        self.own().keyboard
    }

    /// The same of the main screen, whichever is shown.
    pub fn main_keyboard(&self) -> Keyboard {
        let [main, _] = self.screens;
        main.keyboard
    }

    pub const fn keyboard_mut(&mut self) -> &mut Keyboard {
        &mut self.own_mut().keyboard
    }

    /// Rows are counted from the region's top.
    pub fn origin(&self) -> bool {
        self.own().origin
    }

    pub fn set_region(&mut self, top: u16, bottom: u16, rows: u16) {
        self.own_mut().region = ((top, bottom) != (1, rows)).then_some((top, bottom));
    }

    pub fn forget_regions(&mut self) {
        for own in &mut self.screens {
            own.region = None;
        }
    }

    pub fn save(&mut self) {
        self.own_mut().saved_origin = self.origin();
    }

    pub fn restore(&mut self) {
        self.own_mut().origin = self.own().saved_origin;
    }

    /// A row as the program counts, as one that counts from the screen's top.
    pub fn absolute_row(&self, row: u16, rows: u16) -> u16 {
        match self.own() {
            Own { origin: true, region: Some((top, bottom)), .. } => {
                row.saturating_add(top - 1).clamp(top, bottom.max(top))
            }
            _ => row.clamp(1, rows),
        }
    }
}

/// Carries out `CSI ? mode h` or `l`. What is not listed here does not pass.
pub(super) fn set(filter: &mut Filter, mode: u16, on: bool) {
    let letter = if on { 'h' } else { 'l' };
    match mode {
        1 | 9 | 25 | 1000 | 1002 | 1003 | 1005 | 1006 | 2004 => {}
        7 => filter.tracked.no_wrap = !on,
        3 => return columns(filter),
        40 => {
            filter.tracked.columns = on;
            return;
        }
        1004 => filter.tracked.focus = on,
        2026 => filter.tracked.synchronised = on,
        6 => {
            filter.tracked.own_mut().origin = on;
            filter.home();
            return;
        }
        66 => return filter.push(if on { b"\x1b=" } else { b"\x1b>" }),
        47 | 1047 | 1049 => return alternate(filter, on),
        1048 if on => return filter.save_cursor(),
        1048 => return filter.restore_cursor(),
        _ => return,
    }
    filter.command(format_args!("?{mode}{letter}"));
}

fn alternate(filter: &mut Filter, on: bool) {
    if on {
        // It is cleared each time: again and again only as often as any other clearing.
        if !filter.afford(filter.rows()) && filter.tracked.alternate {
            return;
        }
        if !filter.tracked.alternate {
            filter.tracked.save();
        }
        filter.tracked.alternate = true;
        *filter.tracked.own_mut() = Own::default();
    } else {
        filter.tracked.alternate = false;
        filter.tracked.restore();
    }
    filter.command(format_args!("?1049{}", if on { 'h' } else { 'l' }));
    // Each screen has its own.
    if filter.tracked.keyboard_used {
        filter.tell_keyboard();
    }
}

/// DECCOLM, where the program has said that it is meant: the width stays, but the screen is cleared.
fn columns(filter: &mut Filter) {
    let rows = filter.rows();
    if filter.tracked.columns && filter.afford(rows) {
        filter.tracked.set_region(1, rows, rows);
        filter.unearned(|filter| filter.push(b"\x1b[r\x1b[H\x1b[2J"));
    }
}

/// DECALN: a screen full of E.
pub(super) fn align(filter: &mut Filter) {
    let (rows, more) = (filter.rows(), filter.cols().saturating_sub(1));
    if !filter.afford(rows) {
        return;
    }
    filter.tracked.set_region(1, rows, rows);
    filter.unearned(|filter| {
        filter.push(b"\x1b[r");
        for row in 1..=rows {
            filter.numbers(&[row, 1], b'H');
            filter.push(b"E");
            if more > 0 {
                filter.numbers(&[more], b'b');
            }
        }
        filter.numbers(&[1, 1], b'H');
    });
}
