//! Figures and events: what is asked for, what is shown, and that nobody who looks elsewhere pays for it.

use jiff::Timestamp;
use podbay::api::types::{Figures, HistoryLine, MachineRow, StatsRow};
use podbay::tui::effect::Effect;
use podbay::tui::model::Tab;
use podbay::tui::msg::Msg;

use super::bay;
use super::driver::Driver;

/// What was asked for, question by question.
fn asked(driver: &mut Driver) -> Vec<Vec<String>> {
    let names = |effect| if let Effect::ReadFigures { names } = effect { Some(names) } else { None };
    driver.taken().into_iter().filter_map(names).collect()
}

fn stats(name: &str, at: u64) -> StatsRow {
    let share = if name == "parent" { 3 } else { u64::try_from(name.len()).unwrap() };
    StatsRow {
        name: name.to_owned(),
        cpu_percent: Some(f64::from(u32::try_from((at * 37 + share * 11) % 190).unwrap())),
        memory: (300 + at * 20 + share) << 20,
        memory_limit: Some(8 << 30),
        pids: 4 + share,
        network: (name == "parent").then_some((at * 90_000, at * 12_000)),
        block: (at * 4096, at * at * 70_000),
    }
}

fn machine(at: u64) -> MachineRow {
    MachineRow {
        cpus: 4,
        busy_ms: at * at * 90,
        total_ms: at * 8000,
        memory: (3 << 30) + (at << 26),
        memory_total: 16 << 30,
        load: 1.25,
        network: Some((at * 250_000, at * 90_000)),
        block: Some((at * 1_000_000, at * 400_000)),
    }
}

/// A tab that was looked at for some time.
pub fn over_time(columns: u16, rows: u16, rounds: u64) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, rows);
    driver.keys("%");
    for at in 1..=rounds {
        let Some(names) = asked(&mut driver).pop() else { break };
        let containers = names.iter().map(|name| stats(name, at)).collect();
        driver.send(Msg::Figures(Ok(Figures { machine: Some(machine(at)), containers })));
        driver.wait(2000);
    }
    driver
}

pub fn events(columns: u16, rows: u16) -> Driver {
    let mut driver = Driver::of(history(), columns, rows);
    driver.keys("H");
    driver
}

/// A bay in which much has happened.
pub fn history() -> podbay::api::types::Snapshot {
    let line = |seq: u64, name: Option<&str>, text: &str| HistoryLine {
        seq,
        at: Timestamp::from_second(1_772_366_400 + i64::try_from(seq).unwrap() * 7).unwrap(),
        name: name.map(str::to_owned),
        text: text.to_owned(),
    };
    let mut snapshot = bay::running();
    snapshot.history = (1..60)
        .map(|seq| match seq % 6 {
            0 => line(seq, None, "the engine answers again after 4s"),
            1 => line(seq, Some("badger"), "created from template default"),
            2 => {
                line(seq, Some("fox"), "exited with code 127 (the command was not found): restarted in 2s, try 3 of 5")
            }
            3 => line(seq, Some("parent"), "started"),
            4 => line(
                seq,
                Some("owl"),
                "its network is gone: \u{1b}[31mthe parent\u{1b}[0m restarted after it joined; repaired",
            ),
            _ => line(seq, Some("pool/default"), "2 warm of 3, one is being made"),
        })
        .collect();
    snapshot
}

#[test]
fn only_what_is_shown_is_read_and_only_while_it_is() {
    let mut driver = Driver::of(bay::running(), 120, 40);
    driver.wait(10_000);
    assert_eq!(asked(&mut driver), Vec::<Vec<String>>::new(), "nobody looks");
    driver.keys("%");
    assert_eq!(asked(&mut driver), [["badger", "parent", "fox", "owl"]]);
    // One question at a time, whatever the answer takes.
    driver.wait(9000);
    assert_eq!(asked(&mut driver), Vec::<Vec<String>>::new());
    driver.send(Msg::Figures(Ok(Figures::default())));
    assert_eq!(asked(&mut driver).len(), 1);
    driver.send(Msg::Figures(Ok(Figures::default())));
    assert_eq!(asked(&mut driver), Vec::<Vec<String>>::new(), "not before its time");
    assert_eq!(driver.model.next_wake(), Some(driver.now + std::time::Duration::from_secs(2)));
    driver.wait(2000);
    assert_eq!(asked(&mut driver).len(), 1);
    driver.send(Msg::Figures(Ok(Figures::default())));
    driver.keys("2 z");
    driver.wait(60_000);
    assert_eq!(asked(&mut driver), Vec::<Vec<String>>::new(), "it is not on the screen");
    // On a small screen the rows below are not read.
    let mut driver = Driver::of(bay::running(), 40, 12);
    driver.keys("%");
    assert_eq!(asked(&mut driver), [["badger", "parent"]]);
}

#[test]
fn a_shared_network_is_said_to_be_the_parents() {
    let driver = over_time(120, 40, 4);
    let shot = driver.shot();
    assert!(shot.contains("(the parent's)"), "{shot}");
    assert!(shot.contains("the machine") && shot.contains("4 CPUs, load 1.25"), "{shot}");
    assert!(shot.contains("/s in") && shot.contains("/s written"), "{shot}");
}

#[test]
fn a_reading_that_fails_is_said_and_tried_again() {
    let mut driver = Driver::of(bay::running(), 120, 40);
    driver.keys("%");
    asked(&mut driver);
    let error = podbay::api::types::ErrorDetail {
        code: "engine-away".to_owned(),
        message: "the engine is away".to_owned(),
        hint: None,
        field: None,
    };
    driver.send(Msg::Figures(Err(podbay::api::client::ClientError::Refused(error))));
    assert!(driver.shot().contains("the engine is away"), "{}", driver.shot());
    driver.wait(2000);
    assert_eq!(asked(&mut driver).len(), 1);
}

#[test]
fn events_follow_until_one_looks_back() {
    let mut driver = events(120, 40);
    assert_eq!(driver.model.main.tab, Tab::Events);
    let newest = "pool/default 2 warm of 3, one is being made";
    let last = |driver: &Driver| driver.shot().lines().rev().nth(1).unwrap().to_owned();
    assert!(driver.shot().contains(newest) && !driver.shot().contains("12:00:07"), "{}", driver.shot());
    assert!(!driver.shot().contains('\u{1b}'));
    let before = last(&driver);
    driver.keys("k k");
    assert_ne!(driver.shot().lines().nth(37), Some(before.as_str()));
    driver.keys("g");
    assert!(driver.shot().contains("12:00:07"), "{}", driver.shot());
    driver.keys("G");
    assert!(driver.shot().contains("12:06:53"), "{}", driver.shot());
}
