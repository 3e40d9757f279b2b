//! Frames that are only parts of frames show what whole ones would.

use bytes::Bytes;
use podbay::api::types::Frame;
use podbay::tui::model::terminals::Written;
use podbay::tui::msg::{Msg, TerminalMsg};
use podbay::tui::painter::Painter;
use podbay::tui::view::view;
use ratatui::Terminal;
use ratatui::backend::{Backend, TestBackend};
use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr as _;

use super::bay;
use super::driver::{Driver, key_event};
use super::robust::Numbers;

/// What programs write: echoes, lines, screens, and what stands badly in a row.
const PIECES: &[&str] = &[
    "x",
    "$ ",
    "\r",
    "\x08 \x08",
    "\r\x1b[Kone",
    "\x1b[31mred\x1b[0m",
    "\x1b[3D\x1b[P",
    "a longer word ",
    "\r\n",
    "\n",
    "\x1b[H\x1b[2J",
    "\x1b[5;7Hhere",
    "漢字",
    "\x1b[1;40H\u{26a0}\u{fe0f}",
    "é",
    "\x1b[?25l",
    "\x1b[?25h",
    "\x1b[L",
    "\x1b[2;5r\x1b[5;1H\n\n\x1b[r",
    "\x1b[?1049h",
    "\x1b[?1049l",
    "\x1b]0;title\x07",
    "\x1b(0lqk\x1b(B",
    "\x1b[4h",
    "\x1b[4l",
    "\x1b[999Cwraps here",
    "\x1b[7mturned\x1b[m",
    "\x1b",
    "[K",
    "\x1b[1m\x1b[",
    "3",
    "mtext",
];
const KEYS: &[&str] = &["?", "esc", "tab", "j", "k", "|", "enter", "ctrl-q", "z", "v"];

/// A buffer without what lies under the second half of a wide character.
fn seen(buffer: &Buffer) -> Buffer {
    let mut seen = buffer.clone();
    let mut covered = 0;
    for cell in &mut seen.content {
        if covered > 0 {
            cell.reset();
            covered -= 1;
        } else {
            covered = cell.symbol().width().saturating_sub(1);
        }
    }
    seen
}

#[test]
fn parts_of_frames_show_what_whole_ones_do() {
    let mut numbers = Numbers(11);
    for (columns, rows) in [(100, 30), (80, 24)] {
        let mut driver = Driver::of(bay::running(), columns, rows);
        driver.wait(1000);
        driver.keys("enter");
        driver.screens(|name| format!("{name} $ "));
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut whole = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut painter = Painter::new(&mut terminal);
        let mut parts = 0;
        for _ in 0..300 {
            let panes = driver.model.main.terminals.panes.iter().map(|pane| (pane.key, pane.size));
            let panes: Vec<_> = panes.collect();
            match numbers.below(40) {
                0 => driver.send(Msg::Input(crossterm::event::Event::Key(key_event(numbers.one_of::<&str>(KEYS))))),
                1 => driver.wait(2500),
                2 if !panes.is_empty() => {
                    let (key, size) = *numbers.one_of(&panes);
                    let frame = Frame::Reset { rows: size.rows, cols: size.cols };
                    driver.send(Msg::Terminal { key, msg: TerminalMsg::Frame(frame) });
                }
                _ if !panes.is_empty() => {
                    let (key, _) = *numbers.one_of(&panes);
                    let text: String = (0..=numbers.below(3)).map(|_| *numbers.one_of(PIECES)).collect();
                    driver.send(Msg::Terminal { key, msg: TerminalMsg::Bytes(Bytes::from(text)) });
                }
                _ => driver.wait(10),
            }
            let rows = driver.model.main.terminals.panes.iter().map(|pane| pane.written);
            parts += usize::from(!driver.model.dirty && rows.clone().any(|row| matches!(row, Written::Row(_))));
            painter.paint(&driver.model).unwrap();
            driver.model.drawn();
            whole.draw(|frame| view(&driver.model, frame)).unwrap();
            let (mut shown, mut whole) = (painter.backend().clone(), whole.backend().clone());
            let cells = seen(shown.buffer()).content.into_iter().zip(seen(whole.buffer()).content);
            for (at, (part, whole)) in (0..).zip(cells) {
                assert_eq!(part, whole, "column {}, row {}", at % columns, at / columns);
            }
            assert_eq!(shown.cursor_visible(), whole.cursor_visible());
            if whole.cursor_visible() {
                assert_eq!(shown.get_cursor_position().unwrap(), whole.get_cursor_position().unwrap());
            }
        }
        assert!(parts > 20, "only {parts} frames were a row");
    }
}
