//! What is wanted of one container until it is so, and the steps that lead there.
//!
//! Goals are level-triggered and kept on disk: after a crash the next supervisor reads the goal, looks at the engine and
//! goes on from whatever it finds. No goal remembers which steps were done.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::types::ErrorDetail;
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::bay::owner::Nonce;
use crate::bay::session::TermSize;
use crate::bay::template::{Overrides, Template};

/// A container's key in the machine: its name inside the bay. The parent is `parent`.
pub const PARENT: &str = "parent";

/// What a container is made from. Enough to make the same one again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Make {
    /// Chosen before anything is made: it finds the container again when the answer to the create call is lost.
    pub nonce: Nonce,
    /// What kind of container.
    pub what: What,
}

/// What kind of container is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The parent, by the configuration.
    Parent,
    /// A service, by the configuration.
    Service {
        /// Its name there.
        service: Name,
    },
    /// A worker.
    Worker {
        /// The template's name.
        template: Name,
        /// What the user asked for beyond it.
        overrides: Box<Overrides>,
        /// The size of the terminal that looks at it first.
        size: Option<TermSize>,
    },
    /// A worker for the pool.
    Warm {
        /// The template's name.
        template: Name,
    },
}

/// What is wanted of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoalKind {
    /// It exists and runs; made if it does not exist.
    Made(Make),
    /// A warm worker of the pool has become the one that is made from `make`.
    Claimed {
        /// What was asked for; made from it in the old way if the warm one fails.
        make: Make,
        /// The warm one.
        warm: ContainerId,
        /// The name that the warm one was made under.
        made_as: Name,
    },
    /// The gate of the one that exists has let its command in.
    Opened,
    /// A claimed one has its claimer's name in the engine, too.
    Named,
    /// The one that exists runs.
    Running,
    /// The one that exists has run anew since `before`, its last known start.
    Restarted {
        /// Start of the run that is to end; `None`: it did not run.
        before: Option<Timestamp>,
    },
    /// One made from `make` runs in place of `old`.
    Recreated {
        /// What the new one is made from.
        make: Make,
        /// The old one. It is kept under another name until the new one runs.
        old: ContainerId,
        /// The new one is started only if the old one ran.
        start: bool,
    },
    /// The new one could not be made: `old` gets its name back.
    Restored {
        /// The old one.
        old: ContainerId,
        /// The nonce of the failed one, to be removed.
        failed: Nonce,
        /// It ran before.
        start: bool,
    },
    /// A retired one, whose successor is there, does not exist any more.
    Cleared {
        /// The retired one.
        old: ContainerId,
    },
    /// It does not run.
    Stopped,
    /// It does not exist.
    Gone,
}

/// A goal with what has been tried for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What is wanted.
    pub kind: GoalKind,
    /// Failed tries in a row.
    #[serde(default)]
    pub attempts: u32,
    /// The last failure.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Not before this time, by the supervisor's monotonic clock: not kept, a new supervisor tries at once.
    #[serde(skip)]
    pub not_before: Option<std::time::Duration>,
    /// The last step that worked: the same one again would have no effect either.
    #[serde(skip)]
    pub last: Option<Step>,
    /// Said beside the answer.
    #[serde(default)]
    pub notes: Vec<String>,
    /// This goal only cleans up: what it follows from failed so.
    #[serde(default)]
    pub failure: Option<ErrorDetail>,
}

impl GoalKind {
    /// The nonce of the container that is made for it.
    #[must_use]
    pub const fn nonce(&self) -> Option<&Nonce> {
        match self {
            Self::Made(make) | Self::Recreated { make, .. } | Self::Claimed { make, .. } => Some(&make.nonce),
            Self::Restored { failed, .. } => Some(failed),
            _ => None,
        }
    }

    /// The template of the warm worker that is made for it.
    #[must_use]
    pub const fn warm_template(&self) -> Option<&Name> {
        match self {
            Self::Made(Make { what: What::Warm { template }, .. }) => Some(template),
            _ => None,
        }
    }
}

impl Goal {
    /// A goal that nothing has been tried for.
    #[must_use]
    pub const fn new(kind: GoalKind) -> Self {
        Self { kind, attempts: 0, last_error: None, not_before: None, last: None, notes: Vec::new(), failure: None }
    }

    /// What is under way, for people.
    #[must_use]
    pub const fn working(&self) -> &'static str {
        match self.kind {
            GoalKind::Made(_) => "being made",
            GoalKind::Claimed { .. } => "being claimed",
            GoalKind::Opened => "being let in",
            GoalKind::Named => "getting its name in the engine",
            GoalKind::Running => "starting",
            GoalKind::Restarted { .. } => "restarting",
            GoalKind::Recreated { .. } => "being made anew",
            GoalKind::Restored { .. } => "getting its old container back",
            GoalKind::Cleared { .. } => "having its old container removed",
            GoalKind::Stopped => "stopping",
            GoalKind::Gone => "being removed",
        }
    }
}

/// One call, or a few that belong together, to the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Prepare directories and image, then create.
    Create(Make, CreateNetwork),
    /// Start it; a tty is attached first, so no byte is missed.
    Start(ContainerId),
    /// Stop it, with grace.
    Stop(ContainerId),
    /// Stop it, with grace, and start it again.
    Restart(ContainerId),
    /// Remove it.
    Remove(ContainerId),
    /// Give it another name in the engine.
    Rename(ContainerId, String),
    /// Let the command of a claim in.
    Open(ContainerId, Box<Opening>),
}

/// What opens a gate.
#[derive(Clone, PartialEq)]
pub struct Opening {
    /// The name that the worker was made under.
    pub made_as: Name,
    /// The run whose gate it is.
    pub run: Timestamp,
    /// Whose claim it is; `None`: a later run of one that was claimed.
    pub nonce: Option<Nonce>,
    /// What the gate does with the claim; `None`: the program runs already, there is no gate.
    pub claim: Option<String>,
    /// The template with what was asked for laid over it: whose the files are, and what is put into the workspace.
    pub made: Box<Template>,
    /// The branch of it.
    pub branch: Option<String>,
    /// The size of the terminal that will look at it.
    pub size: Option<TermSize>,
    /// Nobody looks at its terminal: whether its command is there is told with the answer.
    pub unseen: bool,
    /// The parent that it lives with, and that parent's run: another one means that its network is gone. With the pid on
    /// the engine's machine, or 0.
    pub parent: Option<(ContainerId, Timestamp, u32)>,
}

impl std::fmt::Debug for Opening {
    /// Without the claim: secrets are in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("run", &self.run).finish_non_exhaustive()
    }
}

/// The part of the network that only the machine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateNetwork {
    /// Join the parent.
    Join(ContainerId),
    /// As the template says, which is not `shared`.
    Own,
}

impl Step {
    /// The container that it is about; `None`: one that is to be made.
    #[must_use]
    pub const fn id(&self) -> Option<&ContainerId> {
        match self {
            Self::Create(..) => None,
            Self::Start(id)
            | Self::Stop(id)
            | Self::Restart(id)
            | Self::Remove(id)
            | Self::Rename(id, _)
            | Self::Open(id, _) => Some(id),
        }
    }

    /// What is tried, for errors.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Create(..) => "creating it",
            Self::Start(_) => "starting it",
            Self::Stop(_) => "stopping it",
            Self::Restart(_) => "restarting it",
            Self::Remove(_) => "removing it",
            Self::Rename(..) => "renaming it",
            Self::Open(..) => "claiming it",
        }
    }
}
