//! The terminal tab: the strip of terminals, the screen, and words where there is none.

use ratatui::layout::{Position, Rect};

use super::super::action::{Action, Context};
use super::super::layout::{Layout, bottom};
use super::super::model::copying::Copying;
use super::super::model::feed::seconds_until;
use super::super::model::terminals::PaneState;
use super::super::model::{Model, Tab};
use super::super::widget::ansi::width;
use super::super::widget::{line, screen};
use super::{Canvas, Cursor, from, row};
use crate::api::types::State;
use crate::bay::container::Role;

pub fn draw(canvas: &mut Canvas<'_>, inner: Rect, layout: &Layout) -> Cursor {
    let model = canvas.model;
    strip(canvas, inner);
    let area = model.terminal_area(layout).intersection(inner);
    if let Some(copying) = model.main.copying.as_ref().filter(|copying| copying.tab == Tab::Terminal) {
        return held_still(canvas, area, copying);
    }
    let shown = model.main.terminals.shown.as_ref();
    let Some((pane, emulator)) = shown.and_then(|pane| Some((pane, pane.emulator.as_ref()?))) else {
        words(canvas, area, &absent(model));
        return None;
    };
    screen::draw(emulator.screen(), area, canvas.buf, model.settings.theme.colourless());
    if let Some(text) = ended(model, &pane.state) {
        let (_, last) = bottom(area, 1);
        let style = canvas.style("ui.banner");
        canvas.buf.set_style(last, style);
        let blank = " ".repeat(usize::from(last.width));
        canvas.text(last, &blank, style);
        canvas.outside(last, &format!(" {text}"), style);
    }
    model.focus.terminal.then(|| screen::cursor(emulator.screen(), area)).flatten()
}

/// Copy mode: the rows as they were, what is selected and what was found.
fn held_still(canvas: &mut Canvas<'_>, area: Rect, copying: &Copying) -> Cursor {
    let model = canvas.model;
    screen::draw_still(&copying.still, copying.top, area, canvas.buf, model.settings.theme.colourless());
    let (selection, matched) = (canvas.style("ui.selection"), canvas.style("log.match"));
    for at in 0..area.height {
        let line = (copying.top + usize::from(at)) as u64;
        let text = model.copy_line(copying, line).unwrap_or_default();
        let found = copying.search.as_ref().map(|query| query.places(&text)).unwrap_or_default();
        let columns = |bytes: usize| width(text.get(..bytes).unwrap_or_default());
        let found = found.into_iter().map(|(from, to)| (columns(from)..columns(to), matched));
        let selected = model.selected(copying, line).map(|range| (range, selection));
        for (range, style) in found.chain(selected) {
            let clip = |column: usize| u16::try_from(column).unwrap_or(u16::MAX).min(area.width);
            let (from, to) = (clip(range.start), clip(range.end));
            canvas.buf.set_style(Rect { x: area.x + from, width: to.saturating_sub(from), ..row(area, at) }, style);
        }
    }
    let at = usize::try_from(copying.head.line).unwrap_or(0).checked_sub(copying.top)?;
    let place = (u16::try_from(at).ok()?, u16::try_from(copying.head.column).unwrap_or(u16::MAX));
    (place.0 < area.height && area.width > 0)
        .then(|| Position::new(area.x + place.1.min(area.width - 1), area.y + place.0))
}

fn strip(canvas: &mut Canvas<'_>, inner: Rect) {
    let tabs = canvas.model.strip();
    if tabs.len() < 2 {
        return;
    }
    let wanted = canvas.model.wanted_terminal();
    let mut rest = row(inner, 0);
    for tab in tabs {
        let scope = if Some(&tab.target) == wanted.as_ref() { "ui.tab.active" } else { "ui.tab" };
        let end = canvas.outside(rest, &format!(" {} ", tab.title), canvas.style(scope));
        rest = from(rest, end);
    }
}

fn words(canvas: &mut Canvas<'_>, area: Rect, text: &str) {
    let style = canvas.style("ui.dim");
    for (at, text) in line::wrap(text, usize::from(area.width.saturating_sub(2))).iter().enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        let below = row(area, at);
        canvas.outside(from(below, below.x + 1), text, style);
    }
}

fn key(model: &Model, action: Action, context: Context) -> String {
    model.settings.keymap.key_of(action, context).unwrap_or_else(|| "the palette".to_owned())
}

/// Why there is no screen, and what helps.
fn absent(model: &Model) -> String {
    if let Some(pane) = model.main.terminals.shown.as_ref() {
        return match &pane.state {
            PaneState::Opening | PaneState::Live => "opening the terminal".to_owned(),
            PaneState::Ended(reason) => reason.clone(),
            PaneState::Lost { reason, retry_at } => {
                format!("no terminal, next try in {}s: {reason}", seconds_until(*retry_at, model.now))
            }
        };
    }
    let Some(row) = model.subject() else {
        let spawn = key(model, Action::Spawn, Context::Workers);
        return match (&model.feed.snapshot, model.work.spawning) {
            (None, _) => "asking the supervisor".to_owned(),
            (Some(_), 0) => format!("no worker is selected: {spawn} spawns one and opens its terminal"),
            (Some(_), _) => "spawning a worker".to_owned(),
        };
    };
    let state = row.state.as_str();
    let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let shell = key(model, Action::Shell, Context::Workers);
    let restart = key(model, Action::Restart, Context::Workers);
    match (row.state, row.role) {
        (State::Running | State::CutOff, Role::Worker) => "opening the terminal".to_owned(),
        (State::Running, _) => format!("{} has no terminal of its own: {shell} opens a shell in it", row.name),
        (State::Creating, _) => format!("{} is being made{reason}", row.name),
        _ => format!("{} is {state}{reason}; {restart} starts it again", row.name),
    }
}

/// What stands over the last screen of a program that has ended.
fn ended(model: &Model, state: &PaneState) -> Option<String> {
    match state {
        PaneState::Ended(reason) => {
            let shell = matches!(
                model.main.terminals.shown.as_ref().map(|pane| &pane.target),
                Some(super::super::effect::Target::Shell(_))
            );
            let offer = if shell {
                format!("{} closes it", key(model, Action::CloseSession, Context::Terminal))
            } else {
                format!("{} starts it again", key(model, Action::Restart, Context::Workers))
            };
            Some(format!("{reason}; {offer}"))
        }
        PaneState::Lost { reason, retry_at } => {
            Some(format!("cut, next try in {}s: {reason}", seconds_until(*retry_at, model.now)))
        }
        PaneState::Opening | PaneState::Live => None,
    }
}
