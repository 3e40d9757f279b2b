//! Pane 4: the service matrix, as much of it as there is room for.

use ratatui::layout::Rect;

use super::super::model::Pane;
use super::list::{empty, highlight, title, unanswered};
use super::{Canvas, from, row};
use crate::api::types::ServiceRow;

/// From this width on, each fact has a column of its own.
const WIDE: u16 = 70;
/// The columns of the matrix with their widths; the last one has the rest.
const COLUMNS: [(&str, u16); 6] =
    [("name", 18), ("state", 10), ("ready", 7), ("runs on", 11), ("ports", 12), ("why there, and why so", 0)];

pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let model = canvas.model;
    let heading = title(canvas, Pane::Services, "");
    let inner = canvas.frame(area, Pane::Services, heading);
    if model.feed.services().is_empty() {
        empty(canvas, inner, unanswered(model).unwrap_or("no services configured"));
        return;
    }
    let wide = inner.width >= WIDE;
    if wide {
        let style = canvas.style("ui.dim");
        cells(canvas, row(inner, 0), &COLUMNS.map(|(name, _)| name.to_owned()), (style, style));
    }
    for (at, service) in model.services().enumerate() {
        let Ok(at_row) = u16::try_from(at + usize::from(wide)) else { break };
        let selected = (at == model.lists.service && model.focus.list == Pane::Services).then_some(Pane::Services);
        let line = row(inner, at_row);
        let highlight = highlight(canvas, selected);
        canvas.buf.set_style(line, highlight);
        let dim = canvas.style("ui.dim").patch(highlight);
        if wide {
            cells(canvas, line, &facts(service), (highlight, dim));
        } else {
            let half = line.width / 2;
            canvas.outside(Rect { width: half, ..from(line, line.x + 1) }, &service.name, highlight);
            canvas.outside(from(line, line.x + half + 1), &brief(service), dim);
        }
    }
}

fn cells(
    canvas: &mut Canvas<'_>,
    line: Rect,
    texts: &[String; 6],
    (first, others): (ratatui::style::Style, ratatui::style::Style),
) {
    let mut x = line.x + 1;
    for (at, (text, (_, width))) in texts.iter().zip(COLUMNS).enumerate() {
        let place = from(line, x);
        let width = if width == 0 { place.width } else { width.min(place.width) };
        let style = if at == 0 { first } else { others };
        canvas.outside(Rect { width: width.saturating_sub(1), ..place }, text, style);
        x = x.saturating_add(width);
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
