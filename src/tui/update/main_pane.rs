//! Pane 5: the logs and inspect tabs.

use super::super::effect::{Effect, Target};
use super::super::model::inspect::InspectText;
use super::super::model::{Model, Pane, Tab};
use super::super::msg::Answer;
use super::super::widget::ansi::{Piece, width};
use super::{error_text, logs};
use crate::api::types::ContainerDetail;
use crate::terminal::safe::Safe;

/// Scrolls what is shown. Who goes up past the lines of a log asks for older ones.
pub fn scroll(model: &mut Model, step: isize) -> Vec<Effect> {
    let page = model.page(Pane::Main);
    match model.main.tab {
        Tab::Logs => {
            let far = step <= isize::MIN / 2;
            if model.main.logs.scroll(step, page) && step < 0 {
                return logs::read_past(model, far);
            }
        }
        Tab::Inspect => {
            let most = model.main.inspect.text.len().saturating_sub(page.1);
            model.main.inspect.top = model.main.inspect.top.saturating_add_signed(step).min(most);
        }
        Tab::Figures => {
            let most = model.figure_lines().len().saturating_sub(page.1);
            model.main.figures.top = model.main.figures.top.min(most).saturating_add_signed(step).min(most);
        }
        Tab::Events => {
            let most = model.event_rows(page.0).len().saturating_sub(page.1);
            let above = model.main.events.above.min(most);
            model.main.events.above = above.saturating_add_signed(step.saturating_neg()).min(most);
        }
        Tab::Ports => {
            // One line is the head's.
            let most = model.port_lines().len().saturating_sub(page.1.saturating_sub(1));
            model.main.ports.top = model.main.ports.top.min(most).saturating_add_signed(step).min(most);
        }
        Tab::Terminal => {
            if let Some(target) = model.main.terminals.active.clone() {
                scroll_terminal(model, &target, step);
            }
        }
    }
    Vec::new()
}

/// Shows what has left a terminal's screen.
pub fn scroll_terminal(model: &mut Model, target: &Target, step: isize) {
    let pane = model.main.terminals.pane_mut(target);
    if let Some(emulator) = pane.and_then(|pane| pane.emulator.as_mut()) {
        let above = emulator.screen().scrollback();
        emulator.scroll_to(above.saturating_add_signed(step.saturating_neg()));
    }
}

pub fn scroll_sideways(model: &mut Model, step: isize) {
    match model.main.tab {
        Tab::Logs if !model.main.logs.look.wrap => {
            let wanted = model.main.logs.look.left.saturating_add_signed(step);
            model.main.logs.look.left = wanted.min(widest(model, wanted + 1).saturating_sub(1));
        }
        Tab::Inspect => model.main.inspect.left = model.main.inspect.left.saturating_add_signed(step).min(10_000),
        _ => {}
    }
}

/// Columns of the widest line on the screen, as far as so many matter.
fn widest(model: &Model, enough: usize) -> usize {
    let (columns, height) = model.page(Pane::Main);
    let logs = &model.main.logs;
    let lines = logs.page(columns, height).into_iter().filter_map(|row| logs.store.get(row.line));
    let width_of = |piece: &Piece| width(piece.text.as_str());
    lines.map(|line| logs.pieces(&line, enough).iter().map(width_of).sum()).max().unwrap_or(0)
}

pub fn inspected(model: &mut Model, name: &str, result: Answer<Box<ContainerDetail>>) -> Vec<Effect> {
    let inspect = &mut model.main.inspect;
    if inspect.asked.as_ref().is_none_or(|row| row.name != name) {
        return Vec::new();
    }
    inspect.text = match result {
        Ok(detail) => {
            let json = serde_json::to_string_pretty(&detail.inspect).unwrap_or_else(|error| error.to_string());
            InspectText::Lines(json.lines().map(Safe::new).collect())
        }
        Err(error) => InspectText::Failed(error_text(&error)),
    };
    inspect.top = inspect.top.min(inspect.text.len().saturating_sub(1));
    model.dirty = true;
    Vec::new()
}
