//! The one question about walls that are weaker than namespaces.

use super::super::action::Context;
use super::super::effect::Effect;
use super::super::model::Model;
use super::super::model::toast::Kind;
use super::super::msg::Answer;
use super::{complain, tell, worker};
use crate::api::types::{Done, LinkState};
use crate::bay::isolation::Isolation;

/// The word on the button.
const RUN: &str = "run them so";

/// Asks, where that is all that is missing, once and when nothing else is open.
pub fn settle(model: &mut Model) {
    let Some(engine) = model.feed.status().map(|status| &status.engine) else { return };
    let Some(level) = engine.weaker.filter(|_| engine.state == LinkState::Away) else { return };
    if model.work.asked_isolation || model.overlay.is_some() || model.context() == Context::Focused {
        return;
    }
    model.work.asked_isolation = true;
    // What is lost by it comes first: the reason may be longer than the screen.
    let losses = vec![
        level.gives_up().to_owned(),
        "The answer is kept for this bay; `podbay --isolation namespaces` takes it back.".to_owned(),
        String::new(),
        engine.reason.clone().unwrap_or_default(),
    ];
    let question = format!("run workers with isolation {level}?");
    worker::ask_unasked(model, question, losses, RUN, vec![Effect::Allow(level)]);
}

pub fn allowed(model: &mut Model, level: Isolation, result: Answer<Done>) -> Vec<Effect> {
    match result {
        Ok(done) => tell(model, Kind::Good, &done.text),
        Err(error) => {
            // It may be asked again.
            model.work.asked_isolation = false;
            complain(model, &format!("isolation {level} can't be had"), &error);
        }
    }
    Vec::new()
}
