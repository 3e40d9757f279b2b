//! Moving through whatever is focused.

use super::super::action::Action;
use super::super::effect::Effect;
use super::super::model::list::Sort;
use super::super::model::toast::Kind;
use super::super::model::undo::Undo;
use super::super::model::{Model, Pane, cycle};
use super::{main_pane, tell, undo};

/// A step of `action` in lines, for a page of so many rows.
pub fn step_of(action: Action, rows: usize) -> isize {
    let page = isize::try_from(rows.max(2)).unwrap_or(isize::MAX);
    match action {
        Action::MoveDown => 1,
        Action::MoveUp => -1,
        Action::PageDown => page - 1,
        Action::PageUp => 1 - page,
        Action::HalfDown => (page / 2).max(1),
        Action::HalfUp => -(page / 2).max(1),
        Action::First => isize::MIN / 2,
        Action::Last => isize::MAX / 2,
        _ => 0,
    }
}

pub fn moved(model: &mut Model, action: Action) -> Vec<Effect> {
    let pane = model.focus.pane;
    let step = step_of(action, model.page(pane).1);
    by(model, pane, step)
}

/// Moves in a pane by so many lines.
pub fn by(model: &mut Model, pane: Pane, step: isize) -> Vec<Effect> {
    match pane {
        Pane::Parent => {}
        Pane::Workers => workers(model, step),
        Pane::Pool => model.lists.pool = place(model.lists.pool, step, model.feed.pool().len()),
        Pane::Services => model.lists.service = place(model.lists.service, step, model.services().count()),
        Pane::Main => return main_pane::scroll(model, step),
    }
    Vec::new()
}

fn workers(model: &mut Model, step: isize) {
    let names: Vec<String> = model.workers().map(|row| row.name.clone()).collect();
    let at = names.iter().position(|name| Some(name) == model.lists.worker.as_ref()).unwrap_or(0);
    select(model, names.get(place(at, step, names.len())).cloned());
}

/// Selects a worker because the user says so.
pub fn select(model: &mut Model, name: Option<String>) {
    model.lists.worker = name;
    // Who moves on does not wait for a terminal to jump up.
    model.work.awaited = None;
}

fn place(at: usize, step: isize, count: usize) -> usize {
    at.saturating_add_signed(step).min(count.saturating_sub(1))
}

/// The next order.
pub fn sort(model: &mut Model) {
    model.undo.push(Undo::Sort(model.lists.sort));
    model.lists.sort = cycle(&Sort::ALL, model.lists.sort, 1);
    let text = format!("workers {}{}", model.lists.sort.as_str(), undo::offer(model, "goes back"));
    tell(model, Kind::Note, &text);
}

pub fn mark(model: &mut Model) {
    if let Some(name) = model.selected_worker().map(|row| row.name.clone()) {
        if !model.lists.marks.remove(&name) {
            model.lists.marks.insert(name);
        }
        workers(model, 1);
    }
}

/// Selects the worker that is drawn on this row of the pane.
pub fn select_row(model: &mut Model, row: usize) {
    let mut left = row;
    let mut found = None;
    for worker in model.workers().skip(model.lists.worker_top) {
        let height = 1 + usize::from(model.note_of(worker).is_some());
        if left < height {
            found = Some(worker.name.clone());
            break;
        }
        left -= height;
    }
    if found.is_some() {
        select(model, found);
    }
}

/// Selects the service that is drawn on this row of the pane, of which so many are no services.
pub fn select_service_row(model: &mut Model, row: u16, head: u16) {
    let Some(row) = row.checked_sub(head) else { return };
    let at = model.lists.service_top + usize::from(row);
    if at < model.services().count() {
        model.lists.service = at;
    }
}
