//! The events tab: what happened in the bay, the newest at the bottom.

use ratatui::layout::Rect;

use super::super::model::events::EventRow;
use super::{Canvas, from, row};

/// Columns of a time, and of a name.
const TIME: u16 = 9;
const NAME: u16 = 13;

pub fn draw(canvas: &mut Canvas<'_>, inner: Rect) {
    let model = canvas.model;
    let rows = model.event_rows(usize::from(inner.width));
    if rows.is_empty() {
        let text = if model.feed.snapshot.is_some() { "nothing has happened yet" } else { "asking the supervisor" };
        canvas.text(from(inner, inner.x + 1), text, canvas.style("ui.dim"));
        return;
    }
    let top = model.event_top(rows.len(), usize::from(inner.height));
    for (at, event) in rows.iter().skip(top).take(usize::from(inner.height)).enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        one(canvas, row(inner, at), event);
    }
}

fn one(canvas: &mut Canvas<'_>, area: Rect, event: &EventRow) {
    canvas.text(area, &event.time, canvas.style("log.time"));
    let name = from(area, area.x + TIME);
    let selected = canvas.model.subject().is_some_and(|row| row.name == event.name);
    let style = canvas.style(if selected { "ui.tab.active" } else { "ui" });
    canvas.outside(Rect { width: name.width.min(NAME - 1), ..name }, &event.name, style);
    canvas.outside(from(area, area.x + TIME + NAME), &event.text, canvas.style("ui"));
}
