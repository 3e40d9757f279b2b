//! Lines that are scrolled sideways or broken, column by column.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;

use super::ansi::{Piece, width};
use crate::terminal::safe::Safe;

/// Which part of a line is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    /// The first column.
    pub left: usize,
    /// Broken at the area's width instead of cut.
    pub wrap: bool,
    /// Rows of a broken line that lie above the area.
    pub above: usize,
}

/// Draws pieces into an area. Returns how many rows were used.
pub fn draw(buf: &mut Buffer, area: Rect, pieces: &[Piece], base: Style, part: Part) -> u16 {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return 0;
    }
    let columns = if part.wrap { usize::from(area.width) } else { part.left + usize::from(area.width) };
    let left = if part.wrap { 0 } else { part.left };
    let mut used = 0;
    walk(pieces, columns, left, |place, columns, grapheme, style| {
        if !part.wrap && place.0 > 0 {
            return false;
        }
        let (row, column) = (place.0.saturating_sub(part.above), place.1 - left);
        if row >= usize::from(area.height) {
            return false;
        }
        if place.0 >= part.above {
            let (Ok(row), Ok(column)) = (u16::try_from(row), u16::try_from(column)) else { return false };
            buf.set_stringn(area.x + column, area.y + row, grapheme, columns, base.patch(style));
            used = row;
        }
        true
    });
    used + 1
}

/// How many rows pieces take when they are broken at so many columns.
#[must_use]
pub fn rows(pieces: &[Piece], columns: usize) -> usize {
    let columns = columns.max(1);
    if pieces.iter().all(|piece| piece.text.as_str().is_ascii()) {
        let length: usize = pieces.iter().map(|piece| piece.text.as_str().len()).sum();
        return length.div_ceil(columns).max(1);
    }
    let mut last = 0;
    walk(pieces, columns, 0, |place, _, _, _| {
        last = place.0;
        true
    });
    last + 1
}

/// Goes through what is drawn, from the column `left` of the first row on: its place, its columns, itself, its style.
/// Stops when told so.
fn walk(
    pieces: &[Piece],
    columns: usize,
    left: usize,
    mut see: impl FnMut((usize, usize), usize, &str, Style) -> bool,
) {
    let (mut row, mut column) = (0, 0);
    for piece in pieces {
        let text = piece.text.as_str();
        let plain = text.is_ascii();
        // Far to the right of a long line, most of it is passed over.
        let skipped = if plain && row == 0 { left.saturating_sub(column).min(text.len()) } else { 0 };
        column += skipped;
        let text = text.get(skipped..).unwrap_or_default();
        for grapheme in text.graphemes(true) {
            let wide = if plain { 1 } else { width(grapheme) };
            if wide == 0 || wide > columns {
                continue;
            }
            if column + wide > columns {
                row += 1;
                column = 0;
            }
            // One that is cut by the left edge leaves a gap.
            if (row > 0 || column >= left) && !see((row, column), wide, grapheme, piece.style) {
                return;
            }
            column += wide;
        }
    }
}

/// Lays a style over parts of the text, given in bytes of the whole.
#[must_use]
pub fn highlight(pieces: &[Piece], places: &[(usize, usize)], style: Style) -> Vec<Piece> {
    let mut found = Vec::with_capacity(pieces.len() + places.len() * 2);
    let mut begin = 0;
    for piece in pieces {
        let text = piece.text.as_str();
        let mut cuts = vec![0, text.len()];
        for (from, to) in places {
            cuts.extend([*from, *to].iter().filter(|at| (begin..begin + text.len()).contains(at)).map(|at| at - begin));
        }
        cuts.sort_unstable();
        cuts.dedup();
        for pair in cuts.windows(2) {
            let [from, to] = *pair else { continue };
            let Some(part) = text.get(from..to).filter(|part| !part.is_empty()) else { continue };
            let inside = places.iter().any(|(begins, ends)| *begins <= begin + from && begin + from < *ends);
            let own = if inside { piece.style.patch(style) } else { piece.style };
            found.push(Piece { style: own, ..Piece::new(Safe::new(part), piece.scope) });
        }
        begin += text.len();
    }
    found
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
    // A comma stays with its word.
    for word in words(text) {
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

/// What stands between blanks, and the blanks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let blank = rest.chars().next()?.is_whitespace();
        let end = rest.find(|c: char| c.is_whitespace() != blank).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_filled_by_columns() {
        assert_eq!(fit("abcdef", 4, "…"), "abc…");
        assert_eq!(fit("漢字漢字", 4, "…"), "漢…");
        assert_eq!(fit("abc", 0, "…"), "");
        assert_eq!(wrap("another container, not mine", 17), ["another", "container, not", "mine"]);
        assert_eq!(column("漢", 4, "…"), "漢  ");
    }

    fn line(text: &str) -> Vec<Piece> {
        vec![Piece::new(Safe::new(text), "")]
    }

    fn drawn(text: &str, columns: u16, part: Part) -> Vec<String> {
        let area = Rect::new(0, 0, columns, 3);
        let mut buf = Buffer::empty(area);
        draw(&mut buf, area, &line(text), Style::default(), part);
        let row = |y| (0..columns).map(|x| buf[(x, y)].symbol().to_owned()).collect::<String>().trim_end().to_owned();
        (0..3).map(row).collect()
    }

    #[test]
    fn lines_are_cut_or_broken_without_losing_a_character() {
        let wrap = Part { wrap: true, ..Part::default() };
        assert_eq!(drawn("abcdefgh", 3, Part::default()), ["abc", "", ""]);
        assert_eq!(drawn("abcdefgh", 3, Part { left: 4, ..Part::default() }), ["efg", "", ""]);
        assert_eq!(drawn("abcdefgh", 3, wrap), ["abc", "def", "gh"]);
        assert_eq!(drawn("abcdefghijkl", 3, Part { above: 2, ..wrap }), ["ghi", "jkl", ""]);
        assert_eq!(drawn("漢字漢", 3, wrap), ["漢 ", "字 ", "漢 "].map(str::trim_end));
        assert_eq!((rows(&line("漢字漢"), 3), rows(&line("abcdefg"), 3), rows(&line(""), 3)), (3, 3, 1));
        let long = "x".repeat(60_000) + "end";
        assert_eq!(drawn(&long, 4, Part { left: 59_999, ..Part::default() }), ["xend", "", ""]);
    }

    #[test]
    fn parts_of_a_line_are_highlighted() {
        let bold = Style::new().bold();
        let pieces = [line("abc"), line("def")].concat();
        let found = highlight(&pieces, &[(1, 4)], bold);
        let told: Vec<(&str, bool)> = found.iter().map(|p| (p.text.as_str(), p.style == bold)).collect();
        assert_eq!(told, [("a", false), ("bc", true), ("d", true), ("ef", false)]);
    }

    #[test]
    fn texts_are_broken_at_spaces() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("漢字漢", 0).len(), 3);
    }
}
