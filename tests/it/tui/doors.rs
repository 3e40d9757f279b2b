//! Names that were asked for outside of the bay: said in the header, answered in a dialog.

use podbay::api::types::{AskedRow, Done, NetworkAnswer, NetworkStatus, Snapshot};
use podbay::tui::effect::Effect;
use podbay::tui::msg::Msg;

use super::bay;
use super::driver::Driver;

fn row(name: &str, count: u64, worker: Option<&str>) -> AskedRow {
    AskedRow { name: name.to_owned(), port: 443, count, last_at: bay::now(), worker: worker.map(str::to_owned) }
}

fn asking(rows: Vec<AskedRow>) -> Snapshot {
    let mut snapshot = bay::running();
    let text = "by an allow list of 2 names".to_owned();
    snapshot.status.network = NetworkStatus { text, asked: rows, ..NetworkStatus::default() };
    snapshot
}

fn answers(driver: &mut Driver) -> Vec<(String, NetworkAnswer)> {
    let taken = driver.taken().into_iter();
    taken
        .filter_map(|effect| match effect {
            Effect::AnswerName { name, answer } => Some((name, answer)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_was_refused_is_said_and_answered() {
    let rows = vec![row("evil.net", 3, Some("fox")), row("\u{1b}[2Jodd.net", 1, None), row("npm.example", 1, None)];
    let mut driver = Driver::of(asking(rows), 80, 24);
    assert!(driver.shot().contains("3 names outside of the bay asked for and refused: A answers"), "{}", driver.shot());
    driver.keys("A");
    let shot = driver.shot();
    for words in
        ["evil.net:443", "3 times by fox", " once ", " y for this bay ", " n keep refusing ", "by an allow list"]
    {
        assert!(shot.contains(words), "{words}: {shot}");
    }
    assert!(!shot.contains('\u{1b}'));
    driver.keys("enter");
    assert_eq!(answers(&mut driver), [("evil.net".to_owned(), NetworkAnswer::Once)]);
    // What was pressed too often is no answer for the next one.
    driver.keys("y enter n");
    driver.wait(200);
    driver.keys("y");
    assert_eq!(answers(&mut driver), []);
    driver.wait(500);
    // The next one; one that came meanwhile moves nothing.
    driver.hear(asking(vec![row("new.net", 1, None), row("\u{1b}[2Jodd.net", 1, None), row("npm.example", 1, None)]));
    driver.keys("down right enter");
    assert_eq!(answers(&mut driver), [("npm.example".to_owned(), NetworkAnswer::Bay)]);
    driver.wait(500);
    driver.keys("n");
    assert_eq!(answers(&mut driver).pop().map(|(_, answer)| answer), Some(NetworkAnswer::Refuse));
    driver.keys("esc");
    let result = Ok(Done { text: "npm.example is let through from now on".to_owned(), notes: vec![] });
    driver.send(Msg::NameAnswered { name: "npm.example".to_owned(), result });
    assert!(driver.shot().contains("npm.example is let through"), "{}", driver.shot());
}

#[test]
fn without_a_name_the_key_says_how_the_way_out_stands() {
    let mut driver = Driver::of(asking(vec![]), 80, 24);
    driver.keys("A");
    assert!(driver.shot().contains("by an allow list of 2 names; no name"), "{}", driver.shot());
    for (columns, rows) in [(40, 12), (1, 1)] {
        let mut driver = Driver::of(asking(vec![row("evil.net", 3, None)]), columns, rows);
        driver.keys("A");
        driver.shot();
    }
}
