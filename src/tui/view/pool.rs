//! The pool pane: for each pool how many are warm, why not more, and how its claims went.

use ratatui::layout::Rect;

use super::super::model::{Model, Pane};
use super::list::{empty, highlight, title, unanswered};
use super::{Canvas, from, row};
use crate::api::types::PoolRow;

pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    if area.is_empty() {
        return;
    }
    let model = canvas.model;
    let heading = title(canvas, Pane::Pool, "");
    let inner = canvas.frame(area, Pane::Pool, heading);
    if model.feed.pool().is_empty() {
        empty(canvas, inner, unanswered(model).unwrap_or("no pool configured"));
        return;
    }
    let wide = usize::from(inner.width.saturating_sub(3));
    let given = lines_below(model, usize::from(inner.height));
    let mut top = 0;
    for (at, (pool, given)) in model.feed.pool().iter().zip(given).enumerate() {
        let selected = (at == model.lists.pool && model.focus.pane == Pane::Pool).then_some(Pane::Pool);
        let style = highlight(canvas, selected);
        let line = row(inner, top);
        canvas.buf.set_style(line, style);
        counts(canvas, line, (pool, given == 0), selected);
        top += 1;
        for text in trouble(model, pool).into_iter().chain([claims(pool, wide)]).take(given) {
            let line = row(inner, top);
            canvas.outside(from(line, line.x + 3), &text, canvas.style("ui.dim"));
            top += 1;
        }
    }
}

/// How many lines each pool has below its first one: the selected pool's come first where not all have room.
fn lines_below(model: &Model, height: usize) -> Vec<usize> {
    let pools = model.feed.pool();
    let mut room = height.saturating_sub(pools.len());
    let mut given = vec![0; pools.len()];
    let others = (0..pools.len()).filter(|at| *at != model.lists.pool);
    for at in std::iter::once(model.lists.pool).chain(others) {
        if let (Some(pool), Some(given)) = (pools.get(at), given.get_mut(at)) {
            *given = lines(pool).saturating_sub(1).min(room);
            room -= *given;
        }
    }
    given
}

/// Lines that a pool takes where there is room.
fn lines(pool: &PoolRow) -> usize {
    2 + usize::from(pool.last_error.is_some())
}

/// Name and counts; of a pool that has one line only, the most important of the rest behind them.
fn counts(canvas: &mut Canvas<'_>, line: Rect, (pool, alone): (&PoolRow, bool), selected: Option<Pane>) {
    let model = canvas.model;
    let highlight = highlight(canvas, selected);
    let name = u16::try_from(pool.template.chars().count()).unwrap_or(u16::MAX);
    let room = name.min(line.width / 3);
    canvas.outside(Rect { width: room, ..from(line, line.x + 1) }, &pool.template, highlight);
    let warm = match pool.warm {
        0 if pool.target > 0 => "state.failed",
        warm if warm < pool.min => "state.creating",
        _ => "state.warm",
    };
    let at = line.x + room + 2;
    let count = format!("{}/{}", pool.warm, model.work.scaled.get(&pool.template).unwrap_or(&pool.target));
    canvas.outside(from(line, at), &count, canvas.style(warm).patch(highlight));
    let at = at + u16::try_from(count.len()).unwrap_or(0) + 1;
    let moving = [(pool.creating, "coming"), (pool.draining, "leaving"), (pool.claimed, "claimed")];
    let moving = moving.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let first = trouble(model, pool).filter(|_| alone);
    let last = pool.claim_ms.p50.filter(|_| alone).map(|p50| format!("{} ms a claim", figure(p50)));
    let parts: Vec<String> = first.into_iter().chain(moving).chain(last).collect();
    let figures = format!("warm{}{}", if parts.is_empty() { "" } else { ", " }, parts.join(", "));
    canvas.outside(from(line, at), &figures, canvas.style("ui.dim").patch(highlight));
}

/// Why it is not full, and when it is tried again.
fn trouble(model: &Model, pool: &PoolRow) -> Option<String> {
    let error = pool.last_error.as_ref()?;
    let next = pool.next_try_at.map(|next| next.as_second() - model.now.as_second()).filter(|seconds| *seconds > 0);
    Some(match next {
        Some(seconds) => format!("{error} (again in {seconds} s)"),
        None => error.clone(),
    })
}

/// How claims went: in as many words as there is room for.
fn claims(pool: &PoolRow, width: usize) -> String {
    let PoolRow { hits, misses, claim_ms, .. } = pool;
    if *hits == 0 && *misses == 0 {
        return "no claim yet".to_owned();
    }
    let part = |part: Option<f64>| part.map_or_else(|| "-".to_owned(), figure);
    let (p50, p95) = (part(claim_ms.p50), part(claim_ms.p95));
    let forms = [
        format!("{hits} hits, {misses} misses, p50 {p50} ms, p95 {p95} ms"),
        format!("{hits} hit {misses} miss p50 {p50} p95 {p95} ms"),
    ];
    let short = format!("{hits}+{misses} p50 {p50} p95 {p95} ms");
    forms.into_iter().find(|form| form.chars().count() <= width).unwrap_or(short)
}

/// Milliseconds, as exact as they are looked at.
fn figure(time: f64) -> String {
    if time < 10.0 { format!("{time:.1}") } else { format!("{time:.0}") }
}

impl Model {
    /// Lines that all pools take where there is room.
    #[must_use]
    pub fn pool_lines(&self) -> usize {
        self.feed.pool().iter().map(lines).sum()
    }
}
