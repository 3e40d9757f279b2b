//! What is passed on between the user's terminal and a program: keys told apart, the cursor's shape, focus, whole frames.

use bytes::Bytes;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use podbay::tui::effect::{Effect, Target};
use podbay::tui::msg::{Msg, TerminalMsg};

use super::bay;
use super::driver::Driver;

fn says(driver: &mut Driver, bytes: &'static [u8]) {
    let key = driver.stream();
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Bytes(Bytes::from_static(bytes)) });
}

fn typed(driver: &mut Driver) -> Vec<u8> {
    let bytes = |effect| if let Effect::TypeInto { bytes, .. } = effect { Some(bytes) } else { None };
    driver.taken().into_iter().filter_map(bytes).flatten().collect()
}

fn focused() -> Driver {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("enter");
    driver.screen("$ ");
    driver.taken();
    driver
}

#[test]
fn keys_are_told_apart_for_a_program_that_asks_for_it() {
    let mut driver = focused();
    let enter = |driver: &mut Driver| {
        driver.send(Msg::Input(Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::SHIFT))));
        typed(driver)
    };
    assert_eq!(enter(&mut driver), b"\r");
    says(&mut driver, b"\x1b[>1u");
    assert_eq!(enter(&mut driver), b"\x1b[13;2u");
    driver.keys("ctrl-c");
    assert_eq!(typed(&mut driver), b"\x1b[99;5u");
    // The leaving key is ours all the same, and its second time is written as the program reads it.
    driver.keys("ctrl-q");
    assert!(!driver.model.focus.terminal);
    driver.keys("ctrl-q");
    assert_eq!(typed(&mut driver), b"\x1b[113;5u");
    says(&mut driver, b"\x1b[<u");
    assert_eq!(enter(&mut driver), b"\r");
}

#[test]
fn fingers_that_know_only_bytes_are_understood() {
    let mut driver = focused();
    driver.keys("ctrl-q");
    driver.wait(2000);
    driver.keys("?");
    // Ctrl-[ is Escape where keys are told apart, too.
    driver.keys("ctrl-[");
    assert!(driver.model.overlay.is_none());
}

#[test]
fn the_cursor_has_the_programs_shape_while_it_has_the_keys() {
    let mut driver = focused();
    let shapes = |driver: &mut Driver| -> Vec<u8> {
        let shape = |effect| if let Effect::CursorShape(shape) = effect { Some(shape) } else { None };
        driver.taken().into_iter().filter_map(shape).collect()
    };
    says(&mut driver, b"\x1b[6 q");
    assert_eq!(shapes(&mut driver), [6]);
    says(&mut driver, b"\x1b[6 q more");
    assert_eq!(shapes(&mut driver), Vec::<u8>::new());
    driver.keys("ctrl-q");
    assert_eq!(shapes(&mut driver), [0]);
    driver.keys("enter");
    assert_eq!(shapes(&mut driver), [6]);
    says(&mut driver, b"\x1b[0 q");
    assert_eq!(shapes(&mut driver), [0]);
}

#[test]
fn a_program_hears_whether_it_has_the_focus() {
    let mut driver = focused();
    driver.send(Msg::Input(Event::FocusLost));
    assert_eq!(typed(&mut driver), b"", "it did not ask");
    driver.send(Msg::Input(Event::FocusGained));
    says(&mut driver, b"\x1b[?1004h");
    driver.send(Msg::Input(Event::FocusLost));
    driver.send(Msg::Input(Event::FocusGained));
    assert_eq!(typed(&mut driver), b"\x1b[O\x1b[I");
    // Left for the list it has no focus either, wherever the window's is.
    driver.keys("ctrl-q");
    assert_eq!(typed(&mut driver), b"\x1b[O");
    driver.wait(2000);
    driver.send(Msg::Input(Event::FocusLost));
    driver.send(Msg::Input(Event::FocusGained));
    assert_eq!(typed(&mut driver), b"");
    driver.keys("enter");
    assert_eq!(typed(&mut driver), b"\x1b[I");
}

#[test]
fn of_two_programs_one_has_the_focus() {
    let mut driver = super::tiles::three(120, 40);
    driver.screens(|_| "\x1b[?1004h$ ".to_owned());
    driver.keys("enter");
    driver.taken();
    driver.keys("ctrl-q o");
    let of =
        |driver: &Driver, name: &str| driver.model.main.terminals.pane(&Target::Main(name.to_owned())).unwrap().key;
    let lost = Effect::TypeInto { key: of(&driver, "owl"), bytes: Bytes::from_static(b"\x1b[O") };
    let gained = Effect::TypeInto { key: of(&driver, "badger"), bytes: Bytes::from_static(b"\x1b[I") };
    assert_eq!(driver.taken(), [lost, gained]);
}

#[test]
fn a_screen_that_is_half_drawn_is_known_to_be() {
    let mut driver = focused();
    assert!(!driver.model.main.terminals.is_half_drawn());
    says(&mut driver, b"\x1b[?2026h\x1b[2Jhalf");
    assert!(driver.model.main.terminals.is_half_drawn());
    says(&mut driver, b" whole\x1b[?2026l");
    assert!(!driver.model.main.terminals.is_half_drawn());
}
