//! Lines that are scrolled sideways or broken, column by column.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;

use super::ansi::{Piece, width};

/// Draws pieces into an area, from the column `left` on. More than one row: broken at the area's width.
/// Returns how many rows were used.
pub fn draw(buf: &mut Buffer, area: Rect, pieces: &[Piece], base: Style, left: usize) -> u16 {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return 0;
    }
    let (mut row, mut column, mut skip) = (0, 0, left);
    for piece in pieces {
        let style = base.patch(piece.style);
        for grapheme in piece.text.as_str().graphemes(true) {
            let columns = width(grapheme);
            if skip > 0 {
                skip = skip.saturating_sub(columns);
                continue;
            }
            let columns = u16::try_from(columns).unwrap_or(u16::MAX);
            if columns == 0 || columns > area.width {
                continue;
            }
            if column + columns > area.width {
                row += 1;
                column = 0;
            }
            if row >= area.height {
                return area.height;
            }
            buf.set_stringn(area.x + column, area.y + row, grapheme, usize::from(columns), style);
            column += columns;
        }
    }
    row + 1
}

/// Cuts a text to so many columns, with a sign where something is missing.
#[must_use]
pub fn fit(text: &str, columns: usize, ellipsis: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(width(ellipsis));
    let mut kept = String::new();
    for grapheme in text.graphemes(true) {
        let columns = width(grapheme);
        if columns > left {
            break;
        }
        left -= columns;
        kept.push_str(grapheme);
    }
    if columns >= width(ellipsis) {
        kept.push_str(ellipsis);
    }
    kept
}

/// The same, filled up with spaces.
#[must_use]
pub fn column(text: &str, columns: usize, ellipsis: &str) -> String {
    let mut text = fit(text, columns, ellipsis);
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&text))));
    text
}

/// Breaks a text at spaces, and inside words that are too long.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_word_bounds() {
        let line_width = lines.last().map_or(0, |line| width(line));
        if line_width + width(word) <= columns {
            if let Some(line) = lines.last_mut() {
                line.push_str(word);
            }
            continue;
        }
        if word.trim().is_empty() {
            lines.push(String::new());
            continue;
        }
        if line_width > 0 {
            lines.push(String::new());
        }
        for grapheme in word.graphemes(true) {
            if lines.last().map_or(0, |line| width(line)) + width(grapheme) > columns {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(grapheme);
            }
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    if lines.len() > 1 {
        lines.retain(|line| !line.is_empty());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_filled_by_columns() {
        assert_eq!(fit("abcdef", 4, "…"), "abc…");
        assert_eq!(fit("漢字漢字", 4, "…"), "漢…");
        assert_eq!(fit("abc", 0, "…"), "");
        assert_eq!(column("漢", 4, "…"), "漢  ");
    }

    #[test]
    fn texts_are_broken_at_spaces() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("漢字漢", 0).len(), 3);
    }
}
