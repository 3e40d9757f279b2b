//! What reaches the program.

use super::{Scene, read, write};
use bytes::Bytes;
use podbay::supervisor::session::Typed;

/// V06: however many look, a question is answered once.
#[tokio::test]
async fn a_question_is_answered_once() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut first = scene.attach(id, 24, 80).await;
    let mut second = scene.attach(id, 24, 80).await;
    write(&mut program, b"ab\x1b[6n\x1b[cdone").await;
    first.until_shows("abdone").await;
    second.until_shows("abdone").await;
    scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"!"))).await;
    let expected = b"\x1b[1;3R\x1b[?62;22c!";
    assert_eq!(read(&mut program, expected.len()).await, expected);
}

/// X10: every byte arrives as it is, and a paste is bracketed when the program asked for it.
#[tokio::test]
async fn all_bytes_arrive_as_they_are() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    let all: Vec<u8> = (0..=255).collect();
    viewer.attachment.input.send(Typed::Bytes(Bytes::from(all.clone()))).await.unwrap();
    assert_eq!(read(&mut program, 256).await, all);
    viewer.attachment.input.send(Typed::Bytes(Bytes::from_static(b"\x10\x11\x10"))).await.unwrap();
    assert_eq!(read(&mut program, 3).await, b"\x10\x11\x10");
    viewer.attachment.input.send(Typed::Paste("a\nb".to_owned())).await.unwrap();
    assert_eq!(read(&mut program, 3).await, b"a\rb");
    write(&mut program, b"\x1b[?2004hready").await;
    viewer.until_shows("ready").await;
    viewer.attachment.input.send(Typed::Paste("x\x1b[201~y".to_owned())).await.unwrap();
    assert_eq!(read(&mut program, 14).await, b"\x1b[200~xy\x1b[201~");
    let megabyte = "0123456789abcdef".repeat(1 << 16);
    viewer.attachment.input.send(Typed::Paste(megabyte.clone())).await.unwrap();
    let read = read(&mut program, megabyte.len() + 12).await;
    assert!(read[6..read.len() - 6] == *megabyte.as_bytes(), "the paste is not what was pasted");
}

/// X11: input for a program that does not read is held up to 1 MiB, then dropped and said; the session lives on.
#[tokio::test]
async fn a_program_that_does_not_read_holds_up_nothing() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let mut viewer = scene.attach(id, 24, 80).await;
    let block = Bytes::from(vec![b'k'; 64 * 1024]);
    for _ in 0..48 {
        viewer.attachment.input.send(Typed::Bytes(block.clone())).await.unwrap();
    }
    scene.until_row(id, "said", |row| row.title.contains("does not read")).await;
    assert!(!scene.sessions.send(id, Typed::Bytes(block.clone())).await);
    write(&mut program, b"still drawn").await;
    viewer.until_shows("still drawn").await;
    // What was taken is delivered, all of it and nothing more: the queue, and what fits into the tty.
    let mut taken = 0;
    while scene.row(id).title.contains("does not read") {
        taken += read(&mut program, 1024).await.len();
    }
    assert!(scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"end"))).await);
    loop {
        let byte = read(&mut program, 1).await;
        if byte == b"e" {
            break;
        }
        taken += 1;
    }
    assert_eq!(read(&mut program, 2).await, b"nd");
    assert_eq!(taken % block.len(), 0, "no part of a block was dropped");
    assert!((1 << 20..(1 << 20) + (256 << 10)).contains(&taken), "{taken} bytes were held");
}
