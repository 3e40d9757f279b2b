//! All that the dashboard knows. Changed by `update` only, read by `view` only.

pub mod banner;
pub mod copying;
pub mod doors;
pub mod events;
pub mod feed;
pub mod figures;
pub mod form;
pub mod inbox;
pub mod inspect;
pub mod list;
pub mod logs;
pub mod memory;
pub mod overlay;
pub mod ports;
pub mod terminals;
pub mod tiles;
pub mod toast;
pub mod undo;
pub mod work;

use jiff::Timestamp;
use ratatui::layout::{Position, Rect, Size};
use serde::{Deserialize, Serialize};

use crate::api::types::{ContainerRow, ServiceRow};

use super::action::Context;
use super::effect::StreamKey;
use super::keymap::{Key, Keymap};
use super::layout::Layout;
use super::symbols::Symbols;
use super::theme::Theme;
use copying::Copying;
use events::Events;
use feed::Feed;
use figures::Figures;
use inbox::Inbox;
use inspect::Inspect;
use list::{Lists, Sort};
use logs::Logs;
use memory::{Memory, Remembered};
use overlay::Overlay;
use ports::Ports;
use terminals::{Terminals, Written};
use tiles::Tiles;
use toast::Toasts;
use undo::Undos;
use work::Work;

/// Everything on the screen follows from this.
#[derive(Debug)]
pub struct Model {
    /// The time of the last message. The only clock there is.
    pub now: Timestamp,
    /// The terminal's size.
    pub size: Size,
    /// What never changes while the dashboard runs.
    pub settings: Settings,
    /// What the supervisor says.
    pub feed: Feed,
    /// Panes 1 to 4.
    pub lists: Lists,
    /// Pane 5.
    pub main: MainPane,
    /// Where keys go.
    pub focus: Focus,
    /// What lies over it all.
    pub overlay: Option<Overlay>,
    /// Results and errors.
    pub toasts: Toasts,
    /// What was asked for and is not done yet.
    pub work: Work,
    /// What can be undone.
    pub undo: Undos,
    /// Who needs somebody.
    pub inbox: Inbox,
    /// What is remembered until the next time.
    pub memory: Memory,
    /// The keys of a sequence so far.
    pub keys: Vec<Key>,
    /// Something changed since the last frame, beside what programs wrote on their screens.
    pub dirty: bool,
}

/// Looks and keys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bay's name.
    pub bay: String,
    /// Colours.
    pub theme: Theme,
    /// The themes to choose from, by name.
    pub themes: Vec<(String, Theme)>,
    /// Line drawing.
    pub symbols: Symbols,
    /// Keys.
    pub keymap: Keymap,
    /// What the user is told at the start, such as a key that never arrives.
    pub warning: Option<String>,
    /// What the last dashboard of this bay left.
    pub remembered: Option<Remembered>,
}

/// A pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pane {
    /// 1.
    Parent,
    /// 2.
    Workers,
    /// 3.
    Pool,
    /// 4.
    Services,
    /// 5.
    Main,
}

impl Pane {
    /// In the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Parent, Self::Workers, Self::Pool, Self::Services, Self::Main];

    /// Its number and name.
    #[must_use]
    pub const fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Parent => ("1", "parent"),
            Self::Workers => ("2", "workers"),
            Self::Pool => ("3", "pool"),
            Self::Services => ("4", "services"),
            Self::Main => ("5", "main"),
        }
    }
}

/// A tab of pane 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tab {
    /// Embedded terminals.
    Terminal,
    /// Live logs.
    Logs,
    /// The engine's JSON.
    Inspect,
    /// What it all uses.
    Figures,
    /// What happened in the bay.
    Events,
    /// What leads where.
    Ports,
}

impl Tab {
    /// From left to right.
    pub const ALL: [Self; 6] = [Self::Terminal, Self::Logs, Self::Inspect, Self::Figures, Self::Events, Self::Ports];

    /// Its name.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.spec().0
    }

    /// Whose keys hold there.
    #[must_use]
    pub const fn context(self) -> Context {
        self.spec().1
    }

    const fn spec(self) -> (&'static str, Context) {
        match self {
            Self::Terminal => ("terminal", Context::Terminal),
            Self::Logs => ("logs", Context::Logs),
            Self::Inspect => ("inspect", Context::Inspect),
            Self::Figures => ("figures", Context::Figures),
            Self::Events => ("events", Context::Events),
            Self::Ports => ("ports", Context::Ports),
        }
    }

    /// The tab `step` to the right, round and round.
    #[must_use]
    pub fn step(self, step: isize) -> Self {
        cycle(&Self::ALL, self, step)
    }
}

/// The item `step` after `from`, round and round.
#[must_use]
pub fn cycle<T: Copy + PartialEq>(all: &[T], from: T, step: isize) -> T {
    let count = isize::try_from(all.len()).unwrap_or(1).max(1);
    let at = all.iter().position(|item| *item == from).and_then(|at| isize::try_from(at).ok()).unwrap_or(0);
    usize::try_from((at + step).rem_euclid(count)).ok().and_then(|at| all.get(at)).copied().unwrap_or(from)
}

/// Pane 5.
#[derive(Debug)]
pub struct MainPane {
    /// The tab that is shown.
    pub tab: Tab,
    /// Embedded terminals.
    pub terminals: Terminals,
    /// How they lie beside one another.
    pub tiles: Tiles,
    /// Live logs.
    pub logs: Logs,
    /// The engine's JSON.
    pub inspect: Inspect,
    /// What it all uses.
    pub figures: Figures,
    /// What happened.
    pub events: Events,
    /// What leads where.
    pub ports: Ports,
    /// Copy mode.
    pub copying: Option<Copying>,
    /// The last press of the mouse's button inside a text.
    pub press: Option<Press>,
    /// The terminal whose program was told of a pressed button, and not yet of its release.
    pub pressed_in: Option<StreamKey>,
    /// When a stream was opened last; the next waits a moment, so that running through a list opens few.
    pub opened_at: Option<Timestamp>,
    /// A stream waits for that moment.
    pub held_back: bool,
}

/// A press of the mouse's button.
#[derive(Clone, Copy, Debug)]
pub struct Press {
    /// Where.
    pub at: Position,
    /// When.
    pub when: Timestamp,
    /// 2: double, 3: triple.
    pub count: u8,
}

/// Where keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Focus {
    /// The focused pane.
    pub pane: Pane,
    /// The list that was focused last: its row is what pane 5 shows.
    pub list: Pane,
    /// The focused pane alone.
    pub zoom: bool,
    /// Keys go to the program in the terminal.
    pub terminal: bool,
    /// The pane that the terminal was focused from, to go back to.
    pub from: Pane,
    /// When the terminal was left, for the key that is pressed twice.
    pub left_at: Option<Timestamp>,
    /// When a terminal that somebody typed into was lost, or was typed for since: until a pause that is still meant for it.
    pub lost_at: Option<Timestamp>,
}

impl Model {
    /// Nothing known yet.
    #[must_use]
    pub fn new(mut settings: Settings, now: Timestamp) -> Self {
        let remembered = settings.remembered.take();
        let mut model = Self::blank(settings, now);
        if let Some(remembered) = remembered {
            model.recall(remembered);
        }
        model
    }

    fn blank(settings: Settings, now: Timestamp) -> Self {
        Self {
            now,
            size: Size::ZERO,
            settings,
            feed: Feed::default(),
            lists: Lists::default(),
            main: MainPane {
                tab: Tab::Terminal,
                terminals: Terminals::default(),
                tiles: Tiles::default(),
                logs: Logs::default(),
                inspect: Inspect::default(),
                figures: Figures::default(),
                events: Events::default(),
                ports: Ports::default(),
                copying: None,
                press: None,
                pressed_in: None,
                opened_at: None,
                held_back: false,
            },
            focus: Focus {
                pane: Pane::Workers,
                list: Pane::Workers,
                zoom: false,
                terminal: false,
                from: Pane::Workers,
                left_at: None,
                lost_at: None,
            },
            overlay: None,
            toasts: Toasts::default(),
            work: Work::default(),
            undo: Undos::default(),
            inbox: Inbox::default(),
            memory: Memory::default(),
            keys: Vec::new(),
            dirty: true,
        }
    }

    /// Whose keys hold now.
    #[must_use]
    pub fn context(&self) -> Context {
        if let Some(overlay) = &self.overlay {
            return overlay.context();
        }
        if self.main.copying.is_some() {
            return Context::Copy;
        }
        if self.focus.terminal {
            return Context::Focused;
        }
        match self.focus.pane {
            Pane::Parent => Context::Parent,
            Pane::Workers => Context::Workers,
            Pane::Pool => Context::Pool,
            Pane::Services => Context::Services,
            Pane::Main => self.main.tab.context(),
        }
    }

    /// The row that actions mean and that pane 5 shows.
    #[must_use]
    pub fn subject(&self) -> Option<&ContainerRow> {
        match self.focus.list {
            Pane::Parent => self.feed.parent(),
            Pane::Services => self.selected_service().and_then(|service| self.feed.service_row(&service.name)),
            _ => self.selected_worker(),
        }
    }

    /// Where the keys of the subject's list hold.
    #[must_use]
    pub const fn list_context(&self) -> Context {
        match self.focus.list {
            Pane::Parent => Context::Parent,
            Pane::Services => Context::Services,
            _ => Context::Workers,
        }
    }

    /// The terminal that is shown is that of a program that has ended.
    #[must_use]
    pub fn shows_an_end(&self) -> bool {
        let ended = |pane: &terminals::TerminalPane| matches!(pane.state, terminals::PaneState::Ended(_));
        self.main.tab == Tab::Terminal && self.main.terminals.shown().is_some_and(ended)
    }

    /// The subject, when that is a native service: no container.
    #[must_use]
    pub fn native_service(&self) -> Option<&ServiceRow> {
        let of_services = self.focus.list == Pane::Services;
        self.selected_service().filter(|service| of_services && service.run == "host")
    }

    /// The services that the filter leaves.
    pub fn services(&self) -> impl Iterator<Item = &ServiceRow> {
        let filter = self.lists.filter_of(Pane::Services);
        self.feed.services().iter().filter(move |row| list::matches(filter, &row.name))
    }

    /// The selected service.
    #[must_use]
    pub fn selected_service(&self) -> Option<&ServiceRow> {
        self.services().nth(self.lists.service)
    }

    /// The selected worker.
    #[must_use]
    pub fn selected_worker(&self) -> Option<&ContainerRow> {
        let name = self.lists.worker.as_deref()?;
        self.workers().find(|row| row.name == name)
    }

    /// The workers that the filter leaves, in the order of the list.
    pub fn workers(&self) -> impl Iterator<Item = &ContainerRow> {
        let filter = self.lists.filter_of(Pane::Workers);
        let mut rows: Vec<&ContainerRow> = self.feed.workers().filter(|row| list::matches(filter, &row.name)).collect();
        // The order of `ls` is that of the names; equals keep it.
        match self.lists.sort {
            Sort::Name => {}
            Sort::Need => rows.sort_by_key(|row| {
                self.attention(row).map_or((true, None), |found| (false, Some((found.need, found.since))))
            }),
            Sort::State => rows.sort_by_key(|row| row.state),
            Sort::Newest => rows.sort_by_key(|row| std::cmp::Reverse(row.started_at.or(row.created_at))),
        }
        rows.into_iter()
    }

    /// The screen, cut into panes; `None` when it is too small for any.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        Layout::of(self, Rect::new(0, 0, self.size.width, self.size.height))
    }

    /// Whether the last frame is not what is to be seen now.
    #[must_use]
    pub fn wants_frame(&self) -> bool {
        self.dirty || self.main.terminals.are_written()
    }

    /// It was drawn.
    pub fn drawn(&mut self) {
        self.dirty = false;
        for pane in &mut self.main.terminals.panes {
            pane.written = Written::Nothing;
        }
    }

    /// Whether there is something to go on with as soon as keys and screen have had their turn: each message does a part
    /// of it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.main.tab == Tab::Logs && self.main.logs.is_scanning() && self.layout().is_some()
    }

    /// When something on the screen changes though nothing happens: a countdown, an age, a toast that goes.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let ages = self.workers().filter(|_| self.size.width > 0).filter_map(|row| row.started_at);
        let calls = self.workers().filter_map(|row| self.attention(row)).map(|attention| attention.since);
        let ages = ages.chain(calls).map(|since| list::next_age(since, self.now));
        let times = [
            self.toasts.next_end(),
            self.feed.next_wake(self.now),
            self.main.terminals.retry_at(),
            self.main.logs.next_wake().filter(|_| self.main.tab == Tab::Logs),
            self.main.figures.next_at.filter(|_| !self.main.figures.waits),
            self.main.ports.next_at.filter(|_| !self.main.ports.waits),
            self.memory.at.filter(|_| self.memory.waits).map(|at| at + super::update::PACE),
            self.main.opened_at.filter(|_| self.main.held_back).map(|at| at + super::update::SETTLE),
        ];
        times.into_iter().flatten().chain(ages).min()
    }
}
