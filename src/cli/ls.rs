//! Lists the bay's containers, and its services that have none.

use jiff::Timestamp;

use crate::api::client::Client;
use crate::api::types::{ContainerRow, LinkState, ServiceRow, State};
use crate::bay::container::HealthState;
use crate::terminal::safe::Safe;

use super::args::LsArgs;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::human;
use super::output::note;
use super::table::{Cell, Paint, Table};

/// `podbay ls`.
pub async fn run(context: &Context, args: &LsArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let containers = client.containers().await?;
    if containers.is_empty() {
        away(&client).await;
    }
    let rows = with_services(containers, &client.services().await?);
    if context.out.json {
        context.out.json(&rows)?;
    } else if args.quiet {
        rows.iter().try_for_each(|row| context.out.line(Safe::new(&row.name)))?;
    } else {
        context.out.text(&table(&rows, Timestamp::now()).render(context.out))?;
    }
    Ok(Exit::Done)
}

/// Services that have no container are listed like those that have: native ones, and those that were not started yet.
fn with_services(mut rows: Vec<ContainerRow>, services: &[ServiceRow]) -> Vec<ContainerRow> {
    for service in services {
        let network = if service.run == "host" { "host" } else { "" }.to_owned();
        let row = ContainerRow { id: String::new(), network, ..service.as_container() };
        if !rows.iter().any(|known| known.name == row.name) {
            rows.push(row);
        }
    }
    rows
}

/// Says why an empty list may say nothing.
async fn away(client: &Client) {
    // A courtesy: the list itself was answered.
    let Ok(status) = client.status().await else { return };
    if status.engine.state == LinkState::Away {
        let reason = status.engine.reason.unwrap_or_default();
        note(&format!("the engine is away, what it has is not known: {reason}"));
    }
}

/// The table that people see.
pub fn table(rows: &[ContainerRow], now: Timestamp) -> Table {
    let titles = ["NAME", "STATE", "TEMPLATE", "IMAGE", "NETWORK", "PORTS", "HEALTH", "UP", "REASON"];
    let mut table = Table::with_prose(&titles);
    for row in rows {
        let up = row.started_at.filter(|_| is_up(row.state)).map(|since| human::since(since, now));
        table.row(vec![
            row.name.as_str().into(),
            state(row.state),
            row.template.as_str().into(),
            row.image.as_str().into(),
            row.network.as_str().into(),
            human::ports(&row.ports).into(),
            row.health.map(health).into(),
            up.into(),
            why(row).into(),
        ]);
    }
    table
}

fn is_up(state: State) -> bool {
    matches!(state, State::Running | State::CutOff | State::Warm | State::Unknown)
}

/// The reason; for one that runs, why it needs somebody. How one ended, its reason says already.
fn why(row: &ContainerRow) -> Option<String> {
    let attention = row.attention.as_ref().filter(|_| row.call.is_none());
    match (&row.reason, attention) {
        (Some(reason), Some(attention)) => Some(format!("{reason}; {attention}")),
        (reason, attention) => reason.clone().or_else(|| attention.cloned()),
    }
}

/// A state in its colour.
pub fn state(state: State) -> Cell {
    let paint = match state {
        State::Running | State::Warm => Paint::Good,
        State::Creating | State::Unknown => Paint::Warn,
        State::CutOff | State::Failed => Paint::Bad,
        State::Exited => Paint::Dim,
    };
    Cell::painted(state.as_str(), paint)
}

fn health(health: HealthState) -> Cell {
    match health {
        HealthState::Starting => Cell::painted("starting", Paint::Warn),
        HealthState::Healthy => Cell::painted("healthy", Paint::Good),
        HealthState::Unhealthy => Cell::painted("unhealthy", Paint::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::*;

    #[test]
    fn a_listing_as_docker_users_expect_it() {
        let rows: Vec<ContainerRow> = serde_json::from_value(serde_json::json!([
            {"id": "p1", "name": "parent", "role": "parent", "template": "", "state": "running", "image": "host",
             "network": "own", "project": null, "branch": null, "health": null, "restarts": 0,
             "ports": [{"ip": "127.0.0.1", "host": 3000, "container": 3000, "protocol": "tcp"},
                       {"ip": "127.0.0.1", "host": 3001, "container": 3001, "protocol": "tcp"}],
             "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z",
             "attention": null, "reason": null},
            {"id": "w1", "name": "fox", "role": "worker", "template": "claude", "state": "running", "image": "my/agent:2",
             "network": "shared", "project": "/src", "branch": null, "ports": [], "health": "healthy", "restarts": 0,
             "created_at": "2026-01-03T00:00:00Z", "started_at": "2026-01-03T00:00:00Z",
             "attention": "asks for permission", "reason": null},
            {"id": "", "name": "owl", "role": "worker", "template": "default", "state": "exited", "image": "host",
             "network": "bridge", "project": null, "branch": null, "ports": [], "health": null, "restarts": 1,
             "created_at": null, "started_at": "2026-01-03T00:00:00Z", "attention": null,
             "reason": "exited with code 127 (the command was not found)"}
        ]))
        .unwrap();
        let now: Timestamp = "2026-01-03T01:00:00Z".parse().unwrap();
        let out = Output { json: false, width: None, colour: false };
        insta::assert_snapshot!(table(&rows, now).render(out), @r"
        NAME     STATE     TEMPLATE   IMAGE        NETWORK   PORTS                                HEALTH    UP    REASON
        parent   running   -          host         own       127.0.0.1:3000-3001->3000-3001/tcp   -         2d
        fox      running   claude     my/agent:2   shared    -                                    healthy   60m   asks for permission
        owl      exited    default    host         bridge    -                                    -         -     exited with code 127 (the command was not found)
        ");
    }

    #[test]
    fn a_service_is_listed_with_and_without_a_container() {
        let services: Vec<ServiceRow> = serde_json::from_value(serde_json::json!([
            {"name": "brain", "run": "container", "reason_for_host": null, "state": "waiting", "pid": null,
             "ports": [3001], "ready": false, "restarts": 0, "last_exit": null, "next_start_at": null,
             "depends_on": {"chroma": "ready"}, "reason": "waits for chroma to be ready, which runs"},
            {"name": "chroma", "run": "container", "reason_for_host": null, "state": "running", "pid": 41,
             "ports": [], "ready": null, "restarts": 0, "last_exit": null, "next_start_at": null,
             "depends_on": {}, "reason": null},
            {"name": "mill", "run": "container", "reason_for_host": null, "state": "backoff", "pid": null,
             "ports": [], "ready": null, "restarts": 3, "last_exit": "exited with code 3", "next_start_at": null,
             "depends_on": {}, "reason": "exited with code 3; it is started again"},
            {"name": "stream", "run": "host", "reason_for_host": "gpu", "state": "running", "pid": 42,
             "ports": [3002, 3003], "ready": true, "restarts": 2, "last_exit": "exited with code 1",
             "next_start_at": null, "depends_on": {}, "reason": null, "started_at": "2026-01-01T00:00:00Z"}
        ]))
        .unwrap();
        let chroma = ContainerRow { id: "c1".to_owned(), image: "chroma:1".to_owned(), ..services[1].as_container() };
        let rows = with_services(vec![chroma], &services);
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["c1", "", "", ""]);
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let out = Output { json: false, width: None, colour: false };
        insta::assert_snapshot!(table(&rows, now).render(out), @r"
        NAME         STATE      TEMPLATE   IMAGE      NETWORK     PORTS   HEALTH   UP    REASON
        svc-chroma   running    -          chroma:1   container   -       -        -
        svc-brain    creating   -          -          -           -       -        -     waits for chroma to be ready, which runs
        svc-mill     failed     -          -          -           -       -        -     exited with code 3; it is started again
        svc-stream   running    -          -          host        -       -        60m
        ");
    }
}
