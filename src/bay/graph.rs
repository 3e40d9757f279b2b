//! What waits for what: one graph over native services, container services and templates.
//!
//! A template is only ever a beginning: its workers wait for services, nothing waits for a template. A graph that exists
//! has no cycle and no unknown name. How a service runs makes no difference here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::Name;

/// What is waited for in a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Its process is there, or it has ended with success already.
    Started,
    /// Its readiness probe has passed; without a probe, as soon as it is started.
    Ready,
    /// It has ended with success.
    Exited,
}

impl Condition {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Exited => "exited",
        }
    }

    /// What is waited for, after "waits for NAME".
    const fn sentence(self) -> &'static str {
        match self {
            Self::Started => "to start",
            Self::Ready => "to be ready",
            Self::Exited => "to end with success",
        }
    }
}

/// Something with dependencies of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A service.
    Service(Name),
    /// The workers of a template.
    Template(Name),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service {:?}", name.as_str()),
            Self::Template(name) => write!(f, "template {:?}", name.as_str()),
        }
    }
}

/// How far a service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is wanted, and has no process yet: it may itself wait for something.
    Waiting,
    /// Its process is there.
    Started,
    /// Its process is there, and ready.
    Ready,
    /// It has ended with success and is not started again.
    Done,
    /// It has ended, and is started again after a while.
    Restarting,
    /// Somebody stopped it.
    Stopped,
    /// It is not tried again until somebody starts it.
    Failed,
}

/// How a condition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not yet.
    NotYet,
    /// It will not, unless somebody does something.
    NeverByItself,
}

impl Progress {
    /// Whether `condition` holds of a service that has come this far.
    #[must_use]
    pub const fn verdict(self, condition: Condition) -> Verdict {
        match (self, condition) {
            (Self::Ready, Condition::Started | Condition::Ready)
            | (Self::Started, Condition::Started)
            | (Self::Done, Condition::Started | Condition::Exited) => Verdict::Met,
            (Self::Waiting | Self::Restarting, _)
            | (Self::Started, Condition::Ready | Condition::Exited)
            | (Self::Ready, Condition::Exited) => Verdict::NotYet,
            // Ready is said of what runs; what has ended is ready no more.
            (Self::Done, Condition::Ready) | (Self::Stopped | Self::Failed, _) => Verdict::NeverByItself,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Waiting => "which has not been started yet",
            Self::Started => "which runs",
            Self::Ready => "which is ready",
            Self::Done => "which has ended",
            Self::Restarting => "which ended and is started again",
            Self::Stopped => "which was stopped",
            Self::Failed => "which failed",
        }
    }
}

/// A condition that does not hold: `chroma to be ready, which runs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The service that is waited for.
    pub on: Name,
    /// Until when.
    pub condition: Condition,
    /// How far it has come.
    pub progress: Progress,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.on, self.condition.sentence(), self.progress.sentence())?;
        if self.progress.verdict(self.condition) == Verdict::NeverByItself {
            write!(f, "; `podbay service start {}` starts it", self.on)?;
        }
        Ok(())
    }
}

/// All of them in one sentence, to stand after "waits for"; `None` when nothing is waited for.
#[must_use]
pub fn sentence(waits: &[Wait]) -> Option<String> {
    let all: Vec<String> = waits.iter().map(ToString::to_string).collect();
    (!all.is_empty()).then(|| all.join("; and for "))
}

/// Why there is no such graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A service that is not there is waited for.
    #[error("there is no service {:?}", needs.as_str())]
    Unknown {
        /// Who waits.
        member: Member,
        /// For what.
        needs: Name,
    },
    /// A service waits for itself.
    #[error("service {:?} depends on itself", name.as_str())]
    Itself {
        /// Which.
        name: Name,
    },
    /// Services wait for each other, the first one again at the end.
    #[error("these wait for each other: {}", round.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle {
        /// In the order of waiting.
        round: Vec<Name>,
    },
}

/// What a member waits for.
pub type Needs = BTreeMap<Name, Condition>;

/// Who waits for whom. Cheap to make anew for each configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    needs: BTreeMap<Member, Needs>,
    waves: Vec<Vec<Name>>,
}

impl Graph {
    /// The graph of these members, in the order of the configuration: the first that is wrong is named.
    ///
    /// # Errors
    /// [`GraphError`]: a name that is not a service's, or a cycle.
    pub fn new<'a>(members: impl IntoIterator<Item = (Member, &'a Needs)>) -> Result<Self, GraphError> {
        let members: Vec<(Member, &Needs)> = members.into_iter().collect();
        let service = |(member, needs): &'_ (Member, &'a Needs)| match member {
            Member::Service(name) => Some((name.clone(), *needs)),
            Member::Template(_) => None,
        };
        let services: Vec<(Name, &Needs)> = members.iter().filter_map(service).collect();
        let names: BTreeSet<&Name> = services.iter().map(|(name, _)| name).collect();
        for (member, needs) in &members {
            for name in needs.keys() {
                if matches!(member, Member::Service(own) if own == name) {
                    return Err(GraphError::Itself { name: name.clone() });
                }
                if !names.contains(name) {
                    return Err(GraphError::Unknown { member: member.clone(), needs: name.clone() });
                }
            }
        }
        let waves = waves(&services).map_err(|rest| GraphError::Cycle { round: round(&services, &rest) })?;
        let needs = members.into_iter().map(|(member, needs)| (member, needs.clone())).collect();
        Ok(Self { needs, waves })
    }

    /// Services in the order of starting: those of one wave wait only for earlier ones. Backwards, it is the order of
    /// stopping.
    #[must_use]
    pub fn waves(&self) -> &[Vec<Name>] {
        &self.waves
    }

    /// What a member waits for, whatever has become of it.
    pub fn needs(&self, member: &Member) -> impl Iterator<Item = (&Name, Condition)> {
        self.needs.get(member).into_iter().flatten().map(|(name, condition)| (name, *condition))
    }

    /// The conditions of a member that do not hold. Empty: it may start now.
    pub fn waits(&self, member: &Member, progress: impl Fn(&Name) -> Progress) -> Vec<Wait> {
        let wait = |(on, condition): (&Name, Condition)| {
            let progress = progress(on);
            (progress.verdict(condition) != Verdict::Met).then(|| Wait { on: on.clone(), condition, progress })
        };
        self.needs(member).filter_map(wait).collect()
    }

    /// Of the services that are to stop, those that may stop now: nothing that is to stop too, and still has a process,
    /// waited for them to start. What is not to stop holds nobody up.
    pub fn stoppable<'a>(&self, stopping: &'a BTreeSet<Name>, alive: impl Fn(&Name) -> bool) -> Vec<&'a Name> {
        let held = |name: &Name| {
            stopping.iter().any(|other| {
                let needs = self.needs.get(&Member::Service(other.clone()));
                alive(other) && needs.is_some_and(|needs| needs.contains_key(name))
            })
        };
        stopping.iter().filter(|name| alive(name) && !held(name)).collect()
    }

    /// All services that must come before this member, directly or not.
    #[must_use]
    pub fn before(&self, member: &Member) -> BTreeSet<Name> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Name> = self.needs(member).map(|(name, _)| name).collect();
        while let Some(name) = open.pop() {
            if found.insert(name.clone()) {
                open.extend(self.needs.get(&Member::Service(name.clone())).into_iter().flat_map(BTreeMap::keys));
            }
        }
        found
    }
}

/// Services in waves, or those that are left because they wait for each other or for those that do. Without recursion: a
/// chain may be as long as a file allows.
fn waves(services: &[(Name, &Needs)]) -> Result<Vec<Vec<Name>>, BTreeSet<Name>> {
    let mut open: BTreeMap<&Name, usize> = services.iter().map(|(name, needs)| (name, needs.len())).collect();
    let mut dependants: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
    for (name, needs) in services {
        for needed in needs.keys() {
            dependants.entry(needed).or_default().push(name);
        }
    }
    let mut waves = Vec::new();
    let mut wave: Vec<&Name> = open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while !wave.is_empty() {
        let mut next = Vec::new();
        for name in &wave {
            open.remove(name);
            for dependant in dependants.get(name).into_iter().flatten() {
                if let Some(count) = open.get_mut(dependant) {
                    *count -= 1;
                    if *count == 0 {
                        next.push(*dependant);
                    }
                }
            }
        }
        next.sort_unstable();
        waves.push(wave.into_iter().cloned().collect());
        wave = next;
    }
    if open.is_empty() { Ok(waves) } else { Err(open.into_keys().cloned().collect()) }
}

/// One cycle among what is left: each of these waits for another of them, so following must come round.
fn round(services: &[(Name, &Needs)], rest: &BTreeSet<Name>) -> Vec<Name> {
    let by_name: BTreeMap<&Name, &Needs> = services.iter().map(|(name, needs)| (name, *needs)).collect();
    let next = |name: &Name| by_name.get(name)?.keys().find(|needed| rest.contains(*needed));
    let mut way: Vec<&Name> =
        services.iter().map(|(name, _)| name).find(|name| rest.contains(*name)).into_iter().collect();
    let mut place: BTreeMap<&Name, usize> = way.first().map(|first| (*first, 0)).into_iter().collect();
    while let Some(needed) = way.last().and_then(|name| next(name)) {
        way.push(needed);
        if let Some(start) = place.insert(needed, way.len() - 1) {
            way.drain(..start);
            break;
        }
    }
    way.into_iter().cloned().collect()
}
