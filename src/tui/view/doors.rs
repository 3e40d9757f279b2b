//! The dialog of names that were asked for outside of the bay.

use ratatui::layout::Rect;

use super::super::action::{Action, Context};
use super::super::model::doors::{ANSWERS, Doors};
use super::overlay::{centred, dialog};
use super::{Canvas, from, row};
use crate::api::types::NetworkAnswer;

/// Columns inside of the box.
const COLUMNS: u16 = 64;

pub fn draw(canvas: &mut Canvas<'_>, area: Rect, doors: &Doors) {
    let model = canvas.model;
    let (asked, chosen) = (model.asked(), model.chosen_door(doors));
    let most = usize::from(area.height.saturating_sub(8)).clamp(1, 10);
    let shown = asked.len().clamp(1, most);
    let rows = u16::try_from(shown + 5).unwrap_or(u16::MAX);
    let place = centred(area, COLUMNS.min(area.width.saturating_sub(2)), rows);
    let inner = dialog(canvas, place, " asked for outside of the bay, and refused ");
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let top = (chosen + 1).saturating_sub(shown);
    for (at, one) in asked.iter().enumerate().skip(top).take(shown) {
        let Ok(line) = u16::try_from(at - top) else { break };
        let line = row(text, line);
        let style = canvas.style(if at == chosen { "ui.selected" } else { "ui" });
        canvas.buf.set_style(line, style);
        let times = if one.count == 1 { "once".to_owned() } else { format!("{} times", one.count) };
        let who = one.worker.as_ref().map(|worker| format!(" by {worker}")).unwrap_or_default();
        let end = canvas.outside(line, &format!("{}:{}", one.name, one.port), style);
        canvas.outside(from(line, end + 2), &format!("{times}{who}"), canvas.style("ui.dim").patch(style));
    }
    if asked.is_empty() {
        canvas.text(row(text, 0), "every name has its answer", canvas.style("ui.dim"));
    }
    let under = row(text, text.height.saturating_sub(2));
    canvas.outside(
        under,
        &format!("network: {}", model.feed.status().map_or("", |status| &status.network.text)),
        canvas.style("ui.dim"),
    );
    let mut buttons = row(text, text.height.saturating_sub(1));
    for (at, (answer, word)) in ANSWERS.iter().enumerate() {
        let key = match answer {
            NetworkAnswer::Once => None,
            NetworkAnswer::Bay => model.settings.keymap.key_of(Action::Yes, Context::Dialog),
            NetworkAnswer::Refuse => model.settings.keymap.key_of(Action::No, Context::Dialog),
        };
        let word = key.map_or_else(|| (*word).to_owned(), |key| format!("{key} {word}"));
        let style = canvas.style(if at == doors.answer { "ui.button.active" } else { "ui.button" });
        let end = canvas.text(buttons, &format!(" {word} "), style);
        buttons = from(buttons, end + 2);
    }
}
