//! The way down: services first, each after what waits for it; then the rest.

use crate::api::types::Done;

use super::super::event::{Command, Effect, Now, Reply};
use super::{Link, Machine, Out};

impl Machine {
    /// A `down` goes on once the services have ended.
    pub(super) fn go_down(&mut self, now: Now, out: &mut Out) {
        if let Some(error) = self.going_down.is_some().then(|| self.stuck_service()).flatten() {
            if let Some((id, _)) = self.going_down.take() {
                out.reply(id, Reply::Refused(error));
            }
            return;
        }
        if self.services_are_gone()
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
}
