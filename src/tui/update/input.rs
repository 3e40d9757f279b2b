//! Keys, pastes and sizes.

use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Size;

use super::super::action::{Action, Context};
use super::super::effect::Effect;
use super::super::keymap::{Found, Key};
use super::super::model::Model;
use super::super::model::terminals::PaneState;
use super::super::model::toast::Kind;
use super::{act, mouse, overlay, tell, terminal, tiles};
use crate::terminal::keys;

/// Longest sequence of keys.
const MAX_KEYS: usize = 8;
/// Somebody who types makes no longer pause.
const PAUSE: Duration = Duration::from_millis(700);

pub fn input(model: &mut Model, event: Event) -> Vec<Effect> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => pressed(model, key),
        Event::Paste(text) => pasted(model, &text),
        Event::Resize(columns, rows) => {
            model.size = Size::new(columns, rows);
            model.dirty = true;
            Vec::new()
        }
        Event::Mouse(event) => mouse::mouse(model, event),
        Event::FocusGained | Event::FocusLost => {
            model.inbox.looking = Some(event == Event::FocusGained);
            Vec::new()
        }
        Event::Key(_) => Vec::new(),
    }
}

fn pressed(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    let context = model.context();
    let key = Key::from(event);
    if context == Context::Focused {
        return focused(model, event, key);
    }
    model.dirty = true;
    if overlay::is_deaf(model) || is_for_the_lost(model, key) {
        return Vec::new();
    }
    if terminal::left_just_now(model)
        && model.settings.keymap.find(Context::Focused, &[key]) == Found::Action(Action::Leave)
    {
        return terminal::send_leaving_key(model, event);
    }
    let just_left = terminal::left_just_now(model);
    model.focus.left_at = None;
    if just_left && let Found::Action(action) = model.settings.keymap.find(Context::Left, &[key]) {
        match action {
            Action::LookBack => terminal::look_back(model),
            other => tiles::act_and_type(model, other),
        }
        return Vec::new();
    }
    model.keys.push(key);
    match model.settings.keymap.find(context, &model.keys) {
        Found::Action(action) => {
            model.keys.clear();
            act::act(model, action)
        }
        Found::Prefix if model.keys.len() < MAX_KEYS => Vec::new(),
        Found::Prefix | Found::Nothing => unbound(model, context, event),
    }
}

/// Whoever types into a terminal that goes away types on for a moment: that is no command.
fn is_for_the_lost(model: &mut Model, key: Key) -> bool {
    let Some(at) = model.focus.lost_at.take() else { return false };
    let leaves = model.settings.keymap.find(Context::Focused, &[key]) == Found::Action(Action::Leave);
    let soon = model.now.duration_since(at).unsigned_abs() < PAUSE;
    model.focus.lost_at = Some(model.now).filter(|_| soon && !leaves);
    soon
}

/// A key that means nothing here: text in a line, else the end of a sequence.
fn unbound(model: &mut Model, context: Context, event: KeyEvent) -> Vec<Effect> {
    let typed = std::mem::take(&mut model.keys);
    if context == Context::Prompt {
        return overlay::typed(model, event);
    }
    // A list in a dialog is gone through as any other one.
    if context == Context::Dialog
        && let Found::Action(action @ (Action::MoveDown | Action::MoveUp)) =
            model.settings.keymap.find(Context::Global, &typed)
    {
        return act::act(model, action);
    }
    let is_interrupt = event.code == KeyCode::Char('c') && event.modifiers.contains(KeyModifiers::CONTROL);
    if is_interrupt && let Some(key) = model.settings.keymap.key_of(Action::Quit, Context::Global) {
        tell(model, Kind::Note, &format!("{key} leaves the dashboard; in a terminal ctrl-c goes to the program"));
    }
    match typed.as_slice() {
        [key] if context.takes_global() && !is_interrupt => return unbound_here(model, context, key),
        [] | [_] => {}
        keys => {
            let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
            tell(model, Kind::Note, &format!("no action on {}", keys.join(" ")));
        }
    }
    Vec::new()
}

/// A key that means nothing in this pane. What is said of it is where it means something.
fn unbound_here(model: &mut Model, context: Context, key: &Key) -> Vec<Effect> {
    let list = model.list_context();
    let (pane, _) = model.focus.list.title();
    let keymap = &model.settings.keymap;
    let there = match keymap.find(list, std::slice::from_ref(key)) {
        Found::Action(action) if context != list => action.spec(),
        _ => None,
    };
    let text = match there {
        // Where the program has ended, the key that is offered there is meant.
        Some(spec) if spec.action == Action::Restart && context == Context::Terminal && model.shows_an_end() => {
            return act::act(model, Action::Restart);
        }
        Some(spec) => {
            let name = if spec.hint.is_empty() { spec.name } else { spec.hint };
            let palette = keymap.key_of(Action::Palette, Context::Global).unwrap_or_default();
            format!("{key} ({name}) holds in pane {pane}, not here; {palette} finds it everywhere")
        }
        None => {
            let help = keymap.key_of(Action::Help, Context::Global).unwrap_or_default();
            format!("{key} does nothing here; {help} shows the keys")
        }
    };
    tell(model, Kind::Note, &text);
    Vec::new()
}

/// A key for a program that reads it, of which nothing else follows. `None`: more may, so it goes the whole way.
pub fn straight(model: &mut Model, event: KeyEvent) -> Option<Vec<Effect>> {
    let plain = event.kind != KeyEventKind::Release
        && model.context() == Context::Focused
        && model.keys.is_empty()
        && model.work.awaited.is_none()
        && !terminal::is_cut_off(model)
        && model.settings.keymap.find(Context::Focused, &[Key::from(event)]) == Found::Nothing;
    let shown = model.main.terminals.shown().filter(|pane| plain && pane.state == PaneState::Live)?;
    let emulator = shown.emulator.as_ref().filter(|emulator| emulator.screen().scrollback() == 0)?;
    let effects = terminal::type_into(shown.key, keys::key(event, emulator.modes()));
    (!model.look_at_ends()).then_some(effects)
}

fn focused(model: &mut Model, event: KeyEvent, key: Key) -> Vec<Effect> {
    model.keys.push(key);
    match model.settings.keymap.find(Context::Focused, &model.keys) {
        Found::Action(_) => {
            model.keys.clear();
            terminal::leave(model);
            Vec::new()
        }
        Found::Prefix if model.keys.len() < MAX_KEYS => Vec::new(),
        // Also the keys of a leaving sequence that was not finished go to the program: only the last is known in full,
        // so a sequence of several keys costs the program the first ones. The default is one key.
        Found::Prefix | Found::Nothing => {
            model.keys.clear();
            // Nothing is drawn for it: the program's answer is.
            terminal::typed(model, event)
        }
    }
}

fn pasted(model: &mut Model, text: &str) -> Vec<Effect> {
    match model.context() {
        Context::Focused => terminal::pasted(model, text),
        Context::Prompt => {
            model.dirty = true;
            overlay::pasted(model, text);
            Vec::new()
        }
        // A paste elsewhere is no command.
        _ => {
            let key = model.settings.keymap.key_of(Action::Open, Context::Global).unwrap_or_default();
            tell(model, Kind::Note, &format!("nothing takes a paste here; {key} gives a terminal the keys"));
            Vec::new()
        }
    }
}
