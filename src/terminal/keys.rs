//! Keys, pastes and mouse events as the bytes that a program reads.

use crossterm::event::{KeyEvent, MouseEvent};

use super::emulator::Modes;

/// A key as xterm would send it; empty for one that has no bytes.
#[must_use]
pub fn key(_key: KeyEvent, _modes: Modes) -> Vec<u8> {
    todo!()
}

/// A paste: bracketed where the program asked for it, and never able to end its own bracket.
#[must_use]
pub fn paste(_text: &str, _modes: Modes) -> Vec<u8> {
    todo!()
}

/// A mouse event at a position inside the pane (0-based); empty when the program did not ask for it.
#[must_use]
pub fn mouse(_event: MouseEvent, _row: u16, _col: u16, _screen: &vt100::Screen) -> Vec<u8> {
    todo!()
}
