//! Names that were asked for outside of the bay, answered one by one.

use super::super::action::Action;
use super::super::effect::Effect;
use super::super::model::doors::{ANSWERS, Doors};
use super::super::model::overlay::Overlay;
use super::super::model::toast::Kind;
use super::super::model::{Model, cycle};
use super::super::msg::Answer;
use super::tell;
use crate::api::types::{Done, NetworkAnswer};

/// Opens the dialog at the newest name; without one, says how the way out stands.
pub fn open(model: &mut Model) {
    if let Some(first) = model.asked().first() {
        let name = first.name.clone();
        model.overlay = Some(Overlay::Doors(Doors { name, answer: 0, answered_at: None }));
        return;
    }
    let text = match model.feed.status() {
        Some(status) => format!("network: {}; no name waits for an answer", status.network.text),
        None => "not known: the supervisor does not answer".to_owned(),
    };
    tell(model, Kind::Note, &text);
}

pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(Overlay::Doors(doors)) = model.overlay.as_ref() else { return Vec::new() };
    let (at, answer) = (model.chosen_door(doors), doors.answer);
    let places: Vec<usize> = (0..model.asked().len()).collect();
    match action {
        Action::NextChoice | Action::MoveDown => choose(model, cycle(&places, at, 1)),
        Action::PreviousChoice | Action::MoveUp => choose(model, cycle(&places, at, -1)),
        Action::Switch => {
            if let Some(Overlay::Doors(doors)) = model.overlay.as_mut() {
                doors.answer = (answer + 1) % ANSWERS.len();
            }
        }
        Action::Yes => return give(model, at, NetworkAnswer::Bay),
        Action::No => return give(model, at, NetworkAnswer::Refuse),
        Action::Accept => {
            let answer = ANSWERS.get(answer).map_or(NetworkAnswer::Once, |(answer, _)| *answer);
            return give(model, at, answer);
        }
        Action::Cancel | Action::Back => model.overlay = None,
        _ => {}
    }
    Vec::new()
}

fn choose(model: &mut Model, at: usize) {
    let name = model.asked().get(at).map(|row| row.name.clone());
    if let (Some(Overlay::Doors(doors)), Some(name)) = (model.overlay.as_mut(), name) {
        doors.name = name;
    }
}

fn give(model: &mut Model, at: usize, answer: NetworkAnswer) -> Vec<Effect> {
    let Some(name) = model.asked().get(at).map(|row| row.name.clone()) else {
        model.overlay = None;
        return Vec::new();
    };
    let now = model.now;
    match model.asked().get(at + 1).or_else(|| model.asked().first()).map(|row| row.name.clone()) {
        // The next one, before this one leaves the list.
        Some(next) if next != name => {
            if let Some(Overlay::Doors(doors)) = model.overlay.as_mut() {
                (doors.name, doors.answered_at) = (next, Some(now));
            }
        }
        _ => model.overlay = None,
    }
    vec![Effect::AnswerName { name, answer }]
}

pub fn answered(model: &mut Model, name: &str, result: Answer<Done>) -> Vec<Effect> {
    match result {
        Ok(done) => tell(model, Kind::Good, &done.text),
        Err(error) => tell(model, Kind::Bad, &format!("{name}: {error}")),
    }
    Vec::new()
}
