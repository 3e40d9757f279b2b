//! The mouse: a click focuses, the wheel scrolls what lies under it; in a focused terminal it belongs to the program.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::super::effect::Effect;
use super::super::model::list::matrix_head;
use super::super::model::tiles::Tile;
use super::super::model::{Model, Pane};
use super::{act, copying, list, main_pane, terminal, tiles};
use crate::terminal::keys;

/// Lines that a notch of the wheel moves.
const NOTCH: isize = 3;

pub fn mouse(model: &mut Model, event: MouseEvent) -> Vec<Effect> {
    let at = Position::new(event.column, event.row);
    let Some(layout) = model.layout() else { return Vec::new() };
    if model.overlay.is_some() {
        return Vec::new();
    }
    if let Some(effects) = program(model, event, at) {
        return effects;
    }
    let tile = tiles::at(model, event.column, event.row);
    if let Some((_, tile)) = &tile
        && event.kind == MouseEventKind::Down(MouseButton::Left)
        && !model.main.copying.as_ref().is_some_and(|copying| copying.by_mouse)
    {
        into(model, tile);
    }
    if let Some(effects) = copying::mouse(model, event) {
        return effects;
    }
    let Some(pane) = Pane::ALL.into_iter().find(|pane| layout.pane(*pane).contains(at)) else { return Vec::new() };
    let mut effects = Vec::new();
    match event.kind {
        MouseEventKind::ScrollDown | MouseEventKind::ScrollUp => {
            let step = if event.kind == MouseEventKind::ScrollDown { NOTCH } else { -NOTCH };
            match tile {
                Some((_, tile)) => main_pane::scroll_terminal(model, &tile.target, step),
                None => effects = list::by(model, pane, step),
            }
        }
        MouseEventKind::Down(MouseButton::Left) if !(model.focus.terminal && pane == Pane::Main) => {
            act::focus(model, pane);
            let inner = layout.inner(pane);
            // A frame is no row.
            match (pane, at.y.checked_sub(inner.y).filter(|_| inner.contains(at))) {
                (Pane::Workers, Some(row)) => list::select_row(model, usize::from(row)),
                (Pane::Services, Some(row)) => list::select_service_row(model, row, matrix_head(inner.width)),
                _ => {}
            }
        }
        // Only moved: nothing to draw.
        _ => return Vec::new(),
    }
    model.dirty = true;
    effects
}

/// A click into a terminal: it is the active one then, and has the keys, or what is typed next would be commands.
fn into(model: &mut Model, tile: &Tile) {
    if model.active_tile() != model.main.tiles.all().position(|known| known == tile) {
        tiles::select(model, tile);
    }
    let live = model.main.terminals.takes_keys();
    if live && !model.focus.terminal && model.main.copying.is_none() {
        model.focus.from = model.focus.pane;
        model.focus.pane = Pane::Main;
        model.focus.terminal = true;
        model.dirty = true;
    }
}

/// What the program that has the keys gets of the mouse. `None`: nothing, so it is the dashboard's.
///
/// Who heard of a press hears of what comes of it, wherever that is: else the button stays pressed for it.
fn program(model: &mut Model, event: MouseEvent, at: Position) -> Option<Vec<Effect>> {
    let area = model.terminal_area(&model.layout()?);
    let moves_on = matches!(event.kind, MouseEventKind::Drag(_) | MouseEventKind::Up(_));
    let pressed_in = model.main.pressed_in.filter(|_| moves_on);
    let up = matches!(event.kind, MouseEventKind::Down(_) | MouseEventKind::Up(_));
    model.main.pressed_in = model.main.pressed_in.filter(|_| !up);
    if !model.focus.terminal || model.main.copying.is_some() || area.is_empty() {
        return None;
    }
    let shown = model.main.terminals.shown().map(|pane| pane.key);
    if !area.contains(at) && (pressed_in.is_none() || pressed_in != shown) {
        return None;
    }
    let at = Position::new(at.x.clamp(area.x, area.right() - 1), at.y.clamp(area.y, area.bottom() - 1));
    let pane = model.main.terminals.shown();
    let Some((key, emulator)) = pane.and_then(|pane| Some((pane.key, pane.emulator.as_ref()?))) else {
        return Some(Vec::new());
    };
    let bytes = keys::mouse(event, at.y - area.y, at.x - area.x, emulator.screen());
    if !bytes.is_empty() {
        if matches!(event.kind, MouseEventKind::Down(_)) {
            model.main.pressed_in = Some(key);
        }
        return Some(terminal::type_into(key, bytes));
    }
    let arrow = match event.kind {
        MouseEventKind::ScrollUp => KeyCode::Up,
        MouseEventKind::ScrollDown => KeyCode::Down,
        _ => return None,
    };
    if !emulator.modes().alternate_screen {
        return None;
    }
    // A program with the screen for itself and no mind for the mouse has nothing above it: it gets arrows, as in xterm.
    let arrow = keys::key(KeyEvent::new(arrow, KeyModifiers::NONE), emulator.modes());
    Some(terminal::type_into(key, arrow.repeat(NOTCH.unsigned_abs())))
}
