//! How services are, for everybody to see.

use std::time::Duration;

use crate::api::types::{ServiceRow, Why};
use crate::bay::lifecycle::Exit;
use crate::bay::name::Name;
use crate::bay::reason::Reason;
use crate::bay::service::{ProbeTarget, ServiceRun};
use crate::service::protocol::RunState;

use super::super::{Link, Machine};
use super::unit::{Owed, Unit, Want};

/// A run after a failure is told of when it has lasted so long.
const LASTS: Duration = Duration::from_secs(5);

impl Machine {
    /// A row for each service, in the order of the configuration.
    pub(in super::super) fn service_rows(&self) -> Vec<ServiceRow> {
        let configured =
            self.config.services.iter().filter_map(|service| self.services.units.get_key_value(&service.name));
        let removed = self.services.units.iter().filter(|(_, unit)| unit.removed);
        configured.chain(removed).map(|(name, unit)| self.service_row(name, unit)).collect()
    }

    fn service_row(&self, name: &Name, unit: &Unit) -> ServiceRow {
        let status = &unit.status;
        let running = status.state == RunState::Running;
        ServiceRow {
            name: name.to_string(),
            run: if unit.config.is_native() { "host" } else { "container" }.to_owned(),
            reason_for_host: match &unit.config.run {
                ServiceRun::Host { reason, .. } => Some(reason.to_string()),
                ServiceRun::Container { .. } => None,
            },
            state: self.service_word(unit).to_owned(),
            pid: status.main.map(|main| main.pid),
            ports: unit.config.listens(),
            ready: unit.ready(),
            restarts: status.memory.restarts,
            last_exit: unit.exit_text(),
            next_start_at: unit.next_start(),
            depends_on: unit
                .config
                .depends_on
                .iter()
                .map(|(name, condition)| (name.to_string(), condition.as_str().to_owned()))
                .collect(),
            reason: self.service_reason(unit),
            started_at: status.since.filter(|_| running),
            tty: status.tty && running,
        }
    }

    fn service_word(&self, unit: &Unit) -> &'static str {
        if !self.services.surveyed || unit.mute.is_some() || unit.is_unseen() {
            return "unknown";
        }
        let to_come = unit.is_owed();
        match unit.status.state {
            RunState::Stuck => "stuck",
            RunState::Stopping => "stopping",
            RunState::Running if unit.line.stop_told => "stopping",
            RunState::Running => "running",
            RunState::Starting => "starting",
            _ if unit.trouble.is_some() && to_come => "backoff",
            _ if unit.waits.is_some() && to_come => "waiting",
            _ if unit.line.awaiting.is_some() && unit.line.stop_told => "stopping",
            _ if unit.is_to_come() => "starting",
            RunState::Waiting => "backoff",
            RunState::Done => "exited",
            RunState::Ended | RunState::Failed => "failed",
            RunState::Idle => "stopped",
        }
    }

    /// Why it is not simply running.
    fn service_reason(&self, unit: &Unit) -> Option<String> {
        if !self.services.surveyed {
            return Some("its shim has not answered yet".to_owned());
        }
        if let Some(mute) = &unit.mute {
            return Some(mute.text.clone());
        }
        if unit.is_unseen() {
            return Some(match &self.link {
                Link::Away { why, .. } => Reason::EngineAway(why.clone()).to_string(),
                _ => "the engine has not shown yet how it is".to_owned(),
            });
        }
        if let Some(trouble) = unit.trouble.as_ref().filter(|_| unit.want == Want::Up || unit.is_unended()) {
            return Some(trouble.text.clone());
        }
        if let Some(waits) = &unit.waits {
            return Some(format!("waits for {waits}"));
        }
        let said = match unit.status.state {
            // How it last ended is nothing of the run that is asked for.
            state if unit.is_to_come() && (state.is_at_rest() || state == RunState::Waiting) => {
                Some(if unit.line.stop_told { "is being stopped" } else { "is being started" }.to_owned())
            }
            state if unit.removed && state.is_at_rest() => Some("not in the configuration any more".to_owned()),
            RunState::Running if unit.removed => {
                Some("not in the configuration any more; it is being stopped".to_owned())
            }
            RunState::Running if unit.line.stop_told => Some("is being stopped".to_owned()),
            RunState::Running => unit.health.says().or_else(|| {
                // Of a native one nobody is told.
                let hit = self.ooms.contains_key(&super::container_key(&unit.config.name)) && unit.life.is_some();
                hit.then(|| Reason::ChildOutOfMemory.to_string())
            }),
            RunState::Stopping if unit.want == Want::Up && !unit.anew => Some(match &unit.status.memory.last_exit {
                Some(exit) => format!("{exit}; what it left behind is being ended"),
                None => "is being ended".to_owned(),
            }),
            RunState::Stopping => Some("is being stopped".to_owned()),
            RunState::Stuck => Some(unit.stuck_text()),
            RunState::Waiting | RunState::Ended | RunState::Failed => Some(unit.end_text()),
            RunState::Done => Some(match unit.exit_text() {
                Some(exit) if unit.status.left > 0 => exit,
                Some(exit) => format!("{exit}: done"),
                None => "done".to_owned(),
            }),
            RunState::Idle if unit.want == Want::Stopped && unit.line.awaiting.is_none() => {
                Some("stopped by request".to_owned())
            }
            RunState::Idle if unit.want == Want::Down && unit.line.awaiting.is_none() => {
                Some("not started; `podbay up` starts it".to_owned())
            }
            RunState::Starting | RunState::Idle => Some("is being started".to_owned()),
        };
        let dropped = unit.status.dropped;
        if dropped > 0 && unit.status.state == RunState::Running {
            let lost = format!("{dropped} lines of its log could not be written");
            return Some(said.map_or(lost.clone(), |said| format!("{said}; {lost}")));
        }
        said
    }

    /// The service whose container this is.
    pub(in super::super) fn service_of_container(&self, key: &str) -> Option<Name> {
        let name = key.strip_prefix("svc-")?.parse().ok()?;
        self.services.units.contains_key(&name).then_some(name)
    }

    pub(in super::super) fn service_restarts(&self, name: &Name) -> Option<u32> {
        self.services.units.get(name).map(|unit| unit.status.memory.restarts)
    }

    /// One answer for a service.
    pub(in super::super) fn why_service(&self, name: &Name) -> Option<Why> {
        let unit = self.services.units.get(name)?;
        let row = self.service_row(name, unit);
        let wanted = match unit.want {
            Want::Up => "running",
            Want::Stopped => "stopped, by request",
            Want::Down if unit.removed => "nothing: it is not in the configuration any more",
            Want::Down => "nothing: the bay was not brought up",
        };
        let since = unit.status.since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
        let pid = row.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
        let ready = match row.ready {
            Some(true) => ", ready",
            Some(false) if row.pid.is_some() => ", not ready",
            _ => "",
        };
        let key = super::container_key(name);
        let mut history: Vec<_> =
            self.history.iter().filter(|line| line.name.as_ref() == Some(&key)).cloned().collect();
        history.drain(..history.len().saturating_sub(10));
        let (isolation, limits) =
            self.walls_of(&key).map_or((None, Vec::new()), |(level, limits)| (Some(level), limits));
        Some(Why {
            name: name.to_string(),
            kind: "service".to_owned(),
            wanted: wanted.to_owned(),
            observed: format!("{}{since}{pid}{ready}", row.state),
            hint: hint(unit, &row),
            reason: row.reason,
            attention: None,
            isolation,
            limits,
            waits_for: unit.waits.clone(),
            last_error: unit.mute.as_ref().or(unit.trouble.as_ref()).map(|trouble| trouble.text.clone()),
            last_exit: row.last_exit,
            attempts: unit.troubles.failures().max(unit.status.memory.failures),
            next_try_at: row.next_start_at.or_else(|| unit.next_stop()),
            history,
        })
    }

    /// Whether it was only started again after a failure, and may fail again at once: of such a try its end is told, and
    /// that it runs when it has lasted.
    fn is_mere_try(&mut self, before: &ServiceRow, row: &ServiceRow, now: super::Now) -> bool {
        let Some(unit) = row.name.parse::<Name>().ok().and_then(|name| self.services.units.get_mut(&name)) else {
            return false;
        };
        let again = before.state == "backoff" && row.ready != Some(true);
        match row.state.as_str() {
            "starting" if again => true,
            "running" if again && now.mono < *unit.lasts_at.get_or_insert(now.mono + LASTS) => true,
            _ => {
                unit.lasts_at = None;
                false
            }
        }
    }

    /// Lines of history for services whose state changed.
    pub(in super::super) fn note_services(&mut self, now: super::Now) {
        let rows = self.service_rows();
        let old = std::mem::take(&mut self.services.told);
        for row in rows {
            let before = old.iter().find(|known| known.name == row.name);
            if let Some(before) = before.filter(|before| self.is_mere_try(before, &row, now)) {
                self.services.told.push(before.clone());
                continue;
            }
            self.services.told.push(row.clone());
            let word = |row: &ServiceRow| (row.state.clone(), row.restarts, row.ready == Some(true));
            if before.map(word) == Some(word(&row)) || (before.is_none() && row.state == "unknown") {
                continue;
            }
            let ready = if row.ready == Some(true) { ", ready" } else { "" };
            let text = match &row.reason {
                Some(reason) => format!("{}: {reason}", row.state),
                None => format!("{}{ready}", row.state),
            };
            self.say(now, Some(&format!("svc-{}", row.name)), text);
        }
    }
}

fn hint(unit: &Unit, row: &ServiceRow) -> Option<String> {
    let name = &row.name;
    match row.state.as_str() {
        "failed" | "backoff" => Some(format!(
            "`podbay service logs {name}` shows what it said, `podbay service start {name}` tries again now"
        )),
        "stopped" => Some(format!("`podbay service start {name}` starts it")),
        "running" if row.ready == Some(false) => {
            let asked = unit.config.ready.as_ref().map(|probe| match &probe.target {
                ProbeTarget::Http(url) => url.clone(),
                ProbeTarget::Tcp(address) => address.clone(),
                ProbeTarget::Exec(argv) => argv.join(" "),
                ProbeTarget::Log(pattern) => format!("a line like {pattern:?}"),
            });
            Some(format!("its probe asks {}", asked.unwrap_or_default()))
        }
        _ => None,
    }
}

impl Unit {
    /// It was wanted before this supervisor began, and the engine was not looked at since.
    fn is_unseen(&self) -> bool {
        self.life.is_some() && !self.found && self.want == Want::Up && self.owed == Owed::Nothing
    }

    /// A start is due.
    fn is_owed(&self) -> bool {
        self.want == Want::Up && (self.owed != Owed::Nothing || self.anew)
    }

    /// A start is due or was just asked for.
    fn is_to_come(&self) -> bool {
        self.line.awaiting.is_some() || self.is_owed()
    }

    fn next_start(&self) -> Option<jiff::Timestamp> {
        let to_start = self.owed != Owed::Nothing && !self.is_contained_stopping();
        let trouble = self.trouble.as_ref().filter(|_| to_start).map(|trouble| trouble.until_wall);
        trouble.or(self.status.next_start_at)
    }

    /// When it is tried again to stop it.
    fn next_stop(&self) -> Option<jiff::Timestamp> {
        self.trouble.as_ref().filter(|_| self.is_contained_stopping()).map(|trouble| trouble.until_wall)
    }

    pub(super) fn stuck_text(&self) -> String {
        let pids: Vec<String> = self.status.stuck.iter().map(u32::to_string).collect();
        format!("SIGKILL does not end it (pid {}): the kernel holds it, or a debugger does", pids.join(", "))
    }

    /// How it last ended. Who has the port that it wanted is known better here than to its shim.
    fn exit_text(&self) -> Option<String> {
        let exit = self.status.memory.last_exit.as_ref()?;
        // A clue is of an earlier run's end when this one did not begin: shims of earlier versions keep it.
        let holder = self.holder.as_ref().filter(|holder| holder.run == self.status.run);
        if let Some(holder) = holder.filter(|_| self.status.port_taken.is_some()) {
            return Some(Exit::NotStarted(holder.text.clone()).to_string());
        }
        let said = self.status.memory_clue.map_or_else(|| exit.to_string(), |clue| clue.said_of(exit));
        let left = if *exit == Exit::Code(0) { self.status.left } else { 0 };
        Some(if left == 0 { said } else { format!("{said}; {}", Exit::Daemonised(left)) })
    }

    pub(super) fn end_text(&self) -> String {
        let exit = self.exit_text().unwrap_or_else(|| "it ended".to_owned());
        match self.status.state {
            RunState::Failed => {
                let limit = self.config.start_limit;
                format!("{exit}; it was started {} times within {} and is given up", limit.burst, limit.interval)
            }
            RunState::Waiting => format!("{exit}; it is started again"),
            _ => exit,
        }
    }
}
