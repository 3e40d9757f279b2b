//! Shells: one more process in a container.

use std::time::{Duration, Instant};

use super::{Scene, id as container, name, write};
use podbay::bay::session::{SessionKind, TermSize};
use podbay::engine::{EngineError, ExecState};

#[tokio::test]
async fn a_shell_is_the_best_there_is_on_a_good_terminal() {
    let scene = Scene::new();
    let (row, mut program) = scene.shell().await;
    assert_eq!((row.kind, row.title.as_str(), row.name.as_str()), (SessionKind::Shell, "shell", "fox"));
    let spec = scene.stub.execs.lock().unwrap().remove(0);
    assert_eq!(spec.tty, Some(TermSize::new(30, 90)));
    assert_eq!(spec.env.get("TERM").map(String::as_str), Some("xterm-256color"));
    assert_eq!(spec.env.get("COLORTERM").map(String::as_str), Some("truecolor"));
    assert!(spec.command.last().unwrap().contains("exec bash; exec sh"));
    write(&mut program, b"\x1b]0;editor\x07$ ").await;
    scene.until_row(row.id, "titled", |row| row.title == "editor").await;
    *scene.stub.exec.lock().unwrap() = ExecState::Exited { code: 5 };
    let mut viewer = scene.attach(row.id, 30, 90).await;
    drop(program);
    assert_eq!(viewer.until_ended().await, ("exited with code 5".to_owned(), Some(5)));
}

/// X05: a process in the background holds the tty; the shell's end is noticed all the same.
#[tokio::test]
async fn a_shell_ends_though_its_tty_stays_open() {
    let scenes: Vec<Scene> = (0..25).map(|_| Scene::new()).collect();
    let rounds = scenes.iter().map(|scene| async {
        let (row, mut program) = scene.shell().await;
        let mut viewer = scene.attach(row.id, 30, 90).await;
        write(&mut program, b"bye").await;
        *scene.stub.exec.lock().unwrap() = ExecState::Exited { code: 0 };
        let begun = Instant::now();
        assert_eq!(viewer.until_ended().await.1, Some(0));
        assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
        assert!(viewer.screen.text().contains("bye"));
        drop(program);
    });
    futures_util::future::join_all(rounds).await;
}

#[tokio::test]
async fn an_image_without_a_shell_is_told_as_such() {
    let scene = Scene::new();
    let failure = |message: &str| EngineError::Refused { what: "exec".to_owned(), message: message.to_owned() };
    *scene.stub.refusal.lock().unwrap() =
        Some(failure("OCI runtime exec failed: exec: \"sh\": executable file not found in $PATH"));
    let (engine, container, fox) = (scene.engine(), container(), name("fox"));
    let open = async |command: &[String]| {
        let opened = scene.sessions.open_shell(&engine, &container, &fox, super::shell(command));
        opened.await.unwrap_err().to_string()
    };
    assert_eq!(open(&[]).await, "open a shell in fox: the image has no shell (neither bash nor sh)");
    assert!(open(&["htop".to_owned()]).await.contains("executable file not found"));
    *scene.stub.refusal.lock().unwrap() = None;
    // Some engines say it on the stream, with the code that a shell would give.
    let (row, program) = scene.shell().await;
    *scene.stub.exec.lock().unwrap() = ExecState::Exited { code: 127 };
    drop(program);
    let row = scene.until_row(row.id, "ended", |row| row.ended.is_some()).await;
    assert_eq!(row.ended.as_deref(), Some("the image has no shell (neither bash nor sh)"));
}

#[tokio::test]
async fn closing_a_shell_ends_its_processes() {
    let scene = Scene::new();
    let (row, _program) = scene.shell().await;
    let mut viewer = scene.attach(row.id, 30, 90).await;
    assert!(scene.sessions.close(row.id).await);
    assert_eq!(viewer.until_ended().await.0, "closed");
    assert!(scene.sessions.rows().is_empty());
    let execs = scene.stub.execs.lock().unwrap().clone();
    let mark = format!("PODBAY_SESSION={}", execs[0].env["PODBAY_SESSION"]);
    let signals: Vec<&str> = execs[1..].iter().map(|spec| spec.command[4].as_str()).collect();
    assert_eq!(signals, ["HUP", "KILL"]);
    assert!(execs[1..].iter().all(|spec| spec.command[5] == mark && spec.env.is_empty()), "{execs:?}");
}

/// An exec's stream can't be opened again: what is not known to have ended is not said to have.
#[tokio::test]
async fn a_shell_whose_stream_is_cut_is_lost_and_said() {
    let scene = Scene::new();
    let (row, program) = scene.shell().await;
    drop(program);
    let row = scene.until_row(row.id, "ended", |row| row.ended.is_some()).await;
    assert!(row.ended.as_deref().unwrap().contains("runs on"), "{row:?}");
    assert!(scene.sessions.close(row.id).await);
    assert!(scene.stub.execs.lock().unwrap().len() > 1, "closing ends it");
}
