//! What lies over the panes.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_textarea::TextArea;

use super::super::action::{Action, Context};
use super::super::effect::Effect;
use super::super::model::doors::Doors;
use super::super::model::form::{Field, SpawnForm};
use super::super::model::overlay::{Overlay, Palette, WhyAnswer, text_of};
use super::super::model::{Model, cycle};
use super::super::msg::Answer;
use super::{act as actions, doors, error_text, list, log_keys, looks, worker};
use crate::api::types::Why;
use crate::terminal::safe::is_harmful;

/// Longest text in a line.
const MAX_TEXT: usize = 4096;

/// What an action means to the overlay; `None`: there is no overlay.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Effect>> {
    let taken = match model.overlay.as_ref()? {
        Overlay::Help { .. } | Overlay::Why { .. } => reader(model, action),
        Overlay::Confirm(_) => confirm(model, action),
        Overlay::Form(_) => form(model, action),
        Overlay::Palette(_) => palette(model, action),
        Overlay::Filter(_) => filter(model, action),
        Overlay::Prompt(_) => log_keys::prompted(model, action),
        Overlay::Doors(_) => doors::act(model, action),
        Overlay::Looks(_) => {
            looks::act(model, action);
            Vec::new()
        }
    };
    Some(taken)
}

/// Every action by name, those of the selected row's list included.
pub fn open_palette(model: &mut Model, context: Context) {
    let list = model.list_context();
    model.overlay = Some(Overlay::Palette(Box::new(Palette::new(context, list))));
}

fn reader(model: &mut Model, action: Action) -> Vec<Effect> {
    if let (Action::Filter, Some(Overlay::Help { context, .. })) = (action, &model.overlay) {
        let context = *context;
        open_palette(model, context);
        return Vec::new();
    }
    if matches!(action, Action::Back | Action::Close | Action::Fix) {
        model.overlay = None;
        // The key that a reason names works where the reason is read.
        return if action == Action::Fix { worker::fix(model) } else { Vec::new() };
    }
    let rows = usize::from(model.size.height.saturating_sub(6)).max(1);
    let step = list::step_of(action, rows);
    let lines = super::super::view::overlay_lines(model);
    if let Some(Overlay::Help { top, .. } | Overlay::Why { top, .. }) = model.overlay.as_mut() {
        *top = top.saturating_add_signed(step).min(lines.saturating_sub(rows));
    }
    Vec::new()
}

/// Whether a key is not meant for the question that is open: it was on its way when that opened, or is one more of those
/// that were.
pub fn is_deaf(model: &mut Model) -> bool {
    let now = model.now;
    let (since, patience) = match model.overlay.as_mut() {
        Some(Overlay::Confirm(confirm)) => (&mut confirm.still_since, confirm.patience),
        // Who answers the next name has to have seen it.
        Some(Overlay::Doors(Doors { answered_at: Some(at), .. })) => (at, super::worker::DEAF),
        _ => return false,
    };
    let deaf = now.duration_since(*since).unsigned_abs() < patience;
    if deaf {
        *since = now;
    }
    deaf
}

fn confirm(model: &mut Model, action: Action) -> Vec<Effect> {
    let rows = super::super::view::told_at_once(model);
    let most = super::super::view::overlay_lines(model).saturating_sub(rows);
    let Some(Overlay::Confirm(confirm)) = model.overlay.as_mut() else { return Vec::new() };
    match action {
        Action::Switch | Action::NextChoice | Action::PreviousChoice => {
            confirm.yes = !confirm.yes;
            return Vec::new();
        }
        Action::PageDown | Action::PageUp => {
            confirm.top = confirm.top.saturating_add_signed(list::step_of(action, rows)).min(most);
            return Vec::new();
        }
        Action::Yes => confirm.yes = true,
        Action::Accept => {}
        _ => confirm.yes = false,
    }
    let effects = if confirm.yes { std::mem::take(&mut confirm.effects) } else { Vec::new() };
    model.overlay = None;
    worker::commit_if_any(model, effects)
}

fn form(model: &mut Model, action: Action) -> Vec<Effect> {
    let size = model.next_terminal_size();
    let Some(Overlay::Form(form)) = model.overlay.as_mut() else { return Vec::new() };
    match action {
        Action::NextChoice => form.field = cycle(&Field::ALL, form.field, 1),
        Action::PreviousChoice => form.field = cycle(&Field::ALL, form.field, -1),
        Action::Cancel => model.overlay = None,
        Action::Accept => match form.request(size) {
            Ok(request) => {
                model.overlay = None;
                return worker::request(model, request);
            }
            Err((field, why)) => {
                form.field = field;
                form.error = Some((field, why));
            }
        },
        _ => {}
    }
    Vec::new()
}

fn palette(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(Overlay::Palette(palette)) = model.overlay.as_mut() else { return Vec::new() };
    let found = palette.found();
    let all: Vec<usize> = (0..found.len()).collect();
    match action {
        Action::NextChoice => palette.chosen = cycle(&all, palette.chosen, 1),
        Action::PreviousChoice => palette.chosen = cycle(&all, palette.chosen, -1),
        Action::Accept => {
            let chosen = found.get(palette.chosen).map(|spec| (spec.action, palette.way_to(spec)));
            model.overlay = None;
            let Some((action, place)) = chosen else { return Vec::new() };
            if let Some(place) = place {
                actions::go(model, place);
            }
            return actions::act(model, action);
        }
        _ => model.overlay = None,
    }
    Vec::new()
}

fn filter(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(Overlay::Filter(line)) = model.overlay.as_ref() else { return Vec::new() };
    match action {
        Action::NextChoice => return list::by(model, line.pane, 1),
        Action::PreviousChoice => return list::by(model, line.pane, -1),
        Action::Cancel => {
            model.lists.filters.insert(line.pane, line.before.clone());
            model.overlay = None;
        }
        _ => model.overlay = None,
    }
    Vec::new()
}

/// A key that is text.
pub fn typed(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    // Ctrl-m and ctrl-j are line ends to the text area; these are single lines.
    let breaks = event.modifiers.contains(KeyModifiers::CONTROL) && matches!(event.code, KeyCode::Char('m' | 'j'));
    if breaks || event.code == KeyCode::Enter {
        return Vec::new();
    }
    if let Some(Overlay::Form(form)) = model.overlay.as_mut()
        && form.field == Field::Template
    {
        choose_template(form, event.code);
        return Vec::new();
    }
    // Some ways of input give them as keys.
    if matches!(event.code, KeyCode::Char(c) if is_harmful(c)) {
        return Vec::new();
    }
    let full = |area: &TextArea<'_>| text_of(area).len() >= MAX_TEXT && matches!(event.code, KeyCode::Char(_));
    if let Some(area) = area(model)
        && !full(area)
    {
        // The text area takes ctrl-u for undo; a line editor's user clears the line with it.
        if event.modifiers.contains(KeyModifiers::CONTROL) && event.code == KeyCode::Char('u') {
            area.delete_line_by_head();
        } else {
            area.input(event);
        }
    }
    changed(model);
    Vec::new()
}

fn choose_template(form: &mut SpawnForm, code: KeyCode) {
    match code {
        KeyCode::Left => form.choose(-1),
        KeyCode::Right | KeyCode::Char(' ') => form.choose(1),
        _ => {}
    }
}

pub fn pasted(model: &mut Model, text: &str) {
    // One line, without anything that is not text.
    let text: String = text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).take(MAX_TEXT).collect();
    if let Some(area) = area(model) {
        area.insert_str(text.trim());
    }
    changed(model);
}

/// The line that takes the text.
fn area(model: &mut Model) -> Option<&mut TextArea<'static>> {
    match model.overlay.as_mut()? {
        Overlay::Form(form) if form.field != Field::Template => form.input(),
        Overlay::Palette(palette) => Some(&mut palette.input),
        Overlay::Filter(line) => Some(&mut line.input),
        Overlay::Prompt(prompt) => Some(&mut prompt.input),
        _ => None,
    }
}

/// What follows from another text.
fn changed(model: &mut Model) {
    match model.overlay.as_mut() {
        Some(Overlay::Form(form)) => form.error = None,
        Some(Overlay::Palette(palette)) => palette.chosen = 0,
        Some(Overlay::Filter(line)) => {
            let (pane, text) = (line.pane, text_of(&line.input));
            model.lists.filters.insert(pane, text);
        }
        Some(Overlay::Prompt(_)) => log_keys::typed(model),
        _ => {}
    }
}

pub fn why_answered(model: &mut Model, of: &str, result: Answer<Why>) -> Vec<Effect> {
    if let Some(Overlay::Why { name, answer, .. }) = model.overlay.as_mut()
        && name == of
    {
        *answer = match result {
            Ok(why) => WhyAnswer::Known(Box::new(why)),
            Err(error) => WhyAnswer::Failed(error_text(&error)),
        };
        model.dirty = true;
    }
    Vec::new()
}
