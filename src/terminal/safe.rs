//! Text from outside, made harmless for a terminal.

use std::fmt::{self, Write as _};

use unicode_width::UnicodeWidthChar;

/// Text without control characters, bidi controls, or anything else that moves a cursor or hides itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Safe(String);

/// Columns from one tab stop to the next.
const TAB: usize = 8;

impl Safe {
    /// Control characters and invisible characters are shown escaped (`\u{1b}`, `\n`), tabs become spaces up to the
    /// next tab stop. The selectors U+FE0E and U+FE0F, which only choose how an emoji looks, are left out: terminals do
    /// not agree on the width that they ask for.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut out = String::new();
        Self::write(text, &mut out);
        Self(out)
    }

    /// The same, put after what is there already.
    pub fn write(text: &str, out: &mut String) {
        out.reserve(text.len());
        if Self::is(text) {
            out.push_str(text);
            return;
        }
        let mut column = 0;
        for c in text.chars() {
            match c {
                '\t' => {
                    let gap = TAB - column % TAB;
                    out.extend(std::iter::repeat_n(' ', gap));
                    column += gap;
                }
                '\u{fe0e}' | '\u{fe0f}' => {}
                c if is_harmful(c) => {
                    let shown = c.escape_default();
                    column += shown.len();
                    out.extend(shown);
                }
                c => {
                    column += c.width().unwrap_or(0);
                    out.push(c);
                }
            }
        }
    }

    /// Whether a text is harmless as it is.
    #[must_use]
    pub fn is(text: &str) -> bool {
        text.bytes().all(|b| (0x20..0x7f).contains(&b)) || !text.chars().any(is_harmful)
    }

    /// Harmless text of bytes; what is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::new(&String::from_utf8_lossy(bytes))
    }

    /// Shortened to at most `max` bytes, never inside a character.
    #[must_use]
    pub fn cut(mut self, max: usize) -> Self {
        let end = (0..=max.min(self.0.len())).rev().find(|i| self.0.is_char_boundary(*i)).unwrap_or(0);
        self.0.truncate(end);
        self
    }

    /// The harmless text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The harmless text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Safe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Safe {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// JSON that means the same and holds nothing that steers, reorders or hides: such characters are written as `\uXXXX`.
/// Outside of strings JSON has none but the newlines between its parts, inside of them those are escaped already.
#[must_use]
pub fn json(json: String) -> String {
    if is_plain(&json) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_harmful(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Whether a text, but for its newlines, is what [`Safe`] would make of it: it neither steers, reorders nor hides.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c != '\n' && is_harmful(c))
}

/// Characters that steer, reorder or hide text: Unicode's categories Cc, Cf, Zl, Zp, and what is drawn as nothing.
/// Whole blocks are taken where a block is set aside for such characters, so that those not assigned yet are in.
#[must_use]
pub const fn is_harmful(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'   // C0, DEL, C1
        | '\u{ad}'                              // soft hyphen
        | '\u{34f}'                             // combining grapheme joiner
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'               // zero-width, direction marks
        | '\u{2028}'..='\u{202e}'               // line and paragraph separators, embeddings, overrides
        | '\u{2060}'..='\u{206f}'               // joiners, invisible operators, isolates
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bcaf}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'             // tags, variation selectors, and what is kept for more of them
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_would_act_or_hide() {
        for (text, shown) in [
            ("plain", "plain"),
            ("grün 好 é", "grün 好 é"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\nb\r", "a\\nb\\r"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{e0041}", "\\u{e0041}"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("⚠\u{fe0f}!", "⚠!"),
            ("a\tb", "a       b"),
            ("好\t|", "好      |"),
            ("\u{7f}\0", "\\u{7f}\\u{0}"),
        ] {
            assert_eq!(Safe::new(text).as_str(), shown, "{text:?}");
        }
    }

    #[test]
    fn json_means_the_same_and_is_plain() {
        for text in
            ["\u{9b}2J", "a\u{202e}b\u{2066}", "\u{e0041}", "\u{7f}\u{200b}\u{fe0f}", "\u{1b}[0m\n", "好 é \"x\""]
        {
            let value = serde_json::json!({ text: [text] });
            let written = json(serde_json::to_string_pretty(&value).unwrap());
            assert!(is_plain(&written), "{written:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
        }
        assert!(!is_plain("a\u{2066}") && !is_plain("\u{e0041}") && !is_plain("\r") && is_plain("a\n好"));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(Safe::from_bytes(b"a\x9b2J\xffz").as_str(), "a\u{fffd}2J\u{fffd}z");
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(Safe::new("a好b").cut(3).as_str(), "a");
        assert_eq!(Safe::new("a好b").cut(4).as_str(), "a好");
        assert_eq!(Safe::new("ab").cut(0).as_str(), "");
    }
}
