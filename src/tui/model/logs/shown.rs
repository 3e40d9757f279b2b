//! A line as it is shown: its colours, the word that tells its level, and JSON folded to level, message and fields.

use std::fmt::Write as _;

use ratatui::style::Style;
use serde_json::{Map, Value};

use super::super::super::widget::ansi::{self, Piece};
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

/// The pieces of a line.
#[must_use]
pub fn pieces(text: &str, fold: bool) -> Vec<Piece> {
    if fold && let Some(folded) = folded(text) {
        return folded;
    }
    let mut pieces = ansi::pieces(text);
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

/// A line of JSON as it is read when it is folded; `None`: it is none.
#[must_use]
pub fn folded_text(text: &str) -> Option<String> {
    Some(folded(text)?.iter().map(|piece| piece.text.as_str()).collect())
}

/// A line of JSON as level, message and fields; `None`: it is none.
fn folded(text: &str) -> Option<Vec<Piece>> {
    let text = text.trim();
    if text.len() > MAX_JSON || !text.starts_with('{') || !text.ends_with('}') {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let find = |names: &'static [&'static str]| names.iter().copied().find(|name| fields.contains_key(*name));
    let (level, message) = (find(LEVELS), find(MESSAGES));
    if level.is_none() && message.is_none() {
        return None;
    }
    let mut pieces = Vec::new();
    if let Some(word) = level.and_then(|key| fields.get(key)).map(level_word) {
        let scope = level_scope(&word).unwrap_or("log.field");
        pieces.push(Piece::new(Safe::new(&format!("{word:<5} ")), scope));
    }
    if let Some(value) = message.and_then(|key| fields.get(key)) {
        pieces.push(Piece::new(Safe::new(&written(value)), ""));
    }
    let mut rest = String::new();
    for (key, value) in &fields {
        let told = Some(key.as_str()) == level || Some(key.as_str()) == message || TIMES.contains(&key.as_str());
        if !told {
            // Writing to a String can't fail.
            let _ = write!(rest, " {key}={}", written(value));
        }
    }
    pieces.push(Piece::new(Safe::new(&rest), "log.field"));
    Some(pieces)
}

/// A level as a word; bunyan and pino write numbers.
fn level_word(value: &Value) -> String {
    match value.as_u64() {
        Some(60..) => "FATAL".to_owned(),
        Some(50..) => "ERROR".to_owned(),
        Some(40..) => "WARN".to_owned(),
        Some(30..) => "INFO".to_owned(),
        Some(20..) => "DEBUG".to_owned(),
        Some(_) => "TRACE".to_owned(),
        None => written(value).to_uppercase(),
    }
}

/// A value without quotes where it is plain.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<(String, &'static str)> {
        pieces(line, true).iter().map(|piece| (piece.text.as_str().to_owned(), piece.scope)).collect()
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
        let raw: String = pieces(line, false).iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(raw, line);
    }
}
