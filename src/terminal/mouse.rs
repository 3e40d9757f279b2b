//! Mouse events.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use vt100::{MouseProtocolEncoding as Encoding, MouseProtocolMode as Mode};

const MOTION: u16 = 32;
/// A release in the encodings that do not say of which button.
const RELEASED: u16 = 3;

/// See [`keys::mouse`](super::keys::mouse).
pub(super) fn encode(event: MouseEvent, row: u16, col: u16, screen: &vt100::Screen) -> Vec<u8> {
    let mode = screen.mouse_protocol_mode();
    if !is_wanted(event.kind, mode) {
        return Vec::new();
    }
    let (code, release) = code(event.kind);
    let modifiers = if mode == Mode::Press { 0 } else { modifiers(event.modifiers) };
    let (x, y) = (col.saturating_add(1), row.saturating_add(1));
    match screen.mouse_protocol_encoding() {
        Encoding::Sgr => {
            let last = if release { 'm' } else { 'M' };
            format!("\x1b[<{};{x};{y}{last}", code + modifiers).into_bytes()
        }
        Encoding::Default => short(if release { RELEASED } else { code } + modifiers, x, y),
        Encoding::Utf8 => utf8(if release { RELEASED } else { code } + modifiers, x, y),
    }
}

fn is_wanted(kind: MouseEventKind, mode: Mode) -> bool {
    match mode {
        Mode::None => false,
        Mode::Press => matches!(kind, MouseEventKind::Down(_)),
        Mode::PressRelease => !matches!(kind, MouseEventKind::Drag(_) | MouseEventKind::Moved),
        Mode::ButtonMotion => kind != MouseEventKind::Moved,
        Mode::AnyMotion => true,
    }
}

fn code(kind: MouseEventKind) -> (u16, bool) {
    let button = |button| match button {
        MouseButton::Left => 0,
        MouseButton::Middle => 1,
        MouseButton::Right => 2,
    };
    match kind {
        MouseEventKind::Down(which) => (button(which), false),
        MouseEventKind::Up(which) => (button(which), true),
        MouseEventKind::Drag(which) => (button(which) + MOTION, false),
        MouseEventKind::Moved => (RELEASED + MOTION, false),
        MouseEventKind::ScrollUp => (64, false),
        MouseEventKind::ScrollDown => (65, false),
        MouseEventKind::ScrollLeft => (66, false),
        MouseEventKind::ScrollRight => (67, false),
    }
}

fn modifiers(keys: KeyModifiers) -> u16 {
    [(KeyModifiers::SHIFT, 4), (KeyModifiers::ALT, 8), (KeyModifiers::CONTROL, 16)]
        .into_iter()
        .filter(|(key, _)| keys.contains(*key))
        .map(|(_, bit)| bit)
        .sum()
}

/// One byte each; positions that do not fit are not reported.
fn short(code: u16, x: u16, y: u16) -> Vec<u8> {
    let byte = |n: u16| u8::try_from(n.saturating_add(32)).ok();
    match (byte(code), byte(x), byte(y)) {
        (Some(code), Some(x), Some(y)) => vec![0x1b, b'[', b'M', code, x, y],
        _ => Vec::new(),
    }
}

/// One character each, of at most two bytes.
fn utf8(code: u16, x: u16, y: u16) -> Vec<u8> {
    let character = |n: u16| char::from_u32(u32::from(n) + 32).filter(|c| c.len_utf8() <= 2);
    match (character(code), character(x), character(y)) {
        (Some(code), Some(x), Some(y)) => format!("\x1b[M{code}{x}{y}").into_bytes(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::session::TermSize;
    use crate::terminal::emulator::Emulator;

    fn sent(modes: &str, kind: MouseEventKind, row: u16, col: u16, modifiers: KeyModifiers) -> Vec<u8> {
        let mut emulator = Emulator::new(TermSize::default(), 0);
        emulator.feed(modes.as_bytes());
        encode(MouseEvent { kind, column: 0, row: 0, modifiers }, row, col, emulator.screen())
    }

    type Case = (&'static str, MouseEventKind, u16, u16, KeyModifiers, &'static [u8]);

    #[test]
    fn says_what_was_asked_for_in_the_form_asked_for() {
        use MouseButton::{Left, Right};
        use MouseEventKind::{Down, Drag, Moved, ScrollUp, Up};
        let none = KeyModifiers::NONE;
        let cases: [Case; 15] = [
            ("", Down(Left), 0, 0, none, b""),
            ("\x1b[?9h", Down(Left), 0, 0, KeyModifiers::SHIFT, b"\x1b[M !!"),
            ("\x1b[?9h", Up(Left), 0, 0, none, b""),
            ("\x1b[?1000h", Up(Right), 1, 2, none, b"\x1b[M##\""),
            ("\x1b[?1000h", Drag(Left), 0, 0, none, b""),
            ("\x1b[?1002h", Drag(Left), 0, 0, none, b"\x1b[M@!!"),
            ("\x1b[?1002h", Moved, 0, 0, none, b""),
            ("\x1b[?1003h", Moved, 0, 0, none, b"\x1b[MC!!"),
            ("\x1b[?1000h", ScrollUp, 0, 0, none, b"\x1b[M`!!"),
            ("\x1b[?1000h", Down(Left), 0, 222, none, b"\x1b[M \xff!"),
            ("\x1b[?1000h", Down(Left), 0, 223, none, b""),
            ("\x1b[?1000;1005h", Down(Left), 0, 222, none, b"\x1b[M \xc3\xbf!"),
            ("\x1b[?1000;1006h", Down(Right), 9, 299, KeyModifiers::CONTROL, b"\x1b[<18;300;10M"),
            ("\x1b[?1000;1006h", Up(Right), 9, 299, none, b"\x1b[<2;300;10m"),
            ("\x1b[?1003;1006h", Moved, 0, 0, KeyModifiers::ALT, b"\x1b[<43;1;1M"),
        ];
        for (modes, kind, row, col, keys, bytes) in cases {
            assert_eq!(sent(modes, kind, row, col, keys), bytes, "{modes:?} {kind:?}");
        }
    }
}
