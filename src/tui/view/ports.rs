//! The ports tab: a table.

use ratatui::layout::Rect;

use super::super::model::ports::PortLine;
use super::{Canvas, from, row};

/// Columns of the cells before the last one, where there is room and where there is not.
const WIDE: [u16; 4] = [7, 10, 15, 17];
const NARROW: [u16; 4] = [6, 7, 8, 11];
/// Below this there is no room.
const ROOMY: u16 = 70;

pub fn draw(canvas: &mut Canvas<'_>, inner: Rect) {
    let model = canvas.model;
    let (ports, dim) = (&model.main.ports, canvas.style("ui.dim"));
    let lines = model.port_lines();
    let text = match (&ports.rows, &ports.failed) {
        (_, Some(why)) => format!("the supervisor did not tell: {why}"),
        (None, None) => "asking the supervisor".to_owned(),
        (Some(rows), None) if rows.is_empty() => "nothing is published, and nobody listens".to_owned(),
        _ => String::new(),
    };
    let below =
        if text.is_empty() { inner } else { Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner } };
    canvas.outside(row(inner, 0), &text, dim);
    if lines.is_empty() {
        return;
    }
    let head = ["port", "inside", "name", "process", "url"].map(str::to_owned);
    let [port, inside, name, process, place] = head;
    one(canvas, row(below, 0), &PortLine { port, inside, name, process, place, reached: true }, true);
    let height = usize::from(below.height.saturating_sub(1));
    let top = ports.top.min(lines.len().saturating_sub(height));
    for (at, line) in lines.iter().skip(top).take(height).enumerate() {
        let Ok(at) = u16::try_from(at + 1) else { break };
        one(canvas, row(below, at), line, false);
    }
}

fn one(canvas: &mut Canvas<'_>, area: Rect, line: &PortLine, head: bool) {
    let (plain, dim) = (canvas.style(if head { "ui.dim" } else { "ui" }), canvas.style("ui.dim"));
    let selected = canvas.model.subject().is_some_and(|row| row.name == line.name) && !head;
    let name = if selected { canvas.style("ui.tab.active") } else { plain };
    let roomy = area.width >= ROOMY;
    let [port, inside, named, ran] = if roomy { WIDE } else { NARROW };
    // Where nobody listens, that is said in the listener's place.
    let ran = if line.process.is_empty() { 0 } else { ran };
    let place = if roomy { &line.place } else { line.place.trim_start_matches("http://") };
    let cells = [
        (port, line.port.as_str(), plain),
        (inside, &line.inside, dim),
        (named, &line.name, name),
        (ran, &line.process, plain),
        (u16::MAX, place, if line.reached { plain } else { dim }),
    ];
    let mut left = area.x.saturating_add(1);
    for (width, text, style) in cells {
        let rest = from(area, left);
        canvas.outside(Rect { width: rest.width.min(width.saturating_sub(1)), ..rest }, text, style);
        left = left.saturating_add(width);
    }
}
