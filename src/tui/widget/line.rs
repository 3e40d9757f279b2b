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
    let first = if part.wrap { (part.above, 0) } else { (0, part.left) };
    let mut used = 0;
    walk(pieces, columns, first, |place, columns, character, style| {
        if !part.wrap && place.0 > 0 {
            return false;
        }
        let (row, column) = (place.0 - first.0, place.1 - first.1);
        if row >= usize::from(area.height) {
            return false;
        }
        let (Ok(row), Ok(column)) = (u16::try_from(row), u16::try_from(column)) else { return false };
        buf.set_stringn(area.x + column, area.y + row, character, columns, base.patch(style));
        used = row;
        true
    });
    used + 1
}

/// How many rows pieces take when they are broken at so many columns.
#[must_use]
pub fn rows(pieces: &[Piece], columns: usize) -> usize {
    let columns = columns.max(1);
    let mut pen = Pen { columns, row: 0, column: 0 };
    for piece in pieces {
        let text = piece.text.as_str();
        if text.is_ascii() {
            pen.pass(text.len());
            continue;
        }
        for (_, wide) in cells(text) {
            pen.put(wide);
        }
    }
    pen.row + 1
}

/// Where the next character goes.
struct Pen {
    columns: usize,
    row: usize,
    column: usize,
}

impl Pen {
    /// Puts a character; where it stands. `None`: nowhere.
    const fn put(&mut self, wide: usize) -> Option<(usize, usize)> {
        if wide == 0 || wide > self.columns {
            return None;
        }
        if self.column + wide > self.columns {
            self.row += 1;
            self.column = 0;
        }
        let place = (self.row, self.column);
        self.column += wide;
        Some(place)
    }

    /// Puts so many characters of one column.
    const fn pass(&mut self, count: usize) {
        if count > 0 {
            // The last one has a place; the one after it begins a row only when it comes.
            let last = self.column + count - 1;
            self.row += last / self.columns;
            self.column = last % self.columns + 1;
        }
    }

    /// How many characters of one column have their place before this one.
    const fn before(&self, (row, column): (usize, usize)) -> usize {
        (row * self.columns + column).saturating_sub(self.row * self.columns + self.column)
    }
}

/// Goes through what is drawn, from the place `first` on: its place, its columns, itself, its style. Stops when told so.
fn walk(
    pieces: &[Piece],
    columns: usize,
    first: (usize, usize),
    mut see: impl FnMut((usize, usize), usize, &str, Style) -> bool,
) {
    let mut pen = Pen { columns, row: 0, column: 0 };
    for piece in pieces {
        let text = piece.text.as_str();
        // Far within a long line, most of it is passed over.
        let passed = if text.is_ascii() { pen.before(first).min(text.len()) } else { 0 };
        pen.pass(passed);
        for (character, wide) in cells(text.get(passed..).unwrap_or_default()) {
            // One that is cut by the left edge leaves a gap.
            let place = pen.put(wide).filter(|place| *place >= first);
            if place.is_some_and(|place| !see(place, wide, character, piece.style)) {
                return;
            }
        }
    }
}

/// What is drawn of a text, character by character, and the columns of each.
fn cells(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.chars();
        let first = chars.next()?;
        let before = rest.len() - chars.as_str().len();
        let (length, wide) = match alone(first) {
            // What stands between two such characters is always the end of one and the beginning of the other.
            Some(wide) if chars.next().is_none_or(|next| alone(next).is_some()) => (before, wide),
            _ => {
                let grapheme = rest.graphemes(true).next()?;
                (grapheme.len(), width(grapheme))
            }
        };
        let (cell, after) = rest.split_at_checked(length)?;
        rest = after;
        Some((cell, wide))
    })
}

/// The columns of a character that never joins one of its kind: those that most texts are made of.
const fn alone(character: char) -> Option<usize> {
    match character {
        ' '..='~' | '\u{c0}'..='\u{24f}' | 'Α'..='Ω' | 'α'..='ω' | 'А'..='я' | '─'..='▟' => Some(1),
        'ぁ'..='ゖ' | 'ァ'..='ヺ' | '一'..='\u{9fff}' | '가'..='힣' => Some(2),
        _ => None,
    }
}

/// Lays a style over parts of the text, given in bytes of the whole, the first one first.
#[must_use]
pub fn highlight(pieces: &[Piece], places: &[(usize, usize)], style: Style) -> Vec<Piece> {
    let mut found = Vec::with_capacity(pieces.len() + places.len() * 2);
    let mut places = places.iter().copied().peekable();
    let mut begin = 0;
    for piece in pieces {
        let text = piece.text.as_str();
        let end = begin + text.len();
        let mut at = begin;
        while at < end {
            while places.next_if(|(_, to)| *to <= at).is_some() {}
            let (inside, until) = match places.peek() {
                Some((from, to)) if *from <= at => (true, end.min(*to)),
                Some((from, _)) => (false, end.min(*from)),
                None => (false, end),
            };
            if let Some(part) = text.get(at - begin..until - begin) {
                let own = if inside { piece.style.patch(style) } else { piece.style };
                found.push(Piece { style: own, ..Piece::new(Safe::new(part), piece.scope) });
            }
            at = until;
        }
        begin = end;
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

    /// What is quick for most texts is the same as what is right for all.
    #[test]
    fn characters_that_stand_alone_are_those_of_the_standard() {
        let all = || ('\0'..=char::MAX).filter(|c| alone(*c).is_some());
        assert!(all().count() > 30_000);
        let wrong = all().find(|c| alone(*c) != Some(width(&c.to_string())));
        assert_eq!(wrong, None, "its columns");
        let kinds = ['a', ' ', 'é', 'Ω', 'я', '│', 'あ', 'ア', '漢', '가', '각'];
        for c in all() {
            let text: String = kinds.iter().flat_map(|kind| [c, *kind]).collect();
            assert_eq!(text.graphemes(true).count(), kinds.len() * 2, "{c:?} joins another: {text}");
        }
        let joined = "e\u{301}漢\u{fe0f}👩\u{200d}🚀x🇩🇪🇫🇷각\u{11a8}\u{301}y\u{1f3fd}क\u{94d}ष";
        let slow: Vec<(&str, usize)> = joined.graphemes(true).map(|grapheme| (grapheme, width(grapheme))).collect();
        assert_eq!(cells(joined).collect::<Vec<_>>(), slow);
    }

    #[test]
    fn rows_are_as_many_as_are_drawn() {
        let long = "a漢b".repeat(40) + &"plain ".repeat(30);
        for (text, columns) in [(long.as_str(), 7), (long.as_str(), 2), (long.as_str(), 1), ("", 3), ("漢", 1)] {
            let pieces = [line("ab"), line(text), line("cd"), line(text)].concat();
            let mut last = 0;
            walk(&pieces, columns, (0, 0), |place, _, _, _| {
                last = place.0;
                true
            });
            assert_eq!(rows(&pieces, columns), last + 1, "{text} at {columns}");
            let mut seen = Vec::new();
            walk(&pieces, columns, (last / 2, 0), |place, _, character, _| {
                seen.push((place, character.to_owned()));
                true
            });
            let mut wanted = Vec::new();
            walk(&pieces, columns, (0, 0), |place, _, character, _| {
                wanted.push((place, character.to_owned()));
                true
            });
            wanted.retain(|(place, _)| place.0 >= last / 2);
            assert_eq!(seen, wanted, "{text} at {columns}");
        }
    }

    #[test]
    fn parts_of_a_line_are_highlighted() {
        let bold = Style::new().bold();
        let pieces = [line("abc"), line("def")].concat();
        let found = highlight(&pieces, &[(1, 4)], bold);
        let told: Vec<(&str, bool)> = found.iter().map(|p| (p.text.as_str(), p.style == bold)).collect();
        assert_eq!(told, [("a", false), ("bc", true), ("d", true), ("ef", false)]);
        let found = highlight(&pieces, &[(0, 1), (2, 2), (2, 3), (5, 9)], bold);
        let told: Vec<(&str, bool)> = found.iter().map(|p| (p.text.as_str(), p.style == bold)).collect();
        assert_eq!(told, [("a", true), ("b", false), ("c", true), ("de", false), ("f", true)]);
    }

    #[test]
    fn texts_are_broken_at_spaces() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("漢字漢", 0).len(), 3);
    }
}
