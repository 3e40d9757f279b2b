//! Native services: what is wanted of them is kept through every death, and whoever asks gets an answer.

use std::sync::Arc;

use podbay::api::types::{DownRequest, ServiceVerb};
use podbay::config::Config;
use podbay::service::protocol::RunState;
use podbay::supervisor::event::{Command, Effect, Event, Reply, ServiceEffect, ServiceEvent};
use podbay::supervisor::machine::Which;

use super::world::World;
use super::{done, refused};

pub fn table(name: &str, extra: &str) -> String {
    format!("[[service]]\nname = '{name}'\nrun = 'host'\nreason = 'native-api'\ncommand = ['true']\n{extra}\n")
}

const PROBED: &str = "[service.ready]\ntcp = '127.0.0.1:1'\ninterval = '1s'\nretries = 3\n";

pub fn ask(world: &mut World, name: &str, verb: ServiceVerb) -> u64 {
    world.command(Command::Service { target: name.to_owned(), verb })
}

pub fn act(world: &mut World, name: &str, verb: ServiceVerb) -> u64 {
    let id = ask(world, name, verb);
    world.settle();
    id
}

pub fn up(world: &mut World) -> u64 {
    let id = world.command(Command::Up { gently: false });
    world.settle();
    id
}

pub fn down(world: &mut World) -> u64 {
    let id = world.command(Command::Down(DownRequest { workers: true, supervisor_only: false }));
    world.settle();
    id
}

pub fn begun(toml: &str) -> World {
    let mut world = World::new(toml);
    world.settle();
    up(&mut world);
    world
}

pub fn reload(world: &mut World, toml: &str) {
    let config = Arc::new(Config::parse("podbay.toml", toml).unwrap());
    world.config = config.clone();
    world.command(Command::Reload(Ok(config)));
    world.settle();
}

pub fn state(world: &World, name: &str) -> String {
    let row = world.service(name);
    row.reason.map_or(row.state.clone(), |reason| format!("{}: {reason}", row.state))
}

#[test]
fn a_service_comes_up_stops_and_goes_with_the_bay() {
    let mut world = begun(&table("web", ""));
    assert_eq!(state(&world, "web"), "running");
    let id = act(&mut world, "web", ServiceVerb::Stop);
    assert_eq!((done(&world, id), world.service("web").state), ("stopped".to_owned(), "stopped".to_owned()));
    let id = act(&mut world, "web", ServiceVerb::Restart);
    assert_eq!((done(&world, id), state(&world, "web")), ("restarted".to_owned(), "running".to_owned()));
    let id = down(&mut world);
    assert_eq!(done(&world, id), "the bay is down");
    assert!(!world.shim("web").alive);
}

#[test]
fn nobody_starts_anything_in_a_bay_that_is_going_down() {
    let mut world = begun(&table("web", ""));
    let down = world.command(Command::Down(DownRequest { workers: true, supervisor_only: false }));
    let start = ask(&mut world, "web", ServiceVerb::Restart);
    let up = world.command(Command::Up { gently: false });
    let stop = ask(&mut world, "web", ServiceVerb::Stop);
    world.settle();
    assert_eq!((refused(&world, start).0, refused(&world, up).0), ("busy".to_owned(), "busy".to_owned()));
    assert_eq!((done(&world, stop), done(&world, down)), ("stopped".to_owned(), "the bay is down".to_owned()));
}

/// A `down` that has ended the services and waits for the engine's first answer goes on all the same.
#[test]
fn a_bay_goes_down_also_while_it_waits_for_the_engine() {
    let mut world = World::new(&table("web", ""));
    let down = || Command::Down(DownRequest { workers: true, supervisor_only: false });
    let first = world.command(down());
    // The shims are known, and there are none; what the engine has is not.
    world.perform_one();
    let start = ask(&mut world, "web", ServiceVerb::Start);
    let again = world.command(down());
    world.pass(150);
    assert_eq!((refused(&world, start).0, refused(&world, again).0), ("busy".to_owned(), "busy".to_owned()));
    assert_eq!(done(&world, first), "the bay is down");
    // Whoever ends it otherwise leaves nobody without an answer.
    let mut world = begun(&table("web", ""));
    let down = world.command(down());
    world.event(Event::Terminate);
    world.settle();
    assert_eq!(refused(&world, down).0, "busy");
}

/// What was found out about one run is no reason to end the next, which may have begun before that is told.
#[test]
fn a_verdict_on_a_run_ends_no_later_one() {
    let live = "live = { exec = [\"true\"], interval = \"5s\", retries = 1, start_period = \"0s\" }";
    let mut world = begun(&table("web", &format!("backoff = {{ initial = \"0s\" }}\n{live}")));
    let run = world.shim("web").status.run;
    let (name, result) = ("web".parse().unwrap(), Err("connection reset".to_owned()));
    world.event(Event::Service(ServiceEvent::Probed { name, run, which: Which::Live, result }));
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::Service(ServiceEffect::Tell { .. }))));
    world.end_service("web", 1);
    world.tick_shims();
    assert_eq!(world.shim("web").status.run, run + 1);
    world.settle();
    world.pass(3);
    assert_eq!((world.shim("web").status.run, world.service("web").state), (run + 1, "running".to_owned()));
    assert_eq!(world.service("web").last_exit.as_deref(), Some("exited with code 1"));
}

/// A status tells of the last order alone; here an order that nobody waits for follows one that somebody does.
#[test]
fn an_order_that_nobody_waits_for_hides_no_other() {
    let mut world = begun(&table("web", PROBED));
    assert_eq!(world.service("web").ready, Some(true));
    world.shims.probes.insert("web".to_owned(), "refused".to_owned());
    for _ in 0..4 {
        world.pass(1);
    }
    assert_eq!(world.service("web").ready, Some(false));
    // Ready again, told at the same moment as the stop.
    world.shims.probes.clear();
    let id = ask(&mut world, "web", ServiceVerb::Stop);
    let name: podbay::bay::name::Name = "web".parse().unwrap();
    let order = podbay::service::protocol::Order::Ready(true);
    let told = |effect: &Effect| match effect {
        Effect::Service(ServiceEffect::Tell { told, .. }) => Some(told.id),
        _ => None,
    };
    let last = world.effects.iter().filter_map(told).max().unwrap();
    let told = Box::new(podbay::service::protocol::Told::new(last + 1, order));
    world.effects.push_back(Effect::Service(ServiceEffect::Tell { name, told }));
    world.settle();
    assert_eq!(done(&world, id), "stopped");
    let id = act(&mut world, "web", ServiceVerb::Start);
    assert_eq!(done(&world, id), "started");
    // Every order has a number of its own: one that repeats 0 would be taken for none.
    reload(&mut world, &table("web", "restart = 'always'"));
    assert_ne!(world.shim("web").status.last_order, 0);
}

#[test]
fn an_order_counts_from_what_an_earlier_clock_gave() {
    let mut world = begun(&table("web", ""));
    world.shim("web").status.last_order = u64::MAX - 1000;
    world.crash();
    world.settle();
    world.shims.deaf.insert("web".to_owned());
    let id = act(&mut world, "web", ServiceVerb::Stop);
    assert!(!world.answers.contains_key(&id), "nothing was carried out yet");
}

#[test]
fn a_shim_that_is_told_to_end_by_somebody_costs_a_run_and_no_more() {
    let mut world = begun(&(table("web", "restart = 'always'") + &table("once", "restart = 'no'")));
    for name in ["web", "once"] {
        world.terminate_shim(name);
        world.settle();
        world.pass(5);
    }
    assert_eq!(world.service("web").state, "running");
    assert_eq!(state(&world, "once"), "failed: went down with what held it, unseen");
    // Also while nobody looks.
    world.crash();
    world.terminate_shim("web");
    world.settle();
    world.pass(5);
    assert_eq!(world.service("web").state, "running");
}

#[test]
fn a_start_while_the_stop_is_under_way_is_a_start() {
    let mut world = begun(&table("web", ""));
    ask(&mut world, "web", ServiceVerb::Stop);
    let id = ask(&mut world, "web", ServiceVerb::Start);
    world.settle();
    assert_eq!((done(&world, id), state(&world, "web")), ("started".to_owned(), "running".to_owned()));
}

#[test]
fn who_waits_for_a_service_that_never_gets_ready_is_told_why() {
    let mut world = World::new(
        &(table("db", PROBED)
            + &table("web", "depends_on = { db = 'ready' }")
            + &table("ui", "depends_on = { web = 'started' }")),
    );
    world.settle();
    world.shims.probes.insert("db".to_owned(), "connection refused".to_owned());
    let id = act(&mut world, "ui", ServiceVerb::Start);
    world.pass(1);
    assert!(!world.answers.contains_key(&id), "its probe has tries left");
    world.pass(5);
    let why = "it waits for web to start, which has not been started yet (waits for db to be ready, which runs \
               (not ready: connection refused";
    assert!(refused(&world, id).1.starts_with(why), "{:?}", refused(&world, id));
    // It is still wanted, and comes as soon as it can.
    world.shims.probes.clear();
    world.pass(3);
    assert_eq!((world.service("web").state, world.service("ui").state), ("running".into(), "running".into()));
}

#[test]
fn who_waits_for_something_that_takes_very_long_is_told_after_a_while() {
    let jobs = table("job", "restart = 'no'") + &table("web", "depends_on = { job = 'exited' }");
    let mut world = World::new(&jobs);
    world.settle();
    let id = act(&mut world, "web", ServiceVerb::Start);
    world.pass(100);
    assert!(!world.answers.contains_key(&id));
    world.pass(30);
    assert_eq!(
        refused(&world, id).1,
        "it still waits for job to end with success, which is ready, after 2m; it starts by itself once that is so"
    );
    world.end_service("job", 0);
    world.settle();
    assert_eq!(world.service("web").state, "running");
}

#[test]
fn a_shim_that_carries_nothing_out_is_no_reason_to_wait_for_ever() {
    let mut world = begun(&table("web", ""));
    world.shims.deaf.insert("web".to_owned());
    let id = act(&mut world, "web", ServiceVerb::Stop);
    world.pass(50);
    assert!(!world.answers.contains_key(&id));
    world.pass(15);
    assert!(refused(&world, id).1.contains("has not carried out"), "{:?}", refused(&world, id));
    let id = down(&mut world);
    world.pass(1);
    assert!(refused(&world, id).1.contains("has not carried out"), "{:?}", refused(&world, id));
}

/// Killed after so many effects of a restart, whatever they were: it is restarted once, and the command's end is seen.
#[test]
fn a_restart_survives_the_supervisor() {
    for after in 0..12 {
        let mut world = begun(&table("web", ""));
        let run = world.shim("web").status.run;
        ask(&mut world, "web", ServiceVerb::Restart);
        for _ in 0..after {
            world.perform_one();
        }
        let saved = world.disk.services_due.len();
        world.crash();
        world.settle();
        world.pass(2);
        let runs = world.shim("web").status.run - run;
        assert_eq!(state(&world, "web"), "running", "after {after}");
        assert!(runs == 1 || (saved == 0 && runs == 0), "{runs} more runs, killed after {after}");
        let id = act(&mut world, "web", ServiceVerb::Start);
        assert_eq!(done(&world, id), "started");
    }
}

#[test]
fn a_start_of_what_failed_survives_the_supervisor_and_is_done_once() {
    for after in 0..12 {
        let mut world = begun(&table("web", "restart = 'no'"));
        world.end_service("web", 1);
        world.settle();
        assert_eq!(world.service("web").state, "failed");
        let run = world.shim("web").status.run;
        ask(&mut world, "web", ServiceVerb::Start);
        for _ in 0..after {
            world.perform_one();
        }
        // What is not on the disk was never accepted.
        let accepted = after > 0;
        let finished = world.shim("web").status.run > run;
        world.crash();
        if finished {
            world.end_service("web", 0);
        }
        world.settle();
        world.pass(2);
        let runs = world.shim("web").status.run - run;
        assert_eq!(runs, u64::from(accepted), "killed after {after}: {}", state(&world, "web"));
    }
}

#[test]
fn what_was_stopped_stays_so_in_a_bay_that_is_down_and_over_every_crash() {
    let mut world = begun(&table("web", "restart = 'always'"));
    act(&mut world, "web", ServiceVerb::Stop);
    world.crash();
    world.pass(2);
    assert_eq!(state(&world, "web"), "stopped: stopped by request", "a crash is no reason");
    down(&mut world);
    for reboots in [false, true] {
        if reboots {
            world.reboot();
        } else {
            world.crash();
        }
        world.pass(2);
        assert_eq!(world.service("web").state, "stopped", "the bay is down");
    }
}

#[test]
fn after_a_reboot_what_always_runs_does_in_a_bay_that_is_up() {
    let mut world = begun(&(table("web", "restart = 'always'") + &table("db", "")));
    act(&mut world, "web", ServiceVerb::Stop);
    act(&mut world, "db", ServiceVerb::Stop);
    world.reboot();
    world.pass(2);
    assert_eq!((world.service("web").state, world.service("db").state), ("running".into(), "stopped".into()));
    act(&mut world, "web", ServiceVerb::Stop);
    world.crash();
    world.pass(2);
    assert_eq!(world.service("web").state, "stopped");
}

#[test]
fn what_a_killed_shim_left_is_said_with_its_pids_until_it_is_gone() {
    let mut world = begun(&table("web", ""));
    let left = "what an earlier run left can't be ended: pid 7002";
    world.shims.leftovers.insert("web".to_owned(), left.to_owned());
    world.kill_shim("web");
    world.settle();
    assert_eq!(state(&world, "web"), format!("backoff: {left}"));
    let id = act(&mut world, "web", ServiceVerb::Stop);
    world.pass(3);
    assert!(refused(&world, id).1.contains("pid 7002"), "{:?}", refused(&world, id));
    assert_eq!(state(&world, "web"), format!("stopping: {left}"));
    let id = down(&mut world);
    world.pass(3);
    assert!(refused(&world, id).1.contains("pid 7002"), "{:?}", refused(&world, id));
    assert!(!world.exited);
    // Wanted again, it starts as soon as it is gone.
    let id = act(&mut world, "web", ServiceVerb::Start);
    assert!(refused(&world, id).1.contains("pid 7002"), "{:?}", refused(&world, id));
    world.shims.leftovers.clear();
    world.pass(40);
    assert_eq!(state(&world, "web"), "running");
}

#[test]
fn what_a_killed_shim_left_is_swept_once_it_can_be() {
    for crashes in [false, true] {
        let mut world = begun(&table("web", ""));
        world.shims.leftovers.insert("web".to_owned(), "pid 7002".to_owned());
        world.kill_shim("web");
        world.settle();
        act(&mut world, "web", ServiceVerb::Stop);
        if crashes {
            world.crash();
            world.settle();
        }
        world.shims.leftovers.clear();
        world.pass(40);
        assert_eq!(state(&world, "web"), "stopped: stopped by request");
        let id = down(&mut world);
        assert_eq!(done(&world, id), "the bay is down");
        assert!(!world.shim("web").alive);
    }
}

#[test]
fn changed_rules_reach_a_shim_that_was_adopted() {
    let mut world = begun(&table("web", "restart = 'no'"));
    world.config = Arc::new(Config::parse("podbay.toml", &table("web", "restart = 'always'")).unwrap());
    let run = world.shim("web").status.run;
    world.crash();
    world.settle();
    world.end_service("web", 0);
    world.settle();
    world.pass(5);
    assert_eq!((world.service("web").state, world.shim("web").status.run), ("running".into(), run + 1));
}

#[test]
fn a_service_that_is_put_back_is_new() {
    let with = table("web", "");
    for settles in [false, true] {
        let mut world = begun(&with);
        reload(&mut world, &with);
        let config = Arc::new(Config::parse("podbay.toml", "").unwrap());
        world.command(Command::Reload(Ok(config)));
        if settles {
            world.settle();
        }
        reload(&mut world, &with);
        world.pass(2);
        assert_eq!(state(&world, "web"), "running", "settled between: {settles}");
    }
}

/// A service that is started again between the services' part of a `down` and the containers' would outlive it.
#[test]
fn what_is_asked_while_the_bay_goes_down_is_answered() {
    let mut world = begun(&table("web", ""));
    world.command(Command::Down(DownRequest { workers: true, supervisor_only: false }));
    for _ in 0..1000 {
        let start = ask(&mut world, "web", ServiceVerb::Start);
        let again = world.command(Command::Down(DownRequest { workers: true, supervisor_only: false }));
        for id in [start, again] {
            assert!(matches!(world.answers.get(&id), None | Some(Reply::Refused(_))), "{:?}", world.answers.get(&id));
        }
        // The two answers, and a little of the way down.
        for _ in 0..3 {
            world.perform_one();
        }
        if world.exited {
            return;
        }
    }
    panic!("it never ends");
}

mod random {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["db", "web", "job"];

    #[derive(Clone, Copy, Debug)]
    enum Move {
        Act(usize, u8),
        Up(bool),
        Down,
        Crash(u8),
        Reboot,
        Kill(usize),
        Terminate(usize),
        End(usize, i64),
        Refuse(usize, bool),
        Leave(usize, bool),
        Steps(u8),
        Pass(u8),
    }

    fn moves() -> impl Strategy<Value = Move> {
        let one = 0..3_usize;
        prop_oneof![
            6 => (one.clone(), 0..3_u8).prop_map(|(name, verb)| Move::Act(name, verb)),
            2 => any::<bool>().prop_map(Move::Up),
            1 => Just(Move::Down),
            3 => (0..8_u8).prop_map(Move::Crash),
            1 => Just(Move::Reboot),
            2 => one.clone().prop_map(Move::Kill),
            2 => one.clone().prop_map(Move::Terminate),
            2 => (one.clone(), 0..2_i64).prop_map(|(name, code)| Move::End(name, code)),
            1 => (one.clone(), any::<bool>()).prop_map(|(name, yes)| Move::Refuse(name, yes)),
            1 => (one, any::<bool>()).prop_map(|(name, yes)| Move::Leave(name, yes)),
            4 => (0..8_u8).prop_map(Move::Steps),
            3 => (1..20_u8).prop_map(Move::Pass),
        ]
    }

    fn make(world: &mut World, asked: &mut Vec<u64>, a_move: Move) {
        let verbs = [ServiceVerb::Start, ServiceVerb::Stop, ServiceVerb::Restart];
        let there = |world: &World, name: usize| world.shims.by_name.get(NAMES[name]).is_some_and(|shim| shim.alive);
        match a_move {
            Move::Act(name, verb) => asked.push(ask(world, NAMES[name], verbs[usize::from(verb)])),
            Move::Up(gently) => asked.push(world.command(Command::Up { gently })),
            Move::Down => {
                asked.push(world.command(Command::Down(DownRequest { workers: true, supervisor_only: false })));
            }
            Move::Crash(after) => {
                for _ in 0..after {
                    world.perform_one();
                }
                world.crash();
            }
            Move::Reboot => world.reboot(),
            Move::Kill(name) if there(world, name) => world.kill_shim(NAMES[name]),
            Move::Terminate(name) if there(world, name) => world.terminate_shim(NAMES[name]),
            Move::End(name, code) if there(world, name) => world.end_service(NAMES[name], code),
            Move::Kill(_) | Move::Terminate(_) | Move::End(..) => {}
            Move::Refuse(name, true) => drop(world.shims.probes.insert(NAMES[name].to_owned(), "refused".to_owned())),
            Move::Refuse(name, false) => drop(world.shims.probes.remove(NAMES[name])),
            Move::Leave(name, true) => drop(world.shims.leftovers.insert(NAMES[name].to_owned(), "pid 7".to_owned())),
            Move::Leave(name, false) => drop(world.shims.leftovers.remove(NAMES[name])),
            Move::Steps(count) => {
                for _ in 0..count {
                    world.perform_one();
                }
            }
            Move::Pass(seconds) => world.pass(u64::from(seconds)),
        }
        if matches!(a_move, Move::Crash(_) | Move::Reboot) {
            asked.retain(|id| world.answers.contains_key(id));
        }
        if world.exited {
            // Whoever asks next starts another supervisor.
            world.exited = false;
            asked.retain(|id| world.answers.contains_key(id));
            world.crash();
        }
    }

    fn check(moves: Vec<Move>) {
        let mut world = World::new(
            &(table("db", &format!("restart = 'always'\n{PROBED}"))
                + &table("web", "depends_on = { db = 'ready' }\nrestart = 'on-failure'")
                + &table("job", "depends_on = { db = 'started' }\nrestart = 'no'")),
        );
        let mut asked = Vec::new();
        for a_move in moves {
            make(&mut world, &mut asked, a_move);
        }
        world.pass(150);
        for id in &asked {
            assert!(
                world.answers.contains_key(id),
                "command {id} was never answered: {:#?}",
                world.view().status.services
            );
        }
        // What holds things up is mended: then everything comes to where it is wanted, and stays there.
        world.shims.probes.clear();
        world.shims.leftovers.clear();
        if world.exited {
            return;
        }
        let id = up(&mut world);
        world.pass(60);
        assert!(world.answers.contains_key(&id));
        for name in NAMES {
            // Given up for its many starts, or done: both for good, and with words.
            let row = world.service(name);
            let over = matches!(row.state.as_str(), "exited" | "failed") && row.reason.is_some();
            assert!(row.state == "running" || over, "{row:#?}");
        }
        world.event(Event::Command(
            podbay::supervisor::event::CommandId(9_999_999),
            Command::Down(DownRequest { workers: true, supervisor_only: false }),
        ));
        world.pass(60);
        assert!(matches!(world.answers.get(&9_999_999), Some(Reply::Done(_))), "{:#?}", world.view().status.services);
        for (name, shim) in &world.shims.by_name {
            assert!(!shim.alive && shim.status.state != RunState::Running, "{name}: {:?}", shim.status);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
        #[test]
        fn whatever_dies_wishes_are_kept_and_everybody_is_answered(moves in prop::collection::vec(moves(), 0..30)) {
            check(moves);
        }
    }
}
