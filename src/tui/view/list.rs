//! Panes 1 to 4.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::action::{Action, Context};
use super::super::layout::Layout;
use super::super::model::list::age;
use super::super::model::work::doing;
use super::super::model::{Model, Pane};
use super::super::widget::ansi::width;
use super::super::widget::line::{column, wrap};
use super::{Canvas, from, pool, row, services};
use crate::api::types::{ContainerRow, State};
use crate::bay::container::HealthState;
use crate::terminal::safe::Safe;

/// Columns of the state's word.
const STATE: u16 = 10;
/// Columns of the age.
const AGE: u16 = 4;

pub fn draw(canvas: &mut Canvas<'_>, layout: &Layout) {
    parent(canvas, layout.pane(Pane::Parent));
    workers(canvas, layout.pane(Pane::Workers));
    pool::draw(canvas, layout.pane(Pane::Pool));
    services::draw(canvas, layout.pane(Pane::Services));
}

/// A pane's title: its number, its name, and what stands behind it.
pub(super) fn title(canvas: &Canvas<'_>, pane: Pane, more: &str) -> Line<'static> {
    let focused = canvas.model.focus.pane == pane && canvas.model.overlay.is_none();
    let (number, name) = pane.title();
    let style = canvas.style(if focused { "ui.title.focused" } else { "ui.title" });
    let more = if more.is_empty() { String::new() } else { format!("{more} ") };
    Line::from(vec![Span::styled(format!(" {number} {name} "), style), Span::styled(more, canvas.style("ui.dim"))])
}

/// Why a pane is empty, and what helps.
pub(super) fn empty(canvas: &mut Canvas<'_>, area: Rect, text: &str) {
    let style = canvas.style("ui.dim");
    for (at, line) in wrap(text, usize::from(area.width.saturating_sub(1))).iter().enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        let line_area = row(area, at);
        canvas.outside(from(line_area, line_area.x + 1), line, style);
    }
}

/// The words that stand where rows can't be, before the supervisor has answered.
pub(super) fn unanswered(model: &Model) -> Option<&'static str> {
    use super::super::model::feed::Link;
    match (&model.feed.snapshot, &model.feed.link) {
        (Some(_), _) => None,
        (None, Link::Lost { .. }) => Some("not known: the supervisor does not answer"),
        (None, _) => Some("asking the supervisor"),
    }
}

fn key(model: &Model, action: Action, context: Context) -> String {
    model.settings.keymap.key_of(action, context).unwrap_or_else(|| "the palette".to_owned())
}

fn parent(canvas: &mut Canvas<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let model = canvas.model;
    let limits = model.feed.status().map_or(0, |status| status.engine.limits.len());
    let limits = match limits {
        0 => String::new(),
        1 => "1 limit".to_owned(),
        many => format!("{many} limits"),
    };
    let heading = title(canvas, Pane::Parent, &limits);
    let inner = canvas.frame(area, Pane::Parent, heading);
    let Some(parent) = model.feed.parent() else {
        let text = unanswered(model).map_or_else(
            || format!("no parent yet: {} brings it up", key(model, Action::Fix, Context::Parent)),
            str::to_owned,
        );
        empty(canvas, inner, &text);
        return;
    };
    let selected = model.focus.list == Pane::Parent;
    container(canvas, inner, parent, selected.then_some(Pane::Parent));
    if parent.reason.is_none() && !parent.ports.is_empty() && inner.height > 1 {
        let text = ports(parent);
        let line = row(inner, 1);
        let dim = canvas.style("ui.dim");
        canvas.outside(from(line, line.x + 3), &text, dim);
    }
}

/// Published ports, with runs drawn together: `127.0.0.1:3000-3009`.
fn ports(row: &ContainerRow) -> String {
    let mut runs: Vec<(String, u16, u16)> = Vec::new();
    for port in &row.ports {
        let ip = port.ip.map(|ip| format!("{ip}:")).unwrap_or_default();
        match runs.last_mut() {
            Some((known, _, last)) if *known == ip && last.checked_add(1) == Some(port.host) => *last = port.host,
            _ => runs.push((ip, port.host, port.host)),
        }
    }
    let texts = runs
        .into_iter()
        .map(|(ip, first, last)| if first == last { format!("{ip}{first}") } else { format!("{ip}{first}-{last}") });
    texts.collect::<Vec<_>>().join(" ")
}

fn workers(canvas: &mut Canvas<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let model = canvas.model;
    let heading = title(canvas, Pane::Workers, &counts(model));
    let inner = canvas.frame(area, Pane::Workers, heading);
    let mut used = 0;
    for worker in model.workers().skip(model.lists.worker_top) {
        if used >= inner.height {
            break;
        }
        let rest = Rect { y: inner.y + used, height: inner.height - used, ..inner };
        let selected = model.lists.worker.as_ref() == Some(&worker.name) && model.focus.list == Pane::Workers;
        used += container(canvas, rest, worker, selected.then_some(Pane::Workers));
    }
    if model.work.spawning > 0 && used < inner.height {
        let line = row(inner, used);
        let sign = model.settings.symbols.state(State::Creating);
        let style = canvas.style("state.creating");
        canvas.text(from(line, line.x + 1), &format!("{sign} spawning"), style);
        used += 1;
    }
    if used == 0 {
        empty(canvas, inner, &no_workers(model));
    }
}

fn no_workers(model: &Model) -> String {
    let filter = model.lists.filter_of(Pane::Workers);
    if let Some(text) = unanswered(model) {
        return text.to_owned();
    }
    if filter.is_empty() {
        return format!(
            "no workers: {} spawns one, {} with choices",
            key(model, Action::Spawn, Context::Workers),
            key(model, Action::SpawnForm, Context::Workers)
        );
    }
    format!("no worker matches {filter:?}: {} shows all", key(model, Action::Back, Context::Workers))
}

fn counts(model: &Model) -> String {
    let (all, shown) = (model.feed.workers().count(), model.workers().count());
    let filter = model.lists.filter_of(Pane::Workers);
    let mut text = match (all, filter.is_empty()) {
        (0, true) => String::new(),
        (_, true) => all.to_string(),
        (_, false) => format!("{shown} of {all} /{}", Safe::new(filter)),
    };
    if !model.lists.marks.is_empty() {
        let marks = format!(" {}{}", model.settings.symbols.mark, model.lists.marks.len());
        text.push_str(&marks);
    }
    text
}

/// A container: one row, and one more for the reason where it has one. Returns the rows used.
fn container(canvas: &mut Canvas<'_>, area: Rect, container: &ContainerRow, selected: Option<Pane>) -> u16 {
    let model = canvas.model;
    let note = model.note_of(container);
    let height = (1 + u16::from(note.is_some())).min(area.height);
    let line = row(area, 0);
    if line.is_empty() {
        return 0;
    }
    let highlight = highlight(canvas, selected);
    canvas.buf.set_style(line, highlight);
    let marked = model.lists.marks.contains(&container.name);
    if marked {
        let style = canvas.style("ui.mark").patch(highlight);
        canvas.text(line, model.settings.symbols.mark, style);
    } else if selected.is_some() {
        canvas.text(line, model.settings.symbols.pointer, canvas.style("ui.mark").patch(highlight));
    }
    let state_style = canvas.style(state_scope(container)).patch(highlight);
    canvas.text(from(line, line.x + 1), model.settings.symbols.state(container.state), state_style);
    let figures = STATE + AGE + 1;
    let name_width = usize::from(line.width.saturating_sub(3 + figures));
    let name = Safe::new(&container.name);
    let ellipsis = model.settings.symbols.ellipsis;
    canvas.text(from(line, line.x + 3), &column(name.as_str(), name_width.saturating_sub(1), ellipsis), highlight);
    let right = from(line, line.right().saturating_sub(figures));
    canvas.text(Rect { width: STATE.min(right.width), ..right }, &word(model, container), state_style);
    let since = container.started_at.filter(|_| matches!(container.state, State::Running | State::CutOff));
    if let Some(since) = since {
        let text = age(since, model.now);
        let at = line.right().saturating_sub(u16::try_from(width(&text)).unwrap_or(0) + 1);
        canvas.text(from(line, at), &text, canvas.style("ui.dim").patch(highlight));
    }
    if let Some(note) = note.filter(|_| height > 1) {
        let below = row(area, 1);
        let calls = model.attention(container).is_some_and(|found| found.need.calls());
        let style = canvas.style(if calls { "ui.attention" } else { "ui.dim" });
        let text = if calls { format!("! {note}") } else { note };
        canvas.outside(from(below, below.x + if calls { 1 } else { 3 }), &text, style);
    }
    height
}

/// The state in a word, or what is being done about it.
fn word(model: &Model, container: &ContainerRow) -> String {
    if let Some(verb) = model.work.verbs.get(&container.name) {
        return doing(*verb).to_owned();
    }
    match (container.state, container.health) {
        (State::Running, Some(HealthState::Unhealthy)) => "unhealthy".to_owned(),
        (state, _) => state.as_str().to_owned(),
    }
}

pub(super) fn highlight(canvas: &Canvas<'_>, selected: Option<Pane>) -> Style {
    match selected {
        Some(pane) if canvas.model.focus.pane == pane => canvas.style("ui.selected"),
        Some(_) => canvas.style("ui.selected.inactive"),
        None => Style::default(),
    }
}

/// The scope of a row's state: who ended with a failure is not simply over.
fn state_scope(row: &ContainerRow) -> &'static str {
    let code = row.reason.as_deref().and_then(|reason| reason.strip_prefix("exited with code "));
    let failed = code.is_some_and(|code| !code.starts_with("0 ") && code != "0");
    let killed = row.reason.as_deref().is_some_and(|reason| reason.starts_with("killed by the kernel"));
    if row.state == State::Exited && (failed || killed) { "state.failed" } else { scope(row.state) }
}

/// The scope of a state.
pub const fn scope(state: State) -> &'static str {
    match state {
        State::Creating => "state.creating",
        State::Warm => "state.warm",
        State::Running => "state.running",
        State::Exited => "state.exited",
        State::Failed => "state.failed",
        State::CutOff => "state.cut-off",
        State::Unknown => "state.unknown",
    }
}
