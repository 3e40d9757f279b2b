//! Taken-over connections, logs and events.

use std::sync::Arc;

use bytes::Bytes;
use podbay::engine::docker::encode_frame;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Shared;
use super::fault::Fault;
use super::http::{Reply, Request};
use super::store::{Message, Phase, Process};

/// Whose streams a taken-over connection carries.
#[derive(Clone)]
pub enum Whose {
    Main(String),
    Exec(String),
}

/// A taken-over connection.
pub struct Session {
    pub whose: Whose,
    pub tty: bool,
    pub output: UnboundedReceiver<(bool, Bytes)>,
}

impl Session {
    pub async fn run(mut self, stream: &mut UnixStream, early: Bytes, fault: Option<Fault>, shared: &Arc<Shared>) {
        let mut left = match fault {
            Some(Fault::CutAfter(count) | Fault::EndAfter(count)) => count,
            _ => usize::MAX,
        };
        self.typed(shared, &early);
        let (mut from, mut to) = stream.split();
        let mut space = vec![0u8; 16 * 1024];
        let mut open = true;
        loop {
            tokio::select! {
                read = from.read(&mut space), if open => match read {
                    Ok(count) if count > 0 => {
                        shared.thawed().await;
                        self.typed(shared, &space[..count]);
                    }
                    // With a tty the end of one way is the end of both.
                    _ if self.tty => return,
                    _ => {
                        open = false;
                        self.closed(shared);
                    }
                },
                output = self.output.recv() => {
                    shared.thawed().await;
                    let Some((stderr, bytes)) = output else { return };
                    let mut wire = if self.tty { bytes.to_vec() } else { encode_frame(stderr, &bytes) };
                    wire.truncate(left);
                    left -= wire.len();
                    if to.write_all(&wire).await.is_err() || left == 0 {
                        return;
                    }
                }
            }
        }
    }

    fn with<T>(&self, shared: &Shared, act: impl FnOnce(&mut Process) -> T) -> Option<T> {
        let mut store = shared.store();
        match &self.whose {
            Whose::Main(id) => store.find_mut(id).map(|container| act(&mut container.main)),
            Whose::Exec(id) => store.execs.get_mut(id).map(|exec| act(&mut exec.process)),
        }
    }

    fn typed(&self, shared: &Shared, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.with(shared, |process| {
            process.typed.extend_from_slice(bytes);
            process.input.as_ref().map(|to| to.send(Bytes::copy_from_slice(bytes)))
        });
    }

    /// The client sends no more: an exec without a tty sees the end of its input.
    fn closed(&self, shared: &Shared) {
        if !self.tty && matches!(self.whose, Whose::Exec(_)) {
            self.with(shared, |process| process.input = None);
        }
    }
}

/// `GET /containers/*/logs`.
pub fn logs(shared: &Arc<Shared>, id: &str, request: &Request) -> Reply {
    let mut store = shared.store();
    let Some(container) = store.find_mut(id) else {
        return Reply::error(404, format!("No such container: {id}"));
    };
    let since = request.param("since").and_then(since);
    let mut messages: Vec<Message> =
        container.main.log.iter().filter(|message| since.is_none_or(|since| message.at >= since)).cloned().collect();
    if let Some(count) = request.param("tail").and_then(|tail| tail.parse::<usize>().ok()) {
        messages.drain(..messages.len().saturating_sub(count));
    }
    let (tty, stamps) = (container.main.tty, request.flag("timestamps"));
    let (to, from) = unbounded_channel();
    for message in &messages {
        let _ = to.send(wire(message, tty, stamps));
    }
    if request.flag("follow") && container.phase == Phase::Running {
        let (follow, mut more) = unbounded_channel();
        container.main.followers.retain(|to| !to.is_closed());
        container.main.followers.push(follow);
        container.main.most_followers = container.main.most_followers.max(container.main.followers.len());
        tokio::spawn(async move {
            while let Some(message) = more.recv().await {
                if to.send(wire(&message, tty, stamps)).is_err() {
                    return;
                }
            }
        });
    }
    Reply::Stream(from)
}

fn since(text: &str) -> Option<jiff::Timestamp> {
    let (seconds, nanos) = text.split_once('.').unwrap_or((text, "0"));
    jiff::Timestamp::new(seconds.parse().ok()?, nanos.parse().ok()?).ok()
}

fn wire(message: &Message, tty: bool, stamps: bool) -> Bytes {
    let mut text = Vec::new();
    if stamps {
        text.extend(format!("{:.9} ", message.at).into_bytes());
    }
    text.extend_from_slice(&message.bytes);
    if tty { text.into() } else { encode_frame(message.stderr, &text).into() }
}

/// `GET /events`.
pub fn events(shared: &Arc<Shared>, request: &Request) -> Reply {
    let filters: Value = serde_json::from_str(request.param("filters").unwrap_or("{}")).unwrap_or(Value::Null);
    let (listener, mut events) = unbounded_channel::<Value>();
    shared.store().listeners.push(listener);
    let (to, from) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let line = match &event {
                Value::String(garbage) => format!("{{{garbage}\n"),
                event if wanted(event, &filters) => format!("{event}\n"),
                _ => continue,
            };
            if to.send(line.into()).is_err() {
                return;
            }
        }
    });
    Reply::Stream(from)
}

fn wanted(event: &Value, filters: &Value) -> bool {
    let words = |key: &str| -> Option<Vec<&str>> {
        let list = filters[key].as_array()?;
        Some(list.iter().filter_map(Value::as_str).collect())
    };
    let labels = words("label").unwrap_or_default().into_iter().all(|label| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        event["Actor"]["Attributes"][key] == value
    });
    let action = event["Action"].as_str().unwrap_or_default();
    labels && words("event").is_none_or(|names| names.is_empty() || names.iter().any(|name| action.starts_with(name)))
}
