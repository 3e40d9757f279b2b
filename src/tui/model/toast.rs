//! Results and errors that go away by themselves.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::terminal::safe::Safe;

/// Shown at once, at most; the oldest goes first.
const KEPT: usize = 4;

/// What kind of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It worked.
    Good,
    /// Something to know.
    Note,
    /// It did not work.
    Bad,
}

/// One piece of news.
#[derive(Clone, Debug)]
pub struct Toast {
    /// Its kind.
    pub kind: Kind,
    /// Its text.
    pub text: Safe,
    /// When it goes.
    pub until: Timestamp,
}

/// The news, oldest first.
#[derive(Debug, Default)]
pub struct Toasts {
    /// Those that are shown.
    pub items: VecDeque<Toast>,
}

impl Toasts {
    /// Shows a text; the same text again only stays longer.
    pub fn push(&mut self, kind: Kind, text: &str, now: Timestamp) {
        // Long enough to be read at a glance, longer for what went wrong.
        let stay = match kind {
            Kind::Good | Kind::Note => Duration::from_secs(4),
            Kind::Bad => Duration::from_secs(12),
        };
        let text = Safe::new(text);
        self.items.retain(|toast| toast.text != text);
        if self.items.len() == KEPT {
            self.items.pop_front();
        }
        self.items.push_back(Toast { kind, text, until: now + stay });
    }

    /// Drops those whose time has come. Whether any went.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.items.len();
        self.items.retain(|toast| toast.until > now);
        before != self.items.len()
    }

    /// When the next one goes.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.items.iter().map(|toast| toast.until).min()
    }
}
