//! The logs tab.

use jiff::Timestamp;
use ratatui::layout::Rect;

use super::super::layout::bottom;
use super::super::model::Model;
use super::super::model::feed::seconds_until;
use super::super::model::logs::{LogLine, LogState};
use super::super::widget::line;
use super::{Canvas, from, row};

pub fn draw(canvas: &mut Canvas<'_>, inner: Rect) {
    let logs = &canvas.model.main.logs;
    if logs.lines.is_empty() {
        let text = absent(canvas.model);
        let style = canvas.style("ui.dim");
        for (at, text) in line::wrap(&text, usize::from(inner.width.saturating_sub(2))).iter().enumerate() {
            let Ok(at) = u16::try_from(at) else { break };
            let below = row(inner, at);
            canvas.outside(from(below, below.x + 1), text, style);
        }
        return;
    }
    let (start, end) = logs.page(usize::from(inner.width), usize::from(inner.height));
    let mut used = 0;
    for log in logs.lines.iter().take(end).skip(start) {
        if used >= inner.height {
            break;
        }
        let rest = Rect { y: inner.y + used, height: inner.height - used, ..inner };
        used += one(canvas, rest, log);
    }
    status(canvas, inner);
}

fn one(canvas: &mut Canvas<'_>, area: Rect, log: &LogLine) -> u16 {
    let logs = &canvas.model.main.logs;
    let mut text_area = if logs.wrap { area } else { row(area, 0) };
    if logs.timestamps {
        let text = log.at.and_then(|at| Timestamp::from_millisecond(at).ok());
        // The time of day by UTC: a log is compared with others, also of other machines.
        let text = text.map_or_else(|| " ".repeat(12), |at| at.strftime("%H:%M:%S.%3f").to_string());
        let style = canvas.style("log.time");
        canvas.text(row(area, 0), &text, style);
        let indent = area.x + u16::try_from(logs.time_width()).unwrap_or(0);
        text_area = from(text_area, indent);
    }
    let base = canvas.style(if log.stderr { "log.stderr" } else { "log" });
    let mut pieces = log.pieces.clone();
    if canvas.model.settings.theme.colourless() {
        for piece in &mut pieces {
            piece.style.fg = None;
            piece.style.bg = None;
        }
    }
    let left = if logs.wrap { 0 } else { logs.left };
    line::draw(canvas.buf, text_area, &pieces, base, left).max(1)
}

/// How the log stands, in the lower frame where that hides nothing.
fn status(canvas: &mut Canvas<'_>, inner: Rect) {
    let model = canvas.model;
    let logs = &model.main.logs;
    let mut words = Vec::new();
    if logs.follow {
        words.push("following".to_owned());
    } else {
        words.push(format!("line {} of {}", logs.shown_end(), logs.lines.len()));
    }
    if logs.wrap {
        words.push("wrapped".to_owned());
    }
    if logs.left > 0 {
        words.push(format!("column {}", logs.left + 1));
    }
    match logs.stream.as_ref().map(|stream| &stream.state) {
        Some(LogState::Ended) => words.push("ended".to_owned()),
        Some(LogState::Lost { reason, retry_at }) => {
            words.push(format!("cut, next try in {}s: {reason}", seconds_until(*retry_at, model.now)));
        }
        _ => {}
    }
    let text = format!(" {} ", words.join(&format!(" {} ", model.settings.symbols.dot)));
    let style = canvas.style("ui.dim");
    let frame = Rect { y: inner.y, height: inner.height + 1, ..inner };
    let (_, last) = bottom(frame, 1);
    canvas.outside(last, &text, style);
}

fn absent(model: &Model) -> String {
    let Some(row) = model.subject() else { return "no container is selected: no log".to_owned() };
    match model.main.logs.stream.as_ref().map(|stream| &stream.state) {
        Some(LogState::Live) => format!("{} has written nothing yet", row.name),
        Some(LogState::Ended) => format!("{} wrote nothing", row.name),
        Some(LogState::Lost { reason, retry_at }) => {
            format!("no log, next try in {}s: {reason}", seconds_until(*retry_at, model.now))
        }
        None if row.id.is_empty() => format!("{} is being made: no log yet", row.name),
        Some(LogState::Opening) | None => "asking for the log".to_owned(),
    }
}
