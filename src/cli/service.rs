//! Services: what runs beside the workers, on this machine or in containers.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::api::client::Client;
use crate::api::types::{Done, ServiceRow, ServiceVerb};
use crate::terminal::safe::Safe;

use super::act::Outcome;
use super::context::Context;
use super::exit::{CliError, Exit, report};
use super::logs::LogsArgs;
use super::output::note;
use super::table::{Cell, Paint, Table};
use super::{human, logs, targets};

/// Arguments of `service`.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    #[command(subcommand)]
    command: ServiceCommand,
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    /// List services: where each runs, why there, its ports, how it is
    Ls,
    /// Start services, and what they wait for
    Start(ServiceNames),
    /// Stop services, until they are started by hand or by `up`
    Stop(ServiceNames),
    /// Stop services and start them again
    Restart(ServiceNames),
    /// Show what a service printed
    Logs(LogsArgs),
}

#[derive(Debug, Args)]
struct ServiceNames {
    /// Names, unique prefixes or globs
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// `podbay service`.
pub async fn run(context: &Context, args: &ServiceArgs) -> Result<Exit, CliError> {
    let (names, verb) = match &args.command {
        ServiceCommand::Ls => return ls(context).await,
        ServiceCommand::Logs(args) => return show_logs(context, args).await,
        ServiceCommand::Start(names) => (names, ServiceVerb::Start),
        ServiceCommand::Stop(names) => (names, ServiceVerb::Stop),
        ServiceCommand::Restart(names) => (names, ServiceVerb::Restart),
    };
    act(context, &names.names, verb).await
}

async fn ls(context: &Context) -> Result<Exit, CliError> {
    let rows = context.client().await?.services().await?;
    if context.out.json {
        context.out.json(&rows)?;
    } else if rows.is_empty() {
        note("no services configured");
    } else {
        context.out.text(&table(&rows, Timestamp::now()).render(context.out))?;
    }
    Ok(Exit::Done)
}

/// The service matrix.
fn table(rows: &[ServiceRow], now: Timestamp) -> Table {
    let titles = ["NAME", "STATE", "READY", "RUNS ON", "WHY THERE", "PORTS", "PID", "RESTARTS", "UP", "REASON"];
    let mut table = Table::with_prose(&titles);
    for row in rows {
        let ports: Vec<String> = row.ports.iter().map(u16::to_string).collect();
        let next = row.next_start_at.map(|at| format!("; next start at {at:.0}"));
        let reason = row.reason.as_ref().map(|reason| format!("{reason}{}", next.unwrap_or_default()));
        table.row(vec![
            row.name.as_str().into(),
            state(&row.state),
            row.ready
                .map(|ready| if ready { Cell::painted("yes", Paint::Good) } else { Cell::painted("no", Paint::Warn) })
                .into(),
            row.run.as_str().into(),
            row.reason_for_host.clone().into(),
            ports.join(",").into(),
            row.pid.map(|pid| pid.to_string()).into(),
            row.restarts.to_string().into(),
            row.started_at.map(|since| human::since(since, now)).into(),
            reason.into(),
        ]);
    }
    table
}

fn state(word: &str) -> Cell {
    let paint = match word {
        "running" => Paint::Good,
        "failed" | "stuck" => Paint::Bad,
        "stopped" | "exited" => Paint::Dim,
        _ => Paint::Warn,
    };
    Cell::painted(word, paint)
}

async fn show_logs(context: &Context, args: &LogsArgs) -> Result<Exit, CliError> {
    let request = logs::request(args)?;
    let client = context.client().await?;
    let row = match targets::resolve(std::slice::from_ref(&args.name), &client.services().await?)?.as_slice() {
        [row] => row.clone(),
        _ => return Err(CliError::usage(format!("{:?} means several; this verb takes one", args.name))),
    };
    logs::follow::service(&client, &row.name, request, (args, context.out.json)).await
}

/// Does `verb` to all of them at once; the first failure decides the exit code.
async fn act(context: &Context, words: &[String], verb: ServiceVerb) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let rows = targets::resolve(words, &client.services().await?)?;
    let work = rows.into_iter().map(|row| one(&client, row.name, verb));
    let mut outcomes = Vec::new();
    let mut failure = None;
    for (name, result) in futures_util::future::join_all(work).await {
        match result {
            Ok(done) => {
                if !context.out.json {
                    context.out.line(Safe::new(&format!("{name}: {}", done.text)))?;
                    done.notes.iter().for_each(|text| note(&format!("{name}: {text}")));
                }
                outcomes.push(Outcome { name, done: Some(done), error: None });
            }
            Err(error) => {
                let error = error.about(&name);
                report(&error);
                failure.get_or_insert(error.kind);
                outcomes.push(Outcome { name, done: None, error: Some(error.detail()) });
            }
        }
    }
    if context.out.json {
        context.out.json(&outcomes)?;
    }
    Ok(failure.map_or(Exit::Done, |kind| Exit::Program(kind.code())))
}

async fn one(client: &Client, name: String, verb: ServiceVerb) -> (String, Result<Done, CliError>) {
    let result = client.service(&name, verb).await;
    (name, result.map_err(CliError::from))
}

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::*;

    #[test]
    fn the_service_matrix() {
        let rows: Vec<ServiceRow> = serde_json::from_value(serde_json::json!([
            {"name": "brain", "run": "container", "reason_for_host": null, "state": "waiting", "pid": null,
             "ports": [3001], "ready": false, "restarts": 0, "last_exit": null, "next_start_at": null,
             "depends_on": {"chroma": "ready"}, "reason": "waits for chroma to be ready, which runs"},
            {"name": "stream", "run": "host", "reason_for_host": "gpu", "state": "running", "pid": 42,
             "ports": [3002, 3003], "ready": true, "restarts": 2, "last_exit": "exited with code 1",
             "next_start_at": null, "depends_on": {}, "reason": null, "started_at": "2026-01-01T00:00:00Z"}
        ]))
        .unwrap();
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let out = Output { json: false, width: None, colour: false };
        insta::assert_snapshot!(table(&rows, now).render(out), @r"
        NAME     STATE     READY   RUNS ON     WHY THERE   PORTS       PID   RESTARTS   UP    REASON
        brain    waiting   no      container   -           3001        -     0          -     waits for chroma to be ready, which runs
        stream   running   yes     host        gpu         3002,3003   42    2          60m
        ");
    }
}
