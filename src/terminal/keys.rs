//! Keys, pastes and mouse events as the bytes that a program reads.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyEventState, KeyModifiers, MouseEvent};

use super::emulator::Modes;

/// A key as xterm would send it, or as the keyboard protocol has it where the program asked for that; empty for one that
/// has no bytes.
///
/// F13 to F24 are the shifted F1 to F12, as xterm's terminfo has them. Releases have no bytes.
#[must_use]
pub fn key(key: KeyEvent, modes: Modes) -> Vec<u8> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    if modes.disambiguate {
        return super::keyboard::encode(key);
    }
    match key.code {
        KeyCode::Char(c) if key.state.contains(KeyEventState::KEYPAD) && modes.application_keypad => keypad(c, key),
        KeyCode::Char(c) => character(c, key.modifiers),
        code => special(code, key.modifiers, modes),
    }
}

/// A paste: bracketed where the program asked for it, and never able to end its own bracket.
///
/// Line ends become CR. ESC and 8-bit controls inside are shown as `␛`; without brackets, NUL, ENQ, EOT, BS and DEL are
/// left out.
#[must_use]
pub fn paste(text: &str, modes: Modes) -> Vec<u8> {
    super::paste::encode(text, modes)
}

/// A mouse event at a position inside the pane (0-based); empty when the program did not ask for it.
#[must_use]
pub fn mouse(event: MouseEvent, row: u16, col: u16, screen: &vt100::Screen) -> Vec<u8> {
    super::mouse::encode(event, row, col, screen)
}

/// Alt sends ESC first.
fn with_alt(bytes: &[u8], modifiers: KeyModifiers) -> Vec<u8> {
    let alt = modifiers.intersects(KeyModifiers::ALT | KeyModifiers::META);
    let mut out = if alt { vec![0x1b] } else { Vec::new() };
    out.extend_from_slice(bytes);
    out
}

fn character(c: char, modifiers: KeyModifiers) -> Vec<u8> {
    if modifiers.contains(KeyModifiers::CONTROL)
        && let Some(byte) = control(c)
    {
        return with_alt(&[byte], modifiers);
    }
    with_alt(c.encode_utf8(&mut [0; 4]).as_bytes(), modifiers)
}

/// The C0 control that Ctrl makes of a character; the digits are what crossterm reports for the last ones.
fn control(c: char) -> Option<u8> {
    match c {
        'a'..='z' | 'A'..='Z' => u8::try_from(c).ok().map(|b| b & 0x1f),
        ' ' | '@' | '2' | '`' => Some(0x00),
        '[' | '{' | '3' => Some(0x1b),
        '\\' | '|' | '4' => Some(0x1c),
        ']' | '}' | '5' => Some(0x1d),
        '^' | '~' | '6' => Some(0x1e),
        '_' | '/' | '-' | '7' => Some(0x1f),
        '?' | '8' => Some(0x7f),
        _ => None,
    }
}

/// The keypad in application mode: SS3 and the character moved into the letters.
fn keypad(c: char, key: KeyEvent) -> Vec<u8> {
    match c {
        '0'..='9' | '*' | '+' | ',' | '-' | '.' | '/' | '=' => {
            let letter = u8::try_from(c).map_or(0, |b| b.wrapping_add(0x40));
            vec![0x1b, b'O', letter]
        }
        c => character(c, key.modifiers),
    }
}

/// How a key without a character is written.
enum Form {
    /// Always these bytes.
    Plain(&'static [u8]),
    /// `CSI letter`, with modifiers `CSI 1 ; m letter`; SS3 instead of a bare CSI when the flag says so.
    Letter(u8, bool),
    /// `CSI n ~`, with modifiers `CSI n ; m ~`.
    Tilde(u8),
}

fn special(code: KeyCode, modifiers: KeyModifiers, modes: Modes) -> Vec<u8> {
    let mut modifiers = modifiers;
    let cursor = modes.application_cursor;
    let form = match code {
        KeyCode::Enter => Form::Plain(b"\r"),
        KeyCode::Esc => Form::Plain(b"\x1b"),
        KeyCode::Null => Form::Plain(b"\0"),
        KeyCode::Backspace if modifiers.contains(KeyModifiers::CONTROL) => Form::Plain(b"\x08"),
        KeyCode::Backspace => Form::Plain(b"\x7f"),
        KeyCode::Tab if modifiers.contains(KeyModifiers::SHIFT) => Form::Plain(b"\x1b[Z"),
        KeyCode::BackTab => Form::Plain(b"\x1b[Z"),
        KeyCode::Tab => Form::Plain(b"\t"),
        KeyCode::Up => Form::Letter(b'A', cursor),
        KeyCode::Down => Form::Letter(b'B', cursor),
        KeyCode::Right => Form::Letter(b'C', cursor),
        KeyCode::Left => Form::Letter(b'D', cursor),
        KeyCode::KeypadBegin => Form::Letter(b'E', cursor),
        KeyCode::End => Form::Letter(b'F', cursor),
        KeyCode::Home => Form::Letter(b'H', cursor),
        KeyCode::Insert => Form::Tilde(2),
        KeyCode::Delete => Form::Tilde(3),
        KeyCode::PageUp => Form::Tilde(5),
        KeyCode::PageDown => Form::Tilde(6),
        KeyCode::Menu => Form::Tilde(29),
        KeyCode::F(n) => {
            if n > 12 {
                modifiers |= KeyModifiers::SHIFT;
            }
            match function(if n > 12 { n - 12 } else { n }) {
                Some(form) => form,
                None => return Vec::new(),
            }
        }
        _ => return Vec::new(),
    };
    write(&form, modifiers)
}

fn function(n: u8) -> Option<Form> {
    Some(match n {
        1..=4 => Form::Letter(b'P' + n - 1, true),
        5 => Form::Tilde(15),
        6..=10 => Form::Tilde(11 + n),
        11 | 12 => Form::Tilde(12 + n),
        _ => return None,
    })
}

fn write(form: &Form, modifiers: KeyModifiers) -> Vec<u8> {
    let weight = weight(modifiers);
    match form {
        Form::Plain(bytes) => with_alt(bytes, modifiers),
        Form::Letter(letter, true) if weight == 1 => vec![0x1b, b'O', *letter],
        Form::Letter(letter, _) if weight == 1 => vec![0x1b, b'[', *letter],
        Form::Letter(letter, _) => format!("\x1b[1;{weight}{}", char::from(*letter)).into_bytes(),
        Form::Tilde(number) if weight == 1 => format!("\x1b[{number}~").into_bytes(),
        Form::Tilde(number) => format!("\x1b[{number};{weight}~").into_bytes(),
    }
}

/// xterm's number for a set of modifiers.
fn weight(modifiers: KeyModifiers) -> u8 {
    let bits = [(KeyModifiers::SHIFT, 1), (KeyModifiers::ALT, 2), (KeyModifiers::CONTROL, 4), (KeyModifiers::META, 8)];
    1 + bits.into_iter().filter(|(key, _)| modifiers.contains(*key)).map(|(_, bit)| bit).sum::<u8>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(code: KeyCode, modifiers: KeyModifiers) -> Vec<u8> {
        key(KeyEvent::new(code, modifiers), Modes::default())
    }

    #[test]
    fn keys_send_what_xterm_sends() {
        use KeyCode::{BackTab, Backspace, Char, Delete, Down, End, Enter, Esc, F, Home, PageUp, Tab, Up};
        let (none, shift, alt, ctrl) =
            (KeyModifiers::NONE, KeyModifiers::SHIFT, KeyModifiers::ALT, KeyModifiers::CONTROL);
        let cases: [(KeyCode, KeyModifiers, &str); 32] = [
            (Char('a'), none, "a"),
            (Char('A'), shift, "A"),
            (Char('好'), none, "好"),
            (Char('x'), alt, "\x1bx"),
            (Char('c'), ctrl, "\x03"),
            (Char('C'), ctrl | shift, "\x03"),
            (Char(' '), ctrl, "\0"),
            (Char('4'), ctrl, "\x1c"),
            (Char('\\'), ctrl, "\x1c"),
            (Char('/'), ctrl, "\x1f"),
            (Char('a'), ctrl | alt, "\x1b\x01"),
            (Char('é'), ctrl, "é"),
            (Enter, none, "\r"),
            (Enter, alt, "\x1b\r"),
            (Esc, none, "\x1b"),
            (Esc, alt, "\x1b\x1b"),
            (Tab, none, "\t"),
            (BackTab, shift, "\x1b[Z"),
            (Backspace, none, "\x7f"),
            (Backspace, ctrl, "\x08"),
            (Backspace, alt, "\x1b\x7f"),
            (Up, none, "\x1b[A"),
            (Down, shift, "\x1b[1;2B"),
            (Home, none, "\x1b[H"),
            (End, ctrl | alt, "\x1b[1;7F"),
            (Delete, none, "\x1b[3~"),
            (PageUp, ctrl, "\x1b[5;5~"),
            (F(1), none, "\x1bOP"),
            (F(4), ctrl, "\x1b[1;5S"),
            (F(5), none, "\x1b[15~"),
            (F(12), none, "\x1b[24~"),
            (F(13), none, "\x1b[1;2P"),
        ];
        for (code, modifiers, bytes) in cases {
            assert_eq!(sent(code, modifiers), bytes.as_bytes(), "{code:?} {modifiers:?}");
        }
        let numbers: Vec<Vec<u8>> = (5..=12).map(|n| sent(F(n), none)).collect();
        let expected: Vec<Vec<u8>> =
            [15, 17, 18, 19, 20, 21, 23, 24].iter().map(|n| format!("\x1b[{n}~").into_bytes()).collect();
        assert_eq!(numbers, expected);
        assert_eq!(sent(F(24), none), b"\x1b[24;2~");
        assert!(sent(F(25), none).is_empty() && sent(KeyCode::CapsLock, none).is_empty());
    }

    #[test]
    fn modes_change_cursor_and_keypad() {
        let modes = Modes { application_cursor: true, application_keypad: true, ..Modes::default() };
        let up = KeyEvent::new(KeyCode::Up, KeyModifiers::NONE);
        assert_eq!(key(up, modes), b"\x1bOA");
        assert_eq!(key(KeyEvent::new(KeyCode::Up, KeyModifiers::ALT), modes), b"\x1b[1;3A");
        let mut five = KeyEvent::new(KeyCode::Char('5'), KeyModifiers::NONE);
        assert_eq!(key(five, modes), b"5");
        five.state = KeyEventState::KEYPAD;
        assert_eq!(key(five, modes), b"\x1bOu");
        assert_eq!(key(five, Modes::default()), b"5");
    }

    #[test]
    fn a_release_sends_nothing() {
        let mut release = KeyEvent::new(KeyCode::Char('a'), KeyModifiers::NONE);
        release.kind = KeyEventKind::Release;
        assert!(key(release, Modes::default()).is_empty());
        release.kind = KeyEventKind::Repeat;
        assert_eq!(key(release, Modes::default()), b"a");
    }

    /// Every byte below 0x80 has a key; those above only occur inside characters, and every character has one.
    #[test]
    fn every_byte_that_has_a_key_can_be_typed() {
        for byte in 0..=0x7f_u8 {
            let event = match byte {
                0 => (KeyCode::Char(' '), KeyModifiers::CONTROL),
                1..=0x1a => (KeyCode::Char(char::from(byte + 0x60)), KeyModifiers::CONTROL),
                0x1b => (KeyCode::Esc, KeyModifiers::NONE),
                0x1c..=0x1f => (KeyCode::Char(char::from(byte - 0x1c + b'4')), KeyModifiers::CONTROL),
                0x7f => (KeyCode::Backspace, KeyModifiers::NONE),
                _ => (KeyCode::Char(char::from(byte)), KeyModifiers::NONE),
            };
            assert_eq!(sent(event.0, event.1), [byte], "{byte:#x}");
        }
        for c in ['\u{a0}', '\u{ff}', '\u{7ff}', '\u{ffff}', '\u{10ffff}'] {
            assert_eq!(sent(KeyCode::Char(c), KeyModifiers::NONE), c.to_string().as_bytes());
        }
    }
}
