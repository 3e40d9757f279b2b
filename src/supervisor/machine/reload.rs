//! Taking another configuration: what changed is said, what follows by itself follows, and for the rest it is said what
//! would do it.
//!
//! Nothing that runs is touched here. The rules compare what is wanted with what is seen, and find the change themselves.

use std::sync::Arc;

use crate::api::types::{Done, Reloaded};
use crate::bay::container::{Role, label};
use crate::bay::name::Name;
use crate::config::{ApiConfig, Change, Config, ConfigDiff, Part};

use super::super::event::{CommandId, Effect, Now, Reply};
use super::super::refusal;
use super::pool::{hashes, is_warm};
use super::{Link, Machine, Out};

/// Keys of a template that its next workers heed and its present ones have nothing of.
const OF_THE_SUPERVISOR: [&str; 4] = ["pool", "refresh", "depends_on", "remove_on_exit"];

/// What brings into effect what a supervisor takes only at its beginning.
const AFTER: &str = "`podbay up` hands over to a new supervisor; containers stay as they are";

impl Machine {
    pub(super) fn reload(&mut self, id: CommandId, read: Result<Arc<Config>, String>, now: Now, out: &mut Out) {
        let read = read.and_then(|config| self.same_bay(config));
        let config = match read {
            Ok(config) => config,
            Err(why) => {
                // What is wrong comes first: a banner may have no room for more.
                let trouble = format!("{why}; the configuration stays as it was");
                if self.config_trouble.as_ref() != Some(&trouble) {
                    self.say(now, None, trouble.clone());
                    self.config_trouble = Some(trouble);
                }
                return out.reply(id, Reply::Refused(refusal::invalid(&why)));
            }
        };
        let diff = ConfigDiff::between(&self.config, &config);
        let notes = self.notes_on(&diff, &config);
        let needs_restart = self.take_config(&diff, config, now, out);
        let text = if diff.is_empty() { "the configuration is unchanged" } else { "the configuration was read anew" };
        let changes = diff.lines();
        for line in &changes {
            self.say(now, None, format!("configuration: {line}"));
        }
        let source = self.config.source.clone();
        let (text, isolation) = (text.to_owned(), Some(self.config.engine.isolation.level()));
        out.reply(id, Reply::Reloaded(Reloaded { text, source, changes, notes, needs_restart, isolation }));
    }

    fn same_bay(&self, config: Arc<Config>) -> Result<Arc<Config>, String> {
        if config.bay == self.config.bay {
            return Ok(config);
        }
        let (new, own) = (config.bay.as_str(), self.config.bay.as_str());
        Err(format!("the configuration is of bay {new:?}, this supervisor's is {own:?}"))
    }

    /// Puts it into effect. Says whether a part of it is not, because this supervisor began with another one.
    fn take_config(&mut self, diff: &ConfigDiff, config: Arc<Config>, now: Now, out: &mut Out) -> bool {
        self.dirty |= self.config_trouble.take().is_some();
        self.reload_services(&config, now, out);
        let engine = diff.of(&Part::Engine).is_some();
        if engine && self.identity.is_some() {
            // What is known here is known of the old engine; the goals, too, are about its containers.
            let old = self.config.engine.clone();
            self.config_trouble =
                Some(format!("[engine] changed, and this supervisor stays with {}: {AFTER}", self.endpoint));
            self.hashes = hashes(&config);
            self.config = Arc::new(Config { engine: old, ..Config::clone(&config) });
            self.dirty = true;
            return true;
        }
        self.hashes = hashes(&config);
        let old = std::mem::replace(&mut self.config, config);
        self.pools_changed(&old);
        if engine {
            // None has answered yet: the file may have been mended for just that.
            self.backoff.reset();
            self.endpoint.clone_from(&self.config.engine.host);
            match &mut self.link {
                // Its answer comes, and then the next try is due at once.
                Link::Away { next, connecting: true, .. } => *next = now.mono,
                Link::Away { .. } => {
                    // Whoever asks for something now waits for the answer, as at the start.
                    self.link = Link::Connecting;
                    out.push(Effect::Connect);
                }
                _ => {}
            }
        }
        self.listens_elsewhere(&self.config)
    }

    fn listens_elsewhere(&self, config: &Config) -> bool {
        let place = |api: &ApiConfig| {
            (api.listen, api.token_file.clone(), api.tls_cert.clone(), api.tls_key.clone(), api.hosts.clone())
        };
        place(&self.began_api) != place(&config.api)
    }

    /// What keeps the API from listening on TCP is a trouble until it listens.
    pub(super) fn listens(&mut self, id: CommandId, trouble: Option<String>, now: Now, out: &mut Out) {
        if self.api_trouble != trouble {
            if let Some(trouble) = &trouble {
                self.say(now, None, trouble.clone());
            }
            self.api_trouble = trouble;
            self.dirty = true;
        }
        out.reply(id, Reply::Done(Done::default()));
    }

    pub(super) fn take_note(&mut self, id: CommandId, name: Option<&Name>, text: String, now: Now, out: &mut Out) {
        self.say(now, name.map(Name::as_str), text);
        out.reply(id, Reply::Done(Done::default()));
    }

    /// What does not follow by itself.
    fn notes_on(&self, diff: &ConfigDiff, new: &Config) -> Vec<String> {
        let note = |(part, change): (&Part, &Change)| match part {
            Part::Engine => self.identity.as_ref().map(|_| {
                let old = &self.endpoint;
                format!("containers on {old} stay there, and this supervisor with them: {AFTER}")
            }),
            Part::Network => self.note_on_network(new),
            Part::Parent => self.note_on_parent(diff),
            Part::Template(name) => self.note_on_template(name, change),
            Part::Api => self.listens_elsewhere(new).then(|| format!("where the API listens stays as it was: {AFTER}")),
            Part::Ui => Some("a dashboard takes [ui] when it is opened".to_owned()),
            Part::Service(_) => None,
        };
        let mut notes: Vec<String> = diff.parts.iter().filter_map(note).collect();
        if new.source != self.config.source {
            let path = |config: &Config| match &config.source {
                Some(path) => path.display().to_string(),
                None => "the built-in defaults".to_owned(),
            };
            notes.push(format!("it is now {}, and was {}", path(new), path(&self.config)));
        }
        notes
    }

    fn note_on_parent(&self, diff: &ConfigDiff) -> Option<String> {
        let made_by = ["image", "command", "ports", "volumes", "env"];
        let stays = self.parent().is_some() && diff.touches(&Part::Parent, &made_by);
        stays.then(|| {
            "the parent is as it was made: `podbay refresh parent` makes it anew and repairs its workers".to_owned()
        })
    }

    /// Another list holds at once; whether there is a wall is the parent's.
    fn note_on_network(&self, new: &Config) -> Option<String> {
        let stays = self.parent().is_some() && new.parent_hash() != self.config.parent_hash();
        stays.then(|| {
            "the network is as the parent was made: `podbay refresh parent` makes it anew and repairs its workers"
                .to_owned()
        })
    }

    fn note_on_template(&self, name: &Name, change: &Change) -> Option<String> {
        let of_it = |seen: &super::Seen| {
            seen.container.role() == Some(Role::Worker) && seen.container.label(label::TEMPLATE) == name.as_str()
        };
        let of_it = self.seen.iter().filter(|(_, seen)| of_it(seen)).map(|(worker, _)| worker.as_str());
        // Warm ones follow by themselves.
        let (warm, workers): (Vec<&str>, Vec<&str>) = of_it.partition(|worker| is_warm(worker));
        let names = workers.join(" ");
        match change {
            Change::Added => None,
            Change::Removed if workers.is_empty() => None,
            Change::Removed => {
                Some(format!("{names}: made by template {name}, which is gone: it can run on, and not be made anew"))
            }
            Change::Changed(keys) => {
                let own = keys.iter().any(|key| {
                    let first = key.key.split('.').next().unwrap_or_default();
                    !OF_THE_SUPERVISOR.contains(&first)
                });
                let made = |(worker, names): (&Vec<&str>, String)| (!worker.is_empty()).then_some(names);
                let asked = format!("as they were made: {names}; `podbay refresh {names}` makes them anew");
                let unasked = format!("the warm workers of pool {name} are replaced one by one");
                let notes = [(&workers, asked), (&warm, unasked)].into_iter().filter_map(made);
                own.then(|| notes.collect::<Vec<_>>().join("; ")).filter(|note| !note.is_empty())
            }
        }
    }
}
