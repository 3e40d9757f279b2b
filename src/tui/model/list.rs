//! Panes 1 to 4: which row is selected, which are marked, which the filter leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Pane;

/// What the workers are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// Their names.
    #[default]
    Name,
    /// What they need, the most urgent first.
    Need,
    /// Their states.
    State,
    /// When they began to run, the newest first.
    Newest,
}

impl Sort {
    /// In the order of the key.
    pub const ALL: [Self; 4] = [Self::Name, Self::Need, Self::State, Self::Newest];

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "by name",
            Self::Need => "by need",
            Self::State => "by state",
            Self::Newest => "newest first",
        }
    }
}

/// Selections, marks and filters.
#[derive(Debug, Default)]
pub struct Lists {
    /// The selected worker's name. By name, so that rows which come and go do not move it.
    pub worker: Option<String>,
    /// Its place when last seen, for when it goes away.
    pub worker_at: usize,
    /// The first worker that is shown.
    pub worker_top: usize,
    /// The selected pool.
    pub pool: usize,
    /// The selected service.
    pub service: usize,
    /// The first service that is shown.
    pub service_top: usize,
    /// What the workers are ordered by.
    pub sort: Sort,
    /// Marked workers.
    pub marks: BTreeSet<String>,
    /// What each list is narrowed to.
    pub filters: BTreeMap<Pane, String>,
}

impl Lists {
    /// What a list is narrowed to; empty: all.
    #[must_use]
    pub fn filter_of(&self, pane: Pane) -> &str {
        self.filters.get(&pane).map_or("", String::as_str)
    }
}

/// Lines above the services: from this width on, each fact has a column of its own, and the columns have names.
#[must_use]
pub const fn matrix_head(width: u16) -> u16 {
    if width >= 70 { 1 } else { 0 }
}

/// Whether a filter leaves this name: its characters come in this order, capitals count only where the filter has them.
#[must_use]
pub fn matches(filter: &str, name: &str) -> bool {
    subsequence(filter, name).is_some()
}

/// How well `pattern` fits `text` as a subsequence; lower is better, `None`: not at all.
#[must_use]
pub fn subsequence(pattern: &str, text: &str) -> Option<usize> {
    let exact = pattern.chars().any(char::is_uppercase);
    let mut rest = text.chars().enumerate();
    let mut cost = 0;
    let mut last: Option<usize> = None;
    for wanted in pattern.chars().filter(|c| !c.is_whitespace()) {
        let same = |c: char| c == wanted || (!exact && c.to_lowercase().eq(wanted.to_lowercase()));
        let (at, _) = rest.find(|(_, c)| same(*c))?;
        cost += last.map_or(at, |last| (at - last - 1) * 4);
        last = Some(at);
    }
    Some(cost)
}

/// An age in one short word: `<1m`, `5m`, `3h`, `2d`.
#[must_use]
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let minutes = now.duration_since(since).as_secs() / 60;
    match minutes {
        ..1 => "<1m".to_owned(),
        1..60 => format!("{minutes}m"),
        60..2880 => format!("{}h", minutes / 60),
        _ => format!("{}d", minutes / 1440),
    }
}

/// When that word changes next.
#[must_use]
pub fn next_age(since: Timestamp, now: Timestamp) -> Timestamp {
    let seconds = u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0);
    let step = match seconds / 60 {
        0..60 => 60,
        60..2880 => 3600,
        _ => 86400,
    };
    now + Duration::from_secs(step - seconds % step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_in_order_and_prefer_what_is_close() {
        assert!(matches("", "fox") && matches("fx", "fox") && matches("FX", "FoX"));
        assert!(!matches("xf", "fox") && !matches("FX", "fox"));
        assert!(subsequence("st", "stop") < subsequence("st", "restart"));
    }

    #[test]
    fn ages_are_words() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (seconds, word) in [(0, "<1m"), (59, "<1m"), (60, "1m"), (3599, "59m"), (3600, "1h"), (172_800, "2d")] {
            assert_eq!(age(now - Duration::from_secs(seconds), now), word);
        }
        assert_eq!(age(now + Duration::from_secs(5), now), "<1m");
        assert_eq!(next_age(now - Duration::from_secs(61), now), now + Duration::from_secs(59));
    }
}
