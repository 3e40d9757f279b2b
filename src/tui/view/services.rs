//! Pane 4: the service matrix, as much of it as there is room for.

use std::fmt::Write as _;

use ratatui::layout::Rect;

use super::super::model::list::matrix_head;
use super::super::model::{Model, Pane};
use super::super::widget::ansi::width;
use super::super::widget::line::wrap;
use super::list::{empty, highlight, title, unanswered};
use super::{Canvas, from, row};
use crate::api::types::ServiceRow;
use crate::terminal::safe::Safe;

/// The names of the columns, and how wide each may become; the last one has the rest.
const COLUMNS: [(&str, u16); 6] =
    [("name", 24), ("state", 9), ("ready", 6), ("runs on", 10), ("ports", 18), ("why there, and why so", 0)];
/// Between two columns.
const GAP: u16 = 2;

pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let model = canvas.model;
    let heading = title(canvas, Pane::Services, &counts(model, usize::from(area.height), usize::from(area.width)));
    let inner = canvas.frame(area, Pane::Services, heading);
    if model.feed.services().is_empty() {
        empty(canvas, inner, unanswered(model).unwrap_or("no services configured"));
        return;
    }
    let head = matrix_head(inner.width);
    let wide = head > 0;
    let widths = widths(model.services());
    if wide {
        let style = canvas.style("ui.dim");
        cells(canvas, row(inner, 0), (&COLUMNS.map(|(name, _)| name.to_owned()), &widths), (style, style));
        tell_in_full(canvas, inner, &widths);
    }
    // The longest name decides: what is wrong has the rest of the line.
    let [names, ..] = widths;
    let top = model.lists.service_top;
    for (at, service) in model.services().enumerate().skip(top) {
        let Some(at_row) = u16::try_from(at - top).ok().map(|row| row.saturating_add(head)) else { break };
        if at_row >= inner.height {
            break;
        }
        let selected = (at == model.lists.service && model.focus.list == Pane::Services).then_some(Pane::Services);
        let line = row(inner, at_row);
        let highlight = highlight(canvas, selected);
        canvas.buf.set_style(line, highlight);
        let dim = canvas.style("ui.dim").patch(highlight);
        if wide {
            cells(canvas, line, (&facts(service), &widths), (highlight, dim));
        } else {
            let named = names.min(line.width / 2);
            canvas.outside(Rect { width: named, ..from(line, line.x + 1) }, &service.name, highlight);
            canvas.outside(from(line, line.x + named + 2), &brief(service), dim);
        }
    }
}

/// How many there are, and which of them are seen where that is not all; those that failed may be among the others.
fn counts(model: &Model, height: usize, width: usize) -> String {
    let (all, shown) = (model.feed.services().len(), model.services().count());
    if all == 0 {
        return String::new();
    }
    let filter = model.lists.filter_of(Pane::Services);
    let head = matrix_head(u16::try_from(width.saturating_sub(2)).unwrap_or(u16::MAX));
    let room = height.saturating_sub(2 + usize::from(head));
    let top = model.lists.service_top;
    let mut text = match (filter.is_empty(), shown > room) {
        (true, false) => all.to_string(),
        (true, true) => format!("{}-{} of {all}", top + 1, (top + room).min(shown)),
        (false, _) => format!("{shown} of {all} /{}", Safe::new(filter)),
    };
    let failed = model.services().filter(|service| service.state == "failed").count();
    if failed > 0 {
        // Writing to a String can't fail.
        let _ = write!(text, ", {failed} failed");
    }
    text
}

/// As wide as what is in them, within bounds; 0: the rest.
fn widths<'a>(services: impl Iterator<Item = &'a ServiceRow>) -> [u16; 6] {
    let mut widths = COLUMNS.map(|(name, most)| if most == 0 { 0 } else { cell(name).min(most) });
    for service in services {
        for ((text, (_, most)), own) in facts(service).iter().zip(COLUMNS).zip(&mut widths) {
            *own = cell(text).min(most).max(*own);
        }
    }
    widths
}

fn cell(text: &str) -> u16 {
    u16::try_from(width(text)).unwrap_or(u16::MAX)
}

/// Below the rows, where there is room: all that the last column has of the selected one, when its cell cuts it off.
fn tell_in_full(canvas: &mut Canvas<'_>, inner: Rect, widths: &[u16; 6]) {
    let model = canvas.model;
    let Some(service) = model.selected_service() else { return };
    let [.., why] = facts(service);
    let before: u16 = widths.iter().filter(|own| **own > 0).map(|own| own.saturating_add(GAP)).sum();
    if cell(&why) <= inner.width.saturating_sub(before.saturating_add(1)) {
        return;
    }
    let text = format!("{}: {}", service.name, Safe::new(&why));
    let lines = wrap(&text, usize::from(inner.width.saturating_sub(2)));
    let rows = u16::try_from(model.services().count()).unwrap_or(u16::MAX).saturating_add(matrix_head(inner.width));
    let Ok(height) = u16::try_from(lines.len()) else { return };
    // A line is left between.
    let Some(first) = inner.height.checked_sub(height).filter(|first| *first > rows) else { return };
    let style = canvas.style("ui.dim");
    for (line, at) in lines.iter().zip(first..) {
        let place = row(inner, at);
        canvas.text(from(place, place.x + 1), line, style);
    }
}

fn cells(
    canvas: &mut Canvas<'_>,
    line: Rect,
    (texts, widths): (&[String; 6], &[u16; 6]),
    (first, others): (ratatui::style::Style, ratatui::style::Style),
) {
    let mut x = line.x + 1;
    for (at, (text, width)) in texts.iter().zip(widths).enumerate() {
        let place = from(line, x);
        let width = if *width == 0 { place.width } else { (*width).min(place.width) };
        let style = if at == 0 { first } else { others };
        canvas.outside(Rect { width, ..place }, text, style);
        x = x.saturating_add(width).saturating_add(GAP);
    }
}

fn ports(service: &ServiceRow) -> String {
    service.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ")
}

/// One text for each of [`COLUMNS`].
fn facts(service: &ServiceRow) -> [String; 6] {
    let ready = match service.ready {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    let why = service.reason_for_host.iter().chain(&service.reason).cloned().collect::<Vec<_>>().join("; ");
    [service.name.clone(), service.state.clone(), ready.to_owned(), service.run.clone(), ports(service), why]
}

/// The same in a few words: what is wrong, else where it runs.
fn brief(service: &ServiceRow) -> String {
    match &service.reason {
        Some(reason) => format!("{}: {reason}", service.state),
        None if service.ports.is_empty() => format!("{}, {}", service.state, service.run),
        None => format!("{}, {} {}", service.state, service.run, ports(service)),
    }
}

/// What the inspect tab shows of one that is no container.
pub fn text(service: &ServiceRow) -> Vec<String> {
    let depends: Vec<String> =
        service.depends_on.iter().map(|(name, condition)| format!("{name} {condition}")).collect();
    let said =
        |key: &str, text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| format!("{key:<12}{text}"));
    let [name, state, ready, run, ports, _] = facts(service);
    let lines = [
        said("name", Some(name)),
        said("state", Some(state)),
        said("reason", service.reason.clone()),
        said("runs on", Some(run)),
        said("why there", service.reason_for_host.clone()),
        said("ports", Some(ports)),
        said("pid", service.pid.map(|pid| pid.to_string())),
        said("ready", Some(ready)),
        said("restarts", Some(service.restarts.to_string())),
        said("last exit", service.last_exit.clone()),
        said("next start", service.next_start_at.map(|at| at.to_string())),
        said("depends on", Some(depends.join(", "))),
        said("terminal", Some(if service.tty { "yes" } else { "no" }.to_owned())),
    ];
    lines.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_says_where_and_why() {
        let stream = ServiceRow {
            name: "stream".to_owned(),
            run: "host".to_owned(),
            reason_for_host: Some("gpu".to_owned()),
            state: "running".to_owned(),
            ports: vec![3002, 3003],
            ready: Some(false),
            reason: Some("not ready: refused".to_owned()),
            depends_on: [("db".to_owned(), "ready".to_owned())].into(),
            pid: None,
            restarts: 0,
            last_exit: None,
            next_start_at: None,
            started_at: None,
            tty: false,
        };
        assert_eq!(facts(&stream), ["stream", "running", "no", "host", "3002 3003", "gpu; not ready: refused"]);
        assert_eq!(brief(&stream), "running: not ready: refused");
        let brain = ServiceRow { reason: None, reason_for_host: None, run: "container".to_owned(), ..stream.clone() };
        assert_eq!(brief(&brain), "running, container 3002 3003");
        let said = text(&stream);
        assert!(
            said.contains(&"why there   gpu".to_owned()) && said.contains(&"depends on  db ready".to_owned()),
            "{said:#?}"
        );
    }
}
