//! The pool's rules: how many warm workers are made and let go, which request fits one, and how claims are counted.

use std::collections::VecDeque;
use std::time::Duration;

use super::container::ImageRef;
use super::gate;
use super::metric::Histogram;
use super::template::{Overrides, PoolSpec, Template, WarmMode, WorkspaceMode};

/// More warm workers than this are a slip of the finger.
pub const MOST_WARM: u32 = 1000;
/// Claims are counted over so long for a miss's reason.
const RECENT: Duration = Duration::from_mins(1);
/// Claims whose time is kept.
const SAMPLES: usize = 512;

/// How many warm workers there are, by where they are. Claimed ones are nobody's of the pool any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Ready to be claimed.
    pub warm: u32,
    /// They run, and have not shown yet that they wait.
    pub probing: u32,
    /// Being made.
    pub creating: u32,
    /// Of no use any more (another definition, another image, no network, frozen), and still there.
    pub stale: u32,
    /// Being removed.
    pub draining: u32,
}

impl Census {
    /// All that exist or are about to.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.warm + self.probing + self.creating + self.stale + self.draining
    }

    /// Those on their way to be warm.
    #[must_use]
    pub const fn coming(&self) -> u32 {
        self.probing + self.creating
    }
}

/// How much may be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nothing: the engine, the parent or a backoff says so.
    Nothing,
    /// One, to see whether it works again.
    One,
    /// Only what is urgent: people's own workers are being made.
    Urgent,
    /// All that is missing.
    All,
}

/// What is to be done about a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// So many are made.
    pub make: u32,
    /// So many that are warm are let go.
    pub let_go: u32,
    /// One that is stale is let go: one at a time, so that its successor is there before the next goes.
    pub replace: bool,
}

/// What a pool of this size needs. Never more than `target` in all, never more than `max_creating` on their way.
#[must_use]
pub fn orders(spec: &PoolSpec, census: Census, leave: Leave) -> Orders {
    let room = spec.target.saturating_sub(census.total());
    let hands = spec.max_creating.saturating_sub(census.coming());
    let urgent = spec.min.saturating_sub(census.warm + census.coming());
    let make = match leave {
        Leave::Nothing => 0,
        Leave::One => u32::from(census.coming() == 0),
        Leave::Urgent => urgent,
        Leave::All => u32::MAX,
    };
    let surplus = (census.total() - census.draining).saturating_sub(spec.target);
    Orders {
        make: make.min(room).min(hands),
        let_go: surplus.saturating_sub(census.stale).min(census.warm),
        replace: census.stale > 0 && census.draining == 0 && census.coming() == 0,
    }
}

/// Why a request is not given a warm worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// None is warm, and claims came faster than the pool fills.
    #[error("pool empty: {} in {} s", counted(*claims), .span.as_secs().max(1))]
    Empty {
        /// Claims of late, this one included.
        claims: usize,
        /// Since the first of them.
        span: Duration,
    },
    /// None is warm, for this reason.
    #[error("pool empty: {0}")]
    Because(String),
    /// A directory is asked for, and warm workers were made without one.
    #[error("template names no project")]
    NoProject,
    /// Another directory or repository than the template's.
    #[error("template names another project")]
    OtherProject,
    /// A repository's volumes are mounts, and those are fixed when a worker is made.
    #[error("its repository has volumes of its own, which are mounted when a worker is made")]
    Volumes,
    /// It asks for something that is fixed when a worker is made.
    #[error("it asks for another {0} than the template's")]
    Differs(&'static str),
    /// It asks for something that a program which runs already can't be given.
    #[error("it asks for {0}, and the warm worker's program runs already")]
    Runs(&'static str),
    /// A variable that the gate can't hand on.
    #[error("{0}")]
    Variable(String),
    /// A warm one was tried.
    #[error("the warm worker could not be claimed: {0}")]
    Failed(String),
}

fn counted(count: usize) -> String {
    if count == 1 { "1 claim".to_owned() } else { format!("{count} claims") }
}

/// Whether what is asked for can be had from a worker that was made by the template alone.
///
/// # Errors
/// The first thing that does not fit.
pub fn fits(template: &Template, asked: &Overrides) -> Result<(), Miss> {
    let made = asked.over(template);
    if has_own_workspace(template) {
        // An empty directory of its own: a clone can still be put into it, another directory can't be bound.
        if made.workspace == WorkspaceMode::Bind && !made.project.is_empty() {
            return Err(Miss::NoProject);
        }
    } else if made.workspace != template.workspace || !same_path(&made.project, &template.project) {
        return Err(Miss::OtherProject);
    }
    if made.workspace == WorkspaceMode::Clone && !made.volumes.is_empty() {
        return Err(Miss::Volumes);
    }
    let fixed = [
        (made.image != template.image, "image"),
        (made.limits != template.limits, "limit"),
        (made.network != template.network, "network"),
        (made.ports != template.ports, "port"),
        // Decided when a container is made, with its repository.
        (asked.rebuild || (made.workspace == WorkspaceMode::Clone && !template.setup.is_empty()), "setup"),
        (made.named_volume.is_some(), "volume"),
    ];
    if let Some((_, what)) = fixed.into_iter().find(|(differs, _)| *differs) {
        return Err(Miss::Differs(what));
    }
    if template.warm == WarmMode::Running {
        let open = [
            (made.env != template.env, "more environment"),
            (made.command != template.command, "another command"),
            (made.project != template.project, "a repository"),
        ];
        return open.into_iter().find(|(differs, _)| *differs).map_or(Ok(()), |(_, what)| Err(Miss::Runs(what)));
    }
    let refused = asked.env.iter().find_map(|(key, value)| gate::refuses(key, value));
    refused.map_or(Ok(()), |why| Err(Miss::Variable(why)))
}

fn same_path(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// Whether warm workers of this template have an empty workspace of their own.
#[must_use]
pub fn has_own_workspace(template: &Template) -> bool {
    template.workspace == WorkspaceMode::Clone || template.project.is_empty()
}

/// The template as its warm workers are made: a clone is put into its workspace by the claim.
#[must_use]
pub fn warm_template(template: &Template) -> Template {
    let mut made = template.clone();
    if made.workspace == WorkspaceMode::Clone {
        made.workspace = WorkspaceMode::Bind;
        made.project = String::new();
    }
    if made.warm == WarmMode::Gate {
        // Its probe asks for the program, which is not there yet.
        made.health.test = Vec::new();
    }
    made
}

/// Why a pool of this template can't be; `None`: it can.
#[must_use]
pub fn unpoolable(template: &Template) -> Option<&'static str> {
    match (&template.image, template.warm) {
        (ImageRef::Host, WarmMode::Gate) if template.command.is_empty() => Some("the template names no command"),
        (_, WarmMode::Running) if template.workspace == WorkspaceMode::Clone => {
            Some("warm = \"running\" starts the agent before there is a clone to work on; use warm = \"gate\"")
        }
        _ if template.workspace == WorkspaceMode::Clone && !template.volumes.is_empty() => {
            Some("volumes of a repository are mounted when a worker is made, before it has one")
        }
        _ => None,
    }
}

/// Claims of one pool, counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Claims that found a warm worker.
    pub hits: u64,
    /// Claims that did not.
    pub misses: u64,
    /// From claim to first output, all of them.
    pub took: Histogram,
    /// Microseconds from claim to first output, the newest last.
    samples: VecDeque<u64>,
    /// When claims came of late.
    recent: VecDeque<Duration>,
}

impl Tally {
    /// A claim came.
    pub fn asked(&mut self, now: Duration) {
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) > RECENT) {
            self.recent.pop_front();
        }
        if self.recent.len() > SAMPLES {
            self.recent.pop_front();
        }
    }

    /// That none is warm, told by the claims of late.
    #[must_use]
    pub fn empty(&self, now: Duration) -> Miss {
        let first = self.recent.front().copied().unwrap_or(now);
        Miss::Empty { claims: self.recent.len(), span: now.saturating_sub(first) }
    }

    /// The first output of a claimed worker came so long after the claim.
    pub fn first_output(&mut self, took: Duration) {
        self.took.observe(took);
        self.samples.push_back(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }

    /// Milliseconds below which this part of the claims lies; `None` before the first.
    #[must_use]
    pub fn percentile(&self, part: u32) -> Option<f64> {
        let mut sorted: Vec<u64> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let at = (sorted.len() * part as usize).div_ceil(100).saturating_sub(1).min(last);
        let micros = u32::try_from(*sorted.get(at)?).unwrap_or(u32::MAX);
        Some(f64::from(micros) / 1000.0)
    }
}
