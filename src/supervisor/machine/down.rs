//! The way down: services first, each after what waits for it; then the rest.

use crate::api::types::{Done, DownRequest};

use super::super::event::{Command, CommandId, Effect, Now, Reply};
use super::super::goal::{Goal, GoalKind, PARENT};
use super::super::refusal;
use super::pool::is_warm;
use super::{Link, Machine, Out, Pending, PendingKind};

impl Machine {
    /// A `down` waits for the services, then for the engine's first answer, or for the containers after them.
    pub(super) fn is_going_down(&self) -> bool {
        let deferred = self.deferred.iter().any(|(_, command)| matches!(command, Command::Down(_)));
        deferred
            || self.going_down.is_some()
            || self.pending.iter().any(|pending| matches!(pending.kind, PendingKind::Down))
    }

    /// A `down` goes on once the services have ended.
    pub(super) fn go_down(&mut self, now: Now, out: &mut Out) {
        if let Some(error) = self.going_down.is_some().then(|| self.stuck_service()).flatten() {
            if let Some((id, _)) = self.going_down.take() {
                out.reply(id, Reply::Refused(error));
            }
            return;
        }
        if self.services_are_gone()
            && !self.names_are_given(now)
            && let Some((id, request)) = self.going_down.take()
        {
            if matches!(self.link, Link::Away { .. }) && self.stored.ours.is_empty() {
                // No container was ever made: there is nothing that an engine would have to stop.
                let text = "the bay is down".to_owned();
                out.reply(id, Reply::Done(Done { text, notes: vec![] }));
                self.exiting = true;
                return out.push(Effect::Exit);
            }
            self.take_for_engine(id, Command::Down(request), now, out);
        }
    }

    /// Whether the engine is still to be told the names of claimed workers: nobody would do it afterwards.
    fn names_are_given(&mut self, now: Now) -> bool {
        if self.going_down.is_none() || !matches!(self.link, Link::Up { .. }) {
            return false;
        }
        self.keep_names(now);
        let mut given = false;
        for (name, goal) in &mut self.stored.goals {
            match goal.kind {
                GoalKind::Named => goal.not_before = None,
                GoalKind::Claimed { .. } if !self.waits.contains_key(name) => {}
                _ => continue,
            }
            given = true;
        }
        given
    }

    /// The parent, and with them the workers, end; then the supervisor.
    pub(super) fn down(&mut self, id: CommandId, request: DownRequest, now: Now, out: &mut Out) -> Option<Pending> {
        let running = self.seen.iter().filter(|(name, seen)| !is_warm(name) && seen.container.status.is_running());
        let (workers, parent): (Vec<String>, Vec<String>) =
            running.map(|(name, _)| name.clone()).partition(|name| name != PARENT);
        let mut targets = parent;
        // One that is being made would be there afterwards, and its goal would be gone on with at the next start.
        if targets.is_empty() && self.busy.contains_key(PARENT) {
            targets.push(PARENT.to_owned());
        }
        let mut notes = Vec::new();
        if request.workers {
            targets.extend(workers);
        } else if !workers.is_empty() {
            notes.push(match workers.as_slice() {
                [worker] => {
                    format!("{worker} keeps running; `podbay up` brings its network back, `down --workers` stops it")
                }
                _ => format!(
                    "{} workers keep running; `podbay up` brings their network back, `down --workers` stops them",
                    workers.len()
                ),
            });
        }
        let error = refusal::busy("the bay is going down");
        self.repairing = None;
        for pending in self.pending.extract_if(.., |pending| matches!(pending.kind, PendingKind::Repair { .. })) {
            out.reply(pending.id, Reply::Refused(error.clone()));
        }
        let dropped: Vec<String> =
            self.stored.goals.keys().filter(|name| !self.busy.contains_key(*name)).cloned().collect();
        for name in dropped {
            self.stored.goals.remove(&name);
            self.tell(&name, &Err(error.clone()), &[], out);
        }
        for name in &targets {
            self.supersede(name);
            self.stored.stopped.insert(name.clone());
            self.stored.goals.insert(name.clone(), Goal::new(GoalKind::Stopped));
        }
        targets.extend(self.let_all_go(now));
        self.wait(id, PendingKind::Down, targets);
        let pending = self.pending.last_mut()?;
        pending.notes = notes;
        if pending.targets.is_empty() { self.pending.pop() } else { None }
    }
}
