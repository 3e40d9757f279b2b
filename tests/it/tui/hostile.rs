//! Rows S01, S02 and S05: whatever a container calls itself or writes, no control reaches a cell.

use bytes::Bytes;
use podbay::api::client::ClientError;
use podbay::api::types::{ContainerDetail, ErrorDetail, HistoryLine, LogEntry, Snapshot, State};
use podbay::tui::msg::{FeedMsg, LogsMsg, Msg, TerminalMsg};

use super::bay;
use super::driver::Driver;
use crate::terminal::hostile;

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

/// Those above, at every size, and those of the catalogue.
fn texts() -> impl Iterator<Item = String> {
    let catalogue = hostile::strings().into_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    HOSTILE.iter().map(|text| (*text).to_owned()).chain(catalogue)
}

fn clean(driver: &Driver, what: &str) {
    for (columns, rows) in [(80, 24), (120, 40), (40, 12), (43, 13)] {
        let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| podbay::tui::view::view(&driver.model, frame)).unwrap();
        for cell in terminal.backend().buffer().content() {
            assert!(!cell.symbol().chars().any(hostile::acts), "{what} at {columns}x{rows}: {:?}", cell.symbol());
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
    for text in &texts().collect::<Vec<_>>() {
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
    for text in &texts().collect::<Vec<_>>() {
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

/// What is written past the screen: notices, titles, and what is said to the shell at the end.
#[test]
fn notices_and_titles() {
    use podbay::tui::notify::{Way, passed_through, title};
    for text in texts() {
        let ways = [
            (Way::Osc9, "\u{1b}]9;", "\u{7}"),
            (Way::Osc777, "\u{1b}]777;notify;podbay;", "\u{7}"),
            (Way::Osc99, "\u{1b}]99;i=podbay:d=1;", "\u{1b}\\"),
        ];
        for (way, head, tail) in ways {
            let sequence = way.sequence(&text, false);
            let said = sequence.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail)).unwrap();
            assert!(!said.chars().any(|c| hostile::acts(c) || c == ';'), "{way:?} of {text:?}: {said:?}");
            let wrapped = way.sequence(&text, true);
            assert_eq!(wrapped, format!("{}\u{7}", passed_through(&sequence)));
        }
        let sequence = title(&text);
        let said = sequence.strip_prefix("\u{1b}]2;").and_then(|rest| rest.strip_suffix('\u{7}')).unwrap();
        assert!(!said.chars().any(hostile::acts), "{text:?}: {said:?}");
    }
}

#[tokio::test]
async fn saved_lines() {
    use podbay::tui::Execute as _;
    use podbay::tui::effect::{Effect, SavedLines};
    use podbay::tui::model::logs::store::Store;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saved.log");
    let mut store = Store::default();
    for line in texts() {
        store.push(&LogEntry::new(line.as_bytes(), Some(1_772_366_400_000), false), 0);
    }
    let (messages, mut answers) = tokio::sync::mpsc::channel(4);
    let client = podbay::api::client::Client::new("/nowhere");
    let copier = podbay::tui::tty::Copier::default();
    let mut executor = podbay::tui::executor::Executor::new(client, messages, copier, directory.path().to_owned());
    let lines = SavedLines { blocks: store.blocks(), only: None, names: vec![HOSTILE[1].to_owned()] };
    executor.execute(Effect::SaveLog { path: path.clone(), lines });
    let answer = answers.recv().await;
    assert!(matches!(answer, Some(Msg::Saved(Ok(_)))), "{answer:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() >= 70);
    assert!(!text.chars().any(|c| c != '\n' && hostile::acts(c)), "{text:?}");
}
