//! Who is told when goals have ended, and what.

use crate::api::types::{Done, ErrorDetail, SpawnReply};
use crate::bay::container::label;

use super::super::event::{Effect, Reply};
use super::super::goal::PARENT;
use super::{Machine, Out, Pending, PendingKind};

impl Machine {
    /// A goal has ended: those who waited for it alone are answered.
    pub(super) fn tell(&mut self, name: &str, result: &Result<(), ErrorDetail>, notes: &[String], out: &mut Out) {
        for pending in &mut self.pending {
            if pending.targets.remove(name) {
                let news: Vec<String> = notes.iter().filter(|note| !pending.notes.contains(note)).cloned().collect();
                pending.notes.extend(news);
                if let Err(error) = result {
                    pending.failures.push((name.to_owned(), error.clone()));
                }
            }
        }
        let (done, waiting): (Vec<Pending>, Vec<Pending>) =
            std::mem::take(&mut self.pending).into_iter().partition(Pending::is_done);
        self.pending = waiting;
        for pending in done {
            self.answer(pending, out);
        }
    }

    pub(super) fn answer(&mut self, pending: Pending, out: &mut Out) {
        let exits = pending.kind == PendingKind::Down;
        let id = pending.id;
        let reply = self.reply_to(pending);
        let refused = matches!(reply, Reply::Refused(_));
        out.reply(id, reply);
        if exits && !refused {
            self.exiting = true;
            out.push(Effect::Exit);
        }
    }

    fn reply_to(&self, pending: Pending) -> Reply {
        if let Some((name, error)) = pending.failures.first() {
            let mut error = error.clone();
            // Who asked for one thing knows which.
            let other = match &pending.kind {
                PendingKind::Spawn(_) | PendingKind::Verb(_) | PendingKind::Service(_) => false,
                PendingKind::Repair { .. } => name != PARENT,
                PendingKind::Down => true,
            };
            if other {
                error.message = format!("{name}: {}", error.message);
            }
            if pending.failures.len() > 1 {
                let others: Vec<&str> = pending.failures.iter().skip(1).map(|(name, _)| name.as_str()).collect();
                error.message = format!("{} (also failed: {})", error.message, others.join(", "));
            }
            return Reply::Refused(error);
        }
        let notes = pending.notes;
        match pending.kind {
            PendingKind::Spawn(name) => {
                let container = self.seen.get(&name).map(|seen| &seen.container);
                Reply::Spawned(SpawnReply {
                    id: container.map(|container| container.id.to_string()).unwrap_or_default(),
                    host_port: container.and_then(|container| container.ports.first()).map(|port| port.host),
                    claimed: container.is_some_and(|container| !container.label(label::WARM).is_empty()),
                    name,
                    notes,
                })
            }
            PendingKind::Verb(text) | PendingKind::Service(text) => Reply::Done(Done { text: text.to_owned(), notes }),
            PendingKind::Repair { repaired } => {
                let text = match repaired {
                    0 => "the parent runs".to_owned(),
                    1 => "the parent runs; repaired 1 worker".to_owned(),
                    n => format!("the parent runs; repaired {n} workers"),
                };
                Reply::Done(Done { text, notes })
            }
            PendingKind::Down => Reply::Done(Done { text: "the bay is down".to_owned(), notes }),
        }
    }
}

impl Pending {
    /// A repair is answered by the end of the repair.
    fn is_done(&self) -> bool {
        let repairing = matches!(self.kind, PendingKind::Repair { .. }) && self.failures.is_empty();
        self.targets.is_empty() && !repairing
    }
}
