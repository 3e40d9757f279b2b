//! The one question about weaker walls.

use podbay::api::types::LinkState;
use podbay::bay::isolation::Isolation;
use podbay::tui::effect::Effect;
use podbay::tui::model::overlay::Overlay;

use super::bay;
use super::driver::Driver;

pub fn refused() -> podbay::api::types::Snapshot {
    let mut snapshot = bay::snapshot(Vec::new(), Vec::new());
    let engine = &mut snapshot.status.engine;
    (engine.state, engine.weaker, engine.isolation) = (LinkState::Away, Some(Isolation::Landlock), None);
    engine.reason = Some("make a user namespace: Operation not permitted".to_owned());
    snapshot
}

fn asked(driver: &Driver) -> bool {
    matches!(driver.model.overlay, Some(Overlay::Confirm(_)))
}

#[test]
fn it_is_asked_once_and_no_is_an_answer() {
    let mut driver = Driver::of(refused(), 100, 24);
    let screen = driver.shot();
    assert!(asked(&driver), "{screen}");
    for words in ["isolation landlock?", "Operation not permitted", "held by Landlock", "run them so"] {
        assert!(screen.contains(words), "{words:?} in\n{screen}");
    }
    driver.wait(5_000);
    driver.keys("n");
    assert!(!asked(&driver));
    driver.hear(refused());
    assert!(!asked(&driver), "asked again");
    assert!(!driver.effects.iter().any(|effect| matches!(effect, Effect::Allow(_))));
}

#[test]
fn yes_is_the_users_word() {
    let mut driver = Driver::of(refused(), 100, 24);
    driver.keys("y");
    assert!(!driver.effects.contains(&Effect::Allow(Isolation::Landlock)), "a key that was on its way");
    driver.wait(5_000);
    driver.keys("y");
    assert!(driver.effects.contains(&Effect::Allow(Isolation::Landlock)));
}

#[test]
fn what_is_given_up_is_seen_first_and_a_long_reason_can_be_read() {
    let mut snapshot = refused();
    let reason: Vec<String> = (0..60).map(|number| format!("reason{number:02}")).collect();
    snapshot.status.engine.reason = Some(reason.join(" "));
    let mut driver = Driver::of(snapshot, 40, 16);
    driver.wait(5_000);
    let screen = driver.shot();
    assert!(screen.contains("held by Landlock") && !screen.contains("reason59"), "{screen}");
    let mut read = String::new();
    for _ in 0..12 {
        driver.keys("pgdn");
        read.push_str(&driver.shot());
    }
    assert!(reason.iter().all(|word| read.contains(word)) && asked(&driver), "{read}");
    (0..12).for_each(|_| driver.keys("pgup"));
    assert_eq!(driver.shot(), screen);
    assert!(!driver.effects.iter().any(|effect| matches!(effect, Effect::Allow(_))));
}

/// The first line, and whether the level in it stands out.
fn headed(isolation: Option<Isolation>, wanted: Isolation, columns: u16) -> (String, bool) {
    let mut snapshot = bay::bare();
    let engine = &mut snapshot.status.engine;
    (engine.isolation, engine.wanted) = (isolation, Some(wanted));
    if isolation.is_none() {
        (engine.state, engine.kind, engine.version) = (LinkState::Connecting, String::new(), String::new());
    }
    let driver = Driver::of(snapshot, columns, 24);
    let backend = driver.draw();
    let first = super::driver::lines(backend.buffer()).remove(0);
    let at = first.find(isolation.unwrap_or(wanted).as_str()).unwrap_or_else(|| panic!("no level in {first:?}"));
    let at = u16::try_from(first[..at].chars().count()).unwrap();
    let stands_out = driver.model.settings.theme.style("ui.attention").fg;
    (first, Some(backend.buffer()[(at, 0)].fg) == stands_out)
}

#[test]
fn the_level_is_always_in_the_header_and_weak_walls_stand_out() {
    for columns in [40, 80, 120] {
        for (level, weak) in [(Isolation::Namespaces, false), (Isolation::Landlock, true), (Isolation::None, true)] {
            assert_eq!(headed(Some(level), level, columns).1, weak, "{level} at {columns}");
            let (first, stands_out) = headed(None, level, columns);
            assert_eq!(stands_out, weak, "{level} at {columns}");
            // Where there is no room, the word behind it is cut, and not the level.
            assert!(first.contains(&format!("{level} wanted")) || columns == 40, "{first}");
        }
    }
}

#[test]
fn an_engine_that_is_away_for_another_reason_asks_nothing() {
    let mut snapshot = refused();
    snapshot.status.engine.weaker = None;
    assert!(!asked(&Driver::of(snapshot, 100, 24)));
}
