//! Pane 5: its frame, its tabs, its mode.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::action::{Action, Context};
use super::super::layout::Layout;
use super::super::model::copying::Copying;
use super::super::model::{Model, Pane, Tab};
use super::super::widget::line::fit;
use super::logs::grouped;
use super::{Canvas, Cursor, events, figures, held, inspect, logs, ports, terminal};
use crate::terminal::safe::Safe;

/// A name in fewer columns says nothing.
const NAME: usize = 4;

pub fn draw(canvas: &mut Canvas<'_>, layout: &Layout) -> Cursor {
    let area = layout.pane(Pane::Main);
    if area.is_empty() {
        return None;
    }
    let heading = title(canvas, area);
    let inner = canvas.frame(area, Pane::Main, heading);
    chip(canvas, area);
    let (terminals, own) = canvas.model.parts(layout);
    let mut cursor = None;
    if !terminals.is_empty() {
        cursor = terminal::draw(canvas, layout);
        between(canvas, inner, terminals);
    }
    let model = canvas.model;
    let copying = model.main.copying.as_ref().filter(|copying| copying.tab == model.main.tab);
    match (model.main.tab, copying) {
        (Tab::Figures | Tab::Events | Tab::Ports, Some(copying)) => cursor = held::draw(canvas, own, copying),
        (Tab::Inspect, Some(copying)) => {
            inspect::draw(canvas, own);
            cursor = held::marks(canvas, own, copying, (model.main.inspect.top, model.main.inspect.left));
        }
        (tab, _) => draw_tab(canvas, own, tab),
    }
    cursor
}

fn draw_tab(canvas: &mut Canvas<'_>, own: Rect, tab: Tab) {
    match tab {
        Tab::Terminal => {}
        Tab::Logs => logs::draw(canvas, own),
        Tab::Inspect => inspect::draw(canvas, own),
        Tab::Figures => figures::draw(canvas, own),
        Tab::Events => events::draw(canvas, own),
        Tab::Ports => ports::draw(canvas, own),
    }
}

/// The line between the terminals and the tab beside them.
fn between(canvas: &mut Canvas<'_>, inner: Rect, terminals: Rect) {
    let (set, style) = (canvas.model.settings.symbols.border, canvas.style("ui.border"));
    if terminals.right() < inner.right() {
        for y in inner.y..inner.bottom() {
            canvas.text(Rect { x: terminals.right(), y, width: 1, height: 1 }, set.vertical_right, style);
        }
    } else if terminals.bottom() < inner.bottom() {
        let line = set.horizontal_top.repeat(usize::from(inner.width));
        canvas.text(Rect { y: terminals.bottom(), height: 1, ..inner }, &line, style);
    }
}

fn title(canvas: &Canvas<'_>, area: Rect) -> Line<'static> {
    let model = canvas.model;
    let focused = model.focus.pane == Pane::Main && model.overlay.is_none();
    let number = canvas.style(if focused { "ui.title.focused" } else { "ui.title" });
    let mut spans = vec![Span::styled(" 5 ", number)];
    let all: usize = Tab::ALL.iter().map(|tab| tab.title().len() + 1).sum();
    let narrow = all + 5 > usize::from(area.width);
    // The chip needs the room while a terminal has the keys, and the tabs can't be reached then.
    for tab in Tab::ALL.into_iter().filter(|tab| !(model.focus.terminal || narrow) || *tab == model.main.tab) {
        let style = canvas.style(if tab == model.main.tab { "ui.tab.active" } else { "ui.tab" });
        spans.push(Span::styled(format!("{} ", tab.title()), style));
    }
    if narrow && !model.focus.terminal {
        let at = Tab::ALL.iter().position(|tab| *tab == model.main.tab).unwrap_or(0) + 1;
        spans.push(Span::styled(format!("{at} of {} ", Tab::ALL.len()), canvas.style("ui.tab")));
    }
    let dot = model.settings.symbols.dot;
    if model.main.tab == Tab::Logs && model.main.logs.merged {
        spans.push(Span::styled(format!("{dot} all workers "), canvas.style("ui.dim")));
    } else if let Some(row) = model.subject() {
        let used: usize = spans.iter().map(Span::width).sum();
        // Between the corners, with a sign and a space before and a space behind.
        let room = usize::from(area.width).saturating_sub(used + 5);
        let name = fit(Safe::new(&row.name).as_str(), room, model.settings.symbols.ellipsis);
        if room >= NAME {
            spans.push(Span::styled(format!("{dot} {name} "), canvas.style("ui.dim")));
        }
    }
    Line::from(spans)
}

/// Where copy mode stands, and how it is left.
fn copy_chip(model: &Model, copying: &Copying) -> String {
    let dot = model.settings.symbols.dot;
    let (rank, count) = model.copy_rank(copying, copying.head.line);
    let key = model.settings.keymap.key_of(Action::Back, Context::Copy).unwrap_or_default();
    let found = copying.search.as_ref().map(|_| {
        let at = copying.found.iter().position(|line| *line == copying.head.line);
        format!("{} of {} found {dot} ", at.map_or(0, |at| at + 1), copying.found.len())
    });
    format!(" COPY {dot} {}{} of {} {dot} {key} leaves ", found.unwrap_or_default(), grouped(rank + 1), grouped(count))
}

/// Who has the keys, at the right end of the title.
fn chip(canvas: &mut Canvas<'_>, area: Rect) {
    let model = canvas.model;
    let shown = model.main.terminals.shown();
    let above = shown.and_then(|pane| pane.emulator.as_ref()).map_or(0, |emulator| emulator.screen().scrollback());
    let text = if let Some(copying) = &model.main.copying {
        copy_chip(model, copying)
    } else if model.focus.terminal {
        let key = model.settings.keymap.key_of(Action::Leave, Context::Focused).unwrap_or_default();
        format!(" TERMINAL {} {key} leaves ", model.settings.symbols.dot)
    } else if above > 0 {
        let key = model.settings.keymap.key_of(Action::Last, Context::Terminal).unwrap_or_default();
        format!(" {above} lines above the end {} {key} goes there ", model.settings.symbols.dot)
    } else {
        return;
    };
    let width = u16::try_from(super::super::widget::ansi::width(&text)).unwrap_or(0);
    let at = area.right().saturating_sub(width + 1).max(area.x);
    let style = canvas.style(if model.main.copying.is_some() { "ui.mode" } else { "ui.chip" });
    canvas.text(Rect { x: at, y: area.y, width: area.right().saturating_sub(at + 1), height: 1 }, &text, style);
}
