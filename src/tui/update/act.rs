//! An action, done: the one place where the table's actions become deeds.

use std::time::Duration;

use super::super::action::{Action, Context};
use super::super::effect::Effect;
use super::super::model::overlay::{FilterLine, Overlay, WhyAnswer, line};
use super::super::model::toast::Kind;
use super::super::model::{Model, Pane, Tab, cycle};
use super::{
    copying, doors, inbox, list, log_keys, looks, main_pane, overlay, pool, tell, terminal, tiles, undo, worker,
};
use crate::api::types::Verb;
use crate::bay::container::Role;

/// The copy key pressed again within this copies the next thing.
const AGAIN: Duration = Duration::from_secs(3);

pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    if let Some(taken) = overlay::act(model, action) {
        return taken;
    }
    if let Some(taken) = copying::act(model, action) {
        return taken;
    }
    if tiles::act(model, action).is_some() {
        return Vec::new();
    }
    if is_of_no_service(model, action) {
        tell(model, Kind::Note, "no service is configured");
        return Vec::new();
    }
    match action {
        Action::MoveDown
        | Action::MoveUp
        | Action::First
        | Action::Last
        | Action::PageDown
        | Action::PageUp
        | Action::HalfDown
        | Action::HalfUp => return list::moved(model, action),
        Action::NextPane => step_pane(model, 1),
        Action::PreviousPane => step_pane(model, -1),
        Action::PaneParent => focus(model, Pane::Parent),
        Action::PaneWorkers => focus(model, Pane::Workers),
        Action::PanePool => focus(model, Pane::Pool),
        Action::PaneServices => focus(model, Pane::Services),
        Action::PaneMain => focus(model, Pane::Main),
        Action::NextTab => model.main.tab = model.main.tab.step(1),
        Action::PreviousTab => model.main.tab = model.main.tab.step(-1),
        Action::ShowLogs => show(model, Tab::Logs),
        Action::ShowInspect => show(model, Tab::Inspect),
        Action::ShowFigures => show_all(model, Tab::Figures),
        Action::ShowEvents => show_all(model, Tab::Events),
        Action::ShowPorts => show_all(model, Tab::Ports),
        Action::Back => back(model),
        Action::Help => model.overlay = Some(Overlay::Help { context: model.context(), top: 0 }),
        Action::Palette => overlay::open_palette(model, model.context()),
        Action::Filter => filter(model),
        Action::ScrollLeft => main_pane::scroll_sideways(model, -8),
        Action::ScrollRight => main_pane::scroll_sideways(model, 8),
        Action::NextSession => terminal::step(model, 1),
        Action::PreviousSession => terminal::step(model, -1),
        Action::Mark => list::mark(model),
        Action::NextCall => inbox::jump(model),
        Action::Sort => list::sort(model),
        Action::ShowDoors => doors::open(model),
        Action::Theme => looks::open(model),
        Action::Select => copying::enter(model, true),
        Action::Leave => terminal::leave(model),
        Action::LookBack => terminal::look_back(model),
        _ => return effects(model, action),
    }
    Vec::new()
}

/// Pane 5 goes on showing the worker that was selected before, but whoever is in an empty list does not mean that one.
fn is_of_no_service(model: &Model, action: Action) -> bool {
    model.focus.pane == Pane::Services
        && model.feed.services().is_empty()
        && matches!(
            action,
            Action::Open
                | Action::Stop
                | Action::Restart
                | Action::Refresh
                | Action::Remove
                | Action::Shell
                | Action::ShowLogs
                | Action::ShowInspect
                | Action::Copy
        )
}

/// Whoever asks for a worker and types at once means its terminal, which is not there yet.
const TYPED_AHEAD: Duration = Duration::from_secs(2);

fn is_typed_ahead(model: &Model, action: Action) -> bool {
    let waits = model.work.spawning > 0 || model.work.awaited.is_some();
    let soon = |at| model.now.duration_since(at).unsigned_abs() < TYPED_AHEAD;
    let meant = matches!(action, Action::Spawn | Action::SpawnForm | Action::Quit | Action::Suspend | Action::NextCall);
    let asked = [model.work.spawned_at, model.work.awaited_since];
    waits && !meant && asked.into_iter().flatten().any(soon)
}

/// The actions that reach outside.
fn effects(model: &mut Model, action: Action) -> Vec<Effect> {
    if is_typed_ahead(model, action) {
        tell(model, Kind::Note, "the terminal opens: what is typed before it is there does nothing");
        return Vec::new();
    }
    match action {
        Action::Open => terminal::focus(model),
        Action::Spawn => worker::spawn(model),
        Action::SpawnForm => worker::spawn_form(model),
        Action::Stop => worker::verb(model, Verb::Stop),
        Action::Restart => worker::verb(model, Verb::Restart),
        Action::Refresh => worker::verb(model, Verb::Refresh),
        Action::Remove => worker::verb(model, Verb::Remove),
        Action::StopAll => worker::stop_all(model),
        Action::Undo => undo::undo(model),
        Action::MoreWarm => pool::scale(model, 1),
        Action::LessWarm => pool::scale(model, -1),
        Action::Fix => worker::fix(model),
        Action::Shell => terminal::shell(model),
        Action::CloseSession => terminal::close(model),
        Action::Why => why(model),
        Action::Copy => copy(model),
        Action::Suspend => vec![Effect::Suspend],
        Action::Quit => vec![Effect::Quit],
        other => log_keys::act(model, other),
    }
}

/// Focuses a pane.
pub fn focus(model: &mut Model, pane: Pane) {
    model.focus.pane = pane;
    model.focus.terminal = false;
    let services = pane == Pane::Services && !model.feed.services().is_empty();
    if matches!(pane, Pane::Parent | Pane::Workers) || services {
        model.focus.list = pane;
    }
}

/// Goes where an action belongs.
pub fn go(model: &mut Model, place: Context) {
    copying::leave(model);
    match place {
        Context::Parent => focus(model, Pane::Parent),
        Context::Workers => focus(model, Pane::Workers),
        Context::Pool => focus(model, Pane::Pool),
        Context::Services => focus(model, Pane::Services),
        Context::Copy => copying::enter(model, false),
        place => {
            if let Some(tab) = Tab::ALL.into_iter().find(|tab| tab.context() == place) {
                show_all(model, tab);
            }
        }
    }
}

fn step_pane(model: &mut Model, step: isize) {
    let pane = cycle(&Pane::ALL, model.focus.pane, step);
    focus(model, pane);
}

/// A tab of the subject; from a list the reader goes there, too, because the tab's own keys are wanted next.
fn show(model: &mut Model, tab: Tab) {
    if model.subject().is_none() {
        tell(model, Kind::Note, "nothing is selected");
        return;
    }
    show_all(model, tab);
}

/// The same for a tab that is of the whole bay.
fn show_all(model: &mut Model, tab: Tab) {
    model.main.tab = tab;
    focus(model, Pane::Main);
}

fn back(model: &mut Model) {
    let pane = model.focus.pane;
    if !model.keys.is_empty() {
        model.keys.clear();
    } else if pane == Pane::Workers && !model.lists.marks.is_empty() {
        model.lists.marks.clear();
    } else if model.lists.filters.get(&pane).is_some_and(|filter| !filter.is_empty()) {
        let filter = model.lists.filters.remove(&pane).unwrap_or_default();
        undo::filter_gone(model, pane, filter);
    } else if pane == Pane::Main && model.main.tab == Tab::Logs && log_keys::back(model) {
        model.dirty = true;
    } else if model.focus.zoom {
        model.focus.zoom = false;
    } else if pane == Pane::Main {
        let list = model.focus.list;
        focus(model, list);
    } else if !model.toasts.items.is_empty() {
        model.toasts.items.clear();
    }
}

fn filter(model: &mut Model) {
    let pane = model.focus.pane;
    if !matches!(pane, Pane::Workers | Pane::Services) {
        tell(model, Kind::Note, "there is nothing to filter here");
        return;
    }
    let before = model.lists.filter_of(pane).to_owned();
    model.overlay = Some(Overlay::Filter(Box::new(FilterLine { pane, input: line(&before), before })));
}

fn why(model: &mut Model) -> Vec<Effect> {
    let name = match model.focus.pane {
        Pane::Pool => model.feed.pool().get(model.lists.pool).map(|row| format!("pool/{}", row.template)),
        Pane::Services => model.selected_service().map(|row| format!("service/{}", row.name)),
        _ => model.subject().map(|row| row.name.clone()),
    };
    let Some(name) = name else {
        tell(model, Kind::Note, "nothing is selected");
        return Vec::new();
    };
    model.overlay = Some(Overlay::Why { name: name.clone(), answer: WhyAnswer::Asking, top: 0 });
    vec![Effect::Why { name }]
}

/// Copies the row's name; pressed again its id, its address, its project, and from the start.
fn copy(model: &mut Model) -> Vec<Effect> {
    let Some(row) = model.subject().cloned() else {
        tell(model, Kind::Note, "nothing is selected");
        return Vec::new();
    };
    let address = row.ports.first().and_then(|port| Some(format!("{}:{}", port.ip?, port.host)));
    let given = |what, text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| (what, text));
    let service = row.role == Role::Service;
    let name = row.name.strip_prefix("svc-").filter(|_| service).unwrap_or(&row.name).to_owned();
    let all = [
        given("name", Some(name)),
        given("id", Some(row.id.clone()).filter(|_| !service)),
        given("address", address),
        given("project", row.project.clone()),
    ];
    let all: Vec<(&str, String)> = all.into_iter().flatten().collect();
    let now = model.now;
    let again = model
        .work
        .copied
        .take()
        .filter(|(name, _, at)| *name == row.name && now.duration_since(*at).unsigned_abs() < AGAIN);
    let at = again.map_or(0, |(_, at, _)| at + 1) % all.len().max(1);
    let Some((what, text)) = all.get(at).cloned() else { return Vec::new() };
    let next = all.get((at + 1) % all.len()).map_or("", |(what, _)| what);
    tell(model, Kind::Note, &format!("the {what} of {}; once more: its {next}", row.name));
    model.work.copied = Some((row.name, at, now));
    vec![Effect::Copy(text)]
}

/// The subject's name, or a word that there is none.
pub fn subject_name(model: &mut Model) -> Option<String> {
    let name = model.subject().map(|row| row.name.clone());
    if name.is_none() {
        tell(model, Kind::Note, "nothing is selected");
    }
    name
}
