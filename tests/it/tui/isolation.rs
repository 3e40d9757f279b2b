//! The one question about weaker walls.

use podbay::api::types::LinkState;
use podbay::bay::isolation::Isolation;
use podbay::tui::effect::Effect;
use podbay::tui::model::overlay::Overlay;

use super::bay;
use super::driver::Driver;

fn refused() -> podbay::api::types::Snapshot {
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
fn an_engine_that_is_away_for_another_reason_asks_nothing() {
    let mut snapshot = refused();
    snapshot.status.engine.weaker = None;
    assert!(!asked(&Driver::of(snapshot, 100, 24)));
}
