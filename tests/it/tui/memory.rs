//! What the next dashboard of a bay begins with.

use podbay::api::types::Snapshot;
use podbay::bay::session::SessionKind;
use podbay::tui::effect::{Effect, Target};
use podbay::tui::model::list::Sort;
use podbay::tui::model::memory::Remembered;
use podbay::tui::model::tiles::Arrangement;
use podbay::tui::model::{Settings, Tab};

use super::bay;
use super::driver::{Driver, settings};

fn again(remembered: &Remembered, snapshot: Snapshot) -> Driver {
    let written = Remembered::read(&remembered.write()).unwrap();
    let mut driver = Driver::with(Settings { remembered: Some(written), ..settings() }, 120, 40);
    driver.hear(snapshot);
    driver.wait(200);
    driver
}

fn left(driver: &mut Driver) -> Remembered {
    driver.keys("q");
    driver.remembered.last().cloned().unwrap()
}

#[test]
fn a_dashboard_that_is_closed_comes_back_as_it_was() {
    let mut driver = super::tiles::three(120, 40);
    driver.keys("2 o o ctrl-w space B l t 2");
    let driver_left = left(&mut driver);
    let driver = again(&driver_left, bay::running());
    let model = &driver.model;
    assert_eq!(model.lists.worker.as_deref(), Some("owl"));
    assert_eq!((model.lists.sort, model.main.tab), (Sort::State, Tab::Logs));
    assert_eq!((model.main.tiles.arrangement, model.main.tiles.beside), (Arrangement::Columns, true));
    assert!(model.main.logs.look.timestamps);
    let kept: Vec<&str> = model.main.tiles.kept.iter().map(|tile| tile.name.as_str()).collect();
    assert_eq!(kept, ["badger", "fox"]);
    assert_eq!(model.main.terminals.panes.len(), 3, "their screens are there at once");
}

#[test]
fn what_is_gone_meanwhile_is_let_go() {
    let mut snapshot = bay::running();
    snapshot.sessions.push(bay::session(9, "badger", SessionKind::Shell, "bash"));
    let mut driver = Driver::of(snapshot, 120, 40);
    driver.wait(200);
    driver.keys("5 } |");
    driver.wait(200);
    driver.keys("2 j |");
    assert!(matches!(driver.model.main.tiles.kept[0].target, Target::Shell(_)));
    let remembered = left(&mut driver);
    // The shell of that number is another worker's now, and fox is gone.
    let mut snapshot = bay::running();
    snapshot.sessions.push(bay::session(9, "owl", SessionKind::Shell, "bash"));
    snapshot.containers.retain(|row| row.name != "fox");
    let driver = again(&remembered, snapshot);
    assert_eq!(driver.model.main.tiles.kept, []);
    assert_eq!(driver.model.lists.worker.as_deref(), Some("badger"));
}

#[test]
fn it_is_written_once_a_second_at_most_and_at_the_end() {
    let mut driver = Driver::of(bay::running(), 120, 40);
    let begun = driver.remembered.len();
    for _ in 0..20 {
        driver.keys("j");
        driver.keys("k");
    }
    driver.keys("j");
    assert!(driver.remembered.len() <= begun + 1, "{} times", driver.remembered.len());
    driver.wait(1100);
    let written = driver.remembered.len();
    driver.wait(5000);
    driver.wait(5000);
    assert_eq!(driver.remembered.len(), written, "nothing changed");
    driver.keys("j q");
    assert_eq!(driver.remembered.len(), written + 1, "at the end, whenever that is");
    assert_eq!(driver.taken().last(), Some(&Effect::Quit));
}
