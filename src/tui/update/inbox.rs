//! Who needs somebody: the key that goes there, and how the user is told.

use crossterm::event::Event;

use super::super::effect::Effect;
use super::super::model::toast::Kind;
use super::super::model::{Model, Pane, Tab};
use super::super::msg::Msg;
use super::{act, list, tell};
use crate::bay::attention::Need;

/// To the next worker that needs somebody, from the most urgent on, round and round. Its terminal is shown, not typed into.
pub fn jump(model: &mut Model) {
    let names: Vec<String> = model.inbox().iter().map(|(row, _)| row.name.clone()).collect();
    let at = names.iter().position(|name| Some(name) == model.lists.worker.as_ref());
    let Some(next) = names.get(at.map_or(0, |at| (at + 1) % names.len())).cloned() else {
        tell(model, Kind::Note, "no worker needs anybody");
        return;
    };
    // One that a filter hides is no less in need.
    if model.workers().all(|row| row.name != next) {
        model.lists.filters.remove(&Pane::Workers);
    }
    list::select(model, Some(next));
    model.main.tab = Tab::Terminal;
    act::focus(model, Pane::Workers);
}

/// Whether somebody is there: a resize comes by itself, and who looks away does not look.
pub const fn is_somebody(msg: &Msg) -> bool {
    matches!(msg, Msg::Input(event) if !matches!(event, Event::FocusLost | Event::Resize(..)))
}

/// Tells of those that need somebody since the last time, and how many there are.
pub fn settle(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.feed.snapshot.is_none() {
        return;
    }
    let calls = model.inbox().into_iter().filter(|(_, attention)| attention.need.calls());
    let now: Vec<_> = calls.map(|(row, attention)| (row.name.clone(), attention.need, attention.since)).collect();
    let title = if now.is_empty() { "podbay".to_owned() } else { format!("({}) podbay", now.len()) };
    if model.inbox.title != title {
        model.inbox.title.clone_from(&title);
        effects.push(Effect::Title(title));
    }
    let Some(before) = model.inbox.told.replace(now.clone()) else { return };
    let fresh: Vec<_> = now.into_iter().filter(|call| !before.contains(call)).collect();
    for (name, need, _) in fresh {
        call(model, &name, need, effects);
    }
}

/// Tells the user of one, in the way that fits: nothing where it is on the screen already, a word where the dashboard is
/// looked at, else by the terminal.
fn call(model: &mut Model, name: &str, need: Need, effects: &mut Vec<Effect>) {
    let shown = model.is_seen(name);
    let looking = model.inbox.looking;
    if shown && looking != Some(false) {
        return;
    }
    let text = format!("{name} {}", need.as_str());
    if looking != Some(true) {
        effects.push(Effect::Notify(text.clone()));
    }
    tell(model, Kind::Note, &format!("{text}: ! goes there"));
}
