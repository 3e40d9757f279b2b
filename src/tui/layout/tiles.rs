//! The room of pane 5 shared: between the terminals, and between them and the tab beside them.

use ratatui::layout::Rect;

use super::super::model::tiles::Arrangement;
use super::super::model::{Model, Pane, Tab};
use super::{Layout, top};
use crate::bay::session::TermSize;

/// A terminal that is smaller than this is of no use beside others.
const LEAST: (u16, u16) = (20, 4);
/// The tab's own room beside the terminals: to the right from this width on, below from this height on.
const RIGHT: u16 = 100;
const BELOW: u16 = 20;

/// Where a tile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileArea {
    /// Which, from the first on.
    pub at: usize,
    /// Its title; empty where it is the only one.
    pub title: Rect,
    /// Its screen; empty where only the title is seen.
    pub body: Rect,
}

impl TileArea {
    fn of(at: usize, area: Rect) -> Self {
        let (title, body) = top(area, 1);
        Self { at, title, body }
    }

    /// Title and screen.
    #[must_use]
    pub const fn whole(&self) -> Rect {
        let y = if self.title.height > 0 { self.title.y } else { self.body.y };
        Rect { y, height: self.title.height + self.body.height, ..self.body }
    }
}

/// Shares an area among so many tiles.
#[must_use]
pub fn arrange(area: Rect, count: usize, active: usize, how: Arrangement) -> Vec<TileArea> {
    if count <= 1 {
        let title = Rect { height: 0, ..area };
        return (0..count).map(|at| TileArea { at, title, body: area }).collect();
    }
    let columns = match how {
        Arrangement::Columns => count,
        Arrangement::Rows => 1,
        Arrangement::Grid => (1..=count).find(|side| side * side >= count).unwrap_or(1),
        Arrangement::Stack => return stack(area, count, active),
    };
    let tiles = grid(area, count, columns);
    let fits = |tile: &TileArea| tile.body.width >= LEAST.0 && tile.body.height >= LEAST.1;
    if tiles.iter().all(fits) { tiles } else { stack(area, count, active) }
}

/// Rows of so many columns; the last row's share what is left. Between columns is one free column.
fn grid(area: Rect, count: usize, columns: usize) -> Vec<TileArea> {
    let rows = count.div_ceil(columns);
    let mut tiles = Vec::new();
    for (row, (y, height)) in cut(area.y, area.height, rows, 0).into_iter().enumerate() {
        let first = row * columns;
        let here = columns.min(count - first);
        for (column, (x, width)) in cut(area.x, area.width, here, 1).into_iter().enumerate() {
            tiles.push(TileArea::of(first + column, Rect { x, y, width, height }));
        }
    }
    tiles
}

/// A length cut into parts that differ by one at most, with gaps between them.
fn cut(from: u16, length: u16, parts: usize, gap: u16) -> Vec<(u16, u16)> {
    let parts = u16::try_from(parts.max(1)).unwrap_or(u16::MAX);
    let room = length.saturating_sub(gap.saturating_mul(parts - 1));
    let mut at = from;
    let part = |n: u16| {
        let size = room / parts + u16::from(n < room % parts);
        let begin = at;
        at += size + gap;
        (begin, size)
    };
    (0..parts).map(part).collect()
}

/// All titles, and the screen of the active one; where not even the titles fit, only that.
fn stack(area: Rect, count: usize, active: usize) -> Vec<TileArea> {
    let active = active.min(count - 1);
    let others = u16::try_from(count - 1).unwrap_or(u16::MAX);
    if area.height < others.saturating_add(1 + LEAST.1) {
        return vec![TileArea::of(active, area)];
    }
    let mut rest = area;
    let tile = |at| {
        let height = if at == active { area.height - others } else { 1 };
        let (own, after) = top(rest, height);
        rest = after;
        TileArea::of(at, own)
    };
    (0..count).map(tile).collect()
}

impl Model {
    /// Pane 5 without its frame: the terminals' part, and the tab's own.
    #[must_use]
    pub fn parts(&self, layout: &Layout) -> (Rect, Rect) {
        let inner = layout.inner(Pane::Main);
        let nothing = Rect { height: 0, ..inner };
        if self.main.tab == Tab::Terminal {
            return (inner, nothing);
        }
        if !self.main.tiles.beside || self.main.tiles.is_empty() {
            return (nothing, inner);
        }
        if inner.width >= RIGHT {
            let width = inner.width / 2;
            let right = Rect { x: inner.x + width + 1, width: inner.width - width - 1, ..inner };
            (Rect { width, ..inner }, right)
        } else if inner.height >= BELOW {
            let height = inner.height / 2;
            let below = Rect { y: inner.y + height + 1, height: inner.height - height - 1, ..inner };
            (Rect { height, ..inner }, below)
        } else {
            (nothing, inner)
        }
    }

    /// Where the tiles are. Those that are not seen have no area.
    #[must_use]
    pub fn tile_areas(&self, layout: &Layout) -> Vec<TileArea> {
        let (area, _) = self.parts(layout);
        let active = self.active_tile().unwrap_or(0);
        let tiles = &self.main.tiles;
        if area.is_empty() || tiles.is_empty() {
            return Vec::new();
        }
        if tiles.len() == 1 {
            // One alone has no title; its terminals stand in a strip.
            let (_, body) = top(area, u16::from(self.strip().len() > 1));
            return vec![TileArea { at: 0, title: Rect { height: 0, ..area }, body }];
        }
        if self.focus.zoom && tiles.alone {
            return vec![TileArea::of(active, area)];
        }
        arrange(area, tiles.len(), active, tiles.arrangement)
    }

    /// Where the active terminal is drawn; empty where it is not.
    #[must_use]
    pub fn terminal_area(&self, layout: &Layout) -> Rect {
        let active = self.active_tile();
        let area = self.tile_areas(layout).into_iter().find(|area| Some(area.at) == active);
        // Nothing is selected: words stand where its screen would be.
        area.map_or_else(|| Rect { height: 0, ..self.parts(layout).0 }, |area| area.body)
    }

    /// The size that the active terminal's program is to have; `None` while it is not on the screen.
    #[must_use]
    pub fn terminal_size(&self) -> Option<TermSize> {
        size_of(self.terminal_area(&self.layout()?))
    }

    /// The size that a terminal opened next will have, even if pane 5 is not on the screen now.
    #[must_use]
    pub fn next_terminal_size(&self) -> TermSize {
        let kept = self.main.tiles.kept.len();
        let next = || {
            let layout = self.layout()?;
            let (area, _) = self.parts(&layout);
            let area = if area.is_empty() { layout.inner(Pane::Main) } else { area };
            let tiles = arrange(area, kept + 1, kept, self.main.tiles.arrangement);
            size_of(tiles.into_iter().find(|tile| tile.at == kept)?.body)
        };
        next().unwrap_or_else(|| {
            let (width, height) = (self.size.width.max(4), self.size.height.max(6));
            TermSize::new(height - 5, width - 2)
        })
    }
}

/// The size of a program that is drawn here.
#[must_use]
pub fn size_of(area: Rect) -> Option<TermSize> {
    (area.width > 0 && area.height > 0).then(|| TermSize::new(area.height, area.width))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of an area belongs to one tile at most, and nothing lies outside.
    fn check(area: Rect, tiles: &[TileArea]) {
        for (at, tile) in tiles.iter().enumerate() {
            let whole = tile.whole();
            assert_eq!(whole.intersection(area), whole, "{tile:?} leaves {area:?}");
            for other in &tiles[..at] {
                assert!(whole.intersection(other.whole()).is_empty(), "{tile:?} and {other:?}");
            }
        }
    }

    #[test]
    fn tiles_share_any_room_without_overlap() {
        for how in Arrangement::ALL {
            for count in 1..12 {
                for (width, height) in [(0, 0), (1, 1), (20, 5), (48, 20), (160, 50), (300, 3)] {
                    let area = Rect::new(3, 2, width, height);
                    let tiles = arrange(area, count, count / 2, how);
                    check(area, &tiles);
                    assert!(tiles.iter().any(|tile| tile.at == count / 2), "{how:?} {count} {area:?}");
                }
            }
        }
    }

    #[test]
    fn arrangements_look_as_they_are_called() {
        let area = Rect::new(0, 0, 101, 30);
        let bodies = |how, count| -> Vec<(u16, u16, u16, u16)> {
            let tiles = arrange(area, count, 0, how).into_iter();
            tiles.map(|tile| (tile.body.x, tile.body.y, tile.body.width, tile.body.height)).collect()
        };
        assert_eq!(bodies(Arrangement::Columns, 2), [(0, 1, 50, 29), (51, 1, 50, 29)]);
        assert_eq!(bodies(Arrangement::Rows, 2), [(0, 1, 101, 14), (0, 16, 101, 14)]);
        assert_eq!(bodies(Arrangement::Grid, 3), [(0, 1, 50, 14), (51, 1, 50, 14), (0, 16, 101, 14)]);
        assert_eq!(bodies(Arrangement::Stack, 3), [(0, 1, 101, 27), (0, 29, 101, 0), (0, 30, 101, 0)]);
    }
}
