//! The engine's events as hints. They may be missed, so nothing depends on them; one that can't be read ends the
//! stream, and its reader lists and subscribes anew.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use super::DockerEngine;
use super::error::{self, within};
use super::transport::escape;
use crate::bay::container::{ContainerId, label};
use crate::bay::name::Name;
use crate::engine::{EngineError, Hint};

/// One event is a few hundred bytes; labels make it longer.
const LONGEST: usize = 1 << 20;

/// Events that say that a container is not as it was. Probes and shells come and go by `exec_*`, which does not.
const WANTED: [&str; 13] = [
    "create",
    "start",
    "die",
    "stop",
    "kill",
    "oom",
    "pause",
    "unpause",
    "rename",
    "restart",
    "destroy",
    "update",
    "health_status",
];

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    id: String,
    #[serde(rename = "Actor", default)]
    actor: Actor,
}

#[derive(Default, Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
}

/// Subscribes. There is no deadline but for the answer's head: whoever reads keeps a heartbeat of its own.
///
/// # Errors
/// When the engine does not take the subscription.
pub async fn subscribe(
    engine: &DockerEngine,
    bay: &Name,
) -> Result<BoxStream<'static, Result<Hint, EngineError>>, EngineError> {
    let what = format!("subscribe to the events of bay {bay}");
    let call = async {
        let session = engine.session().await?;
        // Podman has other words, and refuses some it does not know.
        let wanted: &[&str] = if session.podman { &[] } else { &WANTED };
        let label = format!("{}={bay}", label::BAY);
        let filters = serde_json::json!({"type": ["container"], "label": [label], "event": wanted});
        let path = session.path(&format!("/events?filters={}", escape(&filters.to_string())));
        engine.wire.send(&what, Method::GET, &path, Bytes::new()).await
    };
    let body = within(&what, engine.deadlines.head, call).await?.into_body();
    let lines = Lines { body, buf: BytesMut::new(), ended: false, what, engine: engine.clone() };
    let hints = futures_util::stream::unfold(lines, |mut lines| async { Some((lines.next().await?, lines)) });
    Ok(hints.filter_map(|item| async { item.transpose() }).boxed())
}

struct Lines {
    body: Incoming,
    buf: BytesMut,
    ended: bool,
    what: String,
    engine: DockerEngine,
}

impl Lines {
    /// The next event: `Ok(None)` for one that is of no interest; `None` at the end.
    async fn next(&mut self) -> Option<Result<Option<Hint>, EngineError>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(end) = self.buf.iter().position(|byte| *byte == b'\n') {
                let line = self.buf.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Some(self.read(&line));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buf.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error::broken(&self.engine.wire.endpoint, &self.what, &error)));
                }
                None => {
                    self.ended = true;
                    // Half an event is no event; the list that follows sees what it was about.
                    let rest = self.buf.split();
                    return if rest.trim_ascii().is_empty() {
                        None
                    } else {
                        self.read(&rest).ok().flatten().map(|h| Ok(Some(h)))
                    };
                }
            }
            if self.buf.len() > LONGEST {
                self.ended = true;
                return Some(Err(error::unreadable(&self.what, &"an event has no end")));
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Option<Hint>, EngineError> {
        let event: Event = serde_json::from_slice(line).map_err(|error| {
            self.ended = true;
            error::unreadable(&self.what, &error)
        })?;
        Ok(hint(event))
    }
}

fn hint(event: Event) -> Option<Hint> {
    let action = if event.action.is_empty() { event.status } else { event.action };
    let id = if event.actor.id.is_empty() { event.id } else { event.actor.id };
    // What follows the colon is the verdict of a probe, or a command line with who knows what in it.
    let word = action.split(':').next().unwrap_or_default().trim();
    let word = match word {
        "died" => "die",
        "remove" => "destroy",
        other => other,
    };
    let known = WANTED.contains(&word) && !id.is_empty();
    known.then(|| Hint { id: ContainerId::new(id), action: word.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_both_engines_say_the_same() {
        let table = [
            (r#"{"status":"die","id":"ab","Type":"container","Action":"die","Actor":{"ID":"ab"}}"#, Some("die")),
            (r#"{"status":"died","id":"ab"}"#, Some("die")),
            (r#"{"Action":"remove","Actor":{"ID":"ab"}}"#, Some("destroy")),
            (r#"{"Action":"health_status: healthy","Actor":{"ID":"ab"}}"#, Some("health_status")),
            (r#"{"Action":"exec_create: sh -c secret","Actor":{"ID":"ab"}}"#, None),
            (r#"{"Action":"start"}"#, None),
        ];
        for (text, action) in table {
            let found = hint(serde_json::from_str(text).unwrap()).map(|hint| hint.action);
            assert_eq!(found.as_deref(), action, "{text}");
        }
    }
}
