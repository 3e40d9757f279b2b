//! When what a bay's dashboard remembers is written: after a change, not more often than once a second, and at the end.

use std::time::Duration;

use super::super::effect::Effect;
use super::super::model::Model;

/// Between two writings.
pub const PACE: Duration = Duration::from_secs(1);

pub fn settle(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.feed.snapshot.is_none() {
        return;
    }
    if let Some(name) = model.memory.service.take() {
        let at = model.services().position(|service| service.name == name);
        model.lists.service = at.unwrap_or(model.lists.service);
    }
    let now = model.remembered();
    if model.memory.written.as_ref() == Some(&now) {
        model.memory.waits = false;
        return;
    }
    let ends = effects.contains(&Effect::Quit);
    let soon = model.memory.at.is_some_and(|at| model.now.duration_since(at).unsigned_abs() < PACE);
    model.memory.waits = soon && !ends;
    if model.memory.waits {
        return;
    }
    model.memory.at = Some(model.now);
    model.memory.written = Some(now.clone());
    // Before the end: nothing is done after that.
    effects.insert(0, Effect::Remember(Box::new(now)));
}
