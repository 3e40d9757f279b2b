//! Questions of a program to its terminal, and their answers.
//!
//! They are answered here, once, and never asked of a user's terminal: what that answers would be typed into whatever
//! reads next. Answers are constants, or come from the screen; nothing that the program wrote is ever sent back to it.

use super::csi::Csi;
use super::lex::{ControlString, Kind};
use super::modes::Tracked;
use crate::bay::session::TermSize;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// DSR 5: is all well.
    Status,
    /// DSR 6: where is the cursor; `true`: in the DEC form.
    Cursor(bool),
    /// DA1: what are you.
    Attributes,
    /// DA2: which version of what.
    Version,
    /// XTVERSION: your name.
    Name,
    /// `CSI 18 t` and `CSI 19 t`: rows and columns of the window or the screen. The number of the answer.
    Size(u8),
    /// What is in effect of the keyboard protocol: the flags.
    Keyboard(u8),
    /// DECRQM: is a mode set.
    Mode { private: bool, mode: u16 },
    /// OSC 10 or 11: which colour is drawn with, or on. `true`: ended by BEL.
    Colour(u8, bool),
    /// DECRQSS, XTGETTCAP: the letter of the form, answered with "not known".
    Unknown(u8),
}

/// How the terminal is at the moment of the question.
pub(super) struct Answerer<'a> {
    pub screen: &'a vt100::Screen,
    pub tracked: &'a Tracked,
    pub size: TermSize,
}

impl Query {
    /// Of `CSI .. n`, `c` and `t`. Reports of titles and pixels are not answered: the first would type what a program
    /// wrote, the second is not known.
    pub fn of_plain(csi: &Csi) -> Option<Self> {
        match (csi.last, csi.value(0)) {
            (b'n', 5) => Some(Self::Status),
            (b'n', 6) => Some(Self::Cursor(false)),
            (b'c', 0) => Some(Self::Attributes),
            (b't', 18) => Some(Self::Size(8)),
            (b't', 19) => Some(Self::Size(9)),
            _ => None,
        }
    }

    /// Of sequences with a private mark.
    pub fn of_private(csi: &Csi) -> Option<Self> {
        match (csi.private, csi.last, csi.value(0)) {
            (b'?', b'n', 6) => Some(Self::Cursor(true)),
            (b'>', b'c', 0) => Some(Self::Version),
            (b'>', b'q', 0) => Some(Self::Name),
            _ => None,
        }
    }

    /// Of control strings. The colours are those of a dark terminal, which most are: the supervisor has no terminal of
    /// its own to ask, and without an answer programs wait and then guess a light one.
    pub fn of_string(string: &ControlString<'_>) -> Option<Self> {
        match (string.kind, string.payload) {
            (Kind::Osc, b"10;?") => Some(Self::Colour(10, string.bel)),
            (Kind::Osc, b"11;?") => Some(Self::Colour(11, string.bel)),
            (Kind::Dcs, [b'$', b'q', ..]) => Some(Self::Unknown(b'$')),
            (Kind::Dcs, [b'+', b'q', ..]) => Some(Self::Unknown(b'+')),
            _ => None,
        }
    }
}

impl Answerer<'_> {
    /// The bytes to type into the program.
    pub fn answer(&self, query: Query) -> String {
        match query {
            Query::Status => "\x1b[0n".to_owned(),
            Query::Cursor(dec) => self.cursor(if dec { "?" } else { "" }),
            // A VT220 with colours; xterm 276, old enough to be asked for nothing new.
            Query::Attributes => "\x1b[?62;22c".to_owned(),
            Query::Version => "\x1b[>0;276;0c".to_owned(),
            Query::Name => "\x1bP>|podbay\x1b\\".to_owned(),
            Query::Size(form) => format!("\x1b[{form};{};{}t", self.size.rows, self.size.cols),
            Query::Keyboard(flags) => format!("\x1b[?{flags}u"),
            Query::Mode { private: true, mode } => format!("\x1b[?{mode};{}$y", self.mode(mode)),
            Query::Mode { private: false, mode } => {
                let state = if mode == 4 { set_or_not(self.tracked.insert) } else { 0 };
                format!("\x1b[{mode};{state}$y")
            }
            Query::Colour(which, bel) => {
                let colour = if which == 10 { "cccc/cccc/cccc" } else { "0000/0000/0000" };
                format!("\x1b]{which};rgb:{colour}{}", if bel { "\x07" } else { "\x1b\\" })
            }
            Query::Unknown(form) => format!("\x1bP0{}r\x1b\\", char::from(form)),
        }
    }

    fn cursor(&self, mark: &str) -> String {
        let (row, col) = self.screen.cursor_position();
        let top = match (self.tracked.origin(), self.tracked.region()) {
            (true, Some((top, _))) => top - 1,
            _ => 0,
        };
        // Past the last column the cursor waits to wrap; it is still reported there.
        let col = (col + 1).min(self.size.cols);
        format!("\x1b[{mark}{};{col}R", (row + 1).saturating_sub(top).max(1))
    }

    /// 1: set, 2: not set, 0: not known.
    fn mode(&self, mode: u16) -> u8 {
        use vt100::{MouseProtocolEncoding as Encoding, MouseProtocolMode as Mouse};
        let mouse = self.screen.mouse_protocol_mode();
        let encoding = self.screen.mouse_protocol_encoding();
        set_or_not(match mode {
            1 => self.screen.application_cursor(),
            6 => self.tracked.origin(),
            7 => !self.tracked.no_wrap,
            9 => mouse == Mouse::Press,
            25 => !self.screen.hide_cursor(),
            47 | 1047 | 1049 => self.screen.alternate_screen(),
            66 => self.screen.application_keypad(),
            1000 => mouse == Mouse::PressRelease,
            1002 => mouse == Mouse::ButtonMotion,
            1003 => mouse == Mouse::AnyMotion,
            1004 => self.tracked.focus,
            1005 => encoding == Encoding::Utf8,
            1006 => encoding == Encoding::Sgr,
            2004 => self.screen.bracketed_paste(),
            2026 => self.tracked.synchronised,
            _ => return 0,
        })
    }
}

const fn set_or_not(set: bool) -> u8 {
    if set { 1 } else { 2 }
}
