//! The service matrix: what it shows at each size, and which row the keys and the mouse mean.

use crossterm::event::{MouseButton, MouseEventKind};
use podbay::api::types::{ServiceRow, Snapshot};

use super::bay;
use super::driver::Driver;

const CLICK: MouseEventKind = MouseEventKind::Down(MouseButton::Left);

fn service(name: &str, host: Option<&str>, state: &str, reason: Option<&str>) -> ServiceRow {
    let running = state == "running";
    serde_json::from_value(serde_json::json!({
        "name": name, "run": if host.is_some() { "host" } else { "container" }, "reason_for_host": host,
        "state": state, "pid": running.then_some(4711), "ports": [3001], "ready": running, "restarts": 2,
        "last_exit": null, "next_start_at": null, "depends_on": {}, "reason": reason, "started_at": null, "tty": false
    }))
    .unwrap()
}

pub fn some() -> Snapshot {
    let mut snapshot = bay::running();
    snapshot.status.services = vec![
        service("brain", None, "waiting", Some("waits for stream to be ready, which runs")),
        service("stream", Some("gpu"), "running", None),
        service("tunnel", Some("other: talks to a dongle"), "failed", Some("exited with code 1")),
    ];
    snapshot
}

fn many() -> Snapshot {
    let mut snapshot = bay::running();
    snapshot.status.services = (0..100).map(|n| service(&format!("svc{n:02}"), None, "running", None)).collect();
    snapshot
}

fn chosen(driver: &Driver) -> String {
    driver.model.selected_service().map(|row| row.name.clone()).unwrap_or_default()
}

/// Where the row of a service is: on the left, whatever else speaks of it.
fn place(driver: &mut Driver, name: &str) -> (u16, u16) {
    let shot = driver.shot();
    let begins = format!("│ {name}");
    let row = shot.lines().position(|line| line.starts_with(&begins));
    let row = row.unwrap_or_else(|| panic!("{name} is not on the screen:\n{shot}"));
    (2, u16::try_from(row).unwrap())
}

#[test]
fn the_matrix_has_its_columns_where_there_is_room() {
    for (columns, rows) in [(80, 24), (120, 40), (200, 60)] {
        let mut driver = Driver::of(some(), columns, rows);
        driver.keys("4");
        let narrow = driver.shot();
        assert!(narrow.contains("brain") && !narrow.contains("why there"), "{narrow}");
        driver.keys("z");
        let shot = driver.shot();
        for text in [
            "name",
            "why there, and why so",
            "waits for stream to be ready, which runs",
            "gpu",
            "other: talks to a dongle",
        ] {
            assert!(shot.contains(text), "{text} at {columns}x{rows}:\n{shot}");
        }
        if columns == 80 {
            insta::assert_snapshot!(shot);
        }
    }
}

#[test]
fn a_click_means_the_row_that_it_hits() {
    for zoomed in [false, true] {
        let mut driver = Driver::of(some(), 120, 40);
        driver.keys("4");
        if zoomed {
            driver.keys("z");
        }
        for name in ["tunnel", "brain", "stream"] {
            let (column, row) = place(&mut driver, name);
            driver.mouse(CLICK, column + 1, row);
            assert_eq!(chosen(&driver), name, "zoomed: {zoomed}");
        }
        // Neither the names of the columns nor the frame nor what is below the last row is a service.
        let (column, row) = place(&mut driver, "tunnel");
        let (_, first) = place(&mut driver, "brain");
        for row in [first - 1, row + 1, row + 2] {
            driver.mouse(CLICK, column, row);
            assert_eq!(chosen(&driver), "stream", "row {row}, zoomed: {zoomed}");
        }
    }
}

#[test]
fn the_selected_one_is_in_sight_however_many_there_are() {
    for (columns, rows, zoom) in [(80, 24, false), (80, 24, true), (120, 40, false), (200, 60, true)] {
        let mut driver = Driver::of(many(), columns, rows);
        driver.keys("4");
        if zoom {
            driver.keys("z");
        }
        for (keys, name) in [("G", "svc99"), ("k k", "svc97"), ("g", "svc00"), ("ctrl-d", ""), ("pgdn pgdn", "")] {
            driver.keys(keys);
            let wanted = if name.is_empty() { chosen(&driver) } else { name.to_owned() };
            assert_eq!(chosen(&driver), wanted);
            let (column, row) = place(&mut driver, &wanted);
            driver.mouse(CLICK, column, row);
            assert_eq!(
                chosen(&driver),
                wanted,
                "{columns}x{rows} after {keys}: the row that is drawn is the one that is hit"
            );
        }
        // A shorter list leaves no gap.
        driver.keys("G");
        driver.hear(some());
        place(&mut driver, "brain");
        assert_eq!(chosen(&driver), "tunnel");
    }
}

#[test]
fn how_many_there_are_is_said_and_which_of_them_are_seen() {
    let mut driver = Driver::of(some(), 120, 40);
    assert!(driver.shot().contains("4 services 3, 1 failed"), "{}", driver.shot());
    driver.hear(many());
    driver.keys("4");
    assert!(driver.shot().contains("4 services 1-7 of 100"), "{}", driver.shot());
    driver.keys("G");
    assert!(driver.shot().contains("4 services 94-100 of 100"), "{}", driver.shot());
    driver.keys("z");
    assert!(driver.shot().contains("-100 of 100"), "{}", driver.shot());
    driver.keys("z /");
    driver.text("svc09");
    assert!(driver.shot().contains("4 services 1 of 100 /svc09"), "{}", driver.shot());
}

#[test]
fn keys_in_an_empty_list_mean_nobody_elsewhere() {
    for key in ["s", "r", "l", "e", "i", "y", "enter"] {
        let mut driver = Driver::of(bay::running(), 120, 40);
        driver.keys("4");
        driver.taken();
        driver.keys(key);
        assert_eq!(driver.taken(), [], "{key}");
        assert!(driver.shot().contains("no service is configured"), "{key}: {}", driver.shot());
        assert!(driver.model.focus.pane == podbay::tui::model::Pane::Services, "{key}");
    }
}
