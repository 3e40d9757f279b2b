//! Looks for what would stop a worker: what the supervisor sees, and what only this terminal can tell.

use std::time::{Duration, SystemTime};

use tokio::process::Command;

use crate::api::types::{Finding, Verdict};

use super::context::Context;
use super::exit::{CliError, Exit};
use super::table::{Cell, Paint, Table};

/// The smallest terminal that the dashboard is made for.
const SMALLEST: (u16, u16) = (24, 80);
/// What the file system's clock may differ from the system's.
const SKEW: Duration = Duration::from_secs(2);
/// What tmux is given to answer.
const TMUX: Duration = Duration::from_secs(2);

/// `podbay doctor`.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let mut findings = match supervisor(context).await {
        Ok(findings) => findings,
        Err(error) => {
            vec![Finding {
                check: "supervisor".to_owned(),
                verdict: Verdict::Fail,
                text: error.message,
                hint: error.hint,
            }]
        }
    };
    findings.extend(here(context).await);
    if context.out.json {
        context.out.json(&findings)?;
    } else {
        context.out.text(&table(&findings).render(context.out))?;
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

async fn supervisor(context: &Context) -> Result<Vec<Finding>, CliError> {
    Ok(context.client().await?.doctor().await?)
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::with_prose(&["CHECK", "VERDICT", "FINDING"]);
    for finding in findings {
        let (word, paint) = match finding.verdict {
            Verdict::Ok => ("ok", Paint::Good),
            Verdict::Warn => ("warn", Paint::Warn),
            Verdict::Fail => ("fail", Paint::Bad),
            Verdict::Skipped => ("skipped", Paint::Dim),
        };
        let text = match &finding.hint {
            Some(hint) => format!("{} ({hint})", finding.text),
            None => finding.text.clone(),
        };
        table.row(vec![finding.check.as_str().into(), Cell::painted(word, paint), text.into()]);
    }
    table
}

async fn here(context: &Context) -> Vec<Finding> {
    vec![terminal(context), size(context), colours(context), locale(context), tmux(context).await, clock(context)]
}

fn finding(check: &str, verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), verdict, text: text.into(), hint: None }
}

fn hinted(check: &str, verdict: Verdict, text: impl Into<String>, hint: &str) -> Finding {
    Finding { hint: Some(hint.to_owned()), ..finding(check, verdict, text) }
}

fn terminal(context: &Context) -> Finding {
    match context.env.get("TERM") {
        None => hinted("TERM", Verdict::Warn, "not set", "the dashboard needs it: xterm-256color fits most terminals"),
        Some("dumb") => hinted("TERM", Verdict::Warn, "dumb", "the dashboard can't draw on it; all other verbs work"),
        Some(term) => finding("TERM", Verdict::Ok, term),
    }
}

fn size(context: &Context) -> Finding {
    if context.out.width.is_none() {
        return finding("terminal size", Verdict::Skipped, "stdout is not a terminal");
    }
    let size = super::tty::size();
    let text = format!("{}x{}", size.cols, size.rows);
    if (size.rows, size.cols) >= SMALLEST && size.cols >= SMALLEST.1 {
        finding("terminal size", Verdict::Ok, text)
    } else {
        hinted("terminal size", Verdict::Warn, text, "the dashboard is made for 80x24 and up")
    }
}

fn colours(context: &Context) -> Finding {
    match context.env.get("NO_COLOR") {
        Some(_) => finding("colours", Verdict::Ok, "off, by NO_COLOR"),
        None => finding("colours", Verdict::Ok, "on, where there is a terminal"),
    }
}

fn locale(context: &Context) -> Finding {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|key| Some((key, context.env.get(key)?)));
    let hint = "set LANG to a UTF-8 locale, for example C.UTF-8, or [ui] ascii = true";
    match set {
        Some((key, value)) if value.to_ascii_lowercase().replace('-', "").contains("utf8") => {
            finding("locale", Verdict::Ok, format!("{key}={value}"))
        }
        Some((key, value)) => hinted("locale", Verdict::Warn, format!("{key}={value} is not UTF-8"), hint),
        None => hinted("locale", Verdict::Warn, "none is set, so not UTF-8", hint),
    }
}

async fn tmux(context: &Context) -> Finding {
    const CHECK: &str = "tmux passthrough";
    if context.env.get("TMUX").is_none() {
        return finding(CHECK, Verdict::Skipped, "not inside tmux");
    }
    let asked = Command::new("tmux").args(["show-options", "-gv", "allow-passthrough"]).kill_on_drop(true).output();
    let answer = match tokio::time::timeout(TMUX, asked).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(Err(error)) => return finding(CHECK, Verdict::Skipped, format!("tmux can't be asked: {error}")),
        Err(_) => return finding(CHECK, Verdict::Skipped, "tmux does not answer"),
    };
    match answer.as_str() {
        "on" | "all" => finding(CHECK, Verdict::Ok, answer),
        _ => {
            let hint = "`tmux set -g allow-passthrough on` lets notifications through";
            hinted(CHECK, Verdict::Warn, "off", hint)
        }
    }
}

/// A file system with a clock of its own (a remote one) makes ages and log positions wrong.
fn clock(context: &Context) -> Finding {
    const CHECK: &str = "clock";
    if let Err(error) = context.paths.create() {
        return finding("state directory", Verdict::Fail, format!("it can't be made: {error}"));
    }
    let probe = context.paths.state.join(format!(".clock.{}", std::process::id()));
    let written = std::fs::write(&probe, b"").and_then(|()| std::fs::metadata(&probe)?.modified());
    let now = SystemTime::now();
    // Made just now, by this process: if it can't be removed, the next line says why nothing can be written.
    let _ = std::fs::remove_file(&probe);
    let made = match written {
        Ok(made) => made,
        Err(error) => {
            let text = format!("nothing can be written to {}: {error}", context.paths.state.display());
            return finding("state directory", Verdict::Fail, text);
        }
    };
    let skew = now.duration_since(made).unwrap_or_else(|ahead| ahead.duration());
    if skew <= SKEW {
        finding(CHECK, Verdict::Ok, "the state directory's file system and the system agree")
    } else {
        let text = format!("the state directory's file system is {}s off", skew.as_secs());
        hinted(CHECK, Verdict::Warn, text, "ages are wrong by as much; is it a remote file system?")
    }
}
