//! The logs tab.

use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::super::action::{Action, Context};
use super::super::layout::bottom;
use super::super::model::Model;
use super::super::model::copying::bytes_of;
use super::super::model::feed::seconds_until;
use super::super::model::logs::page::Row;
use super::super::model::logs::store::Line;
use super::super::model::logs::{History, LogState, Logs};
use super::super::widget::ansi::Piece;
use super::super::widget::line::{self, Part, column};
use super::{Canvas, from, row};
use crate::bay::container::Role;

/// Colours of containers in a merged log; then they come again.
const SOURCES: [&str; 6] =
    ["log.source.1", "log.source.2", "log.source.3", "log.source.4", "log.source.5", "log.source.6"];

pub fn draw(canvas: &mut Canvas<'_>, inner: Rect) {
    let logs = &canvas.model.main.logs;
    if logs.count() == 0 {
        let text = absent(canvas.model);
        let style = canvas.style("ui.dim");
        for (at, text) in line::wrap(&text, usize::from(inner.width.saturating_sub(2))).iter().enumerate() {
            let Ok(at) = u16::try_from(at) else { break };
            let below = row(inner, at);
            canvas.outside(from(below, below.x + 1), text, style);
        }
    }
    let mut used = 0;
    for place in logs.page(usize::from(inner.width), usize::from(inner.height)) {
        let Some(log) = logs.store.get(place.line) else { continue };
        let rows = u16::try_from(place.rows).unwrap_or(u16::MAX).min(inner.height - used.min(inner.height));
        one(canvas, Rect { y: inner.y + used, height: rows, ..inner }, &log, place);
        used += rows;
    }
    status(canvas, inner);
}

fn one(canvas: &mut Canvas<'_>, area: Rect, log: &Line<'_>, place: Row) {
    let logs = &canvas.model.main.logs;
    if place.above == 0 {
        margin(canvas, row(area, 0), log);
    }
    let text_area = from(area, area.x + u16::try_from(logs.margin()).unwrap_or(u16::MAX));
    let rows = if logs.look.wrap { place.above + place.rows } else { 1 };
    let reach = logs.look.left + rows * usize::from(area.width);
    let pieces = inked(canvas, logs.pieces(log, reach), log);
    let base = canvas.style(if log.stderr { "log.stderr" } else { "log" });
    let part = Part { left: logs.look.left, wrap: logs.look.wrap, above: place.above };
    line::draw(canvas.buf, text_area, &pieces, base, part);
}

/// The pieces with the theme's colours, and what is looked for made visible.
fn inked(canvas: &Canvas<'_>, mut pieces: Vec<Piece>, log: &Line<'_>) -> Vec<Piece> {
    let colours = canvas.model.settings.theme.colours();
    let fit = |colour: Option<Color>| colours.and_then(|depth| colour.map(|colour| depth.fit(colour)));
    for piece in &mut pieces {
        let scope = if piece.scope.is_empty() { Style::default() } else { canvas.style(piece.scope) };
        piece.style = scope.patch(piece.style);
        piece.style = Style { fg: fit(piece.style.fg), bg: fit(piece.style.bg), ..piece.style };
    }
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    if let Some(copying) = &canvas.model.main.copying
        && let Some(columns) = canvas.model.selected(copying, log.number)
    {
        let bytes = bytes_of(&text, &columns);
        pieces = line::highlight(&pieces, &[(bytes.start, bytes.end)], canvas.style("ui.selection"));
    }
    let Some(search) = &canvas.model.main.logs.search else { return pieces };
    let places = search.scan.query.places(&text);
    if places.is_empty() {
        return pieces;
    }
    let current = search.current == Some(log.number);
    line::highlight(&pieces, &places, canvas.style(if current { "log.match.current" } else { "log.match" }))
}

/// What stands before the text: a sign, the time, the container.
fn margin(canvas: &mut Canvas<'_>, area: Rect, log: &Line<'_>) {
    let logs = &canvas.model.main.logs;
    let symbols = canvas.model.settings.symbols;
    let mut rest = area;
    if logs.gutter_width() > 0 {
        let is_current = logs.search.as_ref().is_some_and(|search| search.current == Some(log.number));
        let head = canvas.model.main.copying.as_ref().is_some_and(|copying| copying.head.line == log.number);
        let sign = match (is_current || head, logs.marks.contains(&log.number)) {
            (_, true) => symbols.mark,
            (true, false) => symbols.pointer,
            (false, false) => " ",
        };
        let style = canvas.style("ui.mark");
        rest = from(rest, canvas.text(rest, sign, style));
    }
    if logs.look.timestamps {
        let at = log.at.and_then(|at| Timestamp::from_millisecond(at).ok());
        // The time of day by UTC: a log is compared with others, also of other machines.
        let text = at.map_or_else(|| " ".repeat(12), |at| at.strftime("%H:%M:%S.%3f").to_string());
        let style = canvas.style("log.time");
        rest = from(rest, canvas.text(rest, &format!("{text} "), style));
    }
    if let Some(name) = logs.label(log.source) {
        let style = canvas.style(SOURCES.get(usize::from(log.source) % SOURCES.len()).copied().unwrap_or("log"));
        canvas.outside(rest, &column(name, logs.label_width() - 1, symbols.ellipsis), style);
    }
}

/// How the log stands, in the lower frame where that hides nothing.
fn status(canvas: &mut Canvas<'_>, inner: Rect) {
    let model = canvas.model;
    let words = words(model);
    if words.is_empty() {
        return;
    }
    let text = format!(" {} ", words.join(&format!(" {} ", model.settings.symbols.dot)));
    let style = canvas.style("ui.dim");
    let frame = Rect { y: inner.y, height: inner.height + 1, ..inner };
    let (_, last) = bottom(frame, 1);
    canvas.outside(last, &text, style);
}

fn words(model: &Model) -> Vec<String> {
    let logs = &model.main.logs;
    let mut words = Vec::new();
    if logs.store.is_empty() {
        return words;
    }
    let hidden = logs.filter.as_ref().map(|filter| {
        let part = if filter.is_done(&logs.store) {
            String::new()
        } else {
            format!(", {}% read", filter.percent(&logs.store))
        };
        format!("&{}: {} of {}{part}", filter.query.typed(), grouped(logs.count()), grouped(logs.store.len()))
    });
    words.extend(search(logs));
    words.extend(hidden);
    words.push(match logs.look.place {
        None => format!("following {} {}", grouped(logs.count()), if logs.count() == 1 { "line" } else { "lines" }),
        Some(_) if logs.count() == 0 => "no line".to_owned(),
        Some(place) => format!("line {} of {}", grouped(logs.rank(place.line) + 1), grouped(logs.count())),
    });
    words.extend(streams(model));
    if logs.store.dropped() > 0 {
        words.push(format!("{} older dropped", grouped(usize::try_from(logs.store.dropped()).unwrap_or(usize::MAX))));
    }
    match &logs.history {
        History::Reading { count, .. } => words.push(format!("reading the past: {}", grouped(*count))),
        History::Failed(why) => words.push(format!("no older lines: {why}")),
        History::Tail | History::Whole => {}
    }
    if logs.look.wrap {
        words.push("wrapped".to_owned());
    }
    if logs.look.left > 0 {
        words.push(format!("column {}", logs.look.left + 1));
    }
    words
}

/// What is looked for, and how many lines have it.
fn search(logs: &Logs) -> Option<String> {
    let search = logs.search.as_ref()?;
    let scan = &search.scan;
    let part = if scan.is_done(&logs.store) { String::new() } else { format!(", {}% read", scan.percent(&logs.store)) };
    let count = grouped(scan.len());
    Some(match search.current {
        Some(line) => format!("/{}: {} of {count}{part}", scan.query.text, grouped(scan.rank(line) + 1)),
        None => format!("/{}: {count}{part}", scan.query.text),
    })
}

/// How the streams stand, where that is not simply live.
fn streams(model: &Model) -> Option<String> {
    let streams = &model.main.logs.streams;
    let lost = streams.iter().find_map(|stream| match &stream.state {
        LogState::Lost { reason, retry_at } => Some((stream.source, reason, retry_at)),
        _ => None,
    });
    if let Some((source, reason, retry_at)) = lost {
        let name = model.main.logs.label(source).map(|name| format!("{name} ")).unwrap_or_default();
        return Some(format!("{name}cut, next try in {}s: {reason}", seconds_until(*retry_at, model.now)));
    }
    let ended = streams.iter().filter(|stream| stream.state == LogState::Ended).count();
    match (ended, streams.len()) {
        (0, _) => None,
        (ended, all) if ended == all => Some("ended".to_owned()),
        (ended, all) => Some(format!("{ended} of {all} ended")),
    }
}

/// Why there is no line.
fn absent(model: &Model) -> String {
    let logs = &model.main.logs;
    if let Some(filter) = logs.filter.as_ref().filter(|_| !logs.store.is_empty()) {
        let key = model.settings.keymap.key_of(Action::Back, Context::Logs).unwrap_or_default();
        let text = filter.query.typed();
        return if filter.is_done(&logs.store) {
            format!("none of {} lines is left by &{text}: {key} shows all", grouped(logs.store.len()))
        } else {
            format!("looking for &{text}: {}% read", filter.percent(&logs.store))
        };
    }
    if logs.merged {
        return match logs.streams.len() {
            0 => "there is no worker: no log".to_owned(),
            _ if logs.streams.iter().any(|stream| stream.state == LogState::Opening) => {
                "asking for the logs".to_owned()
            }
            _ => streams(model).unwrap_or_else(|| "no worker has written anything yet".to_owned()),
        };
    }
    let Some(row) = model.subject() else { return "no container is selected: no log".to_owned() };
    match logs.streams.first().map(|stream| &stream.state) {
        // A prompt stands there without an end: the engine's log has it with the line that it begins.
        Some(LogState::Live) if row.role == Role::Worker => {
            let key = model.settings.keymap.key_of(Action::Open, Context::Logs).unwrap_or_default();
            format!("{} has ended no line yet: {key} shows what stands on its terminal", row.name)
        }
        Some(LogState::Live) => format!("{} has written nothing yet", row.name),
        Some(LogState::Ended) => format!("{} wrote nothing", row.name),
        Some(LogState::Lost { reason, retry_at }) => {
            format!("no log, next try in {}s: {reason}", seconds_until(*retry_at, model.now))
        }
        None if row.id.is_empty() => format!("{} is being made: no log yet", row.name),
        Some(LogState::Opening) | None => "asking for the log".to_owned(),
    }
}

/// A number that can be read at a glance: `1,234,567`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
