//! Output of programs as plain lines: control sequences out, the rest made harmless.

use bytes::Bytes;

use crate::terminal::plain::line;
use crate::terminal::safe::Safe;

/// A line that does not end is given out in parts of this size.
const PART: usize = 8 << 10;

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
            out.push_str(self::line(&String::from_utf8_lossy(&line)).as_str());
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
        line(&String::from_utf8_lossy(&held)).into_string()
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
            assert_eq!(line(text).as_str(), plain, "{text:?}");
        }
    }

    #[test]
    fn no_control_character_gets_through() {
        for first in 0..=0x9f_u8 {
            for second in [b'[', b']', b'(', b'A', 0x1b, 0x07, b'\r'] {
                let text: String = [char::from(first), char::from(second), 'x', 'y'].iter().collect();
                assert!(!line(&text).as_str().chars().any(char::is_control), "{text:?}");
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
