//! A terminal's screen as an SVG picture.

use std::fmt::Write as _;

/// One cell, in the picture's units; a monospaced font of 14 is about this wide.
const CELL: (f64, f64) = (8.4, 18.0);
/// Around the screen.
const MARGIN: f64 = 14.0;
const PAPER: &str = "#16181d";
const INK: &str = "#d5d8df";
/// The sixteen colours.
const COLOURS: [&str; 16] = [
    "#2b2f38", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#5c6370", "#e88388",
    "#a9d18e", "#ebcb8b", "#7cbbf2", "#d39be8", "#6fc7d3", "#ffffff",
];

/// What is the same for a run of cells.
#[derive(Clone, PartialEq)]
struct Look {
    ink: String,
    paper: String,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

/// Draws a screen.
pub fn draw(screen: &vt100::Screen, title: &str) -> String {
    let (rows, cols) = size(screen);
    let (width, height) = (f64::from(cols) * CELL.0 + 2.0 * MARGIN, f64::from(rows) * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"14\" xml:space=\"preserve\">\n",
        escaped(title)
    );
    for row in 0..rows {
        let mut col = 0;
        while col < cols {
            col = run(screen, row, col, &mut svg);
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn size(screen: &vt100::Screen) -> (u16, u16) {
    let (rows, cols) = screen.size();
    (rows.get(), cols.get())
}

/// Draws one run, and says where the next begins.
fn run(screen: &vt100::Screen, row: u16, from: u16, svg: &mut String) -> u16 {
    let (_, cols) = size(screen);
    let Some(look) = screen.cell(row, from).map(look) else { return cols };
    let mut text = String::new();
    let mut to = from;
    while let Some(cell) = screen.cell(row, to).filter(|cell| look == self::look(cell)) {
        if !cell.is_wide_continuation() {
            text.push_str(if cell.contents().is_empty() { " " } else { cell.contents() });
        }
        to += 1;
    }
    let (x, y) = (MARGIN + f64::from(from) * CELL.0, MARGIN + f64::from(row) * CELL.1);
    let wide = f64::from(to - from) * CELL.0;
    if look.paper != PAPER {
        let (high, paper) = (CELL.1, &look.paper);
        writeln!(svg, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high}\" fill=\"{paper}\"/>")
            .unwrap();
    }
    if !text.trim().is_empty() || look.underline {
        let (base, ink, style, text) = (y + 13.5, &look.ink, style(&look), escaped(&text));
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{base:.1}\" textLength=\"{wide:.1}\" fill=\"{ink}\"{style}>{text}</text>"
        )
        .unwrap();
    }
    to
}

fn style(look: &Look) -> String {
    let parts = [
        (look.bold, " font-weight=\"bold\""),
        (look.dim, " opacity=\"0.55\""),
        (look.italic, " font-style=\"italic\""),
        (look.underline, " text-decoration=\"underline\""),
    ];
    parts.iter().filter(|(is, _)| *is).map(|(_, part)| *part).collect()
}

fn look(cell: &vt100::Cell) -> Look {
    let (mut ink, mut paper) = (colour(cell.fgcolor(), INK), colour(cell.bgcolor(), PAPER));
    if cell.inverse() {
        std::mem::swap(&mut ink, &mut paper);
    }
    let (bold, dim, italic, underline) = (cell.bold(), cell.dim(), cell.italic(), cell.underline());
    Look { ink, paper, bold, dim, italic, underline }
}

fn colour(colour: vt100::Color, default: &str) -> String {
    match colour {
        vt100::Color::Default => default.to_owned(),
        vt100::Color::Idx(index) => indexed(index),
        vt100::Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// The sixteen, the cube of six, the greys.
fn indexed(index: u8) -> String {
    if let Some(named) = COLOURS.get(usize::from(index)) {
        return (*named).to_owned();
    }
    if index >= 232 {
        let grey = 8 + (index - 232) * 10;
        return format!("#{grey:02x}{grey:02x}{grey:02x}");
    }
    let level = |step: u8| if step == 0 { 0 } else { 55 + step * 40 };
    let at = index - 16;
    format!("#{:02x}{:02x}{:02x}", level(at / 36), level(at / 6 % 6), level(at % 6))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn a_screen_is_drawn_run_by_run() {
    let mut parser = vt100::Parser::new(2.try_into().unwrap(), 10.try_into().unwrap(), 0);
    parser.process(b"\x1b[1;31mred\x1b[0m <\x1b[7mx\x1b[0m\r\n\x1b[48;5;196m\x1b[38;2;1;2;3my");
    let svg = draw(parser.screen(), "a & b");
    for part in [
        "<title>a &amp; b</title>",
        "fill=\"#e06c75\" font-weight=\"bold\">red</text>",
        "> &lt;</text>",
        "fill=\"#16181d\">x</text>",
        "height=\"18\" fill=\"#d5d8df\"/>",
        "fill=\"#ff0000\"/>",
        "fill=\"#010203\">y</text>",
    ] {
        assert!(svg.contains(part), "{part} is not in\n{svg}");
    }
}
