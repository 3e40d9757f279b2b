//! Rows S01, S02 and S05: whatever a container calls itself or writes, no control reaches a cell.

use bytes::Bytes;
use podbay::api::client::ClientError;
use podbay::api::types::{ContainerDetail, ErrorDetail, HistoryLine, LogEntry, Snapshot, State};
use podbay::tui::msg::{FeedMsg, LogsMsg, Msg, TerminalMsg};

use super::bay;
use super::driver::Driver;

const HOSTILE: [&str; 16] = [
    "\u{1b}]52;c;cm0gLXJmIC8=\u{7}",
    "\u{1b}]0;title\u{1b}\\",
    "\u{1b}[2J\u{1b}[Hroot@host:/# ",
    "\u{1b}c\u{1b}[?1049l",
    "\u{9b}31m\u{9d}0;x\u{9c}",
    "\u{1b}P+q544e\u{1b}\\",
    "\u{1b}]8;;http://evil\u{7}link\u{1b}]8;;\u{7}",
    "a\rb\nc\td\u{8}e\u{b}f\u{c}g\0h\u{7f}",
    "\u{202e}gnp.exe\u{202c}",
    "\u{2066}x\u{2069}\u{200f}\u{200b}\u{feff}",
    "\u{e0041}\u{e0042}tags",
    "\u{1b}_apc\u{1b}\\\u{1b}^pm\u{1b}\\\u{1b}Xsos\u{1b}\\",
    "\u{1b}]9;notify\u{7}\u{1b}]777;notify;a;b\u{7}",
    "⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️⚠️",
    "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字",
    "Z̷̧̢̛͓̟̗̘͖̯͈̮͈͎̮̲̬͍a̴l̴g̴o̴",
];

fn forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{e0000}'..='\u{e007f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
}

fn clean(driver: &Driver, what: &str) {
    for (columns, rows) in [(80, 24), (120, 40), (40, 12), (43, 13)] {
        let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| podbay::tui::view::view(&driver.model, frame)).unwrap();
        for cell in terminal.backend().buffer().content() {
            assert!(!cell.symbol().chars().any(forbidden), "{what} at {columns}x{rows}: {:?}", cell.symbol());
        }
    }
}

fn hostile_bay(text: &str) -> podbay::api::types::Snapshot {
    let mut snapshot = bay::mixed();
    let mut worker = bay::worker(text, State::Failed, Some(text));
    worker.project = Some(text.to_owned());
    text.clone_into(&mut worker.image);
    snapshot.containers.push(worker);
    let kind = podbay::bay::session::SessionKind::Shell;
    snapshot.sessions.push(bay::session(44, "badger", kind, text));
    text.clone_into(&mut snapshot.status.engine.endpoint);
    text.clone_into(&mut snapshot.status.engine.version);
    snapshot.status.templates = vec![text.to_owned(), "two".to_owned()];
    snapshot
}

#[test]
fn names_reasons_and_errors() {
    for text in HOSTILE {
        let mut driver = Driver::of(hostile_bay(text), 80, 24);
        clean(&driver, "list");
        driver.keys("G");
        driver.wait(200);
        clean(&driver, "terminal of it");
        driver.keys("d");
        clean(&driver, "question");
        driver.keys("esc");
        driver.wait(400);
        driver.keys("esc N");
        clean(&driver, "form");
        driver.send(Msg::Input(crossterm::event::Event::Paste(text.to_owned())));
        clean(&driver, "pasted into the form");
        driver.keys("esc /");
        driver.send(Msg::Input(crossterm::event::Event::Paste(text.to_owned())));
        clean(&driver, "filter");
        driver.keys("enter esc g W");
        let why = podbay::api::types::Why {
            reason: Some(text.to_owned()),
            last_error: Some(text.repeat(9)),
            hint: Some(text.to_owned()),
            history: vec![HistoryLine { seq: 1, at: bay::now(), name: None, text: text.to_owned() }],
            ..bay::why()
        };
        driver.send(Msg::Why { name: "badger".to_owned(), result: Ok(why) });
        clean(&driver, "why");
        driver.keys("esc");
        let detail =
            ErrorDetail { code: "x".to_owned(), message: text.to_owned(), hint: Some(text.to_owned()), field: None };
        driver.send(Msg::Spawned(Err(ClientError::Refused(detail))));
        driver.send(Msg::Copied(Err(text.to_owned())));
        clean(&driver, "toast");
        driver.send(Msg::Feed(FeedMsg::Lost(text.to_owned())));
        clean(&driver, "banner");
    }
}

#[test]
fn logs_inspect_and_terminals() {
    for text in HOSTILE {
        let mut driver = Driver::of(bay::running(), 80, 24);
        driver.keys("l");
        driver.wait(200);
        let key = driver.log_stream();
        let entry = LogEntry { line: text.repeat(20), timestamp: Some(i64::MAX), stderr: false, raw: None };
        driver.send(Msg::Logs { key, msg: LogsMsg::Lines(vec![entry; 30], None) });
        clean(&driver, "logs");
        driver.keys("w t");
        clean(&driver, "wrapped logs");
        let folded = serde_json::json!({ "level": text, "msg": text, text: text }).to_string();
        let entry = LogEntry { line: folded, timestamp: None, stderr: true, raw: None };
        driver.send(Msg::Logs { key, msg: LogsMsg::Lines(vec![entry; 3], None) });
        driver.keys("/");
        driver.send(Msg::Input(crossterm::event::Event::Paste(text.to_owned())));
        clean(&driver, "searched logs");
        driver.keys("enter esc");
        driver.keys("]");
        driver.wait(200);
        let row = driver.model.subject().unwrap().clone();
        let inspect = serde_json::json!({ text: [text, text] });
        let detail = Box::new(ContainerDetail { row, host_port: None, inspect });
        driver.send(Msg::Inspected { name: "badger".to_owned(), result: Ok(detail) });
        clean(&driver, "inspect");
        driver.keys("] ]");
        let history = HistoryLine { seq: 1, at: bay::now(), name: Some(text.to_owned()), text: text.repeat(9) };
        driver.hear(Snapshot { history: vec![history; 40], ..bay::running() });
        clean(&driver, "events");
        driver.keys("]");
        let port = serde_json::json!({"port": 3000, "inside": 3000, "protocol": "tcp", "name": text, "process": text,
                                      "pid": 7, "url": null, "reason": text});
        driver.send(Msg::Ports(Ok(vec![serde_json::from_value(port).unwrap()])));
        clean(&driver, "ports");
        driver.keys("]");
        driver.wait(200);
        driver.screen("");
        let key = driver.stream();
        for row in 1..=22 {
            let bytes = format!("\u{1b}[{row};44H{text}");
            let msg = TerminalMsg::Bytes(Bytes::from(bytes));
            driver.send(Msg::Terminal { key, msg });
        }
        clean(&driver, "terminal");
    }
}
