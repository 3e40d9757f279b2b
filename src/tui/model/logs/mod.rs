//! The logs tab: what is followed, its lines, and the part of them that is seen.
//!
//! Lines are kept as they came ([`store`]), parsed where they are shown ([`shown`]), looked through in parts ([`scan`]).

pub mod json;
pub mod page;
pub mod scan;
pub mod shown;
pub mod sort;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::types::LogEntry;

use super::super::effect::StreamKey;
use super::super::widget::ansi::Piece;
use super::terminals::Run;
use page::{Heights, Place};
use scan::{Query, Scan};
use sort::Sorter;
use store::{Line, Store};

/// What is looked at for an expression before keys and screen have their turn again, in bytes of plain lines: a few
/// milliseconds.
const SCAN: usize = 1 << 19;
/// Lines of the past that a log begins with; the rest is read when it is wanted.
pub const TAIL: u64 = 2000;
/// How many containers are followed at once.
pub const MAX_STREAMS: usize = 64;
/// Columns of a worker's name beside its lines.
const LABEL: usize = 12;

/// The logs tab.
#[derive(Debug)]
pub struct Logs {
    /// Whose lines these are: name and engine's id, by number.
    pub sources: Vec<(String, String)>,
    /// Of each source, the id of its newest line: after a cut it goes on there.
    pub last: BTreeMap<u16, String>,
    /// The containers that are followed.
    pub streams: Vec<LogStream>,
    /// All workers in one.
    pub merged: bool,
    /// The lines.
    pub store: Store,
    /// Lines of several containers that wait for their order.
    pub sorter: Sorter,
    /// How much of the past is there.
    pub history: History,
    /// What of it is seen.
    pub look: Look,
    /// Lines without it are hidden.
    pub filter: Option<Scan>,
    /// What is looked for.
    pub search: Option<Search>,
    /// Marked lines.
    pub marks: BTreeSet<u64>,
    /// How high the long ones are.
    heights: Heights,
}

/// What of the lines is seen, and how.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The lowest row; `None`: it follows.
    pub place: Option<Place>,
    /// The first column that is shown.
    pub left: usize,
    /// Break long lines.
    pub wrap: bool,
    /// Show when a line came.
    pub timestamps: bool,
    /// Fold JSON to level, message and fields.
    pub fold: bool,
}

/// What is looked for, and where that is.
#[derive(Debug)]
pub struct Search {
    /// The lines with it.
    pub scan: Scan,
    /// The one it stands at.
    pub current: Option<u64>,
    /// It goes to the last one before this line as soon as that is found.
    pub seek: Option<u64>,
}

/// How much of the past is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// The newest lines.
    Tail,
    /// The rest is being read.
    Reading {
        /// By this stream.
        key: StreamKey,
        /// Lines so far.
        count: usize,
        /// The reader waits at the top for it.
        top: bool,
    },
    /// All that the engine has.
    Whole,
    /// Why the rest could not be read.
    Failed(String),
}

/// A log that is followed.
#[derive(Debug)]
pub struct LogStream {
    /// The stream.
    pub key: StreamKey,
    /// Its number among the sources.
    pub source: u16,
    /// The container's run.
    pub run: Run,
    /// How it stands.
    pub state: LogState,
    /// Lines that come a second time after a cut, in their order.
    pub again: Vec<String>,
}

/// How a log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// Asked for.
    Opening,
    /// Lines come.
    Live,
    /// No more will come.
    Ended,
    /// The stream was cut.
    Lost {
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            last: BTreeMap::new(),
            streams: Vec::new(),
            merged: false,
            store: Store::default(),
            sorter: Sorter::default(),
            history: History::Tail,
            look: Look { place: None, left: 0, wrap: false, timestamps: false, fold: true },
            filter: None,
            search: None,
            marks: BTreeSet::new(),
            heights: Heights::default(),
        }
    }
}

impl Logs {
    /// Forgets the lines, for other containers. What is looked for stays, and is looked for anew.
    pub fn clear(&mut self, sources: Vec<(String, String)>) {
        self.sources = sources;
        self.last.clear();
        self.store = Store::default();
        self.sorter = Sorter::default();
        self.history = History::Tail;
        self.look.place = None;
        self.look.left = 0;
        self.marks.clear();
        self.heights = Heights::default();
        self.rescan();
    }

    /// Puts the first `count` lines of another log before these.
    pub fn prepend(&mut self, older: &Store, count: usize) {
        self.store.prepend(older, count);
        // Numbers of lines that have gone may come again.
        self.heights = Heights::default();
    }

    /// Takes lines in; those of several containers wait a moment for their order.
    pub fn take(&mut self, source: u16, entries: Vec<LogEntry>, now: Timestamp) {
        if self.merged {
            self.sorter.take(source, entries, now);
            return;
        }
        for entry in &entries {
            self.store.push(entry, source);
        }
    }

    /// Puts waiting lines in their order when it is time. Whether there were any.
    pub fn sort(&mut self, now: Timestamp) -> bool {
        let ready = self.sorter.ready(now, self.is_opening());
        for (source, entry) in &ready {
            self.store.push(entry, *source);
        }
        !ready.is_empty()
    }

    /// Lets all waiting lines go.
    pub fn flush(&mut self) {
        for (source, entry) in &self.sorter.flush() {
            self.store.push(entry, *source);
        }
    }

    fn is_opening(&self) -> bool {
        self.streams.iter().any(|stream| stream.state == LogState::Opening)
    }

    /// Looks at more lines for what is looked for and what is hidden. Whether something came of it.
    pub fn scan(&mut self) -> bool {
        let store = &self.store;
        let scans = [self.filter.as_mut(), self.search.as_mut().map(|search| &mut search.scan)];
        let mut left = SCAN;
        for scan in scans.into_iter().flatten().filter(|scan| !scan.is_done(store)) {
            left = scan.step(store, left);
        }
        left < SCAN
    }

    /// Whether lines wait to be looked at.
    #[must_use]
    pub fn is_scanning(&self) -> bool {
        let scans = [self.filter.as_ref(), self.search.as_ref().map(|search| &search.scan)];
        scans.into_iter().flatten().any(|scan| !scan.is_done(&self.store))
    }

    /// Hides the lines that an expression does not mean.
    pub fn narrow(&mut self, query: Option<Query>) {
        self.filter = query.map(|query| Scan::new(query, None, &self.store));
        self.rescan_search();
    }

    /// Looks for an expression among the lines that are not hidden.
    pub fn look_for(&mut self, query: Option<Query>) {
        let among = self.filter.as_ref().map(|filter| filter.query.clone());
        let scan = query.map(|query| Scan::new(query, among, &self.store));
        self.search = scan.map(|scan| Search { scan, current: None, seek: None });
    }

    fn rescan(&mut self) {
        if let Some(filter) = self.filter.take() {
            self.filter = Some(Scan::new(filter.query, None, &self.store));
        }
        self.rescan_search();
    }

    fn rescan_search(&mut self) {
        if let Some(search) = self.search.take() {
            self.look_for(Some(search.scan.query));
        }
    }

    /// The pieces of a line as it is shown, as far as this many columns reach.
    #[must_use]
    pub fn pieces(&self, line: &Line<'_>, columns: usize) -> Vec<Piece> {
        shown::pieces(line.text, self.look.fold, columns)
    }

    /// The name beside a line, where lines of several containers are shown.
    #[must_use]
    pub fn label(&self, source: u16) -> Option<&str> {
        if !self.merged {
            return None;
        }
        self.sources.get(usize::from(source)).map(|(name, _)| name.as_str())
    }

    /// Columns of the sign that a line is marked or found.
    #[must_use]
    pub fn gutter_width(&self) -> usize {
        usize::from(self.search.is_some() || !self.marks.is_empty())
    }

    /// Columns that the time takes.
    #[must_use]
    pub const fn time_width(&self) -> usize {
        if self.look.timestamps { 13 } else { 0 }
    }

    /// Columns that the name takes.
    #[must_use]
    pub fn label_width(&self) -> usize {
        if !self.merged {
            return 0;
        }
        let widest = self.sources.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        widest.min(LABEL) + 1
    }

    /// Columns before the text.
    #[must_use]
    pub fn margin(&self) -> usize {
        self.gutter_width() + self.time_width() + self.label_width()
    }

    /// When something is due: a lost log is tried again, lines get their order.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let lost = self.streams.iter().filter_map(|stream| match stream.state {
            LogState::Lost { retry_at, .. } => Some(retry_at),
            _ => None,
        });
        lost.chain(self.sorter.due(self.is_opening())).min()
    }
}
