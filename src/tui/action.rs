//! Everything that a key can do, in one table.
//!
//! Help, hints, the palette, the README and the checks of the configuration all read [`TABLE`].

mod context;

pub use context::Context;

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
    /// Closes a text.
    Close,
    /// Narrows the list.
    Filter,
    /// Every action, by name.
    Palette,
    /// The keys.
    Help,
    /// The focused pane alone.
    Zoom,
    /// Pane 5 alone, with all its terminals.
    Wide,
    /// Keeps a terminal in sight.
    Keep,
    /// Lets a tile go.
    CloseTile,
    /// The next tile.
    NextTile,
    /// The previous tile.
    PreviousTile,
    /// The tile to the left.
    TileLeft,
    /// The tile to the right.
    TileRight,
    /// The tile above.
    TileUp,
    /// The tile below.
    TileDown,
    /// Another arrangement of the tiles.
    Arrange,
    /// Terminals beside the other tabs.
    Beside,
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
    /// What it uses.
    ShowFigures,
    /// What happened in the bay.
    ShowEvents,
    /// What leads where.
    ShowPorts,
    /// Why it is not running.
    Why,
    /// Names that were asked for outside of the bay.
    ShowDoors,
    /// Copies its name.
    Copy,
    /// To the next worker that needs somebody.
    NextCall,
    /// Another order of the workers.
    Sort,
    /// One step back.
    Undo,
    /// Another look, tried out at once.
    Theme,
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
    /// Looks for an expression in the log.
    Search,
    /// To the next line with it.
    NextMatch,
    /// To the previous line with it.
    PreviousMatch,
    /// Hides the lines without an expression.
    Hide,
    /// The logs of all workers in one.
    Merge,
    /// Folds lines of JSON.
    Fold,
    /// Marks a line.
    MarkLine,
    /// To the next marked line.
    NextMark,
    /// Saves the lines to a file.
    Save,
    /// Scrolls left.
    ScrollLeft,
    /// Scrolls right.
    ScrollRight,
    /// Holds a text still, to select and copy.
    Select,
    /// Selects whole lines.
    SelectLines,
    /// Looks back in a terminal that was just left.
    LookBack,
    /// The cursor to the left.
    CopyLeft,
    /// The cursor to the right.
    CopyRight,
    /// To the beginning of the line.
    LineStart,
    /// To the end of the line.
    LineEnd,
    /// To the next word.
    WordForward,
    /// To the word before.
    WordBack,
    /// One more warm worker.
    MoreWarm,
    /// One less.
    LessWarm,
    /// Copies what is selected.
    Yank,
    /// Lets the text go on.
    EndCopy,
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

use Context as C;
const EVERYWHERE: &[Context] = &[Context::Global];
const TILED: &[Context] = EVERYWHERE;
const TILED_OR_LEFT: &[Context] = &[Context::Global, Context::Left];
const ALWAYS: &[Context] = &[Context::Global, Context::Copy];
const MOVING: &[Context] = &[Context::Global, Context::Reader, Context::Copy];
const PAGED: &[Context] = &[Context::Global, Context::Reader, Context::Copy, Context::Dialog];
const INSPECTED: &[Context] = &[C::Parent, C::Workers, C::Services, C::Terminal, C::Logs];
const DRIVEN: &[Context] = &[Context::Parent, Context::Workers, Context::Services];
const LISTS: &[Context] = &[Context::Parent, Context::Workers, Context::Pool, Context::Services, Context::Reader];
const SPAWNING: &[Context] = &[Context::Workers, Context::Parent, Context::Pool, Context::Terminal, Context::Inspect];
const STOPPING: &[Context] = &[Context::Workers, Context::Parent, Context::Pool];
const ABOUT: &[Context] = &[Context::Parent, Context::Workers, Context::Services, Context::Terminal, Context::Inspect];
const POOLED: &[Context] = &[Context::Pool, Context::Workers];
const SAID: &[Context] =
    &[Context::Parent, Context::Workers, Context::Services, Context::Terminal, Context::Logs, Context::Inspect];
const EXPLAINED: &[Context] =
    &[C::Parent, C::Workers, C::Pool, C::Services, C::Terminal, C::Logs, C::Inspect, C::Figures, C::Events, C::Ports];
const WORKERS: &[Context] = &[Context::Workers];
const SESSIONS: &[Context] = &[Context::Terminal];
const LOGS: &[Context] = &[Context::Logs];
const SEARCHED: &[Context] = &[C::Logs, C::Inspect, C::Figures, C::Events, C::Ports, C::Copy];
const FOUND: &[Context] = &[Context::Logs, Context::Copy];
const TEXTS: &[Context] = &[C::Terminal, C::Logs, C::Inspect, C::Figures, C::Events, C::Ports, C::Copy];
const COPYING: &[Context] = &[Context::Copy];
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
    row(Action::Stop, "stop", "stop it; a service that rests: start it", DRIVEN, &["s"]).hint("stop"),
    row(Action::Restart, "restart", "restart it; the parent: repair what is cut off", DRIVEN, &["r"])
        .hint("restart")
        .dangerous(),
    row(Action::Shell, "shell", "open another shell in it", SAID, &["e"]).hint("shell"),
    row(Action::ShowLogs, "logs", "show its logs", ABOUT, &["l"]).hint("logs"),
    row(Action::Why, "why", "say why it is as it is", EXPLAINED, &["W"]).hint("why"),
    row(Action::Remove, "remove", "remove it", WORKERS, &["d"]).hint("remove").dangerous(),
    row(Action::Mark, "mark", "mark it; stop, restart, refresh and remove then mean all marked", WORKERS, &["space"])
        .hint("mark"),
    row(Action::ShowFigures, "figures", "show what it and the machine use", EVERYWHERE, &["%"]),
    row(Action::ShowEvents, "events", "show what happened in the bay", EVERYWHERE, &["H"]),
    row(Action::ShowPorts, "ports", "show which port leads where, and who listens", EVERYWHERE, &["P"]),
    row(Action::ShowDoors, "network", "answer what was asked for outside of the bay", EVERYWHERE, &["A"]),
    row(Action::Copy, "copy", "copy its name; again: its id, address, project", ABOUT, &["y"]).hint("copy"),
    row(Action::Sort, "sort", "order them by name, need, state, age", WORKERS, &["o"]),
    row(Action::Undo, "undo", "undo a stop, an order, a filter, a terminal let go", EVERYWHERE, &["u"]),
    row(Action::NextCall, "next-call", "to the next worker that needs somebody", EVERYWHERE, &["!"]),
    row(Action::Refresh, "refresh", "make it anew by its template, workspace and agent home kept", WORKERS, &["R"])
        .dangerous(),
    row(Action::MoreWarm, "pool-more", "keep one more worker warm in the selected pool", POOLED, &["+"]).hint("more"),
    row(Action::LessWarm, "pool-less", "keep one less worker warm in the selected pool", POOLED, &["-"]).hint("less"),
    row(Action::StopAll, "stop-all", "stop all workers", STOPPING, &["S"]).dangerous(),
    row(Action::NextSession, "next-session", "next terminal of this worker", SESSIONS, &["}", "right"])
        .hint("next terminal"),
    row(Action::PreviousSession, "previous-session", "previous terminal of this worker", SESSIONS, &["{", "left"]),
    row(Action::CloseSession, "close-session", "end this shell", SESSIONS, &["x"]).dangerous(),
    row(Action::Follow, "follow", "stay at the newest line", LOGS, &["f"]).hint("follow"),
    row(Action::Wrap, "wrap", "wrap long lines", LOGS, &["w"]).hint("wrap"),
    row(Action::Timestamps, "timestamps", "show when a line came", LOGS, &["t"]).hint("times"),
    row(Action::Search, "search", "look for an expression, as you type it", SEARCHED, &["/"]).hint("search"),
    row(Action::NextMatch, "next-match", "next line with it", FOUND, &["n"]).hint("next"),
    row(Action::PreviousMatch, "previous-match", "previous line with it", FOUND, &["N"]),
    row(Action::Hide, "hide", "hide the lines without an expression; !x: those with x", LOGS, &["&"]).hint("filter"),
    row(Action::Merge, "all-workers", "the logs of all workers in one, and back", LOGS, &["a"]).hint("all workers"),
    row(Action::Fold, "fold-json", "lines of JSON as level, message and fields, and back", LOGS, &["J"]),
    row(Action::MarkLine, "mark-line", "mark the found or the lowest line, and back", LOGS, &["m"]),
    row(Action::NextMark, "next-mark", "to the next marked line", LOGS, &["'"]),
    row(Action::Save, "save", "save the lines that are not hidden to a file", LOGS, &["x"]).hint("save"),
    row(Action::ShowInspect, "inspect", "show what the engine says about it", INSPECTED, &["i"]).hint("inspect"),
    row(Action::Select, "select", "hold the text still and select; in copy mode: begin, or let go", TEXTS, &["v"])
        .hint("select"),
    row(Action::SelectLines, "select-lines", "select whole lines", COPYING, &["V"]).hint("lines"),
    row(Action::Yank, "yank", "copy what is selected, or the line", COPYING, &["y", "enter"]).hint("copy"),
    row(Action::CopyLeft, "copy-left", "the cursor to the left", COPYING, &["h", "left"]),
    row(Action::CopyRight, "copy-right", "the cursor to the right", COPYING, &["l", "right"]),
    row(Action::WordForward, "word-forward", "to the next word", COPYING, &["w"]),
    row(Action::WordBack, "word-back", "to the word before", COPYING, &["b"]),
    row(Action::LineStart, "line-start", "to the beginning of the line", COPYING, &["0"]),
    row(Action::LineEnd, "line-end", "to the end of the line", COPYING, &["$"]),
    row(Action::EndCopy, "end-copy", "let the text go on", COPYING, &["q"]).hint("leave"),
    row(
        Action::LookBack,
        "look-back",
        "look back in the terminal, search and copy",
        &[Context::Left],
        &["[", "pgup", "v"],
    )
    .hint("look back"),
    row(Action::ScrollLeft, "scroll-left", "scroll to the left", READING, &["left"]),
    row(Action::ScrollRight, "scroll-right", "scroll to the right", READING, &["right"]),
    row(Action::MoveDown, "down", "down", MOVING, &["j", "down"]),
    row(Action::MoveUp, "up", "up", MOVING, &["k", "up"]),
    row(Action::First, "first", "to the first line", MOVING, &["g", "home"]),
    row(Action::Last, "last", "to the last line", MOVING, &["G", "end"]),
    row(Action::PageDown, "page-down", "a page down", PAGED, &["pgdn"]),
    row(Action::PageUp, "page-up", "a page up", PAGED, &["pgup"]),
    row(Action::HalfDown, "half-down", "half a page down", MOVING, &["ctrl-d"]),
    row(Action::HalfUp, "half-up", "half a page up", MOVING, &["ctrl-u"]),
    row(Action::NextPane, "next-pane", "next pane", EVERYWHERE, &["tab"]).hint("pane"),
    row(Action::PreviousPane, "previous-pane", "previous pane", EVERYWHERE, &["shift-tab"]),
    row(Action::PaneParent, "pane-parent", "pane 1: the parent", EVERYWHERE, &["1"]),
    row(Action::PaneWorkers, "pane-workers", "pane 2: the workers", EVERYWHERE, &["2"]),
    row(Action::PanePool, "pane-pool", "pane 3: the pool", EVERYWHERE, &["3"]),
    row(Action::PaneServices, "pane-services", "pane 4: the services", EVERYWHERE, &["4"]),
    row(Action::PaneMain, "pane-main", "pane 5: terminal, logs, inspect, figures, events", EVERYWHERE, &["5"]),
    row(Action::NextTab, "next-tab", "next tab", EVERYWHERE, &["]"]).hint("tab"),
    row(Action::PreviousTab, "previous-tab", "previous tab", EVERYWHERE, &["["]),
    row(Action::Filter, "filter", "narrow the list; in these keys: look for one by name", LISTS, &["/"]).hint("filter"),
    row(Action::Keep, "keep", "keep this terminal in sight beside the next, or let it go", TILED, &["|", "ctrl-w v"])
        .hint("keep"),
    row(Action::NextTile, "next-tile", "next terminal in sight", TILED_OR_LEFT, &["o", "ctrl-w w"]).hint("next tile"),
    row(Action::PreviousTile, "previous-tile", "previous terminal in sight", TILED_OR_LEFT, &["O", "ctrl-w p"]),
    row(Action::TileLeft, "tile-left", "terminal to the left", TILED_OR_LEFT, &["alt-left", "alt-h", "ctrl-w h"]),
    row(Action::TileRight, "tile-right", "terminal to the right", TILED_OR_LEFT, &["alt-right", "alt-l", "ctrl-w l"]),
    row(Action::TileUp, "tile-up", "terminal above", TILED_OR_LEFT, &["alt-up", "alt-k", "ctrl-w k"]),
    row(Action::TileDown, "tile-down", "terminal below", TILED_OR_LEFT, &["alt-down", "alt-j", "ctrl-w j"]),
    row(
        Action::CloseTile,
        "close-tile",
        "let this terminal go from sight; its program goes on",
        TILED,
        &["X", "ctrl-w c"],
    ),
    row(Action::Arrange, "arrange", "terminals in a grid, columns, rows, stacked", TILED, &["=", "ctrl-w space"]),
    row(Action::Beside, "beside", "terminals beside logs, inspect and the rest, and back", TILED, &["B", "ctrl-w b"]),
    row(
        Action::Zoom,
        "zoom",
        "the focused pane alone, and back; of several terminals the active one",
        TILED_OR_LEFT,
        &["z"],
    ),
    row(Action::Wide, "wide", "pane 5 with all its terminals alone, and back", TILED, &["Z"]),
    row(Action::Fix, "fix", "restart the parent and repair all that are cut off", &[C::Global, C::Reader], &["F"]),
    row(Action::Theme, "theme", "choose another look; seen at once", EVERYWHERE, &["T"]),
    row(Action::Palette, "palette", "every action by name", ALWAYS, &[":", "ctrl-k"]),
    row(Action::Back, "back", "one step back; never quits", MOVING, &["esc"]),
    row(Action::Close, "close", "close this text", &[C::Reader], &["q", "?"]).hint("close"),
    row(Action::Help, "help", "these keys", ALWAYS, &["?"]).hint("help"),
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
        assert_eq!(dangerous, ["restart", "remove", "refresh", "stop-all", "close-session"]);
    }
}
