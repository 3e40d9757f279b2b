//! Which worker needs me: the order, the key, and how the user is told.

use std::time::Duration;

use crossterm::event::Event;
use podbay::api::types::{Snapshot, State};
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

/// A bay in which the one ended so many seconds ago, and calls for that.
fn ended(name: &str, state: State, reason: &str, call: Option<(Need, Source)>, ago: u64) -> Snapshot {
    let mut snapshot = bay::running();
    let row = snapshot.containers.iter_mut().find(|row| row.name == name).unwrap();
    let since = bay::now() - Duration::from_secs(ago);
    *row = bay::worker(name, state, Some(reason));
    row.call = call.map(|(need, source)| Attention { need, source, since });
    snapshot.sessions.retain(|session| session.name != name);
    snapshot
}

#[test]
fn who_ended_calls_until_it_was_looked_at() {
    let exit = |need| Some((need, Source::Exit));
    for (state, reason, call, notice, note) in [
        (State::Exited, "exited with code 1", exit(Need::Failed), Some("owl failed"), "! 2m exited with code 1"),
        (State::Exited, "exited with code 0 (done)", exit(Need::Finished), Some("owl finished"), "! 2m exited with"),
        (State::Exited, "killed by the kernel", exit(Need::Failed), Some("owl failed"), "! 2m killed by the kernel"),
        (State::Exited, "stopped by request", None, None, "   stopped by request"),
        (
            State::Failed,
            "no such image",
            Some((Need::Failed, Source::Podbay)),
            Some("owl failed"),
            "! 2m no such image",
        ),
    ] {
        let mut driver = Driver::of(bay::running(), 80, 24);
        driver.send(Msg::Input(Event::FocusLost));
        told(&mut driver);
        let snapshot = ended("owl", state, reason, call, 120);
        driver.hear(snapshot.clone());
        let expected: Vec<String> = notice.map_or_else(Vec::new, |text| vec!["title (1) podbay".into(), text.into()]);
        assert_eq!(told(&mut driver), expected, "{reason}");
        let shot = driver.shot();
        assert!(shot.contains(note), "{shot}");
        assert_eq!(shot.contains("! 1 needs you"), call.is_some(), "{shot}");
        driver.send(Msg::Input(Event::FocusGained));
        // Not in sight: it calls on. What podbay failed to do is not mended by a look.
        assert_eq!(driver.model.calling(), usize::from(call.is_some()), "{reason}");
        driver.keys("!");
        let goes_on = state == State::Failed;
        assert_eq!(driver.model.lists.worker.as_deref(), Some(if call.is_some() { "owl" } else { "badger" }));
        assert_eq!(driver.model.calling(), usize::from(goes_on), "{reason}: it was looked at");
        driver.keys("g");
        driver.hear(snapshot);
        assert_eq!(driver.model.calling(), usize::from(goes_on), "{reason}: the same end is not told twice");
        // A later end is another one.
        driver.hear(ended("owl", state, reason, call, 60));
        assert_eq!(driver.model.calling(), usize::from(call.is_some()), "{reason}");
    }
}

#[test]
fn an_end_on_the_screen_calls_until_somebody_is_there() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    let call = Some((Need::Failed, Source::Exit));
    driver.hear(ended("badger", State::Exited, "exited with code 1", call, 1));
    driver.send(Msg::Input(Event::Resize(90, 24)));
    assert_eq!(driver.model.calling(), 1, "nobody was there");
    driver.keys("z");
    assert_eq!(driver.model.calling(), 0);
    // Closed and opened again, the dashboard knows.
    driver.keys("q");
    let written = driver.remembered.last().cloned().unwrap();
    let mut again = Driver::with(super::driver::settings(), 80, 24);
    again.model.recall(podbay::tui::model::memory::Remembered::read(&written.write()).unwrap());
    again.hear(ended("badger", State::Exited, "exited with code 1", call, 1));
    assert_eq!(again.model.calling(), 0);
}

#[test]
fn the_ended_stand_in_the_order_of_need_and_age() {
    let call = |need| Some((need, Source::Exit));
    let mut snapshot = ended("fox", State::Exited, "exited with code 1", call(Need::Failed), 30);
    for other in [
        ended("badger", State::Exited, "exited with code 0 (done)", call(Need::Finished), 900),
        ended("owl", State::Exited, "killed by the kernel", call(Need::Failed), 60),
    ] {
        for row in other.containers.into_iter().filter(|row| row.call.is_some()) {
            let old = snapshot.containers.iter_mut().find(|old| old.name == row.name).unwrap();
            *old = row;
        }
    }
    let driver = Driver::of(snapshot, 80, 24);
    let order: Vec<&str> = driver.model.inbox().iter().map(|(row, _)| row.name.as_str()).collect();
    assert_eq!(order, ["owl", "fox", "badger"]);
}

#[test]
fn a_reason_does_not_hide_a_question() {
    let mut snapshot = asking(&[("fox", Need::Permission, 65), ("owl", Need::Idle, 65)]);
    for row in snapshot.containers.iter_mut().filter(|row| row.name != "parent") {
        row.reason = Some("unhealthy: 3 probes in a row failed".to_owned());
    }
    let mut driver = Driver::of(snapshot, 120, 40);
    let shot = driver.shot();
    assert!(shot.contains("! asks permission, hook 1m; unh"), "{shot}");
    assert_eq!(shot.matches("   unhealthy: 3 probes").count(), 2, "one is idle, one gave no sign: {shot}");
    driver.keys("! |");
    driver.wait(200);
    driver.keys("2 j");
    driver.wait(200);
    let title = driver.shot().lines().find(|line| line.contains("fox") && line.contains("hook")).map(str::to_owned);
    assert!(title.is_some_and(|line| line.contains("asks permission")), "{}", driver.shot());
}
