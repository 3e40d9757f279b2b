//! What the rules of [`crate::bay::alert`] are shown, and what is said when one fires.

use std::time::Duration;

use crate::api::types::AlertRow;
use crate::bay::alert::Reading;

use super::super::event::Now;
use super::{Link, Machine};

/// Figures are judged so often, and sooner when anything has changed.
const JUDGED: Duration = Duration::from_secs(5);

impl Machine {
    /// At each tick. Before the first look nothing is known, and nothing can be wrong but the engine.
    pub(super) fn watch_figures(&mut self, now: Now) {
        let (seq, due) = self.judging;
        if seq == self.seq && now.mono < due {
            return;
        }
        self.judging = (self.seq, now.mono + JUDGED);
        let reading = self.reading(now);
        for turn in self.alerts.take(&reading, now.mono) {
            let of = if turn.subject.is_empty() { String::new() } else { format!(" ({})", turn.subject) };
            let what = if turn.firing { "alert" } else { "over" };
            self.say(now, None, format!("{what}: {}{of}: {}", turn.rule.name, turn.rule.summary));
        }
    }

    fn reading(&self, now: Now) -> Reading {
        let up = matches!(self.link, Link::Up { .. }) && self.looking.known;
        let services = self.service_rows();
        let wrong = |state: &str| matches!(state, "failed" | "backoff" | "stuck");
        let down =
            services.iter().filter(|row| wrong(&row.state) || (row.state == "running" && row.ready == Some(false)));
        let pools = if up { self.pool_rows(now) } else { Vec::new() };
        Reading {
            engine_away: matches!(self.link, Link::Away { .. }),
            down: down.map(|row| row.name.clone()).collect(),
            restarts: services.iter().map(|row| (row.name.clone(), u64::from(row.restarts))).collect(),
            empty: pools.into_iter().filter(|row| row.warm == 0 && row.target > 0).map(|row| row.template).collect(),
            disk: (self.gauges.disk.total, self.gauges.disk.free),
            calls: self.gauges.calls,
        }
    }

    /// Those that fire.
    pub(super) fn alert_rows(&self, now: Now) -> Vec<AlertRow> {
        let row = |(rule, of, since): (&crate::bay::alert::Rule, &str, Duration)| AlertRow {
            name: rule.name.to_owned(),
            severity: rule.severity.to_owned(),
            subject: of.to_owned(),
            summary: rule.summary.to_owned(),
            since: now.wall.checked_sub(now.mono.saturating_sub(since)).unwrap_or(now.wall),
        };
        self.alerts.firing().map(row).collect()
    }
}
