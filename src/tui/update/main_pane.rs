//! Pane 5: the logs and inspect tabs.

use super::super::effect::{Effect, StreamKey};
use super::super::model::inspect::InspectText;
use super::super::model::logs::LogState;
use super::super::model::{Model, Pane, Tab};
use super::super::msg::{Answer, LogsMsg};
use super::{RETRY, error_text};
use crate::api::types::ContainerDetail;
use crate::terminal::safe::Safe;

/// Scrolls what is shown.
pub fn scroll(model: &mut Model, step: isize) {
    let page = model.page(Pane::Main);
    match model.main.tab {
        Tab::Logs => model.main.logs.scroll(step, page),
        Tab::Inspect => {
            let most = model.main.inspect.text.len().saturating_sub(page.1);
            model.main.inspect.top = model.main.inspect.top.saturating_add_signed(step).min(most);
        }
        Tab::Terminal => scroll_terminal(model, step),
    }
}

/// Shows what has left the terminal's screen.
fn scroll_terminal(model: &mut Model, step: isize) {
    let pane = model.main.terminals.shown.as_mut();
    if let Some(emulator) = pane.and_then(|pane| pane.emulator.as_mut()) {
        let above = emulator.screen().scrollback();
        emulator.scroll_to(above.saturating_add_signed(step.saturating_neg()));
    }
}

pub fn scroll_sideways(model: &mut Model, step: isize) {
    match model.main.tab {
        Tab::Logs if !model.main.logs.wrap => {
            let widest = model.main.logs.lines.iter().map(|line| line.width).max().unwrap_or(0);
            model.main.logs.left = model.main.logs.left.saturating_add_signed(step).min(widest);
        }
        Tab::Inspect => model.main.inspect.left = model.main.inspect.left.saturating_add_signed(step).min(10_000),
        _ => {}
    }
}

pub fn wrap(model: &mut Model) {
    model.main.logs.wrap = !model.main.logs.wrap;
    model.main.logs.left = 0;
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

pub fn logs(model: &mut Model, key: StreamKey, msg: LogsMsg) -> Vec<Effect> {
    let retry_at = model.now + RETRY;
    let logs = &mut model.main.logs;
    let Some(stream) = logs.stream.as_mut().filter(|stream| stream.key == key) else { return Vec::new() };
    match msg {
        LogsMsg::Lines(entries) => {
            stream.state = LogState::Live;
            logs.push(&entries);
        }
        LogsMsg::Ended => stream.state = LogState::Ended,
        LogsMsg::Lost(reason) => stream.state = LogState::Lost { reason, retry_at },
    }
    model.dirty |= model.main.tab == Tab::Logs;
    Vec::new()
}
