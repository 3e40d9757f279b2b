//! What an inspect said of a running container, kept while nothing that a list or the kernel shows has changed.
//!
//! A bay of hundreds is looked at every few seconds: an inspect of each would be the largest part of what podbay costs
//! while nothing happens, in the engine as well.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::observe::Row;
use crate::bay::container::{Observed, Status};

/// By id, what was seen of the running containers of the last list.
pub struct Known {
    /// `/` but in tests.
    root: PathBuf,
    rows: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    row: Row,
    seen: Observed,
    /// When its main process began, in the kernel's ticks.
    began: u64,
}

/// What a list found of one container.
pub struct Found {
    row: Row,
    /// As an inspect told it.
    pub seen: Observed,
    /// When its main process began, where that was looked up already.
    began: Option<u64>,
}

impl Found {
    /// What an inspect has just told.
    pub const fn new(row: Row, seen: Observed) -> Self {
        Self { row, seen, began: None }
    }

    /// What was known before.
    pub fn known(row: Row, still: Still) -> Self {
        Self { row, seen: still.seen, began: Some(still.began) }
    }
}

/// What is still true of a container.
pub struct Still {
    seen: Observed,
    began: u64,
}

impl Known {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), rows: Mutex::default() }
    }

    /// What is still true of a row's container, without asking.
    pub fn still(&self, row: &Row) -> Option<Still> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = rows.get(&row.id)?;
        let same = row.runs() && entry.row.is_alike(row) && self.began(&entry.seen) == Some(entry.began);
        same.then(|| Still { seen: entry.seen.clone(), began: entry.began })
    }

    /// Keeps what a list found, and forgets all else. A row whose container changed between the list and its inspect
    /// shows it in the next list.
    pub fn keep(&self, found: Vec<Found>) {
        let entry = |Found { row, seen, began }: Found| {
            // Not every engine's list tells of health.
            if !row.runs() || seen.health.is_some() {
                return None;
            }
            let began = began.or_else(|| self.began(&seen))?;
            // Labels never change, and would be kept twice.
            Some((row.id.clone(), Entry { row: row.without_labels(), seen, began }))
        };
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = found.into_iter().filter_map(entry).collect();
    }

    /// When the main process of a running container began.
    fn began(&self, seen: &Observed) -> Option<u64> {
        let Status::Running { pid: pid @ 1.., paused: false, .. } = seen.status else { return None };
        let stat = std::fs::read_to_string(self.root.join(format!("proc/{pid}/stat"))).ok()?;
        // The name before it may hold anything, also brackets and spaces.
        stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: &str, name: &str) -> Row {
        let shape =
            serde_json::json!({"Id": "ab", "Names": [format!("/{name}")], "State": "running", "Status": status});
        serde_json::from_value(shape).unwrap()
    }

    fn seen(pid: u32) -> Observed {
        let running = Status::Running { pid, since: jiff::Timestamp::UNIX_EPOCH, paused: false };
        let error = crate::engine::EngineError::Failed { what: String::new(), message: String::new() };
        Observed { status: running, ..row("", "fox").unclear(&error) }
    }

    fn still(known: &Known, row: Row) -> Option<Observed> {
        known.still(&row).map(|still| Found::known(row, still).seen)
    }

    fn process(root: &Path, began: u64) {
        let dir = root.join("proc/7");
        std::fs::create_dir_all(&dir).unwrap();
        let fields = ["0"; 18].join(" ");
        std::fs::write(dir.join("stat"), format!("7 (a ) S b) S {fields} {began} 0 0")).unwrap();
    }

    #[test]
    fn only_what_runs_unchanged_is_not_asked_again() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 100);
        let known = Known::new(root.path());
        let kept = || known.keep(vec![Found::new(row("Up 3 minutes", "fox"), seen(7))]);
        assert_eq!(still(&known, row("Up 3 minutes", "fox")), None, "never seen");
        kept();
        assert_eq!(still(&known, row("Up 4 minutes", "fox")), Some(seen(7)), "only older");
        assert_eq!(still(&known, row("Up 4 minutes", "owl")), None, "renamed");
        assert_eq!(still(&known, row("Up 4 minutes (Paused)", "fox")), None, "paused");
        process(root.path(), 101);
        assert_eq!(still(&known, row("Up 1 second", "fox")), None, "another process of the same number");
        kept();
        std::fs::remove_dir_all(root.path().join("proc")).unwrap();
        assert_eq!(still(&known, row("Up 4 minutes", "fox")), None, "its process is gone");
        known.keep(vec![Found::new(row("Up 3 minutes", "fox"), seen(0))]);
        assert_eq!(still(&known, row("Up 4 minutes", "fox")), None, "a process that is not here");
    }

    #[test]
    fn what_has_a_health_check_is_asked_each_time() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 100);
        let known = Known::new(root.path());
        let starting = Observed { health: Some(crate::bay::container::HealthState::Starting), ..seen(7) };
        known.keep(vec![Found::new(row("Up 3 minutes", "fox"), starting)]);
        assert_eq!(still(&known, row("Up 3 minutes", "fox")), None);
    }

    #[test]
    fn what_is_no_longer_listed_is_forgotten() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 100);
        let known = Known::new(root.path());
        known.keep(vec![Found::new(row("Up 3 minutes", "fox"), seen(7))]);
        known.keep(Vec::new());
        assert_eq!(still(&known, row("Up 3 minutes", "fox")), None);
    }
}
