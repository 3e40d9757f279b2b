//! Character sets, and characters that are none for a cell.

/// Which of the two character sets draw lines, and which one is in use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sets {
    pub first_lines: bool,
    pub second_lines: bool,
    pub second: bool,
}

impl Sets {
    pub const fn draws_lines(self) -> bool {
        if self.second { self.second_lines } else { self.first_lines }
    }
}

/// Characters that reorder or hide the text around them.
pub(super) const fn steers_text(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e00ff}')
}

/// The DEC line drawing set.
const LINES: [char; 32] = [
    ' ', '◆', '▒', '␉', '␌', '␍', '␊', '°', '±', '␤', '␋', '┘', '┐', '┌', '└', '┼', '⎺', '⎻', '─', '⎼', '⎽', '├', '┤',
    '┴', '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
];

/// What a byte stands for in it.
pub(super) fn line(byte: u8) -> char {
    let drawn = byte.checked_sub(0x5f).and_then(|i| LINES.get(usize::from(i)));
    drawn.copied().unwrap_or(char::from(byte))
}
