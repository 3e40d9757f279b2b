//! What the supervisor says: the feed, and answers to requests.

use super::super::effect::Effect;
use super::super::model::feed::Link;
use super::super::model::list;
use super::super::model::toast::Kind;
use super::super::model::{Model, Pane};
use super::super::msg::{Answer, FeedMsg};
use super::{complain, tell, undo, worker};
use crate::api::client::ClientError;
use crate::api::types::{Done, SpawnReply, Verb};

pub fn feed(model: &mut Model, msg: FeedMsg) -> Vec<Effect> {
    model.dirty = true;
    match msg {
        FeedMsg::Snapshot(snapshot) => {
            if matches!(model.feed.link, Link::Lost { .. }) || model.feed.backoff.failures() > 0 {
                tell(model, Kind::Good, "the supervisor answers again");
            }
            model.feed.link = Link::Up;
            model.feed.backoff.reset();
            model.feed.snapshot = Some(snapshot);
            model.feed.changed();
        }
        FeedMsg::Change(change) => {
            if model.work.awaited.as_ref().is_some_and(|name| change.removed.contains(name)) {
                model.work.awaited = None;
            }
            if let Some(snapshot) = model.feed.snapshot.as_mut() {
                snapshot.apply(*change);
                model.feed.changed();
            }
        }
        FeedMsg::Lost(reason) => {
            // Any number will do to spread the tries of several dashboards.
            let spread = model.now.subsec_nanosecond().unsigned_abs();
            let next_try_at = model.now + model.feed.backoff.fail(u64::from(spread));
            model.feed.link = Link::Lost { reason, next_try_at };
        }
    }
    Vec::new()
}

/// Tries the supervisor again when it is time.
pub fn reconnect(model: &mut Model) -> Vec<Effect> {
    let due = matches!(&model.feed.link, Link::Lost { next_try_at, .. } if *next_try_at <= model.now);
    if !due {
        return Vec::new();
    }
    model.feed.link = Link::Connecting;
    vec![Effect::Connect]
}

pub fn acted(model: &mut Model, name: &str, verb: Verb, result: Answer<Done>) -> Vec<Effect> {
    model.work.verbs.remove(name);
    match result {
        Ok(mut done) => {
            let offer = undo::done(model, name, verb);
            if !done.text.is_empty() {
                done.text.push_str(&offer);
            }
            told(model, &done);
        }
        Err(ClientError::Refused(error)) if error.code == "unsaved" => {
            // The supervisor knows what stands in its clone and nowhere else: asked again, with that.
            worker::ask_again(model, name, &error.message);
        }
        Err(error) => complain(model, &format!("{} {name}", verb.as_str()), &error),
    }
    Vec::new()
}

pub fn session_closed(model: &mut Model, result: Answer<Done>) -> Vec<Effect> {
    match result {
        Ok(_) => model.dirty = true,
        Err(error) => complain(model, "the shell could not be ended", &error),
    }
    Vec::new()
}

fn told(model: &mut Model, done: &Done) {
    model.dirty = true;
    if !done.text.is_empty() {
        tell(model, Kind::Good, &done.text);
    }
    for note in &done.notes {
        tell(model, Kind::Note, note);
    }
}

pub fn spawned(model: &mut Model, result: Answer<SpawnReply>) -> Vec<Effect> {
    model.work.spawning = model.work.spawning.saturating_sub(1);
    match result {
        Ok(reply) => {
            // What is so for each worker is said once, and all of it in one note.
            let told = &mut model.work.told;
            let news: Vec<&str> =
                reply.notes.iter().filter(|note| told.insert((*note).clone())).map(String::as_str).collect();
            if !news.is_empty() {
                tell(model, Kind::Note, &format!("{}: {}", reply.name, news.join("; ")));
            }
            // A filter would hide what was just made.
            if !list::matches(model.lists.filter_of(Pane::Workers), &reply.name) {
                model.lists.filters.remove(&Pane::Workers);
            }
            // A terminal that somebody types into is not taken away.
            if !model.focus.terminal {
                model.focus.from = model.focus.pane;
                model.work.awaited = Some(reply.name.clone());
                model.lists.worker = Some(reply.name);
            }
            model.dirty = true;
        }
        Err(error) => complain(model, "no worker was spawned", &error),
    }
    Vec::new()
}

pub fn saved(model: &mut Model, result: Result<String, String>) -> Vec<Effect> {
    match result {
        Ok(text) => tell(model, Kind::Good, &text),
        Err(why) => tell(model, Kind::Bad, &format!("not saved: {why}")),
    }
    Vec::new()
}

pub fn copied(model: &mut Model, result: Result<usize, String>) -> Vec<Effect> {
    match result {
        Ok(count) => tell(model, Kind::Good, &format!("copied {count} characters")),
        Err(why) => tell(model, Kind::Bad, &format!("not copied: {why}")),
    }
    Vec::new()
}
