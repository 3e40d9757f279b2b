//! Tells why something is not as it should be.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::api::types::Why;
use crate::bay::isolation::Isolation;
use crate::terminal::safe::Safe;

use super::args::NameArgs;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::human;
use super::table::wrap;

/// `podbay why`.
pub async fn run(context: &Context, args: &NameArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let answer = client.why(&args.name).await?;
    if context.out.json {
        context.out.json(&answer)?;
    } else {
        context.out.text(&text(&answer, Timestamp::now(), context.out.width.unwrap_or(100)))?;
    }
    Ok(Exit::Done)
}

/// The answer as people read it.
pub fn text(why: &Why, now: Timestamp, width: usize) -> String {
    let kind = if why.kind.is_empty() { String::new() } else { format!(" ({})", Safe::new(&why.kind)) };
    let mut text = format!("{}{kind}\n", Safe::new(&why.name));
    let mut add = |word: &str, value: Option<&str>| {
        let Some(value) = value else { return };
        let lines = wrap(Safe::new(value).as_str(), width.saturating_sub(14).max(20));
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {word:<12}{}", lines.join(&format!("\n{}", " ".repeat(14))));
    };
    add("wanted", Some(&why.wanted));
    add("observed", Some(&why.observed));
    add("reason", Some(why.reason.as_deref().unwrap_or("it is as it should be")));
    add("needs", why.attention.as_deref());
    if let Some(level) = why.isolation {
        let weak = level < Isolation::Namespaces;
        let weak = if weak { "; `podbay status` lists what it leaves open" } else { "" };
        add("isolation", Some(&format!("{level}{weak}")));
    }
    why.limits.iter().for_each(|limit| add("limit", Some(limit)));
    add("waits for", why.waits_for.as_deref());
    add("last exit", why.last_exit.as_deref());
    add("last error", why.last_error.as_deref());
    if why.attempts > 0 {
        let next = why.next_try_at.map(|at| human::span(at.as_second().saturating_sub(now.as_second())));
        let next = next.map(|span| format!(", next in {span}")).unwrap_or_default();
        add("tries", Some(&format!("{}{next}", why.attempts)));
    }
    add("hint", why.hint.as_deref());
    for line in &why.history {
        let _ = writeln!(text, "  {}  {}", at(line.at), Safe::new(&line.text));
    }
    text
}

/// A time of day with its date, to the second, in UTC: the zone of all that podbay writes.
pub fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_known_is_said_and_nothing_else() {
        let why: Why = serde_json::from_value(serde_json::json!({
            "name": "fox", "kind": "worker", "wanted": "running", "observed": "created, never started",
            "reason": "the engine could not start it: OCI runtime create failed: exec: \"clod\": executable file not found in $PATH",
            "attention": "asks permission (hook)", "isolation": "none", "limits": ["limit of CPU: not enforced, cgroups are not delegated to this user"],
            "waits_for": null, "last_error": "exit 127", "attempts": 3, "next_try_at": "2026-01-01T00:00:30Z",
            "hint": "look at the template's command",
            "history": [{"seq": 1, "at": "2026-01-01T00:00:00Z", "name": "fox", "text": "start \u{1b}[2J failed"}]
        }))
        .unwrap();
        insta::assert_snapshot!(text(&why, "2026-01-01T00:00:10Z".parse().unwrap(), 60), @r#"
        fox (worker)
          wanted      running
          observed    created, never started
          reason      the engine could not start it: OCI runtime
                      create failed: exec: "clod": executable file
                      not found in $PATH
          needs       asks permission (hook)
          isolation   none; `podbay status` lists what it leaves
                      open
          limit       limit of CPU: not enforced, cgroups are not
                      delegated to this user
          last error  exit 127
          tries       3, next in 20s
          hint        look at the template's command
          2026-01-01 00:00:00Z  start \u{1b}[2J failed
        "#);
    }
}
