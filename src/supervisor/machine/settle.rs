//! After an event: which terminals are opened and ended, what is said of what changed.

use std::collections::BTreeSet;

use crate::api::types::HistoryLine;
use crate::bay::container::{ContainerId, Status};
use crate::bay::name::Name;
use crate::bay::session::TermSize;

use super::super::event::{Effect, Now};
use super::{HISTORY, Link, Machine, Out};

impl Machine {
    /// Before all else, so that no step is taken which a crash would make forgotten.
    pub(super) fn keep_state(&mut self, out: &mut Out) {
        let due = std::mem::take(&mut self.save_due);
        if self.stored == self.written && !due {
            return;
        }
        let claims_only = !due && self.stored.but_for_claims() == self.written.but_for_claims();
        if claims_only && !out.0.iter().any(|effect| matches!(effect, Effect::Step(..))) {
            // What came of a claim is seen again by whoever comes after a kill: it is written with the next tick.
            self.jotted = true;
            return;
        }
        let stored = Box::new(self.stored.clone());
        if claims_only {
            // Who waits for a claim need not wait for this: what was claimed is seen again. Steps do wait.
            out.0.sort_by_key(|effect| !matches!(effect, Effect::Reply(..)));
            let at = out.0.partition_point(|effect| matches!(effect, Effect::Reply(..)));
            out.0.insert(at, Effect::Jot(stored));
        } else {
            out.0.insert(0, Effect::Save(stored));
        }
        self.jotted = claims_only;
        self.written = self.stored.clone();
    }

    pub(super) fn saved(&mut self, result: Result<(), String>) {
        let trouble = result.err().map(|why| format!("the state can't be saved: {why}"));
        self.dirty |= trouble != self.save_trouble;
        self.save_trouble = trouble;
    }

    /// Why the last change is not in the state file.
    #[must_use]
    pub fn save_trouble(&self) -> Option<&str> {
        self.save_trouble.as_deref()
    }

    /// What is to be saved, said, shown and attached after an event.
    pub(super) fn settle(&mut self, now: Now, out: &mut Out) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        self.seq += 1;
        self.settle_sessions(out);
        self.settle_probes(now, out);
        self.settle_leftovers(out);
        let mut rows = self.make_rows();
        self.note_calls(&mut rows, now);
        self.note_changes(&rows, now);
        self.note_services(now);
        self.rows = rows;
    }

    /// Containers whose sessions are to be opened, ended or forgotten.
    fn settle_sessions(&mut self, out: &mut Out) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        for (name, seen) in &self.seen {
            let container = &seen.container;
            if !container.tty || matches!(container.status, Status::Unclear { .. }) {
                continue;
            }
            let running = container.status.is_running();
            // An engine opens no terminal of what is paused.
            let opens = matches!(container.status, Status::Running { paused: false, .. });
            if opens && self.sessions_open.insert(container.id.clone()) {
                let Ok(name) = name.parse::<Name>() else { continue };
                let size = TermSize::default();
                out.push(Effect::OpenSession { id: container.id.clone(), name, size });
            } else if !running && self.sessions_open.remove(&container.id) {
                let code = match container.status {
                    Status::Exited { code, .. } => Some(code),
                    _ => None,
                };
                let reason = self.reason_of(name).map(|reason| reason.to_string()).unwrap_or_default();
                out.push(Effect::EndSessions { id: container.id.clone(), reason, code });
            }
        }
        if !self.looking.known {
            return;
        }
        self.sessions_known
            .extend(self.seen.values().filter(|seen| seen.container.tty).map(|seen| seen.container.id.clone()));
        let seen = self.seen.values().chain(self.retired.values());
        let there: BTreeSet<&ContainerId> = seen.map(|seen| &seen.container.id).collect();
        let gone: Vec<ContainerId> = self.sessions_known.iter().filter(|id| !there.contains(id)).cloned().collect();
        for id in gone {
            self.sessions_open.remove(&id);
            self.sessions_known.remove(&id);
            out.push(Effect::ForgetSessions(id));
        }
    }

    /// Writes a line of history.
    pub(super) fn say(&mut self, now: Now, name: Option<&str>, text: impl Into<String>) {
        self.history_seq += 1;
        let line =
            HistoryLine { seq: self.history_seq, at: now.wall, name: name.map(str::to_owned), text: text.into() };
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(line);
        self.dirty = true;
    }
}
