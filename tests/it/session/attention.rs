//! Whether a program waits for somebody, seen in what it writes: traces as agents make them, replayed. Row X09.

use bytes::Bytes;
use podbay::bay::attention::{Need, Source};
use podbay::supervisor::session::Typed;

use super::{Scene, write};

const PERMISSION: &[u8] = b"\x1b[2J\x1b[HBash command\r\n\r\n  rm -rf build\r\n\r\n\
    Do you want to proceed?\r\n\xe2\x9d\xaf 1. Yes\r\n  2. No, and tell it what to do differently";

#[tokio::test]
async fn an_agents_turn_is_followed_by_its_hooks() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    let state =
        |need| move |row: &podbay::api::types::SessionRow| row.attention.as_ref().is_some_and(|a| a.need == need);
    write(&mut program, b"\x1b]777;podbay;idle\x07> ").await;
    scene.until_row(id, "idle", state(Need::Idle)).await;
    scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"build it\r"))).await;
    write(&mut program, b"\x1b]777;podbay;working\x07thinking").await;
    scene.until_row(id, "working", state(Need::Working)).await;
    write(&mut program, b"\x1b]777;podbay;permission\x07\x07").await;
    let row = scene.until_row(id, "asking", state(Need::Permission)).await;
    assert_eq!(row.attention.unwrap().source, Source::Hook);
    scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"1"))).await;
    scene.until_row(id, "answered", |row| row.attention.is_none()).await;
    write(&mut program, b"\x1b]777;podbay;finished\x07").await;
    scene.until_row(id, "finished", state(Need::Finished)).await;
}

#[tokio::test]
async fn a_question_on_the_screen_is_seen_without_a_word_from_the_agent() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    write(&mut program, b"plain output\r\n").await;
    write(&mut program, PERMISSION).await;
    let row = scene.until_row(id, "asking", |row| row.attention.is_some()).await;
    let found = row.attention.unwrap();
    assert_eq!((found.need, found.source), (Need::Permission, Source::Screen));
    // Answered, it goes away with the question.
    scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"1"))).await;
    write(&mut program, b"\x1b[2J\x1b[Hdone").await;
    scene.until_row(id, "answered", |row| row.attention.is_none()).await;
}

#[tokio::test]
async fn a_bell_calls_and_one_that_ends_a_title_does_not() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    write(&mut program, b"\x1b]0;a title\x07").await;
    let row = scene.until_row(id, "titled", |row| row.title == "a title").await;
    assert_eq!(row.attention, None);
    write(&mut program, b"\x1b]9;4;1;50\x07\x1b]9;Claude needs your permission\x07").await;
    let row = scene.until_row(id, "asking", |row| row.attention.is_some()).await;
    let found = row.attention.unwrap();
    assert_eq!((found.need, found.source), (Need::Permission, Source::Notice));
    scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"y"))).await;
    scene.until_row(id, "answered", |row| row.attention.is_none()).await;
}

/// The supervisor was restarted while the agent stood at a question: its screen still says so.
#[tokio::test]
async fn a_question_outlives_the_supervisor() {
    let scene = Scene::new();
    scene.stub.history.lock().unwrap().extend(PERMISSION.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice));
    let (id, _program) = scene.open(true).await;
    let row = scene.until_row(id, "asking", |row| row.attention.is_some()).await;
    assert_eq!(row.attention.unwrap().source, Source::Screen);
}

#[tokio::test]
async fn a_bare_bell_is_a_question_and_one_after_a_key_is_an_answer() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    write(&mut program, b"\x07").await;
    let row = scene.until_row(id, "rung", |row| row.attention.is_some()).await;
    let found = row.attention.unwrap();
    assert_eq!((found.need, found.source), (Need::Question, Source::Bell));
    scene.sessions.send(id, Typed::Bytes(Bytes::from_static(b"\t"))).await;
    scene.until_row(id, "answered", |row| row.attention.is_none()).await;
    // A completion that found nothing rings, too. What follows shows that the bell was taken in.
    write(&mut program, b"\x07\x1b]0;rung\x07").await;
    let row = scene.until_row(id, "titled", |row| row.title == "rung").await;
    assert_eq!(row.attention, None);
}

#[tokio::test]
async fn titles_of_agents_reach_the_row() {
    let scene = Scene::new();
    let (id, mut program) = scene.open(false).await;
    for (title, need) in [("⠐ mends the tests", Need::Working), ("✳ waits", Need::Idle), ("⠂ goes on", Need::Working)]
    {
        write(&mut program, format!("\x1b]0;{title}\x07").as_bytes()).await;
        let known = |row: &podbay::api::types::SessionRow| row.attention.as_ref().is_some_and(|a| a.need == need);
        let row = scene.until_row(id, title, known).await;
        assert_eq!((row.attention.unwrap().source, row.title.as_str()), (Source::Title, title));
    }
}
