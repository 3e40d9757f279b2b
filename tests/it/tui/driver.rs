//! A dashboard without a terminal, a clock or a supervisor.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use jiff::Timestamp;
use podbay::api::types::{Frame, LogEntry, Snapshot};
use podbay::tui::effect::{Effect, StreamKey, Target};
use podbay::tui::keymap::{Keymap, UserKeys};
use podbay::tui::model::memory::Remembered;
use podbay::tui::model::{Model, Settings};
use podbay::tui::msg::{FeedMsg, LogsMsg, Msg, TerminalMsg};
use podbay::tui::symbols::Symbols;
use podbay::tui::theme::Theme;
use podbay::tui::update::update;
use podbay::tui::view::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::bay;

pub fn settings() -> Settings {
    Settings {
        bay: "podbay".to_owned(),
        theme: Theme::built_in(false),
        themes: Theme::all(std::path::Path::new("/nowhere"), false),
        symbols: Symbols::new(false),
        keymap: Keymap::new(&UserKeys::new()).unwrap(),
        warning: None,
        remembered: None,
    }
}

/// The model with its clock and what it asked for.
pub struct Driver {
    pub model: Model,
    pub now: Timestamp,
    pub effects: Vec<Effect>,
    /// What was to be remembered, each time.
    pub remembered: Vec<Remembered>,
}

impl Driver {
    pub fn new(columns: u16, rows: u16) -> Self {
        Self::with(settings(), columns, rows)
    }

    pub fn with(settings: Settings, columns: u16, rows: u16) -> Self {
        let now = bay::now();
        let mut driver = Self { model: Model::new(settings, now), now, effects: Vec::new(), remembered: Vec::new() };
        driver.send(Msg::Start(columns, rows));
        driver
    }

    /// One that has heard of a bay.
    pub fn of(snapshot: Snapshot, columns: u16, rows: u16) -> Self {
        let mut driver = Self::new(columns, rows);
        driver.hear(snapshot);
        driver
    }

    pub fn send(&mut self, msg: Msg) {
        let effects = update(&mut self.model, msg, self.now);
        for effect in effects {
            match effect {
                Effect::Remember(remembered) => self.remembered.push(*remembered),
                other => self.effects.push(other),
            }
        }
    }

    pub fn hear(&mut self, snapshot: Snapshot) {
        self.send(Msg::Feed(FeedMsg::Snapshot(Box::new(snapshot))));
    }

    pub fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.send(Msg::Wake);
    }

    /// Keys as the key map writes them, with spaces between.
    pub fn keys(&mut self, keys: &str) {
        for key in keys.split(' ') {
            self.send(Msg::Input(Event::Key(key_event(key))));
        }
    }

    /// What the mouse does at a column and row.
    pub fn mouse(&mut self, kind: MouseEventKind, column: u16, row: u16) {
        let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
        self.send(Msg::Input(Event::Mouse(event)));
    }

    pub fn text(&mut self, text: &str) {
        for c in text.chars() {
            self.send(Msg::Input(Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))));
        }
    }

    /// The effects since the last call.
    pub fn taken(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The terminal that was asked for last.
    pub fn stream(&self) -> StreamKey {
        self.model.main.terminals.shown().expect("no terminal is shown").key
    }

    /// The log that was asked for last.
    pub fn log_stream(&self) -> StreamKey {
        self.model.main.logs.streams.last().expect("no log is followed").key
    }

    /// Lines come from the log that was asked for last.
    pub fn log(&mut self, lines: impl IntoIterator<Item = LogEntry>) {
        let key = self.log_stream();
        self.send(Msg::Logs { key, msg: LogsMsg::Lines(lines.into_iter().collect(), None) });
    }

    /// The terminal answers: a screen of this size, then these bytes.
    pub fn screen(&mut self, bytes: &str) {
        let key = self.stream();
        let size = self.model.main.terminals.shown().unwrap().size;
        let reset = Frame::Reset { rows: size.rows, cols: size.cols };
        self.send(Msg::Terminal { key, msg: TerminalMsg::Frame(reset) });
        self.send(Msg::Terminal { key, msg: TerminalMsg::Bytes(Bytes::copy_from_slice(bytes.as_bytes())) });
    }

    /// Every terminal that is looked at answers, by the name that it is called by.
    pub fn screens(&mut self, text: impl Fn(&str) -> String) {
        let panes = self.model.main.terminals.panes.iter();
        let panes: Vec<_> = panes.map(|pane| (pane.key, pane.size, pane.target.clone())).collect();
        for (key, size, target) in panes {
            let name = if let Target::Main(name) = target { name } else { "shell".to_owned() };
            let reset = Frame::Reset { rows: size.rows, cols: size.cols };
            self.send(Msg::Terminal { key, msg: TerminalMsg::Frame(reset) });
            self.send(Msg::Terminal { key, msg: TerminalMsg::Bytes(Bytes::from(text(&name))) });
        }
    }

    pub fn draw(&self) -> TestBackend {
        let size = self.model.size;
        let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
        terminal.draw(|frame| view(&self.model, frame)).unwrap();
        terminal.backend().clone()
    }

    /// The screen as text, with the cursor's place when there is one.
    pub fn shot(&self) -> String {
        let backend = self.draw();
        let mut text = lines(backend.buffer()).join("\n");
        if backend.cursor_visible() {
            let at = backend.cursor_position();
            let _ = write!(text, "\ncursor at column {}, row {}", at.x, at.y);
        }
        text
    }
}

pub fn key_event(text: &str) -> KeyEvent {
    let (mods, name) = match text.split_once('-') {
        Some(("ctrl", name)) => (KeyModifiers::CONTROL, name),
        Some(("alt", name)) => (KeyModifiers::ALT, name),
        _ => (KeyModifiers::NONE, text),
    };
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "shift-tab" => KeyCode::BackTab,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        _ => KeyCode::Char(name.chars().next().unwrap()),
    };
    KeyEvent::new(code, mods)
}

/// The buffer line by line; the second half of a wide character is left out.
pub fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let line = |row: u16| {
        let mut text = String::new();
        let mut skip = 0;
        for column in 0..area.width {
            let symbol = buffer[(column, row)].symbol();
            if skip == 0 {
                text.push_str(symbol);
                skip = unicode_width::UnicodeWidthStr::width(symbol).max(1);
            }
            skip -= 1;
        }
        text.trim_end().to_owned()
    };
    (0..area.height).map(line).collect()
}

/// The styles of a buffer: each run of one style, by line.
pub fn styles(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in 0..buffer.area.height {
        let mut column = 0;
        while column < buffer.area.width {
            let cell = &buffer[(column, row)];
            let style = (cell.fg, cell.bg, cell.modifier);
            let start = column;
            let mut text = String::new();
            while column < buffer.area.width {
                let cell = &buffer[(column, row)];
                if (cell.fg, cell.bg, cell.modifier) != style {
                    break;
                }
                text.push_str(cell.symbol());
                column += 1;
            }
            if !text.trim().is_empty() || style.1 != ratatui::style::Color::Reset {
                let _ =
                    writeln!(out, "{row:>3} {start:>3} {:?} on {:?} {:?} {:?}", style.0, style.1, style.2, text.trim());
            }
        }
    }
    out
}
