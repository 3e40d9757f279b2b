//! Reaching a supervisor, and what is said when that fails.

use std::os::unix::fs::PermissionsExt as _;

use super::fake::{House, router};

#[tokio::test(flavor = "multi_thread")]
async fn down_without_a_supervisor_starts_none_and_says_so() {
    let house = House::empty();
    let ran = house.run(&["down"]).await;
    assert!(ran.code == 3 && ran.err.contains("no supervisor runs for bay podbay"), "{ran:?}");
    assert!(!house.paths().state.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_is_no_supervisor() {
    let mut house = House::empty();
    let socket = house.paths().socket;
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(house.run(&["down"]).await.code, 3);
    std::fs::remove_file(&socket).unwrap();
    house.serve(router(house.seen.clone()));
    assert_eq!(house.run(&["down"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_socket_is_no_supervisor() {
    let house = House::empty();
    let socket = house.paths().socket;
    std::fs::create_dir_all(&socket).unwrap();
    assert_eq!(house.run(&["down"]).await.code, 3);
    std::fs::remove_dir(&socket).unwrap();
    std::fs::write(&socket, "").unwrap();
    assert_eq!(house.run(&["down"]).await.code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_can_not_be_made_is_named() {
    let house = House::empty();
    std::fs::write(house.dir.path().join("state"), "in the way").unwrap();
    let ran = house.run(&["ls"]).await;
    assert!(ran.code == 1 && ran.err.contains("directories can't be made"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_its_owners_only() {
    let house = House::empty();
    // Whatever becomes of the supervisor here, its log is opened first.
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_podbay"));
    command.args(["serve", "--background"]).env_clear().envs(house.vars()).env("DOCKER_HOST", "unix:///nonexistent");
    command.kill_on_drop(true).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let logs = house.paths().logs();
    let found = || {
        let entries = std::fs::read_dir(&logs).ok()?;
        entries.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with("supervisor."))
    };
    let deadline = tokio::time::Instant::now() + super::fake::LONG;
    let entry = loop {
        if let Some(entry) = found() {
            break entry;
        }
        assert!(tokio::time::Instant::now() < deadline, "no log in {}", logs.display());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let mut mode = 0;
    while tokio::time::Instant::now() < deadline && mode != 0o600 {
        mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(mode, 0o600);
    let _ = child.start_kill();
    let _ = child.wait().await;
}
