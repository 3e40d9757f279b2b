//! A worker that takes long to make: how far it is, and that nobody has to wait for it.

use std::time::Duration;

use podbay::api::types::{SpawnRequest, State, Verb};
use podbay::bay::phase::{Phase, Progress};
use podbay::bay::template::Overrides;
use podbay::supervisor::event::{Command, Effect, Event, Reply, StepError, Stepped};
use podbay::workspace::WorkspaceError;

use super::world::World;

fn clone_of(repo: &str, branch: Option<&str>) -> SpawnRequest {
    let overrides =
        Overrides { repo: Some(repo.to_owned()), branch: branch.map(str::to_owned), ..Overrides::default() };
    SpawnRequest { name: Some("fox".to_owned()), overrides, ..SpawnRequest::default() }
}

/// A world in which fox's first step is under way; the step's effect is held back.
fn cloning() -> (World, u64, Effect) {
    let mut world = World::new("");
    world.settle();
    let id = world.spawn_with(clone_of("https://github.com/ann/app", None));
    for _ in 0..1000 {
        if let Some(at) =
            world.effects.iter().position(|effect| matches!(effect, Effect::Step(name, _) if name == "fox"))
        {
            let step = world.effects.remove(at).unwrap();
            return (world, id, step);
        }
        assert!(world.perform_one(), "no step was taken");
    }
    panic!("no step was taken");
}

fn lines(world: &World) -> Vec<String> {
    let history = world.view().history;
    history.into_iter().filter(|line| line.name.as_deref() == Some("fox")).map(|line| line.text).collect()
}

#[test]
fn phases_are_said_and_shown() {
    let (mut world, id, step) = cloning();
    let tell = |world: &mut World, detail: &str, seconds: u64| {
        world.mono += Duration::from_secs(seconds);
        let progress = Progress::new(Phase::Cloning, detail);
        world.event(Event::Progressed { target: "fox".to_owned(), progress });
    };
    tell(&mut world, "a 1%", 0);
    tell(&mut world, "a 2%", 1);
    assert_eq!(world.row("fox").reason.unwrap(), "cloning: a 2%");
    tell(&mut world, "a 9%", 5);
    let said = lines(&world);
    assert!(said.contains(&"cloning: a 1%".to_owned()) && said.contains(&"cloning: a 9%".to_owned()), "{said:?}");
    assert!(!said.contains(&"cloning: a 2%".to_owned()), "{said:?}");
    world.effects.push_back(step);
    world.settle();
    assert!(matches!(world.answers.get(&id), Some(Reply::Spawned(_))));
    assert_eq!(world.row("fox").reason, None);
    let said = lines(&world);
    assert!(said.contains(&"ready".to_owned()));
    assert!(said.contains(&"running".to_owned()) && !said.iter().any(|line| line.starts_with("running: ")), "{said:?}");
}

#[test]
fn a_clone_under_way_can_be_given_up() {
    for verb in [Verb::Stop, Verb::Remove, Verb::Discard] {
        let (mut world, id, step) = cloning();
        let act = world.act("fox", verb);
        assert!(world.effects.iter().any(|effect| matches!(effect, Effect::GiveUp(name) if name == "fox")), "{verb:?}");
        let Effect::Step(target, step) = step else { panic!() };
        let error =
            StepError::Workspace(WorkspaceError { text: "it was given up".to_owned(), hint: None, by_request: true });
        world.event(Event::Stepped(Box::new(Stepped { target, step, result: Err(error), seen: None, certain: false })));
        world.settle();
        assert!(matches!(world.answers.get(&act), Some(Reply::Done(_))), "{verb:?}: {:?}", world.answers.get(&act));
        assert!(matches!(world.answers.get(&id), Some(Reply::Refused(_))), "{verb:?}");
        assert!(!world.view().containers.iter().any(|row| row.name == "fox"), "{verb:?}");
        assert!(world.disk.goals.is_empty() && world.disk.discard.is_empty(), "{verb:?}: {:?}", world.disk);
    }
    // Too late: it was made all the same, and goes.
    let (mut world, _, step) = cloning();
    let act = world.act("fox", Verb::Remove);
    world.effects.push_back(step);
    world.settle();
    assert!(matches!(world.answers.get(&act), Some(Reply::Done(_))));
    assert_eq!(world.containers.len(), 1, "the parent alone");
}

#[test]
fn what_may_be_lost_is_agreed_for_one_removal_alone() {
    let forgotten = |world: &mut World| {
        let mut found = None;
        for _ in 0..1000 {
            if let Some(Effect::ForgetWorker { discard, failed, .. }) = world.effects.front() {
                found = Some((*discard, *failed));
            }
            if !world.perform_one() {
                break;
            }
        }
        found
    };
    for (verb, discard) in [(Verb::Remove, false), (Verb::Discard, true)] {
        let mut world = World::new("");
        world.settle();
        world.spawn_with(clone_of("https://github.com/ann/app", Some("topic")));
        world.settle();
        world.act("fox", verb);
        assert_eq!(forgotten(&mut world), Some((discard, false)), "{verb:?}");
        assert!(world.disk.discard.is_empty());
    }
    // Killed between the yes and the removal: the yes is on the disk with the goal.
    let mut world = World::new("");
    world.settle();
    world.spawn_with(clone_of("https://github.com/ann/app", None));
    world.settle();
    world.act("fox", Verb::Discard);
    world.perform_one();
    world.crash();
    assert_eq!(forgotten(&mut world), Some((true, false)));
}

/// Performs until a worker's directories are to be cleared, and says so.
fn is_to_be_cleared(world: &mut World) -> bool {
    for _ in 0..1000 {
        if matches!(world.effects.front(), Some(Effect::ForgetWorker { .. })) {
            return true;
        }
        if !world.perform_one() {
            return false;
        }
    }
    panic!("no rest");
}

#[test]
fn what_a_removed_worker_leaves_is_cleared_by_the_next_supervisor() {
    let removed = || {
        let mut world = World::new("");
        world.settle();
        world.spawn("fox");
        world.settle();
        world.act("fox", Verb::Remove);
        assert!(is_to_be_cleared(&mut world));
        world
    };
    let mut world = removed();
    world.crash();
    assert!(is_to_be_cleared(&mut world), "{:?}", world.disk.forgetting);
    world.settle();
    assert!(world.disk.forgetting.is_empty());
    world.crash();
    assert!(!is_to_be_cleared(&mut world), "once");
    // Of a name that is taken again, the directories are in use.
    let mut world = removed();
    world.spawn("fox");
    world.effects.retain(|effect| !matches!(effect, Effect::ForgetWorker { .. }));
    while world.disk.goals.is_empty() {
        assert!(world.perform_one());
    }
    world.crash();
    assert!(!is_to_be_cleared(&mut world));
    assert!(world.disk.forgetting.is_empty() && world.named("fox").is_some());
}

#[test]
fn what_can_not_be_cloned_is_refused_before_anything_is_made() {
    let mut world = World::new("");
    world.settle();
    for (repo, branch, word) in [
        ("https://x:hunter2@github.com/ann/app", None, "[git] tokens"),
        ("ext::sh -c id", None, "is not a repository"),
        ("https://github.com/ann/app", Some("--upload-pack=x"), "is not a branch's name"),
    ] {
        let id = world.spawn_with(clone_of(repo, branch));
        world.settle();
        let Some(Reply::Refused(error)) = world.answers.get(&id) else { panic!("{repo}") };
        assert!(
            error.code == "invalid" && error.message.contains(word) && !error.message.contains("hunter2"),
            "{error:?}"
        );
    }
    let branch = SpawnRequest {
        overrides: Overrides { branch: Some("topic".to_owned()), ..Overrides::default() },
        ..SpawnRequest::default()
    };
    let id = world.command(Command::Spawn(Box::new(branch)));
    world.settle();
    assert!(matches!(world.answers.get(&id), Some(Reply::Refused(error)) if error.message.contains("--repo")));
    assert!(world.containers.is_empty() && world.disk.goals.is_empty());
    assert!(!world.view().containers.iter().any(|row| row.state == State::Creating));
}

#[test]
fn an_image_that_can_not_be_is_refused() {
    for (toml, word) in [
        ("", "no setup command"),
        ("[worker]\nsetup = \"npm ci\"", "the host image has nothing of its own to keep"),
        ("[worker]\nsetup = \"npm ci\"\nimage = \"node:22\"", ""),
    ] {
        let mut world = World::new(toml);
        world.settle();
        let overrides = Overrides { rebuild: true, ..clone_of("https://github.com/ann/app", None).overrides };
        let id = world.spawn_with(SpawnRequest { overrides, ..SpawnRequest::default() });
        world.settle();
        match world.answers.get(&id) {
            Some(Reply::Spawned(_)) => assert_eq!(word, "", "{toml}"),
            Some(Reply::Refused(error)) => {
                assert!(!word.is_empty() && error.message.contains(word), "{toml}: {error:?}");
            }
            other => panic!("{toml}: {other:?}"),
        }
    }
}
