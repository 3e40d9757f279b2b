//! Moving goals along: the next step of each, what came of it, and who is told.

use std::time::Duration;

use crate::api::types::ErrorDetail;
use crate::bay::container::label;
use crate::bay::name::Name;
use crate::bay::phase::{Phase, Progress};
use crate::bay::service::ServiceRun;
use crate::bay::template::NetworkMode;
use crate::engine::EngineError;

use super::super::event::{Effect, Now, StepError, Stepped};
use super::super::goal::{Goal, GoalKind, Make, PARENT, Step, What};
use super::super::reconcile::{self, Hindrance, Next, ParentSight, Sight};
use super::super::refusal;
use super::pool::is_warm;
use super::{Link, Machine, Out};

/// How long rules leave a name alone whose goal was given up.
const REST: Duration = Duration::from_mins(1);
/// Tries of one step until its goal is given up.
const TRIES: u32 = 5;
/// The history is told so often how far a long step is.
const TELL_EVERY: Duration = Duration::from_secs(5);

impl Machine {
    /// Finds the next step of every goal that has none under way.
    pub(super) fn advance(&mut self, now: Now, out: &mut Out) {
        if !self.looking.known || !matches!(self.link, Link::Up { .. }) {
            return;
        }
        self.forget_waits();
        // The parent first: what waits for it may go on in the same turn.
        let mut names: Vec<String> = self.stored.goals.keys().cloned().collect();
        names.sort_by_key(|name| name != PARENT);
        for name in names {
            self.advance_one(&name, now, out);
        }
    }

    fn advance_one(&mut self, name: &str, now: Now, out: &mut Out) {
        // A goal becomes another at most twice: made, cleaned up, done.
        for _ in 0..3 {
            let Some(goal) = self.stored.goals.get(name) else { return };
            if self.busy.contains_key(name) || goal.not_before.is_some_and(|at| at > now.mono) {
                return;
            }
            let kind = goal.kind.clone();
            if let Some(waits) = self.waits_for_services(name, &kind) {
                self.dirty |= self.waits.get(name).map(AsRef::as_ref) != Some(waits.as_str());
                self.waits.insert(name.to_owned(), waits.into());
                return self.tell_of_wait(name, &kind, now, out);
            }
            self.services.workers.remove(name);
            let next = self.with_sight(name, &kind, |sight| reconcile::next(&kind, sight));
            match next {
                Next::Take(step) if goal.last.as_ref() == Some(&step) => {
                    return self.without_effect(name, &step, now, out);
                }
                Next::Take(step) => {
                    self.waits.remove(name);
                    self.busy.insert(name.to_owned(), step.clone());
                    out.push(Effect::Step(name.to_owned(), step));
                    self.dirty = true;
                    return;
                }
                Next::Wait(what) => {
                    self.dirty |= self.waits.insert(name.to_owned(), what.into()) != Some(what.into());
                    return;
                }
                Next::Done => return self.reached(name, now, out),
                Next::Fail(why) => {
                    let error = self.explain(why);
                    self.give_up(name, error, now, out);
                }
            }
        }
    }

    /// A step that worked is due again. A worker that was started and has ended by itself did what it was for; anything
    /// else is a try that failed.
    fn without_effect(&mut self, name: &str, step: &Step, now: Now, out: &mut Out) {
        if matches!(step, Step::Start(_) | Step::Restart(_)) && name != PARENT {
            return self.reached(name, now, out);
        }
        let text = format!("{} had no effect", step.what());
        let Some(goal) = self.stored.goals.get_mut(name) else { return };
        goal.last = None;
        goal.attempts += 1;
        goal.last_error = Some(text.clone());
        if goal.attempts >= TRIES {
            return self.give_up(name, refusal::failed(&text), now, out);
        }
        goal.not_before = Some(now.mono + Duration::from_secs(u64::from(goal.attempts)));
        self.dirty = true;
        self.look(now, out);
    }

    /// A worker that could not have its parent is told what became of the parent.
    fn explain(&self, why: Hindrance) -> ErrorDetail {
        let of_goal = self.stored.goals.get(PARENT).and_then(|goal| goal.failure.clone());
        let of_past = self.faults.get(PARENT).map(|fault| refusal::failed(fault));
        match of_goal.or(of_past) {
            Some(error) if why == Hindrance::ParentDown => {
                ErrorDetail { message: format!("the parent could not be brought up: {}", error.message), ..error }
            }
            _ if why == Hindrance::ParentDown => refusal::parent_down(),
            _ => refusal::failed(&why.to_string()),
        }
    }

    pub(super) fn become_goal(&mut self, name: &str, kind: GoalKind) {
        if let Some(goal) = self.stored.goals.get_mut(name) {
            goal.kind = kind;
            goal.attempts = 0;
            goal.last = None;
            goal.not_before = None;
        }
    }

    fn with_sight<T>(&self, name: &str, goal: &GoalKind, look: impl FnOnce(&Sight<'_>) -> T) -> T {
        let engine_name = self.engine_name(name);
        let seen = self.seen.get(name);
        let parent = match self.parent() {
            Some(parent) if parent.status.is_running() && !self.parent_moves() => ParentSight::Up(parent),
            _ if self
                .stored
                .goals
                .get(PARENT)
                .is_some_and(|goal| !matches!(goal.kind, GoalKind::Stopped | GoalKind::Gone)) =>
            {
                ParentSight::Coming
            }
            _ => ParentSight::Down,
        };
        let opening = self.opening(name, goal);
        let sight = Sight {
            current: seen.map(|seen| &seen.container),
            current_nonce: seen.map(|seen| &seen.nonce),
            retired: self.retired.get(name).map(|seen| &seen.container),
            foreign: self.foreign.contains(name),
            parent,
            shared: self.is_shared(goal),
            name: &engine_name,
            opening: opening.as_ref().map(|opening| opening.as_ref().map_err(|why| *why)),
        };
        look(&sight)
    }

    /// The parent runs, but is about to be stopped, restarted or replaced.
    pub(super) fn parent_moves(&self) -> bool {
        self.stored.goals.contains_key(PARENT)
    }

    fn engine_name(&self, name: &str) -> String {
        format!("{}-{name}", self.config.bay)
    }

    fn is_shared(&self, goal: &GoalKind) -> bool {
        match goal {
            GoalKind::Made(make) | GoalKind::Recreated { make, .. } => self.joins_parent(make),
            _ => false,
        }
    }

    /// Whether what is made lives in the parent's network.
    pub(super) fn joins_parent(&self, make: &Make) -> bool {
        match &make.what {
            What::Parent => false,
            What::Warm { template } => {
                self.config.template(template).is_some_and(|template| template.network == NetworkMode::Shared)
            }
            What::Service { service } => self.config.services.iter().any(|known| {
                known.name == *service
                    && matches!(known.run, ServiceRun::Container { network: NetworkMode::Shared, .. })
            }),
            What::Worker { template, overrides, .. } => {
                let template = self.config.template(template);
                template.is_some_and(|template| overrides.over(template).network == NetworkMode::Shared)
            }
        }
    }

    /// How far a step is: the screen shows each, the history a phase and then one in a while.
    pub(super) fn progressed(&mut self, target: String, progress: Progress, now: Now) {
        if !self.busy.contains_key(&target) {
            // Overtaken by the step's own end.
            return;
        }
        let known = self.progress.get(&target);
        let said = known.filter(|(known, _)| known.phase == progress.phase).map(|(_, said)| *said);
        let due = said.is_none_or(|said| now.mono.saturating_sub(said) >= TELL_EVERY);
        if due {
            self.say(now, Some(&target), progress.to_string());
        }
        let said = if due { now.mono } else { said.unwrap_or(now.mono) };
        self.progress.insert(target, (progress, said));
        self.dirty = true;
    }

    /// What came of a step.
    pub(super) fn take_step(&mut self, stepped: Stepped, now: Now, out: &mut Out) {
        let Stepped { target, step, result, seen, certain } = stepped;
        self.busy.remove(&target);
        self.dirty = true;
        if let Ok(notes) = &result
            && let Some((nonce, id)) = &notes.made
        {
            self.stored.ours.insert(nonce.clone(), id.clone());
        }
        match (seen, step.id()) {
            (Some(container), _) => self.absorb(container),
            (None, Some(id)) if certain => self.vanish(id),
            _ => {}
        }
        match result {
            Ok(notes) => {
                if let Step::Open(id, opening) = &step {
                    self.opened(id, opening);
                }
                if matches!(step, Step::Restart(_) | Step::Start(_)) {
                    self.count_start(&target);
                }
                if let Some(goal) = self.stored.goals.get_mut(&target) {
                    goal.last = Some(step);
                    goal.not_before = None;
                    goal.notes.extend(notes.notes);
                }
            }
            Err(_) if self.is_unwanted(&target, &step) => self.look(now, out),
            Err(error) => self.step_failed(&target, &step, &error, now, out),
        }
    }

    /// What was being made is not what is wanted any more: that it failed concerns nobody.
    fn is_unwanted(&self, target: &str, step: &Step) -> bool {
        let wanted = self.stored.goals.get(target).and_then(|goal| goal.kind.nonce());
        match step {
            Step::Create(make, _) => wanted != Some(&make.nonce),
            Step::Rename(_, name) if *name == self.engine_name(target) => {
                let kind = self.stored.goals.get(target).map(|goal| &goal.kind);
                !matches!(kind, Some(GoalKind::Named | GoalKind::Restored { .. }))
            }
            _ => false,
        }
    }

    /// A start that is not the first one counts.
    fn count_start(&mut self, target: &str) {
        let first = matches!(
            self.stored.goals.get(target).map(|goal| &goal.kind),
            Some(GoalKind::Made(_) | GoalKind::Recreated { .. } | GoalKind::Restored { .. })
        );
        if !first {
            *self.stored.restarts.entry(target.to_owned()).or_default() += 1;
        } else if matches!(self.stored.goals.get(target).map(|goal| &goal.kind), Some(GoalKind::Made(_))) {
            // Somebody removed the last one of this name behind podbay's back: this one has not been started again yet.
            self.stored.restarts.remove(target);
        }
    }

    fn step_failed(&mut self, target: &str, step: &Step, error: &StepError, now: Now, out: &mut Out) {
        let text = error.to_string();
        if !is_warm(target) {
            self.say(now, Some(target), format!("{} failed: {text}", step.what()));
        }
        let spread = self.next_spread();
        let Some(goal) = self.stored.goals.get_mut(target) else { return };
        goal.attempts += 1;
        goal.last_error = Some(text.clone());
        let passing = match error {
            StepError::Engine(error) => match error {
                EngineError::Away { .. } | EngineError::Deadline { .. } => true,
                // Whoever claims does not wait for a second try: a worker is made instead. A name that somebody else's
                // container has is asked for again once in a while.
                _ if matches!(step, Step::Open(..)) || goal.kind == GoalKind::Named => false,
                EngineError::NameTaken(_) | EngineError::Conflict { .. } => true,
                EngineError::NotFound { .. } => !matches!(step, Step::Create(..)),
                _ => false,
            },
            StepError::Fill(_) | StepError::Workspace(_) | StepError::Ports(_) => false,
        };
        let broken = matches!(error, StepError::Engine(EngineError::Away { .. }));
        if passing && goal.attempts < TRIES {
            let mut backoff = crate::bay::backoff::Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
            let wait = (0..goal.attempts).map(|_| backoff.fail(spread)).last().unwrap_or_default();
            goal.not_before = Some(now.mono + wait);
            if broken {
                // The call may be as old as a link that was lost before: only the engine can tell.
                self.ping(out);
            }
            // It may have happened all the same: the engine is asked before anything is tried again.
            self.look(now, out);
            return;
        }
        let detail = self.explain_ports(target, refusal::of_step(step.what(), error));
        let of_request = matches!(error, StepError::Fill(_) | StepError::Engine(EngineError::NameTaken(_)));
        if of_request && self.refuse_claim(target, &detail) {
            return;
        }
        self.give_up(target, detail, now, out);
    }

    /// A goal that can't be reached: what it left is cleaned up, then everybody is told.
    fn give_up(&mut self, name: &str, error: ErrorDetail, now: Now, out: &mut Out) {
        if let Some(kind) = self.instead_of_claim(name, &error.message) {
            self.say(now, Some(name), format!("the claim failed: {}; it is made anew", error.message));
            return self.become_goal(name, kind);
        }
        let unopened = match self.stored.goals.get(name).map(|goal| &goal.kind) {
            Some(GoalKind::Recreated { old, .. }) => self.is_unopened(old),
            _ => false,
        };
        let Some(goal) = self.stored.goals.get_mut(name) else { return };
        let error = goal.failure.clone().unwrap_or(error);
        let cleanup = match &goal.kind {
            // What it would be restored to is a gate that never let anybody in.
            GoalKind::Recreated { .. } if unopened => Some(GoalKind::Gone),
            GoalKind::Made(make) => {
                let left = self
                    .seen
                    .get(name)
                    .is_some_and(|seen| seen.nonce == make.nonce && !seen.container.status.is_running());
                left.then_some(GoalKind::Gone)
            }
            GoalKind::Recreated { make, old, start } => {
                Some(GoalKind::Restored { old: old.clone(), failed: make.nonce.clone(), start: *start })
            }
            _ => None,
        };
        match cleanup {
            Some(kind) => {
                let text = error.message.clone();
                goal.failure = Some(error);
                if let Some(template) = goal.kind.warm_template().cloned() {
                    // Now: once it is removed, nothing tells whose it was, and another would be begun until then.
                    self.pool_failed(&template, &text, now);
                }
                self.become_goal(name, kind);
            }
            None => self.ended(name, &Err(error), now, out),
        }
    }

    fn reached(&mut self, name: &str, now: Now, out: &mut Out) {
        let failure = self.stored.goals.get(name).and_then(|goal| goal.failure.clone());
        self.ended(name, &failure.map_or(Ok(()), Err), now, out);
    }

    /// A goal has ended: its traces go, and those who wait are told.
    fn ended(&mut self, name: &str, result: &Result<(), ErrorDetail>, now: Now, out: &mut Out) {
        let Some(goal) = self.stored.goals.remove(name) else { return };
        self.waits.remove(name);
        self.dirty = true;
        let phased = self.progress.remove(name).is_some();
        match result {
            Ok(()) if phased && goal.kind != GoalKind::Gone => {
                self.say(now, Some(name), Phase::Ready.as_str());
                self.forgive(name);
            }
            Ok(()) => self.forgive(name),
            Err(error) => {
                // Names of the pool never come back: what is over is not kept for them.
                self.resting.retain(|_, until| *until > now.mono);
                self.resting.insert(name.to_owned(), now.mono + REST);
                self.faults.insert(name.to_owned(), error.message.clone());
                match self.warm_template_of(name, &goal) {
                    Some(template) => self.pool_failed(&template, &error.message, now),
                    // Counted when it was given up.
                    None if is_warm(name) => {}
                    None => self.say(now, Some(name), error.message.clone()),
                }
            }
        }
        if name == PARENT {
            self.parent_moved();
        }
        let spawn_failed = result.is_err() && matches!(goal.kind, GoalKind::Made(_) | GoalKind::Gone);
        if !self.seen.contains_key(name) && (goal.kind == GoalKind::Gone || spawn_failed) {
            self.forget(name, spawn_failed, out);
        }
        self.tell(name, result, &goal.notes, out);
    }

    /// What went wrong before is over.
    fn forgive(&mut self, name: &str) {
        self.faults.remove(name);
        self.ooms.remove(name);
        self.resting.remove(name);
    }

    /// The template of a warm worker that could not be made, or let go.
    fn warm_template_of(&self, name: &str, goal: &Goal) -> Option<Name> {
        if let Some(template) = goal.kind.warm_template() {
            return Some(template.clone());
        }
        let label = self.seen.get(name).filter(|_| is_warm(name))?.container.label(label::TEMPLATE);
        label.parse().ok()
    }

    /// Nothing is left of this name.
    fn forget(&mut self, name: &str, failed: bool, out: &mut Out) {
        // Why there is no parent, or none of a service, stays to be told.
        if name != PARENT && self.service_of_container(name).is_none() {
            self.faults.remove(name);
        }
        if name != PARENT {
            self.stored.stopped.remove(name);
        }
        self.ooms.remove(name);
        self.stored.restarts.remove(name);
        self.stored.running.remove(name);
        if name != PARENT
            && let Ok(worker) = if is_warm(name) { name.parse() } else { Name::worker(name) }
        {
            let discard = self.stored.discard.remove(name);
            if !is_warm(name) {
                self.stored.forgetting.insert(name.to_owned(), discard);
            }
            out.push(Effect::ForgetWorker { name: worker, failed, discard });
        }
    }
}
