//! What every engine does, in the same words.

use std::time::Duration;

use futures_util::StreamExt;
use podbay::bay::container::{ContainerId, ImageRef, NetworkSpec, ObservedNetwork, Status};
#[cfg(target_os = "linux")]
use podbay::bay::isolation::Isolation;
use podbay::bay::mount::Mount;
use podbay::bay::port::{PortMapping, Protocol};
use podbay::bay::session::TermSize;
use podbay::engine::{EngineError, ExecIo, ExecSpec, ExecState, LogQuery};
use tokio::io::AsyncWriteExt;

use super::bed::{Bed, PATIENCE, read_until, refused, texts, until};

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod fake {
            $(#[tokio::test] async fn $test() { super::$test(&super::Bed::fake()).await; })*
        }
        mod docker {
            $(#[tokio::test] async fn $test() {
                if let Some(bed) = super::Bed::docker(stringify!($test)).await { super::$test(&bed).await; }
            })*
        }
        #[cfg(target_os = "linux")]
        mod local {
            $(#[tokio::test] async fn $test() {
                if let Some(bed) = super::Bed::local(stringify!($test)) { super::$test(&bed).await; }
            })*
        }
        #[cfg(target_os = "linux")]
        mod local_bwrap {
            $(#[tokio::test] async fn $test() {
                if let Some(bed) = super::Bed::rung(stringify!($test), None).await { super::$test(&bed).await; }
            })*
        }
        #[cfg(target_os = "linux")]
        mod local_landlock {
            $(#[tokio::test] async fn $test() {
                let level = Some(super::Isolation::Landlock);
                if let Some(bed) = super::Bed::rung(stringify!($test), level).await { super::$test(&bed).await; }
            })*
        }
        #[cfg(target_os = "linux")]
        mod local_none {
            $(#[tokio::test] async fn $test() {
                let level = Some(super::Isolation::None);
                if let Some(bed) = super::Bed::rung(stringify!($test), level).await { super::$test(&bed).await; }
            })*
        }
        mod podman {
            $(#[tokio::test] async fn $test() {
                if let Some(bed) = super::Bed::podman(stringify!($test)).await { super::$test(&bed).await; }
            })*
        }
    };
}

contract![
    a_container_lives_and_dies,
    what_can_not_be_made_is_refused,
    a_start_that_fails_says_why,
    a_terminal_is_raw_both_ways,
    an_exec_with_pipes,
    an_exec_with_a_terminal,
    logs_are_lines,
    a_followed_log_is_complete,
    events_are_hints,
    a_network_is_joined,
    a_taken_port_has_a_holder,
    figures_are_read,
    exit_codes_are_exact,
];

async fn a_container_lives_and_dies(bed: &Bed) {
    let identity = bed.engine.identify().await.unwrap();
    assert!(identity.cpus > 0 && identity.memory > 0, "{identity:?}");
    bed.engine.ping().await.unwrap();
    let mut spec = bed.spec("fox", &["sleep", "infinity"]);
    spec.labels.insert("note".to_owned(), "a=b \"c\"".to_owned());
    spec.tty = true;
    let id = bed.create(&spec).await;
    let made = bed.engine.inspect(&id).await.unwrap();
    assert_eq!(made.status, Status::Created { error: String::new() });
    assert_eq!((made.name.as_str(), made.image.as_str(), made.tty), (spec.name.as_str(), "host", true));
    assert_eq!(made.label("note"), "a=b \"c\"");
    assert_eq!(bed.engine.named(spec.name.as_str()).await.unwrap(), Some(id.clone()));
    assert_eq!(bed.engine.named(spec.name.retired().as_str()).await.unwrap(), None);
    bed.engine.start(&id).await.unwrap();
    bed.engine.start(&id).await.unwrap();
    let listed = bed.engine.list(&bed.bay).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0], bed.engine.inspect(&id).await.unwrap());
    let Status::Running { pid, since, paused } = listed[0].status else { panic!("{listed:?}") };
    assert!(pid > 0 && !paused && since >= made.created_at);
    bed.engine.resize(&id, TermSize::new(30, 100)).await.unwrap();
    assert_eq!(bed.engine.describe(&id).await.unwrap()["Id"], id.as_str());
    bed.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
    bed.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
    let ended = bed.exit(&id).await;
    assert!(matches!(ended.status, Status::Exited { code: 129, oom: false, at: Some(_), .. }), "{ended:?}");
    let other = bed.create(&bed.spec("owl", &["true"])).await;
    let taken = refused(bed.engine.rename(&other, spec.name.as_str()).await);
    assert!(matches!(taken, EngineError::NameTaken(name) if name == spec.name.as_str()));
    bed.engine.rename(&id, spec.name.retired().as_str()).await.unwrap();
    bed.engine.rename(&other, spec.name.as_str()).await.unwrap();
    assert_eq!(bed.engine.inspect(&id).await.unwrap().name, spec.name.retired().as_str());
    bed.engine.remove(&id).await.unwrap();
    bed.engine.remove(&id).await.unwrap();
    assert!(matches!(refused(bed.engine.inspect(&id).await), EngineError::NotFound { .. }));
    let left: Vec<_> = bed.engine.list(&bed.bay).await.unwrap().into_iter().map(|seen| seen.id).collect();
    assert_eq!(left, [other]);
}

async fn what_can_not_be_made_is_refused(bed: &Bed) {
    let spec = bed.spec("fox", &["true"]);
    bed.create(&spec).await;
    let taken = refused(bed.engine.create(&spec).await);
    assert!(matches!(&taken, EngineError::NameTaken(name) if name == spec.name.as_str()), "{taken}");
    let mut strange = bed.spec("owl", &["true"]);
    strange.image = ImageRef::Named("podbay-no-such-image:1".to_owned());
    let missing = refused(bed.engine.create(&strange).await);
    assert!(matches!(missing, EngineError::NoImage(_)), "{missing}");
    let missing = refused(bed.engine.ensure_image(&strange.image).await);
    assert!(matches!(missing, EngineError::NoImage(_)), "{missing}");
    let mut mounted = bed.spec("elk", &["true"]);
    let source = "/podbay-no-such-directory".into();
    mounted.mounts = vec![Mount { source, target: "/workspace".into(), read_only: false }];
    let error = refused(bed.engine.create(&mounted).await);
    assert!(error.to_string().contains("podbay-no-such-directory"), "{error}");
    assert!(!std::path::Path::new("/podbay-no-such-directory").exists());
    let unknown = ContainerId::new("ab".repeat(32));
    assert!(matches!(refused(bed.engine.inspect(&unknown).await), EngineError::NotFound { .. }));
    assert!(matches!(refused(bed.engine.start(&unknown).await), EngineError::NotFound { .. }));
    let hostile = ContainerId::new("x?force=1&y=");
    assert!(matches!(refused(bed.engine.remove(&hostile).await), EngineError::Refused { .. }));
}

async fn a_start_that_fails_says_why(bed: &Bed) {
    let podman = bed.engine.identify().await.unwrap().kind == "podman";
    let mut spec = bed.spec("fox", &["no-such-program"]);
    // With one, the engine starts its init, and that one's failure is an exit like any other.
    spec.hardening.init = false;
    let id = bed.create(&spec).await;
    let error = refused(bed.engine.start(&id).await);
    assert!(error.to_string().contains("no-such-program"), "{error}");
    let left = bed.engine.inspect(&id).await.unwrap();
    // Podman does not keep the reason.
    let kept = |error: &str| error.contains("no-such-program") || (error.is_empty() && podman);
    assert!(matches!(&left.status, Status::Created { error } if kept(error)), "{left:?}");
    let stopped = refused(
        bed.engine.exec(&id, &ExecSpec { command: vec!["true".into()], ..ExecSpec::default() }).await.map(|_| ()),
    );
    assert!(matches!(stopped, EngineError::Conflict { .. }), "{stopped}");
    bed.engine.remove(&id).await.unwrap();
}

async fn a_terminal_is_raw_both_ways(bed: &Bed) {
    let mut spec = bed.spec("fox", &["sh", "-c", r"printf '\001\002hello'; cat"]);
    spec.tty = true;
    let id = bed.create(&spec).await;
    let mut tty = bed.engine.attach(&id).await.unwrap();
    bed.engine.start(&id).await.unwrap();
    let first = read_until(&mut tty.output, b"hello").await;
    assert_eq!(first, b"\x01\x02hello");
    tty.input.write_all(b"ping\n").await.unwrap();
    read_until(&mut tty.output, b"ping\r\nping\r\n").await;
    drop(tty);
    // Nothing was typed by going away, and the program did not notice.
    let mut again = bed.engine.attach(&id).await.unwrap();
    again.input.write_all(b"back\n").await.unwrap();
    assert_eq!(read_until(&mut again.output, b"back\r\nback\r\n").await, b"back\r\nback\r\n");
    drop(again.input);
    assert!(bed.engine.inspect(&id).await.unwrap().status.is_running());
}

async fn an_exec_with_pipes(bed: &Bed) {
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    let command = ["sh", "-c", "echo out; echo err >&2; exit 3"].map(str::to_owned).to_vec();
    let exec = bed.engine.exec(&id, &ExecSpec { command, ..ExecSpec::default() }).await.unwrap();
    let ExecIo::Pipes { output, input } = exec.io else { panic!("not pipes") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let chunks: Vec<_> = tokio::time::timeout(PATIENCE, output.collect()).await.expect("it ends");
    for chunk in chunks {
        let chunk = chunk.unwrap();
        if chunk.stderr { err.extend(&chunk.bytes) } else { out.extend(&chunk.bytes) }
    }
    drop(input);
    assert_eq!((out.as_slice(), err.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    ends_with(bed, &exec.id, 3).await;
    let command = vec!["cat".to_owned()];
    let exec = bed.engine.exec(&id, &ExecSpec { command, ..ExecSpec::default() }).await.unwrap();
    let ExecIo::Pipes { output, mut input } = exec.io else { panic!("not pipes") };
    input.write_all(b"one\ntwo\n").await.unwrap();
    input.shutdown().await.unwrap();
    let chunks: Vec<_> = tokio::time::timeout(PATIENCE, output.collect()).await.expect("it ends");
    let text: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().bytes.to_vec()).collect();
    assert_eq!(text, b"one\ntwo\n");
    ends_with(bed, &exec.id, 0).await;
}

async fn ends_with(bed: &Bed, exec: &podbay::engine::ExecId, code: i64) {
    until("the exec ends", async || match bed.engine.exec_state(exec).await.unwrap() {
        ExecState::Exited { code } => Ok(code),
        running @ ExecState::Running { .. } => Err(format!("{running:?}")),
    })
    .await
    .eq(&code)
    .then_some(())
    .expect("its exit code is exact");
}

async fn an_exec_with_a_terminal(bed: &Bed) {
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    let spec = ExecSpec {
        command: ["sh", "-c", r"read line; stty size; printf '\000\001\002end'"].map(str::to_owned).to_vec(),
        tty: Some(TermSize::new(41, 133)),
        ..ExecSpec::default()
    };
    let exec = bed.engine.exec(&id, &spec).await.unwrap();
    let ExecIo::Tty(mut tty) = exec.io else { panic!("not a terminal") };
    tty.input.write_all(b"go\n").await.unwrap();
    let seen = read_until(&mut tty.output, b"end").await;
    assert!(seen.ends_with(b"41 133\r\n\x00\x01\x02end"), "{:?}", String::from_utf8_lossy(&seen));
    ends_with(bed, &exec.id, 0).await;
}

async fn logs_are_lines(bed: &Bed) {
    let id = bed.run("fox", &["sh", "-c", "echo one; echo two >&2; printf 'no end'"]).await;
    bed.exit(&id).await;
    let all = bed.log(&id, LogQuery::default()).await;
    let mut found = texts(&all);
    // Two pipes: their order is the engine's.
    found.sort();
    assert_eq!(found, [(false, "no end".into()), (false, "one".into()), (true, "two".into())]);
    assert!(all.iter().all(|line| line.at.is_some()), "{all:?}");
    assert_eq!(bed.log(&id, LogQuery { tail: Some(1), ..LogQuery::default() }).await, all[2..]);
    let since = LogQuery { since: all[2].at, ..LogQuery::default() };
    assert_eq!(bed.log(&id, since).await.last(), all.last());
    let mut spec = bed.spec("owl", &["sh", "-c", r"printf '\001\002a\n'; echo b"]);
    spec.tty = true;
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    bed.exit(&id).await;
    let lines = texts(&bed.log(&id, LogQuery::default()).await);
    assert_eq!(lines, [(false, "\u{1}\u{2}a\r".into()), (false, "b\r".into())]);
    // A stamp of its own for each write is the engine's, not the program's.
    let mut spec = bed.spec("elk", &["sh", "-c", "printf a; sleep 0.3; printf b; sleep 0.3; echo c"]);
    spec.tty = true;
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    bed.exit(&id).await;
    assert_eq!(texts(&bed.log(&id, LogQuery::default()).await), [(false, "abc\r".into())]);
    let last = LogQuery { follow: true, tail: Some(1), ..LogQuery::default() };
    assert_eq!(texts(&bed.log(&id, last).await), [(false, "abc\r".into())]);
}

async fn a_followed_log_is_complete(bed: &Bed) {
    let id = bed.run("fox", &["seq", "1", "20000"]).await;
    let lines = bed.log(&id, LogQuery { follow: true, ..LogQuery::default() }).await;
    let wrong = lines.iter().zip(1..).find(|(line, number)| line.bytes != number.to_string());
    assert_eq!((wrong, lines.len()), (None, 20000));
}

async fn events_are_hints(bed: &Bed) {
    let mut hints = bed.engine.events(&bed.bay).await.unwrap();
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    bed.engine.remove(&id).await.unwrap();
    let mut seen = Vec::new();
    let wait = async {
        while let Some(hint) = hints.next().await {
            let hint = hint.unwrap();
            assert_eq!(hint.id, id);
            seen.push(hint.action);
            if seen.last().is_some_and(|action| action == "destroy") {
                break;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, wait).await;
    assert!(ended.is_ok(), "saw {seen:?}");
    for action in ["create", "start", "die", "destroy"] {
        assert!(seen.iter().any(|word| word == action), "{action} in {seen:?}");
    }
}

async fn a_network_is_joined(bed: &Bed) {
    let parent = bed.run("parent", &["sleep", "infinity"]).await;
    let mut spec = bed.spec("fox", &["sleep", "infinity"]);
    spec.network = NetworkSpec::Join(parent.clone());
    let worker = bed.create(&spec).await;
    bed.engine.start(&worker).await.unwrap();
    assert_eq!(bed.engine.inspect(&worker).await.unwrap().network, ObservedNetwork::Of(parent.clone()));
    assert_eq!(bed.engine.inspect(&parent).await.unwrap().network, ObservedNetwork::Own);
    bed.engine.stop(&worker, Duration::ZERO).await.unwrap();
    bed.engine.stop(&parent, Duration::ZERO).await.unwrap();
    let error = refused(bed.engine.start(&worker).await);
    assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
    if bed.engine.identify().await.unwrap().kind == "podman" {
        let error = refused(bed.engine.remove(&parent).await);
        assert!(matches!(&error, EngineError::Conflict { message, .. } if message.contains("dependent")), "{error:?}");
        bed.engine.remove(&worker).await.unwrap();
        return bed.engine.remove(&parent).await.unwrap();
    }
    bed.engine.remove(&parent).await.unwrap();
    let error = refused(bed.engine.start(&worker).await);
    assert!(matches!(&error, EngineError::Conflict { message, .. } if message.contains(parent.as_str())), "{error:?}");
}

async fn a_taken_port_has_a_holder(bed: &Bed) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ip = Some("127.0.0.1".parse().unwrap());
    let port = PortMapping { ip, host: free, container: 80, protocol: Protocol::Tcp };
    let mut spec = bed.spec("fox", &["sleep", "infinity"]);
    spec.network = NetworkSpec::Bridge(vec![port]);
    let first = bed.create(&spec).await;
    assert_eq!(bed.engine.inspect(&first).await.unwrap().ports, [port]);
    bed.engine.start(&first).await.unwrap();
    assert_eq!(bed.engine.inspect(&first).await.unwrap().ports, [port]);
    assert!(bed.engine.published().await.unwrap().contains(&(port, spec.name.to_string())));
    let mut second = bed.spec("owl", &["sleep", "infinity"]);
    second.network = spec.network.clone();
    let id = bed.create(&second).await;
    let error = refused(bed.engine.start(&id).await);
    let holder = format!("container {}", spec.name);
    let named = matches!(&error, EngineError::PortTaken { holder: Some(found), .. } if *found == holder);
    assert!(named && error.to_string().contains(&free.to_string()), "{error:?}");
    // D12: what is left of it can be removed, and then started elsewhere.
    bed.engine.remove(&id).await.unwrap();
    bed.engine.remove(&first).await.unwrap();
    let id = bed.create(&second).await;
    bed.engine.start(&id).await.unwrap();
}

async fn figures_are_read(bed: &Bed) {
    let id = bed.run("fox", &["sleep", "infinity"]).await;
    let first = bed.engine.stats(&id).await.unwrap();
    let limits = bed.engine.identify().await.unwrap().limits;
    // A limit that nothing holds is none, and said to be missing.
    let held = !limits.iter().any(|limit| limit.what == "limit of memory");
    assert!(first.pids >= 1 && first.memory_limit.is_some() == held && first.cpu_percent.is_none(), "{first:?}");
    let second = bed.engine.stats(&id).await.unwrap();
    assert!(second.cpu >= first.cpu && second.cpu_percent.is_some(), "{second:?}");
    bed.engine.stop(&id, Duration::ZERO).await.unwrap();
    let stopped = refused(bed.engine.stats(&id).await);
    assert!(matches!(stopped, EngineError::Conflict { .. }), "{stopped:?}");
}

async fn exit_codes_are_exact(bed: &Bed) {
    for code in [0, 1, 42, 255] {
        let id = bed.run(&format!("fox{code}"), &["sh", "-c", &format!("exit {code}")]).await;
        let seen = bed.exit(&id).await;
        assert!(matches!(seen.status, Status::Exited { code: found, .. } if found == code), "{seen:?}");
    }
}
