//! Several terminals in sight at once: which streams that takes, whose keys they are, and how one gets about.

use bytes::Bytes;
use crossterm::event::{Event, MouseButton, MouseEventKind};
use podbay::api::types::{Frame, LinkState, State};
use podbay::bay::session::{SessionId, SessionKind, TermSize};
use podbay::tui::action::Context;
use podbay::tui::effect::{Effect, Target};
use podbay::tui::model::tiles::Arrangement;
use podbay::tui::model::{Model, Pane, Tab};
use podbay::tui::msg::{Msg, TerminalMsg};

use super::bay;
use super::driver::Driver;

const DOWN: MouseEventKind = MouseEventKind::Down(MouseButton::Left);

fn main_of(name: &str) -> Target {
    Target::Main(name.to_owned())
}

/// The terminals that are attached to, in no order.
fn attached(model: &Model) -> Vec<Target> {
    let mut targets: Vec<Target> = model.main.terminals.panes.iter().map(|pane| pane.target.clone()).collect();
    targets.sort_by_key(|target| format!("{target:?}"));
    targets
}

fn sizes(model: &Model) -> Vec<(u16, u16)> {
    model.main.terminals.panes.iter().map(|pane| (pane.size.rows, pane.size.cols)).collect()
}

/// badger and fox are kept, owl passes.
pub fn three(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    driver.wait(200);
    driver.keys("| j");
    driver.wait(200);
    driver.keys("| j");
    driver.wait(200);
    driver.wait(5000);
    driver.screens(|name| format!("\x1b[1;32m{name}\x1b[0m $ make test\r\n\x1b[32mok\x1b[0m all of {name}\r\n$ "));
    driver
}

#[test]
fn what_is_kept_stays_and_what_is_selected_comes_beside_it() {
    let mut driver = three(120, 40);
    assert_eq!(attached(&driver.model), [main_of("badger"), main_of("fox"), main_of("owl")]);
    let shot = driver.shot();
    for name in ["badger", "fox", "owl"] {
        assert!(shot.contains(&format!("ok all of {name}")), "{shot}");
    }
    // The one that passes gives way, the kept ones do not; going back to a kept one opens and closes nothing.
    driver.taken();
    driver.keys("k k");
    driver.wait(200);
    assert_eq!(driver.taken(), []);
    assert_eq!(driver.model.active_tile(), Some(0));
    // Let go: it is the one that passes now.
    driver.keys("|");
    driver.wait(200);
    assert_eq!(attached(&driver.model), [main_of("badger"), main_of("fox")]);
}

#[test]
fn each_has_its_own_size_and_is_told_when_that_changes() {
    let mut driver = three(120, 40);
    let before = sizes(&driver.model);
    assert_eq!(before.len(), 3);
    for how in [Arrangement::Columns, Arrangement::Rows] {
        driver.taken();
        driver.keys("5 =");
        assert_eq!(driver.model.main.tiles.arrangement, how);
        let resized: Vec<TermSize> = driver
            .taken()
            .into_iter()
            .filter_map(|effect| if let Effect::ResizeTerminal { size, .. } = effect { Some(size) } else { None })
            .collect();
        assert_eq!(resized.len(), 3, "{how:?}");
    }
    // Stacked: only the active one is seen, so only that one is attached to.
    driver.keys("=");
    assert_eq!(attached(&driver.model), [main_of("owl")]);
    let shot = driver.shot();
    assert!(shot.contains("badger") && shot.contains("fox"), "{shot}");
    driver.keys("=");
    driver.send(Msg::Input(Event::Resize(140, 50)));
    assert_ne!(sizes(&driver.model), before);
}

#[test]
fn zoom_shows_the_active_one_alone_and_wide_all_of_them() {
    let mut driver = three(120, 40);
    driver.keys("5 z");
    assert_eq!(attached(&driver.model), [main_of("owl")]);
    driver.keys("esc");
    assert_eq!(attached(&driver.model).len(), 3);
    driver.keys("Z");
    assert_eq!(attached(&driver.model).len(), 3);
    assert!(!driver.shot().contains("2 workers"), "{}", driver.shot());
    driver.keys("Z 2 z");
    assert_eq!(attached(&driver.model), []);
}

#[test]
fn one_gets_about_by_keys_and_the_list_follows() {
    let mut driver = three(120, 40);
    let names = |driver: &Driver| driver.model.lists.worker.clone().unwrap();
    driver.keys("5 o");
    assert_eq!(names(&driver), "badger");
    driver.keys("o");
    assert_eq!(names(&driver), "fox");
    driver.keys("O O");
    assert_eq!(names(&driver), "owl");
    // badger and fox above, owl below.
    driver.keys("alt-up alt-right");
    assert_eq!(names(&driver), "fox");
    driver.keys("ctrl-w h");
    assert_eq!(names(&driver), "badger");
    driver.keys("ctrl-w j");
    assert_eq!(names(&driver), "owl");
    assert!(driver.model.focus.pane == Pane::Main && !driver.model.focus.terminal);
}

#[test]
fn what_is_typed_goes_to_the_active_one_alone() {
    let mut driver = three(120, 40);
    driver.keys("enter");
    let typed = |driver: &mut Driver| -> Vec<Target> {
        let taken = driver.taken();
        let keys = taken.iter().filter_map(|effect| match effect {
            Effect::TypeInto { key, .. } => Some(*key),
            _ => None,
        });
        let of = |key| driver.model.main.terminals.panes.iter().find(|pane| pane.key == key).unwrap().target.clone();
        keys.map(of).collect()
    };
    driver.taken();
    driver.text("x");
    assert_eq!(typed(&mut driver), [main_of("owl")]);
    // As after tmux's prefix: the next one has the keys at once.
    driver.keys("ctrl-q o");
    assert!(driver.model.focus.terminal);
    driver.text("x");
    assert_eq!(typed(&mut driver), [main_of("badger")]);
    driver.keys("ctrl-q alt-l x");
    assert_eq!(typed(&mut driver), [main_of("fox")]);
    driver.keys("ctrl-q z x");
    assert_eq!(typed(&mut driver), [main_of("fox")]);
    assert_eq!(attached(&driver.model), [main_of("fox")]);
}

#[test]
fn a_click_gives_the_keys_to_what_is_clicked() {
    let mut driver = three(120, 40);
    let layout = driver.model.layout().unwrap();
    let areas = driver.model.tile_areas(&layout);
    driver.mouse(DOWN, areas[1].body.x + 3, areas[1].body.y + 3);
    assert_eq!(driver.model.lists.worker.as_deref(), Some("fox"));
    assert!(driver.model.focus.terminal);
    driver.taken();
    driver.text("q");
    let key = driver.stream();
    assert_eq!(driver.taken(), [Effect::TypeInto { key, bytes: Bytes::from_static(b"q") }]);
    // From one to another, without leaving.
    driver.mouse(DOWN, areas[0].title.x + 3, areas[0].title.y);
    assert_eq!(driver.model.lists.worker.as_deref(), Some("badger"));
    assert!(driver.model.focus.terminal);
    driver.keys("ctrl-q");
    assert!(!driver.model.focus.terminal);
    assert_eq!(driver.model.focus.pane, Pane::Workers);
}

#[test]
fn a_terminal_goes_from_sight_and_its_program_goes_on() {
    let mut driver = three(120, 40);
    driver.keys("k X");
    driver.wait(200);
    assert_eq!(attached(&driver.model), [main_of("badger"), main_of("owl")]);
    driver.keys("X");
    driver.wait(200);
    assert_eq!(attached(&driver.model).len(), 1);
    driver.keys("X");
    assert!(driver.shot().contains("no other terminal"), "{}", driver.shot());
    let ends = |effect: &Effect| matches!(effect, Effect::CloseSession { .. } | Effect::Act { .. });
    assert!(!driver.taken().iter().any(ends));
}

#[test]
fn a_second_shell_comes_beside_the_first_terminal() {
    let mut driver = Driver::of(bay::running(), 120, 40);
    driver.wait(200);
    driver.keys("| e");
    let session = bay::session(9, "badger", SessionKind::Shell, "bash");
    driver.send(Msg::SessionOpened { name: "badger".to_owned(), result: Ok(session) });
    driver.wait(200);
    assert_eq!(attached(&driver.model), [main_of("badger"), Target::Shell(SessionId(9))]);
    driver.screen("# ");
    assert!(driver.model.focus.terminal);
    // Left by exit: its tile goes.
    let key = driver.stream();
    let ended = Frame::Ended { reason: "exited with code 0".to_owned(), code: Some(0) };
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Frame(ended) });
    driver.hear(bay::running());
    driver.wait(200);
    assert_eq!(attached(&driver.model), [main_of("badger")]);
}

#[test]
fn a_worker_that_goes_takes_its_tile_and_never_the_keys_of_another() {
    let mut driver = three(120, 40);
    driver.keys("enter");
    assert!(driver.model.focus.terminal);
    let mut snapshot = bay::running();
    snapshot.containers.retain(|row| row.name != "owl");
    driver.hear(snapshot);
    driver.wait(200);
    assert!(!driver.model.focus.terminal, "what is typed was meant for owl");
    assert_eq!(attached(&driver.model), [main_of("badger"), main_of("fox")]);
    // One that has stopped stays, and says what starts it again.
    let mut snapshot = bay::running();
    snapshot.containers[1] = bay::worker("badger", State::Exited, Some("exited with code 1"));
    snapshot.sessions.clear();
    driver.hear(snapshot);
    driver.wait(200);
    assert!(driver.shot().contains("starts it again"), "{}", driver.shot());
}

#[test]
fn terminals_stay_beside_the_logs() {
    let mut driver = three(160, 45);
    driver.keys("l");
    assert_eq!(attached(&driver.model), []);
    driver.keys("B");
    driver.wait(200);
    assert_eq!(attached(&driver.model).len(), 3);
    assert_eq!(driver.model.main.tab, Tab::Logs);
    driver.log([super::screens::log(0, "a line of the log")]);
    driver.screens(|name| format!("{name} $ "));
    let shot = driver.shot();
    assert!(shot.contains("a line of the log") && shot.contains("fox $"), "{shot}");
    // The keys go to the terminal, the log stays; back, they are the log's.
    driver.keys("enter");
    assert!(driver.model.focus.terminal && driver.model.main.tab == Tab::Logs);
    driver.keys("ctrl-q");
    driver.wait(2000);
    driver.taken();
    driver.keys("w");
    assert!(driver.model.main.logs.look.wrap);
    // Too narrow for both: the log alone.
    driver.send(Msg::Input(Event::Resize(80, 18)));
    assert_eq!(attached(&driver.model), []);
}

#[test]
fn what_is_typed_while_the_engine_is_away_is_said_to_get_lost() {
    let mut driver = Driver::of(bay::running(), 120, 40);
    driver.wait(200);
    driver.screen("$ ");
    driver.keys("enter");
    driver.text("a");
    let words = "what is typed now does not";
    assert!(!driver.shot().contains(words));
    let mut away = bay::running();
    away.status.engine.state = LinkState::Away;
    let native = away.clone();
    away.containers.iter_mut().for_each(|row| row.state = State::Unknown);
    driver.hear(native);
    driver.text("a");
    assert!(!driver.shot().contains(words), "what no engine is needed for is not lost");
    for paste in [false, true] {
        driver.hear(away.clone());
        driver.taken();
        if paste {
            driver.send(Msg::Input(Event::Paste("b".to_owned())));
        } else {
            driver.text("b");
        }
        let key = driver.stream();
        // It may still be there.
        assert_eq!(driver.taken(), [Effect::TypeInto { key, bytes: Bytes::from_static(b"b") }]);
        assert_eq!(driver.shot().matches(words).count(), 1, "{}", driver.shot());
        driver.hear(bay::running());
        driver.wait(20_000);
        assert!(!driver.shot().contains(words));
    }
}

#[test]
fn a_drag_in_one_tile_copies_from_that_one() {
    let mut driver = three(120, 40);
    let layout = driver.model.layout().unwrap();
    let area = driver.model.tile_areas(&layout)[1].body;
    driver.mouse(DOWN, area.x, area.y + 1);
    driver.mouse(MouseEventKind::Drag(MouseButton::Left), area.x + 1, area.y + 1);
    // Beyond its edge into the neighbour: it stops there.
    driver.mouse(MouseEventKind::Drag(MouseButton::Left), area.x - 30, area.y);
    driver.taken();
    driver.mouse(MouseEventKind::Up(MouseButton::Left), area.x - 30, area.y);
    let copied: Vec<Effect> = driver.taken().into_iter().filter(|e| matches!(e, Effect::Copy(_))).collect();
    assert_eq!(copied, [Effect::Copy("fox $ make test\no".to_owned())]);
}

#[test]
fn who_was_told_of_a_press_is_told_of_its_release() {
    let mut driver = three(120, 40);
    driver.screens(|_| "\u{1b}[?1002h\u{1b}[?1006h".to_owned());
    driver.keys("enter");
    let area = driver.model.terminal_area(&driver.model.layout().unwrap());
    let mut said = |kind, column, row| -> Vec<String> {
        driver.taken();
        driver.mouse(kind, column, row);
        let typed = driver.taken().into_iter().filter_map(|effect| match effect {
            Effect::TypeInto { bytes, .. } => Some(String::from_utf8_lossy(&bytes).replace('\u{1b}', "^")),
            _ => None,
        });
        typed.collect()
    };
    let (drag, up) = (MouseEventKind::Drag(MouseButton::Left), MouseEventKind::Up(MouseButton::Left));
    assert_eq!(said(up, area.x - 1, area.y), [""; 0], "nobody knows of a press");
    assert_eq!(said(DOWN, area.x + 2, area.y + 1), ["^[<0;3;2M"]);
    assert_eq!(said(drag, area.x - 1, area.y + 2), ["^[<32;1;3M"], "at its edge");
    let below = (area.right() + 3, area.bottom() + 1);
    let last = (area.width, area.height);
    assert_eq!(said(up, below.0, below.1), [format!("^[<0;{};{}m", last.0, last.1)]);
    assert_eq!(said(up, below.0, below.1), [""; 0], "it is over");
}

#[test]
fn the_wheel_scrolls_what_lies_under_it() {
    let mut driver = three(120, 40);
    let many = (0..100).map(|at| format!("line {at}")).collect::<Vec<_>>().join("\r\n");
    driver.screens(|_| many.clone());
    let layout = driver.model.layout().unwrap();
    let area = driver.model.tile_areas(&layout)[0].body;
    driver.mouse(MouseEventKind::ScrollUp, area.x, area.y);
    let above = |name: &str| {
        let pane = driver.model.main.terminals.pane(&main_of(name)).unwrap();
        pane.emulator.as_ref().unwrap().screen().scrollback()
    };
    assert_eq!((above("badger"), above("fox"), above("owl")), (3, 0, 0));
    assert_eq!(driver.model.lists.worker.as_deref(), Some("owl"), "the wheel selects nothing");
}

#[test]
fn what_is_typed_while_a_new_supervisor_looks_around_is_no_command() {
    let mut driver = three(120, 40);
    driver.keys("enter");
    driver.taken();
    let mut blind = bay::snapshot(Vec::new(), Vec::new());
    blind.status.engine.state = podbay::api::types::LinkState::Connecting;
    driver.hear(blind);
    driver.keys("s d y enter q");
    driver.wait(3000);
    driver.keys("s d y enter q");
    let deeds = |effect: &Effect| matches!(effect, Effect::Act { .. } | Effect::Quit | Effect::TypeInto { .. });
    assert_eq!(driver.taken().into_iter().filter(deeds).collect::<Vec<_>>(), []);
    assert_eq!(driver.model.context(), Context::Focused);
    let tiles = driver.model.main.tiles.len();
    driver.hear(bay::running());
    driver.wait(200);
    driver.wait(200);
    driver.screens(|name| format!("{name} $ "));
    assert_eq!((driver.model.main.tiles.len(), attached(&driver.model).len()), (tiles, 3));
    driver.taken();
    driver.keys("s");
    let typed = driver.taken();
    assert!(matches!(typed.as_slice(), [Effect::TypeInto { .. }]), "{typed:?}");
    // The way out is there all the while.
    let mut blind = bay::snapshot(Vec::new(), Vec::new());
    blind.status.engine.state = podbay::api::types::LinkState::Connecting;
    driver.hear(blind);
    driver.keys("ctrl-q");
    assert_ne!(driver.model.context(), Context::Focused);
}

#[test]
fn who_types_into_a_terminal_that_goes_gives_no_commands() {
    let mut driver = three(120, 40);
    driver.keys("enter");
    let mut snapshot = bay::running();
    snapshot.containers.retain(|row| row.name != "owl");
    driver.taken();
    driver.hear(snapshot);
    for _ in 0..4 {
        driver.keys("s d");
        driver.wait(300);
    }
    let deed = |effect: &Effect| matches!(effect, Effect::Act { .. });
    assert!(!driver.taken().iter().any(deed) && driver.model.overlay.is_none());
    assert!(driver.shot().contains("the terminal that had the keys is gone"), "{}", driver.shot());
    driver.wait(1000);
    driver.keys("2 s");
    assert!(driver.taken().iter().any(deed), "after a pause the keys are commands again");
}

#[test]
fn a_window_that_is_too_small_for_a_moment_takes_nobody_the_keys() {
    let mut driver = three(120, 40);
    driver.keys("enter");
    for (columns, rows) in [(1, 1), (3, 3), (39, 12), (120, 40)] {
        driver.taken();
        driver.send(Msg::Input(Event::Resize(columns, rows)));
        driver.wait(200);
        driver.keys("s d");
        let deed = |effect: &Effect| matches!(effect, Effect::Act { .. });
        assert!(!driver.taken().iter().any(deed), "{columns}x{rows}");
        assert_eq!(driver.model.context(), Context::Focused, "{columns}x{rows}");
    }
    driver.wait(200);
    driver.screens(|name| format!("{name} $ "));
    driver.taken();
    driver.keys("s");
    assert!(matches!(driver.taken().as_slice(), [Effect::TypeInto { .. }]));
}
