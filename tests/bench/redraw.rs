//! A frame of 200x60 from nothing, as it goes to the user's terminal: drawn, compared, written.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use podbay::api::types::{Frame, Snapshot};
use podbay::tui::backend::Frames;
use podbay::tui::keymap::{Keymap, UserKeys};
use podbay::tui::model::{Model, Settings};
use podbay::tui::msg::{FeedMsg, Msg, TerminalMsg};
use podbay::tui::painter::Painter;
use podbay::tui::symbols::Symbols;
use podbay::tui::theme::Theme;
use podbay::tui::update::update;
use podbay::tui::view::view;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Rect, Size};
use ratatui::{TerminalOptions, Viewport};
use serde_json::json;

use super::figures::median;
use super::{Outcome, Plan};

pub const SIZE: (u16, u16) = (200, 60);

/// Counts what would go to the terminal.
pub struct Sink(pub usize);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn run(plan: Plan) -> Outcome {
    let mut model = model()?;
    let mut now = Timestamp::now();
    for at in 0..4 {
        if at > 0 {
            press(&mut model, '|', now);
            press(&mut model, 'j', now);
        }
        now += Duration::from_secs(1);
        update(&mut model, Msg::Wake, now);
    }
    fill(&mut model, now);
    let mut times = Vec::new();
    for _ in 0..plan.rounds() * 5 {
        let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1)) };
        let backend = CrosstermBackend::new(Sink(0));
        let mut terminal = Terminal::with_options(backend, options).map_err(|error| error.to_string())?;
        let begun = Instant::now();
        terminal.draw(|frame| view(&model, frame)).map_err(|error| error.to_string())?;
        times.push(begun.elapsed());
    }
    let each = median(times).as_secs_f64() * 1e3;
    println!("full redraw of 200x60, four terminals full of colours: {each:.2} ms (goal: 8)");
    typing(plan)
}

/// A key that is typed into a terminal, and the frame with its echo; with the pauses of somebody who types fast.
#[expect(clippy::print_stdout, reason = "figures are its output")]
fn typing(plan: Plan) -> Outcome {
    const SIZE: (u16, u16) = (120, 40);
    let mut model = model()?;
    let mut now = Timestamp::now();
    update(&mut model, Msg::Input(crossterm::event::Event::Resize(SIZE.0, SIZE.1)), now);
    for _ in 0..2 {
        now += Duration::from_secs(1);
        update(&mut model, Msg::Wake, now);
    }
    fill(&mut model, now);
    let key = model.main.terminals.panes.first().map(|pane| pane.key).ok_or("no terminal")?;
    let enter = crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Enter);
    update(&mut model, Msg::Input(crossterm::event::Event::Key(enter)), now);
    if !model.focus.terminal {
        return Err("the terminal did not get the keys".to_owned());
    }
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1)) };
    let mut terminal = Terminal::with_options(Frames::new(Sink(0), || Ok(Size::new(SIZE.0, SIZE.1))), options)
        .map_err(|error| error.to_string())?;
    let mut painter = Painter::new(&mut terminal);
    // Its news are told, and gone.
    now += Duration::from_mins(1);
    update(&mut model, Msg::Wake, now);
    painter.paint(&model).map_err(|error| error.to_string())?;
    model.drawn();
    let (mut typed, mut echoed, mut drawn) = (Vec::new(), Vec::new(), Vec::new());
    for letter in ('a'..='z').cycle().take(plan.rounds() * 5) {
        std::thread::sleep(Duration::from_millis(15));
        now += Duration::from_millis(15);
        let begun = Instant::now();
        press(&mut model, letter, now);
        typed.push(begun.elapsed());
        let begun = Instant::now();
        let bytes = Bytes::from(format!("\r\x1b[K{letter}"));
        update(&mut model, Msg::Terminal { key, msg: TerminalMsg::Bytes(bytes) }, now);
        echoed.push(begun.elapsed());
        let begun = Instant::now();
        painter.paint(&model).map_err(|error| error.to_string())?;
        model.drawn();
        drawn.push(begun.elapsed());
    }
    let [typed, echoed, drawn] = [typed, echoed, drawn].map(|times| median(times).as_secs_f64() * 1e3);
    println!(
        "a key in a terminal of 120x40: taken in {typed:.3} ms, its echo in {echoed:.3} ms, drawn in {drawn:.3} ms"
    );
    Ok(())
}

fn press(model: &mut Model, key: char, now: Timestamp) {
    use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
    let event = KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE);
    update(model, Msg::Input(Event::Key(event)), now);
}

/// Every terminal shows a full screen of colours.
fn fill(model: &mut Model, now: Timestamp) {
    let panes: Vec<_> = model.main.terminals.panes.iter().map(|pane| (pane.key, pane.size)).collect();
    for (key, size) in panes {
        let frame = Frame::Reset { rows: size.rows, cols: size.cols };
        update(model, Msg::Terminal { key, msg: TerminalMsg::Frame(frame) }, now);
        let cells = u32::from(size.rows) * u32::from(size.cols) - 1;
        let mut text = String::new();
        for (at, letter) in (0..cells).zip(('a'..='z').cycle()) {
            let _ = write!(text, "\x1b[38;5;{};48;5;{}m{letter}", at % 256, at * 7 % 256);
        }
        update(model, Msg::Terminal { key, msg: TerminalMsg::Bytes(Bytes::from(text)) }, now);
    }
}

pub fn model() -> Result<Model, String> {
    let settings = Settings {
        bay: "bench".to_owned(),
        theme: Theme::built_in(false),
        themes: Vec::new(),
        symbols: Symbols::new(false),
        keymap: Keymap::new(&UserKeys::new()).map_err(|error| error.to_string())?,
        warning: None,
        remembered: None,
    };
    let now = Timestamp::now();
    let mut model = Model::new(settings, now);
    update(&mut model, Msg::Start(SIZE.0, SIZE.1), now);
    let row = |name: &str, role: &str| {
        json!({
            "id": format!("{name}0123456789"), "name": name, "role": role, "template": "default", "state": "running",
            "image": "host", "network": "shared", "project": null, "branch": null, "ports": [], "health": null,
            "restarts": 0, "created_at": now, "started_at": now, "attention": null, "reason": null,
        })
    };
    let mut containers = vec![row("parent", "parent")];
    containers.extend((0..20).map(|at| row(&format!("worker-{at:02}"), "worker")));
    let engine = json!({
        "kind": "docker", "endpoint": "unix:///var/run/docker.sock", "version": "27.0", "state": "up", "reason": null,
        "next_try_at": null, "limits": [],
    });
    let status = json!({
        "bay": "bench", "version": "0.1.0", "pid": 1, "engine": engine, "parent": null, "workers": {}, "pool": [],
        "services": [], "disk": {"total": 1, "free": 1},
        "capacity": {"cpus": 2, "memory": 1, "workers": null}, "uptime_s": 1, "templates": ["default"], "troubles": [],
    });
    let snapshot = json!({"seq": 1, "status": status, "containers": containers, "sessions": [], "history": []});
    let snapshot: Snapshot = serde_json::from_value(snapshot).map_err(|error| error.to_string())?;
    update(&mut model, Msg::Feed(FeedMsg::Snapshot(Box::new(snapshot))), now);
    Ok(model)
}
