//! What the user sees.

use podbay::api::client::ClientError;
use podbay::api::types::{ErrorDetail, LogEntry};
use podbay::tui::msg::{FeedMsg, LogsMsg, Msg};

use super::bay;
use super::driver::{Driver, settings, styles};

/// The four sizes of every screen.
const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (40, 12), (1, 1)];

/// Every screen there is, by name.
pub fn all(columns: u16, rows: u16) -> Vec<(&'static str, Driver)> {
    vec![
        ("connecting", Driver::new(columns, rows)),
        ("empty", Driver::of(bay::empty(), columns, rows)),
        ("mixed", Driver::of(bay::mixed(), columns, rows)),
        ("away", Driver::of(bay::away(), columns, rows)),
        ("lost", lost(columns, rows)),
        ("help", pressed(bay::running(), "?", columns, rows)),
        ("remove", pressed(bay::running(), "d", columns, rows)),
        ("form", pressed(bay::running(), "N", columns, rows)),
        ("palette", pressed(bay::running(), ":", columns, rows)),
        ("filter", pressed(bay::running(), "/ o", columns, rows)),
        ("why", why(columns, rows)),
        ("bare", Driver::of(bay::bare(), columns, rows)),
        ("bare-why", why_bare(columns, rows)),
        ("terminal", terminal(columns, rows)),
        ("sessions", sessions(columns, rows)),
        ("tiles", super::tiles::three(columns, rows)),
        ("typing", typing(columns, rows)),
        ("stack", stack(columns, rows)),
        ("beside", beside(columns, rows)),
        ("logs", logs(columns, rows)),
        ("search", search(columns, rows)),
        ("merged", merged(columns, rows)),
        ("inspect", inspect(columns, rows)),
        ("figures", super::figures::over_time(columns, rows, 40)),
        ("events", super::figures::events(columns, rows)),
        ("pools", Driver::of(bay::pooled(), columns, rows)),
        ("ports", super::ports::shown(columns, rows)),
        ("toasts", toasts(columns, rows)),
        ("painted", painted(columns, rows)),
        ("copy-terminal", then(terminal(columns, rows), "ctrl-q 5 v k V")),
        ("copy-logs", then(logs(columns, rows), "v k")),
        ("copy-inspect", then(inspect(columns, rows), "v k k")),
        ("copy-figures", then(super::figures::over_time(columns, rows, 40), "v k")),
        ("copy-events", then(super::figures::events(columns, rows), "v k")),
        ("copy-ports", then(super::ports::shown(columns, rows), "v k")),
        ("themes", pressed(bay::running(), "T j", columns, rows)),
        ("save", then(logs(columns, rows), "x")),
        ("hide", then(logs(columns, rows), "& (")),
        ("discard", discard(columns, rows)),
        ("isolation", Driver::of(super::isolation::refused(), columns, rows)),
        ("inbox", inbox(columns, rows)),
        ("ended", ended(columns, rows)),
        ("cut", cut(columns, rows)),
        ("zoom", then(logs(columns, rows), "z")),
        ("alerts", Driver::of(super::alerts::firing(), columns, rows)),
    ]
}

fn then(mut driver: Driver, keys: &str) -> Driver {
    driver.keys(keys);
    driver
}

/// Work that is nowhere else, asked about.
fn discard(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    let message = "badger's clone holds what is nowhere else:\n1 commit of main that no remote has\n2 changed files";
    let error = ErrorDetail { code: "unsaved".to_owned(), message: message.to_owned(), hint: None, field: None };
    let result = Err(ClientError::Refused(error));
    driver.send(Msg::Acted { name: "badger".to_owned(), verb: podbay::api::types::Verb::Remove, result });
    driver
}

/// Everybody needs somebody: one asks though it is unhealthy, one ended, one waits.
fn inbox(columns: u16, rows: u16) -> Driver {
    use podbay::bay::attention::{Attention, Need, Source};
    let since = |seconds| bay::now() - std::time::Duration::from_secs(seconds);
    let mut snapshot = bay::running();
    let asks = |need, source, seconds| Some(Attention { need, source, since: since(seconds) });
    snapshot.sessions[0].attention = asks(Need::Permission, Source::Hook, 65);
    snapshot.sessions[1].attention = asks(Need::Idle, Source::Title, 900);
    snapshot.containers[1].reason = Some("unhealthy: 3 probes in a row failed".to_owned());
    let reason = "exited with code 1";
    snapshot.containers[3] = bay::worker("owl", podbay::api::types::State::Exited, Some(reason));
    snapshot.containers[3].call = asks(Need::Failed, Source::Exit, 30);
    snapshot.sessions.truncate(2);
    Driver::of(snapshot, columns, rows)
}

fn ended(columns: u16, rows: u16) -> Driver {
    let mut driver = terminal(columns, rows);
    if let Some(key) = driver.model.main.terminals.shown().map(|pane| pane.key) {
        let frame = podbay::api::types::Frame::Ended { reason: "exited with code 3".to_owned(), code: Some(3) };
        driver.send(Msg::Terminal { key, msg: podbay::tui::msg::TerminalMsg::Frame(frame) });
    }
    then(driver, "ctrl-q")
}

fn cut(columns: u16, rows: u16) -> Driver {
    let mut driver = terminal(columns, rows);
    if let Some(key) = driver.model.main.terminals.shown().map(|pane| pane.key) {
        let lost = podbay::tui::msg::TerminalMsg::Lost("the connection was cut".to_owned());
        driver.send(Msg::Terminal { key, msg: lost });
    }
    then(driver, "ctrl-q")
}

fn pressed(snapshot: podbay::api::types::Snapshot, keys: &str, columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(snapshot, columns, rows);
    driver.keys(keys);
    driver
}

fn lost(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    driver.send(Msg::Feed(FeedMsg::Lost("the supervisor closed the connection".to_owned())));
    driver
}

fn why(columns: u16, rows: u16) -> Driver {
    let mut driver = pressed(bay::mixed(), "j W", columns, rows);
    driver.send(Msg::Why { name: "fox".to_owned(), result: Ok(bay::why()) });
    driver
}

fn why_bare(columns: u16, rows: u16) -> Driver {
    let mut driver = pressed(bay::bare(), "1 W", columns, rows);
    driver.send(Msg::Why { name: "parent".to_owned(), result: Ok(bay::why_bare()) });
    driver
}

fn terminal(columns: u16, rows: u16) -> Driver {
    let mut driver = pressed(bay::running(), "enter", columns, rows);
    if driver.model.main.terminals.shown().is_some() {
        driver.screen(
            "\x1b[1;32mbadger\x1b[0m:\x1b[34m/workspace\x1b[0m$ git status\r\nOn branch \x1b[1mmain\x1b[0m\r\n\
             \x1b[31m\tmodified:   src/main.rs\x1b[0m\r\n漢字 ├──┤ \x1b[7mreversed\x1b[0m\r\n$ ",
        );
    }
    driver
}

fn sessions(columns: u16, rows: u16) -> Driver {
    let mut snapshot = bay::running();
    let kind = podbay::bay::session::SessionKind::Shell;
    snapshot.sessions.push(bay::session(7, "badger", kind, "bash"));
    snapshot.sessions.push(bay::session(8, "badger", kind, "htop"));
    let mut driver = Driver::of(snapshot, columns, rows);
    driver.keys("5 }");
    driver.wait(200);
    if driver.model.main.terminals.shown().is_some() {
        driver.screen("$ ");
    }
    driver
}

fn typing(columns: u16, rows: u16) -> Driver {
    let mut driver = super::tiles::three(columns, rows);
    driver.keys("enter");
    driver.screens(|name| format!("{name} $ "));
    driver.keys("ctrl-q o");
    driver
}

fn stack(columns: u16, rows: u16) -> Driver {
    let mut driver = super::tiles::three(columns, rows);
    driver.keys("= = =");
    driver.wait(5000);
    driver
}

fn beside(columns: u16, rows: u16) -> Driver {
    let mut driver = super::tiles::three(columns, rows);
    driver.keys("l B");
    driver.wait(200);
    driver.screens(|name| format!("{name} $ "));
    if !driver.model.main.logs.streams.is_empty() {
        driver.log((0..30).map(|at| log(at * 250, &format!("request {at} served in {} ms", at * 7 % 13))));
    }
    driver.wait(5000);
    driver
}

/// Programs that paint with every colour there is, in terminals and in a log.
fn painted(columns: u16, rows: u16) -> Driver {
    let mut driver = super::tiles::three(columns, rows);
    driver.keys("l B");
    driver.wait(200);
    driver
        .screens(|name| format!("\x1b[38;2;250;120;30m{name}\x1b[0m \x1b[48;2;1;60;120mblue\x1b[0m \x1b[38;5;196mred"));
    if !driver.model.main.logs.streams.is_empty() {
        driver.log((0..3).map(|at| log(at * 250, "\x1b[38;2;10;200;90mgreen\x1b[0m \x1b[48;5;27mblue")));
    }
    driver.wait(5000);
    driver
}

pub fn log(at: i64, line: &str) -> LogEntry {
    LogEntry {
        line: line.to_owned(),
        timestamp: Some(1_772_366_400_000 + at),
        stderr: line.starts_with("warn"),
        raw: None,
    }
}

fn logs(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    driver.keys("l");
    driver.wait(200);
    if let Some(key) = driver.model.main.logs.streams.first().map(|stream| stream.key) {
        let lines = vec![
            log(0, "listening on http://localhost:3000"),
            log(250, "\u{1b}[32mGET\u{1b}[0m /health 200 in 1.2 ms"),
            log(
                1500,
                "warn: the cache is cold, so that this line is long enough to be cut at the right end of the pane",
            ),
            log(2000, "10%\r50%\r100% done"),
        ];
        driver.send(Msg::Logs { key, msg: LogsMsg::Lines(lines, None) });
    }
    driver
}

fn search(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    driver.keys("l");
    driver.wait(200);
    if let Some(key) = driver.model.main.logs.streams.first().map(|stream| stream.key) {
        let lines = (0..40).map(|at| match at % 8 {
            3 => log(at * 100, r#"{"level":"error","msg":"upstream timeout","took":1.5,"url":"/api/health"}"#),
            5 => log(at * 100, "2026-03-01 WARN retrying after a timeout"),
            _ => log(at * 100, &format!("request {at} served")),
        });
        driver.send(Msg::Logs { key, msg: LogsMsg::Lines(lines.collect(), None) });
    }
    driver.keys("t / t i m e o u t enter N m");
    driver.wait(200);
    driver
}

fn merged(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    driver.keys("l a");
    driver.wait(200);
    let keys: Vec<_> = driver.model.main.logs.streams.iter().map(|stream| stream.key).collect();
    for (at, key) in (0..).zip(keys) {
        let lines = (0..3).map(|n| log(n * 1000 + at * 100, &format!("line {n}"))).collect();
        driver.send(Msg::Logs { key, msg: LogsMsg::Lines(lines, None) });
    }
    driver.wait(300);
    driver
}

fn inspect(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    driver.wait(200);
    driver.keys("i");
    let row = driver.model.subject().unwrap().clone();
    let inspect = serde_json::json!({"Id": "badger0123", "State": {"Status": "running", "Pid": 4242}, "Mounts": []});
    let detail = podbay::api::types::ContainerDetail { row, host_port: None, inspect };
    driver.send(Msg::Inspected { name: "badger".to_owned(), result: Ok(Box::new(detail)) });
    driver
}

fn toasts(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    let refused = ClientError::Refused(ErrorDetail {
        code: "port-taken".to_owned(),
        message: "port 127.0.0.1:3000 is taken by nginx (pid 812)".to_owned(),
        hint: Some("stop it, or change parent.ports".to_owned()),
        field: None,
    });
    driver.send(Msg::Copied(Ok(6)));
    driver.send(Msg::Spawned(Err(refused)));
    driver
}

fn one(name: &'static str) -> impl Fn(u16, u16) -> Driver {
    move |columns, rows| {
        all(columns, rows).into_iter().find(|(known, _)| *known == name).map(|(_, driver)| driver).unwrap()
    }
}

#[test]
fn every_screen_at_every_size() {
    for (columns, rows) in SIZES {
        for (name, driver) in all(columns, rows) {
            insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots", omit_expression => true }, {
                insta::assert_snapshot!(format!("{name}-{columns}x{rows}"), driver.shot());
            });
        }
    }
}

/// Below eighty columns there is one pane at a time.
#[test]
fn below_eighty_columns_there_is_one_pane() {
    for name in ["mixed", "terminal", "logs"] {
        for (columns, panes) in [(76, 1), (79, 1), (80, 5)] {
            let driver = one(name)(columns, 20);
            let layout = driver.model.layout().unwrap();
            let shown = podbay::tui::model::Pane::ALL.into_iter().filter(|pane| !layout.pane(*pane).is_empty());
            assert_eq!(shown.count(), panes, "{name} at {columns}:\n{}", driver.shot());
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots", omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}-76x20"), one(name)(76, 20).shot());
        });
    }
}

#[test]
fn styles_of_the_list_and_of_a_terminal() {
    for name in ["mixed", "bare", "terminal", "search", "merged", "tiles", "typing", "figures", "painted"] {
        let driver = one(name)(80, 24);
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots", omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}-styles"), styles(driver.draw().buffer()));
        });
    }
}

#[test]
fn styles_in_every_theme() {
    for (theme, look) in podbay::tui::theme::Theme::all(std::path::Path::new("/nowhere"), false) {
        for name in ["mixed", "search", "typing", "figures"] {
            let mut driver = one(name)(80, 24);
            driver.model.settings.theme = look.clone();
            insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots", omit_expression => true }, {
                insta::assert_snapshot!(format!("{name}-styles-in-{theme}"), styles(driver.draw().buffer()));
            });
        }
    }
}

/// Every screen with other looks.
fn with_looks(settings: &podbay::tui::model::Settings) -> Vec<(&'static str, Driver)> {
    let mut screens = all(80, 24);
    for (_, driver) in &mut screens {
        driver.model.settings = settings.clone();
        hold_again(driver);
    }
    screens
}

/// What is held still was drawn with the looks of that moment.
pub fn hold_again(driver: &mut Driver) {
    if driver.model.main.copying.is_some() {
        driver.keys("esc v");
    }
}

#[test]
fn ascii_means_ascii() {
    let settings = podbay::tui::model::Settings { symbols: podbay::tui::symbols::Symbols::new(true), ..settings() };
    for (name, driver) in with_looks(&settings) {
        // What a program draws is its own matter.
        let own = !["terminal", "copy-terminal", "ended", "cut"].contains(&name);
        for cell in driver.draw().buffer().content().iter().filter(|_| own) {
            assert!(cell.symbol().is_ascii(), "{name}: {:?}\n{}", cell.symbol(), driver.shot());
        }
    }
}

#[test]
fn no_color_means_attributes_only() {
    use ratatui::style::Color;
    let settings = podbay::tui::model::Settings { theme: podbay::tui::theme::Theme::built_in(true), ..settings() };
    for (name, driver) in with_looks(&settings) {
        for cell in driver.draw().buffer().content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}: {:?}", cell.symbol());
        }
    }
}

#[test]
fn a_large_frame_is_drawn_in_time() {
    let driver = all(200, 60).into_iter().find(|(name, _)| *name == "logs").map(|(_, driver)| driver).unwrap();
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        driver.draw();
    }
    let each = begun.elapsed() / 50;
    println!("a 200x60 frame from nothing: {each:?}");
    // 8 ms is the promise of a release build; this one is ten times slower.
    assert!(each < std::time::Duration::from_millis(80), "{each:?}");
}
