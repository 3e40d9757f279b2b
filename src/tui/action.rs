//! Everything that a key can do, in one table.
//!
//! Help, hints, the palette, the README and the checks of the configuration all read [`TABLE`].

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
    pub const ALL: [Self; 12] = [
        Self::Global,
        Self::Parent,
        Self::Workers,
        Self::Pool,
        Self::Services,
        Self::Terminal,
        Self::Logs,
        Self::Inspect,
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
            Self::Reader => "help and why",
            Self::Dialog => "questions",
            Self::Prompt => "lines to type",
            Self::Focused => "focused terminal",
        }
    }

    /// Whether the global keys hold here, too.
    #[must_use]
    pub const fn takes_global(self) -> bool {
        !matches!(self, Self::Reader | Self::Dialog | Self::Prompt | Self::Focused)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Next line.
    MoveDown,
    /// Previous line.
    MoveUp,
    /// First line.
    First,
    /// Last line.
    Last,
    /// A page down.
    PageDown,
    /// A page up.
    PageUp,
    /// Half a page down.
    HalfDown,
    /// Half a page up.
    HalfUp,
    /// Next pane.
    NextPane,
    /// Previous pane.
    PreviousPane,
    /// Pane 1.
    PaneParent,
    /// Pane 2.
    PaneWorkers,
    /// Pane 3.
    PanePool,
    /// Pane 4.
    PaneServices,
    /// Pane 5.
    PaneMain,
    /// Next tab of pane 5.
    NextTab,
    /// Previous tab of pane 5.
    PreviousTab,
    /// Focuses the terminal of the selected row.
    Open,
    /// One step back.
    Back,
    /// Narrows the list.
    Filter,
    /// Every action, by name.
    Palette,
    /// The keys.
    Help,
    /// The focused pane alone.
    Zoom,
    /// Repairs the parent and all that are cut off.
    Fix,
    /// To the shell, the dashboard waits.
    Suspend,
    /// Leaves the dashboard.
    Quit,
    /// A worker by the template's defaults.
    Spawn,
    /// A worker by a form.
    SpawnForm,
    /// Stops.
    Stop,
    /// Stops all workers.
    StopAll,
    /// Stops and starts.
    Restart,
    /// Makes it anew.
    Refresh,
    /// Removes it.
    Remove,
    /// One more shell in it.
    Shell,
    /// Its logs.
    ShowLogs,
    /// The engine's words about it.
    ShowInspect,
    /// Why it is not running.
    Why,
    /// Copies its name.
    Copy,
    /// Marks the row.
    Mark,
    /// Next session of the worker.
    NextSession,
    /// Previous session of the worker.
    PreviousSession,
    /// Ends a shell.
    CloseSession,
    /// Stays at the end.
    Follow,
    /// Wraps long lines.
    Wrap,
    /// Shows when a line came.
    Timestamps,
    /// Scrolls left.
    ScrollLeft,
    /// Scrolls right.
    ScrollRight,
    /// Yes.
    Yes,
    /// No.
    No,
    /// The other answer.
    Switch,
    /// Takes what is chosen or typed.
    Accept,
    /// Leaves it.
    Cancel,
    /// The next choice or field.
    NextChoice,
    /// The previous choice or field.
    PreviousChoice,
    /// Gives the keys back to the dashboard.
    Leave,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    /// What is done.
    pub action: Action,
    /// Its name in the configuration and in the palette.
    pub name: &'static str,
    /// What it does, in words.
    pub text: &'static str,
    /// One or two words for the footer; empty: not hinted there.
    pub hint: &'static str,
    /// Where it holds.
    pub contexts: &'static [Context],
    /// Something is lost by it: it asks first.
    pub dangerous: bool,
    /// Its keys, where the configuration says nothing else.
    pub keys: &'static [&'static str],
}

const EVERYWHERE: &[Context] = &[Context::Global];
const MOVING: &[Context] = &[Context::Global, Context::Reader];
const ROWS: &[Context] = &[Context::Parent, Context::Workers];
const LISTS: &[Context] = &[Context::Parent, Context::Workers, Context::Pool, Context::Services];
const SPAWNING: &[Context] = &[Context::Workers, Context::Parent, Context::Pool, Context::Terminal, Context::Inspect];
const STOPPING: &[Context] = &[Context::Workers, Context::Parent, Context::Pool];
const ABOUT: &[Context] = &[Context::Parent, Context::Workers, Context::Terminal, Context::Inspect];
const WORKERS: &[Context] = &[Context::Workers];
const SESSIONS: &[Context] = &[Context::Terminal];
const LOGS: &[Context] = &[Context::Logs];
const READING: &[Context] = &[Context::Logs, Context::Inspect];
const DIALOG: &[Context] = &[Context::Dialog];
const ASKING: &[Context] = &[Context::Dialog, Context::Prompt];

const fn row(
    action: Action,
    name: &'static str,
    text: &'static str,
    contexts: &'static [Context],
    keys: &'static [&'static str],
) -> ActionSpec {
    ActionSpec { action, name, text, hint: "", contexts, dangerous: false, keys }
}

impl ActionSpec {
    const fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    const fn dangerous(self) -> Self {
        Self { dangerous: true, ..self }
    }
}

/// Every action, in the order of help and hints.
pub const TABLE: &[ActionSpec] = &[
    row(Action::Open, "open", "open the terminal, or focus it", EVERYWHERE, &["enter"]).hint("terminal"),
    row(Action::Spawn, "spawn", "spawn a worker by the template's defaults", SPAWNING, &["n", "w"]).hint("spawn"),
    row(Action::SpawnForm, "spawn-form", "spawn a worker by a form", SPAWNING, &["N"]).hint("form"),
    row(Action::Stop, "stop", "stop it", ROWS, &["s"]).hint("stop"),
    row(Action::Restart, "restart", "restart it; the parent: repair all that are cut off", ROWS, &["r"])
        .hint("restart"),
    row(Action::Shell, "shell", "open another shell in it", ABOUT, &["e"]).hint("shell"),
    row(Action::ShowLogs, "logs", "show its logs", ABOUT, &["l"]).hint("logs"),
    row(Action::Why, "why", "say why it is as it is", ABOUT, &["W"]).hint("why"),
    row(Action::Remove, "remove", "remove it", WORKERS, &["d"]).hint("remove").dangerous(),
    row(Action::Mark, "mark", "mark it; stop, restart, refresh and remove then mean all marked", WORKERS, &["space"])
        .hint("mark"),
    row(Action::ShowInspect, "inspect", "show what the engine says about it", ROWS, &["i"]).hint("inspect"),
    row(Action::Copy, "copy", "copy its name", ABOUT, &["y"]).hint("copy"),
    row(Action::Refresh, "refresh", "make it anew by its template, workspace and agent home kept", WORKERS, &["R"])
        .dangerous(),
    row(Action::StopAll, "stop-all", "stop all workers", STOPPING, &["S"]).dangerous(),
    row(Action::NextSession, "next-session", "next terminal of this worker", SESSIONS, &["}", "right"])
        .hint("next terminal"),
    row(Action::PreviousSession, "previous-session", "previous terminal of this worker", SESSIONS, &["{", "left"]),
    row(Action::CloseSession, "close-session", "end this shell", SESSIONS, &["x"]).dangerous(),
    row(Action::Follow, "follow", "stay at the newest line", LOGS, &["f"]).hint("follow"),
    row(Action::Wrap, "wrap", "wrap long lines", LOGS, &["w"]).hint("wrap"),
    row(Action::Timestamps, "timestamps", "show when a line came", LOGS, &["t"]).hint("times"),
    row(Action::ScrollLeft, "scroll-left", "scroll to the left", READING, &["left"]),
    row(Action::ScrollRight, "scroll-right", "scroll to the right", READING, &["right"]),
    row(Action::MoveDown, "down", "down", MOVING, &["j", "down"]),
    row(Action::MoveUp, "up", "up", MOVING, &["k", "up"]),
    row(Action::First, "first", "to the first line", MOVING, &["g", "home"]),
    row(Action::Last, "last", "to the last line", MOVING, &["G", "end"]),
    row(Action::PageDown, "page-down", "a page down", MOVING, &["pgdn"]),
    row(Action::PageUp, "page-up", "a page up", MOVING, &["pgup"]),
    row(Action::HalfDown, "half-down", "half a page down", MOVING, &["ctrl-d"]),
    row(Action::HalfUp, "half-up", "half a page up", MOVING, &["ctrl-u"]),
    row(Action::NextPane, "next-pane", "next pane", EVERYWHERE, &["tab"]).hint("pane"),
    row(Action::PreviousPane, "previous-pane", "previous pane", EVERYWHERE, &["shift-tab"]),
    row(Action::PaneParent, "pane-parent", "pane 1: the parent", EVERYWHERE, &["1"]),
    row(Action::PaneWorkers, "pane-workers", "pane 2: the workers", EVERYWHERE, &["2"]),
    row(Action::PanePool, "pane-pool", "pane 3: the pool", EVERYWHERE, &["3"]),
    row(Action::PaneServices, "pane-services", "pane 4: the services", EVERYWHERE, &["4"]),
    row(Action::PaneMain, "pane-main", "pane 5: terminal, logs, inspect", EVERYWHERE, &["5"]),
    row(Action::NextTab, "next-tab", "next tab", EVERYWHERE, &["]"]).hint("tab"),
    row(Action::PreviousTab, "previous-tab", "previous tab", EVERYWHERE, &["["]),
    row(Action::Filter, "filter", "narrow the list", LISTS, &["/"]).hint("filter"),
    row(Action::Zoom, "zoom", "the focused pane alone, and back", EVERYWHERE, &["z"]),
    row(Action::Fix, "fix", "restart the parent and repair all that are cut off", EVERYWHERE, &["F"]),
    row(Action::Palette, "palette", "every action by name", EVERYWHERE, &[":", "ctrl-k"]),
    row(Action::Back, "back", "one step back; never quits", MOVING, &["esc"]),
    row(Action::Help, "help", "these keys", EVERYWHERE, &["?"]).hint("help"),
    row(Action::Suspend, "suspend", "to the shell; `fg` comes back", EVERYWHERE, &["ctrl-z"]),
    row(Action::Quit, "quit", "leave the dashboard; the supervisor goes on", EVERYWHERE, &["q"]).hint("quit"),
    row(Action::Yes, "yes", "yes", DIALOG, &["y"]).hint("yes"),
    row(Action::No, "no", "no", DIALOG, &["n"]).hint("no"),
    row(Action::Switch, "switch", "the other answer", DIALOG, &["left", "right"]),
    row(Action::Accept, "accept", "take what is chosen or typed", ASKING, &["enter"]).hint("ok"),
    row(Action::Cancel, "cancel", "leave it as it was", ASKING, &["esc"]).hint("cancel"),
    row(Action::NextChoice, "next-choice", "the next choice", ASKING, &["tab", "down", "ctrl-n"]).hint("next"),
    row(Action::PreviousChoice, "previous-choice", "the previous choice", ASKING, &["shift-tab", "up", "ctrl-p"]),
    row(
        Action::Leave,
        "leave",
        "give the keys back; twice within a second sends it through",
        &[Context::Focused],
        &["ctrl-q"],
    )
    .hint("leave"),
];

impl Action {
    /// Its row in the table.
    #[must_use]
    pub fn spec(self) -> Option<&'static ActionSpec> {
        TABLE.iter().find(|spec| spec.action == self)
    }

    /// The action of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|spec| spec.name == name).map(|spec| spec.action)
    }
}

/// The actions that hold in a context, the global ones last.
pub fn in_context(context: Context) -> impl Iterator<Item = &'static ActionSpec> {
    let own = TABLE.iter().filter(move |spec| spec.contexts.contains(&context));
    let shared = TABLE.iter().filter(move |spec| {
        context != Context::Global
            && context.takes_global()
            && spec.contexts.contains(&Context::Global)
            && !spec.contexts.contains(&context)
    });
    own.chain(shared)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_actions_are_unique() {
        let names: BTreeSet<&str> = TABLE.iter().map(|spec| spec.name).collect();
        let actions: BTreeSet<Action> = TABLE.iter().map(|spec| spec.action).collect();
        assert_eq!((names.len(), actions.len()), (TABLE.len(), TABLE.len()));
    }

    #[test]
    fn what_loses_something_is_marked_so() {
        let dangerous: Vec<&str> = TABLE.iter().filter(|spec| spec.dangerous).map(|spec| spec.name).collect();
        assert_eq!(dangerous, ["remove", "refresh", "stop-all", "close-session"]);
    }
}
