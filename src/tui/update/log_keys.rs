//! What keys do in the logs tab: search, hide, mark, save.

use super::super::action::Action;
use super::super::effect::{Effect, SavedLines};
use super::super::model::logs::scan::Query;
use super::super::model::overlay::{Overlay, Prompt, PromptKind, text_of};
use super::super::model::toast::Kind;
use super::super::model::{Model, Pane, Tab};
use super::{copying, list, logs, tell};

pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Follow => follow(model),
        Action::Wrap => {
            model.main.logs.look.wrap = !model.main.logs.look.wrap;
            model.main.logs.look.left = 0;
        }
        Action::Timestamps => model.main.logs.look.timestamps = !model.main.logs.look.timestamps,
        Action::Fold => model.main.logs.look.fold = !model.main.logs.look.fold,
        Action::Merge => return merge(model),
        Action::Search => search(model),
        Action::Hide => prompt(model, PromptKind::Hide),
        Action::NextMatch => step(model, true),
        Action::PreviousMatch => step(model, false),
        Action::MarkLine => mark(model),
        Action::NextMark => next_mark(model),
        Action::Save => return save(model),
        _ => {}
    }
    Vec::new()
}

fn follow(model: &mut Model) {
    let page = model.page(Pane::Main);
    let logs = &mut model.main.logs;
    logs.look.place = if logs.look.place.is_some() { None } else { logs.place(page.0) };
}

fn search(model: &mut Model) {
    if copying::search(model) {
        prompt(model, PromptKind::Search);
    }
}

fn merge(model: &mut Model) -> Vec<Effect> {
    let mut effects = Vec::new();
    model.main.logs.merged = !model.main.logs.merged;
    logs::start_over(model, Vec::new(), &mut effects);
    effects
}

fn prompt(model: &mut Model, kind: PromptKind) {
    let logs = &model.main.logs;
    let held = model.main.copying.as_ref().filter(|copying| copying.tab != Tab::Logs);
    let (query, text) = match kind {
        PromptKind::Search if held.is_some() => (held.and_then(|copying| copying.search.clone()), String::new()),
        PromptKind::Search => (logs.search.as_ref().map(|search| search.scan.query.clone()), String::new()),
        PromptKind::Hide => (logs.filter.as_ref().map(|filter| filter.query.clone()), String::new()),
        PromptKind::Save => (None, suggested(model)),
    };
    let prompt = Prompt::new(kind, &text, query, logs.look);
    model.overlay = Some(Overlay::Prompt(Box::new(prompt)));
}

/// Where the lines would be saved.
fn suggested(model: &Model) -> String {
    let logs = &model.main.logs;
    let name = match logs.sources.as_slice() {
        [(name, _)] if !logs.merged => name.as_str(),
        _ => model.settings.bay.as_str(),
    };
    format!("~/{name}-{}.log", model.now.strftime("%Y%m%d-%H%M%S"))
}

/// What was typed so far is looked for at once.
pub fn typed(model: &mut Model) {
    let Some(Overlay::Prompt(prompt)) = model.overlay.as_mut() else { return };
    let (kind, text) = (prompt.kind, text_of(&prompt.input));
    prompt.error = None;
    if kind == PromptKind::Save {
        return;
    }
    let query = match Query::read(&text, kind == PromptKind::Hide) {
        Ok(query) => query,
        Err(why) => {
            prompt.error = Some(why);
            return;
        }
    };
    let look = prompt.look;
    if model.main.copying.is_some() && kind == PromptKind::Search && copying::look_for(model, query.clone()) {
        return;
    }
    apply(model, kind, query);
    if kind == PromptKind::Search {
        model.main.logs.look = look;
        seek_from_below(model);
    }
}

fn apply(model: &mut Model, kind: PromptKind, query: Option<Query>) {
    match kind {
        PromptKind::Search => model.main.logs.look_for(query),
        PromptKind::Hide => model.main.logs.narrow(query),
        PromptKind::Save => {}
    }
}

/// The nearest line with it is the lowest one on the screen or above it.
fn seek_from_below(model: &mut Model) {
    let page = model.page(Pane::Main);
    let logs = &mut model.main.logs;
    let lowest = logs.page(page.0, page.1).last().map(|row| row.line + 1);
    if let Some(search) = logs.search.as_mut() {
        search.seek = lowest;
    }
}

/// The line is done, or left.
pub fn prompted(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = model.overlay.as_ref() else { return Vec::new() };
    let (kind, look, before) = (prompt.kind, prompt.look, prompt.before.clone());
    let text = text_of(&prompt.input);
    match action {
        Action::NextChoice => return list::by(model, Pane::Main, 1),
        Action::PreviousChoice => return list::by(model, Pane::Main, -1),
        Action::Cancel => {
            model.overlay = None;
            if kind == PromptKind::Search && copying::look_for(model, before.clone()) {
                copying::call_off(model);
                return Vec::new();
            }
            apply(model, kind, before);
            model.main.logs.look = look;
        }
        _ if prompt.error.is_some() => {}
        _ => {
            model.overlay = None;
            if kind == PromptKind::Save {
                return write(model, text.trim());
            }
            if model.main.copying.is_some() {
                return Vec::new();
            }
            if text.is_empty() {
                // Nothing new: what was looked for before is looked for again.
                apply(model, kind, before.filter(|_| kind == PromptKind::Search));
                seek_from_below(model);
                return Vec::new();
            }
            return logs::read_past(model, false);
        }
    }
    Vec::new()
}

/// Goes to the line that is waited for, once it is found.
pub fn seek(model: &mut Model) {
    let page = model.page(Pane::Main);
    let logs = &mut model.main.logs;
    let Some(search) = logs.search.as_mut() else { return };
    let Some(limit) = search.seek else { return };
    let done = search.scan.is_done(&logs.store);
    let found = search.scan.before(limit);
    let found =
        found.or_else(|| search.scan.len().checked_sub(1).filter(|_| done).and_then(|last| search.scan.at(last)));
    if found.is_some() || done {
        search.seek = None;
        search.current = found;
        model.dirty = true;
    }
    if let Some(line) = found {
        logs.show(line, page);
    }
}

/// To the next line with it, below or above.
fn step(model: &mut Model, down: bool) {
    let page = model.page(Pane::Main);
    let lowest = model.main.logs.page(page.0, page.1).last().map(|row| row.line);
    let logs = &mut model.main.logs;
    let Some(search) = logs.search.as_mut() else {
        let key = model.settings.keymap.key_of(Action::Search, super::super::action::Context::Logs).unwrap_or_default();
        tell(model, Kind::Note, &format!("nothing is looked for: {key} begins a search"));
        return;
    };
    let from = search.current.or(lowest).unwrap_or(0);
    if !down {
        // Further up there may be lines that were not looked at yet: `seek` waits for them.
        let over = search.scan.before(from).is_none() && search.scan.is_done(&logs.store);
        search.seek = Some(from);
        if over && !search.scan.is_empty() {
            tell(model, Kind::Note, "no more above: on from the newest line");
        }
        return;
    }
    let next = search.scan.after(from);
    let first = search.scan.at(0).filter(|_| search.scan.is_done(&logs.store));
    let wrapped = next.is_none() && first.is_some();
    if let Some(line) = next.or(first) {
        search.current = Some(line);
        logs.show(line, page);
    }
    if wrapped {
        tell(model, Kind::Note, "no more below: on from the oldest line");
    }
}

/// The line that is meant: the one that was found, else the lowest on the screen.
fn meant(model: &Model) -> Option<u64> {
    let page = model.page(Pane::Main);
    let logs = &model.main.logs;
    let rows = logs.page(page.0, page.1);
    let current = logs.search.as_ref().and_then(|search| search.current);
    let current = current.filter(|line| rows.iter().any(|row| row.line == *line));
    current.or_else(|| rows.last().map(|row| row.line))
}

fn mark(model: &mut Model) {
    let Some(line) = meant(model) else { return };
    let page = model.page(Pane::Main);
    let logs = &mut model.main.logs;
    if !logs.marks.remove(&line) {
        logs.marks.insert(line);
        logs.show(line, page);
    }
}

fn next_mark(model: &mut Model) {
    let page = model.page(Pane::Main);
    let from = model.main.logs.page(page.0, page.1).last().map_or(0, |row| row.line);
    let logs = &mut model.main.logs;
    let start = logs.store.start();
    logs.marks.retain(|line| *line >= start);
    let next = logs.marks.range(from + 1..).next().or_else(|| logs.marks.first()).copied();
    match next {
        Some(line) => logs.show(line, page),
        None => tell(model, Kind::Note, "no line is marked"),
    }
}

fn save(model: &mut Model) -> Vec<Effect> {
    if model.main.logs.count() == 0 {
        tell(model, Kind::Note, "there is no line to save");
    } else {
        prompt(model, PromptKind::Save);
    }
    Vec::new()
}

/// The lines that are not hidden go to a file.
fn write(model: &mut Model, path: &str) -> Vec<Effect> {
    if path.is_empty() {
        tell(model, Kind::Note, "not saved: no file was named");
        return Vec::new();
    }
    let logs = &model.main.logs;
    let names = if logs.merged { logs.sources.iter().map(|(name, _)| name.clone()).collect() } else { Vec::new() };
    let only = logs.filter.as_ref().map(super::super::model::logs::scan::Scan::numbers);
    let lines = SavedLines { blocks: logs.store.blocks(), only, names };
    vec![Effect::SaveLog { path: path.into(), lines }]
}

/// One step back: what is looked for, then what is hidden. `false`: there is neither.
pub fn back(model: &mut Model) -> bool {
    let logs = &mut model.main.logs;
    if logs.search.take().is_some() {
        return true;
    }
    let hidden = logs.filter.is_some();
    if hidden {
        logs.narrow(None);
    }
    hidden
}
