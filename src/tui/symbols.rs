//! The few signs beside letters, in two sets.

use ratatui::symbols::border;

use crate::api::types::State;

/// One set of signs.
#[derive(Clone, Copy, Debug)]
pub struct Symbols {
    /// Frames.
    pub border: border::Set<'static>,
    /// Before the selected row where a style alone would not show it.
    pub pointer: &'static str,
    /// A marked row.
    pub mark: &'static str,
    /// Between parts of a line.
    pub dot: &'static str,
    /// Text goes on.
    pub ellipsis: &'static str,
    ascii: bool,
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Symbols {
    /// The set for this terminal.
    #[must_use]
    pub const fn new(ascii: bool) -> Self {
        if ascii {
            Self { border: ASCII_BORDER, pointer: ">", mark: "*", dot: "-", ellipsis: "~", ascii }
        } else {
            Self { border: border::ROUNDED, pointer: "▸", mark: "✓", dot: "·", ellipsis: "…", ascii }
        }
    }

    /// Whether nothing but ASCII may be drawn.
    #[must_use]
    pub const fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// A state at a glance; each has its own shape, so that colour is never alone.
    #[must_use]
    pub const fn state(&self, state: State) -> &'static str {
        match (state, self.ascii) {
            (State::Running, false) => "●",
            (State::Running, true) => "o",
            (State::Creating, false) => "◌",
            (State::Creating, true) => ".",
            (State::Warm, false) => "◍",
            (State::Warm, true) => "w",
            (State::Exited, false) => "○",
            (State::Exited, true) => "-",
            (State::Failed, false) => "✗",
            (State::Failed, true) => "x",
            (State::CutOff, false) => "▲",
            (State::CutOff, true) => "!",
            (State::Unknown, _) => "?",
        }
    }
}
