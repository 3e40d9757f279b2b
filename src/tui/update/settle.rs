//! After each message: the selection is on a row that exists, the streams that are open are those that the screen
//! needs, and the terminal that was waited for has the keys. Level-triggered: it compares, it does not remember why.

use std::time::Duration;

use super::super::effect::Effect;
use super::super::model::inspect::{Inspect, InspectText};
use super::super::model::list::matrix_head;
use super::super::model::terminals::PaneState;
use super::super::model::{Model, Pane, Tab};
use super::SETTLE;
use crate::api::types::State;

/// A terminal that can't be opened is waited for so long: whoever asked for it has not gone away meanwhile.
const OPENS: Duration = Duration::from_secs(15);

pub fn settle(model: &mut Model) -> Vec<Effect> {
    select(model);
    super::pool::settle(model);
    super::copying::settle(model);
    // What is waited for decides what is shown, so it comes before the streams.
    await_terminal(model);
    model.main.held_back = false;
    let mut effects = Vec::new();
    super::tiles::settle(model, &mut effects);
    super::terminal::settle(model, &mut effects);
    super::logs::settle(model, &mut effects);
    inspect(model, &mut effects);
    super::figures::settle(model, &mut effects);
    super::ports::settle(model, &mut effects);
    super::inbox::settle(model, &mut effects);
    keep_selection_in_sight(model);
    keep_service_in_sight(model);
    effects
}

/// The selection stays on a row: its own, or the one that took its place.
fn select(model: &mut Model) {
    // A supervisor that has just begun knows of nobody yet: who was selected or marked before is so again with its row.
    if model.feed.workers().next().is_none() {
        return select_others(model);
    }
    let names: Vec<String> = model.workers().map(|row| row.name.clone()).collect();
    let at = names.iter().position(|name| Some(name) == model.lists.worker.as_ref());
    let waits = model.work.awaited.is_some() && model.work.awaited == model.lists.worker;
    match at {
        Some(at) => model.lists.worker_at = at,
        None if waits => {}
        None => {
            model.lists.worker_at = model.lists.worker_at.min(names.len().saturating_sub(1));
            model.lists.worker = names.get(model.lists.worker_at).cloned();
        }
    }
    let known: Vec<String> = model.feed.workers().map(|row| row.name.clone()).collect();
    model.lists.marks.retain(|name| known.contains(name));
    let mut chosen = std::mem::take(&mut model.main.terminals.chosen);
    chosen.retain(|name, _| model.row_of(name).is_some());
    model.main.terminals.chosen = chosen;
    select_others(model);
}

fn select_others(model: &mut Model) {
    if model.feed.snapshot.is_none() {
        return;
    }
    model.lists.pool = model.lists.pool.min(model.feed.pool().len().saturating_sub(1));
    model.lists.service = model.lists.service.min(model.services().count().saturating_sub(1));
}

/// Whether a stream may be opened now, or running through a list would open one for each row.
pub fn may_open(model: &mut Model) -> bool {
    let soon = |at| model.now.duration_since(at) < jiff::SignedDuration::try_from(SETTLE).unwrap_or_default();
    if model.main.opened_at.is_some_and(soon) {
        model.main.held_back = true;
        return false;
    }
    model.main.opened_at = Some(model.now);
    true
}

fn inspect(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.main.tab != Tab::Inspect {
        return;
    }
    let row = model.subject().filter(|row| !row.id.is_empty()).cloned();
    if row == model.main.inspect.asked {
        return;
    }
    let same = row.as_ref().map(|row| &row.name) == model.main.inspect.asked.as_ref().map(|row| &row.name);
    if !same {
        model.main.inspect = Inspect { text: InspectText::Asking, ..Inspect::default() };
    }
    let Some(row) = row else {
        model.main.inspect.asked = None;
        return;
    };
    if may_open(model) {
        effects.push(Effect::Inspect { name: row.name.clone() });
        model.main.inspect.asked = Some(row);
    }
}

/// The worker that was spawned or opened gets the keys once its terminal is there.
fn await_terminal(model: &mut Model) {
    let Some(name) = model.work.awaited.clone() else {
        model.work.awaited_since = None;
        return;
    };
    let since = *model.work.awaited_since.get_or_insert(model.now);
    // A native service is no container; it has a row only as the subject.
    let subject = || model.subject().filter(|row| row.name == name);
    let Some(row) = model.feed.row(&name).or_else(subject) else { return };
    if matches!(row.state, State::Failed | State::Exited) && model.strip().is_empty() {
        model.work.awaited = None;
        return;
    }
    if row.role == crate::bay::container::Role::Worker && model.lists.worker.as_ref() != Some(&name) {
        model.lists.worker = Some(name.clone());
    }
    if model.subject().is_none_or(|row| row.name != name) {
        model.focus.list = Pane::Workers;
    }
    if model.main.tab != Tab::Terminal && !(model.main.tiles.beside && model.terminal_size().is_some()) {
        model.main.tab = Tab::Terminal;
    }
    if model.overlay.is_none() && model.terminal_size().is_none() {
        // One pane at a time: the terminal is opened only where it is seen.
        model.focus.pane = Pane::Main;
        model.dirty = true;
    }
    // The terminal that is shown may still be the one before.
    let wanted = model.wanted_terminal();
    let shown = model.main.terminals.shown().filter(|pane| wanted.as_ref() == Some(&pane.target));
    match shown.map(|pane| &pane.state) {
        Some(PaneState::Live) if model.overlay.is_none() && model.subject().is_some_and(|row| row.name == name) => {
            model.focus.pane = Pane::Main;
            model.focus.terminal = true;
            model.work.awaited = None;
            model.dirty = true;
        }
        Some(PaneState::Ended(_)) => model.work.awaited = None,
        // A supervisor that has just begun may still be about to open it.
        Some(PaneState::Lost { .. }) if model.now.duration_since(since).unsigned_abs() > OPENS => {
            model.work.awaited = None;
        }
        _ => {}
    }
}

/// The same for the services.
fn keep_service_in_sight(model: &mut Model) {
    let Some(layout) = model.layout() else { return };
    let inner = layout.inner(Pane::Services);
    let rows = usize::from(inner.height.saturating_sub(matrix_head(inner.width)));
    if rows == 0 {
        return;
    }
    let (at, count) = (model.lists.service, model.services().count());
    let top = model.lists.service_top.clamp((at + 1).saturating_sub(rows), at);
    // Rows that have gone leave no gap at the end.
    model.lists.service_top = top.min(count.saturating_sub(rows));
}

/// Scrolls the list of workers so that the selected one is seen in full.
fn keep_selection_in_sight(model: &mut Model) {
    let Some(layout) = model.layout() else { return };
    let rows = usize::from(layout.inner(Pane::Workers).height);
    if rows == 0 {
        return;
    }
    let heights: Vec<usize> = model.workers().map(|row| 1 + usize::from(model.note_of(row).is_some())).collect();
    let at = model.lists.worker_at.min(heights.len().saturating_sub(1));
    let mut top = model.lists.worker_top.min(at);
    let through = |top: usize| heights.iter().take(at + 1).skip(top).sum::<usize>();
    while top < at && through(top) > rows {
        top += 1;
    }
    // Rows that have gone leave no gap at the end.
    while top > 0 && heights.iter().skip(top - 1).sum::<usize>() <= rows {
        top -= 1;
    }
    model.lists.worker_top = top;
}
