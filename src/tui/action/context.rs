//! Where a key is pressed.

use std::fmt;

/// Where a key is pressed. A key is looked up in its own context first, then in [`Context::Global`] if that lies under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Everywhere but in overlays and in a focused terminal.
    Global,
    /// Pane 1.
    Parent,
    /// Pane 2.
    Workers,
    /// Pane 3.
    Pool,
    /// Pane 4.
    Services,
    /// Pane 5 on the terminal tab, keys still ours.
    Terminal,
    /// Pane 5 on the logs tab.
    Logs,
    /// Pane 5 on the inspect tab.
    Inspect,
    /// Pane 5 on the figures tab.
    Figures,
    /// Pane 5 on the events tab.
    Events,
    /// Pane 5 on the ports tab.
    Ports,
    /// A text of pane 5 that is held still to be copied.
    Copy,
    /// Right after a terminal was left.
    Left,
    /// A text to be read: help, why.
    Reader,
    /// A question with two answers.
    Dialog,
    /// A line to be typed: filter, palette, form. Keys that are not bound here are text.
    Prompt,
    /// A terminal that takes the keys.
    Focused,
}

impl Context {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 17] = [
        Self::Global,
        Self::Parent,
        Self::Workers,
        Self::Pool,
        Self::Services,
        Self::Terminal,
        Self::Logs,
        Self::Inspect,
        Self::Figures,
        Self::Events,
        Self::Ports,
        Self::Copy,
        Self::Left,
        Self::Reader,
        Self::Dialog,
        Self::Prompt,
        Self::Focused,
    ];

    /// The word in `[ui.keys.WORD]`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Parent => "parent",
            Self::Workers => "workers",
            Self::Pool => "pool",
            Self::Services => "services",
            Self::Terminal => "terminal",
            Self::Logs => "logs",
            Self::Inspect => "inspect",
            Self::Figures => "figures",
            Self::Events => "events",
            Self::Ports => "ports",
            Self::Copy => "copy",
            Self::Left => "left",
            Self::Reader => "reader",
            Self::Dialog => "dialog",
            Self::Prompt => "prompt",
            Self::Focused => "focused",
        }
    }

    /// What the help calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Global => "everywhere",
            Self::Parent => "parent",
            Self::Workers => "workers",
            Self::Pool => "pool",
            Self::Services => "services",
            Self::Terminal => "terminal",
            Self::Logs => "logs",
            Self::Inspect => "inspect",
            Self::Figures => "figures",
            Self::Events => "events",
            Self::Ports => "ports",
            Self::Copy => "copy mode",
            Self::Left => "right after leaving a terminal",
            Self::Reader => "help and why",
            Self::Dialog => "questions",
            Self::Prompt => "lines to type",
            Self::Focused => "focused terminal",
        }
    }

    /// Whether the global keys hold here, too.
    #[must_use]
    pub const fn takes_global(self) -> bool {
        !matches!(self, Self::Copy | Self::Left | Self::Reader | Self::Dialog | Self::Prompt | Self::Focused)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
