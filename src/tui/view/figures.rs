//! The figures tab: sparklines with their numbers.

use ratatui::layout::Rect;

use super::super::model::Model;
use super::super::model::figures::{FigureLine, Metric, Point, Series};
use super::super::widget::ansi::width;
use super::super::widget::spark;
use super::{Canvas, from, row};
use crate::bay::container::Role;

/// Columns of a figure's name, and of its numbers where there is room.
const NAME: u16 = 10;
const NUMBERS: u16 = 30;
/// Below this the numbers are told in short.
const ROOMY: u16 = 60;
/// Columns of a worker's name.
const WORKER: u16 = 16;

pub fn draw(canvas: &mut Canvas<'_>, inner: Rect) {
    let model = canvas.model;
    let lines = model.figure_lines();
    let top = model.main.figures.top.min(lines.len().saturating_sub(usize::from(inner.height)));
    let numbers = numbers(model, &lines, inner.width);
    for (at, line) in lines.iter().skip(top).take(usize::from(inner.height)).enumerate() {
        let Ok(at) = u16::try_from(at) else { break };
        one(canvas, row(inner, at), line, numbers);
    }
}

/// Columns of the longest numbers, so that all lines of blocks end at one column.
fn numbers(model: &Model, lines: &[FigureLine], columns: u16) -> u16 {
    let texts = lines.iter().filter_map(|line| match line {
        FigureLine::Figure(name, metric) => said(model, name.as_deref(), *metric, columns).map(|(_, text)| text),
        _ => None,
    });
    let widest = texts.map(|text| u16::try_from(width(&text)).unwrap_or(u16::MAX)).max().unwrap_or(0);
    widest.max(if columns >= ROOMY { NUMBERS } else { 0 })
}

fn one(canvas: &mut Canvas<'_>, area: Rect, line: &FigureLine, numbers: u16) {
    match line {
        FigureLine::Blank => {}
        FigureLine::Head(name) => head(canvas, area, name.as_deref()),
        FigureLine::Workers(count) => {
            let text = format!(" {count} worker{}", if *count == 1 { "" } else { "s" });
            canvas.text(area, &text, canvas.style("ui.title.focused"));
        }
        FigureLine::Figure(name, metric) => figure(canvas, area, (name.as_deref(), *metric), numbers),
        FigureLine::Worker(name) => worker(canvas, area, name),
    }
}

fn head(canvas: &mut Canvas<'_>, area: Rect, name: Option<&str>) {
    let model = canvas.model;
    let figures = &model.main.figures;
    let title = canvas.style("ui.title.focused");
    let end = canvas.outside(area, &format!(" {}", name.unwrap_or("the machine")), title);
    let note = match (name, &figures.machine_row) {
        (Some(name), _) => match model.row_of(name) {
            Some(row) if row.started_at.is_none() => format!("is {}: no figures", row.state.as_str()),
            Some(row) if row.id.starts_with("service ") => "runs on the host: its figures are the machine's".to_owned(),
            _ => figures.failed.clone().unwrap_or_default(),
        },
        (None, Some(row)) => format!("{} CPUs, load {:.2}", row.cpus, row.load),
        (None, None) if figures.failed.is_some() || figures.asked.is_empty() => String::new(),
        (None, None) => "is not this one: the engine is elsewhere".to_owned(),
    };
    canvas.outside(from(area, end), &format!("  {note}"), canvas.style("ui.dim"));
}

/// The line of blocks, and the numbers behind it.
fn figure(canvas: &mut Canvas<'_>, area: Rect, (name, metric): (Option<&str>, Metric), numbers: u16) {
    let model = canvas.model;
    let dim = canvas.style("ui.dim");
    canvas.text(area, &format!("  {}", metric.as_str()), dim);
    let rest = from(area, area.x + NAME);
    let Some((series, text)) = said(model, name, metric, area.width) else {
        let none = name.is_some_and(|name| of(model, Some(name), metric).is_none());
        canvas.text(rest, if none { "none" } else { "-" }, dim);
        return;
    };
    drawn(canvas, (rest, numbers), series, metric, &text);
}

/// Whose figures are shown.
fn of<'a>(model: &'a Model, name: Option<&'a str>, metric: Metric) -> Option<&'a str> {
    match (name, metric) {
        (Some(name), Metric::Network) => model.network_of(name),
        _ => name,
    }
}

/// What was read, and its numbers in words; `None`: nothing was.
fn said<'a>(model: &'a Model, name: Option<&'a str>, metric: Metric, columns: u16) -> Option<(&'a Series, String)> {
    let of = of(model, name, metric);
    if name.is_some() && of.is_none() {
        return None;
    }
    let figures = &model.main.figures;
    let series = of.map_or(Some(&figures.machine), |name| figures.containers.get(name));
    let series = series.filter(|series| series.now().is_some())?;
    let parents = of != name;
    let cpus = figures.machine_row.as_ref().map_or(1, |row| row.cpus);
    let text = words(series, metric, name.is_none().then_some(cpus));
    let text = match (parents, columns < ROOMY) {
        (true, true) => format!("{} (parent's)", short(series, metric).unwrap_or(text)),
        (true, false) => format!("{text} (the parent's)"),
        (false, true) => short(series, metric).unwrap_or(text),
        (false, false) => text,
    };
    Some((series, text))
}

fn drawn(canvas: &mut Canvas<'_>, (area, numbers): (Rect, u16), series: &Series, metric: Metric, text: &str) {
    let room = area.width.saturating_sub(numbers + 2);
    let ascii = canvas.model.settings.symbols.is_ascii();
    let blocks = spark::draw(&values(series, metric), most(series, metric), usize::from(room), ascii);
    let end = canvas.text(Rect { width: room, ..area }, &blocks, canvas.style("ui.mark"));
    let end = end.max(area.x + room);
    canvas.text(from(area, end + 1), text, canvas.style("ui"));
}

fn values(series: &Series, metric: Metric) -> Vec<Option<f64>> {
    series.points.iter().map(|point| value(point, metric)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a figure that is drawn")]
fn value(point: &Point, metric: Metric) -> Option<f64> {
    match metric {
        Metric::Cpu => point.cpu,
        Metric::Memory => Some(point.memory as f64),
        Metric::Network => point.network.map(|(received, sent)| received + sent),
        Metric::Block => point.block.map(|(read, written)| read + written),
        Metric::Pids => Some(point.pids as f64),
    }
}

/// What fills a block: a limit where there is one and it is near enough to be seen, else the most of what is shown.
#[expect(clippy::cast_precision_loss, reason = "a figure that is drawn")]
fn most(series: &Series, metric: Metric) -> f64 {
    let seen = values(series, metric).into_iter().flatten().fold(0.0, f64::max);
    match metric {
        Metric::Cpu => seen.max(100.0),
        Metric::Memory => {
            series.now().and_then(|point| point.limit).map_or(seen, |limit| (limit as f64).min(seen * 4.0))
        }
        Metric::Network | Metric::Block => seen.max(1024.0),
        Metric::Pids => seen.max(8.0),
    }
}

/// Both directions in one number.
fn short(series: &Series, metric: Metric) -> Option<String> {
    matches!(metric, Metric::Network | Metric::Block).then_some(())?;
    Some(format!("{}/s", rate(value(series.now()?, metric)?)))
}

fn words(series: &Series, metric: Metric, cpus: Option<u32>) -> String {
    let Some(now) = series.now() else { return String::new() };
    match metric {
        Metric::Cpu => match (now.cpu, cpus) {
            (None, _) => "-".to_owned(),
            (Some(cpu), Some(cpus)) => format!("{cpu:.0}% of {}%", cpus * 100),
            (Some(cpu), None) => format!("{cpu:.1}%"),
        },
        Metric::Memory => match now.limit {
            Some(limit) => format!("{} of {}", spark::bytes(now.memory), spark::bytes(limit)),
            None => spark::bytes(now.memory),
        },
        Metric::Network => now.network.map_or_else(
            || "-".to_owned(),
            |(received, sent)| format!("{}/s in, {}/s out", rate(received), rate(sent)),
        ),
        Metric::Block => now.block.map_or_else(
            || "-".to_owned(),
            |(read, written)| format!("{}/s read, {}/s written", rate(read), rate(written)),
        ),
        Metric::Pids => now.pids.to_string(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole bytes of a rate that is not negative"
)]
fn rate(bytes: f64) -> String {
    spark::bytes(bytes.max(0.0) as u64)
}

/// A worker on one line: name, work, memory, processes.
fn worker(canvas: &mut Canvas<'_>, area: Rect, name: &str) {
    let model = canvas.model;
    let selected = model.subject().is_some_and(|row| row.name == name && row.role == Role::Worker);
    let style = canvas.style(if selected { "ui.selected.inactive" } else { "ui" });
    canvas.outside(Rect { width: WORKER.min(area.width), ..area }, &format!("  {name}"), style);
    let rest = from(area, area.x + WORKER + 1);
    let Some(series) = model.main.figures.containers.get(name).filter(|series| series.now().is_some()) else {
        canvas.text(rest, "-", canvas.style("ui.dim"));
        return;
    };
    let cpu = words(series, Metric::Cpu, None);
    let now = series.now().map_or((0, 0), |point| (point.memory, point.pids));
    let text = format!("{cpu:>7} {:>9} {:>4} pids", spark::bytes(now.0), now.1);
    let room = rest.width.saturating_sub(u16::try_from(width(&text)).unwrap_or(0) + 1);
    let ascii = model.settings.symbols.is_ascii();
    let blocks = spark::draw(&values(series, Metric::Cpu), most(series, Metric::Cpu), usize::from(room), ascii);
    canvas.text(Rect { width: room, ..rest }, &blocks, canvas.style("ui.mark"));
    canvas.text(from(rest, rest.x + room + 1), &text, canvas.style("ui"));
}
