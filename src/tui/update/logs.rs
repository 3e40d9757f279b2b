//! Logs: which are followed, what comes of them, and what is due after each message.

use super::super::effect::{Effect, LogsFrom, StreamKey};
use super::super::model::logs::store::Store;
use super::super::model::logs::{History, LogState, LogStream, MAX_STREAMS, TAIL};
use super::super::model::terminals::Run;
use super::super::model::{Model, Pane, Tab};
use super::super::msg::LogsMsg;
use super::{RETRY, settle};
use crate::api::types::{LogEntry, State};

/// Lines by which the place of a log within the whole is found.
const PROBE: usize = 64;

/// A container whose log is wanted.
type Wanted = (String, Run);

pub fn logs(model: &mut Model, key: StreamKey, msg: LogsMsg) -> Vec<Effect> {
    let now = model.now;
    let logs = &mut model.main.logs;
    model.dirty |= model.main.tab == Tab::Logs;
    if matches!(logs.history, History::Reading { key: reading, .. } if reading == key) {
        history(model, msg);
        return Vec::new();
    }
    let Some(stream) = logs.streams.iter_mut().find(|stream| stream.key == key) else { return Vec::new() };
    match msg {
        LogsMsg::Lines(mut entries, last) => {
            stream.state = LogState::Live;
            drop_again(&mut stream.again, &mut entries);
            let source = stream.source;
            if let Some(last) = last {
                logs.last.insert(source, last);
            }
            logs.take(source, entries, now);
        }
        LogsMsg::Ended => stream.state = LogState::Ended,
        LogsMsg::Lost(reason) => stream.state = LogState::Lost { reason, retry_at: now + RETRY },
        LogsMsg::Counted(_) | LogsMsg::Whole(_) => {}
    }
    Vec::new()
}

/// After a cut the log is read again from the last line's time on: what is known of that moment comes once more.
fn drop_again(again: &mut Vec<String>, entries: &mut Vec<LogEntry>) {
    if again.is_empty() || entries.is_empty() {
        return;
    }
    let known = again.iter().zip(entries.iter()).take_while(|(old, new)| **old == new.line).count();
    entries.drain(..known);
    if entries.is_empty() {
        again.drain(..known);
    } else {
        again.clear();
    }
}

/// What was read of the past.
fn history(model: &mut Model, msg: LogsMsg) {
    let page = model.page(Pane::Main);
    let logs = &mut model.main.logs;
    let History::Reading { count, top, .. } = &mut logs.history else { return };
    let top = *top;
    match msg {
        LogsMsg::Counted(lines) => *count = lines,
        LogsMsg::Whole(whole) => {
            let Some(older) = missing(&logs.store, &whole) else {
                let why = "the engine's log begins after the lines that are shown";
                logs.history = History::Failed(why.to_owned());
                return;
            };
            logs.prepend(&whole, older);
            logs.history = History::Whole;
            if top && logs.look.place.is_some() {
                logs.scroll(isize::MIN / 2, page);
            }
        }
        LogsMsg::Lost(why) => logs.history = History::Failed(why),
        LogsMsg::Lines(..) | LogsMsg::Ended => {}
    }
}

/// How many lines of the whole come before these.
fn missing(store: &Store, whole: &Store) -> Option<usize> {
    let probe: Vec<_> = store.iter().take(PROBE).collect();
    let begins = |number: u64| {
        let found = probe.iter().zip(number..).all(|(wanted, number)| {
            whole.get(number).is_none_or(|line| (line.stderr, line.text) == (wanted.stderr, wanted.text))
        });
        found && whole.get(number).is_some()
    };
    let Some(oldest) = probe.first() else { return Some(whole.len()) };
    // The times of one line differ by what it took to the engine's log, and by what it took to the supervisor.
    let apart = |number: &u64| {
        let at = whole.get(*number).and_then(|line| line.at);
        at.zip(oldest.at).map_or(0, |(one, other)| one.abs_diff(other))
    };
    let first = (whole.start()..whole.end()).rev().filter(|number| begins(*number)).min_by_key(apart)?;
    usize::try_from(first - whole.start()).ok()
}

/// Asks for the lines before those that are there.
pub fn read_past(model: &mut Model, top: bool) -> Vec<Effect> {
    let logs = &mut model.main.logs;
    if let History::Reading { top: wanted, .. } = &mut logs.history {
        *wanted |= top;
        return Vec::new();
    }
    let is_tail = matches!(logs.history, History::Tail) && !logs.merged;
    let [(name, _)] = logs.sources.as_slice() else { return Vec::new() };
    if !is_tail || logs.store.is_empty() || logs.store.dropped() > 0 {
        return Vec::new();
    }
    if (logs.store.len() as u64) < TAIL {
        logs.history = History::Whole;
        return Vec::new();
    }
    let name = name.clone();
    let key = model.main.terminals.new_key();
    model.main.logs.history = History::Reading { key, count: 0, top };
    vec![Effect::ReadLog { key, name }]
}

/// The logs that the screen needs are followed, and no others; what waits is looked at.
pub fn settle(model: &mut Model, effects: &mut Vec<Effect>) {
    let shown = model.main.tab == Tab::Logs && model.layout().is_some();
    let wanted = if shown { wanted(model) } else { Vec::new() };
    if shown {
        adopt(model, &wanted, effects);
    }
    close(model, &wanted, effects);
    open(model, wanted, effects);
    if !shown {
        return;
    }
    let now = model.now;
    let logs = &mut model.main.logs;
    let sorted = logs.sort(now);
    model.dirty |= logs.scan() || sorted;
    super::log_keys::seek(model);
}

/// The containers whose logs are wanted.
fn wanted(model: &Model) -> Vec<Wanted> {
    if !model.main.logs.merged {
        return model
            .subject()
            .filter(|row| !row.id.is_empty())
            .map(|row| (row.name.clone(), Run::of(row)))
            .into_iter()
            .collect();
    }
    let mut rows: Vec<_> = model.feed.workers().filter(|row| !row.id.is_empty()).collect();
    // Where there are too many, those that run come first.
    rows.sort_by_key(|row| !matches!(row.state, State::Running | State::CutOff));
    rows.into_iter().take(MAX_STREAMS).map(|row| (row.name.clone(), Run::of(row))).collect()
}

/// Lines of other containers make room; a worker more only joins the others.
fn adopt(model: &mut Model, wanted: &[Wanted], effects: &mut Vec<Effect>) {
    let logs = &mut model.main.logs;
    let sources: Vec<(String, String)> = wanted.iter().map(|(name, run)| (name.clone(), run.id.clone())).collect();
    if logs.merged {
        let fresh: Vec<_> = sources.into_iter().filter(|source| !logs.sources.contains(source)).collect();
        logs.sources.extend(fresh);
        return;
    }
    if logs.sources != sources {
        start_over(model, sources, effects);
    }
}

/// Other containers: nothing of what is followed or read now is theirs.
pub fn start_over(model: &mut Model, sources: Vec<(String, String)>, effects: &mut Vec<Effect>) {
    let logs = &mut model.main.logs;
    let reading = match logs.history {
        History::Reading { key, .. } => Some(key),
        _ => None,
    };
    let keys = logs.streams.drain(..).map(|stream| stream.key).chain(reading);
    effects.extend(keys.map(|key| Effect::CloseLogs { key }));
    logs.clear(sources);
    model.dirty = true;
}

/// Ends the streams that are not wanted, that were cut long enough ago, or whose container runs again.
fn close(model: &mut Model, wanted: &[Wanted], effects: &mut Vec<Effect>) {
    let now = model.now;
    let logs = &mut model.main.logs;
    logs.streams.retain(|stream| {
        let source = logs.sources.get(usize::from(stream.source));
        let run = source.and_then(|(name, id)| wanted.iter().find(|(own, run)| own == name && run.id == *id));
        let cut = matches!(&stream.state, LogState::Lost { retry_at, .. } if *retry_at <= now);
        let keep = run.is_some_and(|(_, run)| !cut && (stream.state != LogState::Ended || stream.run == *run));
        if !keep {
            effects.push(Effect::CloseLogs { key: stream.key });
        }
        keep
    });
}

fn open(model: &mut Model, wanted: Vec<Wanted>, effects: &mut Vec<Effect>) {
    let has = |source: u16, model: &Model| model.main.logs.streams.iter().any(|stream| stream.source == source);
    let mut missing = Vec::new();
    for (name, run) in wanted {
        let at = model.main.logs.sources.iter().position(|source| (&source.0, &source.1) == (&name, &run.id));
        if let Some(source) = at.and_then(|at| u16::try_from(at).ok()).filter(|source| !has(*source, model)) {
            missing.push((source, name, run));
        }
    }
    if missing.is_empty() || !settle::may_open(model) {
        return;
    }
    for (source, name, run) in missing {
        let key = model.main.terminals.new_key();
        let (from, again) = resume(&mut model.main.logs, source);
        effects.push(Effect::OpenLogs { key, name, from });
        model.main.logs.streams.push(LogStream { key, source, run, state: LogState::Opening, again });
    }
}

/// Where a log goes on, and what comes a second time then.
fn resume(logs: &mut super::super::model::logs::Logs, source: u16) -> (LogsFrom, Vec<String>) {
    logs.flush();
    if let Some(last) = logs.last.get(&source) {
        return (LogsFrom::After(last.clone()), Vec::new());
    }
    let own = || logs.store.iter().rev().filter(|line| line.source == source);
    let Some(last) = own().next() else { return (LogsFrom::Tail, Vec::new()) };
    let Some(at) = last.at else {
        // Nobody tells the times of these lines, so where it goes on can't be said: it begins anew.
        let sources = logs.sources.clone();
        if !logs.merged {
            logs.clear(sources);
        }
        return (LogsFrom::Tail, Vec::new());
    };
    let mut again: Vec<String> =
        own().take_while(|line| line.at == Some(at)).map(|line| line.text.to_owned()).collect();
    again.reverse();
    (LogsFrom::Since(at), again)
}
