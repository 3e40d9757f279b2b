//! A service's log, followed for as long as somebody looks: it goes on when the supervisor is back, where it was left.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::LogsArgs;
use crate::api::client::{Client, ClientError, LogsRequest};
use crate::api::types::LogEntry;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::note;

/// Between two tries to find a supervisor.
const RETRY: Duration = Duration::from_millis(300);

/// Where a log was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    /// The time of its last line, in milliseconds since 1970.
    at: Option<i64>,
    /// How many lines of that time were seen.
    seen: u64,
    /// How many of them come again.
    again: u64,
}

impl Mark {
    /// Whether a line is one that was not shown yet.
    fn is_new(&mut self, entry: &LogEntry) -> bool {
        if self.again > 0 && entry.timestamp == self.at {
            self.again -= 1;
            return false;
        }
        if entry.timestamp.is_some() {
            self.seen = if entry.timestamp == self.at { self.seen + 1 } else { 1 };
            self.at = entry.timestamp;
        }
        true
    }

    /// What is asked of the next supervisor.
    fn resume(&mut self, first: LogsRequest) -> LogsRequest {
        self.again = self.seen;
        if self.at.is_some() { LogsRequest { tail: None, since: self.at, ..first } } else { first }
    }
}

/// Prints a service's log to its end, or for ever.
pub async fn service(
    client: &Client,
    name: &str,
    first: LogsRequest,
    (args, json): (&LogsArgs, bool),
) -> Result<Exit, CliError> {
    let mut mark = Mark::default();
    let mut away = false;
    let mut request = first.clone();
    let mut seen = 0_usize;
    if args.follow {
        tell_of_rest(client, name).await;
    }
    loop {
        let failure = match client.service_logs(name, &request).await {
            Ok(entries) => {
                if std::mem::take(&mut away) {
                    note("the supervisor is back; the log goes on");
                }
                let mut is_new = |entry: &Result<LogEntry, ClientError>| match entry {
                    Ok(entry) => {
                        seen += 1;
                        mark.is_new(entry)
                    }
                    Err(_) => true,
                };
                let entries = entries.filter(|entry| std::future::ready(is_new(entry)));
                super::write(entries.boxed_local(), args, json).await?
            }
            Err(error) => Some(error),
        };
        match failure {
            None => {
                if seen == 0 && first.tail != Some(0) {
                    tell_of_silence(client, name, first.since.is_some()).await;
                }
                return Ok(Exit::Done);
            }
            Some(ClientError::NoSupervisor { .. } | ClientError::Broken(_) | ClientError::Deadline(_))
                if args.follow => {}
            Some(error) => return Err(error.into()),
        }
        if !std::mem::replace(&mut away, true) {
            note("the supervisor is away; the log goes on when it is back");
        }
        tokio::time::sleep(RETRY).await;
        request = mark.resume(first.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_shown_once() {
        let entry = |text: &str, timestamp| LogEntry { line: text.to_owned(), timestamp, stderr: false };
        let first = LogsRequest { follow: true, tail: Some(2), since: None };
        let mut mark = Mark::default();
        assert_eq!(mark.resume(first.clone()).tail, Some(2), "nothing was seen");
        for line in [entry("a", Some(1)), entry("b", Some(5)), entry("c", Some(5)), entry("gap", None)] {
            assert!(mark.is_new(&line));
        }
        let request = mark.resume(first.clone());
        assert_eq!((request.follow, request.tail, request.since), (true, None, Some(5)));
        let again = [entry("b", Some(5)), entry("c", Some(5)), entry("d", Some(5)), entry("e", Some(6))];
        assert_eq!(again.map(|line| mark.is_new(&line)), [false, false, true, true]);
        assert_eq!(mark.resume(first).since, Some(6));
    }
}
