//! The keyboard protocol that kitty began: programs ask that keys be told apart which are one byte otherwise.
//!
//! Of its flags the first is known (`CSI u` for what is ambiguous). The others need more of a key than a terminal without
//! the protocol tells; a program that asks for them is answered that it has only the first.

use crossterm::event::{KeyCode, KeyEvent, KeyEventState, KeyModifiers};

use super::csi::Csi;

/// The flags of one screen: a stack of bits, the newest lowest. What is pushed beyond 32 pushes out the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keyboard(u32);

impl Keyboard {
    /// The flags that are in effect.
    pub const fn flags(self) -> u8 {
        (self.0 & 1) as u8
    }

    /// Carries out `CSI > flags u`, `CSI < count u` or `CSI = flags ; how u`.
    pub fn apply(&mut self, csi: &Csi) {
        let flag = u32::from(csi.value(0) & 1);
        match (csi.private, csi.value(1)) {
            (b'>', _) => self.0 = self.0 << 1 | flag,
            (b'<', _) => self.0 = self.0.checked_shr(u32::from(csi.count(0))).unwrap_or(0),
            (b'=', 0 | 1) => self.0 = self.0 & !1 | flag,
            (b'=', 2) => self.0 |= flag,
            (b'=', 3) => self.0 &= !flag,
            _ => {}
        }
    }
}

/// A key as a program reads it that asked for the first flag.
pub(super) fn encode(key: KeyEvent) -> Vec<u8> {
    let shift = if key.code == KeyCode::BackTab { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
    let weight = weight(key.modifiers | shift);
    let plain = key.modifiers.difference(KeyModifiers::SHIFT).is_empty();
    match key.code {
        KeyCode::Char(c) if key.state.contains(KeyEventState::KEYPAD) => match keypad(c) {
            Some(code) => unicode(code, weight),
            None => c.to_string().into_bytes(),
        },
        KeyCode::Char(c) if plain => c.to_string().into_bytes(),
        // The key is named by what it gives without Shift.
        KeyCode::Char(c) => unicode(u32::from(c.to_lowercase().next().unwrap_or(c)), weight),
        KeyCode::Esc => unicode(27, weight),
        // These three stay as they are, so that a shell that was left in this mode can still be typed into.
        KeyCode::Enter if weight == 1 => b"\r".to_vec(),
        KeyCode::Tab if weight == 1 => b"\t".to_vec(),
        KeyCode::Backspace if weight == 1 => b"\x7f".to_vec(),
        KeyCode::Enter => unicode(13, weight),
        KeyCode::Tab | KeyCode::BackTab => unicode(9, weight),
        KeyCode::Backspace => unicode(127, weight),
        KeyCode::Null => unicode(32, weight | 4),
        KeyCode::Menu => unicode(57363, weight),
        code => functional(code, weight),
    }
}

/// The protocol's number for a set of modifiers.
fn weight(modifiers: KeyModifiers) -> u8 {
    let bits = [
        (KeyModifiers::SHIFT, 1),
        (KeyModifiers::ALT, 2),
        (KeyModifiers::CONTROL, 4),
        (KeyModifiers::SUPER, 8),
        (KeyModifiers::HYPER, 16),
        (KeyModifiers::META, 32),
    ];
    1 + bits.into_iter().filter(|(key, _)| modifiers.contains(*key)).map(|(_, bit)| bit).sum::<u8>()
}

fn unicode(code: u32, weight: u8) -> Vec<u8> {
    if weight == 1 { format!("\x1b[{code}u") } else { format!("\x1b[{code};{weight}u") }.into_bytes()
}

fn keypad(c: char) -> Option<u32> {
    Some(match c {
        '0'..='9' => 57399 + u32::from(c) - u32::from('0'),
        '.' => 57409,
        '/' => 57410,
        '*' => 57411,
        '-' => 57412,
        '+' => 57413,
        '=' => 57415,
        ',' => 57416,
        _ => return None,
    })
}

/// Keys without a character: always with CSI, so that their letters are no keys of their own.
fn functional(code: KeyCode, weight: u8) -> Vec<u8> {
    let (number, last) = match code {
        KeyCode::Up => (1, 'A'),
        KeyCode::Down => (1, 'B'),
        KeyCode::Right => (1, 'C'),
        KeyCode::Left => (1, 'D'),
        KeyCode::KeypadBegin => (1, 'E'),
        KeyCode::End => (1, 'F'),
        KeyCode::Home => (1, 'H'),
        KeyCode::Insert => (2, '~'),
        KeyCode::Delete => (3, '~'),
        KeyCode::PageUp => (5, '~'),
        KeyCode::PageDown => (6, '~'),
        KeyCode::F(1) => (1, 'P'),
        KeyCode::F(2) => (1, 'Q'),
        // Its letter would be an answer about the cursor's place.
        KeyCode::F(3) => (13, '~'),
        KeyCode::F(4) => (1, 'S'),
        KeyCode::F(5) => (15, '~'),
        KeyCode::F(n @ 6..=10) => (u32::from(n) + 11, '~'),
        KeyCode::F(n @ 11..=12) => (u32::from(n) + 12, '~'),
        KeyCode::F(n @ 13..=35) => (57363 + u32::from(n), 'u'),
        _ => return Vec::new(),
    };
    match (number, weight) {
        (1, 1) => format!("\x1b[{last}"),
        (_, 1) => format!("\x1b[{number}{last}"),
        _ => format!("\x1b[{number};{weight}{last}"),
    }
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_pushed_popped_and_set() {
        let mut keyboard = Keyboard::default();
        let mut then = |between: &[u8]| {
            keyboard.apply(&Csi::parse(between, b'u').unwrap());
            keyboard.flags()
        };
        let steps: [(&[u8], u8); 10] = [
            (b">31", 1),
            (b">0", 0),
            (b"<", 1),
            (b"<9", 0),
            (b"<99", 0),
            (b"=5", 1),
            (b"=4;2", 1),
            (b"=1;3", 0),
            (b"=3;2", 1),
            (b"=0;1", 0),
        ];
        for (bytes, flags) in steps {
            assert_eq!(then(bytes), flags, "{}", String::from_utf8_lossy(bytes));
        }
        for _ in 0..100 {
            then(b">1");
        }
        assert_eq!((then(b"<31"), then(b"<")), (1, 0));
    }

    #[test]
    fn keys_that_are_one_byte_otherwise_are_told_apart() {
        use KeyCode::{BackTab, Backspace, Char, Delete, Enter, Esc, F, Tab, Up};
        let (none, shift, alt, ctrl) =
            (KeyModifiers::NONE, KeyModifiers::SHIFT, KeyModifiers::ALT, KeyModifiers::CONTROL);
        let cases: [(KeyCode, KeyModifiers, &str); 22] = [
            (Char('a'), none, "a"),
            (Char('A'), shift, "A"),
            (Char('好'), none, "好"),
            (Char('i'), ctrl, "\x1b[105;5u"),
            (Char('C'), ctrl | shift, "\x1b[99;6u"),
            (Char('x'), alt, "\x1b[120;3u"),
            (Char(' '), ctrl, "\x1b[32;5u"),
            (Esc, none, "\x1b[27u"),
            (Esc, alt, "\x1b[27;3u"),
            (Enter, none, "\r"),
            (Enter, shift, "\x1b[13;2u"),
            (Tab, none, "\t"),
            (BackTab, none, "\x1b[9;2u"),
            (BackTab, shift, "\x1b[9;2u"),
            (Backspace, none, "\x7f"),
            (Backspace, ctrl, "\x1b[127;5u"),
            (Up, none, "\x1b[A"),
            (Up, ctrl, "\x1b[1;5A"),
            (Delete, none, "\x1b[3~"),
            (F(1), none, "\x1b[P"),
            (F(3), shift, "\x1b[13;2~"),
            (F(13), none, "\x1b[57376u"),
        ];
        for (code, modifiers, bytes) in cases {
            let sent = encode(KeyEvent::new(code, modifiers));
            assert_eq!(String::from_utf8(sent).unwrap(), bytes, "{code:?} {modifiers:?}");
        }
        let mut five = KeyEvent::new(Char('5'), none);
        five.state = KeyEventState::KEYPAD;
        assert_eq!(encode(five), b"\x1b[57404u");
    }
}
