//! The ports tab: what leads where, who listens, and that nobody who looks elsewhere pays for it.

use podbay::api::types::PortRow;
use podbay::bay::port::Protocol;
use podbay::tui::effect::Effect;
use podbay::tui::msg::Msg;

use super::bay;
use super::driver::Driver;

fn row(port: u16, inside: u16, name: &str, process: &str) -> PortRow {
    let listens = !process.is_empty();
    PortRow {
        port: (port > 0).then_some(port),
        inside,
        protocol: Protocol::Tcp,
        name: name.to_owned(),
        process: listens.then(|| process.to_owned()),
        pid: listens.then_some(4711),
        url: (port > 0 && listens).then(|| format!("http://127.0.0.1:{port}")),
        reason: None,
    }
}

fn rows() -> Vec<PortRow> {
    let because = |row: PortRow, why: &str| PortRow { reason: Some(why.to_owned()), url: None, ..row };
    let mut rows = vec![
        row(3000, 3000, "fox", "node"),
        because(row(3001, 3001, "owl", "vite"), "listens on 127.0.0.1 alone: nothing from outside reaches it"),
    ];
    rows.extend((3002..3010).map(|port| because(row(port, port, "", ""), "nobody listens")));
    rows.push(row(10_000, 80, "badger", "\u{1b}[31mnginx\u{1b}[0m"));
    rows.push(because(row(0, 9000, "fox", "python3"), "inside the bay only: [parent] ports publishes it"));
    rows
}

/// The tab, and its answer.
pub fn shown(columns: u16, lines: u16) -> Driver {
    let mut driver = Driver::of(bay::running(), columns, lines);
    driver.keys("P");
    driver.send(Msg::Ports(Ok(rows())));
    driver
}

fn asked(driver: &mut Driver) -> usize {
    driver.taken().into_iter().filter(|effect| matches!(effect, Effect::ReadPorts)).count()
}

#[test]
fn every_port_is_shown_with_its_holder_and_read_only_while_it_is_looked_at() {
    let mut driver = Driver::of(bay::running(), 120, 40);
    driver.wait(10_000);
    assert_eq!(asked(&mut driver), 0, "nobody looks");
    driver.keys("P");
    assert_eq!(asked(&mut driver), 1);
    assert!(driver.shot().contains("asking the supervisor"), "{}", driver.shot());
    driver.wait(9000);
    assert_eq!(asked(&mut driver), 0, "one question at a time");
    driver.send(Msg::Ports(Ok(rows())));
    let shot = driver.shot();
    for said in ["fox", "node 4711", "http://127.0.0.1:3000", "listens on 127.0.0.1 alone", "nobody listens", "9000"] {
        assert!(shot.contains(said), "{said}: {shot}");
    }
    assert!(!shot.contains('\u{1b}'), "{shot}");
    driver.taken();
    driver.keys("2 z");
    driver.wait(60_000);
    assert_eq!(asked(&mut driver), 0, "it is not on the screen");
}

#[test]
fn a_long_table_scrolls_and_a_failure_is_said_above_it() {
    let mut driver = shown(80, 16);
    assert!(!driver.shot().contains("9000"), "{}", driver.shot());
    driver.keys("G");
    assert!(driver.shot().contains("9000"), "{}", driver.shot());
    let error = podbay::api::types::ErrorDetail {
        code: "engine-away".to_owned(),
        message: "the engine is away".to_owned(),
        hint: None,
        field: None,
    };
    driver.send(Msg::Ports(Err(podbay::api::client::ClientError::Refused(error))));
    let shot = driver.shot();
    assert!(shot.contains("the engine is away") && shot.contains("10000"), "what was known stays: {shot}");
    driver.send(Msg::Ports(Ok(vec![])));
    assert!(driver.shot().contains("nobody listens"), "{}", driver.shot());
}
