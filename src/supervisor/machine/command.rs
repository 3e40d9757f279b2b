//! Turning wishes into goals.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::api::types::{Done, ErrorDetail, ServiceVerb, SpawnRequest, Verb};
use crate::bay::container::{Observed, Role, Status};
use crate::bay::matching::{self, MatchError};
use crate::bay::name::Name;
use crate::bay::outgoing::Outgoing;
use crate::bay::owner::Nonce;
use crate::bay::template::NetworkMode;

use super::super::event::{Command, CommandId, Effect, Now, Reply};
use super::super::goal::{Goal, GoalKind, Make, PARENT, What};
use super::super::refusal;
use super::making::{check_rebuild, check_repository};
use super::pool::is_warm;
use super::{DEFERRED, Link, Machine, Out, Pending, PendingKind};

impl Machine {
    pub(super) fn take_command(&mut self, id: CommandId, command: Command, now: Now, out: &mut Out) {
        // What needs no engine is answered at once, whatever its state.
        match command {
            Command::Why(name) => {
                let reply = match self.why(&name, now) {
                    Ok(why) => Reply::Why(Box::new(why)),
                    Err(error) => Reply::Refused(error),
                };
                return out.reply(id, reply);
            }
            Command::Reload(read) => return self.reload(id, read, now, out),
            Command::Note { name, text } => return self.take_note(id, name.as_ref(), text, now, out),
            Command::Knock(knock) => return self.knock(id, &knock, now, out),
            Command::Strayed { host, why } => return self.strayed(id, &host, &why, now, out),
            Command::Network(request) => return self.answer_network(id, request, now, out),
            Command::Listens(trouble) => return self.listens(id, trouble, now, out),
            Command::Act { target, verb } if !self.exiting && self.means_service(&target) => {
                let verb = match verb {
                    Verb::Start => ServiceVerb::Start,
                    Verb::Stop => ServiceVerb::Stop,
                    Verb::Restart | Verb::Refresh => ServiceVerb::Restart,
                    Verb::Remove | Verb::Discard => {
                        let why = "a service is removed by taking it out of the configuration; `podbay service stop` stops it";
                        return out.reply(id, Reply::Refused(refusal::invalid(why)));
                    }
                };
                let target = if target.starts_with("svc-") { Ok(target) } else { self.find(&target) };
                return match target {
                    Ok(target) => self.service_command(id, &target, verb, out),
                    Err(error) => out.reply(id, Reply::Refused(error)),
                };
            }
            Command::Service { target, verb } if !self.exiting => return self.service_command(id, &target, verb, out),
            Command::Down(request) if request.supervisor_only => {
                out.reply(
                    id,
                    Reply::Done(Done {
                        text: "the supervisor ends; containers stay as they are".to_owned(),
                        notes: vec![],
                    }),
                );
                self.exiting = true;
                return out.push(Effect::Exit);
            }
            _ => {}
        }
        if self.exiting {
            return out.reply(id, Reply::Refused(refusal::busy("the bay is going down")));
        }
        match &command {
            // Native services need no engine.
            Command::Up { .. } | Command::Down(_) if self.is_going_down() => {
                return out.reply(id, Reply::Refused(refusal::busy("the bay is going down")));
            }
            Command::Up { gently } => {
                self.services_up(*gently);
                self.pools_up();
            }
            Command::Down(request) => {
                // What waits for it is kept here until nothing of the services is left.
                self.services_down();
                self.stored.pools_up = false;
                self.going_down = Some((id, *request));
                return;
            }
            _ => {}
        }
        self.take_for_engine(id, command, now, out);
    }

    pub(super) fn take_for_engine(&mut self, id: CommandId, command: Command, now: Now, out: &mut Out) {
        match &self.link {
            Link::Away { why, .. } => out.reply(id, Reply::Refused(refusal::away(why))),
            _ if !self.looking.known => {
                if self.deferred.len() >= DEFERRED {
                    out.reply(
                        id,
                        Reply::Refused(refusal::capacity("the engine has not answered yet, and many wait already")),
                    );
                } else {
                    self.deferred.push((id, command));
                }
            }
            _ => self.begin(id, command, now, out),
        }
    }

    pub(super) fn run_deferred(&mut self, now: Now, out: &mut Out) {
        for (id, command) in std::mem::take(&mut self.deferred) {
            self.begin(id, command, now, out);
        }
    }

    fn begin(&mut self, id: CommandId, command: Command, now: Now, out: &mut Out) {
        self.dirty = true;
        let begun = match command {
            Command::Spawn(request) => self.spawn(id, &request, now),
            Command::Act { target, verb } => self.act(id, &target, verb, out),
            Command::Up { gently: true } => Ok(self.up_gently(id)),
            Command::Up { gently: false } => {
                self.up(id);
                Ok(None)
            }
            Command::Pool(request) => self.order_pools(&request, now).map(|done| {
                out.reply(id, Reply::Done(done));
                None
            }),
            Command::Down(request) => Ok(self.down(id, request, now, out)),
            // Answered before.
            _ => Ok(None),
        };
        match begun {
            Ok(None) => {}
            Ok(Some(done)) => self.answer(done, out),
            Err(error) => out.reply(id, Reply::Refused(error)),
        }
    }

    pub(super) fn wait(&mut self, id: CommandId, kind: PendingKind, targets: impl IntoIterator<Item = String>) {
        let targets: BTreeSet<String> = targets.into_iter().collect();
        self.pending.push(Pending { id, kind, targets, failures: Vec::new(), notes: Vec::new() });
    }

    fn spawn(&mut self, id: CommandId, request: &SpawnRequest, now: Now) -> Result<Option<Pending>, ErrorDetail> {
        let template_name = request.template.clone().unwrap_or_else(|| self.config.worker.name.clone());
        let template = request.overrides.over(self.template(&template_name)?);
        crate::config::check_template(&template).map_err(|why| refusal::invalid(&why))?;
        check_repository(&template, request.overrides.branch.as_deref()).map_err(|why| refusal::invalid(&why))?;
        check_rebuild(&template, request.overrides.rebuild).map_err(|why| refusal::invalid(&why))?;
        if !request.overrides.ports.is_empty() && template.network != NetworkMode::Bridge {
            return Err(refusal::invalid(
                "ports are published of workers with network \"bridge\" only; in the shared network the parent publishes",
            ));
        }
        if template.network == NetworkMode::Bridge && self.config.outgoing() != Outgoing::Open {
            return Err(refusal::invalid(
                "a network of its own is not held by [network] allow: take \"shared\" or \"none\"",
            ));
        }
        let name = match &request.name {
            Some(text) => Name::worker(text).map_err(|error| refusal::invalid(&error.to_string()))?,
            None => self.free_name(&template_name),
        };
        if self.config.services.iter().any(|service| service.name == name) {
            return Err(refusal::invalid(&format!("{name} is the name of a service of this bay: take another one")));
        }
        if self.seen.contains_key(name.as_str()) || self.stored.goals.contains_key(name.as_str()) {
            return Err(refusal::name_taken(&name));
        }
        if self.foreign.contains(name.as_str()) {
            return Err(refusal::name_foreign(&name));
        }
        let what = What::Worker {
            template: template_name,
            overrides: Box::new(request.overrides.clone()),
            size: request.size,
        };
        let make = Make { nonce: self.fresh_nonce(&format!("{name}{}", now.wall)), what };
        if template.network == NetworkMode::Shared {
            self.want_parent();
        }
        self.pools_up();
        let key = name.as_str().to_owned();
        self.faults.remove(&key);
        self.stored.stopped.remove(&key);
        let goal = match self.config.template(&template.name).cloned() {
            Some(base) => self.claim_or_make(&name, &base, request, make, now),
            None => Goal::new(GoalKind::Made(make)),
        };
        for note in goal.notes.clone() {
            self.say(now, Some(&key), note);
        }
        self.stored.goals.insert(key.clone(), goal);
        self.wait(id, PendingKind::Spawn(key.clone()), [key]);
        Ok(None)
    }

    /// The lowest free `<template>-<n>`; `worker-<n>` for the default template.
    fn free_name(&self, template: &Name) -> Name {
        let stem = if *template == self.config.worker.name { "worker" } else { template.as_str() };
        let stem = stem.get(..stem.len().min(50)).unwrap_or("worker");
        // A template may be called as no worker may.
        let stem = if Name::worker(&format!("{stem}-1")).is_ok() { stem } else { "worker" };
        let taken = |name: &str| {
            self.seen.contains_key(name)
                || self.stored.goals.contains_key(name)
                || self.foreign.contains(name)
                || self.config.services.iter().any(|service| service.name.as_str() == name)
        };
        let mut number = 1_u64;
        loop {
            let candidate = format!("{stem}-{number}");
            if let Ok(name) = Name::worker(&candidate)
                && !taken(&candidate)
            {
                return name;
            }
            number += 1;
        }
    }

    /// A parent that is missing or down gets a goal; one that is on its way or runs does not.
    pub(super) fn want_parent(&mut self) {
        if self.stored.goals.contains_key(PARENT) {
            return;
        }
        let kind = match self.parent() {
            None => GoalKind::Made(self.make_parent()),
            Some(parent) if !parent.status.is_running() => self.bring_parent_back(parent),
            Some(_) => return,
        };
        self.stored.stopped.remove(PARENT);
        self.stored.goals.insert(PARENT.to_owned(), Goal::new(kind));
    }

    /// For those who only open the door: a parent that is missing is made, and one that went down is started. Cut off
    /// workers stay as they are, or what their agents do would end by somebody having a look.
    fn up_gently(&mut self, id: CommandId) -> Option<Pending> {
        if !self.stored.stopped.contains(PARENT) {
            self.want_parent();
        }
        let mut targets = self.service_targets();
        targets.extend(self.stored.goals.contains_key(PARENT).then(|| PARENT.to_owned()));
        if !targets.is_empty() {
            self.wait(id, PendingKind::Verb("the parent runs"), targets);
            return None;
        }
        Some(done(id, "nothing was to be done"))
    }

    fn up(&mut self, id: CommandId) {
        self.want_parent();
        self.repairing.get_or_insert_default();
        let mut targets = self.service_targets();
        targets.extend(self.stored.goals.contains_key(PARENT).then(|| PARENT.to_owned()));
        let note = self.stale_parent();
        self.wait(id, PendingKind::Repair { repaired: 0 }, targets);
        if let Some(pending) = self.pending.last_mut() {
            pending.notes.extend(note);
        }
    }

    fn act(&mut self, id: CommandId, target: &str, verb: Verb, out: &mut Out) -> Result<Option<Pending>, ErrorDetail> {
        let name = self.find(target)?;
        // What somebody agreed to lose is not agreed for ever.
        self.stored.discard.remove(&name);
        if is_ending(verb) && self.is_filling(&name) {
            out.push(Effect::GiveUp(name.clone()));
            return self.act_unseen(id, &name, verb);
        }
        if let Some(goal) = self.stored.goals.get(&name)
            && goal.kind != GoalKind::Named
        {
            if self.busy.contains_key(&name) {
                return Err(refusal::busy(&format!("it is {}", goal.working())));
            }
            if !is_ending(verb) {
                return Err(refusal::busy("it waits for something else; stop or remove it first"));
            }
        }
        let Some(container) = self.seen.get(&name).map(|seen| seen.container.clone()) else {
            return self.act_unseen(id, &name, verb);
        };
        if name == PARENT && matches!(verb, Verb::Restart | Verb::Start | Verb::Refresh) {
            return self.act_on_parent(id, &container, verb);
        }
        if is_warm(&name) && verb != Verb::Remove {
            return Err(refusal::warm());
        }
        let (kind, text) = match verb {
            Verb::Start if container.status.is_running() => return Ok(Some(done(id, "it runs already"))),
            Verb::Start => (self.bring_back_checked(&container)?, "started"),
            Verb::Stop if !container.status.is_running() && !self.stored.goals.contains_key(&name) => {
                self.stored.stopped.insert(name);
                return Ok(Some(done(id, "it does not run")));
            }
            Verb::Stop => (GoalKind::Stopped, "stopped"),
            Verb::Restart => (self.bring_back_checked(&container)?, "restarted"),
            Verb::Refresh => (self.refresh(&container)?, "made anew; workspace and agent home kept"),
            Verb::Remove | Verb::Discard => (GoalKind::Gone, "removed"),
        };
        self.supersede(&name);
        self.refreshes += u64::from(verb == Verb::Refresh);
        if verb == Verb::Discard {
            self.stored.discard.insert(name.clone());
        }
        // A parent that was removed by request is not brought back by a pool that would like to have it.
        if verb == Verb::Stop || (name == PARENT && is_ending(verb)) {
            self.stored.stopped.insert(name.clone());
        } else {
            self.stored.stopped.remove(&name);
        }
        self.stored.goals.insert(name.clone(), Goal::new(kind));
        self.wait(id, PendingKind::Verb(text), [name]);
        Ok(None)
    }

    /// A name whose container is not there: one that is being made, or a parent that was removed.
    fn act_unseen(&mut self, id: CommandId, name: &str, verb: Verb) -> Result<Option<Pending>, ErrorDetail> {
        if name == PARENT && matches!(verb, Verb::Restart | Verb::Start | Verb::Refresh) {
            self.up(id);
            return Ok(None);
        }
        if is_ending(verb) && self.stored.goals.contains_key(name) {
            self.supersede(name);
            if verb == Verb::Discard {
                self.stored.discard.insert(name.to_owned());
            }
            self.stored.goals.insert(name.to_owned(), Goal::new(GoalKind::Gone));
            self.wait(id, PendingKind::Verb("given up"), [name.to_owned()]);
            return Ok(None);
        }
        Err(refusal::not_found(&MatchError::None { word: name.to_owned(), nearest: None }))
    }

    /// Those who waited for the goal that this one replaces are told so.
    pub(super) fn supersede(&mut self, name: &str) {
        let error = refusal::busy("something else was asked of it in the meantime");
        for pending in &mut self.pending {
            if pending.targets.remove(name) {
                pending.failures.push((name.to_owned(), error.clone()));
                // Kept until something ends; an answer is owed in any case.
                pending.targets.insert(name.to_owned());
            }
        }
    }

    fn act_on_parent(&mut self, id: CommandId, parent: &Observed, verb: Verb) -> Result<Option<Pending>, ErrorDetail> {
        let cut_off = self.seen.values().any(|seen| self.lost(&seen.container).is_some());
        let kind = match (verb, &parent.status) {
            (Verb::Refresh, _) => {
                let make = self.make_again(parent)?;
                Some(GoalKind::Recreated { make, old: parent.id.clone(), start: true })
            }
            (_, status) if !status.is_running() => Some(self.bring_parent_back(parent)),
            // It runs, and only its workers are in the old namespace: those are what needs a restart.
            (Verb::Restart, Status::Running { since, .. }) if !cut_off => {
                Some(GoalKind::Restarted { before: Some(*since) })
            }
            _ => None,
        };
        self.stored.stopped.remove(PARENT);
        let targets = kind.map(|kind| {
            self.stored.goals.insert(PARENT.to_owned(), Goal::new(kind));
            PARENT.to_owned()
        });
        self.repairing.get_or_insert_default();
        self.wait(id, PendingKind::Repair { repaired: 0 }, targets);
        Ok(None)
    }

    /// A worker of the shared network is not touched while its parent is down: the engine would end it for good.
    fn bring_back_checked(&self, container: &Observed) -> Result<GoalKind, ErrorDetail> {
        let joins = matches!(container.network, crate::bay::container::ObservedNetwork::Of(_));
        let parent_up = self.parent().is_some_and(|parent| parent.status.is_running());
        if joins && !parent_up && !self.stored.goals.contains_key(PARENT) {
            return Err(refusal::parent_down());
        }
        self.bring_back(container)
    }

    fn refresh(&self, container: &Observed) -> Result<GoalKind, ErrorDetail> {
        if container.role() != Some(Role::Worker) {
            return Err(refusal::invalid("only workers and the parent are refreshed"));
        }
        let make = self.make_again(container)?;
        if !self.joins_parent(&make) || self.parent().is_some_and(|parent| parent.status.is_running()) {
            let start = container.status.is_running();
            return Ok(GoalKind::Recreated { make, old: container.id.clone(), start });
        }
        Err(refusal::parent_down())
    }

    /// Whether a service is meant where a container is asked for: its container is started and stopped by its rules.
    fn means_service(&self, word: &str) -> bool {
        let found = || self.find(word).is_ok_and(|name| self.service_of_container(&name).is_some());
        word.starts_with("svc-") || found()
    }

    /// The name that a route's `{id}` means: exact name, id, or a unique prefix of either.
    pub(super) fn find(&self, word: &str) -> Result<String, ErrorDetail> {
        if self.stored.goals.contains_key(word) || self.seen.contains_key(word) || word == PARENT {
            return Ok(word.to_owned());
        }
        let found = matching::resolve(word, &self.rows).map_err(|error| refusal::not_found(&error))?;
        match found.as_slice() {
            [row] => Ok(row.name.clone()),
            many => {
                let names = many.iter().take(10).map(|row| row.name.clone()).collect();
                Err(refusal::not_found(&MatchError::Ambiguous { word: word.to_owned(), names }))
            }
        }
    }

    /// Unique: the counter never stands still, and the key makes it unguessable.
    pub(super) fn fresh_nonce(&self, salt: &str) -> Nonce {
        let mut hash = Sha256::new();
        hash.update(self.key.sign(&self.config.bay, Role::Worker, &Nonce::from_bytes([0; 16])));
        hash.update(format!("{}:{}:{}:{salt}", self.pid, self.seq, self.spread));
        hash.update(format!("{:?}", self.stored.ours.len()));
        hash.update(format!("{:?}", self.last_good));
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
        Nonce::from_bytes(bytes)
    }
}

fn done(id: CommandId, text: &'static str) -> Pending {
    Pending { id, kind: PendingKind::Verb(text), targets: BTreeSet::new(), failures: Vec::new(), notes: Vec::new() }
}

/// What may be asked of a name whatever else is wanted of it.
const fn is_ending(verb: Verb) -> bool {
    matches!(verb, Verb::Stop | Verb::Remove | Verb::Discard)
}
