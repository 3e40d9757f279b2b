//! The arguments. Every long flag also reads `PODBAY_<FLAG>`; that rule is applied to the whole command at once, so that
//! no flag can be forgotten.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::bay::container::ImageRef;
use crate::bay::isolation::Isolation;
use crate::bay::name::Name;
use crate::bay::size::ByteSize;
use crate::bay::template::NetworkMode;
use crate::terminal::safe::Safe;

use super::{
    api::ApiArgs, attach::AttachArgs, boot::BootArgs, completions::CompletionsArgs, config::ConfigArgs,
    context::Beside, events::EventsArgs, exec::ExecArgs, image::ImageArgs, init::InitArgs, logs::LogsArgs,
    metrics::MetricsArgs, network::NetworkArgs, pool::PoolArgs, send::SendArgs, serve::ServeArgs, service::ServiceArgs,
};

/// Dashboard and supervisor of a bay of worker containers. Without a verb: the dashboard.
#[derive(Debug, Parser)]
#[command(name = "podbay", version, arg_required_else_help = false, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER_HELP: &str =
    "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no supervisor, 4 no engine, 5 no such name.
Every --flag also reads PODBAY_<FLAG>. Names are matched by unique prefix, id or glob.";

/// What every verb takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The bay, instead of the configuration's
    #[arg(long, global = true, value_name = "NAME")]
    pub bay: Option<Name>,
    /// How far containers without a daemon are kept apart: namespaces, landlock or none; kept for the bay
    #[arg(long, global = true, value_name = "LEVEL", value_parser = isolation_parser())]
    pub isolation: Option<Isolation>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the bay to its configuration
    Up,
    /// Stop services, parent and supervisor; running workers are kept
    Down(DownArgs),
    /// Run the supervisor in the foreground
    Serve(ServeArgs),
    /// Make a worker, and attach to it
    Spawn(Box<SpawnArgs>),
    /// List parent, workers and services
    Ls(LsArgs),
    /// Print the number of running workers
    Count,
    /// Show the bay: engine, parent, workers, pool, services, disk
    Status,
    /// Tell why something is not running
    Why(NameArgs),
    /// List ports: what leads where, and who listens, inside the bay too
    Ports,
    /// Show the way out of the bay, and answer what was refused
    Network(NetworkArgs),
    /// Show CPU, memory and more of what runs
    Stats(StatsArgs),
    /// Attach this terminal to a worker; Ctrl-q leaves
    Attach(AttachArgs),
    /// Run a command in a worker
    Exec(ExecArgs),
    /// Type a text into a worker's terminal
    Send(SendArgs),
    /// Show what a worker printed
    Logs(LogsArgs),
    /// Stop workers
    Stop(TargetArgs),
    /// Start stopped workers
    Start(TargetArgs),
    /// Restart workers; `restart parent` repairs all that were cut off
    Restart(TargetArgs),
    /// Remove workers
    Rm(RmArgs),
    /// Make workers anew, workspace and agent home kept
    Refresh(TargetArgs),
    /// Show and size the pools of warm workers
    Pool(PoolArgs),
    /// Make, list and remove prebuilt images of repositories
    Image(ImageArgs),
    /// List, start, stop and restart services, show what they print
    Service(ServiceArgs),
    /// Print examples for Prometheus and Grafana
    Metrics(MetricsArgs),
    /// Manage the API's token
    Api(ApiArgs),
    /// Make the bay's directories, and a configuration when there is none
    Init(InitArgs),
    /// Look for what would stop a worker
    Doctor,
    /// Check or show the configuration
    Config(ConfigArgs),
    /// Show what happened in the bay
    Events(EventsArgs),
    /// Start the supervisor with the machine
    Boot(BootArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// What it can do whatever the file says now: to who only asks the supervisor, what that knows is enough.
    pub const fn beside_a_broken_file(&self) -> Beside {
        let asks = matches!(
            self,
            Self::Up
                | Self::Down(_)
                | Self::Ls(_)
                | Self::Count
                | Self::Status
                | Self::Why(_)
                | Self::Ports
                | Self::Stats(_)
                | Self::Attach(_)
                | Self::Exec(_)
                | Self::Send(_)
                | Self::Logs(_)
                | Self::Events(_)
                | Self::Stop(_)
                | Self::Start(_)
                | Self::Restart(_)
                | Self::Rm(_)
                | Self::Pool(_)
                | Self::Service(_)
        );
        match self {
            Self::Doctor => Beside::AllThatCanBe,
            _ if asks => Beside::WhatIsAsked,
            _ => Beside::Nothing,
        }
    }
}

/// One name.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// A name, a unique prefix, an id, or `parent`
    pub name: String,
}

/// Names, or all workers.
#[derive(Debug, Default, Args)]
pub struct TargetArgs {
    /// Names, unique prefixes, ids or globs; `parent` is the parent
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<String>,
    /// All workers
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Remove running workers, too
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct DownArgs {
    /// Stop the workers, too
    #[arg(long)]
    pub workers: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct LsArgs {
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Repeat every two seconds
    #[arg(short, long)]
    pub watch: bool,
}

#[derive(Debug, Default, Args)]
#[command(group(clap::ArgGroup::new("cloned").args(["repo", "template"]).multiple(true)))]
pub struct SpawnArgs {
    /// The worker's name; without one, podbay finds one
    pub name: Option<String>,
    /// How it is made
    #[arg(short, long)]
    pub template: Option<Name>,
    /// The directory that stands at /workspace
    #[arg(short, long, value_name = "DIR", conflicts_with = "repo")]
    pub project: Option<String>,
    /// The repository that is cloned to /workspace
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
    /// A branch of it, or a new one
    #[arg(long, requires = "cloned")]
    pub branch: Option<String>,
    /// Do not attach
    #[arg(short, long)]
    pub detach: bool,
    /// Another image
    #[arg(long, value_parser = image)]
    pub image: Option<ImageRef>,
    /// Another memory limit, like 8g
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Another CPU limit, like 1.5
    #[arg(long, value_name = "N", value_parser = cpus)]
    pub cpus: Option<f64>,
    /// Another limit of processes
    #[arg(long, value_name = "N")]
    pub pids: Option<u32>,
    /// Environment; without =VALUE it is taken from yours
    #[arg(long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Another network
    #[arg(long, value_name = "MODE", value_parser = network_parser())]
    pub network: Option<NetworkMode>,
    /// A port of the container to publish (bridge only)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Vec<u16>,
    /// Remove it when it ends
    #[arg(long)]
    pub rm: bool,
    /// Another command
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

fn image(text: &str) -> Result<ImageRef, String> {
    if text.is_empty() { Err("an image has a name".to_owned()) } else { Ok(ImageRef::from(text.to_owned())) }
}

fn cpus(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(count) if count.is_finite() && count >= 0.0 => Ok(count),
        _ => Err("write a number of CPUs, like 2 or 0.5".to_owned()),
    }
}

fn isolation_parser() -> impl clap::builder::TypedValueParser<Value = Isolation> {
    PossibleValuesParser::new(Isolation::ALL.map(Isolation::as_str))
        .map(|word| Isolation::of_word(&word).unwrap_or(Isolation::Container))
}

fn network_parser() -> impl clap::builder::TypedValueParser<Value = NetworkMode> {
    PossibleValuesParser::new(["shared", "bridge", "none"]).map(|word| match word.as_str() {
        "bridge" => NetworkMode::Bridge,
        "none" => NetworkMode::None,
        _ => NetworkMode::Shared,
    })
}

/// The whole command, every flag with its variable.
pub fn command() -> clap::Command {
    with_env(Cli::command())
}

fn with_env(command: clap::Command) -> clap::Command {
    command.mut_args(variable).mut_subcommands(with_env)
}

fn variable(arg: Arg) -> Arg {
    let Some(long) = arg.get_long() else { return arg };
    let key = format!("PODBAY_{}", long.replace('-', "_").to_ascii_uppercase());
    // An empty variable counts as unset, as everywhere.
    if std::env::var_os(&key).is_some_and(|value| value.is_empty()) {
        return arg;
    }
    // The values are not shown by --help: one may be a secret.
    match arg.get_action() {
        ArgAction::SetTrue => arg.env(key).hide_env_values(true).value_parser(FalseyValueParser::new()),
        ArgAction::Set | ArgAction::Append => arg.env(key).hide_env_values(true),
        _ => arg,
    }
}

/// Reads the arguments.
///
/// # Errors
/// clap's, help and version included.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = command();
    let matches = command.try_get_matches_from_mut(&arguments);
    let matches = matches.map_err(|error| harmless(with_own_usage(error, &mut command, &arguments)))?;
    Cli::from_arg_matches(&matches).map_err(|error| harmless(error.format(&mut command)))
}

/// What was typed, or stands in a variable, is told with an error: made harmless first.
fn harmless(mut error: clap::Error) -> clap::Error {
    let said: Vec<(ContextKind, ContextValue)> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    let safe = |text: &String| Safe::new(text).into_string();
    for (kind, value) in said {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(safe(&text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(safe).collect()),
            _ => continue,
        };
        error.insert(kind, value);
    }
    error
}

/// The usage of an error shows what was typed as required, and takes what the environment says for typed, too: the plain
/// one says what can be typed.
fn with_own_usage(mut error: clap::Error, command: &mut clap::Command, arguments: &[OsString]) -> clap::Error {
    if error.get(ContextKind::Usage).is_some() {
        command.build();
        let words: Vec<&str> = arguments.iter().skip(1).filter_map(|word| word.to_str()).collect();
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage_of(command, &words)));
    }
    error
}

fn usage_of(command: &mut clap::Command, words: &[&str]) -> clap::builder::StyledStr {
    for (at, word) in words.iter().enumerate() {
        if let Some(verb) = command.find_subcommand_mut(word) {
            return usage_of(verb, words.get(at + 1..).unwrap_or_default());
        }
    }
    command.render_usage()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Cli, clap::Error> {
        parse(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
                let key = format!("PODBAY_{}", long.replace('-', "_").to_uppercase());
                let env = arg.get_env().map(|env| env.to_string_lossy().into_owned());
                assert_eq!(env, Some(key), "{} --{long}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }

    #[test]
    fn a_usage_error_says_what_can_be_typed() {
        for (words, usage) in [
            ("podbay --bay den logs", "Usage: podbay logs [OPTIONS] <NAME>"),
            ("podbay --bay den service start", "Usage: podbay service start [OPTIONS] <NAME>..."),
            ("podbay --bay den --no-such", "Usage: podbay [OPTIONS] [COMMAND]"),
        ] {
            let Err(error) = parsed(words) else { panic!("{words} is right") };
            let said = error.to_string();
            assert!(said.lines().any(|line| line == usage), "{words}: {said}");
        }
    }

    #[test]
    fn what_follows_two_dashes_is_the_command() {
        let Ok(Some(Command::Spawn(spawn))) = parsed("podbay spawn -- sleep -x 5").map(|cli| cli.command) else {
            panic!("not spawn")
        };
        assert_eq!((spawn.name.as_deref(), spawn.command.join(" ").as_str()), (None, "sleep -x 5"));
        for words in ["podbay exec -T fox -- ls -la --", "podbay exec -T fox ls -la --"] {
            let Ok(Some(Command::Exec(exec))) = parsed(words).map(|cli| cli.command) else { panic!("not exec") };
            assert_eq!((exec.no_tty, exec.name.as_str(), exec.command.join(" ").as_str()), (true, "fox", "ls -la --"));
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        for words in [
            "podbay stop fox --all",
            "podbay stop",
            "podbay rm -f",
            "podbay spawn -p x --repo y",
            "podbay spawn --branch b",
            "podbay spawn --network host",
            "podbay spawn --cpus -1",
            "podbay spawn --cpus nan",
            "podbay spawn --port 0",
            "podbay spawn --pids -1",
            "podbay spawn --image=",
            "podbay --bay a/b ls",
            "podbay logs fox -n -1",
            "podbay init --status --clean",
            "podbay attach",
            "podbay completions tcsh",
        ] {
            assert_eq!(parsed(words).map_err(|error| error.exit_code()).err(), Some(2), "{words}");
        }
        assert!(parsed("podbay").is_ok_and(|cli| cli.command.is_none()));
    }
}
