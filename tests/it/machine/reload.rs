//! Another configuration: what is taken, what is said, and what needs a new supervisor.

use std::sync::Arc;

use podbay::api::types::Reloaded;
use podbay::bay::isolation::Isolation;
use podbay::config::Config;
use podbay::supervisor::event::{Command, Effect, Event, Reply};

use super::pool::{POOLED, claim, filled};
use super::world::World;
use super::{bay, refused};

fn reload(world: &mut World, toml: &str) -> Reloaded {
    let config = Arc::new(Config::parse("podbay.toml", toml).unwrap());
    world.config = config.clone();
    let id = world.command(Command::Reload(Ok(config)));
    match world.answers.get(&id).cloned().or_else(|| {
        world.settle();
        world.answers.get(&id).cloned()
    }) {
        Some(Reply::Reloaded(reloaded)) => reloaded,
        other => panic!("not reloaded: {other:?}"),
    }
}

fn troubles(world: &World) -> Vec<String> {
    world.view().status.troubles
}

#[test]
fn only_what_changed_is_said_and_nothing_that_runs_is_touched() {
    let mut world = bay(&["fox", "owl"]);
    let steps = world.steps.len();
    let same = reload(&mut world, "[worker.limits]\nmemory = '8g'\n");
    assert_eq!((same.text.as_str(), same.changes.len(), same.notes.len()), ("the configuration is unchanged", 0, 0));

    let read = reload(&mut world, "parent.ports = []\n[worker.limits]\nmemory = '4g'\n");
    assert_eq!(
        read.changes,
        [
            "~ parent: ports [\"127.0.0.1:3000-3009:3000-3009\"] -> []",
            "~ template default: limits.memory \"8g\" -> \"4g\"",
        ]
    );
    assert_eq!(
        read.notes,
        [
            "the parent is as it was made: `podbay refresh parent` makes it anew and repairs its workers",
            "as they were made: fox owl; `podbay refresh fox owl` makes them anew",
        ]
    );
    assert!(!read.needs_restart && troubles(&world).is_empty());
    world.pass(30);
    assert_eq!(world.steps.len(), steps, "{:?}", &world.steps[steps..]);
    assert!(world.view().history.iter().any(|line| line.text.contains("limits.memory")));
    // What only the supervisor heeds needs no new worker.
    let read = reload(&mut world, "parent.ports = []\nworker.refresh.max_age = '1h'\n[worker.limits]\nmemory = '4g'\n");
    assert_eq!(read.notes.len(), 0, "{read:?}");
}

#[test]
fn a_template_that_is_gone_keeps_its_workers() {
    let claude = "[[template]]\nname = 'claude'\n";
    let mut world = World::new(claude);
    world.settle();
    let request = serde_json::from_str(r#"{"name": "fox", "template": "claude"}"#).unwrap();
    world.spawn_with(request);
    world.settle();
    let read = reload(&mut world, "");
    assert_eq!(read.changes, ["- template claude"]);
    assert!(read.notes[0].starts_with("fox: made by template claude, which is gone"), "{read:?}");
    assert_eq!(world.row("fox").state.as_str(), "running");
}

/// What is suggested works: nobody can refresh a warm worker, and nobody has to.
#[test]
fn a_changed_template_says_what_becomes_of_its_warm_workers() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    world.pass(5);
    let read = reload(&mut world, &POOLED.replace("[\"agent\"]", "[\"other\"]"));
    assert_eq!(
        read.notes,
        ["as they were made: fox; `podbay refresh fox` makes them anew; the warm workers of pool pooled are replaced \
          one by one"]
    );
    let read = reload(&mut world, "");
    assert_eq!(read.notes, ["fox: made by template pooled, which is gone: it can run on, and not be made anew"]);
}

#[test]
fn a_file_that_can_not_be_read_changes_nothing_and_is_said_until_it_is_mended() {
    let mut world = bay(&["fox"]);
    let before = world.machine.config().clone();
    let why = "podbay.toml:3:1: worker: unknown key";
    for _ in 0..3 {
        let id = world.command(Command::Reload(Err(why.to_owned())));
        world.settle();
        assert_eq!(refused(&world, id), ("invalid".to_owned(), why.to_owned()));
    }
    assert!(Arc::ptr_eq(&before, world.machine.config()));
    assert_eq!(troubles(&world), [format!("{why}; the configuration stays as it was")]);
    let said = world.view().history.iter().filter(|line| line.text.contains(why)).count();
    assert_eq!(said, 1, "said once, not at each try");
    reload(&mut world, "");
    assert_eq!(troubles(&world).len(), 0);

    let other = Config::parse("podbay.toml", "bay.name = 'other'").unwrap();
    let id = world.command(Command::Reload(Ok(Arc::new(other))));
    world.settle();
    assert!(refused(&world, id).1.contains("is of bay \"other\""));
}

#[test]
fn another_engine_needs_a_new_supervisor_once_one_has_answered() {
    let mut world = bay(&["fox"]);
    let elsewhere = "engine.host = 'unix:///elsewhere.sock'\n[worker.limits]\nmemory = '4g'\n";
    for _ in 0..2 {
        let read = reload(&mut world, elsewhere);
        assert!(read.needs_restart && read.notes.iter().any(|note| note.contains("podbay up")), "{read:?}");
        assert_eq!(world.machine.config().engine.host, "");
        assert_eq!(world.machine.config().worker.limits.memory.to_string(), "4g", "the rest is taken");
        assert!(troubles(&world)[0].contains("[engine] changed"), "{:?}", troubles(&world));
    }
    assert!(!reload(&mut world, "").needs_restart);
    assert_eq!(troubles(&world).len(), 0);
    // Who said another level reads from the answer that it is not had yet.
    let read = reload(&mut world, "engine.isolation = 'none'");
    assert_eq!((read.needs_restart, read.isolation), (true, Some(Isolation::Namespaces)));
}

#[test]
fn an_engine_that_never_answered_is_looked_for_where_the_file_now_says() {
    let mut world = World::new("engine.host = 'unix:///typo.sock'");
    world.away = true;
    world.settle();
    let config = Config::parse("podbay.toml", "engine.host = 'unix:///right.sock'").unwrap();
    let event = Event::Command(podbay::supervisor::event::CommandId(99), Command::Reload(Ok(Arc::new(config))));
    let effects = world.machine.handle(event, world.now());
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Connect)), "{effects:?}");
    assert_eq!(world.machine.config().engine.host, "unix:///right.sock");
    assert_eq!(world.view().status.engine.endpoint, "unix:///right.sock");
}

#[test]
fn where_the_api_listens_is_taken_at_the_beginning() {
    let mut world = bay(&[]);
    let listens = "api.listen = '127.0.0.1:8080'";
    assert!(reload(&mut world, listens).needs_restart);
    assert!(reload(&mut world, listens).needs_restart, "still");
    assert!(!reload(&mut world, "").needs_restart);
}
