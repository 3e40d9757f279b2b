//! One key as a person writes it: `ctrl-q`, `G`, `shift-tab`, `pgdn`.

use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key with its modifiers. A character carries its own case, so `shift` is never kept beside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub struct Key {
    code: KeyCode,
    mods: KeyModifiers,
}

/// The text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key: write a character, or one of {names}, with ctrl-, alt- or shift- before it", names = names())]
pub struct KeyError(pub String);

const NAMES: &[(&str, KeyCode)] = &[
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
];

const KEPT: KeyModifiers = KeyModifiers::CONTROL.union(KeyModifiers::ALT).union(KeyModifiers::SHIFT);

fn names() -> String {
    let mut all: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    all.push("f1 to f12");
    all.join(", ")
}

impl Key {
    fn new(code: KeyCode, mods: KeyModifiers) -> Self {
        let mods = mods & KEPT;
        match code {
            KeyCode::BackTab => Self { code: KeyCode::Tab, mods: mods | KeyModifiers::SHIFT },
            // One key each on most terminals, and in everybody's fingers on the others.
            KeyCode::Char('[') if mods == KeyModifiers::CONTROL => {
                Self { code: KeyCode::Esc, mods: KeyModifiers::NONE }
            }
            KeyCode::Char('i') if mods == KeyModifiers::CONTROL => {
                Self { code: KeyCode::Tab, mods: KeyModifiers::NONE }
            }
            KeyCode::Char('m') if mods == KeyModifiers::CONTROL => {
                Self { code: KeyCode::Enter, mods: KeyModifiers::NONE }
            }
            // Ctrl-A and ctrl-a are one key on a terminal.
            KeyCode::Char(c) if mods.contains(KeyModifiers::CONTROL) => {
                Self { code: KeyCode::Char(c.to_ascii_lowercase()), mods: mods - KeyModifiers::SHIFT }
            }
            KeyCode::Char(c) if mods.contains(KeyModifiers::SHIFT) && c != ' ' => {
                let upper = c.to_uppercase().next().unwrap_or(c);
                Self { code: KeyCode::Char(upper), mods: mods - KeyModifiers::SHIFT }
            }
            _ => Self { code, mods },
        }
    }
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        Self::new(event.code, event.modifiers)
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut rest = text;
        let mut mods = KeyModifiers::NONE;
        // `-` itself is a key, and `ctrl--` is one, too.
        while let Some((head, tail)) = rest.split_once('-').filter(|(_, tail)| !tail.is_empty()) {
            mods |= match head {
                "ctrl" => KeyModifiers::CONTROL,
                "alt" => KeyModifiers::ALT,
                "shift" => KeyModifiers::SHIFT,
                _ => break,
            };
            rest = tail;
        }
        let code = code(rest).ok_or_else(|| KeyError(text.to_owned()))?;
        Ok(Self::new(code, mods))
    }
}

fn code(text: &str) -> Option<KeyCode> {
    if let Some((_, code)) = NAMES.iter().find(|(name, _)| *name == text) {
        return Some(*code);
    }
    let mut chars = text.chars();
    if let (Some(only), None) = (chars.next(), chars.next()) {
        return (!only.is_control() && only != ' ').then_some(KeyCode::Char(only));
    }
    let number: u8 = text.strip_prefix('f')?.parse().ok()?;
    (1..=12).contains(&number).then_some(KeyCode::F(number))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, word) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.mods.contains(bit) {
                f.write_str(word)?;
            }
        }
        if let Some((name, _)) = NAMES.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(number) => write!(f, "f{number}"),
            _ => f.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_and_write() {
        for text in ["a", "G", "ctrl-q", "alt-x", "shift-tab", "pgdn", "space", "-", "ctrl--", "f5", "?", "ctrl-alt-k"]
        {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for bad in ["", "ctrl-", "hyper-x", "f13", "ab", "ctrl", " "] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_terminals_spellings_of_one_key_are_one() {
        let pressed = |code, mods| Key::from(KeyEvent::new(code, mods)).to_string();
        assert_eq!(pressed(KeyCode::Char('g'), KeyModifiers::SHIFT), "G");
        assert_eq!(pressed(KeyCode::Char('G'), KeyModifiers::SHIFT), "G");
        assert_eq!(pressed(KeyCode::BackTab, KeyModifiers::NONE), "shift-tab");
        assert_eq!(pressed(KeyCode::Char('Q'), KeyModifiers::CONTROL | KeyModifiers::SHIFT), "ctrl-q");
    }
}
