//! What lies over the panes: help, why, a question, a form, the palette, a filter.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use tui_textarea::TextArea;

use super::super::action::{ActionSpec, Context, in_context};
use super::super::layout::Layout;
use super::super::model::Model;
use super::super::model::form::{Field, SpawnForm};
use super::super::model::overlay::{Confirm, FilterLine, Looks, Overlay, Palette, Prompt, PromptKind, WhyAnswer};
use super::super::widget::ansi::width;
use super::super::widget::line::{column, wrap};
use super::{Canvas, Cursor, doors, from, row};
use crate::api::types::Why;
use crate::terminal::safe::Safe;

/// Columns of the text of help and why.
const READING: u16 = 76;

/// A line of a text that is read: a label and what stands beside it.
type Entry = (String, String);

pub fn draw(canvas: &mut Canvas<'_>, area: Rect, layout: &Layout) -> Cursor {
    match canvas.model.overlay.as_ref()? {
        Overlay::Help { context, top } => reader(canvas, area, " keys ", *top, &help(canvas.model, *context)),
        Overlay::Why { name, answer, top } => {
            let title = format!(" why {} ", Safe::new(name));
            reader(canvas, area, &title, *top, &why(answer));
        }
        Overlay::Confirm(confirm) => confirmation(canvas, area, confirm),
        Overlay::Form(form) => return spawn_form(canvas, area, form),
        Overlay::Palette(palette) => return palette_box(canvas, area, palette),
        Overlay::Filter(line) => return filter(canvas, layout.footer, line),
        Overlay::Prompt(line) => return prompt(canvas, layout.footer, line),
        Overlay::Doors(one) => doors::draw(canvas, area, one),
        Overlay::Looks(looks) => themes(canvas, area, looks),
    }
    None
}

/// How many lines the text of help or why has, or what a question says.
pub fn lines(model: &Model) -> usize {
    let entries = match &model.overlay {
        Some(Overlay::Confirm(confirm)) => return told(confirm, model.size.width).len(),
        Some(Overlay::Help { context, .. }) => help(model, *context),
        Some(Overlay::Why { answer, .. }) => why(answer),
        _ => return 0,
    };
    let columns = READING.min(model.size.width.saturating_sub(4));
    flow(&entries, usize::from(columns)).len()
}

/// An area of this size in the middle of another, cut to it.
pub(super) fn centred(area: Rect, columns: u16, rows: u16) -> Rect {
    let (columns, rows) = (columns.min(area.width), rows.min(area.height));
    Rect { x: area.x + (area.width - columns) / 2, y: area.y + (area.height - rows) / 2, width: columns, height: rows }
}

/// A cleared box; returns what is inside.
pub(super) fn dialog(canvas: &mut Canvas<'_>, area: Rect, title: &str) -> Rect {
    let area = area.intersection(canvas.buf.area);
    Clear.render(area, canvas.buf);
    let base = canvas.style("ui.overlay");
    canvas.buf.set_style(area, base);
    let border = canvas.style("ui.overlay.border");
    let title = Line::from(Span::styled(title.to_owned(), canvas.style("ui.overlay.title")));
    canvas.boxed(area, border, title)
}

fn help(model: &Model, context: Context) -> Vec<Entry> {
    let mut entries = Vec::new();
    let own = |spec: &&ActionSpec| context != Context::Global && spec.contexts.contains(&context);
    let sections = [
        (context.title(), in_context(context).filter(own).collect::<Vec<_>>(), context),
        (Context::Global.title(), in_context(Context::Global).collect(), context),
    ];
    // What holds for a moment only, or where no help can be asked for.
    let brief = [Context::Focused, Context::Left, Context::Copy, Context::Reader, Context::Dialog, Context::Prompt];
    let brief = brief.into_iter().filter(|place| *place != context);
    let brief = brief.map(|place| (place.title(), in_context(place).collect(), place));
    for (title, specs, place) in sections.into_iter().chain(brief) {
        if !entries.is_empty() {
            entries.push(Entry::default());
        }
        entries.push((title.to_owned(), String::new()));
        for spec in specs {
            let keys = model.settings.keymap.keys_of(spec.action, place);
            if !keys.is_empty() {
                let asks = if spec.dangerous { "; asks" } else { "" };
                entries.push((format!("  {}", keys.join("  ")), format!("{}{asks}", spec.text)));
            }
        }
    }
    entries
}

fn why(answer: &WhyAnswer) -> Vec<Entry> {
    match answer {
        WhyAnswer::Asking => vec![(String::new(), "asking the supervisor".to_owned())],
        WhyAnswer::Failed(reason) => vec![("no answer".to_owned(), Safe::new(reason).to_string())],
        WhyAnswer::Known(why) => known(why),
    }
}

fn known(why: &Why) -> Vec<Entry> {
    let attempts = (why.attempts > 0).then(|| why.attempts.to_string());
    let next = why.next_try_at.map(|at| at.strftime("%H:%M:%S UTC").to_string());
    let parts = [
        ("wanted", Some(why.wanted.clone())),
        ("observed", Some(why.observed.clone())),
        ("reason", why.reason.clone()),
        ("needs", why.attention.clone()),
        ("isolation", why.isolation.map(|level| level.to_string())),
        ("waits for", why.waits_for.clone()),
        ("last exit", why.last_exit.clone()),
        ("last error", why.last_error.clone()),
        ("tries", attempts),
        ("next try", next),
        ("what helps", why.hint.clone()),
    ];
    let text = |text: String| Safe::new(&text).to_string();
    let mut entries: Vec<Entry> =
        parts.into_iter().filter_map(|(label, part)| Some((label.to_owned(), text(part?)))).collect();
    entries.extend(why.limits.iter().map(|limit| ("limit".to_owned(), text(limit.clone()))));
    if !why.history.is_empty() {
        entries.push(Entry::default());
        let line = |line: &crate::api::types::HistoryLine| {
            (line.at.strftime("%H:%M:%S").to_string(), Safe::new(&line.text).to_string())
        };
        entries.extend(why.history.iter().map(line));
    }
    entries
}

/// Entries in two columns, the right one broken where it is too long.
fn flow(entries: &[Entry], columns: usize) -> Vec<Entry> {
    let label = entries.iter().filter(|(_, text)| !text.is_empty()).map(|(label, _)| width(label)).max().unwrap_or(0);
    let label = label.min(columns / 2) + 2;
    let mut lines = Vec::new();
    for (name, text) in entries {
        let mut broken = wrap(text, columns.saturating_sub(label)).into_iter();
        let first = broken.next().unwrap_or_default();
        lines.push((if text.is_empty() { name.clone() } else { column(name, label, "") }, first));
        lines.extend(broken.map(|more| (" ".repeat(label), more)));
    }
    lines
}

fn reader(canvas: &mut Canvas<'_>, area: Rect, title: &str, top: usize, entries: &[Entry]) {
    let columns = READING.min(area.width.saturating_sub(4));
    let lines = flow(entries, usize::from(columns));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let place = centred(area, columns + 4, rows.min(area.height.saturating_sub(2)));
    let inner = dialog(canvas, place, title);
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    for (at, (label, more)) in lines.iter().skip(top).take(usize::from(text.height)).enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        let heading = more.is_empty() && !label.starts_with(' ');
        let style = canvas.style(if heading { "ui.overlay.title" } else { "ui.key" });
        let end = canvas.text(row(text, at), label, style);
        canvas.text(from(row(text, at), end), more, canvas.style("ui"));
    }
    let below = lines.len().saturating_sub(top + usize::from(text.height));
    if below > 0 {
        let line = Rect { x: inner.x + 1, y: place.bottom().saturating_sub(1), width: text.width, height: 1 };
        canvas.text(line, &format!(" {below} more lines below "), canvas.style("ui.dim"));
    }
}

/// Columns of a question's text.
const ASKED: u16 = 60;

/// What a question says, on a screen of so many columns.
fn told(confirm: &Confirm, columns: u16) -> Vec<String> {
    let columns = usize::from(ASKED.min(columns.saturating_sub(4)));
    confirm.losses.iter().flat_map(|loss| wrap(Safe::new(loss).as_str(), columns)).collect()
}

/// Lines of what a question says that are seen at once.
pub fn told_at_once(rows: u16) -> usize {
    usize::from(rows.saturating_sub(8)).max(1)
}

fn confirmation(canvas: &mut Canvas<'_>, area: Rect, confirm: &Confirm) {
    let columns = ASKED.min(area.width.saturating_sub(4));
    let all = told(confirm, area.width);
    let most = told_at_once(area.height);
    let mut lines: Vec<String> = all.iter().skip(confirm.top).take(most).cloned().collect();
    if all.len() > most {
        lines.push(match all.len().saturating_sub(confirm.top + most) {
            0 => "the end; pgup goes back".to_owned(),
            below => format!("and {below} lines more: pgdn"),
        });
    }
    let rows = u16::try_from(lines.len() + 5).unwrap_or(u16::MAX);
    let title = format!(" {} ", Safe::new(&confirm.question));
    let inner = dialog(canvas, centred(area, columns + 4, rows), &title);
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    for (at, line) in lines.iter().enumerate() {
        let Ok(at) = u16::try_from(at + 1) else { break };
        canvas.text(row(text, at), line, canvas.style("ui"));
    }
    let buttons = row(text, text.height.saturating_sub(1));
    let no = canvas.style(if confirm.yes { "ui.button" } else { "ui.button.active" });
    let yes = canvas.style(if confirm.yes { "ui.button.active" } else { "ui.button" });
    let end = canvas.text(buttons, " cancel ", no);
    canvas.text(from(buttons, end + 2), &format!(" {} ", confirm.verb), yes);
}

/// A line to type in; returns where its cursor is.
fn typing(canvas: &mut Canvas<'_>, area: Rect, input: &TextArea<'_>, focused: bool) -> Cursor {
    let area = area.intersection(canvas.buf.area);
    if area.is_empty() {
        return None;
    }
    let mut input = input.clone();
    // The terminal's own cursor is shown, so the text area's is not.
    input.set_cursor_style(Style::default());
    input.set_style(canvas.style("ui"));
    (&input).render(area, canvas.buf);
    let at = input.screen_cursor();
    let column = u16::try_from(at.col).unwrap_or(0).min(area.width - 1);
    focused.then(|| Position::new(area.x + column, area.y))
}

fn spawn_form(canvas: &mut Canvas<'_>, area: Rect, form: &SpawnForm) -> Cursor {
    let columns = 64.min(area.width);
    // What is wrong is said in full, however long it is.
    let wrong = form.error.as_ref().map(|(field, why)| Safe::new(&format!("{}: {why}", field.label())));
    let wrong = wrong.map(|text| wrap(text.as_str(), usize::from(columns.saturating_sub(4)))).unwrap_or_default();
    let more = u16::try_from(wrong.len()).unwrap_or(0).saturating_sub(1);
    let inner = dialog(canvas, centred(area, columns, 10 + more), " spawn a worker ");
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let mut cursor = None;
    for (at, (field, input)) in form.inputs.iter().enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        let line = row(text, at);
        let focused = *field == form.field;
        let style = canvas.style(if focused { "ui.tab.active" } else { "ui.dim" });
        canvas.text(line, &column(field.label(), 10, ""), style);
        let value = from(line, line.x + 10);
        if *field == Field::Template {
            template(canvas, value, form, focused);
        } else {
            cursor = typing(canvas, value, input, focused).or(cursor);
            if input.is_empty() {
                canvas.text(value, field.placeholder(), canvas.style("ui.dim"));
            }
        }
    }
    let style = canvas.style("toast.bad");
    for (at, line) in wrong.iter().rev().enumerate() {
        let Ok(at) = u16::try_from(at + 1) else { break };
        if text.height > at + 5 {
            canvas.text(row(text, text.height - at), line, style);
        }
    }
    cursor
}

fn template(canvas: &mut Canvas<'_>, area: Rect, form: &SpawnForm, focused: bool) {
    let name = form.templates.get(form.template).map_or("default", String::as_str);
    let text = if form.templates.len() > 1 { format!("< {} >", Safe::new(name)) } else { Safe::new(name).to_string() };
    let style = canvas.style(if focused { "ui.selected" } else { "ui" });
    canvas.text(area, &text, style);
}

fn palette_box(canvas: &mut Canvas<'_>, area: Rect, palette: &Palette) -> Cursor {
    let found = palette.found();
    let most = usize::from(area.height.saturating_sub(7)).clamp(1, 12);
    let columns = 72.min(area.width.saturating_sub(2));
    let rows = u16::try_from(most + 3).unwrap_or(4);
    let place = Rect { y: area.y + 2.min(area.height.saturating_sub(rows)), ..centred(area, columns, rows) };
    let inner = dialog(canvas, place, " what to do ");
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let end = canvas.text(row(text, 0), "> ", canvas.style("ui.key"));
    let cursor = typing(canvas, from(row(text, 0), end), &palette.input, true);
    if found.is_empty() {
        canvas.text(row(text, 1), "no action is called so", canvas.style("ui.dim"));
    }
    let top = (palette.chosen + 1).saturating_sub(most);
    for (at, spec) in found.iter().enumerate().skip(top).take(most) {
        let Ok(line) = u16::try_from(at - top + 1) else { break };
        let line = row(text, line);
        let highlight = if at == palette.chosen { canvas.style("ui.selected") } else { Style::default() };
        canvas.buf.set_style(line, highlight);
        let place = palette.place_of(spec);
        let keys = canvas.model.settings.keymap.key_of(spec.action, place.unwrap_or(palette.context));
        let said = place.map_or_else(String::new, |place| format!("{}: ", place.title()));
        canvas.text(line, &column(spec.name, 18, "~"), highlight);
        canvas.text(
            from(line, line.x + 18),
            &column(&keys.unwrap_or_default(), 8, ""),
            canvas.style("ui.key").patch(highlight),
        );
        canvas.text(from(line, line.x + 27), &format!("{said}{}", spec.text), canvas.style("ui.dim").patch(highlight));
    }
    cursor
}

fn filter(canvas: &mut Canvas<'_>, footer: Rect, line: &FilterLine) -> Cursor {
    let blank = " ".repeat(usize::from(footer.width));
    canvas.text(footer, &blank, canvas.style("ui"));
    let (_, name) = line.pane.title();
    let end = canvas.text(footer, &format!(" filter {name} /"), canvas.style("ui.key"));
    typing(canvas, from(footer, end), &line.input, true)
}

/// A line about the log in the footer; what is wrong with it stands at the right.
fn prompt(canvas: &mut Canvas<'_>, footer: Rect, prompt: &Prompt) -> Cursor {
    let blank = " ".repeat(usize::from(footer.width));
    canvas.text(footer, &blank, canvas.style("ui"));
    let label = match prompt.kind {
        PromptKind::Search => " search /",
        PromptKind::Hide => " only lines with &",
        PromptKind::Save => " save to ",
    };
    let end = canvas.text(footer, label, canvas.style("ui.key"));
    let mut line = from(footer, end);
    if let Some(why) = &prompt.error {
        let text = Safe::new(&format!(" {why} "));
        let columns = u16::try_from(width(text.as_str())).unwrap_or(u16::MAX).min(line.width / 2);
        let at = from(line, line.right() - columns);
        canvas.text(at, text.as_str(), canvas.style("toast.bad"));
        line.width -= columns;
    }
    typing(canvas, line, &prompt.input, true)
}

/// The themes, at the right so that what they change is seen.
fn themes(canvas: &mut Canvas<'_>, area: Rect, looks: &Looks) {
    let model = canvas.model;
    let rows = u16::try_from(model.settings.themes.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let columns = 26.min(area.width);
    let place = Rect { x: area.right() - columns, y: area.y + (area.height - rows) / 2, width: columns, height: rows };
    let inner = dialog(canvas, place, " looks ");
    let top = (looks.chosen + 1).saturating_sub(usize::from(inner.height));
    for (at, (name, _)) in model.settings.themes.iter().enumerate().skip(top).take(usize::from(inner.height)) {
        let Ok(line) = u16::try_from(at - top) else { break };
        let line = row(inner, line);
        let style = if at == looks.chosen { canvas.style("ui.selected") } else { canvas.style("ui") };
        canvas.buf.set_style(line, style);
        canvas.outside(from(line, line.x + 1), name, style);
    }
}
