//! Copy mode: by keys, and by the mouse.

use std::time::Duration;

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::super::action::Action;
use super::super::effect::Effect;
use super::super::model::copying::{Copying, Point, Unit, word_at};
use super::super::model::logs::page::Place;
use super::super::model::logs::scan::Query;
use super::super::model::toast::Kind;
use super::super::model::{Model, Pane, Press, Tab};
use super::super::view::rows_of_tab;
use super::super::widget::ansi::width;
use super::{list, tell};

/// Clicks at one place within this belong together.
const CLICKS: Duration = Duration::from_millis(400);

pub fn act(model: &mut Model, action: Action) -> Option<Vec<Effect>> {
    model.main.copying.as_ref()?;
    match action {
        Action::Select => select(model, Unit::Characters),
        Action::SelectLines => select(model, Unit::Lines),
        Action::CopyLeft => sideways(model, |point, _| point.column.saturating_sub(1)),
        Action::CopyRight => sideways(model, |point, text| (point.column + 1).min(width(text).saturating_sub(1))),
        Action::LineStart => sideways(model, |_, _| 0),
        Action::LineEnd => sideways(model, |_, text| width(text.trim_end()).saturating_sub(1)),
        Action::WordForward => sideways(model, word_after),
        Action::WordBack => sideways(model, word_before),
        Action::Yank => return Some(yank(model)),
        Action::Back | Action::EndCopy => leave(model),
        Action::NextMatch => step(model, 1),
        Action::PreviousMatch => step(model, -1),
        Action::Search | Action::Palette | Action::Help => return None,
        other => moved(model, other),
    }
    Some(Vec::new())
}

/// Holds the text of pane 5 still. From the logs lines are selected at once; a terminal's cursor goes first where it likes.
pub fn enter(model: &mut Model, select: bool) {
    let tab = model.main.tab;
    enter_in(model, tab, select);
}

/// The same for the text of a tab that may not be the chosen one: terminals lie beside the others.
pub fn enter_in(model: &mut Model, tab: Tab, select: bool) {
    let Some(mut copying) = begin(model, tab) else {
        tell(model, Kind::Note, "there is no text to copy");
        return;
    };
    copying.unit = if copying.tab == Tab::Terminal { Unit::Characters } else { Unit::Lines };
    copying.anchor = select.then_some(copying.head);
    model.main.copying = Some(copying);
    model.focus.pane = Pane::Main;
    show(model);
}

/// Copy mode with the cursor where the text's own is, or at the lowest line.
fn begin(model: &mut Model, tab: Tab) -> Option<Copying> {
    let (columns, height) = model.page(Pane::Main);
    let mut copying = Copying {
        of: model.subject().map(|row| row.name.clone()),
        tab,
        still: crate::terminal::still::Still::default(),
        held: Vec::new(),
        top: 0,
        head: Point::default(),
        anchor: None,
        unit: Unit::Characters,
        by_mouse: false,
        followed: false,
        by_search: false,
        search: None,
        found: Vec::new(),
    };
    match tab {
        Tab::Terminal => {
            let emulator = model.main.terminals.shown()?.emulator.as_ref()?;
            copying.still = emulator.still();
            let (row, column) = emulator.screen().cursor_position();
            let rows = usize::from(emulator.size().rows);
            copying.top = copying.still.len().checked_sub(rows)?.saturating_sub(emulator.screen().scrollback());
            let row = usize::from(row).min(rows.saturating_sub(1));
            copying.head = Point { line: (copying.top + row) as u64, column: usize::from(column) };
        }
        Tab::Logs => {
            let logs = &mut model.main.logs;
            copying.head.line = logs.page(columns, height).last()?.line;
            copying.followed = logs.look.place.is_none();
            logs.look.place = logs.place(columns);
        }
        Tab::Inspect => {
            let last = model.main.inspect.text.len().checked_sub(1)?;
            copying.head.line = (model.main.inspect.top + height - 1).min(last) as u64;
        }
        Tab::Figures | Tab::Events | Tab::Ports => {
            copying.held = rows_of_tab(model, tab, columns);
            let last = copying.held.len().checked_sub(1)?;
            copying.top = match tab {
                Tab::Figures => model.main.figures.top,
                Tab::Events => model.event_top(copying.held.len(), height),
                _ => model.main.ports.top,
            };
            copying.top = copying.top.min((last + 1).saturating_sub(height));
            copying.head.line = (copying.top + height.saturating_sub(1)).min(last) as u64;
        }
    }
    Some(copying)
}

/// Back to the text as it goes on.
pub fn leave(model: &mut Model) {
    let Some(copying) = model.main.copying.take() else { return };
    if copying.followed && copying.tab == Tab::Logs {
        model.main.logs.look.place = None;
    }
    model.dirty = true;
}

fn select(model: &mut Model, unit: Unit) {
    let Some(copying) = model.main.copying.as_mut() else { return };
    let again = copying.anchor.is_some() && copying.unit == unit;
    copying.anchor = if again { None } else { copying.anchor.or(Some(copying.head)) };
    copying.unit = unit;
}

fn yank(model: &mut Model) -> Vec<Effect> {
    let Some(copying) = model.main.copying.as_ref() else { return Vec::new() };
    let text = model.selection_text(copying);
    leave(model);
    if text.trim().is_empty() {
        tell(model, Kind::Note, "nothing but blanks is selected: nothing was copied");
        return Vec::new();
    }
    vec![Effect::Copy(text)]
}

fn sideways(model: &mut Model, to: impl Fn(Point, &str) -> usize) {
    let Some(copying) = model.main.copying.as_ref() else { return };
    let text = model.copy_line(copying, copying.head.line).unwrap_or_default();
    let column = to(copying.head, &text);
    if let Some(copying) = model.main.copying.as_mut() {
        copying.head.column = column;
    }
    show(model);
}

fn word_after(point: Point, text: &str) -> usize {
    let last = width(text).saturating_sub(1);
    let mut column = word_at(text, point.column).end;
    while column < last && word_text(text, column).trim().is_empty() {
        column += 1;
    }
    column.min(last)
}

fn word_before(point: Point, text: &str) -> usize {
    let mut column = word_at(text, point.column).start.min(point.column);
    if column == point.column {
        column = column.saturating_sub(1);
        while column > 0 && word_text(text, column).trim().is_empty() {
            column -= 1;
        }
    }
    word_at(text, column).start
}

fn word_text(text: &str, column: usize) -> &str {
    text.get(super::super::model::copying::bytes_of(text, &(column..column + 1))).unwrap_or_default()
}

fn moved(model: &mut Model, action: Action) {
    let lines = list::step_of(action, model.page(Pane::Main).1);
    if lines != 0 {
        by(model, lines);
    }
}

/// The cursor goes so many lines down.
fn by(model: &mut Model, lines: isize) {
    let Some(copying) = model.main.copying.as_ref() else { return };
    let (rank, count) = model.copy_rank(copying, copying.head.line);
    let to = rank.saturating_add_signed(lines).min(count.saturating_sub(1));
    let line = model.copy_nth(copying, to);
    if let (Some(copying), Some(line)) = (model.main.copying.as_mut(), line) {
        copying.head.line = line;
    }
    show(model);
}

/// Scrolls so that the cursor is seen.
fn show(model: &mut Model) {
    model.dirty = true;
    let (columns, height) = model.page(Pane::Main);
    let rows = model.layout().map_or(height, |layout| usize::from(model.terminal_area(&layout).height)).max(1);
    let Some(copying) = model.main.copying.as_mut() else { return };
    let line = copying.head.line;
    let at = usize::try_from(line).unwrap_or(0);
    match copying.tab {
        Tab::Terminal => copying.top = copying.top.clamp((at + 1).saturating_sub(rows), at),
        Tab::Inspect => {
            model.main.inspect.top = model.main.inspect.top.clamp((at + 1).saturating_sub(height), at);
        }
        Tab::Figures | Tab::Events | Tab::Ports => {
            copying.top = copying.top.clamp((at + 1).saturating_sub(height.max(1)), at);
        }
        Tab::Logs => {
            let logs = &mut model.main.logs;
            let page = logs.page(columns, height);
            let (first, last) = (page.first().map(|row| row.line), page.last().map(|row| row.line));
            let place = Place { line, rows: logs.rows_of(line, columns) };
            if Some(line) < first {
                logs.look.place = Some(place);
                logs.scroll(isize::try_from(height.saturating_sub(place.rows)).unwrap_or(0), (columns, height));
            } else if Some(line) > last {
                logs.look.place = Some(place);
            }
        }
    }
}

/// A search in a text that is not the logs': it is held still for that. `false`: there is none.
pub fn search(model: &mut Model) -> bool {
    if model.main.copying.is_some() || model.main.tab == Tab::Logs {
        return true;
    }
    enter(model, false);
    if let Some(copying) = model.main.copying.as_mut() {
        copying.by_search = true;
    }
    model.main.copying.is_some()
}

/// Nothing is to be looked for after all.
pub fn call_off(model: &mut Model) {
    if model.main.copying.as_ref().is_some_and(|copying| copying.by_search && copying.search.is_none()) {
        leave(model);
    }
}

/// Looks for an expression in rows that are held still: at once, there are only some thousand. `false`: the logs have a
/// search of their own.
pub fn look_for(model: &mut Model, query: Option<Query>) -> bool {
    let Some(copying) = model.main.copying.as_ref().filter(|copying| copying.tab != Tab::Logs) else {
        return false;
    };
    let has = |line: &u64| {
        let text = model.copy_line(copying, *line);
        query.as_ref().zip(text).is_some_and(|(query, text)| query.is_in(&text))
    };
    let count = model.copy_rank(copying, 0).1;
    let found = (0..count as u64).filter(has).collect();
    let Some(copying) = model.main.copying.as_mut() else { return false };
    copying.found = found;
    copying.search = query;
    let last = copying.found.iter().rev().find(|at| **at <= copying.head.line).or(copying.found.last()).copied();
    if let Some(line) = last {
        copying.head.line = line;
    }
    show(model);
    true
}

/// To the next row with what is looked for, round and round.
fn step(model: &mut Model, step: isize) {
    let Some(copying) = model.main.copying.as_mut() else { return };
    let line = copying.head.line;
    let found = &copying.found;
    let next = if step > 0 {
        found.iter().find(|at| **at > line).or(found.first())
    } else {
        found.iter().rev().find(|at| **at < line).or(found.last())
    };
    match next.copied() {
        Some(line) => copying.head.line = line,
        None => tell(model, Kind::Note, "nothing is found: / begins a search"),
    }
    show(model);
}

/// A click, a drag, a release inside pane 5. `None`: it is not about copying.
pub fn mouse(model: &mut Model, event: MouseEvent) -> Option<Vec<Effect>> {
    let at = Position::new(event.column, event.row);
    let area = text_area(model)?;
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) if area.contains(at) => {
            pressed(model, at);
            None
        }
        MouseEventKind::Down(_) => {
            model.main.press = None;
            None
        }
        MouseEventKind::Drag(MouseButton::Left) => {
            dragged(model, at, area)?;
            Some(Vec::new())
        }
        MouseEventKind::Up(MouseButton::Left)
            if model.main.copying.as_ref().is_some_and(|copying| copying.by_mouse) =>
        {
            Some(yank(model))
        }
        _ => None,
    }
}

fn pressed(model: &mut Model, at: Position) {
    let now = model.now;
    let again =
        model.main.press.filter(|press| press.at == at && now.duration_since(press.when).unsigned_abs() < CLICKS);
    let count = again.map_or(1, |press| press.count % 3 + 1);
    model.main.press = Some(Press { at, when: now, count });
    let unit = match count {
        2 => Unit::Words,
        3 => Unit::Lines,
        _ => return,
    };
    if let Some(copying) = by_mouse(model, at) {
        copying.unit = unit;
    }
}

/// Copy mode that begins at this place.
fn by_mouse(model: &mut Model, at: Position) -> Option<&mut Copying> {
    if model.main.copying.is_none() {
        let tab = clicked_tab(model);
        model.main.copying = begin(model, tab);
    }
    let area = text_area(model)?;
    let point = point_at(model, at, area)?;
    model.dirty = true;
    let copying = model.main.copying.as_mut()?;
    copying.by_mouse = true;
    copying.anchor = Some(point);
    copying.head = point;
    Some(copying)
}

fn dragged(model: &mut Model, at: Position, area: Rect) -> Option<()> {
    let press = model.main.press?;
    if !model.main.copying.as_ref().is_some_and(|copying| copying.by_mouse) {
        by_mouse(model, press.at)?;
    }
    // Never across panes: beyond the edge the text moves instead.
    let inside = Position::new(at.x.clamp(area.x, area.right() - 1), at.y.clamp(area.y, area.bottom() - 1));
    let point = point_at(model, inside, area)?;
    model.main.copying.as_mut()?.head = point;
    if at.y < area.y {
        by(model, -1);
    } else if at.y >= area.bottom() {
        by(model, 1);
    }
    model.dirty = true;
    Some(())
}

/// Whose text the mouse is in: a click into a terminal gives it the keys.
fn clicked_tab(model: &Model) -> Tab {
    let held = model.main.copying.as_ref().map(|copying| copying.tab);
    held.unwrap_or(if model.focus.terminal { Tab::Terminal } else { model.main.tab })
}

/// Where the text of pane 5 is drawn.
fn text_area(model: &Model) -> Option<Rect> {
    let layout = model.layout()?;
    let area = match clicked_tab(model) {
        Tab::Terminal => model.terminal_area(&layout),
        Tab::Logs => {
            let area = model.parts(&layout).1;
            let margin = u16::try_from(model.main.logs.margin()).ok()?.min(area.width);
            Rect { x: area.x + margin, width: area.width - margin, ..area }
        }
        Tab::Inspect | Tab::Figures | Tab::Events | Tab::Ports => model.parts(&layout).1,
    };
    (!area.is_empty()).then_some(area)
}

/// The place in the text that is drawn here.
fn point_at(model: &Model, at: Position, area: Rect) -> Option<Point> {
    let copying = model.main.copying.as_ref()?;
    let (x, y) = (usize::from(at.x.checked_sub(area.x)?), usize::from(at.y.checked_sub(area.y)?));
    match copying.tab {
        Tab::Terminal => {
            let row = (copying.top + y).min(copying.still.len().saturating_sub(1));
            Some(Point { line: row as u64, column: x })
        }
        Tab::Inspect => {
            let inspect = &model.main.inspect;
            let line = (inspect.top + y).min(inspect.text.len().saturating_sub(1));
            Some(Point { line: line as u64, column: inspect.left + x })
        }
        Tab::Figures | Tab::Events | Tab::Ports => {
            let row = (copying.top + y).min(copying.held.len().saturating_sub(1));
            Some(Point { line: row as u64, column: x })
        }
        Tab::Logs => {
            let logs = &model.main.logs;
            let (columns, height) = model.page(Pane::Main);
            let mut left = y;
            let page = logs.page(columns, height);
            for row in &page {
                if left < row.rows {
                    let above =
                        if logs.look.wrap { (row.above + left) * usize::from(area.width) } else { logs.look.left };
                    return Some(Point { line: row.line, column: above + x });
                }
                left -= row.rows;
            }
            page.last().map(|row| Point { line: row.line, column: usize::MAX / 2 })
        }
    }
}

/// Copy mode ends where another text is shown.
pub fn settle(model: &mut Model) {
    let Some(copying) = model.main.copying.as_ref() else { return };
    let elsewhere = match copying.tab {
        Tab::Terminal => model.terminal_size().is_none(),
        tab => tab != model.main.tab,
    };
    let other = elsewhere || copying.of != model.subject().map(|row| row.name.clone());
    if other || model.focus.pane != Pane::Main && !copying.by_mouse {
        leave(model);
    }
}
