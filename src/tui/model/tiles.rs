//! The terminals of pane 5 beside one another: which are kept in sight, and how they share the room.

use serde::{Deserialize, Serialize};

use super::super::effect::Target;
use super::{Model, Pane};
use crate::api::types::ContainerRow;
use crate::bay::session::SessionKind;

/// How several terminals share the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrangement {
    /// As near to a square as it goes.
    #[default]
    Grid,
    /// Side by side.
    Columns,
    /// One above the other.
    Rows,
    /// The titles of all, the screen of one.
    Stack,
}

impl Arrangement {
    /// In the order of the key.
    pub const ALL: [Self; 4] = [Self::Grid, Self::Columns, Self::Rows, Self::Stack];

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grid => "in a grid",
            Self::Columns => "side by side",
            Self::Rows => "one above the other",
            Self::Stack => "stacked",
        }
    }
}

/// One terminal of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The container's name, as its row has it.
    pub name: String,
    /// Which of its terminals. It may have none at present; then the tile says why.
    pub target: Target,
}

/// The tiles of pane 5. The selection and the active tile are one thing: selecting a row that is kept makes its tile
/// the active one, any other is shown in the one tile that is not kept.
#[derive(Debug, Default)]
pub struct Tiles {
    /// Kept in sight whatever is selected, in their order.
    pub kept: Vec<Tile>,
    /// What is selected, or was last, where that is not kept.
    pub passing: Option<Tile>,
    /// How they share the room.
    pub arrangement: Arrangement,
    /// The other tabs leave room for them.
    pub beside: bool,
    /// While pane 5 is zoomed: the active one alone.
    pub alone: bool,
}

impl Tiles {
    /// All, from the first on.
    pub fn all(&self) -> impl Iterator<Item = &Tile> {
        self.kept.iter().chain(&self.passing)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len() + usize::from(self.passing.is_some())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Model {
    /// The tile of the selected row.
    #[must_use]
    pub fn wanted_tile(&self) -> Option<Tile> {
        let name = self.subject()?.name.clone();
        let target = self.wanted_terminal().unwrap_or_else(|| Target::Main(name.clone()));
        Some(Tile { name, target })
    }

    /// Which tile is the active one.
    #[must_use]
    pub fn active_tile(&self) -> Option<usize> {
        let wanted = self.wanted_tile()?;
        self.main.tiles.all().position(|tile| *tile == wanted)
    }

    /// A row by the name that tiles have: of a container, or of a service that is none.
    #[must_use]
    pub fn row_of(&self, name: &str) -> Option<&ContainerRow> {
        self.feed.row(name).or_else(|| self.feed.service_rows.iter().find(|row| row.name == name))
    }

    /// Whether a tile's container, or its shell, still is there.
    #[must_use]
    pub fn has_tile(&self, tile: &Tile) -> bool {
        match &tile.target {
            Target::Main(_) => self.row_of(&tile.name).is_some(),
            Target::Shell(id) => self.feed.sessions(&tile.name).any(|session| session.id == *id),
        }
    }

    /// Whether a tile's terminal can be looked at now.
    #[must_use]
    pub fn is_offered(&self, tile: &Tile) -> bool {
        self.row_of(&tile.name).is_some_and(|row| self.strip_of(row).iter().any(|tab| tab.target == tile.target))
    }

    /// What stands over a tile.
    #[must_use]
    pub fn tile_title(&self, tile: &Tile) -> String {
        let kind = |session: &&crate::api::types::SessionRow| match &tile.target {
            Target::Main(_) => session.kind == SessionKind::Main,
            Target::Shell(id) => session.id == *id,
        };
        let title = self.feed.sessions(&tile.name).find(kind).map(|session| session.title.clone());
        match title.filter(|title| !title.is_empty() && *title != tile.name) {
            Some(title) => format!("{} {} {title}", tile.name, self.settings.symbols.dot),
            None => tile.name.clone(),
        }
    }

    /// Whether a terminal of this container is on the screen.
    #[must_use]
    pub fn is_seen(&self, name: &str) -> bool {
        let Some(layout) = self.layout() else { return false };
        let tiles: Vec<&Tile> = self.main.tiles.all().collect();
        let areas = self.tile_areas(&layout);
        areas.iter().any(|area| !area.body.is_empty() && tiles.get(area.at).is_some_and(|tile| tile.name == name))
    }

    /// Whether pane 5 is on the screen at all.
    #[must_use]
    pub fn shows_main(&self) -> bool {
        self.layout().is_some_and(|layout| !layout.pane(Pane::Main).is_empty())
    }
}
