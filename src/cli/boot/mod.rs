//! A supervisor that starts with the machine: a systemd user unit on Linux, a `LaunchAgent` on macOS.
//!
//! `systemd` and `launchd` say what is to be written and run, and do nothing; `carry_out` does it. What is said with
//! `--dry-run` and what is done come from the same [`Plan`].

mod carry_out;
mod launchd;
mod systemd;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::bay::name::Name;
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;

/// Arguments of `boot`.
#[derive(Debug, Args)]
pub struct BootArgs {
    #[command(subcommand)]
    command: BootCommand,
}

#[derive(Debug, Subcommand)]
enum BootCommand {
    /// Start this bay's supervisor with the machine
    Install(RunArgs),
    /// No longer start it with the machine
    Remove(RunArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Only print what would be written and run
    #[arg(long)]
    dry_run: bool,
}

/// The first line of every file that `boot install` writes: only such a file is replaced or removed.
const MARK: &str = "Written by `podbay boot install`; `podbay boot remove` takes it away.";

/// What the supervisor is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Start {
    bay: Name,
    /// The program, absolute.
    program: PathBuf,
    /// The configuration file, absolute; `None`: as `serve` finds it.
    config: Option<PathBuf>,
    /// Where it starts.
    home: PathBuf,
    /// What of the present environment decides where things lie and what is found.
    env: Vec<(String, String)>,
    /// Where what it prints goes, where nobody else keeps it.
    logs: PathBuf,
    uid: u32,
}

/// What is done, in order: programs, the file, programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Plan {
    /// The file that is written or removed.
    path: PathBuf,
    /// What is in it; empty: it is removed.
    text: String,
    /// Run before the file is touched: if one fails, nothing was done.
    before: Vec<Vec<String>>,
    /// Run once the file is as it should be.
    after: Vec<Vec<String>>,
    /// What the user should know.
    notes: Vec<String>,
}

/// Variables that decide where state, socket, engine and programs are found. No others: one may be a secret.
const KEPT: [&str; 10] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
];

/// `podbay boot`.
pub async fn run(context: &Context, args: &BootArgs) -> Result<Exit, CliError> {
    let start = start(context)?;
    let mac = cfg!(target_os = "macos");
    let (plan, options, install) = match &args.command {
        BootCommand::Install(options) if mac => (launchd::install(&start), options, true),
        BootCommand::Install(options) => (systemd::install(&start, lingers(context)), options, true),
        BootCommand::Remove(options) if mac => (launchd::remove(&start), options, false),
        BootCommand::Remove(options) => (systemd::remove(&start), options, false),
    };
    if options.dry_run {
        return show(context, &plan);
    }
    let done = if install { carry_out::install(context, &plan).await? } else { carry_out::remove(&plan).await? };
    if context.out.json {
        context.out.json(&plan)?;
    } else {
        context.out.line(Safe::new(&done))?;
    }
    plan.notes.iter().for_each(|text| note(text));
    Ok(Exit::Done)
}

fn show(context: &Context, plan: &Plan) -> Result<Exit, CliError> {
    if context.out.json {
        context.out.json(plan)?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(Safe::new(line).as_str());
        text.push('\n');
    };
    plan.before.iter().for_each(|words| say(&format!("would run: {}", shown(words))));
    let verb = if plan.text.is_empty() { "remove" } else { "write" };
    say(&format!("would {verb}: {}", plan.path.display()));
    plan.text.lines().for_each(|line| say(&format!("    {line}")));
    plan.after.iter().for_each(|words| say(&format!("would run: {}", shown(words))));
    context.out.text(&text)?;
    plan.notes.iter().for_each(|text| note(&format!("afterwards: {text}")));
    Ok(Exit::Done)
}

/// A command as one would type it.
fn shown(words: &[String]) -> String {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@,".contains(c));
    let quoted =
        words.iter().map(|word| if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) });
    quoted.collect::<Vec<_>>().join(" ")
}

fn start(context: &Context) -> Result<Start, CliError> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| CliError::failed(format!("podbay's own program can't be found: {error}")))?;
    let config = match &context.config.source {
        Some(path) => {
            Some(std::path::absolute(path).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?)
        }
        None => None,
    };
    let env = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), context.env.get(key)?.to_owned()))).collect();
    let start = Start {
        bay: context.config.bay.clone(),
        program,
        config,
        home: context.env.home.clone(),
        env,
        logs: context.paths.logs(),
        uid: context.env.uid,
    };
    let paths = [Some(&start.program), start.config.as_ref(), Some(&start.home), Some(&start.logs)];
    let texts = paths
        .into_iter()
        .flatten()
        .map(|path| path.to_str())
        .chain(start.env.iter().map(|(_, value)| Some(value.as_str())));
    for text in texts {
        // Neither format has a way to write these that every version of its reader understands.
        if text.is_none_or(|text| text.chars().any(char::is_control)) {
            let shown = text.map_or_else(|| "a path that is not UTF-8".to_owned(), |text| format!("{text:?}"));
            return Err(CliError::usage(format!("{shown} can't stand in a boot file")));
        }
    }
    Ok(start)
}

/// Whether systemd starts this user's units without a login.
fn lingers(context: &Context) -> bool {
    let user = context.env.get("USER").or_else(|| context.env.get("LOGNAME"));
    user.is_some_and(|user| !user.contains('/') && std::path::Path::new("/var/lib/systemd/linger").join(user).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the tests of both formats start from: every character that could mean something to a reader.
    pub(super) fn example() -> Start {
        Start {
            bay: "lab".parse().unwrap(),
            program: "/opt/pod bay/50%/podbay".into(),
            config: Some("/home/ann/a \"b\" $HOME & <c>.toml".into()),
            home: "/home/ann".into(),
            env: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("DOCKER_HOST".to_owned(), "unix:///x y%z".to_owned()),
            ],
            logs: "/home/ann/.local/state/podbay/lab/logs".into(),
            uid: 501,
        }
    }

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let words = ["systemctl", "--user", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(shown(&words), r"systemctl --user 'a b' 'it'\''s' ''");
    }
}
