//! Terminals beside one another: which are kept, which one is the active one, and which streams that takes.

use ratatui::layout::Rect;

use super::super::action::Action;
use super::super::effect::{Effect, Target};
use super::super::layout::{TileArea, size_of};
use super::super::model::terminals::{PaneState, Run, TerminalPane, Written};
use super::super::model::tiles::{Arrangement, Tile};
use super::super::model::toast::Kind;
use super::super::model::undo::Undo;
use super::super::model::{Model, Pane, Tab, cycle};
use super::settle::may_open;
use super::{copying, list, tell, undo};
use crate::bay::container::Role;
use crate::bay::session::TermSize;

/// The actions on tiles. `None`: it is another.
pub fn act(model: &mut Model, action: Action) -> Option<()> {
    match action {
        Action::Keep => keep(model),
        Action::CloseTile => close(model),
        Action::NextTile => step(model, 1),
        Action::PreviousTile => step(model, -1),
        Action::TileLeft | Action::TileRight | Action::TileUp | Action::TileDown => towards(model, action),
        Action::Arrange => arrange(model),
        Action::Beside => beside(model),
        Action::Zoom => zoom(model),
        Action::Wide => wide(model),
        _ => return None,
    }
    Some(())
}

/// The terminal that was just left has the keys again, or the one that the action goes to.
pub fn act_and_type(model: &mut Model, action: Action) {
    model.focus.left_at = None;
    model.focus.pane = Pane::Main;
    if act(model, action).is_some() {
        model.focus.terminal = model.main.terminals.active.is_some();
    }
}

/// Keeps the active terminal in sight, or lets it go again.
fn keep(model: &mut Model) {
    let Some(tile) = model.wanted_tile() else {
        tell(model, Kind::Note, "nothing is selected");
        return;
    };
    let tiles = &mut model.main.tiles;
    let text = if let Some(at) = tiles.kept.iter().position(|kept| *kept == tile) {
        tiles.kept.remove(at);
        tiles.passing = Some(tile.clone());
        format!("{} gives way to what is selected next", tile.name)
    } else {
        tiles.kept.push(tile.clone());
        tiles.passing = tiles.passing.take().filter(|passing| *passing != tile);
        format!("{} stays in sight, what is selected next comes beside it", tile.name)
    };
    tell(model, Kind::Note, &text);
}

/// Lets the active tile go; its program goes on.
fn close(model: &mut Model) {
    let Some(at) = model.active_tile().filter(|_| model.main.tiles.len() > 1) else {
        tell(model, Kind::Note, "there is no other terminal beside this one");
        return;
    };
    let tiles = &mut model.main.tiles;
    model.undo.push(Undo::Tiles(tiles.kept.clone(), tiles.passing.clone()));
    if at < tiles.kept.len() {
        tiles.kept.remove(at);
    } else {
        tiles.passing = None;
    }
    let next = tiles.all().nth(at).or_else(|| tiles.all().last()).cloned();
    if let Some(next) = next {
        select(model, &next);
    }
    let text = format!("its program goes on{}", undo::offer(model, "brings it back"));
    tell(model, Kind::Note, &text);
}

fn step(model: &mut Model, step: isize) {
    let tiles: Vec<Tile> = model.main.tiles.all().cloned().collect();
    let all: Vec<usize> = (0..tiles.len()).collect();
    let from = model.active_tile().unwrap_or(0);
    match tiles.get(cycle(&all, from, step)) {
        Some(tile) if tiles.len() > 1 => select(model, tile),
        _ => alone(model),
    }
}

fn alone(model: &mut Model) {
    let key = model.settings.keymap.key_of(Action::Keep, model.context()).unwrap_or_default();
    tell(model, Kind::Note, &format!("one terminal is in sight: {key} keeps it there beside the next"));
}

/// To the nearest tile in a direction.
fn towards(model: &mut Model, action: Action) {
    let Some(layout) = model.layout() else { return };
    let areas = model.tile_areas(&layout);
    let tiles: Vec<Tile> = model.main.tiles.all().cloned().collect();
    let Some(from) = areas.iter().find(|area| Some(area.at) == model.active_tile()).filter(|_| tiles.len() > 1) else {
        return alone(model);
    };
    let from = from.whole();
    let there = areas.iter().filter(|area| lies(from, area.whole(), action));
    let next = there.min_by_key(|area| distance(from, area.whole())).and_then(|area| tiles.get(area.at));
    if let Some(tile) = next {
        select(model, tile);
    }
}

/// Whether an area lies in a direction from another.
const fn lies(from: Rect, to: Rect, action: Action) -> bool {
    let beside = to.y < from.bottom() && from.y < to.bottom();
    let over = to.x < from.right() && from.x < to.right();
    match action {
        Action::TileLeft => beside && to.right() <= from.x,
        Action::TileRight => beside && to.x >= from.right(),
        Action::TileUp => over && to.bottom() <= from.y,
        _ => over && to.y >= from.bottom(),
    }
}

fn distance(from: Rect, to: Rect) -> (u16, u16) {
    let gap = |a: u16, b: u16| a.abs_diff(b);
    (gap(from.x, to.x).saturating_add(gap(from.y, to.y)), to.y)
}

fn arrange(model: &mut Model) {
    let tiles = &mut model.main.tiles;
    tiles.arrangement = cycle(&Arrangement::ALL, tiles.arrangement, 1);
    let text = format!("terminals {}", tiles.arrangement.as_str());
    tell(model, Kind::Note, &text);
}

fn beside(model: &mut Model) {
    let tiles = &mut model.main.tiles;
    tiles.beside = !tiles.beside;
    let text = match (tiles.beside, model.main.tab) {
        (false, _) => "the other tabs have pane 5 for themselves",
        (true, Tab::Terminal) => "the other tabs leave room for the terminals",
        (true, _) if model.terminal_size().is_none() => "too little room for terminals beside it",
        (true, _) => return,
    };
    tell(model, Kind::Note, text);
}

/// The focused pane alone; of several terminals the active one.
fn zoom(model: &mut Model) {
    model.focus.zoom = !model.focus.zoom;
    model.main.tiles.alone = model.focus.zoom && model.focus.pane == Pane::Main;
}

/// Pane 5 with all its terminals, without the lists.
fn wide(model: &mut Model) {
    model.focus.zoom = !model.focus.zoom;
    model.main.tiles.alone = false;
    if model.focus.zoom {
        model.focus.pane = Pane::Main;
    }
}

/// Makes a tile the active one: its row is selected then, and keys that go to a terminal go to this one.
pub fn select(model: &mut Model, tile: &Tile) {
    if model.main.copying.is_some() {
        copying::leave(model);
    }
    let Some(role) = model.row_of(&tile.name).map(|row| row.role) else { return };
    match role {
        Role::Parent => model.focus.list = Pane::Parent,
        Role::Service => {
            model.focus.list = Pane::Services;
            let wanted = tile.name.strip_prefix("svc-").unwrap_or(&tile.name);
            if model.services().all(|service| service.name != wanted) {
                model.lists.filters.remove(&Pane::Services);
            }
            let at = model.services().position(|service| service.name == wanted);
            model.lists.service = at.unwrap_or(model.lists.service);
        }
        Role::Worker => {
            model.focus.list = Pane::Workers;
            // One that a filter hides is in sight all the same.
            if model.workers().all(|row| row.name != tile.name) {
                model.lists.filters.remove(&Pane::Workers);
            }
            list::select(model, Some(tile.name.clone()));
        }
    }
    match tile.target {
        Target::Shell(id) => model.main.terminals.chosen.insert(tile.name.clone(), id),
        Target::Main(_) => model.main.terminals.chosen.remove(&tile.name),
    };
    model.main.terminals.active = Some(tile.target.clone());
    model.dirty = true;
}

/// The tile under a place on the screen.
pub fn at(model: &Model, column: u16, row: u16) -> Option<(TileArea, Tile)> {
    let layout = model.layout()?;
    let place = ratatui::layout::Position::new(column, row);
    let area = model.tile_areas(&layout).into_iter().find(|area| area.whole().contains(place))?;
    let tile = model.main.tiles.all().nth(area.at)?.clone();
    Some((area, tile))
}

/// The active tile shows another terminal of its container.
pub fn retarget(model: &mut Model, target: &Target) {
    let Some(tile) = model.wanted_tile() else { return };
    let to = Tile { target: target.clone(), ..tile.clone() };
    if model.main.tiles.kept.contains(&to) {
        return;
    }
    if let Some(kept) = model.main.tiles.kept.iter_mut().find(|kept| **kept == tile) {
        *kept = to;
    }
}

/// Tiles whose container or shell has gone go, too; what is selected is one of them.
fn select_tiles(model: &mut Model) {
    let wanted = model.wanted_tile();
    let mut tiles = std::mem::take(&mut model.main.tiles);
    if model.feed.snapshot.is_some() && !model.feed.is_blind() {
        tiles.kept.retain(|tile| model.has_tile(tile));
        tiles.passing = tiles.passing.filter(|tile| model.has_tile(tile) && !tiles.kept.contains(tile));
    }
    match wanted {
        Some(tile) if tiles.kept.contains(&tile) => {}
        Some(tile) => tiles.passing = Some(tile),
        None if tiles.kept.is_empty() => tiles.passing = None,
        None => {}
    }
    model.main.tiles = tiles;
}

/// A terminal that the screen needs.
struct Wanted {
    target: Target,
    run: Run,
    size: TermSize,
    kept: bool,
}

fn wanted(model: &Model) -> Vec<Wanted> {
    let Some(layout) = model.layout() else { return Vec::new() };
    let tiles: Vec<&Tile> = model.main.tiles.all().collect();
    let kept = model.main.tiles.kept.len();
    let one = |area: TileArea| {
        let tile = tiles.get(area.at).filter(|tile| model.is_offered(tile))?;
        let run = Run::of(model.row_of(&tile.name)?);
        Some(Wanted { target: tile.target.clone(), run, size: size_of(area.body)?, kept: area.at < kept })
    };
    model.tile_areas(&layout).into_iter().filter_map(one).collect()
}

/// Makes the open streams those that the screen needs, each with its size.
pub fn settle(model: &mut Model, effects: &mut Vec<Effect>) {
    select_tiles(model);
    let wanted = wanted(model);
    let active = model.wanted_tile().map(|tile| tile.target);
    let active = active.filter(|target| wanted.iter().any(|wanted| wanted.target == *target));
    // What is typed while nobody is known, or nothing fits onto the screen, is for the program that is there again in a
    // moment, and for nobody else.
    let hidden = model.feed.is_blind() || model.layout().is_none();
    let waits = model.focus.terminal && active.is_none() && hidden;
    if active != model.main.terminals.active && !waits {
        // Whoever types was not asked: what is typed next was not meant for another program, nor for the dashboard.
        if std::mem::take(&mut model.focus.terminal) {
            model.focus.lost_at = Some(model.now);
            tell(model, Kind::Note, "the terminal that had the keys is gone");
        }
        model.main.terminals.active = active;
    }
    let panes = std::mem::take(&mut model.main.terminals.panes);
    let needed = |pane: &TerminalPane| {
        wanted.iter().any(|wanted| wanted.target == pane.target && !stale(model, pane, &wanted.run))
    };
    let (mut keep, gone): (Vec<_>, Vec<_>) = panes.into_iter().partition(needed);
    effects.extend(gone.iter().map(|old| Effect::CloseTerminal { key: old.key }));
    for Wanted { target, run, size, kept } in wanted {
        if let Some(pane) = keep.iter_mut().find(|pane| pane.target == target) {
            if pane.size != size {
                pane.size = size;
                effects.push(Effect::ResizeTerminal { key: pane.key, size });
            }
        } else if kept || may_open(model) {
            let key = model.main.terminals.new_key();
            effects.push(Effect::OpenTerminal { key, target: target.clone(), size });
            let (state, written) = (PaneState::Opening, Written::default());
            keep.push(TerminalPane { key, target, run, emulator: None, state, size, written });
        }
    }
    model.main.terminals.panes = keep;
}

/// Whether a terminal must be opened anew: it is cut and its time has come, or it ended and another run began.
fn stale(model: &Model, pane: &TerminalPane, run: &Run) -> bool {
    match &pane.state {
        PaneState::Lost { retry_at, .. } => *retry_at <= model.now || pane.run != *run,
        PaneState::Ended(_) => matches!(pane.target, Target::Main(_)) && pane.run != *run,
        PaneState::Opening | PaneState::Live => pane.run.id != run.id && !pane.run.id.is_empty(),
    }
}
