//! A line as it is shown: its colours, the word that tells its level, and JSON folded to level, message and fields.

use std::borrow::Cow;
use std::fmt::Write as _;

use ratatui::style::Style;

use super::super::super::widget::ansi::{self, Piece};
use super::json::{Fields, Value};
use crate::terminal::safe::Safe;

/// Longest line that is read as JSON.
const MAX_JSON: usize = 16 << 10;
/// Words of a level are looked for so far into the line.
const LEVEL_WITHIN: usize = 120;

/// The keys of JSON loggers: bunyan, pino, zap, zerolog, slog, logrus, tracing, structlog, winston, ECS.
const LEVELS: &[&str] = &["level", "lvl", "severity", "log.level", "levelname"];
const MESSAGES: &[&str] = &["msg", "message", "event", "body"];
const TIMES: &[&str] = &["time", "ts", "timestamp", "@timestamp", "t"];

/// The scope of a word that is a level.
#[must_use]
pub fn level_scope(word: &str) -> Option<&'static str> {
    let mut lower = [0; 9];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"error" | b"err" | b"fatal" | b"panic" | b"critical" | b"crit" | b"emerg" | b"alert" => "log.level.error",
        b"warn" | b"warning" => "log.level.warn",
        b"info" | b"notice" => "log.level.info",
        b"debug" => "log.level.debug",
        b"trace" => "log.level.trace",
        _ => return None,
    })
}

/// The pieces of a line, as far as so many columns reach.
#[must_use]
pub fn pieces(text: &str, fold: bool, columns: usize) -> Vec<Piece> {
    if fold && let Some(folded) = Folded::read(text) {
        return folded.pieces();
    }
    let mut pieces = ansi::pieces_within(text, columns);
    // A line that has its own colours keeps them.
    if pieces.iter().all(|piece| piece.style == Style::default()) {
        colour_level(&mut pieces);
    }
    pieces
}

/// Gives the word that tells the level its colour.
fn colour_level(pieces: &mut Vec<Piece>) {
    let Some(first) = pieces.first() else { return };
    let text = first.text.as_str();
    let Some((begin, end, scope)) = level_at(text) else { return };
    let part = |range: std::ops::Range<usize>| Safe::new(text.get(range).unwrap_or_default());
    let split = [(part(0..begin), ""), (part(begin..end), scope), (part(end..text.len()), "")];
    let split = split.into_iter().filter(|(text, _)| !text.as_str().is_empty());
    let split: Vec<Piece> = split.map(|(text, scope)| Piece::new(text, scope)).collect();
    pieces.splice(0..1, split);
}

/// Where a level stands: a word in capitals, or one that is marked as a level by what stands around it.
fn level_at(text: &str) -> Option<(usize, usize, &'static str)> {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..LEVEL_WITHIN).unwrap_or(bytes);
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let (begin, end) = (at, at + length);
        at = end;
        let word = text.get(begin..end)?;
        let Some(scope) = (3..=8).contains(&length).then(|| level_scope(word)).flatten() else { continue };
        let before = begin.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(end);
        let alone = !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/'))
            && !after.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/'));
        let capitals = word.bytes().all(|byte| byte.is_ascii_uppercase());
        let marked = matches!(before, Some(b'[' | b'=' | b'<' | b'"')) || matches!(after, Some(b':' | b']'));
        if alone && (capitals || marked) {
            return Some((begin, end, scope));
        }
    }
    None
}

/// Whether a line may be JSON that is folded.
#[must_use]
pub fn may_fold(text: &str) -> bool {
    let text = text.trim();
    text.len() <= MAX_JSON && text.starts_with('{') && text.ends_with('}')
}

/// Puts a line of JSON as it is read when it is folded after what is there already. `false`: it is none.
#[must_use]
pub fn write_folded(text: &str, out: &mut String) -> bool {
    let Some(folded) = Folded::read(text) else { return false };
    let begin = out.len();
    folded.write_level(out);
    out.push_str(&folded.message());
    folded.write_rest(out);
    if !out.get(begin..).is_some_and(Safe::is) {
        out.truncate(begin);
        out.extend(folded.pieces().iter().map(|piece| piece.text.as_str()));
    }
    true
}

/// A line of JSON as level, message and fields.
struct Folded<'a> {
    fields: Fields<'a>,
    level: Option<&'static str>,
    message: Option<&'static str>,
}

impl<'a> Folded<'a> {
    /// `None`: it is none.
    fn read(text: &'a str) -> Option<Self> {
        let fields = Some(text.trim()).filter(|text| may_fold(text)).and_then(Fields::read)?;
        let find = |names: &'static [&'static str]| names.iter().copied().find(|name| fields.get(name).is_some());
        let (level, message) = (find(LEVELS), find(MESSAGES));
        (level.is_some() || message.is_some()).then_some(Self { fields, level, message })
    }

    fn pieces(&self) -> Vec<Piece> {
        let (mut level, mut rest) = (String::new(), String::new());
        let scope = self.write_level(&mut level);
        self.write_rest(&mut rest);
        let message = self.message.map(|_| Piece::new(Safe::new(&self.message()), ""));
        let level = scope.map(|scope| Piece::new(Safe::new(&level), scope));
        level.into_iter().chain(message).chain([Piece::new(Safe::new(&rest), "log.field")]).collect()
    }

    /// The word that tells the level, if there is one; its scope.
    fn write_level(&self, out: &mut String) -> Option<&'static str> {
        let word = level_word(self.fields.get(self.level?)?);
        // Writing to a String can't fail.
        let _ = write!(out, "{word:<5} ");
        Some(level_scope(&word).unwrap_or("log.field"))
    }

    fn message(&self) -> Cow<'_, str> {
        self.message.and_then(|key| self.fields.get(key)).map(Value::plain).unwrap_or_default()
    }

    fn write_rest(&self, out: &mut String) {
        let told = |key: &str| Some(key) == self.level || Some(key) == self.message || TIMES.contains(&key);
        for (key, value) in self.fields.iter().filter(|(key, _)| !told(key)) {
            out.push(' ');
            out.push_str(key);
            out.push('=');
            out.push_str(&value.plain());
        }
    }
}

/// Levels as numbers: from this one on it is that word. Bunyan and pino write them.
const NUMBERED: [(u64, &str); 6] =
    [(60, "FATAL"), (50, "ERROR"), (40, "WARN"), (30, "INFO"), (20, "DEBUG"), (0, "TRACE")];

/// A level as a word.
fn level_word<'a>(value: &'a Value<'_>) -> Cow<'a, str> {
    let number = if let Value::Number(number) = value { number.as_u64() } else { None };
    let named = number.and_then(|number| NUMBERED.iter().find(|(from, _)| number >= *from));
    named.map_or_else(|| Cow::Owned(value.plain().to_uppercase()), |(_, word)| Cow::Borrowed(*word))
}

/// Whether some letters are in a word that a folded line may say where it has a number.
#[must_use]
pub fn is_in_level(letters: &str) -> bool {
    let letters = letters.to_ascii_uppercase();
    NUMBERED.iter().any(|(_, word)| word.contains(&letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<(String, &'static str)> {
        pieces(line, true, usize::MAX).iter().map(|piece| (piece.text.as_str().to_owned(), piece.scope)).collect()
    }

    #[test]
    fn the_word_that_tells_the_level_is_found() {
        for (line, word) in [
            ("2026-01-01 ERROR no such file", Some(("ERROR", "log.level.error"))),
            ("[warn] careful", Some(("warn", "log.level.warn"))),
            ("time=1 level=debug msg=x", Some(("debug", "log.level.debug"))),
            ("error: it failed", Some(("error", "log.level.error"))),
            ("<info> up", Some(("info", "log.level.info"))),
            ("no error here", None),
            ("GET /error/ERRORS.html", None),
            ("terror: WARNED", None),
            ("漢字 WARN 漢字", Some(("WARN", "log.level.warn"))),
        ] {
            let found = shown(line).into_iter().find(|(_, scope)| !scope.is_empty());
            let found = found.as_ref().map(|(text, scope)| (text.as_str(), *scope));
            assert_eq!(found, word, "{line}");
            assert_eq!(shown(line).into_iter().map(|(text, _)| text).collect::<String>(), line);
        }
        assert!(shown("\u{1b}[32mERROR\u{1b}[0m").iter().all(|(_, scope)| scope.is_empty()));
    }

    #[test]
    fn json_is_folded_and_what_is_none_is_left() {
        let line = r#"{"time":"2026-01-01T00:00:00Z","level":"warn","msg":"slow\u001b[2J","took":1.5,"user":{"id":7}}"#;
        let text: String = shown(line).into_iter().map(|(text, _)| text).collect();
        assert_eq!(text, "WARN  slow\\u{1b}[2J took=1.5 user={\"id\":7}");
        assert_eq!(shown(line)[0].1, "log.level.warn");
        assert_eq!(shown(r#"{"level":50,"msg":"x"}"#)[0], ("ERROR ".to_owned(), "log.level.error"));
        for plain in ["{\"a\":1}", "{not json}", "[1,2]", "{"] {
            assert_eq!(shown(plain), [(plain.to_owned(), "")]);
        }
        let raw: String = pieces(line, false, usize::MAX).iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(raw, line);
    }
}
