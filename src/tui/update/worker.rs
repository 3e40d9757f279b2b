//! Verbs on workers and the parent, and new workers.

use std::time::Duration;

use super::super::action::Context;
use super::super::effect::Effect;
use super::super::model::form::SpawnForm;
use super::super::model::overlay::{Confirm, Overlay};
use super::super::model::toast::Kind;
use super::super::model::work::doing;
use super::super::model::{Model, Pane};
use super::tell;
use crate::api::types::{ContainerRow, LinkState, SpawnRequest, State, Verb};
use crate::bay::container::Role;
use crate::bay::name::Name;
use crate::bay::remote::Remote;

/// The word on the button of a removal that loses work.
const DISCARD: &str = "discard";
/// Keys that were on their way when a question opened are not its answer.
pub const DEAF: Duration = Duration::from_millis(300);
/// The same of a question that opens by itself, perhaps under the fingers of somebody who has waited for something.
const DEAF_UNASKED: Duration = Duration::from_secs(1);

/// A verb on the marked workers, else on the subject. Asks where something would be lost.
pub fn verb(model: &mut Model, verb: Verb) -> Vec<Effect> {
    if model.focus.list == Pane::Services {
        return service_verb(model, verb);
    }
    let parent = model.focus.list == Pane::Parent;
    let rows: Vec<ContainerRow> = if parent || model.lists.marks.is_empty() {
        model.subject().into_iter().cloned().collect()
    } else {
        model.feed.workers().filter(|row| model.lists.marks.contains(&row.name)).cloned().collect()
    };
    if rows.is_empty() {
        let text = if parent { "there is no parent yet: F brings it up" } else { "nothing is selected" };
        tell(model, Kind::Note, text);
        return Vec::new();
    }
    let losses: Vec<String> = rows.iter().filter_map(|row| loss(model, row, verb)).collect();
    let effects = start(model, rows.iter().map(|row| row.name.clone()), verb);
    if effects.is_empty() {
        return effects;
    }
    let many = rows.len() > 1;
    if losses.is_empty() && !many {
        return commit(model, effects);
    }
    let question = match rows.as_slice() {
        [row] => format!("{} {}?", verb.as_str(), row.name),
        _ => format!("{} {} workers?", verb.as_str(), rows.len()),
    };
    let losses = if losses.is_empty() { rows.iter().map(|row| row.name.clone()).collect() } else { losses };
    ask(model, question, losses, verb.as_str(), effects);
    Vec::new()
}

/// A verb on the selected service; the key that stops it also starts it.
fn service_verb(model: &mut Model, verb: Verb) -> Vec<Effect> {
    let Some(service) = model.selected_service().cloned() else {
        tell(model, Kind::Note, "no service is selected");
        return Vec::new();
    };
    let rests = matches!(service.state.as_str(), "stopped" | "exited" | "failed");
    let verb = match verb {
        Verb::Stop if rests => Verb::Start,
        Verb::Stop | Verb::Restart => verb,
        _ => {
            tell(model, Kind::Note, "a service is started, stopped and restarted; the rest is the configuration's");
            return Vec::new();
        }
    };
    let effects = start(model, std::iter::once(format!("svc-{}", service.name)), verb);
    commit(model, effects)
}

/// What is lost by a verb on a row; `None`: nothing that is worth a question.
fn loss(model: &Model, row: &ContainerRow, verb: Verb) -> Option<String> {
    let alive = matches!(row.state, State::Running | State::CutOff);
    let name = &row.name;
    let workers = model.feed.workers().filter(|worker| worker.network == "shared" && worker.state == State::Running);
    let joined = workers.count();
    match (row.role, verb) {
        (Role::Parent, Verb::Stop | Verb::Restart) if alive && joined > 0 && model.feed.cut_off() == 0 => {
            Some(format!("{joined} workers lose their network until they are repaired"))
        }
        (Role::Parent, _) => None,
        (_, Verb::Remove) if row.project.as_ref().is_some_and(|project| project.parse::<Remote>().is_ok()) => {
            let ends = if alive { "what runs in it ends; " } else { "" };
            Some(format!("{name}: {ends}its clone goes, too; work in it that is nowhere else is asked about"))
        }
        (_, Verb::Remove) => Some(match (&row.project, alive) {
            (Some(project), true) => format!("{name} is running: what runs in it ends; {project} is kept"),
            (Some(project), false) => format!("{name}: its container and its log; {project} is kept"),
            (None, true) => format!("{name} is running: what runs in it ends, and its container goes"),
            (None, false) => format!("{name}: its container and its log"),
        }),
        // What has ended in sight is what the key is offered for; the list may not know yet.
        (_, Verb::Restart) if alive && !(model.shows_an_end() && model.subject() == Some(row)) => {
            Some(format!("{name}: what runs in it ends; its container and workspace are kept"))
        }
        (_, Verb::Refresh) if alive => Some(format!("{name}: what runs in it ends; workspace and agent home are kept")),
        _ => None,
    }
}

/// The effects of a verb, without those that are under way already.
fn start(model: &mut Model, names: impl Iterator<Item = String>, verb: Verb) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut busy = Vec::new();
    for name in names {
        match model.work.verbs.get(&name) {
            Some(other) => busy.push(format!("{name} is {} already", doing(*other))),
            None => effects.push(Effect::Act { name, verb }),
        }
    }
    if !busy.is_empty() {
        tell(model, Kind::Note, &busy.join(", "));
    }
    effects
}

/// What was asked about and answered with yes; nothing on no.
pub fn commit_if_any(model: &mut Model, effects: Vec<Effect>) -> Vec<Effect> {
    if effects.is_empty() { effects } else { commit(model, effects) }
}

/// Notes that the verbs are under way.
fn commit(model: &mut Model, effects: Vec<Effect>) -> Vec<Effect> {
    for effect in &effects {
        if let Effect::Act { name, verb } = effect {
            model.work.verbs.insert(name.clone(), *verb);
        }
    }
    model.lists.marks.clear();
    effects
}

/// Puts a question; the answer is no until somebody says yes.
pub fn ask(model: &mut Model, question: String, losses: Vec<String>, verb: &'static str, effects: Vec<Effect>) {
    let still_since = model.now;
    let confirm = Confirm { question, losses, verb, effects, yes: false, top: 0, patience: DEAF, still_since };
    model.overlay = Some(Overlay::Confirm(confirm));
}

/// Puts a question that nobody has asked for: whoever types is in the middle of something else.
pub fn ask_unasked(model: &mut Model, question: String, losses: Vec<String>, verb: &'static str, effects: Vec<Effect>) {
    ask(model, question, losses, verb, effects);
    if let Some(Overlay::Confirm(confirm)) = &mut model.overlay {
        confirm.patience = DEAF_UNASKED;
    }
    model.keys.clear();
    model.dirty = true;
}

/// A removal that would lose work: what that is, and whether it may go. Several answers make one question; one that
/// would cover something else that is open, or a terminal that has the keys, is only told.
pub fn ask_again(model: &mut Model, name: &str, message: &str) {
    let losses = message.lines().skip(1).map(|line| format!("{name}: {line}"));
    let effect = Effect::Act { name: name.to_owned(), verb: Verb::Discard };
    let has_keys = model.context() == Context::Focused;
    let kept = || {
        let losses: Vec<&str> = message.lines().skip(1).collect();
        format!("{name} is not removed, it holds work that is nowhere else: {}", losses.join("; "))
    };
    match &mut model.overlay {
        Some(Overlay::Confirm(confirm)) if confirm.verb == DISCARD => {
            confirm.losses.extend(losses);
            confirm.effects.push(effect);
            confirm.yes = false;
        }
        Some(_) => return tell(model, Kind::Bad, &kept()),
        None if has_keys => return tell(model, Kind::Bad, &kept()),
        None => {
            let losses = losses.collect();
            ask(model, "remove with work that is nowhere else?".to_owned(), losses, DISCARD, vec![effect]);
        }
    }
    // It opens, or says more, when nobody asked for it: whoever types is in the middle of something else.
    let now = model.now;
    if let Some(Overlay::Confirm(confirm)) = &mut model.overlay {
        (confirm.patience, confirm.still_since) = (DEAF_UNASKED, now);
    }
    model.keys.clear();
}

/// Starts what was stopped, as far as it still rests.
pub fn start_again(model: &mut Model, names: Vec<String>) -> Vec<Effect> {
    let rests = |name: &String| model.row_of(name).is_some_and(|row| row.state == State::Exited);
    let names: Vec<String> = names.into_iter().filter(rests).collect();
    if names.is_empty() {
        tell(model, Kind::Note, "what was stopped runs again already, or is gone");
        return Vec::new();
    }
    let effects = start(model, names.into_iter(), Verb::Start);
    commit(model, effects)
}

pub fn stop_all(model: &mut Model) -> Vec<Effect> {
    let names: Vec<String> = model
        .feed
        .workers()
        .filter(|row| matches!(row.state, State::Running | State::CutOff))
        .map(|row| row.name.clone())
        .collect();
    if names.is_empty() {
        tell(model, Kind::Note, "no worker is running");
        return Vec::new();
    }
    let question = format!("stop all {} running workers?", names.len());
    let losses = vec!["what runs in them ends; the containers stay".to_owned(), names.join(", ")];
    let effects = start(model, names.into_iter(), Verb::Stop);
    ask(model, question, losses, "stop all", effects);
    Vec::new()
}

/// Brings the parent back and repairs all that are cut off.
pub fn fix(model: &mut Model) -> Vec<Effect> {
    let name = model.feed.parent().map_or_else(|| "parent".to_owned(), |row| row.name.clone());
    let healthy = model.feed.cut_off() == 0 && model.feed.parent().is_some_and(|row| row.state == State::Running);
    if healthy {
        tell(model, Kind::Note, "nothing to repair: the parent runs and no worker is cut off");
        return Vec::new();
    }
    let effects = start(model, std::iter::once(name), Verb::Restart);
    commit(model, effects)
}

pub fn spawn(model: &mut Model) -> Vec<Effect> {
    let size = Some(model.next_terminal_size());
    // In the pool's pane, one of the pool that is selected.
    let pool = model.feed.pool().get(model.lists.pool).filter(|_| model.focus.pane == Pane::Pool);
    let template = pool.and_then(|row| row.template.parse().ok());
    request(model, SpawnRequest { template, size, ..SpawnRequest::default() })
}

/// Asks for a worker.
pub fn request(model: &mut Model, request: SpawnRequest) -> Vec<Effect> {
    if model.feed.snapshot.is_none() {
        tell(model, Kind::Bad, "the supervisor has not answered yet: nothing can be spawned");
        return Vec::new();
    }
    let away = model.feed.status().filter(|status| status.engine.state == LinkState::Away);
    if let Some(status) = away {
        let reason = status.engine.reason.clone().unwrap_or_default();
        tell(model, Kind::Bad, &format!("the engine is away: nothing can be spawned: {reason}"));
        return Vec::new();
    }
    if let Some(full) = no_room(model, &request) {
        tell(model, Kind::Note, &full);
    }
    model.work.spawning += 1;
    model.work.spawned_at = Some(model.now);
    vec![Effect::Spawn(Box::new(request))]
}

/// What is said when there is no room for one more beside those that were asked for: it is made all the same.
fn no_room(model: &Model, request: &SpawnRequest) -> Option<String> {
    let template = request.template.as_ref().map_or("default", Name::as_str);
    let capacity = &model.feed.status()?.capacity;
    let room = capacity.templates.iter().find(|room| room.template == template)?;
    let coming = u64::try_from(model.work.spawning).unwrap_or(u64::MAX);
    let left = room.workers?.saturating_sub(coming);
    let what = room.ends_first.as_deref().unwrap_or("the machine");
    (left == 0).then(|| format!("past what {what} has room for: one more is made all the same, and all are slower"))
}

pub fn spawn_form(model: &mut Model) -> Vec<Effect> {
    let templates = model.feed.status().map(|status| status.templates.clone()).unwrap_or_default();
    model.overlay = Some(Overlay::Form(Box::new(SpawnForm::new(templates))));
    Vec::new()
}
