//! Several clients, slow ones, sizes.

use std::time::{Duration, Instant};

use super::{Scene, id, read, until, write};
use bytes::Bytes;
use podbay::bay::session::TermSize;
use podbay::supervisor::session::{Pace, Typed};

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

/// Who only draws is not sent what nobody could read, and sees the end as soon as it is there.
#[tokio::test]
async fn a_client_that_draws_frames_is_sent_the_screen_of_a_flood() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut frames = scene.look(id, 24, 80, Pace::Frames).await;
    // A little is a little for it, too.
    write(&mut program, b"a prompt$ ").await;
    frames.until_shows("a prompt$").await;
    assert_eq!(frames.resets, 1);
    // However slow this machine is at the moment: until there was a flood.
    let (seen, written) = (std::cell::Cell::new(false), std::cell::Cell::new(0));
    let flood = async {
        let lines = "a line of some length, again and again and again\r\n".repeat(4000);
        while !seen.get() {
            write(&mut program, lines.as_bytes()).await;
            written.set(written.get() + lines.len());
        }
        write(&mut program, b"\x1b[2J\x1b[Hthe end").await;
    };
    let look = async {
        while frames.resets < 4 {
            assert!(frames.next().await);
        }
        seen.set(true);
        frames.until_shows("the end").await;
    };
    tokio::join!(flood, look);
    assert!(frames.taken < written.get(), "it was sent {} bytes of {}", frames.taken, written.get());
    assert_eq!(frames.screen.text().lines().next(), Some("the end"));
    // The lines above it come once, when it is over.
    while frames.screen.scroll_to(1000) == 0 {
        assert!(frames.next().await);
    }
    assert_eq!(frames.screen.scroll_to(1000), 100);
    frames.screen.scroll_to(0);
    // Then it is as before.
    let resets = frames.resets;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    write(&mut program, b"\r\nand on").await;
    frames.until_shows("and on").await;
    assert_eq!(frames.resets, resets);
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

/// A warm worker's terminal that has its claimer's size already costs the claim no call.
#[tokio::test]
async fn a_size_that_a_terminal_has_is_not_told_again() {
    let scene = Scene::new();
    let (_, _program) = scene.open(false).await;
    let (engine, size, other) = (scene.engine(), TermSize::new(33, 111), TermSize::new(20, 70));
    let told = |size: TermSize| scene.stub.resizes.lock().unwrap().iter().filter(|(_, told)| *told == size).count();
    for _ in 0..3 {
        scene.sessions.fit(&engine, &id(), size).await.unwrap();
        assert_eq!(told(size), 1);
    }
    assert_eq!(scene.sessions.usual_size(), Some(size), "the next warm one is made so");
    scene.sessions.fit(&engine, &id(), other).await.unwrap();
    scene.sessions.fit(&engine, &id(), size).await.unwrap();
    assert_eq!((told(other), told(size)), (1, 2));
    // What the engine did not hear is not taken for told.
    scene.stub.away.store(true, std::sync::atomic::Ordering::Relaxed);
    scene.sessions.fit(&engine, &id(), other).await.unwrap_err();
    scene.stub.away.store(false, std::sync::atomic::Ordering::Relaxed);
    scene.sessions.fit(&engine, &id(), other).await.unwrap();
    assert_eq!(told(other), 2);
}
