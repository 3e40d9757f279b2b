//! From the walls that are wanted to those that can be had: what is tried, and what is said where it is refused. Nothing
//! here goes below what the user named.

use std::path::Path;

use super::place::Record;
use super::plan::Plan;
use super::probe::{Facts, remedy};
use super::{LocalEngine, bare, endpoint, landlock, opener};
use crate::bay::container::NetworkSpec;
use crate::bay::isolation::Isolation;
use crate::engine::EngineError;
use crate::engine::docker::host_image::Layout;

/// How the words of a rung end that the user may name.
const BY_WORD: &str = "`podbay --isolation landlock` runs workers with the weaker walls of Landlock";
/// The last one; never offered, only named.
const BARE: &str = "`podbay --isolation none` runs workers as bare processes, with no walls at all";

impl LocalEngine {
    /// Has a container come and go, so that it is known now whether one can.
    ///
    /// # Errors
    /// [`EngineError::Away`] or [`EngineError::NoWalls`], with what would help.
    pub(super) async fn prove(&self) -> Result<(), EngineError> {
        let refused = match self.level {
            Isolation::Landlock => match landlock::version() {
                Ok(_) => self.first().await.err(),
                Err(why) => return Err(self.away(format!("{why}; {BARE}"))),
            },
            Isolation::None => self.first().await.err(),
            Isolation::Namespaces | Isolation::Container => self.by_namespaces().await.err(),
        };
        let Some(message) = refused else { return Ok(()) };
        let facts = Facts::of_machine(self.launch.own.0 == 0);
        let Some(remedy) = self.is_refusal(&message).then(|| remedy(&message, &facts)) else {
            return Err(self.away(message));
        };
        let why = remedy.map_or_else(|| message.clone(), |remedy| format!("{message}; {remedy}"));
        Err(match landlock::version() {
            Ok(_) if !self.asks => self.away(format!("{why}. Or else: {BY_WORD}")),
            Ok(_) => EngineError::NoWalls {
                endpoint: endpoint(self.level).to_owned(),
                why: self.instead_of(format!("{why}. Or else: {BY_WORD}")),
                weaker: Isolation::Landlock,
            },
            Err(none) => self.away(format!("{why}. Landlock can't stand in for them: {none}; {BARE}")),
        })
    }

    fn is_refusal(&self, message: &str) -> bool {
        self.level == Isolation::Namespaces && super::probe::is_refusal(message)
    }

    fn away(&self, why: String) -> EngineError {
        EngineError::Away { endpoint: endpoint(self.level).to_owned(), why: self.instead_of(why) }
    }

    fn instead_of(&self, why: String) -> String {
        match &self.instead {
            Some(others) => format!("{others}. Without one: {why}"),
            None => why,
        }
    }

    /// Makes a plan one of this level.
    ///
    /// # Errors
    /// What can't be had there, in words.
    pub(super) fn lower(&self, plan: &mut Plan, record: &Record, joined: Option<&Record>) -> Result<(), String> {
        let level = self.level;
        if !matches!(level, Isolation::Landlock | Isolation::None) {
            return Ok(());
        }
        let spec = &record.spec;
        if matches!(spec.network, NetworkSpec::Walled(_)) {
            let text = "leave [network] as it is by default, or have namespaces";
            return Err(format!("a network of its own can't be had with isolation {level}: {text}"));
        }
        let facts = bare::Facts {
            level,
            id: &record.id,
            mounts: &spec.mounts,
            layout: &Layout::of(Path::new("/")),
            alone: spec.network.is_alone() || joined.is_some_and(|joined| joined.spec.network.is_alone()),
            landlock: landlock::version().unwrap_or_default(),
            own: self.launch.own,
        };
        bare::without_namespaces(plan, &facts)
    }

    /// By an own user namespace, else by one that the system's bwrap opens. What the first of them said, if both fail.
    async fn by_namespaces(&self) -> Result<(), String> {
        let Err(own) = self.first().await else { return Ok(()) };
        if !super::probe::is_refusal(&own) {
            return Err(own);
        }
        let Some(bwrap) = opener::find() else { return Err(own) };
        self.set_opener(Some(bwrap));
        let Err(by_bwrap) = self.first().await else { return Ok(()) };
        self.set_opener(None);
        let last = by_bwrap.rsplit(": ").next().unwrap_or(&by_bwrap);
        Err(format!("{own} (and by bwrap: {last})"))
    }
}
