//! The last line: what the keys do here, from the action table.

use ratatui::layout::Rect;

use super::super::action::{Action, Context, in_context};
use super::super::model::overlay::Overlay;
use super::super::widget::ansi::width;
use super::{Canvas, from};

/// Hints that stand at the right end, in every list.
const PINNED: [Action; 2] = [Action::Help, Action::Quit];

pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    let model = canvas.model;
    if !model.keys.is_empty() {
        let keys: Vec<String> = model.keys.iter().map(ToString::to_string).collect();
        let style = canvas.style("ui.key");
        let end = canvas.text(area, &format!(" {} {} ", keys.join(" "), model.settings.symbols.ellipsis), style);
        let mut rest = from(area, end);
        for (key, action) in model.settings.keymap.after(model.context(), &model.keys) {
            let end = canvas.text(rest, &format!(" {key}"), style);
            let text = action.and_then(Action::spec).map_or("more", |spec| spec.name);
            let end = canvas.text(from(rest, end), &format!(" {text} "), canvas.style("ui.hint"));
            rest = from(rest, end);
        }
        return;
    }
    let context = model.context();
    let mut right = area.right();
    for action in PINNED.into_iter().rev().filter(|_| context.takes_global()) {
        right = right.saturating_sub(hint_width(canvas, action, context)).max(area.x);
        hint(canvas, from(area, right), action, context);
    }
    let mut rest = Rect { width: right.saturating_sub(area.x), ..area };
    if let Some(Overlay::Filter(_) | Overlay::Prompt(_)) = &model.overlay {
        return;
    }
    // A choice among themes is no question.
    let choice = matches!(model.overlay, Some(Overlay::Looks(_)));
    let holds = |action: Action| !(PINNED.contains(&action) || choice && matches!(action, Action::Yes | Action::No));
    for spec in in_context(context).filter(|spec| !spec.hint.is_empty() && holds(spec.action)) {
        let needed = hint_width(canvas, spec.action, context);
        if needed == 0 {
            continue;
        }
        if needed > rest.width {
            break;
        }
        let end = hint(canvas, rest, spec.action, context);
        rest = from(rest, end);
    }
}

fn parts(canvas: &Canvas<'_>, action: Action, context: Context) -> Option<(String, &'static str)> {
    let key = canvas.model.settings.keymap.key_of(action, context)?;
    Some((key, action.spec()?.hint))
}

fn hint_width(canvas: &Canvas<'_>, action: Action, context: Context) -> u16 {
    let parts = parts(canvas, action, context);
    parts.map_or(0, |(key, text)| u16::try_from(width(&key) + width(text) + 3).unwrap_or(0))
}

fn hint(canvas: &mut Canvas<'_>, area: Rect, action: Action, context: Context) -> u16 {
    let Some((key, text)) = parts(canvas, action, context) else { return area.x };
    let end = canvas.text(area, &format!(" {key}"), canvas.style("ui.key"));
    canvas.text(from(area, end), &format!(" {text} "), canvas.style("ui.hint"))
}
