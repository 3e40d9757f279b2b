//! The figures tab: what was read of the machine and of the containers that are shown, and how that went in time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::Model;
use crate::api::types::{Figures as Reading, MachineRow, StatsRow};
use crate::bay::container::Role;

/// Between two readings.
pub const PACE: Duration = Duration::from_secs(2);
/// Readings that are kept: more than a screen is wide.
const KEPT: usize = 240;
/// A gap after which the line would lie.
const GAP: Duration = Duration::from_secs(15);

/// Figures over time.
#[derive(Debug, Default)]
pub struct Figures {
    /// Those that the last answer was about, and those that the open question is about.
    pub asked: Vec<String>,
    /// A question is on its way.
    pub waits: bool,
    /// When it is asked again; `None`: at once.
    pub next_at: Option<Timestamp>,
    /// Why there was no answer.
    pub failed: Option<String>,
    /// The machine.
    pub machine: Series,
    /// The machine's last counters.
    pub machine_row: Option<MachineRow>,
    /// Containers by name.
    pub containers: BTreeMap<String, Series>,
    /// The first line that is shown.
    pub top: usize,
}

/// One thing's figures.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The oldest first.
    pub points: VecDeque<Point>,
    /// The last counters, for the next difference.
    last: Option<Counters>,
}

/// Figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// 100 is one CPU.
    pub cpu: Option<f64>,
    /// Bytes.
    pub memory: u64,
    /// Bytes; of the machine: all that it has.
    pub limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes a second, received and sent; `None`: not its own, or not known yet.
    pub network: Option<(f64, f64)>,
    /// Bytes a second, read and written.
    pub block: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug)]
struct Counters {
    at: Timestamp,
    busy_ms: u64,
    total_ms: u64,
    network: Option<(u64, u64)>,
    block: Option<(u64, u64)>,
}

/// One line of the tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FigureLine {
    /// Over what follows.
    Head(Option<String>),
    /// A figure of a container, or of the machine (`None`).
    Figure(Option<String>, Metric),
    /// Over the workers.
    Workers(usize),
    /// A worker on one line.
    Worker(String),
    /// Nothing.
    Blank,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Work.
    Cpu,
    /// Memory in use.
    Memory,
    /// Bytes over the network.
    Network,
    /// Bytes to and from disks.
    Block,
    /// Processes and threads.
    Pids,
}

impl Metric {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Network => "network",
            Self::Block => "disk",
            Self::Pids => "pids",
        }
    }
}

impl Series {
    /// The newest.
    #[must_use]
    pub fn now(&self) -> Option<&Point> {
        self.points.back()
    }

    fn push(&mut self, counters: Counters, point: impl FnOnce(Option<(Counters, f64)>) -> Point) {
        let before = self.last.replace(counters).filter(|last| {
            let gap = counters.at.duration_since(last.at);
            gap.is_positive() && gap.unsigned_abs() < GAP
        });
        if before.is_none() {
            self.points.clear();
        }
        if self.points.len() == KEPT {
            self.points.pop_front();
        }
        let since = before.map(|before| (before, counters.at.duration_since(before.at).as_secs_f64()));
        self.points.push_back(point(since));
    }

    fn machine(&mut self, row: &MachineRow, at: Timestamp) {
        let counters =
            Counters { at, busy_ms: row.busy_ms, total_ms: row.total_ms, network: row.network, block: row.block };
        let cpus = f64::from(row.cpus);
        self.push(counters, |since| Point {
            cpu: since.and_then(|(before, _)| {
                let total = row.total_ms.checked_sub(before.total_ms).filter(|total| *total > 0)?;
                Some(ratio(row.busy_ms.checked_sub(before.busy_ms)?, total) * cpus * 100.0)
            }),
            memory: row.memory,
            limit: Some(row.memory_total),
            pids: 0,
            network: since.and_then(|(before, seconds)| rates(before.network?, row.network?, seconds)),
            block: since.and_then(|(before, seconds)| rates(before.block?, row.block?, seconds)),
        });
    }

    fn container(&mut self, row: &StatsRow, at: Timestamp) {
        let counters = Counters { at, busy_ms: 0, total_ms: 0, network: row.network, block: Some(row.block) };
        self.push(counters, |since| Point {
            cpu: row.cpu_percent,
            memory: row.memory,
            limit: row.memory_limit,
            pids: row.pids,
            network: since.and_then(|(before, seconds)| rates(before.network?, row.network?, seconds)),
            block: since.and_then(|(before, seconds)| rates(before.block?, row.block, seconds)),
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure that is drawn")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Bytes a second; `None` where a counter went back: another run.
#[expect(clippy::cast_precision_loss, reason = "a figure that is drawn")]
fn rates(before: (u64, u64), now: (u64, u64), seconds: f64) -> Option<(f64, f64)> {
    let rate = |before: u64, now: u64| Some(now.checked_sub(before)? as f64 / seconds);
    (seconds > 0.0).then_some(())?;
    Some((rate(before.0, now.0)?, rate(before.1, now.1)?))
}

impl Figures {
    /// Takes a reading in.
    pub fn take(&mut self, reading: &Reading, now: Timestamp) {
        self.failed = None;
        self.machine_row.clone_from(&reading.machine);
        match &reading.machine {
            Some(row) => self.machine.machine(row, now),
            None => self.machine = Series::default(),
        }
        for row in &reading.containers {
            self.containers.entry(row.name.clone()).or_default().container(row, now);
        }
        // What was asked about and has no figures does not run.
        for name in &self.asked {
            if !reading.containers.iter().any(|row| row.name == *name) {
                self.containers.remove(name);
            }
        }
    }
}

impl Model {
    /// All lines of the tab: what is selected, the machine, all workers.
    #[must_use]
    pub fn figure_lines(&self) -> Vec<FigureLine> {
        use Metric::{Block, Cpu, Memory, Network, Pids};
        let mut lines = Vec::new();
        if let Some(row) = self.subject() {
            let name = Some(row.name.clone());
            lines.push(FigureLine::Head(name.clone()));
            lines.extend([Cpu, Memory, Network, Block, Pids].map(|metric| FigureLine::Figure(name.clone(), metric)));
            lines.push(FigureLine::Blank);
        }
        lines.push(FigureLine::Head(None));
        lines.extend([Cpu, Memory, Network, Block].map(|metric| FigureLine::Figure(None, metric)));
        let workers: Vec<&str> = self.workers().map(|row| row.name.as_str()).collect();
        if !workers.is_empty() {
            lines.extend([FigureLine::Blank, FigureLine::Workers(workers.len())]);
            lines.extend(workers.into_iter().map(|name| FigureLine::Worker(name.to_owned())));
        }
        lines
    }

    /// Whose network a container uses: its own, or the parent's.
    #[must_use]
    pub fn network_of(&self, name: &str) -> Option<&str> {
        let row = self.row_of(name)?;
        match (row.role, row.network.as_str()) {
            (Role::Parent, _) | (_, "own" | "bridge") => Some(&row.name),
            (_, "shared") => self.feed.parent().map(|parent| parent.name.as_str()),
            _ => None,
        }
    }

    /// The containers whose figures are on the screen.
    #[must_use]
    pub fn figures_wanted(&self) -> Vec<String> {
        let Some(layout) = self.layout() else { return Vec::new() };
        let height = usize::from(self.parts(&layout).1.height);
        let lines = self.figure_lines();
        let top = self.main.figures.top.min(lines.len().saturating_sub(height));
        let mut names: Vec<String> = Vec::new();
        for line in lines.iter().skip(top).take(height) {
            let name = match line {
                FigureLine::Figure(Some(name), Metric::Network) => self.network_of(name),
                FigureLine::Figure(Some(name), _) | FigureLine::Worker(name) => Some(name.as_str()),
                _ => None,
            };
            if let Some(name) = name.filter(|name| !names.iter().any(|known| known == name)) {
                names.push(name.to_owned());
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(network: Option<(u64, u64)>, read: u64) -> StatsRow {
        StatsRow {
            name: "fox".to_owned(),
            cpu_percent: Some(12.5),
            memory: 1,
            memory_limit: None,
            pids: 3,
            network,
            block: (read, 0),
        }
    }

    #[test]
    fn counters_become_rates_and_a_new_run_begins_anew() {
        let at = |seconds: u64| Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut series = Series::default();
        series.container(&row(Some((100, 0)), 1000), at(10));
        assert_eq!(series.now().map(|point| point.network), Some(None));
        series.container(&row(Some((300, 50)), 5000), at(12));
        assert_eq!(series.now().unwrap().network, Some((100.0, 25.0)));
        assert_eq!(series.now().unwrap().block, Some((2000.0, 0.0)));
        series.container(&row(Some((5, 5)), 0), at(14));
        assert_eq!((series.now().unwrap().network, series.points.len()), (None, 3));
        // Nobody looked for a minute: a line through that would be a lie.
        series.container(&row(None, 9), at(80));
        assert_eq!(series.points.len(), 1);
        for second in 81..1000 {
            series.container(&row(None, 9), at(second));
        }
        assert_eq!(series.points.len(), KEPT);
    }

    #[test]
    fn the_machines_work_is_counted_in_cpus() {
        let row = |busy_ms, total_ms| MachineRow {
            cpus: 2,
            busy_ms,
            total_ms,
            memory: 1,
            memory_total: 2,
            load: 0.5,
            network: None,
            block: None,
        };
        let mut series = Series::default();
        series.machine(&row(1000, 10_000), Timestamp::UNIX_EPOCH);
        series.machine(&row(4000, 14_000), Timestamp::UNIX_EPOCH + PACE);
        assert_eq!(series.now().unwrap().cpu, Some(150.0));
    }
}
