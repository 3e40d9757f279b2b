//! A line of a program's output as plain text: what a terminal would have shown of it in the end.

use std::iter::Peekable;
use std::str::Chars;

use super::safe::Safe;

/// Columns that a sequence may move over: a line is text, not a canvas.
const FAR: usize = 4096;

/// The line without control sequences. What a carriage return, backspaces or an erasure took back is gone, as on the
/// screen; what is left is harmless.
#[must_use]
pub fn line(text: &str) -> Safe {
    if !text.chars().any(char::is_control) {
        return Safe::new(text);
    }
    let mut row = Row::default();
    let mut chars = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '\x1b' => escape(&mut chars, &mut row),
            '\u{9b}' => csi(&mut chars, &mut row),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => control_string(&mut chars),
            '\r' => row.at = 0,
            '\x08' => row.at = row.at.saturating_sub(1),
            // Bells and the like draw nothing.
            '\0'..='\x07' | '\x0e'..='\x1f' | '\x7f' => {}
            other => row.put(other),
        }
    }
    Safe::new(&row.cells.into_iter().collect::<String>())
}

/// One row of a screen that is as wide as it needs to be.
#[derive(Default)]
struct Row {
    cells: Vec<char>,
    at: usize,
}

impl Row {
    fn put(&mut self, character: char) {
        if self.at > self.cells.len() {
            self.cells.resize(self.at, ' ');
        }
        match self.cells.get_mut(self.at) {
            Some(cell) => *cell = character,
            None => self.cells.push(character),
        }
        self.at += 1;
    }

    /// The sequences with which line editors and progress bars redraw a line.
    fn control(&mut self, count: usize, kind: char) {
        let at = self.at.min(self.cells.len());
        let steps = count.clamp(1, FAR);
        match kind {
            'C' => self.at = (self.at + steps).min(self.cells.len() + FAR),
            'D' => self.at = self.at.saturating_sub(steps),
            'G' => self.at = steps - 1,
            'K' if count == 0 => self.cells.truncate(at),
            'K' if count == 2 => self.cells.clear(),
            'P' => drop(self.cells.drain(at..(at + steps).min(self.cells.len()))),
            '@' => drop(self.cells.splice(at..at, std::iter::repeat_n(' ', steps))),
            _ => {}
        }
    }
}

fn escape(chars: &mut Peekable<Chars<'_>>, row: &mut Row) {
    match chars.next() {
        Some('[') => csi(chars, row),
        Some(']' | 'P' | 'X' | '^' | '_') => control_string(chars),
        // Intermediate bytes of the short sequences: charset selection and the like.
        Some(' '..='/') => {
            while chars.next_if(|next| (' '..='/').contains(next)).is_some() {}
            chars.next_if(|next| ('0'..='~').contains(next));
        }
        _ => {}
    }
}

fn csi(chars: &mut Peekable<Chars<'_>>, row: &mut Row) {
    let mut parameters = String::new();
    while let Some(next) = chars.next_if(|next| (' '..='?').contains(next)) {
        parameters.push(next);
    }
    if let Some(kind) = chars.next_if(|next| ('@'..='~').contains(next)) {
        row.control(parameters.parse().unwrap_or(0), kind);
    }
}

/// Up to its end; one that is never ended takes the rest of the line with it.
fn control_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(next) = chars.next() {
        match next {
            '\x07' | '\u{9c}' => return,
            '\x1b' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_was_left_of_it() {
        for (raw, shown) in [
            ("plain", "plain"),
            ("\x1b[1;32mok\x1b[0m done\r\n", "ok done"),
            ("10%\r50%\r100%", "100%"),
            ("long text\rshort\x1b[K", "short"),
            ("echo a\x08\x08\x08\x08\x08\x08echo b", "echo b"),
            ("\x1b]0;title\x07$ ls", "$ ls"),
            ("\x1b]0;never ended", ""),
            ("\x1b[?2004h$ \x1b[?2004l", "$ "),
            ("ab\x1b[3Cc", "ab   c"),
            ("abcdef\x1b[4D\x1b[2P", "abef"),
            ("bell\x07", "bell"),
            ("a\tb", "a       b"),
            ("\x1b[999999999Cx\x1b[1Gy", "y"),
        ] {
            let line = line(raw);
            assert_eq!(line.as_str().trim_end_matches('x').trim_end(), shown.trim_end(), "{raw:?}");
        }
    }

    #[test]
    fn nothing_in_it_moves_a_cursor() {
        for raw in ["\u{9b}2J", "\u{202e}abc", "\x1b\x1b[A", "\u{85}x", "a\x0bb", "\x1bP1$r\x1b\\z"] {
            let line = line(raw);
            assert!(!line.as_str().chars().any(char::is_control), "{raw:?} became {line:?}");
        }
    }
}
