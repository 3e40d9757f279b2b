//! The newest lines of the bay's history, kept for the next supervisor: what `events` and `why` tell is true over its end.
//!
//! One file, `history.json`, written anew soon after something happened: not synced, and nobody waits for it. Nothing is
//! decided by it, so a damaged one is only passed over; a kill costs the lines of the last moment.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::store::write_file;
use crate::api::types::{HistoryLine, Snapshot};

/// Lines that are kept.
const KEPT: usize = 200;
/// A longer text is cut: an engine's error may be of any length.
const TEXT: usize = 2000;
/// Lines that come together are written together.
const PAUSE: Duration = Duration::from_millis(500);
/// A larger file is not one of ours.
const MAX_BYTES: u64 = 4 << 20;
const FILE: &str = "history.json";
const VERSION: u32 = 1;

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    version: u32,
    lines: Vec<HistoryLine>,
}

/// What the last supervisor kept, the oldest first; nothing when there is nothing that can be read.
#[must_use]
pub fn load(state: &Path) -> Vec<HistoryLine> {
    let read = || -> io::Result<Stored> {
        let mut bytes = Vec::new();
        std::fs::File::open(state.join(FILE))?.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    };
    match read() {
        Ok(Stored { version: VERSION, mut lines }) => {
            // Their numbers rise, whoever wrote them.
            lines.sort_by_key(|line| line.seq);
            lines.dedup_by_key(|line| line.seq);
            lines
        }
        Ok(_) => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "the history of the last supervisor can't be read");
            Vec::new()
        }
    }
}

fn save(state: &Path, lines: &[HistoryLine]) -> io::Result<()> {
    let newest = lines.get(lines.len().saturating_sub(KEPT)..).unwrap_or_default();
    let cut = |line: &HistoryLine| HistoryLine { text: line.text.chars().take(TEXT).collect(), ..line.clone() };
    let bytes = serde_json::to_vec(&Stored { version: VERSION, lines: newest.iter().map(cut).collect() })?;
    let fresh = state.join("history.json.new");
    write_file(&fresh, &bytes, false)?;
    std::fs::rename(fresh, state.join(FILE))
}

/// Its only writer: a save that is still under way at the supervisor's end and the last one come one after the other.
pub struct Writer {
    state: PathBuf,
    /// The newest line that was written.
    newest: Mutex<u64>,
}

impl Writer {
    /// The writer of this state directory, which the caller has locked.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), newest: Mutex::new(0) }
    }

    /// Writes the newest of these lines; older ones than were written already are passed over.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, lines: &[HistoryLine]) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = lines.last().map_or(0, |line| line.seq);
        if last < *newest {
            return Ok(());
        }
        save(&self.state, lines)?;
        *newest = last;
        Ok(())
    }
}

/// Keeps it, until the end.
pub async fn keep(mut view: watch::Receiver<Arc<Snapshot>>, writer: Arc<Writer>, ending: CancellationToken) {
    let last = |view: &watch::Receiver<Arc<Snapshot>>| view.borrow().history.last().map(|line| line.seq);
    let mut written = last(&view);
    while view.changed().await.is_ok() && !ending.is_cancelled() {
        view.borrow_and_update();
        if last(&view) == written {
            continue;
        }
        tokio::time::sleep(PAUSE).await;
        let snapshot = view.borrow_and_update().clone();
        written = snapshot.history.last().map(|line| line.seq);
        let writer = writer.clone();
        let saved = tokio::task::spawn_blocking(move || writer.save(&snapshot.history)).await;
        // A full disk is said by what matters more.
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "the history can't be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, text: &str) -> HistoryLine {
        let at = jiff::Timestamp::from_second(1_700_000_000 + i64::try_from(seq).unwrap()).unwrap();
        HistoryLine { seq, at, name: Some("svc-db".to_owned()), text: text.to_owned() }
    }

    #[test]
    fn the_newest_lines_are_there_again_and_the_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), []);
        let lines: Vec<HistoryLine> = (1..=500).map(|seq| line(seq, "died")).collect();
        save(dir.path(), &lines).unwrap();
        let kept = load(dir.path());
        assert_eq!(kept, lines[300..]);
        save(dir.path(), &[line(7, &"\u{1b}é".repeat(100_000))]).unwrap();
        assert_eq!(load(dir.path())[0].text, "\u{1b}é".repeat(1000));
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    }

    #[test]
    fn a_save_that_comes_late_takes_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::new(dir.path());
        let lines: Vec<HistoryLine> = (1..=40).map(|seq| line(seq, "died")).collect();
        std::thread::scope(|scope| {
            for end in (1..=lines.len()).rev() {
                let (writer, lines) = (&writer, &lines[..end]);
                scope.spawn(move || writer.save(lines).unwrap());
            }
        });
        assert_eq!(load(dir.path()), lines);
        writer.save(&lines[..3]).unwrap();
        assert_eq!(load(dir.path()), lines);
    }

    #[test]
    fn a_damaged_file_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        save(dir.path(), &[line(1, "a"), line(2, "b")]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(load(dir.path()), [], "cut at {end}");
        }
        std::fs::write(&path, br#"{"version":2,"lines":[]}"#).unwrap();
        assert_eq!(load(dir.path()), []);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(load(dir.path()), []);
        assert!(save(dir.path(), &[line(3, "c")]).is_err(), "it says so");
    }
}
