//! What the local engine leaves behind, and what it must not: shims, health, descriptions, the next run of a container.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use podbay::bay::container::{ContainerSpec, HealthState, Status};
use podbay::bay::mount::Mount;
use podbay::bay::template::Health;

use super::bed::{Bed, until};

/// Shims of this bed's containers.
fn shims(state: &Path) -> Vec<u32> {
    called(state, "container-shim")
}

/// Processes of this bed that are called so.
fn called(state: &Path, verb: &str) -> Vec<u32> {
    let text = state.display().to_string();
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ours = |pid: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains(&text) && line.contains(verb)
    };
    pids.filter(ours).collect()
}

#[tokio::test]
async fn a_container_that_never_ran_goes_with_its_shim() {
    let Some(bed) = Bed::local("a_container_that_never_ran_goes_with_its_shim") else { return };
    let state = bed.state().unwrap();
    let mut spec = bed.spec("fox", &["cat"]);
    spec.tty = true;
    let id = bed.create(&spec).await;
    assert_eq!(shims(&state), [0; 0]);
    // Who attaches to it has a shim wait for the start.
    let tty = bed.engine.attach(&id).await.unwrap();
    assert_eq!(shims(&state).len(), 1);
    bed.engine.remove(&id).await.unwrap();
    until("its shim is gone", async || {
        let left = shims(&state);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    drop(tty);
    let containers = state.join("podbay").join(bed.bay.as_str()).join("containers");
    assert_eq!(std::fs::read_dir(containers).unwrap().count(), 0);
}

/// What shims are forked from is one process, that nothing depends on but the next of them.
#[tokio::test]
async fn a_zygote_that_is_killed_takes_nothing_along_and_is_begun_again() {
    let Some(bed) = Bed::local("a_zygote_that_is_killed_takes_nothing_along_and_is_begun_again") else { return };
    let state = bed.state().unwrap();
    let begun = async |name: &str| {
        let id = bed.create(&bed.spec(name, &["sleep", "infinity"])).await;
        bed.engine.start(&id).await.unwrap();
        id
    };
    let (fox, owl) = (begun("fox").await, begun("owl").await);
    let found = called(&state, "container-zygote");
    let [zygote] = found.as_slice() else { panic!("{found:?}") };
    // Nothing of who began it, nor of a container, is in it or in what it forks.
    for pid in [vec![*zygote], shims(&state), called(&state, "container-init")].concat() {
        assert_eq!(std::fs::read(format!("/proc/{pid}/environ")).unwrap(), b"", "{pid}");
    }
    let fds = std::fs::read_dir(format!("/proc/{zygote}/fd")).unwrap().count();
    assert_eq!(fds, 4, "its streams and the way to its engine");
    let pid = rustix::process::Pid::from_raw(i32::try_from(*zygote).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    begun("hen").await;
    for id in [&fox, &owl] {
        assert!(bed.engine.inspect(id).await.unwrap().status.is_running());
    }
    assert_ne!(called(&state, "container-zygote"), found);
}

/// The first process makes its world before it is wanted: why it could not is told to who wants it.
#[tokio::test]
async fn what_fails_before_the_start_is_told_by_the_start() {
    let Some(bed) = Bed::local("what_fails_before_the_start_is_told_by_the_start") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut spec = bed.spec("fox", &["cat"]);
    spec.tty = true;
    spec.mounts.push(Mount { source: folder.path().into(), target: "/given".into(), read_only: true });
    let id = bed.create(&spec).await;
    let gone = folder.path().display().to_string();
    drop(folder);
    let tty = bed.engine.attach(&id).await.unwrap();
    // Its first process has ended by then.
    until("the first process has ended", async || {
        let left = called(&bed.state().unwrap(), "container-init");
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let why = bed.engine.start(&id).await.unwrap_err().to_string();
    assert!(why.contains(&gone) && why.contains("No such file"), "{why}");
    let Status::Created { error } = bed.engine.inspect(&id).await.unwrap().status else { panic!("it runs") };
    assert!(error.contains(&gone), "{error}");
    drop(tty);
}

/// Its shim has told its end, and goes at this moment.
#[tokio::test]
async fn a_container_is_started_again_in_the_moment_of_its_end() {
    let Some(bed) = Bed::local("a_container_is_started_again_in_the_moment_of_its_end") else { return };
    let id = bed.create(&bed.spec("fox", &["true"])).await;
    for turn in 0..40 {
        if let Err(error) = bed.engine.start(&id).await {
            panic!("turn {turn}: {error}");
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while bed.engine.inspect(&id).await.unwrap().status.is_running() {
            assert!(tokio::time::Instant::now() < deadline, "it does not end");
            tokio::task::yield_now().await;
        }
    }
}

fn checked(bed: &Bed, test: &str) -> ContainerSpec {
    let span = |text: &str| serde_json::from_value(serde_json::json!(text)).unwrap();
    let test = ["sh", "-c", test].map(str::to_owned).to_vec();
    let health = Health { test, interval: span("100ms"), timeout: span("1s"), retries: 2 };
    ContainerSpec { health: Some(health), ..bed.spec("fox", &["sleep", "infinity"]) }
}

#[tokio::test]
async fn a_health_check_is_asked_and_told() {
    let Some(bed) = Bed::local("a_health_check_is_asked_and_told") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut spec = checked(&bed, "test -e /given/well || { seq 100000; exit 3; }");
    spec.mounts.push(Mount { source: folder.path().into(), target: "/given".into(), read_only: true });
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    assert_eq!(bed.engine.inspect(&id).await.unwrap().health, Some(HealthState::Starting));
    let is = async |state: HealthState, failed: u32| {
        until(&format!("it is {state:?}"), async || {
            let seen = bed.engine.inspect(&id).await.unwrap();
            if seen.health == Some(state) && seen.failed_probes >= failed { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    };
    is(HealthState::Unhealthy, 2).await;
    std::fs::write(folder.path().join("well"), "").unwrap();
    is(HealthState::Healthy, 0).await;
    assert_eq!(bed.engine.inspect(&id).await.unwrap().failed_probes, 0);
    // The next supervisor sees the same; nobody sees anything of one that does not run.
    assert_eq!(bed.another().unwrap().inspect(&id).await.unwrap().health, Some(HealthState::Healthy));
    bed.engine.stop(&id, Duration::ZERO).await.unwrap();
    assert_eq!(bed.engine.inspect(&id).await.unwrap().health, None);
}

#[tokio::test]
async fn a_probe_that_hangs_is_killed_with_all_of_it() {
    let Some(bed) = Bed::local("a_probe_that_hangs_is_killed_with_all_of_it") else { return };
    let mut spec = checked(&bed, "sleep 4711 & sleep 4711");
    if let Some(health) = &mut spec.health {
        health.timeout = serde_json::from_value(serde_json::json!("200ms")).unwrap();
    }
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    until("it is unhealthy", async || {
        let seen = bed.engine.inspect(&id).await.unwrap();
        if seen.health == Some(HealthState::Unhealthy) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    let Status::Running { pid, .. } = bed.engine.inspect(&id).await.unwrap().status else { panic!("not running") };
    // At most that of the present probe.
    let sleeping = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/pid")).ok();
        let own = namespace(&pid.to_string());
        let names = all.filter_map(|entry| entry.file_name().into_string().ok());
        let inside = names.filter(|name| name.parse::<u32>().is_ok() && namespace(name) == own);
        let lines = inside.map(|name| std::fs::read_to_string(format!("/proc/{name}/cmdline")).unwrap_or_default());
        lines.filter(|line| line.starts_with("sleep\u{0}4711")).count()
    };
    assert!(sleeping() <= 2, "{} are left", sleeping());
}

#[tokio::test]
async fn what_was_made_is_described_with_its_command_and_mounts() {
    let Some(bed) = Bed::local("what_was_made_is_described_with_its_command_and_mounts") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut spec = bed.spec("fox", &["sleep", "infinity"]);
    spec.mounts.push(Mount { source: folder.path().into(), target: "/given".into(), read_only: true });
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let told = bed.engine.describe(&id).await.unwrap();
    assert_eq!(told["Config"]["Cmd"], serde_json::json!(["sleep", "infinity"]), "{told}");
    let mounts = told["Mounts"].as_array().unwrap();
    let given = serde_json::json!({"Source": folder.path(), "Destination": "/given", "RW": false});
    assert!(mounts.contains(&given) && mounts.iter().any(|mount| mount["Destination"] == "/usr"), "{told}");
    assert_eq!(told["Memory"], serde_json::json!(["/run"]), "{told}");
}
