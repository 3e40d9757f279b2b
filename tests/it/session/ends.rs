//! How a stream's end is read, and what becomes of the screen.

use std::sync::atomic::Ordering;

use super::stub::{exited, running};
use super::{Scene, id as container, name, until, write};
use bytes::Bytes;
use podbay::bay::container::Status;
use podbay::bay::session::TermSize;
use podbay::supervisor::session::Pace;

#[tokio::test]
async fn an_exit_is_told_with_its_code_and_the_screen_stays() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    write(&mut program, b"last words").await;
    *scene.stub.status.lock().unwrap() = exited(3);
    drop(program);
    assert_eq!(viewer.until_ended().await, ("exited with code 3".to_owned(), Some(3)));
    assert!(viewer.screen.text().contains("last words"));
    let row = scene.until_row(id, "ended", |row| row.ended.is_some() && row.clients == 0).await;
    assert_eq!(row.ended.as_deref(), Some("exited with code 3"));
    let mut late = scene.attach(id, 24, 80).await;
    assert!(late.screen.text().contains("last words"));
    assert_eq!(late.until_ended().await.1, Some(3));
    assert!(scene.sessions.close(id).await && scene.sessions.rows().is_empty());
    assert!(
        !scene.sessions.close(id).await && scene.sessions.attach(id, TermSize::default(), Pace::Bytes).await.is_none()
    );
}

/// A stream that ends while the program runs was only cut: it is opened again, and the history fills the gap.
#[tokio::test]
async fn a_cut_stream_is_opened_again() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    write(&mut program, b"one\r\n").await;
    viewer.until_shows("one").await;
    *scene.stub.history.lock().unwrap() = vec![Bytes::from_static(b"one"), Bytes::from_static(b"missed")];
    drop(program);
    let mut program = scene.stub.program().await;
    viewer.until_shows("missed").await;
    assert_eq!(viewer.resets, 2);
    write(&mut program, b"\r\nlive").await;
    viewer.until_shows("live").await;
    assert!(scene.row(id).ended.is_none());
}

#[tokio::test]
async fn an_engine_that_is_away_ends_nothing() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    write(&mut program, b"kept").await;
    viewer.until_shows("kept").await;
    scene.stub.away.store(true, Ordering::Relaxed);
    drop(program);
    let row = scene.until_row(id, "away", |row| row.title.contains("away")).await;
    assert!(row.ended.is_none());
    assert!(scene.attach(id, 24, 80).await.screen.text().contains("kept"), "the screen is kept");
    let (engine, container, fox) = (scene.engine(), container(), name("fox"));
    let open = || scene.sessions.open_main(&engine, &container, &fox, TermSize::default(), true);
    assert!(open().await.is_err());
    scene.stub.away.store(false, Ordering::Relaxed);
    *scene.stub.history.lock().unwrap() = vec![Bytes::from_static(b"kept, and more")];
    assert_eq!(open().await.unwrap(), id, "one session a container");
    viewer.until_shows("and more").await;
    scene.until_row(id, "back", |row| row.title == "fox").await;
}

#[tokio::test]
async fn the_supervisor_ends_a_session_after_its_last_words() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    write(&mut program, b"last ").await;
    scene.sessions.container_ended(&container(), "killed: out of memory", Some(137));
    write(&mut program, b"words").await;
    drop(program);
    assert_eq!(viewer.until_ended().await, ("killed: out of memory".to_owned(), Some(137)));
    assert!(viewer.screen.text().contains("last words"));
    // A restart: the same session, the same screen, a new program.
    *scene.stub.status.lock().unwrap() = Status::Created { error: String::new() };
    let (again, mut program) = scene.open(false).await;
    assert_eq!(again, id);
    assert!(scene.row(id).ended.is_none());
    write(&mut program, b"hello again").await;
    let mut viewer = scene.attach(id, 24, 80).await;
    viewer.until_shows("hello again").await;
    assert!(viewer.screen.text().contains("last words"));
    scene.sessions.forget(&container());
    assert_eq!(viewer.until_ended().await.0, "the container is gone");
    assert!(scene.sessions.rows().is_empty());
}

#[tokio::test]
async fn an_adopted_session_begins_with_its_history_and_nudges_the_program() {
    let scene = Scene::new();
    *scene.stub.history.lock().unwrap() =
        vec![Bytes::from_static(b"first\x1b[6n"), Bytes::from_static(b"\x9csecond"), Bytes::from_static(b"$ ")];
    let (id, mut program) = scene.open(true).await;
    let viewer = scene.attach(id, 24, 80).await;
    assert_eq!(viewer.screen.text().trim_end(), "first\nsecond\n$", "whole characters, no end after the prompt");
    until(
        "nudged",
        || format!("{:?}", scene.stub.resizes.lock().unwrap()),
        || {
            let resizes = scene.stub.resizes.lock().unwrap();
            let sizes: Vec<TermSize> = resizes.iter().map(|(_, size)| *size).collect();
            sizes.contains(&TermSize::new(24, 79)) && sizes.last() == Some(&TermSize::new(24, 80))
        },
    )
    .await;
    scene.sessions.send(id, podbay::supervisor::session::Typed::Bytes(Bytes::from_static(b"x"))).await;
    assert_eq!(super::read(&mut program, 1).await, b"x", "questions in the history are not answered");
}

/// A shell draws its prompt anew when it is told of a size: on a line of its own, and not over the last one that there was.
#[tokio::test]
async fn the_last_line_of_a_history_is_not_drawn_over() {
    let scene = Scene::new();
    *scene.stub.history.lock().unwrap() = vec![Bytes::from_static(b"$ echo last\r"), Bytes::from_static(b"last\r")];
    let (id, mut program) = scene.open(true).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    write(&mut program, b"\r\x1b[K$ ls").await;
    viewer.until_shows("$ ls").await;
    assert_eq!(viewer.screen.text().trim_end(), "$ echo last\nlast\n$ ls");
}

/// The size is there at the first prompt: whoever attached before the start is waited for.
#[tokio::test]
async fn the_size_is_set_at_the_start() {
    let scene = Scene::new();
    *scene.stub.status.lock().unwrap() = Status::Created { error: String::new() };
    let (id, _program) = scene.open(false).await;
    let _viewer = scene.attach(id, 41, 133).await;
    scene.until_row(id, "the viewer's size", |row| row.size == TermSize::new(41, 133)).await;
    assert!(scene.stub.resizes.lock().unwrap().is_empty());
    *scene.stub.status.lock().unwrap() = running();
    scene.sessions.started(&container());
    until(
        "the size at the program",
        || format!("{:?}", scene.stub.resizes.lock().unwrap()),
        || scene.stub.resizes.lock().unwrap().first().is_some_and(|(_, size)| *size == TermSize::new(41, 133)),
    )
    .await;
    scene.sessions.renamed(&container(), &name("wolf"), None);
    scene.until_row(id, "the new name", |row| row.name == "wolf").await;
    assert_eq!((scene.sessions.main_of("wolf"), scene.sessions.main_of("fox")), (Some(id), None));
}
