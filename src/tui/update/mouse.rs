//! The mouse: a click focuses, the wheel scrolls what lies under it; in a focused terminal it belongs to the program.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::super::effect::Effect;
use super::super::model::{Model, Pane};
use super::{act, copying, list, terminal};
use crate::terminal::keys;

/// Lines that a notch of the wheel moves.
const NOTCH: isize = 3;

pub fn mouse(model: &mut Model, event: MouseEvent) -> Vec<Effect> {
    let at = Position::new(event.column, event.row);
    let Some(layout) = model.layout() else { return Vec::new() };
    if model.overlay.is_some() {
        return Vec::new();
    }
    let area = model.terminal_area(&layout);
    if model.focus.terminal && model.main.copying.is_none() && area.contains(at) {
        let pane = model.main.terminals.shown.as_ref();
        let Some((key, emulator)) = pane.and_then(|pane| Some((pane.key, pane.emulator.as_ref()?))) else {
            return Vec::new();
        };
        let bytes = keys::mouse(event, at.y - area.y, at.x - area.x, emulator.screen());
        if !bytes.is_empty() {
            return terminal::type_into(key, bytes);
        }
        let wheel = match event.kind {
            MouseEventKind::ScrollUp => Some(KeyCode::Up),
            MouseEventKind::ScrollDown => Some(KeyCode::Down),
            _ => None,
        };
        // A program with the screen for itself and no mind for the mouse has nothing above it: it gets arrows, as in xterm.
        if let (Some(arrow), true) = (wheel, emulator.modes().alternate_screen) {
            let arrow = keys::key(KeyEvent::new(arrow, KeyModifiers::NONE), emulator.modes());
            return terminal::type_into(key, arrow.repeat(NOTCH.unsigned_abs()));
        }
    }
    if let Some(effects) = copying::mouse(model, event) {
        return effects;
    }
    let Some(pane) = Pane::ALL.into_iter().find(|pane| layout.pane(*pane).contains(at)) else { return Vec::new() };
    let mut effects = Vec::new();
    match event.kind {
        MouseEventKind::ScrollDown => effects = list::by(model, pane, NOTCH),
        MouseEventKind::ScrollUp => effects = list::by(model, pane, -NOTCH),
        MouseEventKind::Down(MouseButton::Left) if !(model.focus.terminal && pane == Pane::Main) => {
            act::focus(model, pane);
            if pane == Pane::Workers {
                let row = at.y.saturating_sub(layout.inner(pane).y);
                list::select_row(model, usize::from(row));
            }
        }
        // Only moved: nothing to draw.
        _ => return Vec::new(),
    }
    model.dirty = true;
    effects
}
