//! A log line as pieces of one style: SGR is understood, every other control string is left out.

use ratatui::style::{Color, Modifier, Style};
use unicode_width::UnicodeWidthStr;

use crate::terminal::plain;
use crate::terminal::safe::Safe;

/// Longest line that is kept, in bytes.
const MAX_LINE: usize = 64 << 10;

/// Columns that are read beyond those that are wanted.
const BEYOND: usize = 256;

/// Text of one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its colours and attributes.
    pub style: Style,
    /// The scope of the theme that lies under them; empty: that of the whole line.
    pub scope: &'static str,
    /// Its text.
    pub text: Safe,
}

impl Piece {
    /// Text in the colours of a scope.
    #[must_use]
    pub fn new(text: Safe, scope: &'static str) -> Self {
        Self { style: Style::default(), scope, text }
    }
}

/// Columns that a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Reads a line. Of one that was drawn over itself with carriage returns, the last state is kept.
#[must_use]
pub fn pieces(line: &str) -> Vec<Piece> {
    pieces_within(line, usize::MAX)
}

/// The same, as far as so many columns reach and somewhat further: what begins within them may be looked for as a whole.
#[must_use]
pub fn pieces_within(line: &str, columns: usize) -> Vec<Piece> {
    if line.contains('\u{8}') {
        // A line editor went back and forth: what was left counts, its colours do not.
        return vec![Piece::new(plain::line(line), "")];
    }
    let mut found = Vec::new();
    let mut columns = columns.saturating_add(BEYOND);
    // What takes no columns is bounded, too.
    let mut bytes = columns.saturating_mul(16);
    runs(line, |style, text| {
        let text = head(text, bytes);
        bytes -= text.len();
        let text = Safe::new(text);
        columns = columns.saturating_sub(width(text.as_str()));
        found.push(Piece { style, ..Piece::new(text, "") });
        bytes > 0 && columns > 0
    });
    found
}

/// The text of a line's pieces, put after what is there already.
pub fn write_text(line: &str, out: &mut String) {
    if line.contains('\u{8}') {
        out.push_str(plain::line(line).as_str());
        return;
    }
    runs(line, |_, text| {
        Safe::write(text, out);
        true
    });
}

/// Goes through the texts of a line and the style of each, until told to stop.
fn runs(line: &str, mut see: impl FnMut(Style, &str) -> bool) {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.rsplit_once('\r').map_or(line, |(_, last)| last);
    let shown = head(line, MAX_LINE);
    let mut style = Style::default();
    let mut rest = shown;
    while let Some((text, after)) = memchr::memchr(b'\x1b', rest.as_bytes()).and_then(|at| rest.split_at_checked(at)) {
        let after = after.get(1..).unwrap_or_default();
        if !text.is_empty() && !see(style, text) {
            return;
        }
        rest = control(after, &mut style);
    }
    if !rest.is_empty() && !see(style, rest) {
        return;
    }
    let cut = line.len() - shown.len();
    if cut > 0 {
        see(Style::default().add_modifier(Modifier::REVERSED), &format!(" and {cut} bytes more "));
    }
}

/// A text's first bytes, up to so many, and no half of a character.
fn head(text: &str, most: usize) -> &str {
    let end = if most >= text.len() { text.len() } else { most };
    (0..=end).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Reads what follows an escape; returns what comes after it.
fn control<'a>(text: &'a str, style: &mut Style) -> &'a str {
    let mut chars = text.chars();
    match chars.next() {
        Some('[') => {
            let body = chars.as_str();
            let end = body.bytes().position(|byte| (0x40..=0x7e).contains(&byte) || byte < b' ');
            let Some((numbers, tail)) = end.and_then(|end| body.split_at_checked(end)) else { return "" };
            if let Some(after) = tail.strip_prefix('m') {
                sgr(numbers, style);
                return after;
            }
            let mut tail = tail.chars();
            tail.next();
            tail.as_str()
        }
        // OSC, DCS, APC, PM, SOS: up to BEL or ST, or to the end of the line.
        Some(']' | 'P' | '_' | '^' | 'X') => {
            let body = chars.as_str();
            let bell = body.split_once('\u{7}').map(|(string, after)| (string.len(), after));
            let st = body.split_once("\u{1b}\\").map(|(string, after)| (string.len(), after));
            [bell, st].into_iter().flatten().min_by_key(|(end, _)| *end).map_or("", |(_, after)| after)
        }
        // One character more: a character set is chosen.
        Some('(' | ')' | '*' | '+' | '#' | ' ') => {
            chars.next();
            chars.as_str()
        }
        Some(_) => chars.as_str(),
        None => "",
    }
}

fn sgr(text: &str, style: &mut Style) {
    let mut numbers = text.as_bytes().split(|byte| matches!(byte, b';' | b':')).map(number);
    while let Some(number) = numbers.next() {
        *style = match number {
            0 => Style::default(),
            1 => style.add_modifier(Modifier::BOLD),
            2 => style.add_modifier(Modifier::DIM),
            3 => style.add_modifier(Modifier::ITALIC),
            4 => style.add_modifier(Modifier::UNDERLINED),
            7 => style.add_modifier(Modifier::REVERSED),
            9 => style.add_modifier(Modifier::CROSSED_OUT),
            22 => without(*style, Modifier::BOLD | Modifier::DIM),
            23 => without(*style, Modifier::ITALIC),
            24 => without(*style, Modifier::UNDERLINED),
            27 => without(*style, Modifier::REVERSED),
            29 => without(*style, Modifier::CROSSED_OUT),
            30..=37 => style.fg(indexed(number - 30)),
            90..=97 => style.fg(indexed(number - 82)),
            40..=47 => style.bg(indexed(number - 40)),
            100..=107 => style.bg(indexed(number - 92)),
            39 => Style { fg: None, ..*style },
            49 => Style { bg: None, ..*style },
            38 => extended(&mut numbers).map_or(*style, |colour| style.fg(colour)),
            48 => extended(&mut numbers).map_or(*style, |colour| style.bg(colour)),
            _ => *style,
        };
    }
}

/// A number of a control sequence; one that is none, or too large, is zero.
fn number(digits: &[u8]) -> u16 {
    let next = |number: u16, digit: &u8| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    digits.iter().try_fold(0, next).unwrap_or(0)
}

fn without(style: Style, modifier: Modifier) -> Style {
    Style { add_modifier: style.add_modifier - modifier, ..style }
}

fn indexed(number: u16) -> Color {
    Color::Indexed(u8::try_from(number).unwrap_or(7))
}

fn extended(numbers: &mut impl Iterator<Item = u16>) -> Option<Color> {
    let byte = |number: u16| u8::try_from(number).ok();
    match numbers.next()? {
        5 => byte(numbers.next()?).map(Color::Indexed),
        2 => Some(Color::Rgb(byte(numbers.next()?)?, byte(numbers.next()?)?, byte(numbers.next()?)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> String {
        pieces(line).iter().map(|piece| piece.text.as_str().to_owned()).collect()
    }

    #[test]
    fn colours_are_read_and_other_controls_left_out() {
        let found = pieces("\u{1b}[1;31merror\u{1b}[0m: \u{1b}[38;5;200mx\u{1b}[48;2;1;2;3my");
        let styles: Vec<(Option<Color>, Option<Color>)> = found.iter().map(|p| (p.style.fg, p.style.bg)).collect();
        let last = (Some(Color::Indexed(200)), Some(Color::Rgb(1, 2, 3)));
        assert_eq!(styles, [(Some(Color::Indexed(1)), None), (None, None), (Some(Color::Indexed(200)), None), last]);
        assert_eq!(text("a\u{1b}]0;title\u{7}b\u{1b}]52;c;aGk=\u{1b}\\c\u{1b}[2Jd\u{1b}(0e"), "abcde");
        assert_eq!(text("a\u{1b}]0;never ends"), "a");
        assert_eq!(text("\u{1b}[999999999999m\u{1b}[38;5mx\u{1b}["), "x");
    }

    #[test]
    fn a_progress_bar_shows_its_last_state() {
        assert_eq!(text("10%\r50%\r100%\r"), "100%");
    }

    #[test]
    fn a_line_is_read_as_far_as_it_is_wanted() {
        for letter in ["x", "漢", "\u{1b}[1mx\u{1b}[m", "\u{1b}[1m漢\u{1b}[mx"] {
            let line = letter.repeat(4000);
            let all = text(&line);
            let some: String = pieces_within(&line, 100).iter().map(|piece| piece.text.as_str()).collect();
            assert!(all.starts_with(&some) && width(&some) >= 100 + BEYOND && some.len() < 7000, "{}", some.len());
        }
        // What was drawn over is no part of it, however long it is.
        let over = pieces_within(&format!("{}\rlast", "x".repeat(60_000)), 10);
        assert_eq!(over, pieces("last"));
    }

    #[test]
    fn a_line_of_a_megabyte_is_cut_and_says_so() {
        let line = text(&"é".repeat(1 << 19));
        assert!(line.len() < MAX_LINE + 40 && line.ends_with(" bytes more "), "{}", line.len());
    }
}
