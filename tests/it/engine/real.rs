//! What only a real engine can show. Skipped by name where there is none.

use std::time::{Duration, Instant};

use podbay::bay::container::NetworkSpec;
use podbay::bay::mount::Mount;
use podbay::bay::session::TermSize;
use podbay::bay::size::ByteSize;
use podbay::engine::{ExecIo, ExecSpec, LogQuery};
use tokio::io::AsyncWriteExt;

use super::bed::{Bed, read_until, until};
use crate::bay::measured;

#[tokio::test]
async fn a_bash_of_the_host_image_has_the_hosts_tools() {
    let Some(bed) = Bed::docker("a_bash_of_the_host_image_has_the_hosts_tools").await else { return };
    let mut spec = bed.spec("fox", &["bash", "--norc"]);
    (spec.tty, spec.user) = (true, Some("1000:1000".to_owned()));
    spec.env.insert("PS1".to_owned(), "ready> ".to_owned());
    let id = bed.create(&spec).await;
    let mut tty = bed.engine.attach(&id).await.unwrap();
    bed.engine.start(&id).await.unwrap();
    read_until(&mut tty.output, b"ready> ").await;
    tty.input.write_all(b"git --version && python3 --version; id -u; ls /home | wc -l; echo d'o'ne\n").await.unwrap();
    let seen = String::from_utf8_lossy(&read_until(&mut tty.output, b"done\r\n").await).into_owned();
    assert!(seen.contains("git version") && seen.contains("Python 3"), "{seen}");
    assert!(seen.contains("\r\n1000\r\n0\r\n"), "{seen}");
}

#[tokio::test]
async fn all_of_the_walls_stand() {
    let Some(bed) = Bed::docker("all_of_the_walls_stand").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "cp /usr/bin/env /tmp/run && /tmp/run true && echo tmp-runs; touch /x 2>&1; touch /usr/x 2>&1; \
                  grep -E 'NoNewPrivs|CapBnd' /proc/self/status; ulimit -n; touch /workspace/made && echo made";
    let mut spec = bed.spec("fox", &["sh", "-c", script]);
    spec.hardening.read_only = true;
    spec.network = NetworkSpec::None;
    spec.workdir = Some("/workspace".into());
    spec.mounts = vec![Mount { source: folder.path().into(), target: "/workspace".into(), read_only: false }];
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    bed.exit(&id).await;
    let log = bed.log(&id, LogQuery::default()).await;
    let text: Vec<String> = log.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect();
    let text = text.join("\n");
    for words in ["tmp-runs", "'/x': Read-only", "'/usr/x': Read-only", "NoNewPrivs:\t1", "\n1024\n", "made"] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    // KILL alone is left.
    assert!(text.contains("CapBnd:\t0000000000000020"), "{text}");
    assert!(folder.path().join("made").exists());
    let shape = bed.engine.describe(&id).await.unwrap();
    let host = &shape["HostConfig"];
    assert_eq!((&host["NanoCpus"], &host["PidsLimit"]), (&1_000_000_000i64.into(), &100.into()));
    assert_eq!((&host["Memory"], &host["MemorySwap"]), (&(256 << 20).into(), &(256 << 20).into()));
    assert_eq!(host["LogConfig"]["Config"]["max-file"], "2");
}

#[tokio::test]
async fn x10_every_byte_goes_through_a_real_terminal() {
    let Some(bed) = Bed::docker("x10_every_byte_goes_through_a_real_terminal").await else { return };
    let script = "stty raw -echo; printf ready; head -c 257 | od -An -v -tu1 | tr -s ' \\n' ' '; printf end";
    let mut spec = bed.spec("fox", &["sh", "-c", script]);
    spec.tty = true;
    let id = bed.create(&spec).await;
    let mut main = bed.engine.attach(&id).await.unwrap();
    bed.engine.start(&id).await.unwrap();
    let exec = ExecSpec {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        tty: Some(TermSize::default()),
        ..ExecSpec::default()
    };
    let holder = bed.run("owl", &["sleep", "infinity"]).await;
    let exec = bed.engine.exec(&holder, &exec).await.unwrap();
    let ExecIo::Tty(mut shell) = exec.io else { panic!("not a terminal") };
    for tty in [&mut main, &mut shell] {
        read_until(&mut tty.output, b"ready").await;
        // One at a time, as they are typed, the detach keys of any engine among them.
        for byte in (0..=255u8).chain([b'.']) {
            tty.input.write_all(&[byte]).await.unwrap();
            tty.input.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        let seen = read_until(&mut tty.output, b"end").await;
        let numbers: Vec<u16> =
            String::from_utf8_lossy(&seen).split_whitespace().filter_map(|w| w.parse().ok()).collect();
        assert_eq!(numbers, (0..=255).chain([46]).collect::<Vec<_>>());
    }
}

/// The engine holds back what may begin its detach keys.
async fn alone(bed: &Bed) {
    let echo = ["sh", "-c", "stty raw -echo; printf ready; exec cat"];
    let mut spec = bed.spec("fox", &echo);
    spec.tty = true;
    let id = bed.create(&spec).await;
    let mut main = bed.engine.attach(&id).await.unwrap();
    bed.engine.start(&id).await.unwrap();
    read_until(&mut main.output, b"ready").await;
    let command = echo.map(str::to_owned).to_vec();
    let shell = ExecSpec { command, tty: Some(TermSize::default()), ..ExecSpec::default() };
    let ExecIo::Tty(mut shell) = bed.engine.exec(&id, &shell).await.unwrap().io else { panic!("not a terminal") };
    read_until(&mut shell.output, b"ready").await;
    for byte in 0..=255u8 {
        // On no keyboard, and in no UTF-8 text.
        if byte != 0xff {
            main.input.write_all(&[byte]).await.unwrap();
            read_until(&mut main.output, &[byte]).await;
        }
        if byte != 0x1c {
            shell.input.write_all(&[byte]).await.unwrap();
            read_until(&mut shell.output, &[byte]).await;
        }
    }
    // The one that waits is let go by itself, too.
    shell.input.write_all(&[0x1c]).await.unwrap();
    shell.input.flush().await.unwrap();
    tokio::task::yield_now().await;
    shell.input.write_all(&[0x1c]).await.unwrap();
    read_until(&mut shell.output, &[0x1c, 0x1c]).await;
}

#[tokio::test]
async fn x10_a_key_waits_for_no_other() {
    if let Some(bed) = Bed::docker("x10_a_key_waits_for_no_other").await {
        alone(&bed).await;
    }
    if let Some(bed) = Bed::podman("x10_a_key_waits_for_no_other").await {
        alone(&bed).await;
    }
}

#[tokio::test]
async fn d10_figures_come_from_the_kernel_when_the_engine_is_local() {
    let Some(bed) = Bed::docker("d10_figures_come_from_the_kernel_when_the_engine_is_local").await else { return };
    if !bed.engine.identify().await.unwrap().local {
        return;
    }
    let id = bed.run("fox", &["sh", "-c", "while :; do :; done"]).await;
    bed.engine.stats(&id).await.unwrap();
    let begun = Instant::now();
    for _ in 0..10 {
        bed.engine.stats(&id).await.unwrap();
    }
    // The engine itself takes a second for each.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // The engine's own threads are counted until the program has taken their place.
    let stats = until("init and shell are alone", async || {
        let stats = bed.engine.stats(&id).await.unwrap();
        if stats.pids == 2 { Ok(stats) } else { Err(format!("{stats:?}")) }
    })
    .await;
    assert_eq!((stats.memory_limit, stats.network), (Some(256 << 20), Some((0, 0))));
}

#[tokio::test]
#[ignore = "the long form: 50 followed logs of 200000 lines, under load"]
async fn g03_followed_logs_are_complete_50_times() {
    let Some(bed) = Bed::docker("g03_followed_logs_are_complete_50_times").await else { return };
    for run in 0..50 {
        let id = bed.run(&format!("fox{run}"), &["seq", "1", "200000"]).await;
        let lines = bed.log(&id, LogQuery { follow: true, ..LogQuery::default() }).await;
        let wrong = lines.iter().zip(1..).find(|(line, number)| line.bytes != number.to_string());
        assert_eq!((wrong, lines.len()), (None, 200_000), "run {run}");
        bed.engine.remove(&id).await.unwrap();
    }
}

/// Row G05: a log that is turned over while it is followed. The engine throws lines away then, tears the one that it reads
/// and now and then goes back by some, and says nothing of it; the last one comes, and soon, and nothing that was never
/// written.
async fn turned_over(bed: &Bed, files: u32, count: u64) {
    let last = count.to_string();
    let mut spec = bed.spec(&format!("fox{files}"), &["seq", "1", &last]);
    spec.limits.log_max_size = ByteSize::bytes(10 << 10);
    spec.limits.log_max_files = files;
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let begun = Instant::now();
    let lines = bed.log(&id, LogQuery { follow: true, ..LogQuery::default() }).await;
    let took = begun.elapsed();
    // A line that was being read when its file was thrown away comes torn.
    let numbers: Vec<u64> =
        lines.iter().filter_map(|line| std::str::from_utf8(&line.bytes).ok()?.parse().ok()).collect();
    let torn = lines.len() - numbers.len();
    assert!(torn <= 1 + lines.len() / 10, "{torn} of {} lines are torn", lines.len());
    let back = numbers.windows(2).filter(|two| two[0] >= two[1]).count();
    assert!(back <= 1 + numbers.len() / 10, "{back} times back in {} lines", numbers.len());
    assert!(numbers.iter().all(|number| (1..=count).contains(number)), "one that was never written");
    assert_eq!(numbers.last(), Some(&count), "the end is missing");
    assert!(took < Duration::from_secs(20), "the end came after {took:?}");
    measured(&format!(
        "G05: {files} files of 10 kB: {} of {count} lines came, {torn} torn, {back} times back, the last after {took:?}",
        numbers.len()
    ));
}

#[tokio::test]
async fn g05_a_log_that_is_turned_over_does_not_stall() {
    let Some(bed) = Bed::docker("g05_a_log_that_is_turned_over_does_not_stall").await else { return };
    turned_over(&bed, 1, 100_000).await;
    turned_over(&bed, 3, 100_000).await;
}
