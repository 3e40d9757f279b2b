//! The dashboard: the Elm architecture over one supervisor.
//!
//! [`run`] is called by the CLI. `update(&mut Model, Msg, now) -> Vec<Effect>` and `view(&Model, &mut Frame)` are pure;
//! [`executor`] does the effects with the API's client and sends what comes of them back as messages; [`run_with`] turns
//! the sources into messages and draws when something changed. A client like any other: it must not know the engine or
//! the supervisor. Only [`tty`] touches the user's terminal, and only cells, titles and copies made harmless reach it.

pub mod action;
pub mod backend;
pub mod effect;
pub mod executor;
mod input;
pub mod keymap;
pub mod layout;
mod leaving;
mod looping;
pub mod memory;
pub mod model;
pub mod msg;
pub mod notify;
pub mod painter;
pub mod symbols;
pub mod theme;
pub mod tty;
pub mod update;
pub mod view;
pub mod widget;

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::api::client::Client;
use crate::config::env::Env;
use crate::config::paths::Paths;
use crate::config::{Config, Notify};
use executor::{Executor, Notifier};
use keymap::{Keymap, KeymapError};
pub use looping::{Execute, LoopError, run_with};
use memory::MemoryFile;
use model::{Model, Settings};
use msg::Msg;
use notify::Way;
use symbols::Symbols;
use theme::{Depth, Theme, ThemeError};
use tty::{Copier, Tty, TtyError};

/// Messages that wait to be taken in. When it is full, streams wait; the supervisor then sends screens anew
/// instead of every byte.
const MESSAGES: usize = 256;

/// Why the dashboard can't begin. The CLI makes exit code 2 of it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no terminal to draw on.
    #[error(transparent)]
    Tty(#[from] TtyError),
    /// `[ui.keys]` can't be used.
    #[error("{}{source}", place(file.as_deref()))]
    Keys {
        /// What is wrong.
        source: Box<KeymapError>,
        /// The configuration.
        file: Option<std::path::PathBuf>,
    },
    /// `[ui] theme` can't be used.
    #[error("{}[ui] theme: {source}", place(file.as_deref()))]
    Theme {
        /// What is wrong.
        source: Box<ThemeError>,
        /// The configuration.
        file: Option<std::path::PathBuf>,
    },
}

fn place(file: Option<&std::path::Path>) -> String {
    file.map(|file| format!("{}: ", file.display())).unwrap_or_default()
}

/// The looks and keys that a configuration asks for.
///
/// # Errors
/// [`StartError`] names the file, the key and what would be right.
pub fn settings(config: &Config, env: &Env) -> Result<Settings, StartError> {
    let colourless = env.get("NO_COLOR").is_some();
    let themes = Paths::of(&config.bay, env).config.join("themes");
    let file = || config.source.clone();
    let theme = Theme::load(&config.ui.theme, &themes, colourless).map(|theme| theme.at(Depth::of(env)));
    let choices = Theme::all(&themes, colourless).into_iter().map(|(name, theme)| (name, theme.at(Depth::of(env))));
    Ok(Settings {
        bay: config.bay.as_str().to_owned(),
        theme: theme.map_err(|source| StartError::Theme { source: Box::new(source), file: file() })?,
        themes: choices.collect(),
        symbols: Symbols::new(config.ui.ascii),
        keymap: Keymap::new(&config.ui.keys)
            .map_err(|source| StartError::Keys { source: Box::new(source), file: file() })?,
        warning: None,
        remembered: MemoryFile::of(&Paths::of(&config.bay, env).state).read(),
    })
}

/// Whether the supervisor still answers is not waited for any longer.
const LAST_LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// Shows the bay until the user quits or the terminal goes away.
///
/// # Errors
/// [`StartError`] (downcast it for exit code 2) before anything is drawn; later only what the terminal refuses.
pub async fn run(client: Client, config: &Config) -> color_eyre::Result<()> {
    let env = Env::of_process();
    let mut settings = settings(config, &env)?;
    settings.warning = leaving::warning(&settings.keymap, &env).await;
    let home = env.home.clone();
    let notifier = Notifier::new(Way::of(config.ui.notify, &env), command(config));
    let memory = MemoryFile::of(&Paths::of(&config.bay, &env).state);
    let last = client.clone();
    let shown = show(settings, config.ui.mouse, &env, |messages, copier| {
        Executor::new(client, messages, copier, home).calling(notifier).remembering(memory)
    });
    Box::pin(shown).await?;
    let bay = &config.bay;
    let goes_on = matches!(tokio::time::timeout(LAST_LOOK, last.health()).await, Ok(Ok(())));
    tty::say(&if goes_on {
        format!("the supervisor of bay {bay} goes on; `podbay` opens this again, `podbay down` ends it\n")
    } else {
        format!("no supervisor of bay {bay} answers; `podbay` starts one\n")
    });
    Ok(())
}

/// The program that calls the user, where there is one.
fn command(config: &Config) -> Vec<String> {
    if config.ui.notify == Notify::Command { config.ui.notify_command.clone() } else { Vec::new() }
}

/// Takes the terminal, runs the loop with the executor that `make` gives, and gives the terminal back, also after a
/// panic, which goes on then.
///
/// # Errors
/// As [`run`].
pub async fn show<X: Execute>(
    settings: Settings,
    mouse: bool,
    env: &Env,
    make: impl FnOnce(mpsc::Sender<Msg>, Copier) -> X,
) -> color_eyre::Result<()> {
    tty::check(env).map_err(StartError::Tty)?;
    let (sender, messages) = mpsc::channel(MESSAGES);
    let mut tty = Tty::enter(mouse)?;
    let signals = tty::watch_signals(sender.clone())?;
    let mut terminal = tty.terminal()?;
    let mut executor = make(sender, tty.copier(env));
    let model = Model::new(settings, Timestamp::now());
    let events = input::Input::open()?;
    let ended = AssertUnwindSafe(async {
        tokio::select! {
            ended = run_with(&mut terminal, events, messages, &mut executor, model) => ended,
            () = tty::hung_up() => Ok(()),
        }
    });
    let ended = ended.catch_unwind().await;
    signals.abort();
    // What it has not written yet belongs to the screen that is left.
    drop(terminal);
    tty.leave();
    match ended {
        Ok(result) => Ok(result?),
        // The report waited until the terminal was the user's own again.
        Err(panic) => {
            tty::report_panic();
            resume_unwind(panic)
        }
    }
}
