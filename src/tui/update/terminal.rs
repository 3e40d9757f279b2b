//! Embedded terminals: what the program writes, what the user types, and who has the keys.

use std::time::Duration;

use bytes::Bytes;
use crossterm::event::KeyEvent;

use super::super::effect::{Effect, StreamKey, Target};
use super::super::model::terminals::{PaneState, SCROLLBACK, Written};
use super::super::model::toast::Kind;
use super::super::model::{Model, Pane, Tab, cycle};
use super::super::msg::{Answer, TerminalMsg};
use super::{RETRY, act, complain, copying, tell, tiles, worker};
use crate::api::types::{Frame, LinkState, SessionRow, State};
use crate::bay::session::{SessionId, TermSize};
use crate::terminal::emulator::Emulator;
use crate::terminal::keys;

/// The leaving key pressed twice within this goes to the program.
const TWICE: Duration = Duration::from_secs(1);
/// A program that answers a key prints no more than this.
const ECHO: usize = 128;

pub fn terminal(model: &mut Model, key: StreamKey, msg: TerminalMsg) -> Vec<Effect> {
    let retry_at = model.now + RETRY;
    let active = model.main.terminals.active.clone();
    let Some(pane) = model.main.terminals.panes.iter_mut().find(|pane| pane.key == key) else { return Vec::new() };
    if let TerminalMsg::Bytes(bytes) = msg {
        let Some(emulator) = pane.emulator.as_mut() else { return Vec::new() };
        pane.written.add(written(emulator, &bytes));
        // Queries are answered by the supervisor's emulator, so the answers of this one are dropped.
        if emulator.feed(&bytes).rebuilt {
            tell(model, Kind::Note, "this screen could not be kept and was begun anew");
        }
        return Vec::new();
    }
    // Only what is on the screen is looked at.
    model.dirty = true;
    match msg {
        TerminalMsg::Frame(Frame::Reset { rows, cols }) => {
            pane.emulator = Some(Emulator::new(TermSize::new(rows, cols), SCROLLBACK));
            pane.state = PaneState::Live;
        }
        TerminalMsg::Frame(Frame::Size { rows, cols }) => {
            if let Some(emulator) = pane.emulator.as_mut() {
                emulator.resize(TermSize::new(rows, cols));
            }
        }
        TerminalMsg::Frame(Frame::Ended { reason, .. }) => {
            // Who is typing goes on typing: the keys stay here until the leaving key, or they would be commands.
            pane.state = PaneState::Ended(reason.clone());
            let typed_into = model.focus.terminal && active.as_ref() == Some(&pane.target);
            if let (Target::Shell(id), true) = (pane.target.clone(), typed_into) {
                return shell_ended(model, id, &reason);
            }
        }
        TerminalMsg::Bytes(_) | TerminalMsg::Frame(Frame::Resize { .. } | Frame::Eof) => {}
        TerminalMsg::Lost(reason) => {
            // An end that was announced is no loss.
            if !matches!(pane.state, PaneState::Ended(_)) {
                pane.state = PaneState::Lost { reason, retry_at };
            }
        }
        TerminalMsg::Full => tell(model, Kind::Bad, "the program does not read its input: keys were dropped"),
    }
    Vec::new()
}

/// The rows that these bytes change: nearly always, somebody types, and it is the one that the cursor is in.
fn written(emulator: &Emulator, bytes: &[u8]) -> Written {
    // What is not even drawn yet is not drawn for this.
    if bytes.len() > ECHO || emulator.is_behind() || !emulator.is_idle() {
        return Written::All;
    }
    let (row, col) = emulator.screen().cursor_position();
    let room = usize::from(emulator.size().cols.saturating_sub(col));
    if stays_in_row(bytes, room) { Written::Row(row) } else { Written::All }
}

/// Whether nothing of this reaches another row: it never comes to the last of `room` columns, so that no line wraps.
fn stays_in_row(bytes: &[u8], room: usize) -> bool {
    let (mut bytes, mut count) = (bytes.iter(), 0);
    while let Some(byte) = bytes.next() {
        match byte {
            b' '..=b'~' => count += 1,
            b'\r' | 0x08 => {}
            0x1b if bytes.next() == Some(&b'[') => {
                let last = bytes.by_ref().find(|byte| !matches!(byte, b'0'..=b'9' | b';'));
                if !matches!(last, Some(b'm' | b'K' | b'D' | b'P' | b'X')) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    count < room
}

/// Somebody typed `exit`: the shell's tab goes, as in any terminal.
fn shell_ended(model: &mut Model, id: SessionId, reason: &str) -> Vec<Effect> {
    leave(model);
    // Nothing is there that a second press could be meant for.
    model.focus.left_at = None;
    model.main.terminals.chosen.retain(|_, chosen| *chosen != id);
    tell(model, Kind::Note, &format!("the shell {reason}"));
    vec![Effect::CloseSession { id }]
}

/// Whether the way to the program that has the keys leads through an engine that is away.
pub fn is_cut_off(model: &Model) -> bool {
    let away = model.feed.status().is_some_and(|status| status.engine.state == LinkState::Away);
    away && model.subject().is_some_and(|row| row.state == State::Unknown)
}

/// What is typed while the engine is away goes nowhere, most often.
fn warn_of_loss(model: &mut Model) {
    if is_cut_off(model) {
        tell(model, Kind::Bad, "the engine is away: what is typed now does not reach the program");
    }
}

/// A key for the program.
pub fn typed(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    if !model.main.terminals.takes_keys() {
        // Nobody is there to read it, and it was not meant for the dashboard.
        return Vec::new();
    }
    warn_of_loss(model);
    let Some(pane) = model.main.terminals.shown_mut() else { return Vec::new() };
    let Some(emulator) = pane.emulator.as_mut() else { return Vec::new() };
    if emulator.screen().scrollback() > 0 {
        emulator.scroll_to(0);
        model.dirty = true;
    }
    type_into(pane.key, keys::key(event, emulator.modes()))
}

pub fn pasted(model: &mut Model, text: &str) -> Vec<Effect> {
    if !model.main.terminals.takes_keys() {
        return Vec::new();
    }
    warn_of_loss(model);
    let Some(pane) = model.main.terminals.shown() else { return Vec::new() };
    let Some(emulator) = pane.emulator.as_ref() else { return Vec::new() };
    type_into(pane.key, keys::paste(text, emulator.modes()))
}

/// The program that has the keys has the focus, while the user's window has it: it is told where it asked to know, and
/// the cursor has its shape.
pub fn settle(model: &mut Model, effects: &mut Vec<Effect>) {
    let typed_into = model.main.terminals.active.clone().filter(|_| model.focus.terminal);
    let modes = |model: &Model, target: &Target| {
        let pane = model.main.terminals.pane(target)?;
        pane.emulator.as_ref().map(|emulator| (pane.key, emulator.modes()))
    };
    let now = typed_into.clone().filter(|_| model.inbox.looking != Some(false));
    if now != model.main.terminals.focused {
        let before = std::mem::replace(&mut model.main.terminals.focused, now.clone());
        for (target, word) in [(before, b"\x1b[O"), (now, b"\x1b[I")] {
            let told = target.and_then(|target| modes(model, &target)).filter(|(_, modes)| modes.focus_events);
            effects.extend(told.into_iter().flat_map(|(key, _)| type_into(key, word.to_vec())));
        }
    }
    let copying = model.main.copying.is_some();
    let shape = typed_into.filter(|_| !copying).and_then(|target| modes(model, &target));
    let shape = shape.map_or(0, |(_, modes)| modes.cursor_shape);
    if shape != model.main.terminals.cursor_shape {
        model.main.terminals.cursor_shape = shape;
        effects.push(Effect::CursorShape(shape));
    }
}

/// Bytes for a program, if there are any.
pub fn type_into(key: StreamKey, bytes: Vec<u8>) -> Vec<Effect> {
    if bytes.is_empty() { Vec::new() } else { vec![Effect::TypeInto { key, bytes: Bytes::from(bytes) }] }
}

/// Takes the keys away from the program.
pub fn leave(model: &mut Model) {
    if model.focus.terminal {
        model.focus.terminal = false;
        model.focus.left_at = Some(model.now);
        model.dirty = true;
        model.focus.pane = model.focus.from;
    }
}

/// Whether the leaving key, pressed now, would be its second time.
pub fn left_just_now(model: &Model) -> bool {
    let soon = |at| model.now.duration_since(at).unsigned_abs() <= TWICE;
    model.overlay.is_none() && model.focus.left_at.is_some_and(soon) && model.main.terminals.takes_keys()
}

/// The leaving key's second time: the program gets it, and the keys that follow.
pub fn send_leaving_key(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    model.focus.left_at = None;
    model.focus.pane = Pane::Main;
    model.focus.terminal = true;
    typed(model, event)
}

/// Holds the terminal that was just left still, to look back in it.
pub fn look_back(model: &mut Model) {
    model.focus.pane = Pane::Main;
    copying::enter_in(model, Tab::Terminal, false);
}

/// Gives the keys to the subject's terminal, now or as soon as it is there.
pub fn focus(model: &mut Model) -> Vec<Effect> {
    if !matches!(model.focus.pane, Pane::Parent | Pane::Workers | Pane::Services | Pane::Main) {
        tell(model, Kind::Note, "no terminal here");
        return Vec::new();
    }
    let Some(name) = act::subject_name(model) else { return Vec::new() };
    let from = model.focus.pane;
    if !(model.main.tiles.beside && model.terminal_size().is_some()) {
        model.main.tab = Tab::Terminal;
    }
    model.focus.from = from;
    if model.strip().is_empty() {
        model.focus.pane = Pane::Main;
        return Vec::new();
    }
    model.focus.pane = Pane::Main;
    model.work.awaited = Some(name);
    Vec::new()
}

/// The next terminal of the subject.
pub fn step(model: &mut Model, step: isize) {
    let targets: Vec<Target> = model.strip().into_iter().map(|tab| tab.target).collect();
    let Some(name) = model.subject().map(|row| row.name.clone()) else { return };
    let Some(now) = model.wanted_terminal() else { return };
    let at: Vec<usize> = (0..targets.len()).collect();
    let from = targets.iter().position(|target| *target == now).unwrap_or(0);
    let next = targets.get(cycle(&at, from, step));
    if let Some(target) = next {
        tiles::retarget(model, target);
    }
    match next {
        Some(Target::Shell(id)) => model.main.terminals.chosen.insert(name, *id),
        _ => model.main.terminals.chosen.remove(&name),
    };
}

/// One more shell in the subject.
pub fn shell(model: &mut Model) -> Vec<Effect> {
    let Some(name) = act::subject_name(model) else { return Vec::new() };
    let size = model.next_terminal_size();
    vec![Effect::OpenSession { name, size }]
}

/// The shell is there: it is shown, and gets the keys.
pub fn opened(model: &mut Model, name: &str, result: Answer<SessionRow>) -> Vec<Effect> {
    match result {
        Err(error) => complain(model, &format!("no shell in {name}"), &error),
        Ok(session) => {
            model.main.terminals.chosen.insert(name.to_owned(), session.id);
            // The list of sessions may come later than this answer.
            if let Some(snapshot) = model.feed.snapshot.as_mut()
                && snapshot.sessions.iter().all(|known| known.id != session.id)
            {
                snapshot.sessions.push(session);
            }
            if model.overlay.is_none() && model.subject().is_some_and(|row| row.name == name) {
                model.focus.from = model.focus.pane;
                model.main.tab = Tab::Terminal;
                model.focus.pane = Pane::Main;
                model.work.awaited = Some(name.to_owned());
            }
            model.dirty = true;
        }
    }
    Vec::new()
}

/// Ends the shell that is shown; the main tty is stopped, not closed.
pub fn close(model: &mut Model) -> Vec<Effect> {
    let shown = model.main.terminals.shown();
    let Some((Target::Shell(id), state)) = shown.map(|pane| (pane.target.clone(), pane.state.clone())) else {
        tell(model, Kind::Note, "this is the main terminal: stop the worker to end it");
        return Vec::new();
    };
    let effects = vec![Effect::CloseSession { id }];
    if matches!(state, PaneState::Ended(_)) {
        return effects;
    }
    let losses = vec!["what runs in it ends".to_owned()];
    worker::ask(model, "end this shell?".to_owned(), losses, "end", effects);
    Vec::new()
}
