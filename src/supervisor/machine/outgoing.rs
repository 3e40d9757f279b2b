//! The way out of the bay: what is let through, what waits for an answer, and the answers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::types::{AskedRow, Done, NetworkAnswer, NetworkRequest, NetworkStatus, Way};
use crate::bay::outgoing::{Host, Outgoing, Rule, is_listed};

use super::super::event::{CommandId, Now, Reply};
use super::super::refusal;
use super::{Machine, Out};

/// Names that wait for an answer: whoever asks for many is told of by the first of them.
const ASKED: usize = 100;
/// Names that are let through once, or were answered for the bay.
const ANSWERED: usize = 1000;

/// What is remembered of names, beside what is stored.
#[derive(Debug, Default)]
pub struct Doors {
    asked: BTreeMap<Host, Asked>,
    once: BTreeSet<Host>,
    /// That there are too many was said.
    is_full: bool,
}

#[derive(Clone, Debug)]
struct Asked {
    port: u16,
    count: u64,
    last: Timestamp,
    worker: Option<String>,
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The worker, where that could be seen.
    pub worker: Option<String>,
}

impl Machine {
    pub(super) fn knock(&mut self, id: CommandId, knock: &Knock, now: Now, out: &mut Out) {
        let open = self.is_open(knock, now);
        out.reply(id, Reply::Open(open));
    }

    fn is_open(&mut self, knock: &Knock, now: Now) -> bool {
        let host = &knock.host;
        let spoken = &self.stored.network;
        // What the configuration names goes first: that can be changed by nobody but its user.
        if is_listed(&self.config.network.allow, host) {
            return true;
        }
        if spoken.refused.iter().any(|rule| rule.names(host)) {
            return false;
        }
        if spoken.allowed.iter().any(|rule| rule.names(host)) {
            return true;
        }
        if self.doors.once.remove(host) {
            self.say(now, knock.worker.as_deref(), format!("{host}:{} was let through once", knock.port));
            return true;
        }
        self.ask_for(knock, now);
        false
    }

    fn ask_for(&mut self, knock: &Knock, now: Now) {
        let Knock { host, port, worker } = knock;
        self.dirty = true;
        if let Some(asked) = self.doors.asked.get_mut(host) {
            let count = asked.count.saturating_add(1);
            *asked = Asked { port: *port, count, last: now.wall, worker: worker.clone() };
            return;
        }
        if self.doors.asked.len() >= ASKED {
            if !std::mem::replace(&mut self.doors.is_full, true) {
                let text = format!("{ASKED} names wait for an answer; more of them are refused without being listed");
                self.say(now, None, text);
            }
            return;
        }
        let asked = Asked { port: *port, count: 1, last: now.wall, worker: worker.clone() };
        self.doors.asked.insert(host.clone(), asked);
        let text = format!(
            "{host}:{port} was asked for and refused: [network] allow does not name it; `podbay network allow {host}` does"
        );
        self.say(now, worker.as_deref(), text);
    }

    /// A name that is let through leads where nothing is let through.
    pub(super) fn strayed(&mut self, id: CommandId, host: &Host, why: &str, now: Now, out: &mut Out) {
        let text = format!("{host} was refused: {why}");
        // Whoever asks again and again says nothing new.
        if self.history.back().is_none_or(|line| line.text != text) {
            self.say(now, None, text);
        }
        out.reply(id, Reply::Done(Done::default()));
    }

    pub(super) fn answer_network(&mut self, id: CommandId, request: NetworkRequest, now: Now, out: &mut Out) {
        let reply = match self.answered(request, now) {
            Ok(text) => Reply::Done(Done { text, notes: Vec::new() }),
            Err(why) => Reply::Refused(refusal::invalid(&why)),
        };
        out.reply(id, reply);
    }

    fn answered(&mut self, request: NetworkRequest, now: Now) -> Result<String, String> {
        if self.config.outgoing() != Outgoing::Listed {
            return Err("nothing is asked for: [network] allow is no list of names".to_owned());
        }
        let rule = Rule::try_from(request.name).map_err(|error| error.to_string())?;
        if rule == Rule::Everything {
            return Err("everything is let through by the configuration alone: [network] allow = [\"*\"]".to_owned());
        }
        let spoken = &mut self.stored.network;
        if spoken.allowed.len() + spoken.refused.len() + self.doors.once.len() >= ANSWERED {
            return Err(format!("{ANSWERED} names are answered already; put them into [network] allow"));
        }
        let text = match (request.answer, &rule) {
            (NetworkAnswer::Once, Rule::Exactly(host)) => {
                spoken.refused.remove(&rule);
                self.doors.once.insert(host.clone());
                format!("{rule}: its next connection is let through")
            }
            (NetworkAnswer::Once, _) => return Err(format!("{rule} is many names: allow one of them once")),
            (NetworkAnswer::Bay, _) => {
                spoken.refused.remove(&rule);
                spoken.allowed.insert(rule.clone());
                format!("{rule} is let through from now on; [network] allow would say it for good")
            }
            (NetworkAnswer::Refuse, _) => {
                spoken.allowed.remove(&rule);
                spoken.refused.insert(rule.clone());
                self.doors.once.retain(|host| !rule.names(host));
                format!("{rule} is refused from now on, and not asked about")
            }
        };
        self.doors.asked.retain(|host, _| !rule.names(host));
        self.doors.is_full = false;
        self.say(now, None, text.clone());
        Ok(text)
    }

    pub(super) fn network_status(&self) -> NetworkStatus {
        let words = |rules: &BTreeSet<Rule>| rules.iter().map(ToString::to_string).collect();
        let spoken = &self.stored.network;
        let row = |(host, asked): (&Host, &Asked)| AskedRow {
            name: host.to_string(),
            port: asked.port,
            count: asked.count,
            last_at: asked.last,
            worker: asked.worker.clone(),
        };
        let mut asked: Vec<AskedRow> = self.doors.asked.iter().map(row).collect();
        asked.sort_by(|a, b| (b.last_at, &a.name).cmp(&(a.last_at, &b.name)));
        let (way, text) = self.way_out();
        NetworkStatus {
            way,
            text,
            allow: self.config.network.allow.iter().map(ToString::to_string).collect(),
            allowed: words(&spoken.allowed),
            refused: words(&spoken.refused),
            asked,
        }
    }

    fn way_out(&self) -> (Way, String) {
        let kind = self.identity.as_ref().map(|identity| identity.kind);
        let here = kind == Some("local");
        let (way, text) = match self.config.outgoing() {
            Outgoing::Open if here => (Way::Open, "shared with the host, nothing is held".to_owned()),
            Outgoing::Open => (Way::Open, "the engine's own, nothing is held".to_owned()),
            Outgoing::None => (Way::None, "none: nothing outside of the bay is reached".to_owned()),
            Outgoing::Listed => {
                let count = self.config.network.allow.len() + self.stored.network.allowed.len();
                let names = if count == 1 { "name" } else { "names" };
                (Way::Listed, format!("by an allow list of {count} {names}"))
            }
        };
        // Nothing is made then, and the parent says why.
        if way == Way::Open || kind.is_none() {
            return (way, text);
        }
        let open = self.parent().is_some_and(|parent| self.namespaces.is_the_machines(&parent.id));
        let but = match (here, open) {
            (false, _) => "; this engine can't hold it",
            (true, true) => "; not held yet: the parent was made before, `podbay refresh parent` makes it anew",
            (true, false) => "",
        };
        (way, format!("{text}{but}"))
    }
}
