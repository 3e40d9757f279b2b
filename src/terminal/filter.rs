//! What of a program's output may reach a terminal.
//!
//! What is not known to be harmless is dropped. What passes is written anew in its plainest form, so that the emulator
//! and every terminal that the bytes are forwarded to understand the same, and so that [`RESTORE`] can undo all of it:
//! - modes: only those of [`modes`](super::modes), alternate screens all as 1049; origin mode, insert mode, no wrapping,
//!   line drawing sets, tab stops, the alignment card and `CSI s`/`u` are carried out here, by rewriting; no other set,
//!   printer, palette or window operation passes;
//! - of the keyboard protocol the flags in effect, as they are set; its stack is kept here;
//! - `ESC c` becomes [`RESTORE`] and a cleared screen: a real reset would undo the settings of the terminal's owner too;
//! - control strings and questions are taken out. BEL and `CSI 3 J` pass, as they would over ssh;
//! - bidi controls, tags and separators are dropped, bytes that are no text become `?`.

use std::io::Write as _;

use unicode_width::UnicodeWidthChar;

use super::attention;
use super::charset::{Sets, line, steers_text};
use super::csi::Csi;
use super::lex::{ControlString, Kind, Sink};
use super::modes::Tracked;
use super::query::Query;
use super::tabs::TabChange;
use crate::bay::attention::Sign;
use crate::bay::session::TermSize;

/// The bytes that put a user's terminal back, whatever of a program's output was forwarded to it: synchronised output
/// ended, alternate screen left, scroll region and modes reset, cursor shown in its own shape, colours off. The cursor
/// stays where it is.
pub const RESTORE: &[u8] = b"\x1b[?2026l\x1b[=0;1u\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?9l\x1b[?1005l\x1b[?1006l\
\x1b[?1004l\x1b[?2004l\x1b7\x1b[?1049l\x1b[=0;1u\x1b7\x1b[r\x1b8\x1b[0m\x1b(B\x0f\x1b[?1l\x1b>\x1b[?7h\x1b[4l\x1b[?25h\x1b[0 q";

/// Cells that a screen-wide operation may touch for each byte that passes. A program that draws stays far below; one
/// that does nothing but clear or scroll a large screen, three bytes at a time, could hold everybody up.
const CELLS_PER_BYTE: u64 = 700;
/// So many cells may be touched at once.
const MAX_CELLS: u64 = 4_000_000;

/// Something at a place in the filtered bytes that the emulator has to deal with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The program rang.
    Bell,
    /// It gave itself a title.
    Title(Vec<u8>),
    /// It gave a notice, or its hooks did.
    Notice(Sign),
    /// It asks for something.
    Ask(Query),
    /// So many tab stops back from where the cursor is.
    BackTab(u16),
    /// So many tab stops on, where they are the program's own.
    Tab(u16),
    /// Tab stops change.
    Tabs(TabChange),
    /// Text that stays in its row, with the columns that each character takes.
    Unwrapped(String),
}

/// The filter's state.
#[derive(Debug)]
pub(super) struct Filter {
    pub out: Vec<u8>,
    /// Marks with their place in `out`, ascending.
    pub marks: Vec<(usize, Mark)>,
    pub tracked: Tracked,
    size: TermSize,
    sets: Sets,
    saved_sets: Sets,
    /// The program has tab stops of its own.
    tabs: bool,
    /// Cells that screen-wide operations may still touch. Earned by what passes, so that it does not matter how the
    /// bytes are cut, and so that whoever reads what was forwarded can afford all that was afforded here.
    cells: u64,
}

impl Filter {
    pub fn new(size: TermSize) -> Self {
        Self {
            out: Vec::new(),
            marks: Vec::new(),
            tracked: Tracked::default(),
            size,
            sets: Sets::default(),
            saved_sets: Sets::default(),
            tabs: false,
            cells: MAX_CELLS,
        }
    }

    /// Another size: a terminal forgets its scroll region then.
    pub fn resize(&mut self, size: TermSize) {
        self.size = size;
        self.tabs = false;
        self.tracked.forget_regions();
    }

    pub(super) const fn rows(&self) -> u16 {
        self.size.rows
    }

    pub(super) const fn cols(&self) -> u16 {
        self.size.cols
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.push((self.out.len(), mark));
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.earn(bytes.len());
    }

    /// So many bytes have passed.
    fn earn(&mut self, bytes: usize) {
        let earned = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(CELLS_PER_BYTE);
        self.cells = self.cells.saturating_add(earned).min(MAX_CELLS);
    }

    /// Whether an operation on so many rows may be done now; a whole screen always may after a whole screen's worth of
    /// other output.
    pub(super) fn afford(&mut self, rows: u16) -> bool {
        let cost = u64::from(rows) * u64::from(self.size.cols);
        let affords = self.cells >= cost;
        if affords {
            self.cells -= cost;
        }
        affords
    }

    /// What a few bytes have become earns nothing.
    pub(super) fn unearned(&mut self, work: impl FnOnce(&mut Self)) {
        let left = self.cells;
        work(self);
        self.cells = left;
    }

    fn push_char(&mut self, c: char) {
        let width = c.width().unwrap_or(0);
        if self.tracked.insert && width > 0 {
            self.command(format_args!("{width}@"));
        }
        if self.tracked.no_wrap && width > 0 {
            return self.push_unwrapped(c);
        }
        self.push(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn push_unwrapped(&mut self, c: char) {
        self.earn(c.len_utf8());
        match self.marks.last_mut() {
            Some((at, Mark::Unwrapped(text))) if *at == self.out.len() => text.push(c),
            _ => self.mark(Mark::Unwrapped(c.to_string())),
        }
    }

    fn tab(&mut self, count: u16) {
        if self.tabs {
            return self.mark(Mark::Tab(count));
        }
        self.push(&vec![b'\t'; usize::from(count)]);
    }

    fn change_tabs(&mut self, change: TabChange) {
        self.tabs = change != TabChange::Reset;
        self.mark(Mark::Tabs(change));
    }

    /// `CSI` and what follows.
    pub(super) fn command(&mut self, what: std::fmt::Arguments<'_>) {
        let before = self.out.len();
        self.out.extend_from_slice(b"\x1b[");
        // Writing to memory can't fail.
        let _ = self.out.write_fmt(what);
        self.earn(self.out.len() - before);
    }

    /// `CSI`, numbers and the final byte.
    pub(super) fn numbers(&mut self, numbers: &[u16], last: u8) {
        let before = self.out.len();
        self.out.extend_from_slice(b"\x1b[");
        for (at, number) in numbers.iter().enumerate() {
            if at > 0 {
                self.out.push(b';');
            }
            let mut unit = 10_000;
            while unit > 1 && *number < unit {
                unit /= 10;
            }
            while unit > 0 {
                self.out.push(b'0' + u8::try_from(number / unit % 10).unwrap_or(0));
                unit /= 10;
            }
        }
        self.out.push(last);
        self.earn(self.out.len() - before);
    }

    pub(super) fn save_cursor(&mut self) {
        self.saved_sets = self.sets;
        self.tracked.save();
        self.push(b"\x1b7");
    }

    pub(super) fn restore_cursor(&mut self) {
        self.sets = self.saved_sets;
        self.tracked.restore();
        self.push(b"\x1b8");
    }

    /// What the program asked of the keyboard, as what is in effect now.
    pub(super) fn tell_keyboard(&mut self) {
        let flags = self.tracked.keyboard().flags();
        self.command(format_args!("={flags};1u"));
    }

    /// The cursor to where this screen's rows begin.
    pub(super) fn home(&mut self) {
        self.move_to(1, 1);
    }

    /// The cursor to a row and column that count from 1, as the program counts them.
    fn move_to(&mut self, row: u16, col: u16) {
        let row = self.tracked.absolute_row(row, self.size.rows);
        self.numbers(&[row, col.clamp(1, self.size.cols)], b'H');
    }

    /// Full reset, but for what is the terminal's owner's.
    fn reset(&mut self) {
        if !self.afford(self.size.rows) {
            return;
        }
        self.tracked = Tracked::default();
        self.sets = Sets::default();
        self.saved_sets = Sets::default();
        self.change_tabs(TabChange::Reset);
        self.unearned(|filter| {
            filter.push(RESTORE);
            filter.push(b"\x1b[H\x1b[2J\x1b7");
        });
    }

    /// DECSTR.
    fn soft_reset(&mut self) {
        self.tracked.insert = false;
        self.tracked.no_wrap = false;
        self.sets = Sets::default();
        self.push(b"\x1b[0m\x1b[?1l\x1b>\x1b[?7h\x1b[?25h");
    }

    /// DECSCUSR.
    fn cursor_shape(&mut self, shape: u16) {
        if let Some(shape) = u8::try_from(shape).ok().filter(|shape| *shape <= 6) {
            self.tracked.cursor_shape = shape;
            self.command(format_args!("{shape} q"));
        }
    }

    fn cursor_moves(&mut self, csi: &Csi) {
        let count = |most: u16| csi.count(0).min(most.max(1));
        let (rows, cols) = (self.size.rows, self.size.cols);
        let last = csi.last;
        match last {
            b'A' | b'B' | b'E' | b'F' => self.numbers(&[count(rows)], last),
            // With more numbers `T` is mouse tracking.
            b'L' | b'M' | b'S' | b'T' if csi.len() <= 1 && self.afford(count(rows)) => {
                self.numbers(&[count(rows)], last);
            }
            b'@' | b'C' | b'D' | b'P' | b'X' | b'b' => self.numbers(&[count(cols)], last),
            b'a' => self.numbers(&[count(cols)], b'C'),
            b'e' => self.numbers(&[count(rows)], b'B'),
            b'G' | b'`' => self.numbers(&[count(cols)], b'G'),
            b'I' => self.tab(count(if self.tabs { cols } else { cols / 8 + 1 })),
            b'Z' => self.mark(Mark::BackTab(count(cols))),
            b'H' | b'f' => self.move_to(csi.count(0), csi.count(1)),
            b'd' => {
                let row = self.tracked.absolute_row(csi.count(0), rows);
                self.numbers(&[row], b'd');
            }
            _ => {}
        }
    }

    fn erase(&mut self, csi: &Csi) {
        let what = csi.value(0);
        let known = if csi.last == b'J' { 0..=3 } else { 0..=2 };
        let rows = if csi.last == b'J' && what < 3 { self.size.rows } else { 1 };
        if known.contains(&what) && !(csi.private == b'?' && what == 3) && self.afford(rows) {
            self.numbers(&[what], csi.last);
        }
    }

    fn scroll_region(&mut self, csi: &Csi) {
        let top = csi.count(0);
        let bottom = match csi.value(1) {
            0 => self.size.rows,
            row => row.min(self.size.rows),
        };
        if top >= bottom {
            return;
        }
        self.tracked.set_region(top, bottom, self.size.rows);
        self.command(format_args!("{top};{bottom}r"));
        self.move_to(1, 1);
    }

    fn plain_csi(&mut self, csi: &Csi) {
        match csi.last {
            b'J' | b'K' => self.erase(csi),
            b'm' => {
                let before = self.out.len();
                super::sgr::rewrite(csi, &mut self.out);
                self.earn(self.out.len() - before);
            }
            b'r' => self.scroll_region(csi),
            b'g' if csi.value(0) == 0 => self.change_tabs(TabChange::Clear),
            b'g' if csi.value(0) == 3 => self.change_tabs(TabChange::ClearAll),
            b's' if csi.len() == 0 => self.save_cursor(),
            b'u' if csi.len() == 0 => self.restore_cursor(),
            b'h' | b'l' if csi.values().any(|v| v == 4) => self.tracked.insert = csi.last == b'h',
            b'n' | b'c' | b't' => {
                if let Some(query) = Query::of_plain(csi) {
                    self.mark(Mark::Ask(query));
                }
            }
            _ => self.cursor_moves(csi),
        }
    }

    fn private_csi(&mut self, csi: &Csi) {
        match csi.last {
            b'h' | b'l' if csi.private == b'?' => {
                for mode in csi.values() {
                    super::modes::set(self, mode, csi.last == b'h');
                }
            }
            b'J' | b'K' if csi.private == b'?' => self.erase(csi),
            b'u' if csi.private == b'?' => self.mark(Mark::Ask(Query::Keyboard(self.tracked.keyboard().flags()))),
            b'u' => {
                self.tracked.keyboard_used = true;
                self.tracked.keyboard_mut().apply(csi);
                self.tell_keyboard();
            }
            _ => {
                if let Some(query) = Query::of_private(csi) {
                    self.mark(Mark::Ask(query));
                }
            }
        }
    }
}

impl Sink for Filter {
    fn ascii(&mut self, text: &[u8]) {
        if self.sets.draws_lines() || self.tracked.insert || self.tracked.no_wrap {
            for byte in text {
                let c = if self.sets.draws_lines() { line(*byte) } else { char::from(*byte) };
                self.push_char(c);
            }
        } else {
            self.push(text);
        }
    }

    fn character(&mut self, c: char) {
        match c {
            // The emulator would not move its cursor over U+FFFD, terminals do.
            char::REPLACEMENT_CHARACTER => self.push_char('?'),
            c if steers_text(c) => {}
            c => self.push_char(c),
        }
    }

    fn control(&mut self, byte: u8) {
        match byte {
            0x07 => {
                self.push(b"\x07");
                self.mark(Mark::Bell);
            }
            0x09 => self.tab(1),
            0x08 | 0x0a | 0x0d => self.push(&[byte]),
            0x0b | 0x0c => self.push(b"\n"),
            0x0e => self.sets.second = true,
            0x0f => self.sets.second = false,
            _ => {}
        }
    }

    fn escape(&mut self, intermediates: &[u8], last: u8) {
        match (intermediates, last) {
            ([], b'7') => self.save_cursor(),
            ([], b'8') => self.restore_cursor(),
            ([], b'=' | b'>' | b'M') => self.push(&[0x1b, last]),
            ([], b'D') => self.push(b"\n"),
            ([], b'E') => self.push(b"\r\n"),
            ([], b'Z') => self.mark(Mark::Ask(Query::Attributes)),
            ([], b'c') => self.reset(),
            ([], b'H') => self.change_tabs(TabChange::Set),
            ([b'#'], b'8') => super::modes::align(self),
            ([b'('], set) => self.sets.first_lines = set == b'0',
            ([b')'], set) => self.sets.second_lines = set == b'0',
            _ => {}
        }
    }

    fn csi(&mut self, between: &[u8], last: u8) {
        let before = self.out.len();
        if last == b'm' && super::sgr::pass(between, &mut self.out) {
            self.earn(self.out.len() - before);
            return;
        }
        let Some(csi) = Csi::parse(between, last) else {
            return;
        };
        match (csi.private, csi.intermediate, last) {
            (0, 0, _) => self.plain_csi(&csi),
            (_, 0, _) => self.private_csi(&csi),
            (0, b' ', b'q') => self.cursor_shape(csi.value(0)),
            (0, b'!', b'p') => self.soft_reset(),
            (0 | b'?', b'$', b'p') => {
                self.mark(Mark::Ask(Query::Mode { private: csi.private != 0, mode: csi.value(0) }));
            }
            _ => {}
        }
    }

    fn string(&mut self, string: &ControlString<'_>) {
        if let (Kind::Osc, [b'0' | b'2', b';', title @ ..]) = (string.kind, string.payload) {
            self.mark(Mark::Title(title.to_vec()));
        } else if let Some(sign) = (string.kind == Kind::Osc).then(|| attention::notice(string.payload)).flatten() {
            self.mark(Mark::Notice(sign));
        } else if let Some(query) = Query::of_string(string) {
            self.mark(Mark::Ask(query));
        }
    }
}
