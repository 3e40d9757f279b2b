//! FAULTS D on the fake: whatever the daemon does, a call ends, and says what is known.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use podbay::bay::container::{ContainerId, ContainerSpec, NetworkSpec, Status, label};
use podbay::bay::isolation::IsolationRule;
use podbay::bay::port::{PortMapping, Protocol};
use podbay::bay::session::TermSize;
use podbay::config::env::Env;
use podbay::config::{EngineConfig, EngineKind};
use podbay::engine::docker::{Deadlines, DockerEngine};
use podbay::engine::{Engine, EngineError, ExecId, ExecSpec, LogQuery, connect};

use super::bed::{Bed, PATIENCE, refused, until};
use crate::fake_daemon::{EventFault, FakeDaemon, Fault};

const START: &str = "POST /containers/*/start";
const CREATE: &str = "POST /containers/create";
const INSPECT: &str = "GET /containers/*/json";
const LIST: &str = "GET /containers/json";

/// Deadlines that a test can wait for.
const SHORT: Deadlines = Deadlines {
    head: Duration::from_millis(300),
    read: Duration::from_millis(300),
    act: Duration::from_millis(300),
    stop: Duration::from_millis(300),
    ping: Duration::from_millis(300),
};

/// Every call of the trait, by name; what is asked for is there.
async fn every_call(
    engine: &DockerEngine,
    spec: &ContainerSpec,
    id: &ContainerId,
) -> Vec<(&'static str, Option<EngineError>)> {
    let exec = ExecSpec { command: vec!["true".into()], ..ExecSpec::default() };
    let bay = spec.labels[label::BAY].parse().unwrap();
    let size = TermSize::default();
    vec![
        ("ping", engine.ping().await.err()),
        ("identify", engine.identify().await.err()),
        ("list", engine.list(&bay).await.err()),
        ("inspect", engine.inspect(id).await.err()),
        ("named", engine.named("a-name").await.err()),
        ("describe", engine.describe(id).await.err()),
        ("ensure_image", engine.ensure_image(&spec.image).await.err()),
        ("create", engine.create(spec).await.err()),
        ("start", engine.start(id).await.err()),
        ("rename", engine.rename(id, "other-name").await.err()),
        ("attach", engine.attach(id).await.err()),
        ("exec", engine.exec(id, &exec).await.err()),
        ("resize", engine.resize(id, size).await.err()),
        ("resize_exec", engine.resize_exec(&ExecId("ab".repeat(32)), size).await.err()),
        ("exec_state", engine.exec_state(&ExecId("ab".repeat(32))).await.err()),
        ("logs", engine.logs(id, &LogQuery::default()).await.err()),
        ("stats", engine.stats(id).await.err()),
        ("events", engine.events(&bay).await.err()),
        ("published", engine.published().await.err()),
        ("stop", engine.stop(id, Duration::ZERO).await.err()),
        ("remove", engine.remove(id).await.err()),
    ]
}

#[tokio::test]
async fn d01_nobody_there_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env { home: folder.path().into(), ..Env::default() };
    let at = |path: &std::path::Path| {
        let config = EngineConfig {
            kind: EngineKind::Auto,
            host: format!("unix://{}", path.display()),
            isolation: IsolationRule::Ask,
        };
        connect(&config, &env).unwrap()
    };
    let missing = folder.path().join("missing.sock");
    let error = refused(at(&missing).ping().await);
    assert!(error.is_away() && error.to_string().contains("systemctl start docker"), "{error}");
    let stale = folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let error = refused(at(&stale).ping().await);
    assert!(error.is_away() && error.to_string().contains("nobody listens"), "{error}");
}

#[tokio::test]
async fn d04_the_first_socket_that_somebody_listens_on_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = FakeDaemon::start();
    let runtime = folder.path().join("run");
    // Where docker itself is there, it is the first that answers, and rightly so.
    let docker = std::os::unix::net::UnixStream::connect("/var/run/docker.sock").is_ok();
    for stale in [".docker/run", ".orbstack/run"].map(|dir| folder.path().join(dir)) {
        std::fs::create_dir_all(&stale).unwrap();
        drop(std::os::unix::net::UnixListener::bind(stale.join("docker.sock")).unwrap());
    }
    std::fs::create_dir_all(runtime.join("podman")).unwrap();
    std::os::unix::fs::symlink(&daemon.socket, runtime.join("podman/podman.sock")).unwrap();
    let vars = [("XDG_RUNTIME_DIR".to_owned(), runtime.display().to_string())].into();
    let mut env = Env { home: folder.path().into(), vars, ..Env::default() };
    let config = EngineConfig { kind: EngineKind::Auto, host: String::new(), isolation: IsolationRule::Ask };
    let live = if docker {
        "unix:///var/run/docker.sock".to_owned()
    } else {
        format!("unix://{}", runtime.join("podman/podman.sock").display())
    };
    assert_eq!(connect(&config, &env).unwrap().endpoint(), live);
    // Who names one gets that one, alive or not.
    let stale = format!("unix://{}", folder.path().join(".docker/run/docker.sock").display());
    env.vars.insert("DOCKER_HOST".to_owned(), stale.clone());
    let engine = connect(&config, &env).unwrap();
    assert_eq!(engine.endpoint(), stale);
    assert!(refused(engine.ping().await).is_away());
}

#[tokio::test]
async fn d03_an_api_that_is_not_spoken_is_refused_in_words() {
    for (api, min, words) in [("1.23", "1.12", "1.23"), ("1.60", "1.54", "1.54"), ("new", "", "\"new\"")] {
        let daemon = FakeDaemon::start();
        daemon.store().api = Some((api.to_owned(), min.to_owned()));
        let error = refused(daemon.engine().identify().await);
        assert!(matches!(&error, EngineError::Refused { .. }) && error.to_string().contains(words), "{error}");
    }
    for (api, spoken) in [("1.24", "1.24"), ("1.41", "1.41"), ("1.53", "1.53"), ("1.60", "1.53")] {
        let daemon = FakeDaemon::start();
        daemon.store().api = Some((api.to_owned(), "1.12".to_owned()));
        assert_eq!(daemon.engine().identify().await.unwrap().api, spoken);
    }
}

async fn cut_events(rounds: usize) {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    let faults = [Fault::CutAfter(40), Fault::EndAfter(100), Fault::CutAfter(0), Fault::EndAfter(1000), Fault::Cut];
    for round in 0..rounds {
        daemon.fail_next("GET /events", 1, faults[round % faults.len()].clone());
        daemon.disturb_events(if round % 3 == 2 { EventFault::Garble } else { EventFault::None });
        let hints = bed.engine.events(&bed.bay).await;
        bed.engine.stop(&id, Duration::ZERO).await.unwrap();
        bed.engine.start(&id).await.unwrap();
        if let Ok(hints) = hints {
            let drain = hints.take_while(|hint| std::future::ready(hint.is_ok())).count();
            // A stream that was not cut goes on; one that was has ended by now.
            let _ = tokio::time::timeout(Duration::from_millis(20), drain).await;
        }
        let listed = bed.engine.list(&bed.bay).await.unwrap();
        assert!(listed.len() == 1 && listed[0].status.is_running(), "round {round}: {listed:?}");
    }
    daemon.disturb_events(EventFault::None);
    let mut hints = bed.engine.events(&bed.bay).await.unwrap();
    daemon.kill(id.as_str(), 3);
    let hint = tokio::time::timeout(PATIENCE, hints.next()).await.expect("a new subscription works").unwrap().unwrap();
    assert_eq!((hint.id, hint.action.as_str()), (id, "die"));
}

#[tokio::test]
async fn d05_event_streams_that_break_lose_nothing() {
    cut_events(30).await;
}

#[tokio::test]
#[ignore = "the long form: 1000 cuts"]
async fn d05_event_streams_that_break_lose_nothing_1000_times() {
    cut_events(1000).await;
}

#[tokio::test]
async fn d05_a_garbled_event_ends_the_stream_with_an_error() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let mut hints = bed.engine.events(&bed.bay).await.unwrap();
    daemon.disturb_events(EventFault::Garble);
    daemon.add("stranger", &[(label::BAY, bed.bay.as_str())]);
    let first = tokio::time::timeout(PATIENCE, hints.next()).await.unwrap();
    assert!(matches!(first, Some(Err(EngineError::Failed { .. }))), "{first:?}");
    assert!(hints.next().await.is_none());
}

#[tokio::test]
async fn d06_every_call_ends_when_the_daemon_is_frozen() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    let engine = daemon.engine_with(SHORT);
    engine.ping().await.unwrap();
    daemon.freeze(true);
    let begun = Instant::now();
    for (call, error) in every_call(&engine, &bed.spec("owl", &["true"]), &id).await {
        let error = error.unwrap_or_else(|| panic!("{call} answered"));
        assert!(matches!(error, EngineError::Deadline { .. }) && error.is_away(), "{call}: {error:?}");
    }
    assert!(begun.elapsed() < 25 * SHORT.read, "{:?}", begun.elapsed());
    daemon.freeze(false);
    until("it answers again", async || engine.list(&bed.bay).await.map_err(|error| error.to_string())).await;
}

#[tokio::test]
async fn d06_a_head_without_a_body_is_no_answer() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    let engine = daemon.engine_with(SHORT);
    engine.ping().await.unwrap();
    for (route, fault) in [(INSPECT, Fault::HangAfterHead), (INSPECT, Fault::HangBeforeHead)] {
        daemon.fail_next(route, 1, fault);
        assert!(matches!(refused(engine.inspect(&id).await), EngineError::Deadline { .. }));
    }
    daemon.fail_next(INSPECT, 1, Fault::HangBeforeHead);
    assert!(matches!(refused(engine.list(&bed.bay).await), EngineError::Deadline { .. }));
    daemon.fail_next(LIST, 1, Fault::Delay(Duration::from_millis(50)));
    assert_eq!(engine.list(&bed.bay).await.unwrap().len(), 1);
}

#[tokio::test]
async fn d10_statuses_become_errors() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    for (status, check) in [
        (400, (|e| matches!(e, EngineError::Refused { .. })) as fn(&EngineError) -> bool),
        (403, |e| matches!(e, EngineError::Refused { .. })),
        (404, |e| matches!(e, EngineError::NotFound { .. })),
        (409, |e| matches!(e, EngineError::Conflict { .. })),
        (500, |e| matches!(e, EngineError::Failed { .. })),
        (503, |e| matches!(e, EngineError::Failed { .. })),
    ] {
        daemon.fail_next(INSPECT, 1, Fault::Status(status, "words of the engine"));
        let error = refused(bed.engine.inspect(&id).await);
        assert!(check(&error) && error.to_string().contains("words of the engine"), "{status}: {error:?}");
    }
    let exec = ExecSpec { command: vec!["true".into()], ..ExecSpec::default() };
    daemon.fail_next("POST /exec/*/start", 1, Fault::Status(409, "Container x is paused"));
    let error = refused(bed.engine.exec(&id, &exec).await.map(|_| ()));
    assert!(matches!(&error, EngineError::Conflict { message, .. } if message.contains("paused")), "{error:?}");
    daemon.fail_next("DELETE /containers/*", 1, Fault::Status(409, "removal of container x is already in progress"));
    bed.engine.remove(&id).await.unwrap();
    daemon.fail_next(CREATE, 1, Fault::Status(409, "Conflict. The container name \"/x\" is already in use by \"y\""));
    let error = refused(bed.engine.create(&bed.spec("owl", &["true"])).await);
    assert!(matches!(error, EngineError::NameTaken(_)), "{error:?}");
}

#[tokio::test]
async fn d10_answers_that_are_no_answers() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    for body in ["", "{", "[]", "null", r#"{"Id": 5}"#, r#"{"Id":"ab","Name":"/x","Created":"never","State":{}}"#] {
        daemon.fail_next(INSPECT, 1, Fault::Body(body));
        let error = refused(bed.engine.inspect(&id).await);
        assert!(matches!(&error, EngineError::Failed { .. }), "{body:?}: {error:?}");
        // A list with one container that can't be read is no list.
        daemon.fail_next(INSPECT, 1, Fault::Body(body));
        assert!(bed.engine.list(&bed.bay).await.is_err(), "{body:?}");
    }
    for fault in [Fault::Garbage, Fault::CutAfter(10), Fault::LoseAnswer] {
        // A GET is tried twice.
        daemon.fail_next(INSPECT, 2, fault.clone());
        let error = refused(bed.engine.inspect(&id).await);
        assert!(matches!(&error, EngineError::Failed { .. } | EngineError::Away { .. }), "{fault:?}: {error:?}");
    }
    until("it is whole again", async || bed.engine.inspect(&id).await.map_err(|error| error.to_string())).await;
}

#[tokio::test]
async fn k03_an_answer_that_is_lost_is_not_a_failure() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let spec = bed.spec("fox", &["sleep", "infinity"]);
    bed.engine.ensure_image(&spec.image).await.unwrap();
    daemon.fail_next(CREATE, 1, Fault::LoseAnswer);
    let error = refused(bed.engine.create(&spec).await);
    assert!(error.is_away() && error.to_string().contains("not known"), "{error}");
    // It was asked for once, and it is there.
    assert_eq!(daemon.calls(CREATE), 1);
    assert_eq!(bed.engine.list(&bed.bay).await.unwrap().len(), 1);
    assert!(matches!(refused(bed.engine.create(&spec).await), EngineError::NameTaken(_)));
    let slow = daemon.engine_with(SHORT);
    daemon.fail_next(CREATE, 1, Fault::HoldAnswer);
    let error = refused(slow.create(&bed.spec("owl", &["true"])).await);
    assert!(matches!(error, EngineError::Deadline { .. }), "{error:?}");
    assert_eq!(bed.engine.list(&bed.bay).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_container_that_goes_while_it_is_listed_is_not_in_the_list() {
    let bed = Bed::fake();
    bed.run("fox", &["sleep", "infinity"]).await;
    bed.run("owl", &["sleep", "infinity"]).await;
    bed.fake.as_ref().unwrap().fail_next(INSPECT, 1, Fault::Status(404, "No such container: x"));
    assert_eq!(bed.engine.list(&bed.bay).await.unwrap().len(), 1);
}

#[tokio::test]
async fn d12_a_foreign_process_on_the_port_is_named() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().port();
    let mut spec = bed.spec("fox", &["true"]);
    spec.network = NetworkSpec::Bridge(vec![PortMapping { ip: None, host, container: 80, protocol: Protocol::Tcp }]);
    let id = bed.create(&spec).await;
    let message = format!("driver failed: listen tcp4 0.0.0.0:{host}: bind: address already in use");
    daemon.fail_next(START, 1, Fault::Status(500, message.leak()));
    let error = refused(bed.engine.start(&id).await);
    let me = format!("(pid {})", std::process::id());
    assert!(
        matches!(&error, EngineError::PortTaken { holder: Some(holder), .. } if holder.ends_with(&me)),
        "{error:?}"
    );
    assert!(error.to_string().contains(&host.to_string()), "{error}");
}

#[tokio::test]
async fn d07_a_daemon_that_was_restarted_is_found_again() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    for _ in 0..20 {
        daemon.cut_all();
        until("it is reached again", async || bed.engine.inspect(&id).await.map_err(|error| error.to_string())).await;
    }
}

#[tokio::test]
async fn names_that_are_no_names_reach_no_daemon() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    bed.engine.identify().await.unwrap();
    let id = ContainerId::new("ab".repeat(32));
    for hostile in ["..", "%2f", "x?force=1", "a#b", "a\0b", "a\nb", "", "-rf", "é", &"a".repeat(65536)] {
        assert!(matches!(refused(bed.engine.rename(&id, hostile).await), EngineError::Refused { .. }), "{hostile:?}");
        assert!(matches!(refused(bed.engine.named(hostile).await), EngineError::Refused { .. }), "{hostile:?}");
        let error = refused(bed.engine.remove(&ContainerId::new(hostile)).await);
        assert!(matches!(error, EngineError::Refused { .. }), "{hostile:?}: {error}");
    }
    assert_eq!(daemon.calls("POST /containers/*/rename") + daemon.calls("DELETE /containers/*"), 0);
}

#[tokio::test]
async fn d14_one_container_that_can_not_be_inspected_takes_no_other_with_it() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let first = bed.create(&bed.spec("fox", &["sleep", "60"])).await;
    let second = bed.create(&bed.spec("owl", &["sleep", "60"])).await;
    let bay = &bed.bay;
    daemon.fail_next(INSPECT, 1, Fault::Status(500, "words of the engine"));
    let listed = bed.engine.list(bay).await.unwrap();
    let unclear: Vec<_> = listed
        .iter()
        .filter(|seen| matches!(&seen.status, Status::Unclear { error } if error.contains("words")))
        .collect();
    assert_eq!((listed.len(), unclear.len()), (2, 1), "{listed:?}");
    assert!([&first, &second].contains(&&unclear[0].id));
    assert!(unclear[0].name.ends_with("fox") || unclear[0].name.ends_with("owl"));
    daemon.fail_next(INSPECT, 2, Fault::Status(500, "words of the engine"));
    assert!(refused(bed.engine.list(bay).await).to_string().contains("words"));
}

#[tokio::test]
async fn d14_forty_containers_that_hang_take_no_other_with_them() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    for n in 0..45 {
        bed.create(&bed.spec(&format!("w{n}"), &["sleep", "60"])).await;
    }
    daemon.fail_next(INSPECT, 40, Fault::HangBeforeHead);
    let begun = Instant::now();
    let listed = bed.engine.list(&bed.bay).await.unwrap();
    let unclear = listed.iter().filter(|seen| matches!(seen.status, Status::Unclear { .. })).count();
    assert_eq!((listed.len(), unclear), (45, 40), "after {:?}", begun.elapsed());
    // The next look finds all of them again.
    let listed = bed.engine.list(&bed.bay).await.unwrap();
    assert!(listed.iter().all(|seen| !matches!(seen.status, Status::Unclear { .. })), "{listed:?}");
}

#[tokio::test]
async fn d14_a_few_that_answer_slowly_among_many_are_not_unclear() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    for n in 0..96 {
        bed.create(&bed.spec(&format!("w{n}"), &["sleep", "60"])).await;
    }
    // More than an equal share of the list's deadline.
    daemon.fail_next(INSPECT, 8, Fault::Delay(Duration::from_millis(700)));
    let listed = bed.engine.list(&bed.bay).await.unwrap();
    let unclear = listed.iter().filter(|seen| matches!(seen.status, Status::Unclear { .. })).count();
    assert_eq!((listed.len(), unclear), (96, 0));
}

#[tokio::test]
async fn d14_a_list_that_leaves_no_time_to_ask_has_failed_itself() {
    let bed = Bed::fake();
    bed.create(&bed.spec("fox", &["sleep", "60"])).await;
    let begun = Instant::now();
    bed.fake.as_ref().unwrap().fail_next(LIST, 1, Fault::Delay(Duration::from_millis(4700)));
    let error = refused(bed.engine.list(&bed.bay).await);
    assert!(matches!(error, EngineError::Deadline { .. }), "{error}");
    assert!(error.to_string().starts_with("list the containers"), "{error} after {:?}", begun.elapsed());
}
