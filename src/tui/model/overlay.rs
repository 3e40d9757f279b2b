//! What lies over the panes: help, why, a question, a form, the palette, a filter.

use std::time::Duration;

use jiff::Timestamp;
use tui_textarea::TextArea;

use crate::api::types::Why;

use super::super::action::{Action, ActionSpec, Context, TABLE, in_context};
use super::super::effect::Effect;
use super::super::theme::Theme;
use super::Pane;
use super::doors::Doors;
use super::form::SpawnForm;
use super::list::subsequence;
use super::logs::Look;
use super::logs::scan::Query;

/// What lies over the panes.
#[derive(Debug)]
pub enum Overlay {
    /// The keys of the context it was opened in.
    Help {
        /// Where it was opened.
        context: Context,
        /// The first line that is shown.
        top: usize,
    },
    /// Why something is as it is.
    Why {
        /// Of what.
        name: String,
        /// The answer.
        answer: WhyAnswer,
        /// The first line that is shown.
        top: usize,
    },
    /// Something would be lost.
    Confirm(Confirm),
    /// A worker, field by field.
    Form(Box<SpawnForm>),
    /// Every action by name.
    Palette(Box<Palette>),
    /// A list is being narrowed.
    Filter(Box<FilterLine>),
    /// A line about what is read.
    Prompt(Box<Prompt>),
    /// Names that were asked for outside of the bay.
    Doors(Doors),
    /// The themes.
    Looks(Looks),
}

/// A theme is being chosen.
#[derive(Debug)]
pub struct Looks {
    /// The chosen one, which is shown.
    pub chosen: usize,
    /// The one that was there before.
    pub before: Box<Theme>,
}

/// What is known so far.
#[derive(Debug)]
pub enum WhyAnswer {
    /// Asked.
    Asking,
    /// Answered.
    Known(Box<Why>),
    /// Not answered.
    Failed(String),
}

/// A question with two answers.
#[derive(Debug)]
pub struct Confirm {
    /// The question.
    pub question: String,
    /// What will be lost, one a line.
    pub losses: Vec<String>,
    /// The word on the button.
    pub verb: &'static str,
    /// What is done on yes.
    pub effects: Vec<Effect>,
    /// Whether yes is chosen.
    pub yes: bool,
    /// The first line of what is said that is seen.
    pub top: usize,
    /// Keys are meant for it once none has come for so long ...
    pub patience: Duration,
    /// ... since then: when it opened, or the last key that was not meant for it.
    pub still_since: Timestamp,
}

/// Every action by name.
#[derive(Debug)]
pub struct Palette {
    /// Where it was opened.
    pub context: Context,
    /// The list whose row is meant.
    pub list: Context,
    /// What was typed.
    pub input: TextArea<'static>,
    /// The chosen line.
    pub chosen: usize,
}

/// A list is being narrowed.
#[derive(Debug)]
pub struct FilterLine {
    /// Which list.
    pub pane: Pane,
    /// What was typed.
    pub input: TextArea<'static>,
    /// What it was before.
    pub before: String,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptKind {
    /// Look for an expression.
    Search,
    /// Hide the lines without it.
    Hide,
    /// Save the lines to a file.
    Save,
}

/// A line about the log that is read.
#[derive(Debug)]
pub struct Prompt {
    /// What it is about.
    pub kind: PromptKind,
    /// What was typed.
    pub input: TextArea<'static>,
    /// What is wrong with it.
    pub error: Option<String>,
    /// What was looked for or hidden before.
    pub before: Option<Query>,
    /// What was seen before.
    pub look: Look,
}

impl Prompt {
    /// With this text.
    #[must_use]
    pub fn new(kind: PromptKind, text: &str, before: Option<Query>, look: Look) -> Self {
        Self { kind, input: line(text), error: None, before, look }
    }
}

impl Overlay {
    /// Whose keys hold.
    #[must_use]
    pub const fn context(&self) -> Context {
        match self {
            Self::Help { .. } | Self::Why { .. } => Context::Reader,
            Self::Confirm(_) | Self::Doors(_) | Self::Looks(_) => Context::Dialog,
            Self::Form(_) | Self::Palette(_) | Self::Filter(_) | Self::Prompt(_) => Context::Prompt,
        }
    }
}

/// What is done to the selected row, or to all of them, whichever pane has the keys.
const OF_THE_ROW: [Action; 9] = [
    Action::Stop,
    Action::Restart,
    Action::Refresh,
    Action::Remove,
    Action::StopAll,
    Action::Shell,
    Action::ShowInspect,
    Action::Spawn,
    Action::SpawnForm,
];

/// Where an action can be done that does not hold where the palette was opened, the first best.
const ELSEWHERE: [Context; 13] = [
    Context::Workers,
    Context::Parent,
    Context::Pool,
    Context::Services,
    Context::Terminal,
    Context::Logs,
    Context::Inspect,
    Context::Figures,
    Context::Events,
    Context::Ports,
    Context::Copy,
    Context::Left,
    Context::Global,
];

impl Palette {
    /// Nothing typed yet.
    #[must_use]
    pub fn new(context: Context, list: Context) -> Self {
        Self { context, list, input: line(""), chosen: 0 }
    }

    /// The actions that fit what was typed, the best first.
    #[must_use]
    pub fn found(&self) -> Vec<&'static ActionSpec> {
        let typed = text_of(&self.input);
        let cost = |spec: &ActionSpec| {
            let by_name = subsequence(&typed, spec.name);
            // Words of the explanation count, too, but after names.
            by_name.or_else(|| subsequence(&typed, spec.text).filter(|_| typed.len() > 2).map(|cost| cost + 1000))
        };
        // By its name nothing need be asked for in its own place: first what holds here, then what is done to the row.
        let elsewhere = |of_list: bool| {
            let there = move |spec: &&ActionSpec| self.place_of(spec).is_some_and(|at| (at == self.list) == of_list);
            TABLE.iter().filter(there)
        };
        let all = in_context(self.context).chain(elsewhere(true)).chain(elsewhere(false));
        let mut found: Vec<(usize, &ActionSpec)> = all.filter_map(|spec| Some((cost(spec)?, spec))).collect();
        if !typed.is_empty() {
            found.sort_by_key(|(cost, spec)| (spec.name != typed, *cost));
        }
        found.into_iter().map(|(_, spec)| spec).collect()
    }

    /// Where an action belongs that does not hold where the palette was opened. `None`: it does, or it answers a
    /// question or closes a text that is not there.
    #[must_use]
    pub fn place_of(&self, spec: &ActionSpec) -> Option<Context> {
        if in_context(self.context).any(|known| known.action == spec.action) {
            return None;
        }
        // What begins by going there would end at once.
        let ends = spec.action == Action::EndCopy;
        [self.list].into_iter().chain(ELSEWHERE).find(|place| spec.contexts.contains(place) && !ends)
    }

    /// Where one has to go for an action first: what is done to the selected row is done from everywhere.
    #[must_use]
    pub fn way_to(&self, spec: &ActionSpec) -> Option<Context> {
        self.place_of(spec).filter(|place| *place != self.list || !OF_THE_ROW.contains(&spec.action))
    }
}

/// A line to type in.
#[must_use]
pub fn line(text: &str) -> TextArea<'static> {
    let mut area = TextArea::new(vec![text.to_owned()]);
    area.set_cursor_line_style(ratatui::style::Style::default());
    area.move_cursor(tui_textarea::CursorMove::End);
    area
}

/// What was typed.
#[must_use]
pub fn text_of(area: &TextArea<'_>) -> String {
    area.lines().first().cloned().unwrap_or_default()
}
