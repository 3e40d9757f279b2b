//! Claims: which request gets a warm worker, what a claimed one was claimed with, and gates that must be opened again.
//!
//! The commit point of a claim is the state file: once it is written, the warm worker is its claimer's, under that name.
//! The engine's own name, which others read, follows a moment later.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::types::{ErrorDetail, SpawnRequest};
use crate::bay::container::{ContainerId, ImageFacts, Observed, Status, label};
use crate::bay::gate;
use crate::bay::name::{Name, in_bay};
use crate::bay::pool::{Miss, fits};
use crate::bay::session::TermSize;
use crate::bay::template::{NetworkMode, Overrides, Template};

use super::super::event::Now;
use super::super::goal::{Goal, GoalKind, Make, Opening, What};
use super::super::reconcile::Hindrance;
use super::super::store::{Claim, MadeOf, Stored};
use super::Machine;
use super::pool::{Place, Pool, is_warm};

/// The environments of all claims together: well below what a state file holds, whatever it must escape.
const CLAIMS_BYTES: usize = 2 << 20;
/// So long the engine and the machine are the command's, and of who waits for its first word.
const NAMING: Duration = Duration::from_millis(20);
/// So often a gate may fail to take its claim in time, in one run.
const SHUT: u32 = 6;

impl Machine {
    /// How a request becomes a worker: from the pool where one fits, else anew, with the reason. The second is `None`
    /// where there is no pool to ask.
    pub(super) fn claim_or_make(
        &mut self,
        name: &Name,
        template: &Template,
        request: &SpawnRequest,
        make: Make,
        now: Now,
    ) -> Goal {
        if template.pool.is_none() {
            return Goal::new(GoalKind::Made(make));
        }
        // The first command of a supervisor comes before its rules.
        let pool = self.pools.entry(template.name.clone()).or_insert_with(|| Pool::new(now));
        pool.tally.asked(now.mono);
        pool.used = now.mono;
        let found = fits(template, &request.overrides)
            .and_then(|()| self.has_room(&request.overrides))
            .and_then(|()| self.warmest(template, now));
        match found {
            Ok((warm, made_as)) => {
                let made_of = self.by_id(&warm).map(|container| made_of(template, &request.overrides, container));
                let (overrides, name) = (request.overrides.clone(), Some(name.clone()));
                // From here on it is used, whatever becomes of the claim.
                self.stored.claims.insert(warm.clone(), Claim { overrides, name, made_of, ..Claim::default() });
                self.give_name(&warm);
                Goal::new(GoalKind::Claimed { make, warm, made_as })
            }
            Err(miss) => {
                let mut goal = Goal::new(GoalKind::Made(make));
                goal.notes.push(self.missed(&template.name, &miss));
                goal
            }
        }
    }

    /// What a claim was made with must be kept as long as its worker: a worker that is made anew has it in a label.
    fn has_room(&self, overrides: &Overrides) -> Result<(), Miss> {
        let kept: usize = self.stored.claims.values().map(|claim| size_of_env(&claim.overrides)).sum();
        if kept + size_of_env(overrides) <= CLAIMS_BYTES {
            return Ok(());
        }
        let most = CLAIMS_BYTES >> 20;
        Err(Miss::Failed(format!("the environments of claimed workers would be more than {most} MiB together")))
    }

    fn missed(&mut self, template: &Name, miss: &Miss) -> String {
        if let Some(pool) = self.pools.get_mut(template) {
            pool.tally.misses += 1;
        }
        format!("cold start: {miss}")
    }

    /// The oldest that is ready: it has had the most time to come to rest.
    fn warmest(&self, template: &Template, now: Now) -> Result<(ContainerId, Name), Miss> {
        let joins = template.network == NetworkMode::Shared;
        let ready = self.seen.iter().filter(|(name, seen)| {
            is_warm(name)
                && seen.container.label(label::TEMPLATE) == template.name.as_str()
                && self.place(name, &seen.container) == Place::Ready
        });
        let ready = ready.filter(|_| !(joins && self.parent_moves()));
        let oldest = ready.min_by_key(|(name, seen)| (seen.container.created_at, (*name).clone()));
        let found = oldest.and_then(|(name, seen)| Some((seen.container.id.clone(), name.parse().ok()?)));
        found.ok_or_else(|| self.why_none(template, now))
    }

    fn why_none(&self, template: &Template, now: Now) -> Miss {
        let Some(pool) = self.pools.get(&template.name) else {
            return Miss::Because("it has not begun yet".to_owned());
        };
        let scaled = self.stored.pools.get(&template.name).and_then(|wish| wish.target);
        match (scaled, pool.trouble()) {
            (Some(0), _) => Miss::Because("it was drained".to_owned()),
            (None, _) if template.pool.as_ref().is_some_and(|pool| pool.target == 0) => {
                Miss::Because("its target is 0".to_owned())
            }
            (_, Some(trouble)) => Miss::Because(trouble),
            (_, None) => pool.tally.empty(now.mono),
        }
    }

    /// What opens the gate that a goal is about, or why that is not known; `None`: it is open, or there is nothing to open.
    pub(super) fn opening(&self, name: &str, kind: &GoalKind) -> Option<Result<Opening, Hindrance>> {
        if !matches!(kind, GoalKind::Claimed { .. } | GoalKind::Opened) {
            return None;
        }
        let container = &self.seen.get(name)?.container;
        let run = container.status.since()?;
        let claim = self.stored.claims.get(&container.id);
        if claim.is_some_and(|claim| claim.opened == Some(run)) {
            return None;
        }
        let overrides = self.overrides_of(container);
        let of_now = || Some(made_of(self.template_of(container.label(label::TEMPLATE))?, &overrides, container));
        let Some(made_of) = claim.and_then(|claim| claim.made_of.clone()).or_else(of_now) else {
            return Some(Err(Hindrance::NoCommand));
        };
        let gated = container.label(label::WARM) == "gate";
        let parent = self.parent().and_then(|parent| match parent.status {
            Status::Running { pid, since, .. } => Some((parent.id.clone(), since, pid)),
            _ => Some((parent.id.clone(), parent.status.since()?, 0)),
        });
        // Of the template only this counts now: the container is made.
        let made = Template {
            user: made_of.user,
            workspace: made_of.workspace,
            project: made_of.project,
            ..self.config.worker.clone()
        };
        Some(Ok(Opening {
            made_as: container.label(label::WARM_NAME).parse().ok()?,
            run,
            nonce: match kind {
                GoalKind::Claimed { make, .. } => Some(make.nonce.clone()),
                _ => None,
            },
            claim: gated.then(|| gate::claim(&overrides.env, &made_of.argv)),
            made: Box::new(made),
            branch: overrides.branch.clone(),
            size: size_of(kind),
            unseen: matches!(kind, GoalKind::Claimed { .. }) && size_of(kind).is_none(),
            parent: parent.filter(|_| matches!(container.network, super::ObservedNetwork::Of(_))),
        }))
    }

    /// The container with this id, under whatever name.
    pub(super) fn by_id(&self, id: &ContainerId) -> Option<&Observed> {
        self.seen.values().map(|seen| &seen.container).find(|container| container.id == *id)
    }

    /// What a worker was asked to be beyond its template: of one that was claimed, by its claim.
    pub(super) fn overrides_of(&self, container: &Observed) -> Overrides {
        match self.stored.claims.get(&container.id) {
            Some(claim) => claim.overrides.clone(),
            None => serde_json::from_str(container.label(label::REQUEST)).unwrap_or_default(),
        }
    }

    /// A gate was opened: the worker's command runs.
    pub(super) fn opened(&mut self, id: &ContainerId, opening: &Opening) {
        let overrides = self.by_id(id).map(|container| self.overrides_of(container)).unwrap_or_default();
        let claim = self.stored.claims.entry(id.clone()).or_insert_with(|| Claim { overrides, ..Claim::default() });
        claim.opened = Some(opening.run);
        if opening.claim.is_none() {
            // Its program speaks already.
            claim.taken = Some(opening.run);
        }
        self.warmth.remove(id);
        let template = self.by_id(id).and_then(|container| container.label(label::TEMPLATE).parse::<Name>().ok());
        if opening.nonce.is_some()
            && let Some(pool) = template.and_then(|template| self.pools.get_mut(&template))
        {
            pool.tally.hits += 1;
        }
    }

    /// The name inside the bay: the engine's, or its claimer's as long as the engine has the pool's.
    pub(super) fn name_of(&self, container: &Observed) -> Option<String> {
        let name = in_bay(&self.config.bay, &container.name)?;
        let claim = self.stored.claims.get(&container.id).filter(|_| is_warm(name));
        Some(claim.and_then(|claim| claim.name.as_ref()).map_or(name, Name::as_str).to_owned())
    }

    /// What was seen as the pool's is its claimer's.
    fn give_name(&mut self, id: &ContainerId) {
        let old = self.seen.iter().find(|(_, seen)| seen.container.id == *id).map(|(name, _)| name.clone());
        if let Some(seen) = old.and_then(|old| self.seen.remove(&old))
            && let Some(name) = self.name_of(&seen.container)
        {
            self.seen.insert(name, seen);
        }
    }

    /// Claimed workers get their names in the engine, a moment after the claim.
    pub(super) fn keep_names(&mut self, now: Now) {
        let pools = |container: &Observed| in_bay(&self.config.bay, &container.name).is_some_and(is_warm);
        let due: Vec<String> = self
            .seen
            .iter()
            .filter(|(name, seen)| !is_warm(name) && pools(&seen.container) && !self.stored.goals.contains_key(*name))
            .filter(|(name, _)| !self.rests(name, now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let not_before = Some(now.mono + NAMING);
            self.stored.goals.insert(name, Goal { not_before, ..Goal::new(GoalKind::Named) });
        }
    }

    /// Whether somebody claims it at this moment.
    pub(super) fn is_claimed(&self, name: &str) -> bool {
        self.stored.goals.get(name).is_some_and(|goal| matches!(goal.kind, GoalKind::Claimed { .. }))
    }

    /// A claimed worker that runs anew waits at its gate again: its command is let in.
    pub(super) fn keep_gates(&mut self, now: Now) {
        let shut: Vec<String> = self
            .seen
            .iter()
            .filter(|(name, seen)| {
                let container = &seen.container;
                !is_warm(name) && container.label(label::WARM) == "gate" && !self.stored.goals.contains_key(*name)
            })
            .filter(|(_, seen)| matches!(seen.container.status, Status::Running { paused: false, .. }))
            // One that could not be let in is left alone for a while, and its row says why.
            .filter(|(name, _)| !self.rests(name, now))
            .filter(|(name, _)| self.opening(name, &GoalKind::Opened).is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in shut {
            self.stored.goals.insert(name, Goal::new(GoalKind::Opened));
            self.dirty = true;
        }
    }

    /// An opened gate took its claim.
    pub(super) fn taken(&mut self, id: &ContainerId, run: Timestamp) {
        // Told before the step is, where it was taken already.
        if let Some(claim) = self.stored.claims.get_mut(id) {
            claim.taken = Some(run);
        }
    }

    /// An opened gate did not take its claim: it is tried again, a few times.
    pub(super) fn shut(&mut self, id: &ContainerId, run: Timestamp) {
        let Some(claim) = self.stored.claims.get_mut(id).filter(|claim| claim.opened == Some(run)) else { return };
        claim.shut += 1;
        if claim.shut < SHUT {
            claim.opened = None;
            return;
        }
        claim.shut = 0;
        let name = self.seen.iter().find(|(_, seen)| seen.container.id == *id).map(|(name, _)| name.clone());
        if let Some(name) = name {
            let text = "its gate did not take its claim within half a minute; `podbay restart` tries again";
            self.faults.insert(name, text.to_owned());
            self.dirty = true;
        }
    }

    /// A claim that can't be given what it asks for, and has its name already, ends there: another worker could not be
    /// given it either. `false`: it was no such claim.
    pub(super) fn refuse_claim(&mut self, name: &str, error: &ErrorDetail) -> bool {
        let Some(goal) = self.stored.goals.get_mut(name) else { return false };
        if !matches!(goal.kind, GoalKind::Claimed { .. }) {
            return false;
        }
        goal.failure = Some(error.clone());
        self.become_goal(name, GoalKind::Gone);
        true
    }

    /// What a claim that failed becomes: a worker that is made as without a pool.
    pub(super) fn instead_of_claim(&mut self, name: &str, error: &str) -> Option<GoalKind> {
        let goal = self.stored.goals.get(name)?;
        let GoalKind::Claimed { make, warm, .. } = goal.kind.clone() else { return None };
        let template = match &make.what {
            What::Worker { template, .. } => Some(template.clone()),
            What::Parent | What::Warm { .. } | What::Service { .. } => None,
        };
        let renamed = self.seen.get(name).is_some_and(|seen| seen.container.id == warm);
        let kind = if renamed { GoalKind::Recreated { make, old: warm, start: true } } else { GoalKind::Made(make) };
        let note = template.map(|template| self.missed(&template, &Miss::Failed(error.to_owned())));
        if let Some(goal) = self.stored.goals.get_mut(name) {
            goal.notes.extend(note);
        }
        Some(kind)
    }

    /// Whether this is a warm worker that a claim took and could not let in: nobody has worked in it.
    pub(super) fn is_unopened(&self, id: &ContainerId) -> bool {
        self.stored.claims.get(id).is_some_and(|claim| claim.opened.is_none())
    }

    /// Claims of workers that are gone.
    pub(super) fn drop_old_claims(&mut self) {
        let wanted: Vec<ContainerId> = self
            .stored
            .goals
            .values()
            .filter_map(|goal| match &goal.kind {
                GoalKind::Claimed { warm, .. } => Some(warm.clone()),
                _ => None,
            })
            .collect();
        let there = |id: &ContainerId| {
            self.seen.values().chain(self.retired.values()).any(|seen| seen.container.id == *id) || wanted.contains(id)
        };
        let gone: Vec<ContainerId> = self.stored.claims.keys().filter(|id| !there(id)).cloned().collect();
        for id in gone {
            self.stored.claims.remove(&id);
        }
    }

    /// Claimed workers have printed something.
    pub(super) fn first_outputs(&mut self, outputs: Vec<(ContainerId, Duration)>) {
        for (id, took) in outputs {
            let template = self.by_id(&id).map(|container| container.label(label::TEMPLATE).to_owned());
            let template = template.and_then(|name| name.parse::<Name>().ok());
            if let Some(pool) = template.and_then(|name| self.pools.get_mut(&name)) {
                pool.tally.first_output(took);
                self.dirty = true;
            }
        }
    }
}

/// What an earlier supervisor has typed may have died with it: gates that were not seen to open are looked at again.
pub(super) fn look_again(stored: &mut Stored) {
    // A claim that an older podbay had begun.
    for (name, goal) in &stored.goals {
        if let GoalKind::Claimed { warm, .. } = &goal.kind
            && let Some(claim) = stored.claims.get_mut(warm).filter(|claim| claim.name.is_none())
        {
            claim.name = name.parse().ok();
        }
    }
    for claim in stored.claims.values_mut().filter(|claim| claim.taken != claim.opened) {
        claim.opened = None;
    }
}

fn size_of(kind: &GoalKind) -> Option<TermSize> {
    match kind {
        GoalKind::Claimed { make: Make { what: What::Worker { size, .. }, .. }, .. } => *size,
        _ => None,
    }
}

fn size_of_env(overrides: &Overrides) -> usize {
    overrides.env.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn made_of(template: &Template, overrides: &Overrides, container: &Observed) -> MadeOf {
    let image: ImageFacts = serde_json::from_str(container.label(label::IMAGE)).unwrap_or_default();
    let made = overrides.over(template);
    let argv = gate::command(&made, &image.entrypoint, &image.command);
    MadeOf { user: made.user, argv, workspace: made.workspace, project: made.project }
}
