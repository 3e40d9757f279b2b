//! The rule of rules: what is wanted against what is seen, and the one step that comes next.
//!
//! Pure. Called anew after every step and every look, so a missed event, a lost answer, a restarted engine and a
//! restarted supervisor are all the same case.

use crate::bay::container::{ContainerId, Observed, ObservedNetwork, Status};
use crate::bay::owner::Nonce;

use super::goal::{CreateNetwork, GoalKind, Make, Opening, Step, What};

/// What is seen of one name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sight<'a> {
    /// Ours, under the name itself.
    pub current: Option<&'a Observed>,
    /// The nonce of `current`.
    pub current_nonce: Option<&'a Nonce>,
    /// Ours, under the name with the suffix of a retired one.
    pub retired: Option<&'a Observed>,
    /// Somebody else's container has the name.
    pub foreign: bool,
    /// The parent, as far as this container's network is concerned.
    pub parent: ParentSight<'a>,
    /// The template says `network = "shared"`.
    pub shared: bool,
    /// The engine's name for it.
    pub name: &'a str,
    /// What opens the gate that the goal is about, or why nobody knows; `None`: it is open.
    pub opening: Option<Result<&'a Opening, Hindrance>>,
}

/// The parent as a worker needs it.
#[derive(Clone, Copy, Debug, Default)]
pub enum ParentSight<'a> {
    /// It runs.
    Up(&'a Observed),
    /// It does not, but is on its way.
    Coming,
    /// It does not.
    #[default]
    Down,
}

/// What comes next for a goal.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This step.
    Take(Step),
    /// It is so.
    Done,
    /// Something else must happen first.
    Wait(&'static str),
    /// It can't become so.
    Fail(Hindrance),
}

/// Why a goal can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// The container was removed meanwhile.
    #[error("it does not exist any more")]
    Missing,
    /// Its network is the parent's.
    #[error("the parent does not run")]
    ParentDown,
    /// Its network was that of a parent that is gone: it can only be made anew.
    #[error("it is bound to a parent that is gone; `podbay restart parent` makes it anew")]
    ParentGone,
    /// Somebody else has the name.
    #[error("another container, not of this bay, has its name")]
    Foreign,
    /// Another container of this bay has the name.
    #[error("another container has its name")]
    Taken,
    /// The warm worker does not wait any more.
    #[error("it has ended")]
    WarmEnded,
    /// Neither the state nor the configuration says what its command is.
    #[error("its template is not in the configuration any more, which alone said what it runs; it waits at its gate")]
    NoCommand,
}

/// The next step towards `goal`.
#[must_use]
pub fn next(goal: &GoalKind, sight: &Sight<'_>) -> Next {
    match goal {
        GoalKind::Made(make) => made(make, sight),
        GoalKind::Claimed { warm, .. } => claimed(warm, sight),
        GoalKind::Opened => match (sight.current, sight.opening) {
            (Some(container), Some(Ok(opening))) if container.status.is_running() => open(container, opening),
            (Some(_), Some(Err(why))) => Next::Fail(why),
            (None, _) => Next::Fail(Hindrance::Missing),
            _ => Next::Done,
        },
        GoalKind::Named => match sight.current {
            Some(container) if container.name != sight.name => {
                Next::Take(Step::Rename(container.id.clone(), sight.name.to_owned()))
            }
            _ => Next::Done,
        },
        GoalKind::Running => match sight.current {
            None => Next::Fail(Hindrance::Missing),
            Some(container) => running(container, sight),
        },
        GoalKind::Restarted { before } => restarted(*before, sight),
        GoalKind::Recreated { make, old, start } => recreated(make, old, *start, sight),
        GoalKind::Restored { old, failed, start } => restored(old, failed, *start, sight),
        GoalKind::Cleared { old } => match sight.retired {
            Some(container) if container.id == *old => Next::Take(Step::Remove(old.clone())),
            _ => Next::Done,
        },
        GoalKind::Stopped => match sight.current {
            Some(container) if container.status.may_run() => Next::Take(Step::Stop(container.id.clone())),
            _ => Next::Done,
        },
        GoalKind::Gone => match (sight.current, sight.retired) {
            (Some(container), _) | (None, Some(container)) => Next::Take(Step::Remove(container.id.clone())),
            (None, None) => Next::Done,
        },
    }
}

fn made(make: &Make, sight: &Sight<'_>) -> Next {
    match sight.current {
        // It ran, and has ended by itself: short commands are done before anybody looks.
        Some(container) if matches!(container.status, Status::Exited { .. }) && make.what != What::Parent => Next::Done,
        Some(container) => running(container, sight),
        None if sight.foreign => Next::Fail(Hindrance::Foreign),
        None => create(make, sight),
    }
}

/// The state file has given it the name: what is left is to let the command in.
fn claimed(warm: &ContainerId, sight: &Sight<'_>) -> Next {
    let container = match sight.current {
        Some(container) if container.id == *warm => container,
        Some(_) => return Next::Fail(Hindrance::Taken),
        None if sight.foreign => return Next::Fail(Hindrance::Foreign),
        None => return Next::Fail(Hindrance::WarmEnded),
    };
    match sight.opening {
        _ if !container.status.is_running() => Next::Fail(Hindrance::WarmEnded),
        Some(Ok(opening)) => open(container, opening),
        Some(Err(why)) => Next::Fail(why),
        None => Next::Done,
    }
}

fn open(container: &Observed, opening: &Opening) -> Next {
    Next::Take(Step::Open(container.id.clone(), Box::new(opening.clone())))
}

fn create(make: &Make, sight: &Sight<'_>) -> Next {
    if make.what == What::Parent || !sight.shared {
        return Next::Take(Step::Create(make.clone(), CreateNetwork::Own));
    }
    match sight.parent {
        ParentSight::Up(parent) => Next::Take(Step::Create(make.clone(), CreateNetwork::Join(parent.id.clone()))),
        ParentSight::Coming => Next::Wait("the parent"),
        ParentSight::Down => Next::Fail(Hindrance::ParentDown),
    }
}

/// Brings an existing container to run. A worker is never started against a parent that is down: the engine would end
/// it for good.
fn running(container: &Observed, sight: &Sight<'_>) -> Next {
    if container.status.is_running() {
        return Next::Done;
    }
    if matches!(container.status, Status::Unclear { .. }) {
        return Next::Wait("the engine to say how it is");
    }
    if container.status == Status::Removing {
        return Next::Wait("the engine, which is removing the old one");
    }
    match joined(container, sight.parent) {
        Joined::Fine => Next::Take(Step::Start(container.id.clone())),
        Joined::Coming => Next::Wait("the parent"),
        Joined::Down => Next::Fail(Hindrance::ParentDown),
        Joined::Lost => Next::Fail(Hindrance::ParentGone),
    }
}

enum Joined {
    Fine,
    Coming,
    Down,
    Lost,
}

fn joined(container: &Observed, parent: ParentSight<'_>) -> Joined {
    let ObservedNetwork::Of(bound) = &container.network else { return Joined::Fine };
    match parent {
        ParentSight::Up(parent) if parent.id == *bound => Joined::Fine,
        ParentSight::Up(_) => Joined::Lost,
        ParentSight::Coming => Joined::Coming,
        ParentSight::Down => Joined::Down,
    }
}

fn restarted(before: Option<jiff::Timestamp>, sight: &Sight<'_>) -> Next {
    let Some(container) = sight.current else { return Next::Fail(Hindrance::Missing) };
    match (container.status.since(), before) {
        (Some(since), Some(before)) if since <= before => match joined(container, sight.parent) {
            Joined::Fine => Next::Take(Step::Restart(container.id.clone())),
            Joined::Coming => Next::Wait("the parent"),
            Joined::Down => Next::Fail(Hindrance::ParentDown),
            Joined::Lost => Next::Fail(Hindrance::ParentGone),
        },
        (Some(_), _) => Next::Done,
        (None, _) => running(container, sight),
    }
}

/// The old one is renamed, the new one made and started, and only then the old one removed.
fn recreated(make: &Make, old: &ContainerId, start: bool, sight: &Sight<'_>) -> Next {
    let retired = sight.retired.filter(|container| container.id == *old);
    if retired.is_some_and(|container| container.status.may_run()) {
        // Somebody started it again meanwhile.
        return Next::Take(Step::Stop(old.clone()));
    }
    match sight.current {
        Some(container) if container.id == *old => {
            // Both would write to the same workspace: the old one ends first.
            if container.status.may_run() {
                return match create(make, sight) {
                    Next::Take(_) => Next::Take(Step::Stop(old.clone())),
                    other => other,
                };
            }
            Next::Take(Step::Rename(old.clone(), format!("{}{}", sight.name, crate::bay::name::RETIRED)))
        }
        Some(new) if sight.current_nonce == Some(&make.nonce) => {
            if start && !new.status.is_running() {
                return running(new, sight);
            }
            retired.map_or(Next::Done, |container| Next::Take(Step::Remove(container.id.clone())))
        }
        Some(_) => Next::Fail(Hindrance::Taken),
        None if sight.foreign => Next::Fail(Hindrance::Foreign),
        None => create(make, sight),
    }
}

fn restored(old: &ContainerId, failed: &Nonce, start: bool, sight: &Sight<'_>) -> Next {
    match sight.current {
        Some(container) if container.id == *old => {
            if start {
                running(container, sight)
            } else {
                Next::Done
            }
        }
        Some(container) if sight.current_nonce == Some(failed) => Next::Take(Step::Remove(container.id.clone())),
        Some(_) => Next::Fail(Hindrance::Taken),
        None => match sight.retired {
            Some(container) if container.id == *old => Next::Take(Step::Rename(old.clone(), sight.name.to_owned())),
            _ => Next::Fail(Hindrance::Missing),
        },
    }
}
