//! The embedded terminals that are looked at, and which one each worker shows.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::api::types::{ContainerRow, SessionRow, State};
use crate::bay::container::Role;
use crate::bay::session::{SessionId, SessionKind, TermSize};
use crate::terminal::emulator::Emulator;

use super::super::effect::{StreamKey, Target};

/// Lines kept above the screen; the supervisor keeps more.
pub const SCROLLBACK: usize = 1000;

/// Embedded terminals.
#[derive(Debug, Default)]
pub struct Terminals {
    /// Those that are looked at. Only what is visible is attached to.
    pub panes: Vec<TerminalPane>,
    /// The one that keys are meant for, if it is on the screen.
    pub active: Option<Target>,
    /// The one that was told that it has the focus.
    pub focused: Option<Target>,
    /// The cursor's shape as the user's terminal has it.
    pub cursor_shape: u8,
    /// By worker: the shell that is shown instead of the main tty.
    pub chosen: BTreeMap<String, SessionId>,
    /// The last key given out.
    pub last_key: u64,
}

/// One run of a container: another run has another terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The engine's id.
    pub id: String,
    /// When it began.
    pub since: Option<Timestamp>,
}

impl Run {
    /// The present run of a row.
    #[must_use]
    pub fn of(row: &ContainerRow) -> Self {
        Self { id: row.id.clone(), since: row.started_at }
    }
}

/// A terminal that is looked at.
pub struct TerminalPane {
    /// The stream.
    pub key: StreamKey,
    /// Which.
    pub target: Target,
    /// The container's run.
    pub run: Run,
    /// The screen; `None` before the first reset.
    pub emulator: Option<Emulator>,
    /// How it stands.
    pub state: PaneState,
    /// The size that was last told to the other side.
    pub size: TermSize,
    /// What was written on the screen since it was last drawn.
    pub written: Written,
}

/// Rows of a screen that are to be drawn anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// None.
    #[default]
    Nothing,
    /// This one alone.
    Row(u16),
    /// Any.
    All,
}

impl Written {
    /// These and those.
    pub fn add(&mut self, more: Self) {
        *self = match (*self, more) {
            (Self::Nothing, written) | (written, Self::Nothing) => written,
            (Self::Row(one), Self::Row(other)) if one == other => more,
            _ => Self::All,
        };
    }
}

impl fmt::Debug for TerminalPane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalPane").field("key", &self.key).field("target", &self.target).finish_non_exhaustive()
    }
}

/// How a terminal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaneState {
    /// Asked for.
    Opening,
    /// Bytes come and go.
    Live,
    /// The program has ended.
    Ended(String),
    /// The stream was cut.
    Lost {
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

impl Terminals {
    /// A key for a new stream.
    pub fn new_key(&mut self) -> StreamKey {
        self.last_key += 1;
        StreamKey(self.last_key)
    }

    /// A terminal that is looked at.
    #[must_use]
    pub fn pane(&self, target: &Target) -> Option<&TerminalPane> {
        self.panes.iter().find(|pane| pane.target == *target)
    }

    /// The same, to be changed.
    pub fn pane_mut(&mut self, target: &Target) -> Option<&mut TerminalPane> {
        self.panes.iter_mut().find(|pane| pane.target == *target)
    }

    /// The one that keys are meant for.
    #[must_use]
    pub fn shown(&self) -> Option<&TerminalPane> {
        self.pane(self.active.as_ref()?)
    }

    /// The same, to be changed.
    pub fn shown_mut(&mut self) -> Option<&mut TerminalPane> {
        let active = self.active.clone()?;
        self.pane_mut(&active)
    }

    /// Whether something was written on a screen since it was last drawn.
    #[must_use]
    pub fn are_written(&self) -> bool {
        self.panes.iter().any(|pane| pane.written != Written::Nothing)
    }

    /// Whether a screen that is looked at is not whole at this moment.
    #[must_use]
    pub fn is_half_drawn(&self) -> bool {
        let live = self.panes.iter().filter(|pane| pane.state == PaneState::Live);
        live.filter_map(|pane| pane.emulator.as_ref()).any(Emulator::is_synchronised)
    }

    /// When a lost terminal is tried again.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        let lost = |pane: &TerminalPane| match pane.state {
            PaneState::Lost { retry_at, .. } => Some(retry_at),
            _ => None,
        };
        self.panes.iter().filter_map(lost).min()
    }

    /// Whether keys can go to a program.
    #[must_use]
    pub fn takes_keys(&self) -> bool {
        self.shown().is_some_and(|pane| pane.state == PaneState::Live)
    }
}

/// One tab of the strip of terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripTab {
    /// Which terminal.
    pub target: Target,
    /// Its title.
    pub title: String,
}

impl super::Model {
    /// The terminals of the subject: its main tty first, then its shells.
    #[must_use]
    pub fn strip(&self) -> Vec<StripTab> {
        self.subject().map(|row| self.strip_of(row)).unwrap_or_default()
    }

    /// The terminals of a row.
    #[must_use]
    pub fn strip_of(&self, row: &ContainerRow) -> Vec<StripTab> {
        let sessions: Vec<&SessionRow> = self.feed.sessions(&row.name).collect();
        let known = sessions.iter().any(|session| session.kind == SessionKind::Main);
        // A running worker has a main tty, even if the list of sessions has not come yet.
        let worker = row.role == Role::Worker && matches!(row.state, State::Running | State::CutOff);
        let tty = |name: &str| self.feed.services().iter().any(|service| service.tty && service.name == name);
        let service = row.role == Role::Service && row.name.strip_prefix("svc-").is_some_and(tty);
        let expected = worker || service;
        let main = StripTab { target: Target::Main(row.name.clone()), title: "main".to_owned() };
        let shells = sessions.iter().filter(|session| session.kind == SessionKind::Shell);
        let shell = |(at, session): (usize, &&SessionRow)| StripTab {
            target: Target::Shell(session.id),
            title: format!("{} {}{}", at + 1, session.title, if session.ended.is_some() { " (ended)" } else { "" }),
        };
        (known || expected).then_some(main).into_iter().chain(shells.enumerate().map(shell)).collect()
    }

    /// The terminal of the subject that is to be shown.
    #[must_use]
    pub fn wanted_terminal(&self) -> Option<Target> {
        let strip = self.strip();
        let chosen = self.subject().and_then(|row| self.main.terminals.chosen.get(&row.name));
        let chosen = chosen.map(|id| Target::Shell(*id)).filter(|id| strip.iter().any(|tab| tab.target == *id));
        chosen.or_else(|| strip.into_iter().next().map(|tab| tab.target))
    }
}
