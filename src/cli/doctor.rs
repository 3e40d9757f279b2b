//! Looks for what would stop a worker: what the supervisor sees, and what only this terminal can tell.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::process::Command;

use crate::api::types::{Finding, Verdict};
use crate::bay::port::PortRule;
use crate::config::paths::Paths;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::supervisor;
use super::table::{Cell, Paint, Table};

/// The smallest terminal that the dashboard is made for.
const SMALLEST: (u16, u16) = (24, 80);
/// What the file system's clock may differ from the system's.
const SKEW: Duration = Duration::from_secs(2);
/// What tmux is given to answer.
const TMUX: Duration = Duration::from_secs(2);

/// What the file system is given to answer.
const FILES: Duration = Duration::from_secs(3);
/// Below this, nothing can be made.
const NO_DISK: u64 = 64 << 20;

/// `podbay doctor`.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    // Both at once: what can be looked at from here is said whether or not there is a supervisor or an engine.
    let (asked, here) = tokio::join!(asked(context), here(context));
    let mut findings = match asked {
        Ok(findings) => findings,
        Err(error) => alone(context, error),
    };
    findings.extend(context.broken.as_ref().map(broken));
    findings.extend(here);
    if context.out.json {
        context.out.json(&findings)?;
    } else {
        context.out.text(&table(&findings).render(context.out))?;
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

async fn asked(context: &Context) -> Result<Vec<Finding>, CliError> {
    let client = match context.broken {
        None => context.client().await?,
        // None is started beside a broken file.
        Some(_) => supervisor::running(&context.paths).await?.ok_or_else(|| {
            CliError::failed("none runs").hint("`podbay up` starts one once the configuration can be used")
        })?,
    };
    Ok(client.doctor().await?)
}

fn broken(error: &CliError) -> Finding {
    let hint = "mend that line: until then, no supervisor starts, and one that runs goes on with what it read before";
    hinted("configuration", Verdict::Fail, error.message.clone(), hint)
}

/// Without a supervisor: why there is none, and what it would have looked at first.
fn alone(context: &Context, error: CliError) -> Vec<Finding> {
    let hint = error.hint.unwrap_or_else(|| "`podbay serve` runs it here, and shows all that it says".to_owned());
    let mut findings = vec![hinted("supervisor", Verdict::Fail, error.message, &hint), disk(context)];
    if context.broken.is_none() {
        findings.extend(ports(context));
    }
    findings.push(finding("engine", Verdict::Skipped, "only a supervisor asks it"));
    findings
}

fn disk(context: &Context) -> Finding {
    let there = context.paths.state.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let hint = "`podbay init --clean` removes logs and caches";
    match rustix::fs::statvfs(there) {
        Err(error) => finding("disk", Verdict::Skipped, format!("{} does not say: {error}", there.display())),
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let text = format!("{} free for the state directory", super::human::bytes(free));
            if free < NO_DISK { hinted("disk", Verdict::Fail, text, hint) } else { finding("disk", Verdict::Ok, text) }
        }
    }
}

/// The parent's ports, as far as trying to take them tells: a parent that runs without its supervisor has them, too.
fn ports(context: &Context) -> Option<Finding> {
    let mappings = context.config.parent.ports.iter().flat_map(PortRule::mappings);
    let taken: Vec<String> = mappings
        .filter(|mapping| {
            let ip = mapping.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            matches!(TcpListener::bind((ip, mapping.host)), Err(error) if error.kind() == ErrorKind::AddrInUse)
        })
        .map(|mapping| mapping.host.to_string())
        .collect();
    let hint = "if it is not the parent of this bay: `ss -ltnp` names the holder";
    (!taken.is_empty()).then(|| hinted("ports", Verdict::Warn, format!("{} are taken", taken.join(", ")), hint))
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
    let (tmux, clock) = tokio::join!(tmux(context), clock(context));
    vec![terminal(context), size(context), colours(context), locale(context), tmux, clock]
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

/// A file system of another machine may hang: then that is the finding.
async fn clock(context: &Context) -> Finding {
    let paths = context.paths.clone();
    let look = tokio::task::spawn_blocking(move || compare_clocks(&paths));
    match tokio::time::timeout(FILES, look).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(error)) => finding("clock", Verdict::Skipped, error.to_string()),
        Err(_) => {
            let text = format!("{} does not answer within {}s", context.paths.state.display(), FILES.as_secs());
            hinted("state directory", Verdict::Fail, text, "name a place on this machine in XDG_STATE_HOME")
        }
    }
}

/// A file system with a clock of its own (a remote one) makes ages and log positions wrong.
fn compare_clocks(paths: &Paths) -> Finding {
    const CHECK: &str = "clock";
    const MAKE_IT: &str = "free space there, make it yours with chown and chmod 700, or name another in XDG_STATE_HOME";
    if let Err(error) = paths.create() {
        return hinted("state directory", Verdict::Fail, format!("it can't be made: {error}"), MAKE_IT);
    }
    let probe = paths.state.join(format!(".clock.{}", std::process::id()));
    let written = std::fs::write(&probe, b"").and_then(|()| std::fs::metadata(&probe)?.modified());
    let now = SystemTime::now();
    // Made just now, by this process: if it can't be removed, the next line says why nothing can be written.
    let _ = std::fs::remove_file(&probe);
    let made = match written {
        Ok(made) => made,
        Err(error) => {
            let text = format!("nothing can be written to {}: {error}", paths.state.display());
            return hinted("state directory", Verdict::Fail, text, MAKE_IT);
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
