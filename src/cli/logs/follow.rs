//! A log that is followed for as long as somebody looks: it goes on when the supervisor is back, where it was left.

use std::time::Duration;

use super::LogsArgs;
use crate::api::client::{Client, ClientError, LogLines, LogsRequest};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::note;

/// Between two tries to find a supervisor.
const RETRY: Duration = Duration::from_millis(300);

/// Prints a service's log to its end, or for ever.
pub async fn service(
    client: &Client,
    name: &str,
    request: LogsRequest,
    how: (&LogsArgs, bool),
) -> Result<Exit, CliError> {
    let silent = (request.tail != Some(0)).then_some(request.since.is_some());
    if request.follow {
        tell_of_rest(client, name).await;
    }
    let seen = over_cuts(request, how, async |request| client.service_logs(name, request).await).await?;
    if let Some(lately) = silent.filter(|_| seen == 0) {
        tell_of_silence(client, name, lately).await;
    }
    Ok(Exit::Done)
}

/// Prints a container's log to its end.
pub async fn container(
    client: &Client,
    name: &str,
    request: LogsRequest,
    how: (&LogsArgs, bool),
) -> Result<Exit, CliError> {
    over_cuts(request, how, async |request| client.logs(name, request).await).await?;
    Ok(Exit::Done)
}

/// Prints a log to its end; of one that is followed, a cut is not the end. How many lines came.
async fn over_cuts(
    mut request: LogsRequest,
    (args, json): (&LogsArgs, bool),
    open: impl AsyncFn(&LogsRequest) -> Result<LogLines, ClientError>,
) -> Result<usize, CliError> {
    let (mut away, mut seen) = (None, 0);
    loop {
        let failure = match open(&request).await {
            Ok(mut lines) => {
                if let Some(who) = away.take() {
                    note(&format!("the {who} is back; the log goes on"));
                }
                let failure = super::write(&mut lines, &mut seen, args, json).await?;
                request.after = lines.last().map(str::to_owned).or(request.after);
                failure
            }
            Err(error) => Some(error),
        };
        let Some(failure) = failure else { return Ok(seen) };
        // Without a line's id it is not known where it goes on, and what came would come again.
        let may_wait = args.follow && (seen == 0 || request.after.is_some());
        let Some(who) = missed(&failure).filter(|_| may_wait) else { return Err(failure.into()) };
        if away.replace(who) != Some(who) {
            note(&format!("the {who} is away; the log goes on when it is back"));
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Who has to come back before a log that broke off, or did not begin, goes on; `None`: that would not help.
fn missed(failure: &ClientError) -> Option<&'static str> {
    match failure {
        ClientError::NoSupervisor { .. } | ClientError::Broken(_) | ClientError::Deadline(_) => Some("supervisor"),
        ClientError::Refused(detail) if detail.code == "engine-away" => Some("engine"),
        ClientError::Refused(_) => None,
    }
}

/// Who follows a service that does not run is told why nothing comes.
async fn tell_of_rest(client: &Client, name: &str) {
    if let Some((_, is)) = how_it_is(client, name).await.filter(|(running, _)| !running) {
        note(&format!("{name} is {is}; what it writes is shown here as it comes"));
    }
}

/// An empty log may be that of a service that never ran.
async fn tell_of_silence(client: &Client, name: &str, lately: bool) {
    let Some((running, is)) = how_it_is(client, name).await else { return };
    let when = if lately { "since then" } else { "yet" };
    let hint =
        if running { String::new() } else { format!(" (`podbay why {name}` says more, `-f` waits for its lines)") };
    note(&format!("{name} has written nothing {when}; it is {is}{hint}"));
}

/// Whether it runs, and its state with the reason. A courtesy: its log was answered.
async fn how_it_is(client: &Client, name: &str) -> Option<(bool, String)> {
    let row = client.services().await.ok()?.into_iter().find(|row| row.name == name)?;
    let running = row.state == "running";
    let reason = row.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Some((running, format!("{}{reason}", row.state)))
}
