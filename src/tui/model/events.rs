//! The events tab: the bay's history as the supervisor tells it.

use super::super::widget::line::wrap;
use super::Model;
use crate::terminal::safe::Safe;

/// Columns before the text.
const BEFORE: usize = 22;
/// A text is not broken narrower than this.
const NARROWEST: usize = 12;

/// Where the tab stands.
#[derive(Debug, Default)]
pub struct Events {
    /// Rows above the newest; 0: it follows.
    pub above: usize,
}

/// One row: a line of the history, or where its text goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// When, to the second; blank where the text goes on.
    pub time: String,
    /// What it is about; blank: the bay, or the text goes on.
    pub name: String,
    /// What happened, and why.
    pub text: String,
}

impl Model {
    /// All rows, as broken for so many columns, the oldest first.
    #[must_use]
    pub fn event_rows(&self, width: usize) -> Vec<EventRow> {
        let room = width.saturating_sub(BEFORE).max(NARROWEST);
        let mut rows = Vec::new();
        for line in self.feed.snapshot.iter().flat_map(|snapshot| &snapshot.history) {
            let time = line.at.strftime("%H:%M:%S").to_string();
            let name = line.name.clone().unwrap_or_default();
            let text = Safe::new(&line.text);
            for (at, text) in wrap(text.as_str(), room).into_iter().enumerate() {
                let first = at == 0;
                let (time, name) = if first { (time.clone(), name.clone()) } else { <_>::default() };
                rows.push(EventRow { time, name, text });
            }
        }
        rows
    }

    /// The first row that is shown, of so many on so many lines.
    #[must_use]
    pub fn event_top(&self, rows: usize, height: usize) -> usize {
        let most = rows.saturating_sub(height);
        most - self.main.events.above.min(most)
    }
}
