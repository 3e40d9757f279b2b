//! The verbs of the command line, one file each.
//!
//! Owns arguments, tables, `--json` output, exit codes and the user's terminal while `attach` and `exec` have it. Asks
//! the API's client for everything and never names an engine; only `serve` starts a supervisor in this process.
//! Results go to stdout, notes to stderr, and all text from outside passes [`Safe`](crate::terminal::safe::Safe).
//! Called by `main`.

mod act;
mod api;
mod args;
mod attach;
mod boot;
mod completions;
mod config;
mod consent;
mod context;
mod count;
mod dashboard;
mod doctor;
mod down;
mod events;
mod exec;
pub mod exit;
mod human;
mod image;
mod init;
pub mod logging;
mod logs;
mod ls;
mod metrics;
mod network;
mod output;
mod pool;
mod ports;
mod refresh;
mod restart;
mod rm;
mod send;
mod serve;
mod service;
mod shim;
mod spawn;
mod start;
mod stats;
mod status;
mod stop;
mod supervisor;
mod table;
mod targets;
mod tty;
mod up;
mod why;

use std::ffi::OsString;
use std::pin::Pin;
use std::process::ExitCode;

pub use args::command;
use args::{Cli, Command};
use context::{Beside, Context};
use exit::{CliError, Exit};

/// Runs what the arguments ask for, and says what failed on stderr.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // What whoever started us has open is nobody else's: a supervisor, a shim or a service would hold a lock or a pipe of
    // a script for as long as it lives.
    close_fds::set_fds_cloexec(3, &[]);
    if let Some(code) = shim::run_if_asked(&arguments) {
        return code;
    }
    install_hooks();
    match args::parse(arguments) {
        Ok(cli) => exit::code(dispatch(cli)),
        Err(error) => {
            // Help for a closed pipe is help for nobody.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

/// Reports go through color-eyre, and only after the terminal is the user's again.
fn install_hooks() {
    let (panics, errors) = color_eyre::config::HookBuilder::default().into_hooks();
    // Both fail only when hooks are there already: those of a test that runs several verbs.
    let _ = errors.install();
    let report = panics.into_panic_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The emulator's own: it is caught, said in the pane, and nobody's terminal is concerned.
        if crate::terminal::panic_is_contained() {
            return;
        }
        tty::restore_after_panic();
        tracing::error!(%panic, "panicked");
        report(panic);
    }));
}

fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    let Cli { global, command } = cli;
    // What needs no configuration must work beside a broken one.
    if let Some(Command::Completions(args)) = &command {
        return completions::run(args);
    }
    let context = Context::load(&global, command.as_ref().map_or(Beside::Nothing, Command::beside_a_broken_file))?;
    let threads = match &command {
        None => Threads::None,
        Some(Command::Serve(_)) => Threads::Many,
        Some(_) => Threads::One,
    };
    one_heap();
    let runtime = runtime(threads)?;
    // Behind a pointer: the runtime's own code would be made for each kind of it, and all verbs with it.
    let verb: Pin<Box<dyn Future<Output = Result<Exit, CliError>>>> = Box::pin(verb(&context, command));
    let result = runtime.block_on(verb);
    // A thread that still reads the terminal must not hold the exit.
    runtime.shutdown_background();
    result
}

/// All threads share one heap: a supervisor's do little at the same time, and each heap keeps what its thread once needed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's own setting, before there is a second thread")]
fn one_heap() {
    // Where it can't be set, more memory is used.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn one_heap() {}

/// How many threads work beside the main one.
#[derive(Clone, Copy)]
enum Threads {
    /// A key passes through four tasks on its way, and its answer through as many: no thread has to be woken for them.
    None,
    One,
    Many,
}

fn runtime(threads: Threads) -> Result<tokio::runtime::Runtime, CliError> {
    let mut builder = match threads {
        Threads::None => tokio::runtime::Builder::new_current_thread(),
        // One worker beside the main thread: starting more costs a short verb more than it gains.
        Threads::One => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1);
            builder
        }
        Threads::Many => tokio::runtime::Builder::new_multi_thread(),
    };
    Ok(builder.enable_all().build()?)
}

async fn verb(context: &Context, command: Option<Command>) -> Result<Exit, CliError> {
    match command {
        None => dashboard::run(context).await,
        Some(Command::Up) => up::run(context).await,
        Some(Command::Down(args)) => down::run(context, &args).await,
        Some(Command::Serve(args)) => serve::run(context, &args).await,
        Some(Command::Spawn(args)) => spawn::run(context, *args).await,
        Some(Command::Ls(args)) => ls::run(context, &args).await,
        Some(Command::Count) => count::run(context).await,
        Some(Command::Status) => status::run(context).await,
        Some(Command::Why(args)) => why::run(context, &args).await,
        Some(Command::Network(args)) => network::run(context, args).await,
        Some(Command::Ports) => ports::run(context).await,
        Some(Command::Stats(args)) => stats::run(context, &args).await,
        Some(Command::Attach(args)) => attach::run(context, &args).await,
        Some(Command::Exec(args)) => exec::run(context, args).await,
        Some(Command::Send(args)) => send::run(context, args).await,
        Some(Command::Logs(args)) => logs::run(context, &args).await,
        Some(Command::Stop(args)) => stop::run(context, &args).await,
        Some(Command::Start(args)) => start::run(context, &args).await,
        Some(Command::Restart(args)) => restart::run(context, &args).await,
        Some(Command::Rm(args)) => rm::run(context, &args).await,
        Some(Command::Refresh(args)) => refresh::run(context, &args).await,
        Some(Command::Image(args)) => image::run(context, &args).await,
        Some(Command::Pool(args)) => pool::run(context, &args).await,
        Some(Command::Service(args)) => service::run(context, &args).await,
        Some(Command::Metrics(args)) => metrics::run(context, &args),
        Some(Command::Api(args)) => api::run(context, &args).await,
        Some(Command::Init(args)) => init::run(context, &args).await,
        Some(Command::Doctor) => doctor::run(context).await,
        Some(Command::Config(args)) => config::run(context, &args),
        Some(Command::Events(args)) => events::run(context, &args).await,
        Some(Command::Boot(args)) => boot::run(context, &args).await,
        Some(Command::Completions(args)) => completions::run(&args),
    }
}
