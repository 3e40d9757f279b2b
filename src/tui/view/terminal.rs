//! The terminal tab: the strip of terminals, the screen, and words where there is none.

use ratatui::layout::Rect;

use super::super::action::{Action, Context};
use super::super::effect::{StreamKey, Target};
use super::super::layout::{Layout, TileArea, bottom};
use super::super::model::copying::Copying;
use super::super::model::feed::seconds_until;
use super::super::model::terminals::{PaneState, TerminalPane};
use super::super::model::tiles::Tile;
use super::super::model::{Model, Tab};
use super::super::widget::{line, screen};
use super::{Canvas, Cursor, from, held, row};
use crate::api::types::{ContainerRow, State};
use crate::bay::container::Role;

pub fn draw(canvas: &mut Canvas<'_>, layout: &Layout) -> Cursor {
    let model = canvas.model;
    let (inner, _) = model.parts(layout);
    let areas = model.tile_areas(layout);
    if areas.is_empty() {
        words(canvas, inner, &absent(model, model.subject(), None));
        return None;
    }
    let tiles: Vec<&Tile> = model.main.tiles.all().collect();
    if tiles.len() == 1 {
        strip(canvas, inner);
    }
    let active = model.active_tile();
    let mut cursor = None;
    for area in areas {
        let Some(tile) = tiles.get(area.at) else { continue };
        let is_active = Some(area.at) == active;
        heading(canvas, &area, tile, is_active, inner);
        let own = body(canvas, area.body, tile, is_active);
        cursor = cursor.or(own);
    }
    cursor
}

/// A screen with nothing drawn over it.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    /// Its stream.
    pub key: StreamKey,
    /// Where it is.
    pub area: Rect,
    /// The cursor is its own.
    pub typed_into: bool,
}

/// The screens that can be drawn anew without the rest, on a terminal of this area.
pub fn bare(model: &Model, area: Rect) -> Vec<Bare> {
    let covered = model.overlay.is_some() || model.main.copying.is_some() || !model.toasts.items.is_empty();
    let Some(layout) = Layout::of(model, area).filter(|_| !covered) else { return Vec::new() };
    let tiles: Vec<&Tile> = model.main.tiles.all().collect();
    let active = model.active_tile();
    let one = |at: TileArea| {
        let pane = model.main.terminals.pane(&tiles.get(at.at)?.target)?;
        let live = pane.state == PaneState::Live && pane.emulator.is_some();
        let typed_into = model.focus.terminal && Some(at.at) == active;
        live.then(|| Bare { key: pane.key, area: at.body.intersection(area), typed_into })
    };
    model.tile_areas(&layout).into_iter().filter_map(one).collect()
}

/// A tile's title, and the line between it and the tile to its right.
fn heading(canvas: &mut Canvas<'_>, area: &TileArea, tile: &Tile, active: bool, inner: Rect) {
    let model = canvas.model;
    if area.title.is_empty() {
        return;
    }
    let whole = area.whole();
    if whole.right() < inner.right() {
        let (line, style) = (model.settings.symbols.border.vertical_right, canvas.style("ui.border"));
        for y in whole.y..whole.bottom() {
            canvas.text(Rect { x: whole.right(), y, width: 1, height: 1 }, line, style);
        }
    }
    let style = canvas.style(match active {
        true if model.focus.terminal => "ui.chip",
        true => "ui.tile.active",
        false => "ui.tile",
    });
    let blank = " ".repeat(usize::from(area.title.width));
    canvas.text(area.title, &blank, style);
    let sign = if active { model.settings.symbols.pointer } else { " " };
    let kept = if area.at < model.main.tiles.kept.len() { model.settings.symbols.mark } else { " " };
    let need = model.row_of(&tile.name).and_then(|row| model.note_of(row));
    let need = need.map(|need| format!(" {} {need}", model.settings.symbols.dot)).unwrap_or_default();
    canvas.outside(area.title, &format!("{sign}{kept}{}{need}", model.tile_title(tile)), style);
}

/// A tile's screen, or why there is none.
fn body(canvas: &mut Canvas<'_>, area: Rect, tile: &Tile, active: bool) -> Cursor {
    let model = canvas.model;
    if area.is_empty() {
        return None;
    }
    if let Some(copying) = model.main.copying.as_ref().filter(|copying| active && copying.tab == Tab::Terminal) {
        return held_still(canvas, area, copying);
    }
    let shown = model.main.terminals.pane(&tile.target);
    let Some((pane, emulator)) = shown.and_then(|pane| Some((pane, pane.emulator.as_ref()?))) else {
        words(canvas, area, &absent(model, model.row_of(&tile.name), shown));
        return None;
    };
    screen::draw(emulator.screen(), area, canvas.buf, model.settings.theme.colours());
    if let Some(text) = ended(model, pane) {
        let (_, last) = bottom(area, 1);
        let style = canvas.style("ui.banner");
        canvas.buf.set_style(last, style);
        let blank = " ".repeat(usize::from(last.width));
        canvas.text(last, &blank, style);
        canvas.outside(last, &format!(" {text}"), style);
    }
    (active && model.focus.terminal).then(|| screen::cursor(emulator.screen(), area)).flatten()
}

/// Copy mode: the rows as they were, what is selected and what was found.
fn held_still(canvas: &mut Canvas<'_>, area: Rect, copying: &Copying) -> Cursor {
    let model = canvas.model;
    screen::draw_still(&copying.still, copying.top, area, canvas.buf, model.settings.theme.colours());
    held::marks(canvas, area, copying, (copying.top, 0))
}

fn strip(canvas: &mut Canvas<'_>, inner: Rect) {
    let tabs = canvas.model.strip();
    if tabs.len() < 2 {
        return;
    }
    let wanted = canvas.model.wanted_terminal();
    let mut rest = row(inner, 0);
    for tab in tabs {
        let scope = if Some(&tab.target) == wanted.as_ref() { "ui.tab.active" } else { "ui.tab" };
        let end = canvas.outside(rest, &format!(" {} ", tab.title), canvas.style(scope));
        rest = from(rest, end);
    }
}

fn words(canvas: &mut Canvas<'_>, area: Rect, text: &str) {
    let style = canvas.style("ui.dim");
    for (at, text) in line::wrap(text, usize::from(area.width.saturating_sub(2))).iter().enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        let below = row(area, at);
        canvas.outside(from(below, below.x + 1), text, style);
    }
}

fn key(model: &Model, action: Action, context: Context) -> String {
    model.settings.keymap.key_of(action, context).unwrap_or_else(|| "the palette".to_owned())
}

/// Why there is no screen, and what helps.
fn absent(model: &Model, row: Option<&ContainerRow>, pane: Option<&TerminalPane>) -> String {
    if let Some(pane) = pane {
        return match &pane.state {
            PaneState::Opening | PaneState::Live => "opening the terminal".to_owned(),
            PaneState::Ended(reason) => reason.clone(),
            PaneState::Lost { reason, retry_at } => {
                format!("no terminal, next try in {}s: {reason}", seconds_until(*retry_at, model.now))
            }
        };
    }
    let Some(row) = row else {
        let spawn = key(model, Action::Spawn, Context::Workers);
        return match (&model.feed.snapshot, model.work.spawning) {
            (None, _) => "asking the supervisor".to_owned(),
            (Some(_), 0) => format!("no worker is selected: {spawn} spawns one and opens its terminal"),
            (Some(_), _) => "spawning a worker".to_owned(),
        };
    };
    let state = row.state.as_str();
    let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let shell = key(model, Action::Shell, Context::Workers);
    let restart = key(model, Action::Restart, Context::Workers);
    if let Some(service) = model.native_service().filter(|service| service.state == "running") {
        let logs = key(model, Action::ShowLogs, Context::Services);
        return format!("{} has no terminal: tty = true gives it one; {logs} shows what it says", service.name);
    }
    match (row.state, row.role) {
        (State::Running | State::CutOff, Role::Worker) => "opening the terminal".to_owned(),
        (State::Running, _) => format!("{} has no terminal of its own: {shell} opens a shell in it", row.name),
        (State::Creating, _) => format!("{} is being made{reason}", row.name),
        _ => format!("{} is {state}{reason}; {restart} starts it again", row.name),
    }
}

/// What stands over the last screen of a program that has ended.
fn ended(model: &Model, pane: &TerminalPane) -> Option<String> {
    match &pane.state {
        PaneState::Ended(reason) => {
            let offer = if matches!(pane.target, Target::Shell(_)) {
                format!("{} closes it", key(model, Action::CloseSession, Context::Terminal))
            } else {
                let restart = key(model, Action::Restart, Context::Workers);
                let leave = || format!("{} ", key(model, Action::Leave, Context::Focused));
                // The keys are still its own: whoever was typing into it goes on for a moment.
                let first = if model.focus.terminal { leave() } else { String::new() };
                format!("{first}{restart} starts it again")
            };
            Some(format!("{reason}; {offer}"))
        }
        PaneState::Lost { reason, retry_at } => {
            Some(format!("cut, next try in {}s: {reason}", seconds_until(*retry_at, model.now)))
        }
        PaneState::Opening | PaneState::Live => None,
    }
}
