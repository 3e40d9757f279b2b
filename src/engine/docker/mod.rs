//! Docker's API: Docker Engine, Podman, Colima, `OrbStack`, remote hosts.
//!
//! Typed commands go through bollard on podbay's own connections. What bollard's shapes or decoders are too strict or
//! too lossy for is read here: lists and inspects (Podman leaves fields out), logs, events, and the raw streams of
//! terminals, which its decoder corrupts. Ids in URLs are hex, names are checked: nothing else ever gets there.

pub(in crate::engine) mod cgroup;
mod create;
mod dial;
mod endpoint;
mod error;
mod events;
mod exec;
mod frames;
mod hijack;
pub(in crate::engine) mod host_image;
mod images;
mod known;
mod lines;
mod list;
mod logs;
mod make;
mod observe;
mod podman_log;
mod ports;
mod seen;
mod session;
mod stats;
mod transport;

#[cfg(test)]
mod endpoint_tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{
    RemoveContainerOptions, RenameContainerOptions, ResizeContainerTTYOptions, StopContainerOptions,
};
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

pub use endpoint::{Address, Endpoint, Files, NOWHERE, SocketState, SshTarget, resolve};
pub use frames::encode as encode_frame;
pub use transport::Deadlines;

use crate::bay::container::{ContainerId, ContainerSpec, ImageFacts, ImageRef, Observed, ObservedNetwork};
use crate::bay::name::Name;
use crate::bay::port::PortMapping;
use crate::bay::session::TermSize;
use crate::engine::{
    Created, Engine, EngineError, Exec, ExecId, ExecSpec, ExecState, Hint, Identity, LogQuery, LogStream, RawTty, Stats,
};
use error::within;
use known::Known;
use observe::{Inspect, Row};
use session::Session;
use stats::Readings;
use transport::Wire;

/// A log line without an end is cut at so many bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// An engine that speaks Docker's API. Cloning shares it.
#[derive(Clone)]
pub struct DockerEngine {
    wire: Wire,
    deadlines: Deadlines,
    session: Arc<Mutex<Option<Arc<Session>>>>,
    readings: Arc<Readings>,
    known: Arc<Known>,
    import: Arc<Semaphore>,
}

impl DockerEngine {
    /// An engine at this endpoint. Opens nothing yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, deadlines: Deadlines) -> Self {
        Self {
            wire: Wire::new(endpoint),
            deadlines,
            session: Arc::default(),
            readings: Arc::default(),
            known: Arc::new(Known::new(Path::new("/"))),
            import: Arc::new(Semaphore::new(1)),
        }
    }

    /// The negotiated session, opened by the first call that needs it.
    async fn session(&self) -> Result<Arc<Session>, EngineError> {
        let known = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(session) => Ok(session),
            None => self.open_session().await,
        }
    }

    async fn open_session(&self) -> Result<Arc<Session>, EngineError> {
        let session = Arc::new(Session::open(&self.wire).await?);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(session)
    }

    /// Gives a call its deadline. An engine that was exchanged for an older one refuses the API: then it is negotiated
    /// anew by the next call.
    async fn timed<T>(
        &self,
        what: &str,
        deadline: Duration,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let result = within(what, deadline, call).await;
        if let Err(EngineError::Refused { message, .. }) = &result
            && message.contains("client version")
        {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    fn said(&self, what: &str, error: &bollard::errors::Error) -> EngineError {
        error::of_bollard(&self.wire.endpoint, what, error)
    }

    async fn is_local(&self) -> Result<bool, EngineError> {
        let call = async {
            let session = self.session().await?;
            let machine = session.machine(&self.wire).await?;
            Ok(session::is_local(&self.wire.endpoint.address, machine))
        };
        self.timed("ask for the engine's machine", self.deadlines.read, call).await
    }

    async fn inspect_now(&self, session: &Session, id: &str) -> Result<Observed, EngineError> {
        let what = format!("inspect {}", short(id));
        let path = session.path(&format!("/containers/{}/json", hex_id(id)?));
        let shape: Inspect = self.wire.json(&what, &path).await?;
        observe::observed(shape).map_err(|message| error::unreadable(&what, &message))
    }

    /// Podman starts the container whose network is joined, too; whether that may run is not for it to say.
    async fn check_parent(&self, session: &Session, id: &ContainerId, what: &str) -> Result<(), EngineError> {
        let ObservedNetwork::Of(parent) = self.inspect_now(session, id.as_str()).await?.network else { return Ok(()) };
        let conflict = |message: String| EngineError::Conflict { what: what.to_owned(), message };
        match self.inspect_now(session, parent.as_str()).await {
            Ok(seen) if seen.status.is_running() => Ok(()),
            Ok(_) => Err(conflict(format!("cannot join network of a non running container: {parent}"))),
            Err(EngineError::NotFound { .. }) => Err(conflict(format!("No such container: {parent}"))),
            Err(error) => Err(error),
        }
    }

    /// What a failed start means.
    async fn start_failure(&self, id: &ContainerId, error: EngineError) -> EngineError {
        match error {
            // The engine names the container that is missing: the one whose network was to be joined.
            EngineError::NotFound { what, message } if !message.contains(id.as_str()) => {
                EngineError::Conflict { what, message }
            }
            EngineError::Failed { ref message, .. }
            | EngineError::Conflict { ref message, .. }
            | EngineError::Refused { ref message, .. } => match ports::taken_port(message) {
                Some(port) => EngineError::PortTaken { holder: self.holder(&port).await, port },
                None => error,
            },
            other => other,
        }
    }

    /// Who holds a port, as far as it can be seen from here.
    async fn holder(&self, port: &str) -> Option<String> {
        let number = ports::port_of(port)?;
        let published = self.published().await.unwrap_or_default();
        if let Some(container) = ports::holding_container(number, &published) {
            return Some(container);
        }
        if !self.is_local().await.unwrap_or(false) {
            return None;
        }
        tokio::task::spawn_blocking(move || crate::engine::listeners::holder_of(number, Path::new("/proc")))
            .await
            .ok()?
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// An id that may stand in a URL.
fn hex_id(id: &str) -> Result<&str, EngineError> {
    let hex = (12..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let refused = || EngineError::Refused { what: format!("address {id:?}"), message: "that is no id".to_owned() };
    if hex { Ok(id) } else { Err(refused()) }
}

/// A container's name by Docker's rule.
pub(in crate::engine) fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    first && rest && name.len() <= 128
}

#[async_trait]
impl Engine for DockerEngine {
    fn endpoint(&self) -> &str {
        &self.wire.endpoint.url
    }

    async fn identify(&self) -> Result<Identity, EngineError> {
        let call = async { self.open_session().await?.identity(&self.wire).await };
        self.timed("ask who answers", self.deadlines.read, call).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        let call = async { self.wire.get("ping the engine", "/_ping").await.map(|_| ()) };
        self.timed("ping the engine", self.deadlines.ping, call).await
    }

    async fn list(&self, bay: &Name) -> Result<Vec<Observed>, EngineError> {
        let what = format!("list the containers of bay {bay}");
        self.timed(&what, self.deadlines.read, self.list_now(&what, bay)).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Observed, EngineError> {
        let call = async {
            let session = self.session().await?;
            self.inspect_now(&session, id.as_str()).await
        };
        self.timed(&format!("inspect {}", id.short()), self.deadlines.read, call).await
    }

    async fn named(&self, name: &str) -> Result<Option<ContainerId>, EngineError> {
        let what = format!("inspect {name:.64}");
        if !is_name(name) {
            return Err(EngineError::Refused { what, message: format!("{name:?} is no name for a container") });
        }
        let call = async {
            let session = self.session().await?;
            let path = session.path(&format!("/containers/{name}/json"));
            match self.wire.json::<observe::Holder>(&what, &path).await {
                Ok(holder) => Ok(holder.of(name)),
                Err(EngineError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.timed(&what, self.deadlines.read, call).await
    }

    async fn describe(&self, id: &ContainerId) -> Result<serde_json::Value, EngineError> {
        let what = format!("inspect {}", id.short());
        let call = async {
            let session = self.session().await?;
            let path = session.path(&format!("/containers/{}/json", hex_id(id.as_str())?));
            self.wire.json(&what, &path).await
        };
        self.timed(&what, self.deadlines.read, call).await
    }

    fn images(&self) -> Option<&dyn crate::engine::images::ImageStore> {
        Some(self)
    }

    async fn ensure_image(&self, image: &ImageRef) -> Result<(), EngineError> {
        let call = async {
            let session = self.session().await?;
            match image {
                ImageRef::Host => self.ensure_host_image(&session).await,
                ImageRef::Named(name) if self.has_image(&session, name).await? => Ok(()),
                ImageRef::Named(name) => Err(EngineError::NoImage(name.clone())),
            }
        };
        self.timed(&format!("look for image {image}"), self.deadlines.act, call).await
    }

    async fn image(&self, image: &ImageRef) -> Result<ImageFacts, EngineError> {
        let call = async {
            let session = self.session().await?;
            self.image_facts(&session, image).await
        };
        self.timed(&format!("look at image {image}"), self.deadlines.read, call).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<Created, EngineError> {
        self.timed(&format!("create {}", spec.name), self.deadlines.act, self.create_now(spec)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), EngineError> {
        let what = format!("start {}", id.short());
        let call = async {
            let session = self.session().await?;
            if session.podman {
                self.check_parent(&session, id, &what).await?;
            }
            let done = session.docker.start_container(hex_id(id.as_str())?, None).await;
            done.map_err(|error| self.said(&what, &error))
        };
        match self.timed(&what, self.deadlines.act, call).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.start_failure(id, error).await),
        }
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), EngineError> {
        let what = format!("stop {}", id.short());
        let call = async {
            let session = self.session().await?;
            let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
            let options = StopContainerOptions { signal: None, t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)) };
            let done = session.docker.stop_container(hex_id(id.as_str())?, Some(options)).await;
            done.map_err(|error| self.said(&what, &error))
        };
        self.timed(&what, grace.saturating_add(self.deadlines.stop), call).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), EngineError> {
        let what = format!("remove {}", id.short());
        let call = async {
            let session = self.session().await?;
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            let done = session.docker.remove_container(hex_id(id.as_str())?, Some(options)).await;
            done.map_err(|error| self.said(&what, &error))
        };
        match self.timed(&what, self.deadlines.act, call).await {
            Err(EngineError::NotFound { .. }) => Ok(()),
            // Somebody else's removal of it is under way.
            Err(EngineError::Conflict { message, .. }) if message.contains("already in progress") => Ok(()),
            other => other,
        }
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), EngineError> {
        let what = format!("rename {}", id.short());
        if !is_name(name) {
            return Err(EngineError::Refused { what, message: format!("{name:?} is no name for a container") });
        }
        let call = async {
            let session = self.session().await?;
            let options = RenameContainerOptions { name: name.to_owned() };
            let done = session.docker.rename_container(hex_id(id.as_str())?, options).await;
            done.map_err(|error| self.said(&what, &error))
        };
        match self.timed(&what, self.deadlines.act, call).await {
            Err(EngineError::Conflict { message, .. } | EngineError::Failed { message, .. })
                if message.contains("already in use") =>
            {
                Err(EngineError::NameTaken(name.to_owned()))
            }
            // Renaming to the name it has is refused by some engines: it is done.
            Err(EngineError::Refused { message, .. }) if message.contains("same name") => Ok(()),
            other => other,
        }
    }

    async fn attach(&self, id: &ContainerId) -> Result<RawTty, EngineError> {
        exec::attach(self, id).await
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec, EngineError> {
        exec::exec(self, id, spec).await
    }

    async fn resize(&self, id: &ContainerId, size: TermSize) -> Result<(), EngineError> {
        let what = format!("resize the terminal of {}", id.short());
        let call = async {
            let session = self.session().await?;
            let options = ResizeContainerTTYOptions { h: size.rows.into(), w: size.cols.into() };
            let done = session.docker.resize_container_tty(hex_id(id.as_str())?, options).await;
            done.map_err(|error| self.said(&what, &error))
        };
        self.timed(&what, self.deadlines.read, call).await
    }

    async fn resize_exec(&self, exec: &ExecId, size: TermSize) -> Result<(), EngineError> {
        exec::resize(self, exec, size).await
    }

    async fn exec_state(&self, exec: &ExecId) -> Result<ExecState, EngineError> {
        exec::state(self, exec).await
    }

    async fn logs(&self, id: &ContainerId, query: &LogQuery) -> Result<LogStream, EngineError> {
        logs::open(self, id, query).await
    }

    async fn stats(&self, id: &ContainerId) -> Result<Stats, EngineError> {
        stats::stats(self, id).await
    }

    async fn events(&self, bay: &Name) -> Result<BoxStream<'static, Result<Hint, EngineError>>, EngineError> {
        events::subscribe(self, bay).await
    }

    async fn published(&self) -> Result<Vec<(PortMapping, String)>, EngineError> {
        let what = "list the published ports";
        let call = async {
            let session = self.session().await?;
            let rows: Vec<Row> = self.wire.json(what, &session.path("/containers/json")).await?;
            let ports = rows.iter().flat_map(|row| row.published().into_iter().map(|port| (port, row.name())));
            Ok(ports.collect())
        };
        self.timed(what, self.deadlines.read, call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_and_names_get_into_urls() {
        let hostile = ["", "x?force=1&y=", "name/top?ps_args=aux#", "..", "a/../b", "%2f", "a b", "-rf", "ab\n", "é"];
        for text in hostile {
            assert!(hex_id(text).is_err(), "{text:?}");
            assert!(!is_name(text), "{text:?}");
        }
        assert!(hex_id(&"ab".repeat(32)).is_ok() && is_name("bay-fox.old"));
    }
}
