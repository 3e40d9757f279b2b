//! Which worker needs me: the order, the key, and how the user is told.

use std::time::Duration;

use crossterm::event::Event;
use podbay::api::types::Snapshot;
use podbay::bay::attention::{Attention, Need, Source};
use podbay::tui::effect::Effect;
use podbay::tui::msg::Msg;

use super::bay;
use super::driver::Driver;

fn asking(asks: &[(&str, Need, u64)]) -> Snapshot {
    let mut snapshot = bay::running();
    for (name, need, ago) in asks {
        let session = snapshot.sessions.iter_mut().find(|session| session.name == *name).unwrap();
        let since = bay::now() - Duration::from_secs(*ago);
        session.attention = Some(Attention { need: *need, source: Source::Hook, since });
    }
    snapshot
}

fn told(driver: &mut Driver) -> Vec<String> {
    let text = |effect| match effect {
        Effect::Notify(text) => Some(text),
        Effect::Title(text) => Some(format!("title {text}")),
        _ => None,
    };
    driver.taken().into_iter().filter_map(text).collect()
}

#[test]
fn the_key_goes_from_the_most_urgent_to_the_next() {
    let asks = [("badger", Need::Idle, 900), ("fox", Need::Finished, 60), ("owl", Need::Permission, 5)];
    let mut driver = Driver::of(asking(&asks), 80, 24);
    let shot = driver.shot();
    assert!(shot.contains("! 2 need you") && shot.contains("! asks permission, hook <1m"), "{shot}");
    let mut seen = Vec::new();
    for _ in 0..4 {
        driver.keys("!");
        seen.push(driver.model.lists.worker.clone().unwrap());
    }
    assert_eq!(seen, ["owl", "fox", "badger", "owl"]);
    // A filter hides nobody who calls.
    driver.keys("/ b a d enter !");
    assert_eq!(driver.model.lists.worker.as_deref(), Some("owl"));
    let mut quiet = Driver::of(bay::running(), 80, 24);
    quiet.keys("!");
    assert!(quiet.shot().contains("no worker needs anybody"));
}

#[test]
fn who_does_not_look_is_called_once() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.send(Msg::Input(Event::FocusLost));
    assert_eq!(told(&mut driver), ["title podbay"]);
    driver.hear(asking(&[("fox", Need::Permission, 5)]));
    driver.hear(asking(&[("fox", Need::Permission, 5)]));
    assert_eq!(told(&mut driver), ["title (1) podbay", "fox asks permission"]);
    driver.hear(asking(&[("fox", Need::Working, 1)]));
    assert_eq!(told(&mut driver), ["title podbay"]);
    // The same again later is another call.
    driver.hear(asking(&[("fox", Need::Permission, 0)]));
    assert_eq!(told(&mut driver), ["title (1) podbay", "fox asks permission"]);
}

#[test]
fn who_looks_is_not_called_by_the_terminal() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.send(Msg::Input(Event::FocusGained));
    told(&mut driver);
    driver.hear(asking(&[("fox", Need::Question, 5)]));
    assert_eq!(told(&mut driver), ["title (1) podbay"]);
    assert!(driver.shot().contains("fox asks a question: ! goes there"), "{}", driver.shot());
    // What is on the screen is not told at all.
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.hear(asking(&[("badger", Need::Question, 5)]));
    assert_eq!(told(&mut driver), ["title podbay", "title (1) podbay"]);
    assert!(!driver.shot().contains("goes there"), "{}", driver.shot());
}

#[test]
fn what_was_there_at_the_start_is_shown_and_not_called() {
    let mut driver = Driver::of(asking(&[("fox", Need::Failed, 5)]), 80, 24);
    assert_eq!(told(&mut driver), ["title (1) podbay"]);
}
