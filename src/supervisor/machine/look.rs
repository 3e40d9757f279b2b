//! Taking in what the engine says: the link, looks, hints, and what ended while nobody looked.

use std::collections::{BTreeMap, BTreeSet};

use crate::bay::container::{ContainerId, Observed, Status};
use crate::bay::name::{BUILD, RETIRED, in_bay};
use crate::bay::owner::Nonce;
use crate::engine::{EngineError, Hint, Identity};

use super::super::event::{Effect, Now, Reply};
use super::super::goal::{Goal, GoalKind, PARENT};
use super::super::guard::Namespaces;
use super::super::refusal;
use super::pool::is_warm;
use super::{Link, MISSES, Machine, Out, Seen};
use crate::api::types::ErrorDetail;

/// Exit codes of processes that were ended from outside: SIGHUP (what a worker with a tty is stopped by), SIGKILL, SIGTERM,
/// and the engine's own "lost".
const TAKEN_DOWN: [i64; 4] = [129, 137, 143, 255];

/// How long an engine that goes may take from its first stopped container to its last answer: its own patience is 15 s.
const GOING: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// The longest wait for an engine behind a socket of this machine.
const LOCAL_RETRY: std::time::Duration = std::time::Duration::from_secs(4);

/// After a claim's own rename, all is looked at once whoever claimed has what they wait for.
const AFTER_CLAIM: std::time::Duration = std::time::Duration::from_secs(1);

/// Nonces that are remembered.
const NONCES: usize = 512;

impl Machine {
    pub(super) fn connected(
        &mut self,
        endpoint: Option<String>,
        answer: Result<Identity, EngineError>,
        now: Now,
        out: &mut Out,
    ) {
        if let Some(endpoint) = endpoint {
            self.endpoint = endpoint;
        }
        self.weaker = match &answer {
            Err(EngineError::NoWalls { weaker, .. }) => Some(*weaker),
            _ => None,
        };
        match answer {
            Ok(identity) => self.link_up(identity, now, out),
            Err(error) => self.link_lost(&error.to_string(), now, out),
        }
    }

    fn link_up(&mut self, identity: Identity, now: Now, out: &mut Out) {
        let text = format!("{} {} answers", identity.kind, identity.version);
        self.say(now, None, text);
        self.identity = Some(identity);
        self.backoff.reset();
        self.link = Link::Up { missed: 0, pinging: false, heard: now.mono };
        self.looking.in_flight = false;
        self.looking.known = false;
        self.look(now, out);
    }

    pub(super) fn link_lost(&mut self, why: &str, now: Now, out: &mut Out) {
        let was_up = matches!(self.link, Link::Up { .. });
        let news = match &self.link {
            Link::Away { why: known, .. } => known != why,
            _ => true,
        };
        if was_up {
            self.gap_since = self.last_good.or(self.stored.seen_at);
            out.push(Effect::Disconnect);
        }
        let spread = self.next_spread();
        let mut wait = self.backoff.fail(spread);
        if self.endpoint.starts_with("unix://") {
            // One connect to a socket of this machine costs nothing, and an engine that is back is seen in time.
            wait = wait.min(LOCAL_RETRY);
        }
        self.link = Link::Away {
            why: why.to_owned(),
            next: now.mono + wait,
            next_wall: now.wall.checked_add(wait).unwrap_or(now.wall),
            connecting: false,
        };
        self.looking.known = false;
        self.looking.in_flight = false;
        // Steps under way will report; what they find is taken in then. What failed with the link was no try.
        self.stored.goals.values_mut().for_each(|goal| goal.attempts = 0);
        self.sessions_open.clear();
        self.drop_probes();
        self.dirty = true;
        if news {
            self.say(now, None, format!("the engine is away: {why}"));
        }
        self.refuse_all(&refusal::away(why), out);
    }

    pub(super) fn take_ping(&mut self, answer: Result<(), EngineError>, now: Now, out: &mut Out) {
        let Link::Up { missed, pinging, heard } = &mut self.link else { return };
        *pinging = false;
        match answer {
            Ok(()) => {
                *missed = 0;
                *heard = now.mono;
            }
            Err(error @ EngineError::Away { .. }) => self.link_lost(&error.to_string(), now, out),
            Err(error) => {
                *missed += 1;
                if *missed >= MISSES {
                    self.link_lost(&error.to_string(), now, out);
                } else {
                    *pinging = true;
                    out.push(Effect::Ping);
                }
            }
        }
    }

    pub(super) fn take_hint(&mut self, hint: Option<Hint>, now: Now, out: &mut Out) {
        if let Some(hint) = hint {
            if changes_nothing(&hint.action) {
                return;
            }
            if hint.action == "rename" && self.stored.claims.contains_key(&hint.id) {
                // What comes of it is known without asking, and somebody waits for the engine; the hint may be late.
                self.looking.due = self.looking.due.min(now.mono + AFTER_CLAIM);
                return;
            }
            if hint.action == "oom" {
                let hit = self.seen.iter().find(|(_, seen)| seen.container.id == hint.id).map(|(name, _)| name.clone());
                if let Some(name) = hit {
                    self.ooms.insert(name, now.wall);
                    self.dirty = true;
                }
            }
        }
        self.look(now, out);
    }

    pub(super) fn take_look(
        &mut self,
        look: u64,
        seen: Result<Vec<Observed>, EngineError>,
        namespaces: Namespaces,
        now: Now,
        out: &mut Out,
    ) {
        if look != self.looking.last || !self.looking.in_flight {
            // One from before the link was lost.
            return;
        }
        self.looking.in_flight = false;
        let listed = match seen {
            Ok(listed) => listed,
            Err(error @ EngineError::Away { .. }) => return self.link_lost(&error.to_string(), now, out),
            Err(error) => return self.look_failed(&error, now, out),
        };
        if let Link::Up { missed, heard, .. } = &mut self.link {
            *missed = 0;
            *heard = now.mono;
        }
        self.looking.failed = false;
        self.take_listed(listed, look);
        self.drop_old_claims();
        self.note_engine_restart();
        if self.namespaces != namespaces {
            self.namespaces = namespaces;
            self.dirty = true;
        }
        self.note_running(now);
        if !self.looking.known {
            self.looking.known = true;
            self.dirty = true;
            self.run_deferred(now, out);
        }
        if self.looking.again {
            self.look(now, out);
        }
    }

    /// Everything that ran before this supervisor began was taken down at once: the engine was restarted while nobody
    /// looked, which is a gap like any other.
    fn note_engine_restart(&mut self) {
        if self.gap_since.is_some() || self.last_good.is_some() || self.stored.running.len() < 2 {
            return;
        }
        let down = |name: &String| {
            self.seen.get(name).is_some_and(
                |seen| matches!(seen.container.status, Status::Exited { code, .. } if TAKEN_DOWN.contains(&code)),
            )
        };
        if self.stored.running.iter().all(down) {
            self.gap_since = self.stored.seen_at;
        }
    }

    /// A list that failed says nothing: everything stays as it was, and is looked at again.
    fn look_failed(&mut self, error: &EngineError, now: Now, out: &mut Out) {
        if let Link::Up { missed, .. } = &mut self.link {
            *missed += 1;
            if *missed >= MISSES {
                return self.link_lost(&error.to_string(), now, out);
            }
        }
        self.looking.failed = true;
        self.looking.due = now.mono + std::time::Duration::from_secs(1);
    }

    /// Sorts a list into ours, retired and foreign. What was seen after the look was asked for is newer than the list.
    fn take_listed(&mut self, listed: Vec<Observed>, look: u64) {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut retired = BTreeMap::new();
        let mut foreign = BTreeSet::new();
        for container in listed {
            let Some(name) = self.name_of(&container) else { continue };
            if name.ends_with(BUILD) {
                // Whoever makes an image in it removes it.
                continue;
            }
            let Some(nonce) = self.owned(&container) else {
                foreign.insert(name);
                continue;
            };
            let sighting = Seen { container, nonce, epoch: look };
            match name.strip_suffix(RETIRED) {
                Some(name) => retired.insert(name.to_owned(), sighting),
                None => seen.insert(name, sighting),
            };
        }
        for (known, listed) in [(&self.seen, &mut seen), (&self.retired, &mut retired)] {
            // One that was renamed since stands in the list under its old name.
            let newer: BTreeMap<&String, &Seen> = known.iter().filter(|(_, known)| known.epoch >= look).collect();
            listed.retain(|_, old| newer.values().all(|newer| newer.container.id != old.container.id));
            for (name, newer) in newer {
                listed.insert(name.clone(), newer.clone());
            }
            // Gone since the look was asked for.
            listed.retain(|name, sighting| {
                !self.vanished.iter().any(|(id, epoch)| *epoch >= look && *id == sighting.container.id)
                    || known.get(name).is_some_and(|known| known.epoch >= look)
            });
        }
        self.vanished.retain(|(_, epoch)| *epoch > look);
        let same = |one: &BTreeMap<String, Seen>, other: &BTreeMap<String, Seen>| {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && a.1.container == b.1.container)
        };
        self.dirty |= !same(&self.seen, &seen) || !same(&self.retired, &retired) || self.foreign != foreign;
        self.seen = seen;
        self.retired = retired;
        self.foreign = foreign;
    }

    /// The nonce of a container that this bay made. A label alone proves nothing, and a copied one even less: the first
    /// id seen with a nonce keeps it.
    fn owned(&mut self, container: &Observed) -> Option<Nonce> {
        let nonce = self.key.verify(&self.config.bay, container)?;
        match self.stored.ours.get(&nonce) {
            Some(id) if *id == container.id => Some(nonce),
            // The first one made with it was removed by somebody, and the goal has made another.
            Some(_) if self.is_being_made(container, &nonce) => {
                self.stored.ours.insert(nonce.clone(), container.id.clone());
                Some(nonce)
            }
            Some(_) => None,
            None => {
                // Made by a supervisor that was killed before it could write down the id.
                self.stored.ours.insert(nonce.clone(), container.id.clone());
                Some(nonce)
            }
        }
    }

    /// A nonce is not spent while its goal goes on; only the container of the goal's own name can have it.
    fn is_being_made(&self, container: &Observed, nonce: &Nonce) -> bool {
        let name = in_bay(&self.config.bay, &container.name);
        let goal = name.and_then(|name| self.stored.goals.get(name));
        goal.is_some_and(|goal| goal.kind.nonce() == Some(nonce))
    }

    /// One container as it is after a step.
    pub(super) fn absorb(&mut self, container: Observed) {
        let Some(nonce) = self.owned(&container) else { return };
        let id = container.id.clone();
        let changed_run = self
            .seen
            .values()
            .any(|seen| seen.container.id == id && seen.container.status.since() != container.status.since());
        if changed_run {
            // A new run may be in a new namespace.
            self.namespaces.remove(&id);
        }
        self.seen.retain(|_, seen| seen.container.id != id);
        self.retired.retain(|_, seen| seen.container.id != id);
        let Some(name) = self.name_of(&container) else { return };
        let sighting = Seen { container, nonce, epoch: self.looking.last };
        match name.strip_suffix(RETIRED) {
            Some(name) => self.retired.insert(name.to_owned(), sighting),
            None => self.seen.insert(name, sighting),
        };
        self.dirty = true;
    }

    /// One container that is known not to be there any more.
    pub(super) fn vanish(&mut self, id: &ContainerId) {
        self.seen.retain(|_, seen| seen.container.id != *id);
        self.retired.retain(|_, seen| seen.container.id != *id);
        self.vanished.push((id.clone(), self.looking.last));
        self.dirty = true;
    }

    /// Remembers what runs, for the next supervisor after a reboot.
    fn note_running(&mut self, now: Now) {
        if self.gap_since.is_some() {
            return;
        }
        let ran = |name: &String, status: &Status| match status {
            Status::Unclear { .. } => self.stored.running.contains(name),
            // Perhaps the first sign of an engine that goes: it stops its containers, and answers until they have ended.
            Status::Exited { code, at: Some(at), .. } => {
                TAKEN_DOWN.contains(code)
                    && self.stored.running.contains(name)
                    && !self.stored.stopped.contains(name)
                    && now.wall.duration_since(*at) < GOING
            }
            status => status.is_running(),
        };
        // Warm ones are the pool's: it makes others.
        let running = self.seen.iter().filter(|(name, seen)| !is_warm(name) && ran(name, &seen.container.status));
        let running = running.map(|(name, _)| name.clone()).collect();
        if self.stored.running != running || self.stored.boot != self.boot {
            self.stored.running = running;
            self.stored.boot.clone_from(&self.boot);
            self.stored.seen_at = Some(now.wall);
        }
        self.last_good = Some(now.wall);
        self.drop_old_nonces();
    }

    /// Nonces of removed containers are kept, or a container with copied labels would become ours once the original is
    /// gone. Only when there are very many are those forgotten that nothing stands for.
    fn drop_old_nonces(&mut self) {
        if self.stored.ours.len() <= NONCES {
            return;
        }
        let there: BTreeSet<ContainerId> =
            self.seen.values().chain(self.retired.values()).map(|seen| seen.container.id.clone()).collect();
        let making: BTreeSet<Nonce> =
            self.stored.goals.values().filter_map(|goal| goal.kind.nonce().cloned()).collect();
        let mut surplus = self.stored.ours.len() - NONCES;
        self.stored.ours.retain(|nonce, id| {
            let keep = surplus == 0 || there.contains(id) || making.contains(nonce);
            surplus -= usize::from(!keep);
            keep
        });
    }

    /// What ran before the engine or the machine went down, and was taken down with it, is brought back: the parent by
    /// its rank first, the workers once it runs.
    pub(super) fn recover_from_gap(&mut self, now: Now) {
        let Some(since) = self.gap_since.take() else { return };
        let since = since.checked_sub(GOING).unwrap_or(since);
        let taken_down = |status: &Status| match status {
            Status::Exited { code, at, .. } => TAKEN_DOWN.contains(code) && at.is_none_or(|at| at >= since),
            _ => false,
        };
        let ran = self.stored.running.clone();
        let back: Vec<String> = ran
            .into_iter()
            .filter(|name| !self.stored.stopped.contains(name) && !self.stored.goals.contains_key(name))
            // Services follow rules of their own.
            .filter(|name| !name.starts_with("svc-"))
            .filter(|name| self.seen.get(name).is_some_and(|seen| taken_down(&seen.container.status)))
            .collect();
        for name in back {
            self.say(now, Some(&name), "went down with the engine; it is started again");
            self.stored.goals.insert(name.clone(), Goal::new(GoalKind::Running));
            if name == PARENT {
                self.repairing.get_or_insert_default();
            }
        }
        self.note_running(now);
    }

    /// Everybody who waits is told this.
    pub(super) fn refuse_all(&mut self, error: &ErrorDetail, out: &mut Out) {
        let deferred = std::mem::take(&mut self.deferred).into_iter().map(|(id, _)| id);
        // Native services do without an engine.
        let all = self.exiting;
        let needs_engine =
            |pending: &mut super::Pending| all || !matches!(pending.kind, super::PendingKind::Service(_));
        let pending: Vec<_> = self.pending.extract_if(.., needs_engine).map(|pending| pending.id).collect();
        let down = if all { self.going_down.take() } else { None };
        for id in deferred.chain(pending).chain(down.map(|(id, _)| id)) {
            out.reply(id, Reply::Refused(error.clone()));
        }
    }
}

/// An exec, a probe, a terminal that is looked at: nothing that a look would show.
fn changes_nothing(action: &str) -> bool {
    action.starts_with("exec_") || matches!(action, "top" | "attach" | "detach" | "resize" | "export" | "archive-path")
}
