//! An alert in the header, for as long as it fires.

use podbay::api::types::AlertRow;

use super::bay;
use super::driver::Driver;

fn alert(severity: &str, subject: &str, summary: &str) -> AlertRow {
    AlertRow {
        name: "PodbayTest".to_owned(),
        severity: severity.to_owned(),
        subject: subject.to_owned(),
        summary: summary.to_owned(),
        since: bay::now(),
    }
}

/// A bay in which two alerts fire.
pub fn firing() -> podbay::api::types::Snapshot {
    let mut snapshot = bay::running();
    snapshot.status.alerts =
        vec![alert("warning", "web", "a pool has no warm worker"), alert("critical", "brain", "a service is down")];
    snapshot
}

#[test]
fn the_worst_alert_stands_in_the_header_until_it_is_over() {
    let mut driver = Driver::of(firing(), 80, 24);
    assert!(driver.shot().contains("alert: a service is down (brain); 1 more"), "{}", driver.shot());
    driver.hear(bay::running());
    assert!(!driver.shot().contains("alert:"), "{}", driver.shot());
    let mut snapshot = bay::running();
    snapshot.status.alerts = vec![alert("warning", "", "\u{1b}[2Jslow")];
    driver.hear(snapshot);
    let shot = driver.shot();
    assert!(shot.contains("alert: ") && shot.contains("slow") && !shot.contains('\u{1b}'), "{shot}");
}
