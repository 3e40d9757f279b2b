use std::fs;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05.123456789Z".parse().unwrap()
}

fn texts(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().map(|entry| entry.bytes.clone()).collect()
}

fn all(dir: &Path) -> Vec<Entry> {
    Reader::new(dir, Position::default()).read(usize::MAX).unwrap()
}

#[test]
fn what_is_written_is_read_with_time_and_stream() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Writer::open(dir.path()).unwrap();
    log.take(false, b"one\ntw", now());
    log.take(true, b"err\xff\n", now());
    log.take(false, b"o\n\nlast", now());
    log.finish(now());
    let read = all(dir.path());
    assert_eq!(texts(&read), [&b"one"[..], b"err\xff", b"two", b"", b"last"]);
    assert_eq!(read.iter().map(|entry| entry.stderr).collect::<Vec<_>>(), [false, true, false, false, false]);
    assert!(read.iter().all(|entry| entry.at == Some(now())));
    let raw = fs::read_to_string(dir.path().join("0000000001.log"));
    assert!(raw.is_err(), "the bytes are the service's own");
}

#[test]
fn h08_a_line_of_ten_megabytes_and_nuls_survive() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Writer::open(dir.path()).unwrap();
    let long = vec![b'x'; 10 << 20];
    for chunk in long.chunks(300_000) {
        log.take(false, chunk, now());
        log.take(true, b"between\n", now());
    }
    log.take(false, b"\0\0\n", now());
    let read = all(dir.path());
    let out: Vec<&Entry> = read.iter().filter(|entry| !entry.stderr).collect();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].bytes.len(), long.len() + 2);
    assert!(out[0].bytes.ends_with(b"x\0\0"));
}

/// Whoever asks for many lines gets fewer when they are long: memory stays bounded.
#[test]
fn h08_long_lines_are_given_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Writer::open(dir.path()).unwrap();
    for count in 0..20_u8 {
        let mut line = vec![b'a' + count; 1 << 20];
        line.push(b'\n');
        log.take(false, &line, now());
    }
    let mut reader = Reader::new(dir.path(), Position::default());
    let mut seen = Vec::new();
    loop {
        let lines = reader.read(512).unwrap();
        let bytes: usize = lines.iter().map(|line| line.bytes.len()).sum();
        assert!(bytes <= 6 << 20, "{bytes} at once");
        match lines.len() {
            0 => break,
            _ => seen.extend(lines.into_iter().map(|line| (line.bytes[0], line.bytes.len()))),
        }
    }
    assert_eq!(seen, (0..20_u8).map(|count| (b'a' + count, 1 << 20)).collect::<Vec<_>>());
}

#[test]
fn a_reader_follows_across_rotation_and_is_told_of_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Writer::open(dir.path()).unwrap();
    log.set_limits(200, 3);
    let mut reader = Reader::new(dir.path(), Position::default());
    let mut seen = Vec::new();
    for count in 0..50 {
        log.take(false, format!("line {count}\n").as_bytes(), now());
        seen.extend(reader.read(1000).unwrap());
    }
    let expected: Vec<Vec<u8>> = (0..50).map(|count| format!("line {count}").into_bytes()).collect();
    assert_eq!(texts(&seen), expected);
    assert_eq!(numbers(dir.path()).len(), 3, "bounded");
    for count in 0..50 {
        log.take(false, format!("more {count}\n").as_bytes(), now());
    }
    let late = reader.read(1000).unwrap();
    assert!(
        String::from_utf8_lossy(&late[0].bytes).contains("rotated away before they were read")
            || late[0].bytes.starts_with(b"more"),
        "{late:?}"
    );
    assert!(late.iter().any(|entry| entry.bytes.starts_with(b"[podbay]")), "{late:?}");
    assert_eq!(late.last().unwrap().bytes, b"more 49");
}

#[test]
fn a_new_writer_goes_on_after_half_a_line_of_one_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Writer::open(dir.path()).unwrap();
    log.take(false, b"whole\n", now());
    drop(log);
    let path = path_of(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"2026-01-02T03:04:05Z stdo");
    fs::write(&path, bytes).unwrap();
    let mut log = Writer::open(dir.path()).unwrap();
    let from = log.position();
    log.take(false, b"next\n", now());
    assert_eq!(texts(&all(dir.path())), [&b"whole"[..], b"next"]);
    assert_eq!(texts(&Reader::new(dir.path(), from).read(10).unwrap()), [b"next"]);
}

#[test]
fn the_last_lines_are_whole_ones_also_across_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Writer::open(dir.path()).unwrap();
    log.set_limits(150_000, 10);
    for count in 0..10 {
        log.take(false, format!("short {count}\n").as_bytes(), now());
        log.take(false, &vec![b'a' + count; 100_000], now());
        log.take(false, b"\n", now());
    }
    for count in 0..22 {
        let read = Reader::tail(dir.path(), count).unwrap().read(100).unwrap();
        let whole = all(dir.path());
        let expected = &whole[whole.len().saturating_sub(usize::try_from(count).unwrap())..];
        assert!(read.len() >= expected.len() && read.ends_with(expected), "{count}: {}", read.len());
        assert!(read.len() <= expected.len() + 1, "{count}: {}", read.len());
    }
}

#[test]
fn g08_what_can_not_be_written_is_counted_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let log_dir = dir.path().join("log");
    let mut log = Writer::open(&log_dir).unwrap();
    fs::remove_dir_all(&log_dir).unwrap();
    fs::write(&log_dir, "in the way").unwrap();
    log.take(false, b"a\nb\n", now());
    assert_eq!(log.dropped(), 2);
    fs::remove_file(&log_dir).unwrap();
    fs::create_dir(&log_dir).unwrap();
    log.take(false, b"c\n", now());
    let read = all(&log_dir);
    assert_eq!(read[0].bytes, b"c");
    assert!(String::from_utf8_lossy(&read[1].bytes).contains("2 lines could not be written"), "{read:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_in_any_pieces_come_back_line_by_line(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>().prop_filter("an end", |b| *b != b'\n'), 0..200), 0..40),
        cut in 1usize..50,
        size in 100u64..2000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Writer::open(dir.path()).unwrap();
        log.set_limits(size, 1_000);
        let stream: Vec<u8> = lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        let mut reader = Reader::new(dir.path(), Position::default());
        let mut read = Vec::new();
        for piece in stream.chunks(cut) {
            log.take(false, piece, now());
            read.extend(reader.read(3).unwrap());
        }
        read.extend(reader.read(usize::MAX).unwrap());
        prop_assert_eq!(texts(&read), lines);
    }
}
