//! Shows what a container printed, as lines that can't control the terminal.

pub mod follow;
pub mod plain;

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use regex::Regex;

use crate::api::client::{ClientError, LogLines, LogsRequest};
use crate::api::types::LogEntry;
use crate::bay::container::Role;
use crate::bay::matching::Named as _;
use crate::bay::size::Span;
use crate::terminal::plain::line;
use crate::terminal::safe;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::targets;

/// Entries that are written before stdout is flushed, at most.
const PORTION: usize = 512;

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A name, a unique prefix, an id, or `parent`; of a service, too
    pub name: String,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    pub tail: Option<u64>,
    /// Not before this: a time (2026-01-31T12:00:00Z) or how long ago (10m)
    #[arg(long, value_name = "T")]
    pub since: Option<String>,
    /// Of these lines, only those that match
    #[arg(long, value_name = "REGEX")]
    pub grep: Option<Regex>,
    /// With the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// As it was printed, control characters and all
    #[arg(long)]
    pub raw: bool,
}

/// `podbay logs`.
pub async fn run(context: &Context, args: &LogsArgs) -> Result<Exit, CliError> {
    let request = request(args)?;
    let client = context.client().await?;
    let row = targets::one(&client, &args.name).await?;
    if row.role == Role::Service {
        return follow::service(&client, row.called(), request, (args, context.out.json)).await;
    }
    follow::container(&client, &row.name, request, (args, context.out.json)).await
}

/// What the arguments ask for.
pub fn request(args: &LogsArgs) -> Result<LogsRequest, CliError> {
    let since = args.since.as_deref().map(|text| since(text, Timestamp::now())).transpose()?;
    Ok(LogsRequest { follow: args.follow, tail: args.tail, since, after: None })
}

/// Prints entries until their end, and counts them; gives what broke the log off, if something did.
async fn write(
    entries: &mut LogLines,
    seen: &mut usize,
    args: &LogsArgs,
    json: bool,
) -> Result<Option<ClientError>, CliError> {
    let mut entries = entries.ready_chunks(PORTION);
    while let Some(portion) = entries.next().await {
        let mut text = Vec::new();
        let mut failure = None;
        for entry in portion {
            match entry {
                Ok(entry) => {
                    *seen += 1;
                    append(&mut text, &entry, args, json)?;
                }
                Err(error) => failure = Some(error),
            }
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&text)?;
        stdout.flush()?;
        if failure.is_some() {
            return Ok(failure);
        }
    }
    Ok(None)
}

fn append(text: &mut Vec<u8>, entry: &LogEntry, args: &LogsArgs, json: bool) -> Result<(), CliError> {
    let plain = line(&entry.line).into_string();
    if args.grep.as_ref().is_some_and(|pattern| !pattern.is_match(&plain)) {
        return Ok(());
    }
    if json {
        let json = serde_json::to_string(entry).map_err(|error| CliError::failed(error.to_string()))?;
        text.extend_from_slice(safe::json(json).as_bytes());
        text.push(b'\n');
        return Ok(());
    }
    if args.timestamps {
        let time = entry.timestamp.and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let time = time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"));
        text.extend_from_slice(time.as_bytes());
        text.push(b' ');
    }
    if args.raw {
        text.extend_from_slice(&entry.bytes());
    } else {
        text.extend_from_slice(plain.as_bytes());
    }
    text.push(b'\n');
    Ok(())
}

/// Milliseconds since 1970 of a time, or of a time ago.
fn since(text: &str, now: Timestamp) -> Result<i64, CliError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let ago: Duration = text
        .parse::<Span>()
        .map_err(|_| {
            CliError::usage(format!("--since {text:?} is neither a time nor a duration"))
                .hint("write 10m, 1h30m, or 2026-01-31T12:00:00Z")
        })?
        .get();
    let millis = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    Ok(now.as_millisecond().saturating_sub(millis).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_is_what_was_written_and_without_it_nothing_controls_the_terminal() {
        let mut args = LogsArgs {
            name: "fox".to_owned(),
            follow: false,
            tail: None,
            since: None,
            grep: None,
            timestamps: false,
            raw: true,
        };
        let entry = LogEntry::new(b"\x1b[31m\xff\xfe caf\xe9", None, false);
        let mut text = Vec::new();
        append(&mut text, &entry, &args, false).unwrap();
        assert_eq!(text, b"\x1b[31m\xff\xfe caf\xe9\n");
        args.raw = false;
        text.clear();
        append(&mut text, &entry, &args, false).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "\u{fffd}\u{fffd} caf\u{fffd}\n");
    }

    #[test]
    fn since_is_a_time_or_a_time_ago() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(since("1m30s", now).unwrap(), 999_910_000);
        assert_eq!(since("1970-01-01T00:00:05Z", now).unwrap(), 5_000);
        assert_eq!(since("1970-01-01T02:00:05+02:00", now).unwrap(), 5_000);
        assert_eq!(since("9999999h", now).unwrap(), 0);
        for bad in ["", "yesterday", "5", "-5m"] {
            assert_eq!(since(bad, now).unwrap_err().kind.code(), 2, "{bad:?}");
        }
    }
}
