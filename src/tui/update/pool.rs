//! Sizing the selected pool.

use super::super::effect::Effect;
use super::super::model::Model;
use super::super::model::toast::Kind;
use super::super::msg::Answer;
use super::tell;
use crate::api::types::{Done, LinkState};
use crate::bay::pool::MOST_WARM;

/// One more or one less warm worker in the selected pool.
pub fn scale(model: &mut Model, step: i64) -> Vec<Effect> {
    let Some(row) = model.feed.pool().get(model.lists.pool) else {
        let text = "no template has a pool: [[template]] pool = { target = 3 } makes one";
        tell(model, Kind::Note, text);
        return Vec::new();
    };
    let template = row.template.clone();
    let away = model.feed.status().is_some_and(|status| status.engine.state == LinkState::Away);
    let from = model.work.scaled.get(&template).copied().unwrap_or(row.target);
    let target = u32::try_from(i64::from(from) + step).unwrap_or(0).min(MOST_WARM);
    if target == from {
        let text = if step < 0 { "the pool keeps none already" } else { "no pool keeps more" };
        tell(model, Kind::Note, text);
        return Vec::new();
    }
    if away {
        tell(model, Kind::Bad, "the engine is away: the pool is scaled when it is back");
        return Vec::new();
    }
    model.work.scaled.insert(template.clone(), target);
    model.dirty = true;
    vec![Effect::ScalePool { template, target }]
}

/// The answer to it.
pub fn scaled(model: &mut Model, template: &str, result: Answer<Done>) -> Vec<Effect> {
    if let Err(error) = result {
        model.work.scaled.remove(template);
        tell(model, Kind::Bad, &format!("pool {template}: {error}"));
    }
    Vec::new()
}

/// What was asked for holds until the feed says the same.
pub fn settle(model: &mut Model) {
    let pools = model.feed.pool().to_vec();
    model
        .work
        .scaled
        .retain(|template, target| pools.iter().any(|row| row.template == *template && row.target != *target));
}
