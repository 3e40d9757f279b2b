//! Output that is put aside undrawn while nobody looks. Of a flood of plain lines most would leave the scrollback before
//! anybody saw them: they are never drawn.

use memchr::{memchr_iter, memrchr_iter};

use super::drawn::Drawn;
use super::modes::Tracked;
use crate::bay::session::TermSize;

/// Colours and attributes that are kept of what is passed over; a program that sets more and never none is drawn whole.
const MAX_PEN: usize = 1024;
/// Drawn at once: what a failure of the library that draws may cost.
const AT_ONCE: usize = 4096;

/// What is not drawn yet.
#[derive(Debug, Default)]
pub(super) struct Aside {
    bytes: Vec<u8>,
    /// Lines were passed over before `bytes`: the cursor stands at the beginning of the lowest row then, and these
    /// sequences were in force.
    passed: Option<Vec<u8>>,
}

impl Aside {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.passed.is_none()
    }

    /// Passes over the lines that have left the scrollback by now; `false`: it can't be told that they have, or there are
    /// few. The rows that scroll must be all of the screen's.
    pub fn pass_over(&mut self, size: TermSize, scrollback: usize) -> bool {
        let rows = usize::from(size.rows);
        let Some(last) = memrchr_iter(b'\n', &self.bytes).nth(rows + scrollback) else { return false };
        // From the line's end on, so that the row scrolls as it did.
        let Some(cut) = last.checked_sub(1).filter(|at| self.bytes.get(*at) == Some(&b'\r')) else { return false };
        let gone = self.bytes.get(..cut).unwrap_or_default();
        // As many as bring the cursor to the lowest row, wherever it was.
        if cut < self.bytes.len() / 4 || memchr_iter(b'\n', gone).count() < rows {
            return false;
        }
        let mut pen = self.passed.clone().unwrap_or_default();
        // What is kept pushes out all that was there before.
        let kept = self.bytes.get(cut..).unwrap_or_default();
        if !only_goes_down(gone, &mut pen) || !only_goes_down(kept, &mut Vec::new()) {
            return false;
        }
        self.passed = Some(pen);
        self.bytes.drain(..cut);
        true
    }

    pub fn draw_on(&self, drawn: &mut Drawn, tracked: &Tracked) {
        self.draw_by(AT_ONCE, drawn, tracked);
    }

    /// The same one byte at a time, so that a failure costs no more than that.
    pub fn draw_slowly_on(&self, drawn: &mut Drawn, tracked: &Tracked) {
        self.draw_by(1, drawn, tracked);
    }

    fn draw_by(&self, count: usize, drawn: &mut Drawn, tracked: &Tracked) {
        if let Some(pen) = &self.passed {
            let lowest = format!("\x1b[{};1H", drawn.size().rows);
            drawn.draw(lowest.as_bytes(), tracked);
            drawn.draw(pen, tracked);
        }
        self.bytes.chunks(count).for_each(|piece| drawn.draw(piece, tracked));
    }
}

/// Whether filtered output is lines and nothing that could go up, reach what is above, or be remembered beyond them, but
/// for colours: those in force at the end are put to what is in `pen`.
fn only_goes_down(bytes: &[u8], pen: &mut Vec<u8>) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        let Some([0x1b, b'[', after @ ..]) = rest.get(at..) else { return false };
        let Some(length) = after.iter().position(|byte| !matches!(byte, b'0'..=b';')) else { return false };
        let (numbers, last) = (after.get(..length).unwrap_or_default(), after.get(length));
        match last {
            Some(b'm') => {
                if matches!(numbers, [] | [b'0'] | [b'0', b';', ..]) {
                    pen.clear();
                }
                pen.extend_from_slice(b"\x1b[");
                pen.extend_from_slice(numbers);
                pen.push(b'm');
                if pen.len() > MAX_PEN {
                    return false;
                }
            }
            Some(b'K') => {}
            _ => return false,
        }
        rest = after.get(length + 1..).unwrap_or_default();
    }
    true
}

/// Text, and what moves inside of a line or to the next one.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | 0x80.. | 0x07..=0x0a | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: TermSize = TermSize { rows: 3, cols: 20 };

    fn aside(bytes: &str) -> Aside {
        let mut aside = Aside::default();
        aside.push(bytes.as_bytes());
        aside
    }

    #[test]
    fn lines_that_nobody_will_see_are_passed_over_with_their_colours_kept() {
        let mut lines = aside(&"\x1b[31mold\x1b[0m\x1b[1m\x1b[K x\u{e9}\r\n".repeat(40));
        assert!(lines.pass_over(SIZE, 5));
        assert_eq!(lines.passed.as_deref(), Some(b"\x1b[0m\x1b[1m".as_slice()));
        assert_eq!(
            memchr_iter(b'\n', &lines.bytes).count(),
            9,
            "the screen's, the scrollback's, and the first one's end"
        );
        assert!(lines.bytes.starts_with(b"\r\n\x1b[31mold"));
        // Once more, after more of them.
        lines.push("more\r\n".repeat(40).as_bytes());
        assert!(lines.pass_over(SIZE, 5));
        assert_eq!(lines.passed.as_deref(), Some(b"\x1b[0m\x1b[1m".as_slice()), "it is still in force");
    }

    #[test]
    fn what_goes_up_or_is_remembered_is_not_passed_over() {
        for odd in ["\x1b[A", "\x1b7", "\x1b[2;3r", "\x1b[?1049h", "\x1bM", "\x1b[2J", "\x1b[H", "\x1b[?25l", "\x1b["] {
            let mut lines = aside(&format!("{odd}{}", "line\r\n".repeat(40)));
            assert!(!lines.pass_over(SIZE, 5), "{odd:?}");
        }
        let mut lines = aside(&format!("{}\x1b[Htop\r\n", "line\r\n".repeat(40)));
        assert!(!lines.pass_over(SIZE, 5), "what is above stays");
        assert!(!aside(&"line\r\n".repeat(9)).pass_over(SIZE, 5), "all of it can be seen");
        assert!(!aside(&"line\n".repeat(40)).pass_over(SIZE, 5), "a column is not known");
        assert!(!aside(&"x".repeat(400)).pass_over(SIZE, 5));
        assert!(!aside(&format!("{}{}", "\x1b[1m".repeat(400), "line\r\n".repeat(900))).pass_over(SIZE, 5));
    }
}
