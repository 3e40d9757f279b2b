//! What a bay's dashboard remembers from one time to the next: layout, order, selection.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::effect::Target;
use super::list::Sort;
use super::tiles::{Arrangement, Tile};
use super::{Model, Pane, Tab};
use crate::bay::session::SessionId;

/// The version of the shape. A file of another one is not read.
const VERSION: u32 = 1;
/// More terminals than this are not remembered: each takes a stream at once.
const MOST_KEPT: usize = 16;

/// The file's shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    version: u32,
    list: Pane,
    worker: Option<String>,
    service: Option<String>,
    sort: Sort,
    tab: Tab,
    kept: Vec<Kept>,
    arrangement: Arrangement,
    beside: bool,
    wrap: bool,
    times: bool,
    /// Ends that were looked at.
    seen: BTreeMap<String, Timestamp>,
}

/// A terminal that is kept in sight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    name: String,
    /// One of its shells; absent: its main terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shell: Option<SessionId>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            version: VERSION,
            list: Pane::Workers,
            worker: None,
            service: None,
            sort: Sort::default(),
            tab: Tab::Terminal,
            kept: Vec::new(),
            arrangement: Arrangement::default(),
            beside: false,
            wrap: false,
            times: false,
            seen: BTreeMap::new(),
        }
    }
}

impl Remembered {
    /// Reads a file's text; `None`: it is none that this version wrote.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        // A list would be read as the values of the first fields.
        let value: serde_json::Value = serde_json::from_str(text).ok().filter(serde_json::Value::is_object)?;
        let mut read: Self = serde_json::from_value(value).ok().filter(|read: &Self| read.version == VERSION)?;
        read.kept.truncate(MOST_KEPT);
        Some(read)
    }

    /// The file's text.
    #[must_use]
    pub fn write(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// What was written last, and what waits for a list to come.
#[derive(Debug, Default)]
pub struct Memory {
    /// As it was read or written last.
    pub written: Option<Remembered>,
    /// When that was.
    pub at: Option<Timestamp>,
    /// It is to be written when its time has come.
    pub waits: bool,
    /// The service that is to be selected once it is known.
    pub service: Option<String>,
}

impl Model {
    /// What is to be remembered now.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        let kept = self.main.tiles.kept.iter().take(MOST_KEPT).map(|tile| Kept {
            name: tile.name.clone(),
            shell: if let Target::Shell(id) = tile.target { Some(id) } else { None },
        });
        Remembered {
            version: VERSION,
            list: self.focus.list,
            worker: self.lists.worker.clone(),
            service: self.memory.service.clone().or_else(|| self.selected_service().map(|row| row.name.clone())),
            sort: self.lists.sort,
            tab: self.main.tab,
            kept: kept.collect(),
            arrangement: self.main.tiles.arrangement,
            beside: self.main.tiles.beside,
            wrap: self.main.logs.look.wrap,
            times: self.main.logs.look.timestamps,
            seen: self.inbox.seen.clone(),
        }
    }

    /// As it was left the last time. What is not there any more is let go once the lists are known.
    pub fn recall(&mut self, remembered: Remembered) {
        let Remembered { list, worker, service, sort, tab, kept, arrangement, beside, wrap, times, seen, version: _ } =
            remembered.clone();
        self.focus.list = if matches!(list, Pane::Parent | Pane::Services) { list } else { Pane::Workers };
        self.focus.pane = self.focus.list;
        self.lists.worker = worker;
        self.lists.sort = sort;
        self.main.tab = tab;
        self.main.tiles.kept.clear();
        for Kept { name, shell } in kept {
            let target = shell.map_or_else(|| Target::Main(name.clone()), Target::Shell);
            let tile = Tile { name, target };
            if !self.main.tiles.kept.contains(&tile) {
                self.main.tiles.kept.push(tile);
            }
        }
        self.main.tiles.arrangement = arrangement;
        self.main.tiles.beside = beside;
        self.main.logs.look.wrap = wrap;
        self.main.logs.look.timestamps = times;
        self.inbox.seen = seen;
        self.memory = Memory { written: Some(remembered), service, ..Memory::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_nothing_and_what_is_missing_is_the_default() {
        for garbage in ["", "{", "[]", "null", "7", r#"{"version":2}"#, r#"{"sort":"sideways"}"#, r#"{"kept":[3]}"#] {
            assert_eq!(Remembered::read(garbage), None, "{garbage}");
        }
        let read = Remembered::read(r#"{"version":1,"worker":"fox","sort":"need","other":[]}"#).unwrap();
        assert_eq!((read.worker.as_deref(), read.sort, read.tab), (Some("fox"), Sort::Need, Tab::Terminal));
        assert_eq!(Remembered::read(&read.write()), Some(read));
        let many = format!(r#"{{"kept":[{}]}}"#, vec![r#"{"name":"fox"}"#; 99].join(","));
        assert_eq!(Remembered::read(&many).unwrap().kept.len(), MOST_KEPT);
    }
}
