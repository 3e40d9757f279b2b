//! The cases that process-compose documents, as tables: what is waited for, and what follows an end. Its words for them
//! stand in the first column; `exit_on_failure`, `exit_on_end` and `exit_on_skipped` have no counterpart: no service takes
//! the bay with it, `up` says what failed instead.

use podbay::api::types::ServiceVerb;
use podbay::service::oom::Clue;
use podbay::service::protocol::RunState;

use super::services::{act, begun, down, state, table, up};
use super::world::World;
use super::{done, refused};

/// Something happens to the service that is waited for.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It ends with this code.
    Ends(i64),
    /// Its probe passes from now on.
    Passes,
    /// Its probe fails from now on.
    Fails,
    /// Somebody does this with it.
    Asked(ServiceVerb),
    /// So many seconds pass.
    Passed(u64),
}

fn happen(world: &mut World, then: Then) {
    match then {
        Then::Ends(code) => world.end_service("dep", code),
        Then::Passes => drop(world.shims.probes.remove("dep")),
        Then::Fails => drop(world.shims.probes.insert("dep".to_owned(), "refused".to_owned())),
        Then::Asked(verb) => drop(act(world, "dep", verb)),
        Then::Passed(seconds) => world.pass(seconds),
    }
    world.settle();
    world.pass(2);
}

const TCP: &str = "[service.ready]\ntcp = '127.0.0.1:1'\ninterval = '1s'\nretries = 2\n";
const LOG: &str = "[service.ready]\nlog = 'is up'\ninterval = '1s'\nretries = 2\n";

#[test]
fn what_is_waited_for_is_a_table() {
    use ServiceVerb::{Start, Stop};
    use Then::{Asked, Ends, Fails, Passed, Passes};
    let waits = |rest: &str| format!("waiting: waits for dep {rest}");
    let starts = "`podbay service start dep` starts it";
    let once = "restart = 'no'\n";
    let on_failure = "restart = 'on-failure'\nbackoff = { initial = '1s', max = '1s' }\n";
    let rows: Vec<(&str, &str, String, &[Then], String)> = vec![
        ("process_started", "started", String::new(), &[], "running".into()),
        ("process_started, not healthy", "started", TCP.into(), &[Fails], "running".into()),
        ("process_started, has ended well", "started", once.into(), &[Ends(0)], "running".into()),
        ("process_healthy, no probe", "ready", String::new(), &[], "running".into()),
        ("process_healthy, not yet", "ready", TCP.into(), &[Passed(1)], waits("to be ready, which runs")),
        ("process_healthy, then healthy", "ready", TCP.into(), &[Passed(5), Passes], "running".into()),
        (
            "process_healthy, stopped before it was",
            "ready",
            TCP.into(),
            &[Asked(Stop)],
            waits(&format!("to be ready, which was stopped; {starts}")),
        ),
        (
            "process_healthy, stopped and started",
            "ready",
            TCP.into(),
            &[Asked(Stop), Passes, Asked(Start)],
            "running".into(),
        ),
        ("process_log_ready, not yet", "ready", LOG.into(), &[Passed(1)], waits("to be ready, which runs")),
        ("process_log_ready, then said", "ready", LOG.into(), &[Passes], "running".into()),
        (
            "process_completed_successfully, runs",
            "exited",
            once.into(),
            &[],
            waits("to end with success, which is ready"),
        ),
        ("process_completed_successfully, done", "exited", once.into(), &[Ends(0)], "running".into()),
        (
            "process_completed_successfully, failed",
            "exited",
            once.into(),
            &[Ends(1)],
            waits(&format!("to end with success, which failed; {starts}")),
        ),
        (
            "process_completed: another code counts as success",
            "exited",
            format!("{once}success_exit_codes = [0, 3]\n"),
            &[Ends(3)],
            "running".into(),
        ),
        (
            "process_completed_successfully, at the second try",
            "exited",
            on_failure.into(),
            &[Ends(1), Passed(3), Ends(0)],
            "running".into(),
        ),
        (
            "process_completed_successfully, failed and started by hand",
            "exited",
            once.into(),
            &[Ends(1), Asked(Start), Ends(0)],
            "running".into(),
        ),
    ];
    for (case, condition, dep, thens, wanted) in rows {
        let mut world =
            World::new(&(table("dep", &dep) + &table("web", &format!("depends_on = {{ dep = '{condition}' }}"))));
        if dep.contains("service.ready") {
            world.shims.probes.insert("dep".to_owned(), "refused".to_owned());
        }
        world.settle();
        up(&mut world);
        world.pass(1);
        for then in thens {
            happen(&mut world, *then);
        }
        assert_eq!(state(&world, "web"), wanted, "{case}");
    }
}

/// Starts in the order of waiting, side by side where nobody waits; the other way round it stops.
#[test]
fn what_waits_starts_after_and_stops_before() {
    let services = table("web", "depends_on = { api = 'started', log = 'started' }")
        + &table("api", "depends_on = { db = 'ready' }")
        + &table("db", "")
        + &table("log", "");
    let mut world = begun(&services);
    let begins = |world: &World, word: &str| -> Vec<String> {
        let orders = world.shims.orders.iter().filter(|(_, order)| *order == word);
        orders.map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(begins(&world, "start"), ["db", "log", "api", "web"]);
    let id = down(&mut world);
    assert_eq!(done(&world, id), "the bay is down");
    assert_eq!(begins(&world, "stop"), ["web", "log", "api", "db"]);
}

#[test]
fn what_follows_an_end_is_a_table() {
    let failed = |code: u8| format!("failed: exited with code {code}");
    // In process-compose: `availability.restart`, the code, then after a second and after a minute.
    for (restart, code, soon, runs) in [
        ("no", 0, "exited: exited with code 0: done".to_owned(), 1),
        ("no", 1, failed(1), 1),
        ("on-failure", 0, "exited: exited with code 0: done".to_owned(), 1),
        ("on-failure", 1, "backoff: exited with code 1; it is started again".to_owned(), 2),
        ("always", 0, "backoff: exited with code 0; it is started again".to_owned(), 2),
        ("always", 1, "backoff: exited with code 1; it is started again".to_owned(), 2),
        ("unless-stopped", 0, "backoff: exited with code 0; it is started again".to_owned(), 2),
        ("unless-stopped", 137, "backoff: exited with code 137 (SIGKILL); it is started again".to_owned(), 2),
    ] {
        let mut world =
            begun(&table("dep", &format!("restart = '{restart}'\nbackoff = {{ initial = '20s', max = '40s' }}")));
        happen(&mut world, Then::Ends(code));
        let case = format!("{restart} after {code}");
        assert_eq!(state(&world, "dep"), soon, "{case}");
        world.pass(60);
        assert_eq!(world.shim("dep").status.run, runs, "{case}");
        assert_eq!(world.service("dep").restarts, u32::try_from(runs).unwrap() - 1, "{case}");
        // A stop is a stop, whatever the policy.
        act(&mut world, "dep", ServiceVerb::Stop);
        world.pass(100);
        let is = world.service("dep").state;
        assert_eq!((is == "stopped", world.shim("dep").status.run), (runs == 2, runs), "{case}: {is}");
    }
}

/// `backoff_seconds` and `max_restarts`: ours doubles, and counts within a time.
#[test]
fn how_long_a_restart_waits_and_how_often_it_is_tried() {
    let rules = "restart = 'always'\nbackoff = { initial = '4s', max = '16s', reset_after = '60s' }\nstart_limit = { burst = 4, interval = '10m' }";
    let mut world = begun(&table("dep", rules));
    let mut waited = Vec::new();
    while world.service("dep").state == "running" {
        world.end_service("dep", 9);
        world.settle();
        let mut seconds = 0;
        while world.service("dep").state == "backoff" {
            assert!(world.service("dep").reason.is_some_and(|reason| reason.contains("exited with code 9")));
            world.pass(1);
            seconds += 1;
            assert!(seconds < 60, "it never starts");
        }
        waited.push(seconds);
    }
    // Each later one is spread by a fifth.
    let [first, second, third, last] = waited.as_slice() else { panic!("{waited:?}") };
    assert_eq!((*first, *last), (4, 0), "{waited:?}");
    assert!((6..=10).contains(second) && (12..=16).contains(third), "{waited:?}");
    let text = "failed: exited with code 9; it was started 4 times within 10m and is given up";
    assert_eq!((state(&world, "dep"), world.shim("dep").status.state), (text.to_owned(), RunState::Failed));
    world.pass(1000);
    assert_eq!(state(&world, "dep"), text, "until started by hand");
    let id = act(&mut world, "dep", ServiceVerb::Start);
    assert_eq!((done(&world, id), state(&world, "dep")), ("started".to_owned(), "running".to_owned()));
    // Up and ready for long enough, it is forgiven.
    world.pass(61);
    happen(&mut world, Then::Ends(1));
    world.pass(4);
    assert_eq!(state(&world, "dep"), "running");
}

/// What is up beside what failed stays up, and who asked is told.
#[test]
fn a_failure_takes_nobody_along_and_up_says_it() {
    let mut world = World::new(&(table("dep", "restart = 'no'") + &table("web", "")));
    world.settle();
    up(&mut world);
    world.end_service("dep", 1);
    world.settle();
    assert_eq!((world.service("dep").state, world.service("web").state), ("failed".to_owned(), "running".to_owned()));
    let mut world = World::new(&(table("dep", "restart = 'no'") + &table("web", "depends_on = { dep = 'exited' }")));
    world.settle();
    let id = up(&mut world);
    world.end_service("dep", 1);
    world.pass(2);
    assert!(refused(&world, id).1.contains("which failed"), "{:?}", refused(&world, id));
}

mod faults {
    //! A shim that can't be spoken with, a port that is taken, a worker that waits.

    use super::*;

    #[test]
    fn a_mute_shim_is_not_doubled_and_goes_on_when_it_speaks() {
        for stops in [false, true] {
            let mut world = begun(&table("web", "restart = 'always'"));
            world.shims.mute.insert("web".to_owned(), "it does not answer".to_owned());
            world.crash();
            world.pass(5);
            assert_eq!(state(&world, "web"), "unknown: it does not answer");
            if stops {
                let id = act(&mut world, "web", ServiceVerb::Stop);
                assert!(refused(&world, id).1.contains("does not answer"));
                let id = down(&mut world);
                world.pass(1);
                assert!(refused(&world, id).1.contains("does not answer"), "{:?}", refused(&world, id));
            }
            assert_eq!((world.shim("web").status.run, world.shim("web").alive), (1, true));
            world.shims.mute.clear();
            world.pass(40);
            let (state, run) = (world.service("web").state, world.shim("web").status.run);
            assert_eq!((state.as_str(), run), (if stops { "stopped" } else { "running" }, 1));
        }
    }

    #[test]
    fn a_mute_shim_that_dies_is_followed_by_another() {
        let mut world = begun(&table("web", ""));
        world.shims.mute.insert("web".to_owned(), "it does not answer".to_owned());
        world.crash();
        world.pass(2);
        world.kill_shim("web");
        world.shims.mute.clear();
        world.pass(40);
        assert_eq!((state(&world, "web"), world.shim("web").status.run), ("running".to_owned(), 2));
    }

    /// The engine's log may have been rotated since.
    #[test]
    fn a_container_that_has_said_its_line_is_ready_for_the_next_supervisor() {
        let table = "[[service]]\nname = 'web'\nimage = 'host'\nnetwork = 'none'\ncommand = ['true']\n\
                     backoff = { initial = '1s', max = '1s' }\nready = { log = 'is up', interval = '1s', retries = 2 }\n";
        let mut world = begun(table);
        world.pass(2);
        assert_eq!(world.service("web").ready, Some(true));
        world.shims.probes.insert("web".to_owned(), "no line like it yet".to_owned());
        world.crash();
        // The shims are known first: of a container nothing is said before the engine was looked at.
        world.perform_one();
        assert_eq!(state(&world, "web"), "unknown: the engine has not shown yet how it is");
        world.pass(3);
        let found = world.service("web");
        assert_eq!((found.state.as_str(), found.ready, found.restarts), ("running", Some(true), 0));
        // Another run must say it again.
        world.end_all(1);
        world.hint();
        world.pass(5);
        let again = world.service("web");
        assert_eq!((again.state.as_str(), again.ready), ("running", Some(false)), "{again:?}");
    }

    #[test]
    fn a_port_that_is_taken_at_a_restart_is_shown_with_its_holder() {
        let mut world = begun(&table("web", "ports = [3002]\nbackoff = { initial = '20s', max = '20s' }"));
        world.shims.taken.insert("web".to_owned(), 3002);
        world.end_service("web", 1);
        world.pass(22);
        let held = "could not be started: port 3002 is held by nc (pid 7003)";
        assert_eq!(state(&world, "web"), format!("backoff: {held}; it is started again"));
        assert_eq!(world.service("web").last_exit.as_deref(), Some(held));
        world.shims.taken.clear();
        world.pass(25);
        assert_eq!(state(&world, "web"), "running");
    }

    #[test]
    fn an_earlier_end_for_want_of_memory_does_not_hide_who_holds_the_port() {
        let mut world = begun(&table("web", "ports = [3002]\nbackoff = { initial = '20s', max = '20s' }"));
        world.shims.taken.insert("web".to_owned(), 3002);
        world.end_service("web", 137);
        // A shim of an earlier version keeps it.
        world.shims.by_name.get_mut("web").unwrap().status.memory_clue = Some(Clue::Group);
        world.pass(22);
        let held = "could not be started: port 3002 is held by nc (pid 7003)";
        assert_eq!(world.service("web").last_exit.as_deref(), Some(held));
    }

    #[test]
    fn who_asks_for_a_worker_is_told_what_it_waits_for_in_vain_and_has_it_once_that_is_there() {
        for (dep, said) in [
            ("restart = 'no'", "it waits for dep to be ready, which failed"),
            (TCP, "it waits for dep to be ready, which runs (not ready: refused"),
            (
                "depends_on = { base = 'exited' }",
                "which has not been started yet (still waits for base to end with success, which is ready, after 2m",
            ),
        ] {
            let base = table("base", "restart = 'no'");
            let mut world =
                World::new(&(format!("[worker]\ndepends_on = {{ dep = 'ready' }}\n{base}") + &table("dep", dep)));
            world.shims.probes.insert("dep".to_owned(), "refused".to_owned());
            world.settle();
            up(&mut world);
            if dep.contains("'no'") {
                world.end_service("dep", 1);
                world.settle();
            }
            let id = world.spawn("fox");
            world.pass(if said.contains("2m") { 118 } else { 4 });
            if said.contains("2m") {
                assert!(!world.answers.contains_key(&id), "{:?}", world.answers.get(&id));
                world.pass(4);
            }
            let (code, message) = refused(&world, id);
            assert!(code == "refused" && message.contains(said), "{message}");
            // Its wish is kept.
            world.shims.probes.clear();
            world.end_service("base", 0);
            world.settle();
            act(&mut world, "dep", ServiceVerb::Start);
            world.pass(3);
            assert_eq!(world.row("fox").state.as_str(), "running", "{dep}");
        }
    }
}
