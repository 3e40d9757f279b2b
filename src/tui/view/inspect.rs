//! The inspect tab.

use ratatui::layout::Rect;

use super::super::model::inspect::InspectText;
use super::super::widget::ansi::Piece;
use super::super::widget::line;
use super::{Canvas, from, row, services};

pub fn draw(canvas: &mut Canvas<'_>, inner: Rect) {
    let inspect = &canvas.model.main.inspect;
    let text = match &inspect.text {
        InspectText::Lines(lines) if inspect.asked.is_some() => {
            for (at, text) in lines.iter().skip(inspect.top).take(usize::from(inner.height)).enumerate() {
                let Ok(at) = u16::try_from(at) else { break };
                let pieces = [Piece::new(text.clone(), "")];
                let base = canvas.style("ui");
                let part = line::Part { left: inspect.left, ..line::Part::default() };
                line::draw(canvas.buf, row(inner, at), &pieces, base, part);
            }
            return;
        }
        _ if canvas.model.native_service().is_some() => return native(canvas, inner),
        _ if canvas.model.subject().is_none() => "no container is selected: nothing to inspect".to_owned(),
        InspectText::Failed(why) => format!("the engine did not tell: {why}"),
        _ => "asking the engine".to_owned(),
    };
    let style = canvas.style("ui.dim");
    for (at, text) in line::wrap(&text, usize::from(inner.width.saturating_sub(2))).iter().enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        let below = row(inner, at);
        canvas.outside(from(below, below.x + 1), text, style);
    }
}

/// A native service is no container: what is known of it stands in its row.
fn native(canvas: &mut Canvas<'_>, inner: Rect) {
    let Some(service) = canvas.model.native_service() else { return };
    let style = canvas.style("ui");
    for (at, text) in services::text(service).iter().enumerate().take(usize::from(inner.height)) {
        let Ok(at) = u16::try_from(at) else { break };
        canvas.outside(row(inner, at), text, style);
    }
}
