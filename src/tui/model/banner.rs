//! The one line that says what is wrong with the bay as a whole.

use jiff::Timestamp;

use crate::api::types::{LinkState, Status};

use super::Model;
use super::feed::Link;

/// What is wrong with the bay as a whole; the worst comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Banner {
    /// The supervisor does not answer.
    SupervisorLost {
        /// Why.
        reason: String,
        /// When it is tried again.
        next_try_at: Option<Timestamp>,
    },
    /// The engine does not answer.
    EngineAway {
        /// Why.
        reason: String,
        /// When it is tried again.
        next_try_at: Option<Timestamp>,
    },
    /// So many workers lost their network.
    CutOff(usize),
    /// So many names were asked for outside of the bay, and wait for an answer.
    Asked(usize),
    /// The supervisor is in trouble.
    Trouble(String),
}

/// Those that fire, the first in words.
fn alerts(status: &Status) -> Option<String> {
    let first = status.alerts.iter().find(|alert| alert.severity == "critical").or_else(|| status.alerts.first())?;
    let of = if first.subject.is_empty() { String::new() } else { format!(" ({})", first.subject) };
    let more = match status.alerts.len() {
        1 => String::new(),
        count => format!("; {} more", count - 1),
    };
    Some(format!("alert: {}{of}{more}", first.summary))
}

impl Model {
    /// What is wrong with the bay as a whole.
    #[must_use]
    pub fn banner(&self) -> Option<Banner> {
        if let Link::Lost { reason, next_try_at } = &self.feed.link {
            return Some(Banner::SupervisorLost { reason: reason.clone(), next_try_at: Some(*next_try_at) });
        }
        let status = self.feed.status()?;
        if status.engine.state == LinkState::Away {
            let reason = status.engine.reason.clone().unwrap_or_else(|| "it does not answer".to_owned());
            return Some(Banner::EngineAway { reason, next_try_at: status.engine.next_try_at });
        }
        match self.feed.cut_off() {
            0 => {
                let trouble = status.troubles.first().cloned().or_else(|| alerts(status)).map(Banner::Trouble);
                let asked = Some(status.network.asked.len()).filter(|count| *count > 0).map(Banner::Asked);
                trouble.or(asked)
            }
            count => Some(Banner::CutOff(count)),
        }
    }
}
