//! Several clients, slow ones, sizes.

use std::time::{Duration, Instant};

use super::{Scene, read, until, write};
use bytes::Bytes;
use podbay::bay::session::TermSize;
use podbay::supervisor::session::Typed;

#[tokio::test]
async fn a_client_sees_the_screen_and_what_follows() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    write(&mut program, b"before").await;
    let mut first = scene.attach(id, 24, 80).await;
    first.until_shows("before").await;
    write(&mut program, b" \x1b[31mafter").await;
    first.until_shows("before after").await;
    let second = scene.attach(id, 24, 80).await;
    assert!(second.screen.text().starts_with("before after"));
    assert_eq!(scene.until_row(id, "two clients", |row| row.clients == 2).await.name, "fox");
    assert_eq!(scene.sessions.main_of("fox"), Some(id));
    drop(second);
    scene.until_row(id, "one client", |row| row.clients == 1).await;
}

/// X02: looking and going away types nothing.
#[tokio::test]
async fn a_thousand_detaches_type_nothing() {
    let mut scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    write(&mut program, b"\x1b[?1004h\x1b[?1000h\x1b[?2004h").await;
    for round in 0..1000_u16 {
        let viewer = scene.attach(id, 24 + round % 3, 80).await;
        drop(viewer);
    }
    scene.until_row(id, "no client", |row| row.clients == 0).await;
    assert!(scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"end"))).await);
    assert_eq!(read(&mut program, 3).await, b"end", "stray bytes were typed");
    assert!(scene.changed.try_recv().is_ok(), "changes are notified");
}

/// X03: the one who typed last has the size, the only one always, and the program is told ten times a second at most.
#[tokio::test]
async fn the_size_is_that_of_who_typed_last() {
    let scene = Scene::new();
    let (id, _program) = scene.open(false).await;
    let mut viewers = Vec::new();
    for i in 0..16_u16 {
        viewers.push(scene.attach(id, 20 + i, 60 + i).await);
    }
    assert_eq!(scene.row(id).size, TermSize::new(20, 60), "looking changes nothing");
    viewers[5].attachment.input.send(Typed::Bytes(Bytes::from_static(b"x"))).await.unwrap();
    scene.until_row(id, "the size of who typed", |row| row.size == TermSize::new(25, 65)).await;
    // A storm of all, and of the one whose size counts.
    let begun = Instant::now();
    for step in 0..60_u16 {
        for viewer in &viewers {
            viewer.attachment.input.send(Typed::Size(TermSize::new(30 + step, 100))).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.until_row(id, "the last size", |row| row.size == TermSize::new(89, 100)).await;
    until(
        "the last size at the program",
        || format!("{:?}", scene.stub.resizes.lock().unwrap()),
        || scene.stub.resizes.lock().unwrap().last().is_some_and(|(_, size)| *size == TermSize::new(89, 100)),
    )
    .await;
    let resizes = scene.stub.resizes.lock().unwrap().clone();
    let most = begun.elapsed().as_millis() / 100 + 3;
    let in_storm = resizes.iter().filter(|(at, _)| *at >= begun).count();
    assert!((in_storm as u128) <= most, "{in_storm} resizes, {most} allowed: {resizes:?}");
    for viewer in &mut viewers {
        while viewer.screen.size() != TermSize::new(89, 100) {
            assert!(viewer.next().await);
        }
    }
    let only = viewers.remove(0);
    drop(viewers);
    only.attachment.input.send(Typed::Size(TermSize::new(33, 99))).await.unwrap();
    scene.until_row(id, "the size of the only one", |row| row.size == TermSize::new(33, 99)).await;
}

/// X04: one that stops reading holds up nobody, and is shown the whole screen when it reads again.
#[tokio::test]
async fn a_client_that_does_not_read_is_resynced() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(scene.attach(id, 24, 80).await);
    }
    let mut brisk = scene.attach(id, 24, 80).await;
    let flood = async {
        let line = "a line of some length, again and again and again\r\n".repeat(200);
        for _ in 0..500 {
            write(&mut program, line.as_bytes()).await;
        }
        write(&mut program, b"\x1b[2J\x1b[Hthe end").await;
    };
    let begun = Instant::now();
    tokio::join!(flood, brisk.until_shows("the end"));
    println!("5 MB past 20 clients that do not read: {:?}", begun.elapsed());
    for viewer in &mut slow {
        viewer.until_shows("the end").await;
        assert!(viewer.resets >= 2, "it had missed something");
    }
    for viewer in slow.iter().chain([&brisk]) {
        assert_eq!(viewer.screen.text().lines().next(), Some("the end"));
    }
}

/// X04, the other half: clients that go away in the middle leave nothing behind.
#[tokio::test]
async fn clients_that_go_away_are_forgotten() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    for round in 0..200 {
        let viewer = scene.attach(id, 24, 80).await;
        write(&mut program, b"some output\r\n").await;
        if round % 2 == 0 {
            drop(viewer.attachment.output);
            scene.until_row(id, "no client", |row| row.clients == 0).await;
        }
    }
    scene.until_row(id, "no client", |row| row.clients == 0).await;
}

/// V02: the screen of an emulator that failed is asked for again, and the session goes on.
#[tokio::test]
async fn a_screen_that_broke_is_drawn_again() {
    crate::terminal::quiet();
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    let before = scene.stub.resizes.lock().unwrap().len();
    write(&mut program, "\x1b[24;80H\u{26a0}\u{fe0f}\x1b[23;80Hx".as_bytes()).await;
    until(
        "nudged",
        || format!("{:?}", scene.stub.resizes.lock().unwrap()),
        || scene.stub.resizes.lock().unwrap().len() >= before + 2,
    )
    .await;
    write(&mut program, b"\x1b[2J\x1b[Hdrawn again").await;
    viewer.until_shows("drawn again").await;
}
