//! Text from outside, made harmless for a terminal.

use std::fmt;

/// Text without control characters, bidi controls, or anything else that moves a cursor or hides itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Safe(String);

impl Safe {
    /// Control characters and format characters are shown escaped (`\u{1b}`), tabs as spaces.
    #[must_use]
    pub fn new(_text: &str) -> Self {
        todo!()
    }

    /// The harmless text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Safe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
