//! What of the mouse and of pastes reaches a program in a tile, and what does not.

use bytes::Bytes;
use crossterm::event::{Event, MouseButton, MouseEventKind};
use podbay::tui::effect::{Effect, Target};
use podbay::tui::msg::{Msg, TerminalMsg};
use ratatui::layout::Rect;

use super::driver::Driver;
use super::tiles::three;

const DOWN: MouseEventKind = MouseEventKind::Down(MouseButton::Left);
const DRAG: MouseEventKind = MouseEventKind::Drag(MouseButton::Left);
const UP: MouseEventKind = MouseEventKind::Up(MouseButton::Left);

/// What was typed into which terminal since the last call; everything else is let go.
fn typed(driver: &mut Driver) -> Vec<(String, String)> {
    let taken = driver.taken();
    let panes = &driver.model.main.terminals.panes;
    let mut typed = Vec::new();
    for effect in taken {
        let Effect::TypeInto { key, bytes } = effect else { continue };
        let Some(Target::Main(name)) = panes.iter().find(|pane| pane.key == key).map(|pane| pane.target.clone()) else {
            panic!("typed into what is not there")
        };
        typed.push((name, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    typed
}

/// The program in a worker's terminal writes this.
fn writes(driver: &mut Driver, name: &str, bytes: &'static str) {
    let key = driver.model.main.terminals.pane(&Target::Main(name.to_owned())).unwrap().key;
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Bytes(Bytes::from_static(bytes.as_bytes())) });
}

fn paste(driver: &mut Driver, text: &str) -> Vec<(String, String)> {
    driver.taken();
    driver.send(Msg::Input(Event::Paste(text.to_owned())));
    typed(driver)
}

/// Three tiles, the keys with the program in the second, and where that one lies.
fn in_the_second() -> (Driver, Rect) {
    let mut driver = three(120, 40);
    driver.keys("5 o o enter");
    assert_eq!(driver.model.active_tile(), Some(1));
    assert!(driver.model.focus.terminal);
    let layout = driver.model.layout().unwrap();
    let area = driver.model.tile_areas(&layout)[1].body;
    driver.taken();
    (driver, area)
}

#[test]
fn the_mouse_reaches_a_program_in_the_second_tile_at_its_own_columns_and_rows() {
    let (mut driver, area) = in_the_second();
    assert!(area.x > 40 && area.y > 0, "{area:?}: the tile does not begin where the screen does");
    writes(&mut driver, "fox", "\x1b[?1002;1006h");
    let events = [
        (DOWN, 0, 0),
        (DRAG, 4, 2),
        (UP, 4, 2),
        (MouseEventKind::ScrollUp, 1, 3),
        (MouseEventKind::ScrollDown, 1, 3),
        (DOWN, area.width - 1, area.height - 1),
    ];
    for (kind, column, row) in events {
        driver.mouse(kind, area.x + column, area.y + row);
    }
    let corner = format!("\x1b[<0;{};{}M", area.width, area.height);
    let wanted = ["\x1b[<0;1;1M", "\x1b[<32;5;3M", "\x1b[<0;5;3m", "\x1b[<64;2;4M", "\x1b[<65;2;4M", corner.as_str()];
    let wanted: Vec<_> = wanted.iter().map(|bytes| ("fox".to_owned(), (*bytes).to_owned())).collect();
    assert_eq!(typed(&mut driver), wanted);
    // It did not ask for this one.
    driver.mouse(MouseEventKind::Moved, area.x, area.y);
    assert_eq!(typed(&mut driver), []);
    assert!(driver.model.main.copying.is_none(), "what the program takes selects nothing");
}

#[test]
fn outside_of_its_tile_a_program_hears_nothing_of_the_mouse() {
    let (mut driver, area) = in_the_second();
    writes(&mut driver, "fox", "\x1b[?1002;1006h");
    let (right, below) = (area.right(), area.bottom());
    let outside = [(area.x - 1, area.y), (area.x, area.y - 1), (right, area.y), (area.x, below), (0, 0), (500, 500)];
    for (column, row) in outside {
        for kind in [MouseEventKind::Moved, DRAG, UP, MouseEventKind::ScrollUp, MouseEventKind::ScrollDown] {
            driver.mouse(kind, column, row);
            assert_eq!(typed(&mut driver), [], "{kind:?} at {column},{row}");
        }
    }
    // Without the keys it hears nothing either: the click gives them.
    driver.keys("ctrl-q");
    typed(&mut driver);
    driver.mouse(MouseEventKind::ScrollUp, area.x, area.y);
    driver.mouse(DOWN, area.x, area.y);
    assert_eq!(typed(&mut driver), []);
    assert!(driver.model.focus.terminal);
    driver.mouse(DOWN, area.x, area.y);
    assert_eq!(typed(&mut driver), [("fox".to_owned(), "\x1b[<0;1;1M".to_owned())]);
}

#[test]
fn a_paste_is_bracketed_where_the_program_asked_for_it_and_cant_end_its_bracket() {
    let (mut driver, _) = in_the_second();
    let fox = |text: &str| [("fox".to_owned(), text.to_owned())];
    assert_eq!(paste(&mut driver, "one\ntwo\r\n"), fox("one\rtwo\r"));
    writes(&mut driver, "fox", "\x1b[?2004h");
    assert_eq!(paste(&mut driver, "one\ntwo"), fox("\x1b[200~one\rtwo\x1b[201~"));
    for forged in ["a\x1b[201~rm -rf /\n", "a\x1b[20\x1b[201~1~b", "a\u{9b}201~b", "\x1b[201~\x1b[201~"] {
        let [(_, bytes)] = paste(&mut driver, forged).try_into().unwrap();
        let inside = bytes.strip_prefix("\x1b[200~").and_then(|rest| rest.strip_suffix("\x1b[201~"));
        assert!(inside.is_some_and(|inside| !inside.contains(['\x1b', '\u{9b}'])), "{forged:?} gave {bytes:?}");
    }
    writes(&mut driver, "fox", "\x1b[?2004l");
    assert_eq!(paste(&mut driver, "a\x1b[201~b"), fox("ab"));
    // Another terminal's mode is its own.
    writes(&mut driver, "owl", "\x1b[?2004h");
    assert_eq!(paste(&mut driver, "x"), fox("x"));
}

#[test]
fn a_megabyte_that_is_pasted_arrives_whole_and_in_order() {
    let (mut driver, _) = in_the_second();
    writes(&mut driver, "fox", "\x1b[?2004h");
    let text: String = (0..)
        .map(|at: u32| format!("{at} "))
        .scan(0, |length, word| {
            *length += word.len();
            (*length <= 1 << 20).then_some(word)
        })
        .collect();
    let arrived: String = paste(&mut driver, &text).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(arrived.len(), text.len() + 12);
    assert!(arrived == format!("\x1b[200~{text}\x1b[201~"), "it is changed on its way");
}

/// While the list has the keys, a paste is neither typed nor a row of commands.
#[test]
fn a_paste_into_a_list_does_nothing() {
    let (mut driver, _) = in_the_second();
    driver.keys("ctrl-q");
    driver.wait(2000);
    driver.taken();
    let before = driver.shot();
    driver.send(Msg::Input(Event::Paste("dqy\nd\ny\x1b".to_owned())));
    assert_eq!(driver.taken(), []);
    assert!(driver.shot().contains("nothing takes a paste here"), "{}", driver.shot());
    driver.wait(20_000);
    assert_eq!(driver.shot(), before, "once that was read, all is as it was");
    // Nor where the program has ended.
    driver.keys("enter");
    let key = driver.stream();
    let ended = podbay::api::types::Frame::Ended { reason: "exited with 0".to_owned(), code: Some(0) };
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Frame(ended) });
    assert_eq!(paste(&mut driver, "x"), []);
}
