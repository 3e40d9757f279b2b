//! The figures tab: what is shown is asked for, and nothing else; who looks elsewhere asks for nothing.

use super::super::effect::Effect;
use super::super::model::figures::PACE;
use super::super::model::{Model, Tab};
use super::super::msg::Answer;
use super::error_text;
use crate::api::types::Figures;

pub fn settle(model: &mut Model, effects: &mut Vec<Effect>) {
    let wanted = if model.main.tab == Tab::Figures && model.shows_main() { model.figures_wanted() } else { Vec::new() };
    let seen = model.main.tab == Tab::Figures && model.shows_main();
    let figures = &mut model.main.figures;
    if !seen {
        figures.next_at = None;
        return;
    }
    let due = figures.next_at.is_none_or(|at| at <= model.now);
    let news = wanted.iter().any(|name| !figures.asked.contains(name));
    if figures.waits || !(due || news) || model.feed.snapshot.is_none() {
        return;
    }
    figures.waits = true;
    figures.next_at = Some(model.now + PACE);
    figures.asked.clone_from(&wanted);
    effects.push(Effect::ReadFigures { names: wanted });
}

pub fn answered(model: &mut Model, result: Answer<Figures>) -> Vec<Effect> {
    let now = model.now;
    model.dirty |= model.main.tab == Tab::Figures;
    let figures = &mut model.main.figures;
    figures.waits = false;
    match result {
        Ok(reading) => figures.take(&reading, now),
        Err(error) => figures.failed = Some(error_text(&error)),
    }
    let there: Vec<String> =
        model.main.figures.containers.keys().filter(|name| model.row_of(name).is_none()).cloned().collect();
    for gone in there {
        model.main.figures.containers.remove(&gone);
    }
    Vec::new()
}
