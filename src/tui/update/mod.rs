//! What happens next: `update(&mut Model, Msg, now) -> Vec<Effect>`. Pure: reads no clock, awaits nothing, writes nowhere.
//!
//! One file a matter. [`settle`] runs after each message and makes the open streams what the screen needs.

mod act;
mod copying;
mod doors;
mod feed;
mod figures;
mod inbox;
mod input;
mod isolation;
mod list;
mod log_keys;
mod logs;
mod looks;
mod main_pane;
mod memory;
mod mouse;
mod overlay;
mod pool;
mod ports;
mod settle;
mod terminal;
mod tiles;
mod undo;
mod worker;

use std::time::Duration;

use crossterm::event::Event;
use jiff::Timestamp;
use ratatui::layout::Size;

use super::effect::Effect;
use super::model::Model;
use super::model::toast::Kind;
use super::msg::{Msg, TerminalMsg};
use crate::api::client::ClientError;

pub use memory::PACE;

/// Running through a list opens at most one stream in this time.
pub const SETTLE: Duration = Duration::from_millis(120);
/// A cut stream is tried again after this.
const RETRY: Duration = Duration::from_secs(2);

/// One message in, the effects out.
pub fn update(model: &mut Model, msg: Msg, now: Timestamp) -> Vec<Effect> {
    model.now = now;
    if let Msg::Terminal { key, msg: msg @ TerminalMsg::Bytes(_) } = msg {
        // By far the most there is, and it moves nothing that the rest is settled by.
        let mut effects = terminal::terminal(model, key, msg);
        terminal::settle(model, &mut effects);
        return effects;
    }
    if let Msg::Input(Event::Key(key)) = &msg
        && let Some(effects) = input::straight(model, *key)
    {
        return effects;
    }
    let somebody = inbox::is_somebody(&msg);
    if somebody {
        model.look_at_ends();
    }
    let mut effects = match msg {
        Msg::Start(columns, rows) => start(model, columns, rows),
        Msg::Input(event) => input::input(model, event),
        Msg::Wake => wake(model),
        Msg::Suspend => vec![Effect::Suspend],
        Msg::End => vec![Effect::Quit],
        Msg::Feed(msg) => feed::feed(model, msg),
        Msg::Acted { name, verb, result } => feed::acted(model, &name, verb, result),
        Msg::NameAnswered { name, result } => doors::answered(model, &name, result),
        Msg::Allowed { level, result } => isolation::allowed(model, level, result),
        Msg::PoolScaled { template, result } => pool::scaled(model, &template, result),
        Msg::Spawned(result) => feed::spawned(model, result),
        Msg::Why { name, result } => overlay::why_answered(model, &name, result),
        Msg::Inspected { name, result } => main_pane::inspected(model, &name, result),
        Msg::Figures(result) => figures::answered(model, result),
        Msg::Ports(result) => ports::answered(model, result),
        Msg::Logs { key, msg } => logs::logs(model, key, msg),
        Msg::Saved(result) => feed::saved(model, result),
        Msg::Terminal { key, msg } => terminal::terminal(model, key, msg),
        Msg::SessionOpened { name, result } => terminal::opened(model, &name, result),
        Msg::SessionClosed(result) => feed::session_closed(model, result),
        Msg::Copied(result) => feed::copied(model, result),
    };
    isolation::settle(model);
    effects.extend(settle::settle(model));
    // What came into sight by this very key has been looked at, too.
    if somebody && model.look_at_ends() {
        inbox::settle(model, &mut effects);
    }
    memory::settle(model, &mut effects);
    effects
}

fn start(model: &mut Model, columns: u16, rows: u16) -> Vec<Effect> {
    model.size = Size::new(columns, rows);
    model.dirty = true;
    if let Some(warning) = model.settings.warning.take() {
        tell(model, Kind::Bad, &warning);
    }
    vec![Effect::Connect]
}

fn wake(model: &mut Model) -> Vec<Effect> {
    let now = model.now;
    model.toasts.expire(now);
    // A wake comes only when something on the screen is due to change.
    model.dirty = true;
    feed::reconnect(model)
}

/// Shows what went wrong, in full.
fn complain(model: &mut Model, what: &str, error: &ClientError) {
    let text = format!("{what}: {}", error_text(error));
    let now = model.now;
    model.toasts.push(Kind::Bad, &text, now);
    model.dirty = true;
}

/// The error with what the user can do about it.
fn error_text(error: &ClientError) -> String {
    match error {
        ClientError::Refused(detail) => match &detail.hint {
            Some(hint) => format!("{}; {hint}", detail.message),
            None => detail.message.clone(),
        },
        _ => error.to_string(),
    }
}

/// Shows that something worked, or a remark.
fn tell(model: &mut Model, kind: Kind, text: &str) {
    let now = model.now;
    model.toasts.push(kind, text, now);
    model.dirty = true;
}
