//! One verb on several containers: what stop, start, restart, rm and refresh share.

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use crate::api::client::Client;
use crate::api::types::{ContainerRow, Done, ErrorDetail, State, Verb};
use crate::bay::container::Role;
use crate::bay::matching::Named as _;
use crate::terminal::safe::Safe;

use super::args::TargetArgs;
use super::context::Context;
use super::exit::{CliError, Exit, report};
use super::output::{Output, ask, can_ask, note};
use super::targets;

/// Requests under way at the same time; the supervisor may take them one after another anyway.
const AT_ONCE: usize = 8;

/// What came of it for one of them: an element of the list that `--json` prints.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Whose it is.
    pub name: String,
    /// What was done.
    #[serde(flatten)]
    pub done: Option<Done>,
    /// Why it could not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,
}

/// What the arguments mean.
pub async fn targets(client: &Client, args: &TargetArgs) -> Result<Vec<ContainerRow>, CliError> {
    if args.all {
        return Ok(targets::workers(client.containers().await?));
    }
    targets::resolve(&args.names, &targets::all(client).await?)
}

/// Whether to go on with something on all workers. Without a terminal nobody can be asked: what only stops goes on, what
/// destroys is refused.
pub fn confirmed(question: &str, yes: bool, destructive: bool) -> Result<bool, CliError> {
    if yes {
        return Ok(true);
    }
    if can_ask() {
        return ask(question);
    }
    if destructive {
        return Err(CliError::usage("nobody can be asked: not a terminal").hint("say -y to go on without asking"));
    }
    Ok(true)
}

/// What is done to the parent, and what that costs the workers that live with it.
#[derive(Clone, Copy, Debug)]
pub struct ParentDeed(pub &'static str, pub &'static str);

/// What runs in its workers ends with their network.
pub const ENDS: &str = "It ends what runs in";

/// Whether to go on with something on the parent that its workers lose something by.
pub async fn parent_confirmed(
    client: &Client,
    rows: &[ContainerRow],
    args: &TargetArgs,
    ParentDeed(what, costs): ParentDeed,
) -> Result<bool, CliError> {
    if args.yes || !can_ask() || !rows.iter().any(|row| row.role == Role::Parent) {
        return Ok(true);
    }
    let mut workers = targets::workers(client.containers().await?);
    workers.retain(|row| row.state == State::Running && row.network == "shared");
    let question = match workers.as_slice() {
        [] => return Ok(true),
        [worker] => format!("{what} the parent? {costs} {}.", worker.name),
        _ => format!("{what} the parent? {costs} {} workers.", workers.len()),
    };
    ask(&question)
}

/// Does `verb` to all of `rows`; each outcome is said as it comes, in order. The first failure decides the exit code.
pub async fn run(context: &Context, client: &Client, rows: Vec<ContainerRow>, verb: Verb) -> Result<Exit, CliError> {
    if rows.is_empty() {
        note("no workers");
    }
    let work = rows.into_iter().map(|row| async move {
        let result = client.act(&row.name, verb).await;
        (row, result.map_err(CliError::from))
    });
    let mut results = stream::iter(work).buffered(AT_ONCE);
    let mut outcomes = Vec::new();
    let mut first_failure = None;
    while let Some((row, result)) = results.next().await {
        let called = row.called().to_owned();
        let outcome = match result {
            Ok(done) => Outcome { name: row.name, done: Some(done), error: None },
            Err(error) => {
                let error = error.about(&called);
                report(&error);
                let detail = error.detail();
                first_failure.get_or_insert(error.kind);
                Outcome { name: row.name, done: None, error: Some(detail) }
            }
        };
        if !context.out.json {
            say(context.out, &called, &outcome)?;
        }
        outcomes.push(outcome);
    }
    if context.out.json {
        context.out.json(&outcomes)?;
    }
    Ok(first_failure.map_or(Exit::Done, |kind| Exit::Program(kind.code())))
}

fn say(out: Output, name: &str, outcome: &Outcome) -> Result<(), CliError> {
    let Some(done) = &outcome.done else { return Ok(()) };
    let text = if done.text.is_empty() { name.to_owned() } else { format!("{name}: {}", done.text) };
    out.line(Safe::new(&text))?;
    done.notes.iter().for_each(|text| note(&format!("{name}: {text}")));
    Ok(())
}
