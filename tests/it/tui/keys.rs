//! The table of actions as a whole: what a stray key may do, what INTERFACE fixes, where help says it, and that the
//! palette has all of it.

use podbay::api::types::{Snapshot, State, Verb};
use podbay::tui::action::{Action, ActionSpec, Context, TABLE, in_context};
use podbay::tui::effect::Effect;
use podbay::tui::keymap::{Keymap, UserKeys};
use podbay::tui::model::list::Sort;
use podbay::tui::model::overlay::Overlay;
use podbay::tui::model::{Pane, Tab};

use super::driver::Driver;
use super::{bay, screens, services};

/// A dashboard whose keys hold there; `None`: this bay has no such place.
fn at(snapshot: Snapshot, marks: bool, context: Context) -> Option<Driver> {
    let mut driver = Driver::of(snapshot, 120, 40);
    driver.wait(200);
    if marks {
        driver.keys("2 space space");
    }
    let logs = |driver: &mut Driver| {
        driver.keys("2 l");
        driver.wait(200);
        if !driver.model.main.logs.streams.is_empty() {
            driver.log((0..9).map(|at| screens::log(at, "a line")));
        }
    };
    match context {
        Context::Global => return None,
        Context::Parent => driver.keys("1"),
        Context::Workers => driver.keys("2"),
        Context::Pool => driver.keys("3"),
        Context::Services => driver.keys("4"),
        Context::Terminal => driver.keys("2 5"),
        Context::Logs => logs(&mut driver),
        Context::Inspect => driver.keys("2 i"),
        Context::Figures => driver.keys("%"),
        Context::Events => driver.keys("H"),
        Context::Ports => driver.keys("P"),
        Context::Copy => {
            logs(&mut driver);
            driver.keys("v");
        }
        Context::Reader => driver.keys("?"),
        Context::Dialog => driver.keys("2 d"),
        Context::Prompt => driver.keys(":"),
        Context::Focused | Context::Left => {
            driver.keys("2 enter");
            driver.model.main.terminals.shown()?;
            driver.screen("$ ");
            if context == Context::Left {
                driver.keys("ctrl-q");
            }
        }
    }
    let left = context == Context::Left && driver.model.focus.left_at.is_some();
    (left || driver.model.context() == context).then_some(driver)
}

/// What one key may do without a question. Everything else is a loss.
fn is_allowed(effect: &Effect, action: Action, context: Context) -> bool {
    match effect {
        // To look is free.
        Effect::Why { .. }
        | Effect::Inspect { .. }
        | Effect::ReadFigures { .. }
        | Effect::ReadPorts
        | Effect::OpenLogs { .. }
        | Effect::ReadLog { .. }
        | Effect::CloseLogs { .. }
        | Effect::OpenTerminal { .. }
        | Effect::ResizeTerminal { .. }
        | Effect::CloseTerminal { .. }
        | Effect::Copy(_)
        | Effect::Title(_)
        | Effect::CursorShape(_)
        | Effect::Suspend => true,
        // The supervisor goes on.
        Effect::Quit => action == Action::Quit,
        // The palette does what is chosen in it.
        Effect::Spawn(_) => action == Action::Spawn || (action, context) == (Action::Accept, Context::Prompt),
        Effect::OpenSession { .. } => action == Action::Shell,
        Effect::ScalePool { .. } => matches!(action, Action::MoreWarm | Action::LessWarm),
        // The leaving key's second time.
        Effect::TypeInto { .. } => context == Context::Left,
        // INTERFACE says so; undo starts it again.
        Effect::Act { verb: Verb::Stop | Verb::Start, .. } => action == Action::Stop,
        // A service is its configuration's; nothing runs in what has ended, and what is cut off is repaired.
        Effect::Act { verb: Verb::Restart, name } => {
            action == Action::Fix
                || action == Action::Restart && (name.starts_with("svc-") || ["fox", "parent"].contains(&name.as_str()))
        }
        _ => false,
    }
}

#[test]
fn no_key_of_the_table_loses_anything_anywhere() {
    let keymap = Keymap::new(&UserKeys::new()).unwrap();
    let mut reached = std::collections::BTreeSet::new();
    let bays = [
        ("running", bay::running(), false),
        ("mixed", bay::mixed(), false),
        ("services", services::some(), false),
        ("marked", bay::running(), true),
    ];
    for (what, snapshot, marks) in bays {
        for context in Context::ALL {
            for spec in in_context(context) {
                for key in keymap.keys_of(spec.action, context) {
                    let Some(mut driver) = at(snapshot.clone(), marks, context) else { continue };
                    reached.insert(context);
                    driver.taken();
                    let ran: Vec<String> = snapshot
                        .containers
                        .iter()
                        .filter(|row| matches!(row.state, State::Running | State::CutOff))
                        .map(|row| row.name.clone())
                        .collect();
                    driver.keys(&key);
                    for effect in driver.taken() {
                        let allowed = is_allowed(&effect, spec.action, context);
                        assert!(allowed, "{key} ({}) in {context}, bay {what}: {effect:?}", spec.name);
                        // In a bay where the parent runs and nobody is cut off, a restart of what runs is asked about.
                        if let Effect::Act { name, verb: Verb::Restart } = &effect
                            && what == "running"
                        {
                            assert!(!ran.contains(name), "{key} in {context} restarts {name}");
                        }
                    }
                }
            }
        }
    }
    let missing: Vec<Context> = Context::ALL.into_iter().filter(|context| !reached.contains(context)).collect();
    assert_eq!(missing, [Context::Global], "contexts that no bay has");
}

/// INTERFACE.md's table of keys: people's hands and other people's configurations know it.
const FIXED: &[(&[Context], &str, Action)] = {
    use Action as A;
    use Context as C;
    const ALL: &[Context] = &[
        C::Parent,
        C::Workers,
        C::Pool,
        C::Services,
        C::Terminal,
        C::Logs,
        C::Inspect,
        C::Figures,
        C::Events,
        C::Ports,
    ];
    const LISTS: &[Context] = &[C::Parent, C::Workers, C::Pool, C::Services];
    const BOTH: &[Context] = &[C::Workers, C::Pool];
    &[
        (ALL, "j", A::MoveDown),
        (ALL, "down", A::MoveDown),
        (ALL, "k", A::MoveUp),
        (ALL, "up", A::MoveUp),
        (ALL, "g", A::First),
        (ALL, "G", A::Last),
        (ALL, "pgup", A::PageUp),
        (ALL, "pgdn", A::PageDown),
        (ALL, "ctrl-d", A::HalfDown),
        (ALL, "ctrl-u", A::HalfUp),
        (ALL, "tab", A::NextPane),
        (ALL, "shift-tab", A::PreviousPane),
        (ALL, "1", A::PaneParent),
        (ALL, "2", A::PaneWorkers),
        (ALL, "3", A::PanePool),
        (ALL, "4", A::PaneServices),
        (ALL, "5", A::PaneMain),
        (ALL, "[", A::PreviousTab),
        (ALL, "]", A::NextTab),
        (ALL, "enter", A::Open),
        (ALL, "esc", A::Back),
        (LISTS, "/", A::Filter),
        (&[C::Logs], "/", A::Search),
        (&[C::Logs], "n", A::NextMatch),
        (&[C::Logs], "N", A::PreviousMatch),
        (ALL, ":", A::Palette),
        (ALL, "ctrl-k", A::Palette),
        (ALL, "?", A::Help),
        (ALL, "z", A::Zoom),
        (ALL, "q", A::Quit),
        (BOTH, "n", A::Spawn),
        (BOTH, "w", A::Spawn),
        (BOTH, "N", A::SpawnForm),
        (&[C::Workers], "s", A::Stop),
        (BOTH, "S", A::StopAll),
        (&[C::Workers], "r", A::Restart),
        (&[C::Workers], "R", A::Refresh),
        (&[C::Workers], "d", A::Remove),
        (&[C::Workers], "e", A::Shell),
        (&[C::Workers], "l", A::ShowLogs),
        (&[C::Workers], "i", A::ShowInspect),
        (BOTH, "W", A::Why),
        (&[C::Workers], "y", A::Copy),
        (&[C::Workers], "space", A::Mark),
        (BOTH, "+", A::MoreWarm),
        (BOTH, "-", A::LessWarm),
        (BOTH, "!", A::NextCall),
        (&[C::Services], "s", A::Stop),
        (&[C::Services], "r", A::Restart),
        (&[C::Services], "l", A::ShowLogs),
        (&[C::Services], "W", A::Why),
        (&[C::Services], "y", A::Copy),
        (&[C::Logs], "f", A::Follow),
        (&[C::Logs], "w", A::Wrap),
        (&[C::Logs], "t", A::Timestamps),
        (&[C::Logs], "&", A::Hide),
        (&[C::Logs], "v", A::Select),
        (&[C::Copy], "y", A::Yank),
        (&[C::Logs], "x", A::Save),
        (&[C::Focused], "ctrl-q", A::Leave),
    ]
};

#[test]
fn the_fixed_keys_are_as_the_interface_has_them() {
    let keymap = Keymap::new(&UserKeys::new()).unwrap();
    for (contexts, key, action) in FIXED {
        for context in *contexts {
            let keys = keymap.keys_of(*action, *context);
            assert!(keys.iter().any(|known| known == key), "{key} in {context} is not {action:?}, which has {keys:?}");
        }
    }
}

#[test]
fn every_key_stands_in_a_help_that_can_be_opened_where_it_holds() {
    let keymap = Keymap::new(&UserKeys::new()).unwrap();
    for context in Context::ALL {
        if context == Context::Global {
            continue;
        }
        // Where no help can be asked for, that of the place before has it.
        let asks = keymap.key_of(Action::Help, context);
        let Some(mut driver) = at(bay::running(), false, if asks.is_some() { context } else { Context::Workers })
        else {
            panic!("{context} can't be reached")
        };
        driver.keys(asks.as_deref().unwrap_or("?"));
        assert!(matches!(driver.model.overlay, Some(Overlay::Help { .. })), "{context}: {}", driver.shot());
        let mut text = String::new();
        for _ in 0..8 {
            text.push_str(&driver.shot());
            driver.keys("pgdn");
        }
        for spec in in_context(context).filter(|spec| spec.contexts.contains(&context)) {
            for key in keymap.keys_of(spec.action, context) {
                let said = text
                    .lines()
                    .any(|line| line.contains(&key) && line.contains(&spec.text[..spec.text.len().min(20)]));
                assert!(said, "{key} ({}) of {context} is in no help", spec.name);
            }
        }
    }
}

/// What answers a question or closes a text has no meaning where neither is open.
fn is_offered(spec: &ActionSpec) -> bool {
    let brief = [Context::Dialog, Context::Prompt, Context::Reader, Context::Focused];
    spec.contexts.iter().any(|context| !brief.contains(context))
}

#[test]
fn the_palette_has_every_action_everywhere_and_goes_where_it_belongs() {
    let places = [
        Context::Parent,
        Context::Workers,
        Context::Pool,
        Context::Services,
        Context::Terminal,
        Context::Logs,
        Context::Inspect,
        Context::Figures,
        Context::Events,
        Context::Ports,
        Context::Copy,
    ];
    let offered: Vec<&ActionSpec> = TABLE.iter().filter(|spec| is_offered(spec)).collect();
    assert!(offered.len() > 60, "{}", offered.len());
    for place in places {
        let open = || {
            let mut driver = at(services::some(), false, place).unwrap_or_else(|| panic!("{place} can't be reached"));
            let before = driver.shot();
            driver.keys(":");
            (driver, before)
        };
        for spec in TABLE {
            let (mut driver, before) = open();
            driver.text(spec.name);
            let Some(Overlay::Palette(palette)) = &driver.model.overlay else { panic!("no palette in {place}") };
            let at = palette.found().iter().position(|found| found.name == spec.name);
            // Nothing is left where one is not.
            let offered = is_offered(spec) && (spec.action != Action::EndCopy || place == Context::Copy);
            assert_eq!(at.is_some(), offered, "{} in {place}", spec.name);
            let Some(at) = at else { continue };
            // Its own name finds it before all others.
            assert_eq!(at, 0, "{} in {place}", spec.name);
            let goes = palette.way_to(spec);
            driver.taken();
            driver.keys("enter");
            assert!(!matches!(driver.model.overlay, Some(Overlay::Palette(_))) || spec.action == Action::Palette);
            let Some(goes) = goes else { continue };
            let (pane, tab) = (driver.model.focus.pane, driver.model.main.tab);
            let there = match goes {
                Context::Parent => pane == Pane::Parent,
                Context::Workers => pane == Pane::Workers,
                Context::Pool => pane == Pane::Pool,
                Context::Services => pane == Pane::Services,
                Context::Copy | Context::Left => pane == Pane::Main || !driver.model.toasts.items.is_empty(),
                Context::Global => true,
                goes => pane == Pane::Main && Tab::ALL.into_iter().any(|known| known == tab && known.context() == goes),
            };
            let asks = driver.model.overlay.is_some();
            let done = !driver.taken().is_empty();
            // Some go on from there by themselves, perhaps to where one was.
            let goes_on = matches!(spec.action, Action::ShowLogs | Action::ShowInspect | Action::Shell);
            assert!(goes_on || asks || done || driver.shot() != before, "{} from {place} does nothing", spec.name);
            assert!(there || asks || done || goes_on, "{} from {place}: {goes}", spec.name);
        }
    }
}

/// Of some that belong elsewhere it is seen that they act.
#[test]
fn what_the_palette_does_elsewhere_is_done() {
    type Seen = fn(&mut Driver) -> bool;
    let table: [(&str, &str, Seen); 8] = [
        ("2", "wrap", |driver| driver.model.main.logs.look.wrap && driver.model.main.tab == Tab::Logs),
        ("2", "timestamps", |driver| driver.model.main.logs.look.timestamps),
        ("4", "mark", |driver| driver.model.lists.marks.len() == 1),
        ("2 l", "sort", |driver| driver.model.lists.sort != Sort::default()),
        ("H", "filter", |driver| matches!(driver.model.overlay, Some(Overlay::Filter(_)))),
        ("2", "search", |driver| matches!(driver.model.overlay, Some(Overlay::Prompt(_)))),
        ("2", "hide", |driver| matches!(driver.model.overlay, Some(Overlay::Prompt(_)))),
        ("3", "copy", |driver| driver.taken().iter().any(|effect| matches!(effect, Effect::Copy(_)))),
    ];
    for (keys, name, seen) in table {
        let mut driver = Driver::of(bay::running(), 120, 40);
        driver.wait(200);
        driver.keys(keys);
        driver.wait(200);
        driver.taken();
        driver.keys(":");
        driver.text(name);
        driver.keys("enter");
        assert!(seen(&mut driver), "{name} after {keys}: {}", driver.shot());
    }
}
