//! The emulator: bytes in, a screen kept.

use crate::bay::session::TermSize;

/// One terminal's screen with its scrollback.
pub struct Emulator {}

/// What a piece of output meant beside drawing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// The same bytes without control strings (OSC, DCS, APC, PM, SOS) and queries: fit for a user's terminal.
    pub forward: Vec<u8>,
    /// Answers to the program's queries (DA, DSR, ...), to be typed into the program.
    pub replies: Vec<u8>,
    /// Bare BELs (one that ends an OSC is none).
    pub bells: u32,
    /// The title changed.
    pub title_changed: bool,
    /// The emulator failed and was rebuilt: the screen is lost, what follows is drawn.
    pub rebuilt: bool,
}

/// The modes that a program has asked of its terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Cursor keys send SS3.
    pub application_cursor: bool,
    /// The keypad sends SS3.
    pub application_keypad: bool,
    /// Pastes are bracketed.
    pub bracketed_paste: bool,
    /// The alternate screen is shown.
    pub alternate_screen: bool,
    /// Focus changes are reported.
    pub focus_events: bool,
    /// Any mouse reporting is on.
    pub mouse: bool,
    /// The cursor is hidden.
    pub cursor_hidden: bool,
}

impl Emulator {
    /// An empty screen; at most `scrollback` lines are kept above it.
    #[must_use]
    pub fn new(_size: TermSize, _scrollback: usize) -> Self {
        todo!()
    }

    /// Takes what the program wrote. Never panics, whatever the bytes.
    pub fn feed(&mut self, _bytes: &[u8]) -> Fed {
        todo!()
    }

    /// Another size.
    pub fn resize(&mut self, _size: TermSize) {
        todo!()
    }

    /// The present size.
    #[must_use]
    pub fn size(&self) -> TermSize {
        todo!()
    }

    /// The screen, for drawing: cells, cursor, colours.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        todo!()
    }

    /// Shows `lines` above the live screen; 0: the live screen. Returns what it is now.
    pub fn scroll_to(&mut self, _lines: usize) -> usize {
        todo!()
    }

    /// The modes.
    #[must_use]
    pub fn modes(&self) -> Modes {
        todo!()
    }

    /// The title that the program gave, at most 256 bytes, harmless; empty without one.
    #[must_use]
    pub fn title(&self) -> &str {
        todo!()
    }

    /// Bytes that bring a fresh terminal of the same size to this screen: scrollback, cells, cursor and modes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        todo!()
    }
}
