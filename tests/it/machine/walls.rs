//! How far workers are kept apart, and what their engine can't do: said wherever it matters, and kept to.

use podbay::api::types::{State, Verb, Why};
use podbay::bay::isolation::Isolation;
use podbay::engine::{EngineError, Limitation};
use podbay::supervisor::event::{Command, Event, Reply};

use super::pool::{POOLED, claim, pool, spawned};
use super::world::World;

const OTHER: &str = "runs with isolation none until it is restarted";

fn limit(what: &str) -> Limitation {
    Limitation { what: what.to_owned(), why: format!("why {what}") }
}

/// A bay of the local engine at this level.
fn local(toml: &str, isolation: Isolation) -> World {
    let mut world = World::new(toml);
    world.engine.kind = "local";
    world.engine.isolation = isolation;
    world.engine.limits = ["walls", "limit of CPU", "limit of memory", "hostname"].map(limit).to_vec();
    world.pass(3);
    world
}

/// Another supervisor, of another level.
fn handed_over(world: &mut World, isolation: Isolation) {
    world.engine.isolation = isolation;
    world.crash();
    world.settle();
}

fn why(world: &mut World, name: &str) -> Why {
    let id = world.command(Command::Why(name.to_owned()));
    world.settle();
    match world.answers.remove(&id) {
        Some(Reply::Why(why)) => *why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_runs_keeps_its_walls_until_it_is_restarted_and_says_so() {
    let mut world = local("", Isolation::None);
    world.spawn("fox");
    world.settle();
    let row = world.row("fox");
    assert_eq!((row.isolation, row.reason), (Some(Isolation::None), None), "what is as the bay is needs no word");
    handed_over(&mut world, Isolation::Namespaces);
    world.spawn("owl");
    world.settle();
    for name in ["fox", "parent"] {
        let row = world.row(name);
        assert_eq!((row.state, row.isolation), (State::Running, Some(Isolation::None)), "{name}");
        assert_eq!(row.reason.as_deref(), Some(OTHER), "{name}");
        let why = why(&mut world, name);
        assert_eq!((why.reason.as_deref(), why.isolation), (Some(OTHER), Some(Isolation::None)), "{name}");
        assert_eq!(why.limits, Vec::<String>::new(), "those that are known are of another level");
    }
    assert_eq!((world.row("owl").isolation, world.row("owl").reason), (Some(Isolation::Namespaces), None));
    world.act("fox", Verb::Restart);
    world.settle();
    assert_eq!((world.row("fox").isolation, world.row("fox").reason), (Some(Isolation::Namespaces), None));
}

#[test]
fn a_warm_worker_of_other_walls_is_not_handed_out() {
    let mut world = local(POOLED, Isolation::None);
    assert_eq!(pool(&world).warm, 3);
    world.engine.isolation = Isolation::Namespaces;
    world.crash();
    world.settle();
    let id = claim(&mut world, "fox");
    world.settle();
    let reply = spawned(&world, id);
    assert_eq!(world.row("fox").isolation, Some(Isolation::Namespaces), "{reply:?}");
    world.pass(60);
    assert_eq!(pool(&world).warm, 3);
    let walls: Vec<_> = world.view().containers.iter().map(|row| (row.name.clone(), row.isolation)).collect();
    let others = |(name, walls): &&(String, Option<Isolation>)| name != "parent" && *walls == Some(Isolation::None);
    assert_eq!(walls.iter().find(others), None, "all of them are made anew: {walls:?}");
}

#[test]
fn why_says_what_the_engine_leaves_out_of_what_was_asked_for() {
    let mut world = local("worker.limits.memory = '0'\n", Isolation::None);
    world.spawn("fox");
    world.settle();
    let fox = why(&mut world, "fox");
    assert_eq!(fox.isolation, Some(Isolation::None));
    assert_eq!(fox.limits, ["walls: why walls", "limit of CPU: why limit of CPU"], "memory was not asked for");
    assert_eq!(why(&mut world, "parent").limits.len(), 4, "of the bay, all of them");
    world.act("fox", Verb::Stop);
    world.settle();
    let stopped = why(&mut world, "fox");
    assert_eq!((stopped.isolation, stopped.limits.len()), (None, 0), "what does not run has no walls");
}

#[test]
fn why_says_it_of_a_service_in_a_container_too_and_not_of_a_native_one() {
    let toml = "[[service]]\nname = \"db\"\nimage = \"host\"\ncommand = [\"db\"]\n\n\
                [[service]]\nname = \"clock\"\nrun = \"host\"\nreason = \"stdio\"\ncommand = [\"sleep\", \"60\"]\n";
    let mut world = local(toml, Isolation::None);
    world.command(Command::Up { gently: false });
    world.settle();
    let db = why(&mut world, "db");
    assert_eq!(db.isolation, Some(Isolation::None), "{db:?}");
    assert_eq!(db.limits, ["walls", "limit of CPU", "limit of memory"].map(|what| format!("{what}: why {what}")));
    let clock = why(&mut world, "clock");
    assert_eq!((clock.isolation, clock.limits.len()), (None, 0), "{clock:?}");
}

#[test]
fn why_without_the_engine_says_what_keeps_it_away_and_what_helps() {
    let mut world = World::new("engine.kind = 'local'\n");
    world.away = true;
    world.settle();
    let (endpoint, words) = ("local://namespaces".to_owned(), "make a user namespace: Operation not permitted");
    let refused = |weaker| match weaker {
        Some(weaker) => EngineError::NoWalls { endpoint: endpoint.clone(), why: words.to_owned(), weaker },
        None => EngineError::Away { endpoint: endpoint.clone(), why: words.to_owned() },
    };
    for (weaker, helps) in [(Some(Isolation::Landlock), "`podbay --isolation landlock up`"), (None, "`podbay doctor`")]
    {
        world.event(Event::Connected { endpoint: Some(endpoint.clone()), answer: Err(refused(weaker)) });
        let parent = why(&mut world, "parent");
        assert!(parent.reason.as_ref().is_some_and(|reason| reason.contains(words)), "{parent:?}");
        assert!(parent.hint.as_ref().is_some_and(|hint| hint.contains(helps)), "{parent:?}");
    }
}

#[test]
fn the_level_that_is_wanted_is_known_before_the_engine_answers() {
    for (toml, endpoint, wanted) in [
        ("", None, Isolation::Namespaces),
        ("", Some("unix:///var/run/docker.sock"), Isolation::Container),
        ("engine.host = 'tcp://box:2375'", None, Isolation::Container),
        ("engine.kind = 'docker'", None, Isolation::Container),
        ("engine.kind = 'local'\nengine.isolation = 'none'", None, Isolation::None),
        ("engine.isolation = 'landlock'", Some("local://landlock"), Isolation::Landlock),
    ] {
        let mut world = World::new(toml);
        world.away = true;
        if let Some(endpoint) = endpoint {
            let away = EngineError::Away { endpoint: endpoint.to_owned(), why: "x".to_owned() };
            world.event(Event::Connected { endpoint: Some(endpoint.to_owned()), answer: Err(away) });
        }
        let engine = world.view().status.engine;
        assert_eq!((engine.isolation, engine.wanted), (None, Some(wanted)), "{toml} {endpoint:?}");
        assert_eq!(engine.level(), Some(format!("{wanted} wanted")));
    }
}

/// Of what an engine does not do, that alone is told which somebody asked for.
#[test]
fn what_is_not_asked_for_is_not_missed() {
    use podbay::bay::limit::{touches, what};
    use podbay::bay::template::{NetworkMode, SshMode};
    use podbay::config::Config;
    let asking = Config::defaults().unwrap().worker;
    let mut modest = asking.clone();
    (modest.limits.cpus, modest.limits.pids, modest.limits.memory_reservation) = (0.0, 0, None);
    modest.limits.memory = podbay::bay::size::ByteSize::bytes(0);
    (modest.network, modest.ssh) = (NetworkMode::None, SshMode::None);
    (modest.mounts, modest.secrets) = (Vec::new(), Vec::new());
    "unconfined".clone_into(&mut modest.hardening.seccomp);
    let both = [
        (what::CPU, true, false),
        (what::MEMORY, true, false),
        ("memory limit", true, false),
        (what::PROCESSES, true, false),
        (what::RESOURCES, true, false),
        (what::RESERVATION, false, false),
        (what::SECCOMP, true, false),
        (what::SHARED, true, false),
        (what::BRIDGE, false, false),
        (what::MOUNTS, true, false),
        (what::SOCKETS, true, false),
        (what::WALLS, true, true),
        (what::IMAGES, false, false),
        ("hostname", false, false),
    ];
    for (what, by_asking, by_modest) in both {
        assert_eq!((touches(what, &asking), touches(what, &modest)), (by_asking, by_modest), "{what}");
    }
}
