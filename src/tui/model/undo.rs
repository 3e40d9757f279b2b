//! What can be undone, the newest last.

use std::collections::VecDeque;

use super::Pane;
use super::list::Sort;
use super::tiles::Tile;

/// So many steps back.
const KEPT: usize = 16;

/// One step back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Start what was stopped.
    Start(Vec<String>),
    /// Order the workers as before.
    Sort(Sort),
    /// Narrow a list as before.
    Filter(Pane, String),
    /// Show the terminals as before: those that were kept, and the one that was not.
    Tiles(Vec<Tile>, Option<Tile>),
}

/// The steps.
#[derive(Debug, Default)]
pub struct Undos(VecDeque<Undo>);

impl Undos {
    /// One more. What was stopped together is started together.
    pub fn push(&mut self, undo: Undo) {
        if let (Some(Undo::Start(known)), Undo::Start(names)) = (self.0.back_mut(), &undo) {
            known.extend(names.iter().filter(|name| !known.contains(name)).cloned().collect::<Vec<_>>());
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(undo);
    }

    /// The newest.
    pub fn pop(&mut self) -> Option<Undo> {
        self.0.pop_back()
    }

    /// A container was started or is gone: it is not to be started again.
    pub fn forget(&mut self, name: &str) {
        for undo in &mut self.0 {
            if let Undo::Start(names) = undo {
                names.retain(|known| known != name);
            }
        }
        self.0.retain(|undo| !matches!(undo, Undo::Start(names) if names.is_empty()));
    }
}
