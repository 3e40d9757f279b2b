//! The screen cut into panes. Pure, and the same for `update` (how large is a page?) and `view` (where is it?).

mod tiles;

use ratatui::layout::Rect;

use super::model::{Model, Pane, Tab};
pub use tiles::{TileArea, arrange, size_of};

/// Below this nothing but a notice is drawn.
pub const LEAST: (u16, u16) = (40, 12);
/// Below this there is one pane at a time.
const SIDE_BY_SIDE: (u16, u16) = (80, 18);

/// Where everything is. Panes that are not shown have no area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The first line.
    pub header: Rect,
    /// What went wrong with the bay, and the key that repairs it.
    pub banner: Rect,
    /// The panes' names, where only one is shown.
    pub switcher: Rect,
    /// Each pane with its frame.
    panes: [Rect; 5],
    /// The last line.
    pub footer: Rect,
}

impl Layout {
    /// Cuts an area. `None`: too small.
    #[must_use]
    pub fn of(model: &Model, area: Rect) -> Option<Self> {
        if area.width < LEAST.0 || area.height < LEAST.1 {
            return None;
        }
        let (header, rest) = top(area, 1);
        let (banner, rest) = top(rest, u16::from(model.banner().is_some()));
        let (body, footer) = bottom(rest, 1);
        let narrow = area.width < SIDE_BY_SIDE.0 || area.height < SIDE_BY_SIDE.1;
        if model.focus.zoom || narrow {
            let (switcher, body) = top(body, u16::from(!model.focus.zoom));
            let panes = Pane::ALL.map(|pane| if pane == model.focus.pane { body } else { Rect::ZERO });
            return Some(Self { header, banner, switcher, panes, footer });
        }
        let side = (body.width * 3 / 10).clamp(30, 44);
        let column = Rect { width: side, ..body };
        let main = Rect { x: body.x + side, width: body.width - side, ..body };
        let [parent, workers, pool, services] = lists(model, column);
        Some(Self { header, banner, switcher: Rect::ZERO, panes: [parent, workers, pool, services, main], footer })
    }

    /// A pane with its frame.
    #[must_use]
    pub fn pane(&self, pane: Pane) -> Rect {
        let at = Pane::ALL.iter().position(|known| *known == pane).unwrap_or(0);
        self.panes.get(at).copied().unwrap_or_default()
    }

    /// A pane without its frame.
    #[must_use]
    pub fn inner(&self, pane: Pane) -> Rect {
        inner(self.pane(pane))
    }
}

/// The left column: the workers take what the others leave.
fn lists(model: &Model, column: Rect) -> [Rect; 4] {
    let parent = model.feed.parent().map_or(1, |row| 1 + u16::from(row.reason.is_some() || !row.ports.is_empty()));
    let third = (column.height / 4).max(3);
    let rows = |count: usize| u16::try_from(count.max(1)).unwrap_or(u16::MAX).saturating_add(2).min(third);
    let (parent, rest) = top(column, parent + 2);
    let (rest, services) = bottom(rest, rows(model.feed.services().len()));
    let (workers, pool) = bottom(rest, rows(model.pool_lines()));
    [parent, workers, pool, services]
}

/// An area without its frame.
#[must_use]
pub const fn inner(area: Rect) -> Rect {
    if area.width < 2 || area.height < 2 {
        return Rect { width: 0, height: 0, ..area };
    }
    Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height - 2 }
}

/// The first `height` lines, and the rest.
#[must_use]
pub fn top(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    (Rect { height, ..area }, Rect { y: area.y + height, height: area.height - height, ..area })
}

/// All but the last `height` lines, and those.
#[must_use]
pub fn bottom(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let rest = area.height - height;
    (Rect { height: rest, ..area }, Rect { y: area.y + rest, height, ..area })
}

impl Model {
    /// Columns and rows of what is scrolled in a pane.
    #[must_use]
    pub fn page(&self, pane: Pane) -> (usize, usize) {
        let area = self.layout().map(|layout| match (pane, self.main.tab) {
            (Pane::Main, Tab::Terminal) => self.terminal_area(&layout),
            (Pane::Main, _) => self.parts(&layout).1,
            _ => layout.inner(pane),
        });
        let area = area.unwrap_or_default();
        let rows = if pane == Pane::Main && self.main.tab == Tab::Logs { area.height } else { area.height.max(1) };
        (usize::from(area.width.max(1)), usize::from(rows.max(1)))
    }
}
