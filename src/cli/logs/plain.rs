//! Output of programs as plain lines: control sequences out, the rest made harmless.

use std::iter::Peekable;
use std::str::Chars;

use bytes::Bytes;

use crate::terminal::safe::Safe;

/// A line that does not end is given out in parts of this size.
const PART: usize = 8 << 10;

/// One line as a terminal would show it at the end: without control sequences, and what a carriage return overwrote is
/// gone.
pub fn line(text: &str) -> String {
    let stripped = strip(text);
    let last = stripped.trim_end_matches(['\r', '\n']).rsplit('\r').find(|part| !part.is_empty());
    Safe::new(last.unwrap_or_default()).to_string()
}

/// Without escape sequences: CSI, control strings up to their end, and the short ones. What is never ended takes the rest
/// of the line with it.
fn strip(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '\x1b' => escape(&mut chars),
            '\u{9b}' => csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => control_string(&mut chars),
            other => plain.push(other),
        }
    }
    plain
}

fn escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.next() {
        Some('[') => csi(chars),
        Some(']' | 'P' | 'X' | '^' | '_') => control_string(chars),
        // Intermediate bytes of the short sequences: charset selection and the like.
        Some(' '..='/') => {
            while chars.next_if(|next| (' '..='/').contains(next)).is_some() {}
            chars.next_if(|next| ('0'..='~').contains(next));
        }
        _ => {}
    }
}

fn csi(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|next| (' '..='?').contains(next)).is_some() {}
    chars.next_if(|next| ('@'..='~').contains(next));
}

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

/// A stream of output on its way to stdout or stderr: as it is for a file or a pipe, plain lines for a terminal.
pub struct Stream {
    to_terminal: bool,
    held: Vec<u8>,
}

impl Stream {
    /// A stream; nothing is changed unless it goes to a terminal.
    pub fn for_terminal(to_terminal: bool) -> Self {
        Self { to_terminal, held: Vec::new() }
    }

    /// Takes a portion, gives what can be written.
    pub fn take(&mut self, bytes: Bytes) -> Bytes {
        if !self.to_terminal {
            return bytes;
        }
        self.held.extend_from_slice(&bytes);
        let mut out = String::new();
        while let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.held.drain(..=end).collect();
            out.push_str(&self::line(&String::from_utf8_lossy(&line)));
            out.push('\n');
        }
        // A prompt has no newline: it is shown at once when there is nothing in it that had to wait for more.
        let harmless = std::str::from_utf8(&self.held).is_ok_and(|text| Safe::new(text).as_str() == text);
        if harmless || self.held.len() > PART {
            out.push_str(&self.held_line());
        }
        out.into()
    }

    /// What is left at the end.
    pub fn rest(&mut self) -> Bytes {
        self.held_line().into()
    }

    fn held_line(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        self::line(&String::from_utf8_lossy(&held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_gone_and_text_stays() {
        let table = [
            ("\x1b[1;31mred\x1b[0m text", "red text"),
            ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
            ("a\x1bP1$qm\x1b\\b\x1b_x\x1b\\c", "abc"),
            ("\x1b(Ba\x1b#8b\x1b7c\x1b=d", "abcd"),
            ("\u{9b}2Ja\u{9d}52;c;x\u{9c}b", "ab"),
            ("10%\r20%\r30%\r", "30%"),
            ("crlf\r\n", "crlf"),
            ("a\x1b]never ended", "a"),
            ("a\x1b[", "a"),
            ("a\x1b", "a"),
            ("\u{e9}\u{72d0}", "\u{e9}\u{72d0}"),
        ];
        for (text, plain) in table {
            assert_eq!(line(text), plain, "{text:?}");
        }
    }

    #[test]
    fn no_control_character_gets_through() {
        for first in 0..=0x9f_u8 {
            for second in [b'[', b']', b'(', b'A', 0x1b, 0x07, b'\r'] {
                let text: String = [char::from(first), char::from(second), 'x', 'y'].iter().collect();
                assert!(!line(&text).chars().any(char::is_control), "{text:?}");
            }
        }
    }

    #[test]
    fn a_stream_to_a_terminal_is_plain_in_any_portions() {
        let text = "one\x1b[31m\nt\u{e9}o\x1b]0;x\x07\n$ ".as_bytes();
        for size in 1..=text.len() {
            let mut stream = Stream::for_terminal(true);
            let mut out = Vec::new();
            for portion in text.chunks(size) {
                out.extend_from_slice(&stream.take(Bytes::copy_from_slice(portion)));
            }
            assert_eq!(String::from_utf8_lossy(&out), "one\nt\u{e9}o\n$ ", "portions of {size}");
            assert!(stream.rest().is_empty());
        }
        let mut pipe = Stream::for_terminal(false);
        assert_eq!(pipe.take(Bytes::from_static(b"\x1b[2J\xff")), Bytes::from_static(b"\x1b[2J\xff"));
    }
}
