//! The engine's words about the subject.

use crate::api::types::ContainerRow;
use crate::terminal::safe::Safe;

/// The inspect tab.
#[derive(Debug, Default)]
pub struct Inspect {
    /// The row as it was when it was last asked about: another row means asking again.
    pub asked: Option<ContainerRow>,
    /// What is shown.
    pub text: InspectText,
    /// The first line that is shown.
    pub top: usize,
    /// The first column that is shown.
    pub left: usize,
}

/// What is shown.
#[derive(Debug, Default)]
pub enum InspectText {
    /// Nothing has come yet.
    #[default]
    Asking,
    /// Pretty JSON, by line.
    Lines(Vec<Safe>),
    /// Why there is none.
    Failed(String),
}

impl InspectText {
    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.len(),
            _ => 0,
        }
    }

    /// Whether there is nothing to scroll.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
