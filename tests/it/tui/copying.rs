//! Copy mode: by keys and by the mouse, in terminals, logs and inspect.

use crossterm::event::{MouseButton, MouseEventKind};
use podbay::tui::effect::Effect;
use podbay::tui::msg::{LogsMsg, Msg, TerminalMsg};

use super::bay;
use super::driver::Driver;
use super::screens::log;

const DOWN: MouseEventKind = MouseEventKind::Down(MouseButton::Left);
const DRAG: MouseEventKind = MouseEventKind::Drag(MouseButton::Left);
const UP: MouseEventKind = MouseEventKind::Up(MouseButton::Left);

/// The first cell of pane 5 at 80x24.
const LEFT: u16 = 31;
const TOP: u16 = 2;

fn copied(driver: &mut Driver) -> Vec<String> {
    let text = |effect| if let Effect::Copy(text) = effect { Some(text) } else { None };
    driver.taken().into_iter().filter_map(text).collect()
}

fn terminal(screen: &str) -> Driver {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("enter");
    driver.screen(screen);
    driver.taken();
    driver
}

/// Two hundred numbered lines, so that most of them have left the screen.
fn numbered() -> String {
    (0..200).map(|at| format!("line {at} of many")).collect::<Vec<_>>().join("\r\n") + "\r\n"
}

#[test]
fn a_drag_copies_what_it_covers_and_never_leaves_the_pane() {
    let mut driver = terminal("first line here\r\nsecond line here\r\n");
    assert!(driver.model.focus.terminal);
    driver.mouse(DOWN, LEFT + 6, TOP);
    driver.mouse(DRAG, LEFT + 3, TOP + 1);
    assert!(driver.shot().contains("COPY"), "{}", driver.shot());
    // Into the list of workers: the selection stops at the pane's edge.
    driver.mouse(DRAG, 3, TOP + 1);
    driver.mouse(UP, 3, TOP + 1);
    assert_eq!(copied(&mut driver), ["line here\ns"]);
    assert!(driver.model.main.copying.is_none() && driver.model.focus.terminal);
}

#[test]
fn two_clicks_take_a_word_and_three_a_line() {
    let mut driver = terminal("see /src/main.rs:12, then\r\n");
    for _ in 0..2 {
        driver.mouse(DOWN, LEFT + 8, TOP);
        driver.mouse(UP, LEFT + 8, TOP);
    }
    assert_eq!(copied(&mut driver), ["/src/main.rs:12"]);
    driver.mouse(DOWN, LEFT + 8, TOP);
    driver.mouse(UP, LEFT + 8, TOP);
    assert_eq!(copied(&mut driver), ["see /src/main.rs:12, then"]);
    // Much later it is a click like any other.
    driver.wait(2000);
    driver.mouse(DOWN, LEFT + 8, TOP);
    driver.mouse(UP, LEFT + 8, TOP);
    assert!(copied(&mut driver).is_empty() && driver.model.main.copying.is_none());
}

#[test]
fn a_line_that_was_broken_by_the_edge_is_copied_as_one() {
    let long = "x".repeat(70);
    let mut driver = terminal(&format!("{long} end\r\nnext"));
    driver.keys("ctrl-q [ g V j j y");
    assert_eq!(copied(&mut driver), [format!("{long} end\nnext")]);
}

#[test]
fn what_has_left_the_screen_is_searched_and_copied_while_the_program_goes_on() {
    let mut driver = terminal(&numbered());
    driver.keys("ctrl-q pgup");
    let key = driver.stream();
    let more = bytes::Bytes::from_static(b"something new\r\n");
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Bytes(more) });
    assert!(!driver.shot().contains("something new"));
    driver.keys("/");
    driver.text("line 1?7 of");
    driver.keys("enter");
    let shot = driver.shot();
    assert!(shot.contains("2 of 2 found") && shot.contains("line 17 of many"), "{shot}");
    driver.keys("N");
    assert!(driver.shot().contains("1 of 2 found") && driver.shot().contains("line 7 of"), "{}", driver.shot());
    driver.keys("0 v w w y");
    assert_eq!(copied(&mut driver), ["line 7 o"]);
    assert!(driver.shot().contains("something new"));
    // What was typed went nowhere.
    assert!(!driver.effects.iter().any(|effect| matches!(effect, Effect::TypeInto { .. })));
}

#[test]
fn events_are_searched_and_copied_while_more_happens() {
    let mut driver = super::figures::events(120, 40);
    driver.taken();
    driver.keys("/");
    driver.text("fox .*127");
    driver.keys("enter");
    let shot = driver.shot();
    assert!(shot.contains("COPY") && shot.contains("10 of 10 found"), "{shot}");
    driver.keys("N V");
    let mut more = super::figures::history();
    more.history.remove(0);
    driver.hear(more);
    driver.keys("y");
    let text = copied(&mut driver).concat();
    assert!(text.starts_with("12:05:50 fox          exited with code 127") && text.lines().count() == 1, "{text}");
    assert!(driver.model.main.copying.is_none());
    // A search that is called off leaves all as it was.
    driver.keys("/ esc");
    assert!(driver.model.main.copying.is_none(), "{}", driver.shot());
    driver.keys("v k k y");
    assert_eq!(copied(&mut driver).concat().lines().count(), 3);
}

#[test]
fn figures_hold_still_to_be_copied() {
    let mut driver = super::figures::over_time(120, 40, 5);
    driver.taken();
    driver.keys("/");
    driver.text("memory +");
    driver.keys("enter");
    let shot = driver.shot();
    assert!(shot.contains("2 of 2 found"), "{shot}");
    driver.keys("0 v $");
    driver.wait(2000);
    driver.keys("y");
    let text = copied(&mut driver).concat();
    assert!(text.trim_start().starts_with("memory") && text.contains(" of "), "{text}");
    // The whole of it: every line as it is shown.
    driver.keys("v g y");
    let text = copied(&mut driver).concat();
    assert!(text.contains("the machine") && text.contains("(the parent's)"), "{text}");
    assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
}

#[test]
fn the_text_of_inspect_is_searched() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("i");
    driver.keys("/");
    assert!(driver.model.overlay.is_none(), "there is nothing to look through yet");
    driver.wait(1000);
    let inspect = serde_json::json!({"Id": "badger", "State": {"Pid": 4711}, "Args": (0..90).collect::<Vec<u32>>()});
    let row = driver.model.subject().unwrap().clone();
    let detail = podbay::api::types::ContainerDetail { row, host_port: None, inspect };
    driver.send(Msg::Inspected { name: "badger".to_owned(), result: Ok(Box::new(detail)) });
    driver.taken();
    driver.keys("/");
    driver.text("Pid");
    driver.keys("enter");
    assert!(driver.shot().contains("1 of 1 found") && driver.shot().contains("4711"), "{}", driver.shot());
    driver.keys("y");
    assert_eq!(copied(&mut driver), ["    \"Pid\": 4711"]);
}

#[test]
fn leaving_copy_mode_copies_nothing() {
    let mut driver = terminal(&numbered());
    driver.keys("ctrl-q [");
    assert!(driver.shot().contains("COPY"), "{}", driver.shot());
    driver.keys("v k k esc");
    assert!(copied(&mut driver).is_empty() && driver.model.main.copying.is_none());
    // Later the same key is the tab's again.
    driver.wait(3000);
    let tab = driver.model.main.tab;
    driver.keys("[");
    assert_ne!(driver.model.main.tab, tab);
}

#[test]
fn lines_of_a_log_are_selected_while_more_come_in() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("l");
    driver.wait(200);
    driver.log((0..100).map(|at| log(at, &format!("\u{1b}[31mline\u{1b}[0m {at}"))));
    driver.taken();
    driver.keys("v k k");
    driver.log((100..200).map(|at| log(at, &format!("line {at}"))));
    driver.keys("y");
    assert_eq!(copied(&mut driver), ["line 97\nline 98\nline 99"]);
    assert!(driver.shot().contains("following 200 lines"), "{}", driver.shot());
    // By the mouse: part of a line.
    driver.mouse(DOWN, LEFT + 5, TOP);
    driver.mouse(DRAG, LEFT + 7, TOP);
    driver.mouse(UP, LEFT + 7, TOP);
    assert_eq!(copied(&mut driver), ["180"]);
    // Up out of the screen, from the newest line.
    driver.keys("v");
    for _ in 0..5 {
        driver.keys("pgup");
    }
    driver.keys("y");
    let text = copied(&mut driver).concat();
    assert!(text.starts_with("line 104\n"), "{text}");
    assert_eq!(driver.model.main.logs.streams.len(), 1);
    let key = driver.log_stream();
    driver.send(Msg::Logs { key, msg: LogsMsg::Ended });
}

#[test]
fn the_name_is_copied_then_the_id_then_the_address() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("1 y y y y");
    assert_eq!(copied(&mut driver), ["parent", "parent0123456789ab", "127.0.0.1:3000", "parent"]);
    driver.wait(5000);
    driver.keys("y");
    assert_eq!(copied(&mut driver), ["parent"]);
}

#[test]
fn the_wheel_is_arrows_for_a_program_that_has_the_screen_alone() {
    let mut driver = terminal("\u{1b}[?1049hless");
    driver.mouse(MouseEventKind::ScrollUp, LEFT + 3, TOP + 3);
    let typed: Vec<Effect> = driver.taken();
    assert!(
        matches!(typed.as_slice(), [Effect::TypeInto { bytes, .. }] if bytes.as_ref() == b"\x1b[A\x1b[A\x1b[A"),
        "{typed:?}"
    );
}
