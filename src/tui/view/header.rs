//! The first line, and the one under it when something is wrong with the bay as a whole.

use ratatui::layout::Rect;

use super::super::action::{Action, Context};
use super::super::model::banner::Banner;
use super::super::model::feed::{Link, seconds_until};
use super::super::model::{Model, Pane};
use super::super::widget::ansi::width;
use super::{Canvas, from};
use crate::api::types::LinkState;
use crate::terminal::safe::Safe;

/// Columns that stand before and between the engine's kind and its level.
const BETWEEN: usize = 5;

pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    let model = canvas.model;
    let base = canvas.style("ui.header");
    canvas.buf.set_style(area, base);
    let (mut link, mut scope) = link(model);
    let calling = model.calling();
    if calling > 0 {
        let key = model.settings.keymap.key_of(Action::NextCall, Context::Workers);
        let key = key.map(|key| format!("{key} ")).unwrap_or_default();
        link = format!(
            "{key}{calling} {} {} {link}",
            if calling == 1 { "needs you" } else { "need you" },
            model.settings.symbols.dot
        );
        scope = if scope == "link.up" { "ui.attention" } else { scope };
    }
    let link = Safe::new(&link);
    let link_width = u16::try_from(width(link.as_str())).unwrap_or(0) + 1;
    let left = Rect { width: area.width.saturating_sub(link_width + 1), ..area };
    let right = from(area, area.right().saturating_sub(link_width));
    let name = format!(" {}", Safe::new(&model.settings.bay));
    let column = canvas.text(left, &name, canvas.style("ui.header.name"));
    let dim = canvas.style("ui.dim");
    let dot = model.settings.symbols.dot;
    if let Some(status) = model.feed.status() {
        let engine = &status.engine;
        let level_style = if engine.is_weak() { canvas.style("ui.attention") } else { dim };
        let (mut kind, level) = (format!("{} {}", engine.kind, engine.version), engine.level().unwrap_or_default());
        kind.truncate(kind.trim_end().len());
        let room = usize::from(from(left, column).width);
        if width(&kind) + width(&level) + BETWEEN > room {
            // How workers are kept apart is said before all else.
            kind.clone_from(&engine.kind);
        }
        let parts = [(kind, dim), (level, level_style), (engine.endpoint.clone(), dim)];
        let mut column = column + 2;
        let parts = parts.into_iter().filter(|(text, _)| !text.is_empty());
        for (at, (text, style)) in parts.enumerate() {
            if at > 0 {
                column = canvas.text(from(left, column), &format!(" {dot} "), dim);
            }
            column = canvas.outside(from(left, column), &text, style);
        }
    }
    let style = canvas.style(scope);
    canvas.text(right, link.as_str(), style);
}

/// The link in a word, and how it is drawn.
fn link(model: &Model) -> (String, &'static str) {
    match (&model.feed.link, model.feed.status()) {
        (Link::Lost { .. }, _) => ("no supervisor".to_owned(), "link.away"),
        (Link::Connecting, _) => ("connecting".to_owned(), "link.connecting"),
        (Link::Up, None) => ("up".to_owned(), "link.up"),
        (Link::Up, Some(status)) => match status.engine.state {
            LinkState::Up => ("up".to_owned(), "link.up"),
            LinkState::Connecting => ("engine: connecting".to_owned(), "link.connecting"),
            // The reason and the countdown stand in the banner below.
            LinkState::Away => ("engine away".to_owned(), "link.away"),
        },
    }
}

pub fn banner(canvas: &mut Canvas<'_>, area: Rect) {
    let Some(banner) = canvas.model.banner().filter(|_| area.height > 0) else { return };
    let style = canvas.style("ui.banner");
    canvas.buf.set_style(area, style);
    let text = text(canvas.model, &banner);
    canvas.outside(area, &format!(" {text}"), style);
}

fn text(model: &Model, banner: &Banner) -> String {
    match banner {
        Banner::SupervisorLost { reason, next_try_at } => {
            let left = next_try_at.map_or(0, |at| seconds_until(at, model.now));
            let stale = if model.feed.snapshot.is_some() { "; what you see is what it said last" } else { "" };
            format!("no supervisor, next try in {left}s; `podbay up` starts one: {reason}{stale}")
        }
        Banner::EngineAway { reason, next_try_at } => {
            let left = next_try_at.map(|at| seconds_until(at, model.now)).filter(|left| *left > 0);
            let next = left.map_or_else(String::new, |left| format!(", next try in {left}s"));
            format!("the engine is away{next}: {reason}")
        }
        Banner::CutOff(count) => {
            let workers = if *count == 1 { "1 worker".to_owned() } else { format!("{count} workers") };
            let key = model.settings.keymap.key_of(Action::Fix, Context::Workers);
            let offer = key.map_or_else(|| "use the palette: fix".to_owned(), |key| format!("{key} repairs all"));
            format!("{workers} cut off: {offer}")
        }
        Banner::Asked(count) => {
            let names = if *count == 1 { "1 name".to_owned() } else { format!("{count} names") };
            let key = model.settings.keymap.key_of(Action::ShowDoors, Context::Workers);
            let offer = key.map_or_else(|| "use the palette: network".to_owned(), |key| format!("{key} answers"));
            format!("{names} outside of the bay asked for and refused: {offer}")
        }
        Banner::Trouble(text) => without_directory(text).to_owned(),
    }
}

/// What begins with a file's path begins with its name: the rest of the line is what helps.
fn without_directory(text: &str) -> &str {
    let end = text.find(|c: char| c.is_whitespace() || c == ':').unwrap_or(0);
    let name = text.get(..end).and_then(|path| path.strip_prefix('/')).and_then(|path| path.rfind('/'));
    name.and_then(|at| text.get(at + 2..)).unwrap_or(text)
}

/// The panes' names, where only one is shown at a time.
pub fn switcher(canvas: &mut Canvas<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let mut rest = area;
    for pane in Pane::ALL {
        let (number, title) = pane.title();
        let active = pane == canvas.model.focus.pane;
        let style = canvas.style(if active { "ui.tab.active" } else { "ui.tab" });
        let text = if area.width < 60 { format!(" {number} {}", short(title)) } else { format!(" {number} {title} ") };
        let end = canvas.text(rest, &text, style);
        rest = from(rest, end);
    }
}

fn short(title: &str) -> &str {
    // All five fit into forty columns so.
    if title == "services" { "svc" } else { title }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_begins_with_its_name() {
        for (text, shown) in [
            ("/home/ann/far/away/podbay.toml:14:1: unknown key", "podbay.toml:14:1: unknown key"),
            ("/podbay.toml: it is a directory", "/podbay.toml: it is a directory"),
            ("podbay.toml:1:1: no", "podbay.toml:1:1: no"),
            ("[engine] changed, and /a/b stays", "[engine] changed, and /a/b stays"),
            ("", ""),
        ] {
            assert_eq!(without_directory(text), shown);
        }
    }
}
