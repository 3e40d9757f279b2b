//! Shows the bay at a glance.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::api::types::{EngineStatus, LinkState, PortRow, Status};
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::human;
use super::table::Paint;

/// `podbay status`.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let status = client.status().await?;
    if context.out.json {
        context.out.json(&status)?;
    } else {
        // A glance needs no ports table: what can't be had is left out.
        let ports = client.ports().await.unwrap_or_default();
        let text = text(&status, Timestamp::now(), context.out.colour) + &port_lines(&ports, context.out.colour);
        context.out.text(&text)?;
    }
    Ok(Exit::Done)
}

/// Lines of a word and what there is to it.
pub fn text(status: &Status, now: Timestamp, colour: bool) -> String {
    let mut lines = Lines { text: String::new(), colour };
    let up = human::span(i64::try_from(status.uptime_s).unwrap_or(i64::MAX));
    let bay = format!("{}, supervisor {} (pid {}), up {up}", status.bay, status.version, status.pid);
    lines.add("bay", &bay, Paint::Plain);
    engine(&mut lines, &status.engine, now);
    if !status.network.text.is_empty() {
        let waits = status.network.asked.len();
        let waits = if waits == 0 { String::new() } else { format!("; {waits} refused, `podbay network ls`") };
        lines.add("network", &format!("{}{waits}", status.network.text), Paint::Plain);
    }
    parent(&mut lines, status);
    workers(&mut lines, status);
    for pool in &status.pool {
        let text = format!("{}: {} of {} warm, {} claimed", pool.template, pool.warm, pool.target, pool.claimed);
        lines.add("pool", &with_reason(text, pool.last_error.as_deref()), Paint::Plain);
    }
    if status.pool.is_empty() {
        lines.add("pool", "no pool configured", Paint::Dim);
    }
    for service in &status.services {
        let place = match &service.reason_for_host {
            Some(why) => format!("on the host for {why}"),
            None => format!("in a {}", service.run),
        };
        let ports: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
        let ports = if ports.is_empty() { String::new() } else { format!(", port {}", ports.join(" ")) };
        let text = format!("{}: {} {place}{ports}", service.name, service.state);
        lines.add("service", &with_reason(text, service.reason.as_deref()), Paint::Plain);
    }
    if status.services.is_empty() {
        lines.add("services", "none configured", Paint::Dim);
    }
    machine(&mut lines, status);
    status.troubles.iter().for_each(|trouble| lines.add("trouble", trouble, Paint::Bad));
    lines.text
}

/// Who is reached where, and what is published for nobody yet.
fn port_lines(rows: &[PortRow], colour: bool) -> String {
    let mut lines = Lines { text: String::new(), colour };
    for row in rows.iter().filter(|row| row.process.is_some() || !row.name.is_empty()) {
        let port = row.port.map_or_else(|| format!("{} inside", row.inside), |port| port.to_string());
        let who = match (row.name.as_str(), &row.process) {
            ("", Some(process)) => process.clone(),
            (name, Some(process)) => format!("{name} ({process})"),
            (name, None) => name.to_owned(),
        };
        let place = row.url.clone().map(|url| format!(", {url}")).unwrap_or_default();
        lines.add("port", &with_reason(format!("{port}: {who}{place}"), row.reason.as_deref()), Paint::Plain);
    }
    let free: Vec<u16> =
        rows.iter().filter(|row| row.process.is_none() && row.name.is_empty()).filter_map(|row| row.port).collect();
    if !free.is_empty() {
        let text = format!("{} published, and nobody listens: {}; `podbay ports` lists all", free.len(), spans(&free));
        lines.add("ports", &text, Paint::Dim);
    }
    lines.text
}

/// `3000, 3002 to 3009`: what is between is somebody's.
fn spans(ports: &[u16]) -> String {
    let one = |span: &[u16]| match span {
        [first, .., last] => format!("{first} to {last}"),
        one => one.iter().map(u16::to_string).collect(),
    };
    let spans = ports.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    spans.map(one).collect::<Vec<_>>().join(", ")
}

struct Lines {
    text: String,
    colour: bool,
}

impl Lines {
    fn add(&mut self, word: &str, text: &str, paint: Paint) {
        let text = paint.over(Safe::new(text).as_str(), self.colour);
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "{word:<10}{text}");
    }
}

fn with_reason(text: String, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

fn engine(lines: &mut Lines, engine: &EngineStatus, now: Timestamp) {
    let name = match (engine.kind.as_str(), engine.version.as_str()) {
        ("", _) => "none yet".to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, version) => format!("{kind} {version}"),
    };
    let (state, paint) = match engine.state {
        LinkState::Connecting => ("connecting", Paint::Warn),
        LinkState::Up => ("up", Paint::Good),
        LinkState::Away => ("away", Paint::Bad),
    };
    let text = with_reason(format!("{name} at {}, {state}", engine.endpoint), engine.reason.as_deref());
    lines.add("engine", &text, paint);
    if let Some(level) = engine.level() {
        // Less than namespaces is never passed over.
        let paint = if engine.is_weak() { Paint::Warn } else { Paint::Plain };
        lines.add("isolation", &level, paint);
    }
    if let Some(next) = engine.next_try_at {
        let seconds = next.as_second().saturating_sub(now.as_second());
        lines.add("", &format!("next try in {}", human::span(seconds)), Paint::Plain);
    }
    engine.limits.iter().for_each(|limit| lines.add("limit", limit, Paint::Warn));
}

fn parent(lines: &mut Lines, status: &Status) {
    let Some(row) = &status.parent else {
        return lines.add("parent", "none yet", Paint::Warn);
    };
    let ports = human::ports(&row.ports);
    let ports = if ports.is_empty() { ports } else { format!(", {ports}") };
    let text = with_reason(format!("{}{ports}", row.state.as_str()), row.reason.as_deref());
    lines.add("parent", &text, if row.reason.is_some() { Paint::Bad } else { Paint::Good });
}

fn workers(lines: &mut Lines, status: &Status) {
    let counts: Vec<String> = status
        .workers
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let text = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    lines.add("workers", &text, Paint::Plain);
}

fn machine(lines: &mut Lines, status: &Status) {
    let disk = format!("{} free of {}", human::bytes(status.disk.free), human::bytes(status.disk.total));
    lines.add("disk", &disk, Paint::Plain);
    let capacity = &status.capacity;
    let free = capacity.memory_free.map(|free| format!("{} free", human::bytes(free)));
    let promised = Some(capacity.memory_promised).filter(|promised| *promised > 0);
    let promised = promised.map(|promised| format!("{} promised to running workers", human::bytes(promised)));
    let parts: Vec<String> = free.into_iter().chain(promised).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    lines.add("capacity", &format!("{} CPUs, {}{parts}", capacity.cpus, human::bytes(capacity.memory)), Paint::Plain);
    for room in &capacity.templates {
        let paint = if room.workers == Some(0) { Paint::Warn } else { Paint::Plain };
        lines.add("", &room.to_string(), paint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_by_who_has_them() {
        let rows: Vec<PortRow> = serde_json::from_value(serde_json::json!([
            {"port": 3000, "inside": 3000, "protocol": "tcp", "name": "fox", "process": "node", "pid": 7,
             "url": "http://127.0.0.1:3000", "reason": null},
            {"port": 3001, "inside": 3001, "protocol": "tcp", "name": "", "process": null, "pid": null, "url": null,
             "reason": "nobody listens"},
            {"port": 3002, "inside": 3002, "protocol": "tcp", "name": "", "process": null, "pid": null, "url": null,
             "reason": "nobody listens"},
            {"port": 3003, "inside": 3003, "protocol": "tcp", "name": "svc-web", "process": "web", "pid": 9,
             "url": "http://127.0.0.1:3003", "reason": null},
            {"port": 3009, "inside": 3009, "protocol": "tcp", "name": "", "process": null, "pid": null, "url": null,
             "reason": "nobody listens"},
            {"port": null, "inside": 9000, "protocol": "tcp", "name": "fox", "process": "sh", "pid": 8, "url": null,
             "reason": "inside the bay only"}
        ]))
        .unwrap();
        assert_eq!(
            port_lines(&rows, false),
            "port      3000: fox (node), http://127.0.0.1:3000\n\
             port      3003: svc-web (web), http://127.0.0.1:3003\n\
             port      9000 inside: fox (sh): inside the bay only\n\
             ports     3 published, and nobody listens: 3001 to 3002, 3009; `podbay ports` lists all\n"
        );
    }

    #[test]
    fn an_engine_that_is_away_is_said_with_reason_and_next_try() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "bay": "podbay", "version": "0.1.0", "pid": 7,
            "engine": {"kind": "", "endpoint": "unix:///run/docker.sock", "version": "", "state": "away", "wanted": "namespaces",
                       "reason": "no such file", "next_try_at": "2026-01-01T00:00:04Z", "limits": []},
            "parent": null, "workers": {"running": 2, "exited": 0, "cut-off": 1}, "pool": [], "services": [],
            "disk": {"total": 107_374_182_400_u64, "free": 53_687_091_200_u64},
            "capacity": {"cpus": 2, "memory": 4_294_967_296_u64, "memory_free": 1_073_741_824, "memory_promised": 3_221_225_472_u64, "workers": 0, "templates": [
                {"template": "default", "workers": 0, "ends_first": "memory", "by_memory": 0, "by_cpu": 1, "by_disk": 30},
                {"template": "lean", "workers": 1, "ends_first": "cpu", "by_memory": 3, "by_cpu": 1, "by_disk": null},
                {"template": "free", "workers": null, "ends_first": null, "by_memory": null, "by_cpu": null, "by_disk": null}]},
            "uptime_s": 90, "templates": ["default"], "troubles": ["the state can't be saved: disk full"]
        }))
        .unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        insta::assert_snapshot!(text(&status, now, false), @r"
        bay       podbay, supervisor 0.1.0 (pid 7), up 90s
        engine    none yet at unix:///run/docker.sock, away: no such file
        isolation namespaces wanted
                  next try in 4s
        parent    none yet
        workers   1 cut-off, 2 running
        pool      no pool configured
        services  none configured
        disk      50 GiB free of 100 GiB
        capacity  2 CPUs, 4.0 GiB (1.0 GiB free, 3.0 GiB promised to running workers)
                  default: room for 0 more, memory ends first (cpu 1, disk 30)
                  lean: room for 1 more, cpu ends first (memory 3); past that they share CPUs
                  free: no limit ends its number
        trouble   the state can't be saved: disk full
        ");
    }
}
