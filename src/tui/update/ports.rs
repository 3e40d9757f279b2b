//! The ports tab: asked for while it is shown, and not else.

use super::super::effect::Effect;
use super::super::model::ports::PACE;
use super::super::model::{Model, Tab};
use super::super::msg::Answer;
use super::error_text;
use crate::api::types::PortRow;

pub fn settle(model: &mut Model, effects: &mut Vec<Effect>) {
    let seen = model.main.tab == Tab::Ports && model.shows_main();
    let ports = &mut model.main.ports;
    if !seen {
        ports.next_at = None;
        return;
    }
    let due = ports.next_at.is_none_or(|at| at <= model.now);
    if ports.waits || !due || model.feed.snapshot.is_none() {
        return;
    }
    ports.waits = true;
    ports.next_at = Some(model.now + PACE);
    effects.push(Effect::ReadPorts);
}

pub fn answered(model: &mut Model, result: Answer<Vec<PortRow>>) -> Vec<Effect> {
    model.dirty |= model.main.tab == Tab::Ports;
    let ports = &mut model.main.ports;
    ports.waits = false;
    match result {
        Ok(rows) => (ports.rows, ports.failed) = (Some(rows), None),
        Err(error) => ports.failed = Some(error_text(&error)),
    }
    Vec::new()
}
