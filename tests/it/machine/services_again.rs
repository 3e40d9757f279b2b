//! Services that are tried again: by somebody who has mended them, and by a supervisor that was not there before.

use std::time::Duration;

use podbay::api::types::{ServiceVerb, Verb};
use podbay::bay::container::label;
use podbay::engine::EngineError;
use podbay::supervisor::event::Command;

use super::services::{act, begun, down, reload, state, table, up};
use super::world::{World, wall};
use super::{done, refused};

fn contained(extra: &str) -> String {
    format!("[[service]]\nname = 'web'\nimage = 'host'\nnetwork = 'none'\ncommand = ['true']\n{extra}\n")
}

/// The engine answers so to a stop, without having done anything.
fn stop_fails(world: &mut World) {
    let error = EngineError::Failed { what: "stopping svc-web".to_owned(), message: "500: cgroup is busy".to_owned() };
    world.failures.push_back(("stop", error));
}

/// Who asked is told, and it is tried again until it is so: by itself, and at once by whoever asks again.
#[test]
fn a_container_that_the_engine_could_not_stop_is_stopped_later() {
    let why = "stopping it failed: stopping svc-web: 500: cgroup is busy";
    for (verb, after) in [(ServiceVerb::Stop, "stopped: stopped by request"), (ServiceVerb::Restart, "running")] {
        let mut world = begun(&contained(""));
        world.pass(1);
        stop_fails(&mut world);
        let id = act(&mut world, "web", verb);
        assert_eq!(refused(&world, id).1, why);
        assert_eq!(state(&world, "web"), format!("stopping: {why}"));
        let said = super::why(&mut world, "web");
        assert_eq!((said.last_error.as_deref(), said.next_try_at.is_some()), (Some(why), true));
        world.pass(3);
        assert_eq!(state(&world, "web"), after);

        let mut world = begun(&contained(""));
        world.pass(1);
        for _ in 0..2 {
            stop_fails(&mut world);
            let id = act(&mut world, "web", verb);
            assert_eq!(refused(&world, id).1, why);
        }
        let id = act(&mut world, "web", verb);
        done(&world, id);
        assert_eq!(state(&world, "web"), after, "{verb:?}");
    }

    let mut world = begun(&contained(""));
    world.pass(1);
    stop_fails(&mut world);
    let id = down(&mut world);
    assert_eq!(refused(&world, id).1, why);
    let id = down(&mut world);
    world.pass(3);
    done(&world, id);
    assert!(world.exited);

    let live = "live = { tcp = '127.0.0.1:1', interval = '1s', retries = 1 }\n";
    let mut world = begun(&contained(live));
    world.pass(2);
    stop_fails(&mut world);
    world.shims.probes.insert("web".to_owned(), "refused".to_owned());
    world.pass(1);
    world.shims.probes.clear();
    assert_eq!(state(&world, "web"), format!("stopping: {why}"));
    world.pass(5);
    assert_eq!(state(&world, "web"), "running");
    assert_eq!(world.service("web").restarts, 1);
}

/// What was mended outside of the configuration is tried at once, and nobody is told of what was.
#[test]
fn up_tries_at_once_what_waits_for_its_next_start() {
    let mut world = begun(&table("web", "backoff = { initial = '20s', max = '20s' }"));
    world.end_service("web", 1);
    world.settle();
    assert_eq!(state(&world, "web"), "backoff: exited with code 1; it is started again");
    let id = up(&mut world);
    assert_eq!((done(&world, id).as_str(), state(&world, "web").as_str()), ("the parent runs", "running"));
    assert_eq!(world.shim("web").status.run, 2);

    let mut world = World::new(&table("web", ""));
    world.shims.leftovers.insert("web".to_owned(), "secret key is not there".to_owned());
    world.settle();
    let id = up(&mut world);
    assert_eq!(refused(&world, id).1, "service web: secret key is not there");
    world.shims.leftovers.clear();
    let id = up(&mut world);
    assert_eq!((done(&world, id).as_str(), state(&world, "web").as_str()), ("the parent runs", "running"));

    let mut world = begun(&contained("backoff = { initial = '20s', max = '20s' }"));
    world.pass(1);
    world.end_all(1);
    world.hint();
    assert_eq!(state(&world, "web"), "backoff: exited with code 1; it is started again");
    let id = up(&mut world);
    world.settle();
    assert_eq!((done(&world, id).as_str(), state(&world, "web").as_str()), ("the parent runs", "running"));
}

#[test]
fn what_is_started_is_not_said_to_be_given_up() {
    let mut world = begun(&table("web", "start_limit = { burst = 1, interval = '10m' }"));
    world.end_service("web", 1);
    world.settle();
    assert!(state(&world, "web").ends_with("is given up"), "{}", state(&world, "web"));
    world.command(Command::Up { gently: false });
    assert_eq!(state(&world, "web"), "starting: is being started");
    world.settle();
    assert_eq!(state(&world, "web"), "running");
    act(&mut world, "web", ServiceVerb::Stop);
    world.command(Command::Service { target: "web".to_owned(), verb: ServiceVerb::Start });
    assert_eq!(state(&world, "web"), "starting: is being started");
}

#[test]
fn a_program_that_left_by_an_ampersand_is_named() {
    let said = "exited with code 0; went into the background (it left 1 process behind, which was ended): podbay runs \
                services in the foreground; most programs have a flag for that";
    for (restart, is) in
        [("no", format!("exited: {said}")), ("always", format!("backoff: {said}; it is started again"))]
    {
        let mut world =
            begun(&table("web", &format!("restart = '{restart}'\nbackoff = {{ initial = '9s', max = '9s' }}")));
        world.shim("web").status.left = 1;
        world.end_service("web", 0);
        world.settle();
        assert_eq!(state(&world, "web"), is);
    }
}

mod parent {
    use super::*;

    const BRIDGED: &str = "parent.ports = ['3000-3002:3000-3002']\n[[service]]\nname = 'web'\nimage = 'host'\n\
                           network = 'bridge'\nports = ['3002:80']\ncommand = ['true']\n";

    /// A bay whose parent was made before its service had one of the ports.
    fn old_parent(workers: &[&str]) -> World {
        let mut world = begun(BRIDGED);
        for worker in workers {
            world.spawn(worker);
            world.settle();
        }
        let ports: podbay::bay::port::PortRule = "3000-3002:3000-3002".parse().unwrap();
        world.named("parent").unwrap().ports = ports.mappings().to_vec();
        world.hint();
        let id = down(&mut world);
        assert_eq!(done(&world, id), "the bay is down");
        // Another supervisor, once somebody asks again.
        world.crash();
        world.settle();
        world
    }

    #[test]
    fn one_that_has_a_services_port_is_made_anew_when_it_comes_up() {
        let mut world = old_parent(&[]);
        let before = world.id("parent");
        let id = up(&mut world);
        world.pass(2);
        assert_eq!(done(&world, id), "the parent runs");
        assert_ne!(world.id("parent"), before);
    }

    #[test]
    fn a_service_in_its_network_is_made_anew_with_it() {
        let shared = contained("").replace("'none'", "'shared'");
        let mut world = begun(&shared);
        world.pass(1);
        let before = (world.id("parent"), world.id("svc-web"));
        let hash = world.config.services[0].hash();
        world.named("svc-web").unwrap().labels.insert(label::TEMPLATE_HASH.to_owned(), hash);
        world.hint();
        down(&mut world);
        world.crash();
        world.settle();
        super::super::services::reload(&mut world, &format!("parent.ports = []\n{shared}"));
        let id = up(&mut world);
        world.pass(1);
        assert_eq!((done(&world, id).as_str(), state(&world, "web").as_str()), ("the parent runs", "running"));
        assert_ne!((world.id("parent"), world.id("svc-web")), before);
        assert_eq!(world.service("web").restarts, 0, "it was started once");
    }

    #[test]
    fn one_with_workers_is_not_made_anew_and_says_whose_port_it_has() {
        let mut world = old_parent(&["fox"]);
        let before = world.id("parent");
        let taken = EngineError::PortTaken { port: "0.0.0.0:3002".to_owned(), holder: Some("nc (pid 7)".to_owned()) };
        world.failures.push_back(("start", taken));
        let id = world.act("parent", Verb::Start);
        world.settle();
        let (code, said) = refused(&world, id);
        assert_eq!(code, "port-taken");
        let whose = "port 0.0.0.0:3002 is taken by nc (pid 7); it was made before service web had port 3002";
        assert!(said.contains(whose), "{said}");
        assert_eq!(world.id("parent"), before);
    }

    #[test]
    fn one_of_another_configuration_is_made_anew_when_nothing_is_lost_by_it() {
        for (workers, anew) in [(&[][..], true), (&["fox"][..], false)] {
            let mut world = begun("");
            for worker in workers {
                world.spawn(worker);
                world.settle();
            }
            down(&mut world);
            world.crash();
            world.settle();
            let before = world.id("parent");
            super::super::services::reload(&mut world, "parent.ports = []\n");
            up(&mut world);
            world.pass(2);
            assert_eq!(world.id("parent") != before, anew, "{workers:?}");
        }
    }

    #[test]
    fn what_was_refused_its_port_is_tried_at_once() {
        let mut world = World::new(&table("web", "ports = [3002]"));
        world.shims.leftovers.insert("web".to_owned(), "port 3002 is held by container podbay-parent".to_owned());
        world.settle();
        up(&mut world);
        world.pass(20);
        assert_eq!(state(&world, "web"), "backoff: port 3002 is held by container podbay-parent");
        world.shims.leftovers.clear();
        let id = world.act("parent", Verb::Refresh);
        world.settle();
        assert!(done(&world, id).contains("the parent runs"), "{}", done(&world, id));
        assert_eq!(state(&world, "web"), "running");
    }
}

mod over_a_supervisors_end {
    use super::*;

    #[test]
    fn starts_of_a_container_count_towards_its_limit() {
        let rules = "backoff = { initial = '1s', max = '1s' }\nstart_limit = { burst = 3, interval = '10m' }";
        let mut world = begun(&contained(rules));
        for _ in 0..2 {
            world.pass(3);
            assert_eq!(state(&world, "web"), "running");
            world.end_all(1);
            world.hint();
            world.crash();
            world.pass(3);
        }
        world.end_all(1);
        world.hint();
        assert!(state(&world, "web").ends_with("is given up"), "{}", state(&world, "web"));
    }

    #[test]
    fn a_wait_goes_on_and_an_end_counts_once() {
        let mut world = begun(&contained("backoff = { initial = '20s', max = '10m' }"));
        world.pass(1);
        world.end_all(1);
        world.hint();
        let next = world.service("web").next_start_at.unwrap();
        world.pass(10);
        world.crash();
        world.pass(2);
        let row = world.service("web");
        assert_eq!(
            (row.state.as_str(), row.next_start_at.map(jiff::Timestamp::as_second)),
            ("backoff", Some(next.as_second()))
        );
        world.pass(9);
        assert_eq!(state(&world, "web"), "running");
        assert_eq!(world.disk.services_past.values().map(|past| past.failures).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_container_that_has_run_for_long_waits_as_after_its_first_end() {
        let rules = "backoff = { initial = '4s', max = '10m', reset_after = '30s' }\n";
        let mut world = begun(&contained(rules));
        for wait in [5, 10] {
            world.pass(1);
            world.end_all(1);
            world.hint();
            world.pass(wait);
        }
        assert_eq!(state(&world, "web"), "running");
        world.pass(40);
        world.crash();
        world.pass(2);
        world.end_all(1);
        world.hint();
        world.pass(5);
        assert_eq!(state(&world, "web"), "running", "{:?}", world.service("web"));
    }

    #[test]
    fn a_container_that_has_been_ready_for_long_is_known_to_be_so() {
        let rules = "backoff = { initial = '4s', max = '10m', reset_after = '30s' }\n\
                     ready = { tcp = '127.0.0.1:1', interval = '1s', retries = 3 }\n";
        let mut world = begun(&contained(rules));
        for wait in [6, 11] {
            world.pass(1);
            world.end_all(1);
            world.hint();
            world.pass(wait);
        }
        world.pass(40);
        world.crash();
        world.pass(3);
        assert_eq!(world.service("web").ready, Some(true));
        world.end_all(1);
        world.hint();
        world.pass(6);
        assert_eq!(state(&world, "web"), "running", "{:?}", world.service("web"));
    }

    #[test]
    fn the_start_period_of_a_probe_is_that_of_its_run() {
        let live = "live = { tcp = '127.0.0.1:1', interval = '1s', retries = 1, start_period = '30s' }\n\
                    backoff = { initial = '50s', max = '50s' }\n";
        for table in [contained(live), table("web", live)] {
            let mut world = begun(&table);
            world.pass(40);
            if let Some(shim) = world.shims.by_name.get_mut("web") {
                shim.status.since = Some(wall(Duration::from_secs(1)));
            }
            world.crash();
            world.pass(1);
            assert_eq!(world.service("web").state, "running");
            world.shims.probes.insert("web".to_owned(), "refused".to_owned());
            world.pass(4);
            assert_eq!(state(&world, "web"), "backoff: ended for its liveness probe: refused; it is started again");
        }
    }
}

/// Row by row, what a reader of the bay's history sees of a service.
fn told(world: &World, name: &str) -> Vec<String> {
    let lines = world.view().history.into_iter().filter(|line| line.name.as_deref() == Some(name));
    lines.map(|line| line.text).collect()
}

#[test]
fn a_try_that_fails_again_is_one_line_of_history_and_one_that_lasts_is_told_of() {
    let rules =
        "restart = 'always'\nbackoff = { initial = '1s', max = '1s' }\nstart_limit = { burst = 9, interval = '10m' }";
    for (toml, native) in [(table("web", rules), true), (contained(rules), false)] {
        let mut world = begun(&toml);
        world.pass(1);
        let before = told(&world, "svc-web").len();
        for _ in 0..3 {
            if native {
                world.end_service("web", 1);
                world.settle();
            } else {
                world.end_all(1);
                world.hint();
            }
            assert_eq!(world.service("web").state, "backoff");
            world.pass(3);
            assert_eq!(world.service("web").state, "running");
        }
        let again = "backoff: exited with code 1; it is started again";
        assert_eq!(told(&world, "svc-web")[before..], [again; 3]);
        world.pass(6);
        assert_eq!(told(&world, "svc-web")[before..], [again, again, again, "running"]);
    }
}

#[test]
fn what_is_not_in_the_configuration_any_more_is_not_offered_to_be_started() {
    let mut world = begun(&table("web", ""));
    let before = told(&world, "svc-web").len();
    reload(&mut world, "");
    world.pass(20);
    let gone = "not in the configuration any more";
    let said = [format!("stopping: {gone}; it is being stopped"), format!("stopped: {gone}")];
    assert_eq!(told(&world, "svc-web")[before..], said);
}
