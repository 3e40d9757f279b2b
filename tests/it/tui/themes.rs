//! Every screen in every theme: which styles are used where, and that all of it can be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use podbay::tui::theme::Theme;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::screens::{all, hold_again};

/// What an ordinary text needs to be read by most, by the rules for the web.
const TEXT: f64 = 4.5;
/// The same for a text that only accompanies another, and for large or bold signs.
const BESIDE: f64 = 3.0;

fn themes() -> Vec<(String, Theme)> {
    Theme::all(std::path::Path::new("/nowhere"), false)
}

/// The styles of a screen: of each, how many cells have it, and what the first of them says.
fn digest(buffer: &Buffer) -> String {
    let mut styles: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for row in buffer.content().chunks(usize::from(buffer.area.width)) {
        for run in row.chunk_by(|a, b| (a.fg, a.bg, a.modifier) == (b.fg, b.bg, b.modifier)) {
            let text: String = run.iter().map(Cell::symbol).collect();
            let cell = &run[0];
            let style = format!("{:?} on {:?} {:?}", cell.fg, cell.bg, cell.modifier);
            let (count, sample) = styles.entry(style).or_default();
            *count += run.len();
            if sample.is_empty() {
                *sample = text.trim().chars().take(24).collect();
            }
        }
    }
    let mut out = String::new();
    for (style, (count, sample)) in styles {
        let _ = writeln!(out, "  {style}: {count} {sample:?}");
    }
    out
}

#[test]
fn every_screen_has_its_styles_in_every_theme() {
    for (theme, look) in themes() {
        let mut text = String::new();
        for (name, mut driver) in all(80, 24) {
            driver.model.settings.theme = look.clone();
            hold_again(&mut driver);
            let _ = write!(text, "{name}\n{}", digest(driver.draw().buffer()));
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots", omit_expression => true }, {
            insta::assert_snapshot!(format!("all-styles-in-{theme}"), text);
        });
    }
}

/// The brightness of a colour for the eye, 0 to 1.
fn luminance(colour: Color) -> Option<f64> {
    let Color::Rgb(red, green, blue) = colour else { return None };
    let part = |value: u8| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    Some(0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue))
}

/// How far text stands out from what is behind it; `None` where one of the colours is the terminal's own.
fn contrast(cell: &Cell) -> Option<f64> {
    let (text, ground) = (luminance(cell.fg)?, luminance(cell.bg)?);
    Some((text.max(ground) + 0.05) / (text.min(ground) + 0.05))
}

/// Lines and blocks are no text.
fn is_text(cell: &Cell) -> bool {
    cell.symbol().chars().any(|c| {
        !c.is_whitespace() && !('\u{2500}'..='\u{259f}').contains(&c) && !('\u{2800}'..='\u{28ff}').contains(&c)
    })
}

#[test]
fn text_can_be_read_in_every_theme_of_true_colours() {
    let mut judged = BTreeMap::new();
    let mut weak = std::collections::BTreeSet::new();
    for (theme, look) in themes() {
        // What a program paints is its own matter.
        for (name, mut driver) in all(80, 24).into_iter().filter(|(name, _)| *name != "painted") {
            driver.model.settings.theme = look.clone();
            hold_again(&mut driver);
            let backend = driver.draw();
            for cell in backend.buffer().content().iter().filter(|cell| is_text(cell)) {
                let Some(contrast) = contrast(cell) else { continue };
                *judged.entry(theme.clone()).or_insert(0_usize) += 1;
                let beside = cell.modifier.contains(Modifier::BOLD) || Some(cell.fg) == look.style("ui.dim").fg;
                if contrast < if beside { BESIDE } else { TEXT } {
                    weak.insert(format!("{theme}: {:?} on {:?} {contrast:.1}, seen in {name}", cell.fg, cell.bg));
                }
            }
        }
    }
    assert!(weak.is_empty(), "{weak:#?}");
    for theme in ["dark", "light", "hal"] {
        assert!(judged.get(theme).is_some_and(|cells| *cells > 5000), "{theme}: {judged:?}");
    }
}
