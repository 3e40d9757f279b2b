//! Themes, orders, and what a hasty user stumbles over.

use std::time::Duration;

use podbay::api::types::{SpawnReply, State};
use podbay::tui::keymap::{Keymap, UserKeys};
use podbay::tui::model::Settings;
use podbay::tui::msg::Msg;
use podbay::tui::theme::{Depth, Theme};
use ratatui::style::Color;

use super::bay;
use super::driver::{Driver, settings};
use super::screens::all;

#[test]
fn a_theme_is_seen_while_it_is_chosen_and_left_as_it_was() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    let before = driver.model.settings.theme.clone();
    driver.keys("T down");
    assert_ne!(driver.model.settings.theme, before);
    assert!(driver.shot().contains("looks") && driver.shot().contains("hal"), "{}", driver.shot());
    let shot = driver.shot();
    let footer = shot.lines().last().unwrap_or_default();
    assert!(footer.contains("enter ok") && footer.contains("esc cancel") && !footer.contains("yes"), "{footer}");
    driver.keys("esc");
    assert_eq!(driver.model.settings.theme, before);
    driver.keys("T down down down enter");
    assert!(driver.shot().contains("theme = \"hal\" under"), "{}", driver.shot());
    assert_ne!(driver.model.settings.theme, before);
}

#[test]
fn every_screen_is_drawn_in_every_theme_and_says_the_same() {
    let themes = Theme::all(std::path::Path::new("/nowhere"), false);
    assert_eq!(themes.len(), 5);
    for (screen, driver) in all(80, 24) {
        let wanted = driver.shot();
        let mut driver = driver;
        for (name, theme) in &themes {
            driver.model.settings.theme = theme.clone();
            assert_eq!(driver.shot(), wanted, "{screen} in {name}");
            for depth in [Depth::Indexed, Depth::Sixteen] {
                driver.model.settings.theme = theme.clone().at(depth);
                let beyond = |colour| match colour {
                    Color::Rgb(..) => true,
                    Color::Indexed(number) => depth == Depth::Sixteen && number > 15,
                    _ => false,
                };
                for cell in driver.draw().buffer().content() {
                    assert!(!beyond(cell.fg) && !beyond(cell.bg), "{screen} in {name} at {depth:?}: {cell:?}");
                }
            }
        }
    }
}

/// What a program paints, as the user's terminal can show it.
#[test]
fn colours_of_programs_are_fitted_to_the_terminal() {
    for depth in [Depth::True, Depth::Indexed, Depth::Sixteen] {
        let (_, mut driver) = all(120, 40).into_iter().find(|(screen, _)| *screen == "painted").unwrap();
        driver.model.settings.theme = Theme::built_in(false).at(depth);
        let drawn = driver.draw();
        let has = |colour: Color| drawn.buffer().content().iter().any(|cell| cell.fg == colour || cell.bg == colour);
        for painted in [Color::Rgb(250, 120, 30), Color::Rgb(1, 60, 120), Color::Rgb(10, 200, 90)] {
            assert_eq!(has(painted), depth == Depth::True, "{painted:?} at {depth:?}");
            assert!(has(depth.fit(painted)), "{painted:?} at {depth:?}");
        }
        // And held still.
        let mut driver = super::tiles::three(120, 40);
        driver.model.settings.theme = Theme::built_in(false).at(depth);
        driver.screens(|_| "\x1b[38;2;250;120;30mpainted".to_owned());
        driver.keys("5 v");
        assert!(driver.model.main.copying.is_some());
        let drawn = driver.draw();
        let rgb = drawn.buffer().content().iter().filter(|cell| matches!(cell.fg, Color::Rgb(..))).count();
        assert_eq!(rgb > 0, depth == Depth::True, "{depth:?}");
    }
}

#[test]
fn a_sequence_that_was_begun_says_how_it_goes_on() {
    let bind = |keys: &str, action: &str| (keys.to_owned(), Some(action.to_owned()));
    let keys =
        UserKeys::from([("workers".to_owned(), [bind("ctrl-x s", "stop"), bind("ctrl-x x d", "remove")].into())]);
    let settings = Settings { keymap: Keymap::new(&keys).unwrap(), ..settings() };
    let mut driver = Driver::with(settings, 80, 24);
    driver.hear(bay::running());
    driver.keys("ctrl-x");
    let shot = driver.shot();
    assert!(shot.contains("s stop") && shot.contains("x more"), "{shot}");
}

#[test]
fn workers_are_ordered_as_one_likes() {
    let mut snapshot = bay::mixed();
    snapshot.containers[3].started_at = Some(bay::now() - Duration::from_secs(5));
    let mut driver = Driver::of(snapshot, 80, 24);
    let names = |driver: &Driver| driver.model.workers().map(|row| row.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&driver), ["badger", "fox", "owl"]);
    driver.keys("o o");
    assert_eq!(names(&driver), ["badger", "fox", "owl"]);
    assert!(driver.shot().contains("workers by state"));
    driver.keys("o");
    assert_eq!(names(&driver)[0], "owl");
    // The selection stays with its worker.
    assert_eq!(driver.model.lists.worker.as_deref(), Some("badger"));
}

#[test]
fn a_new_worker_is_seen_whatever_the_filter() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("/ o w l enter");
    let reply = SpawnReply {
        id: "wren0123".to_owned(),
        name: "wren".to_owned(),
        host_port: None,
        claimed: false,
        notes: Vec::new(),
    };
    driver.send(Msg::Spawned(Ok(reply)));
    let mut snapshot = bay::running();
    snapshot.containers.push(bay::worker("wren", State::Running, None));
    driver.hear(snapshot);
    assert_eq!(driver.model.selected_worker().map(|row| row.name.as_str()), Some("wren"));
}

#[test]
fn what_is_wrong_in_the_form_is_said_in_full() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("N");
    driver.text(&"-bad name!".repeat(7));
    driver.keys("enter");
    let podbay::tui::model::overlay::Overlay::Form(form) = driver.model.overlay.as_ref().unwrap() else { panic!() };
    let (_, why) = form.error.clone().unwrap();
    let shot = driver.shot();
    // Broken at the box's edge, so word by word.
    for word in why.split(|c: char| !c.is_alphabetic()) {
        assert!(shot.contains(word), "{word:?} of {why:?} is missing:\n{shot}");
    }
    assert!(why.len() > 60, "{why:?} is too short to show it");
}

#[test]
fn who_ended_with_a_failure_is_red() {
    let snapshot = |code: &str| {
        let mut snapshot = bay::running();
        let reason = format!("exited with code {code}");
        snapshot.containers[2] = bay::worker("fox", State::Exited, Some(&reason));
        Driver::of(snapshot, 80, 24)
    };
    let red = |driver: &Driver| {
        driver.draw().buffer().content().iter().any(|cell| cell.symbol() == "○" && cell.fg == Color::Red)
    };
    assert!(red(&snapshot("127 (the command was not found)")));
    assert!(!red(&snapshot("0 (done)")));
}

#[test]
fn a_list_in_a_dialog_is_gone_through_with_the_keys_of_every_list() {
    let mut driver = Driver::of(bay::running(), 80, 24);
    let shown = |driver: &Driver| driver.model.settings.theme.clone();
    driver.keys(":");
    driver.text("theme");
    driver.keys("enter");
    let first = shown(&driver);
    driver.keys("j");
    let second = shown(&driver);
    driver.keys("k");
    assert!(first != second && shown(&driver) == first);
}
