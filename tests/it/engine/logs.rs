//! FAULTS G on the fake: logs and terminals, whole and in time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use podbay::bay::container::ContainerId;
use podbay::engine::docker::MAX_LINE;
use podbay::engine::{EngineError, LogQuery};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::{Bed, PATIENCE, texts};
use crate::fake_daemon::Fault;

const LOGS: &str = "GET /containers/*/logs";
const FOLLOW: LogQuery = LogQuery { follow: true, tail: None, since: None };

async fn waiting(bed: &Bed, tty: bool) -> ContainerId {
    let mut spec = bed.spec("fox", &["sleep", "infinity"]);
    spec.tty = tty;
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    id
}

async fn truncated(runs: usize, lines: u64) {
    for run in 0..runs {
        let bed = Bed::fake();
        let daemon = bed.fake.as_ref().unwrap();
        // Clean ends and breaks, on a line's edge and inside, once and again.
        let cuts = [0, 1, 7, 100, 5000, 40_000];
        let cut = cuts[run % cuts.len()] + run;
        daemon.fail_next(LOGS, 1, if run % 2 == 0 { Fault::EndAfter(cut) } else { Fault::CutAfter(cut) });
        daemon.fail_next(LOGS, 1, Fault::CutAfter(cut * 2));
        let last = lines.to_string();
        let id = bed.run("fox", &["seq", "1", &last]).await;
        let found = bed.log(&id, FOLLOW).await;
        let wrong = found.iter().zip(1..).find(|(line, number)| line.bytes != number.to_string());
        assert_eq!((wrong, found.len() as u64), (None, lines), "run {run}, cut after {cut}");
    }
}

#[tokio::test]
async fn g03_a_follow_that_ends_early_is_completed() {
    truncated(12, 3000).await;
}

#[tokio::test]
async fn g03_a_cut_at_any_byte_of_a_line_splits_none() {
    for cut in 5000..5060 {
        let bed = Bed::fake();
        let daemon = bed.fake.as_ref().unwrap();
        let id = bed.run("fox", &["seq", "1", "200"]).await;
        bed.exit(&id).await;
        daemon.fail_next(LOGS, 1, if cut % 2 == 0 { Fault::EndAfter(cut) } else { Fault::CutAfter(cut) });
        let found = bed.log(&id, FOLLOW).await;
        let wrong = found.iter().zip(1..).find(|(line, number)| line.bytes != number.to_string());
        assert_eq!((wrong, found.len()), (None, 200), "cut after {cut}");
    }
}

#[tokio::test]
#[ignore = "the long form: 50 runs of 200000 lines"]
async fn g03_a_follow_that_ends_early_is_completed_50_times() {
    truncated(50, 200_000).await;
}

#[tokio::test]
async fn g07_repeats_are_kept_through_a_cut() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = waiting(&bed, false).await;
    for _ in 0..40 {
        daemon.write(id.as_str(), b"same\nsame\n");
    }
    daemon.fail_next(LOGS, 1, Fault::EndAfter(1000));
    daemon.kill(id.as_str(), 0);
    assert_eq!(texts(&bed.log(&id, FOLLOW).await), vec![(false, "same".to_owned()); 80]);
}

#[tokio::test]
async fn g06_a_follow_outlives_a_daemon() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = waiting(&bed, false).await;
    let mut log = bed.engine.logs(&id, &LogQuery { tail: Some(0), ..FOLLOW }).await.unwrap();
    for round in 0..5 {
        daemon.write(id.as_str(), format!("before {round}\n").as_bytes());
        let line = tokio::time::timeout(PATIENCE, log.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(line.bytes, format!("before {round}"));
        daemon.cut_all();
        daemon.write(id.as_str(), format!("while it was away {round}\n").as_bytes());
        let line = tokio::time::timeout(PATIENCE, log.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(line.bytes, format!("while it was away {round}"));
    }
    daemon.kill(id.as_str(), 0);
    assert!(tokio::time::timeout(PATIENCE, log.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_follow_says_when_the_engine_has_gone() {
    let mut bed = Bed::fake();
    let id = waiting(&bed, false).await;
    let mut log = bed.engine.logs(&id, &FOLLOW).await.unwrap();
    drop(bed.fake.take());
    let end = tokio::time::timeout(PATIENCE, log.next()).await.unwrap();
    assert!(matches!(end, Some(Err(EngineError::Away { .. }))), "{end:?}");
}

#[tokio::test]
async fn a_tail_is_followed_without_repeats() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = waiting(&bed, false).await;
    daemon.write(id.as_str(), b"one\ntwo\nthree\n");
    let mut log = bed.engine.logs(&id, &LogQuery { tail: Some(2), ..FOLLOW }).await.unwrap();
    daemon.write(id.as_str(), b"four\n");
    daemon.kill(id.as_str(), 0);
    let mut seen = Vec::new();
    while let Some(line) = tokio::time::timeout(PATIENCE, log.next()).await.unwrap() {
        seen.push(line.unwrap().bytes);
    }
    assert_eq!(seen, ["two", "three", "four"]);
}

#[tokio::test]
async fn g04_a_terminal_of_30_megabytes_without_a_line() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = waiting(&bed, true).await;
    let mut tty = bed.engine.attach(&id).await.unwrap();
    let begun = Instant::now();
    daemon.write(id.as_str(), b"\x00\x01\x02");
    let mut first = [0u8; 3];
    tokio::time::timeout(PATIENCE, tty.output.read_exact(&mut first)).await.unwrap().unwrap();
    assert!(first == [0, 1, 2] && begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    let size = 30 << 20;
    daemon.write(id.as_str(), &vec![b'#'; size]);
    let mut read = vec![0u8; size];
    let begun = Instant::now();
    tokio::time::timeout(PATIENCE, tty.output.read_exact(&mut read)).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "attached: {:?}", begun.elapsed());
    // And the same from the log.
    daemon.kill(id.as_str(), 0);
    let begun = Instant::now();
    let lines = bed.log(&id, LogQuery::default()).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "logged: {:?}", begun.elapsed());
    assert_eq!(lines.iter().map(|line| line.bytes.len()).sum::<usize>(), size + 3);
    assert!(lines.iter().all(|line| line.bytes.len() <= MAX_LINE));
    assert_eq!(lines[0].bytes.slice(..4), Bytes::from_static(b"\x00\x01\x02#"));
}

#[tokio::test]
async fn g04_the_beginning_of_a_line_is_shown_before_its_end() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = waiting(&bed, true).await;
    let mut log = bed.engine.logs(&id, &FOLLOW).await.unwrap();
    // The engine itself holds back a line without an end up to 16 KiB.
    daemon.write(id.as_str(), &[b'5'; 16 * 1024]);
    let begun = Instant::now();
    let line = tokio::time::timeout(PATIENCE, log.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(line.bytes.len(), 16 * 1024);
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    daemon.write(id.as_str(), b"0%\n");
    let line = tokio::time::timeout(PATIENCE, log.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(line.bytes, "0%");
}

#[tokio::test]
async fn x10_every_byte_is_typed_as_it_is_and_none_by_going_away() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = waiting(&bed, true).await;
    let all: Vec<u8> = (0..=255).collect();
    for round in 1..=20 {
        let mut tty = bed.engine.attach(&id).await.unwrap();
        tty.input.write_all(&all).await.unwrap();
        super::bed::until("it is typed", async || {
            let typed = daemon.typed(id.as_str());
            if typed.len() >= round * 256 { Ok(()) } else { Err(format!("{} bytes", typed.len())) }
        })
        .await;
        drop(tty);
    }
    assert_eq!(daemon.typed(id.as_str()), all.repeat(20));
}

#[tokio::test]
async fn a_reader_that_stops_reading_stops_the_engine() {
    let bed = Bed::fake();
    let id = bed.run("fox", &["seq", "1", "100000"]).await;
    bed.exit(&id).await;
    let mut log = bed.engine.logs(&id, &LogQuery::default()).await.unwrap();
    let first = log.next().await.unwrap().unwrap();
    assert_eq!(first.bytes, "1");
    drop(log);
    bed.engine.ping().await.unwrap();
}

#[tokio::test]
async fn x02_streams_that_nobody_reads_are_closed() {
    let bed = Bed::fake();
    let daemon = bed.fake.as_ref().unwrap();
    let id = waiting(&bed, true).await;
    let open = || daemon.store().connections;
    let before = open();
    for _ in 0..20 {
        let log = bed.engine.logs(&id, &FOLLOW).await.unwrap();
        let events = bed.engine.events(&bed.bay).await.unwrap();
        let tty = bed.engine.attach(&id).await.unwrap();
        assert!(open() >= 3);
        drop((log, events, tty));
    }
    // The pool keeps a few.
    super::bed::until("they are closed", async || {
        let now = open();
        if now <= before.max(8) { Ok(()) } else { Err(format!("{now} connections, {before} before")) }
    })
    .await;
}
