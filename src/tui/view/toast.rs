//! Results and errors, above the footer at the right.

use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget};

use super::super::model::toast::Kind;
use super::super::widget::ansi::width;
use super::super::widget::line::wrap;
use super::{Canvas, row};

/// Columns of the widest.
const WIDEST: u16 = 50;
/// Lines of the longest; the whole text of a reason is in `why`.
const LONGEST: usize = 6;

pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    // The lowest frame stays visible: it tells how the pane stands.
    let model = canvas.model;
    // So does the line above it that says how a program has ended, and what starts it again.
    let mut bottom = area.bottom().saturating_sub(2 + u16::from(model.shows_an_end()));
    for toast in model.toasts.items.iter().rev() {
        let room = WIDEST.min(area.width.saturating_sub(2));
        if room < 8 {
            return;
        }
        let mut lines = wrap(toast.text.as_str(), usize::from(room - 4));
        if lines.len() > LONGEST {
            lines.truncate(LONGEST);
            if let Some(last) = lines.last_mut() {
                last.push_str(model.settings.symbols.ellipsis);
            }
        }
        let text_width = lines.iter().map(|line| width(line)).max().unwrap_or(0);
        let size = (u16::try_from(text_width + 4).unwrap_or(room), u16::try_from(lines.len() + 2).unwrap_or(3));
        let top = bottom.saturating_sub(size.1);
        if top <= area.y {
            return;
        }
        let at = Rect { x: area.right().saturating_sub(size.0 + 1), y: top, width: size.0, height: size.1 };
        let at = at.intersection(area);
        Clear.render(at, canvas.buf);
        let base = canvas.style("ui.overlay");
        canvas.buf.set_style(at, base);
        let style = canvas.style(match toast.kind {
            Kind::Good => "toast.good",
            Kind::Note => "toast.note",
            Kind::Bad => "toast.bad",
        });
        let inner = canvas.boxed(at, style, Line::default());
        for (n, text) in lines.iter().enumerate() {
            let Ok(n) = u16::try_from(n) else { break };
            let line = row(inner, n);
            canvas.text(super::from(line, line.x + 1), text, canvas.style("ui"));
        }
        bottom = top;
    }
}
