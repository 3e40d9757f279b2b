//! An engine that is watched: how long each call takes until its answer begins, and which fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{
    Created, Engine, EngineError, Exec, ExecId, ExecSpec, ExecState, Hint, Identity, LogQuery, LogStream, RawTty,
    SharedEngine, Stats, images,
};
use crate::bay::alert;
use crate::bay::container::{ContainerId, ContainerSpec, ImageFacts, ImageRef, Observed};
use crate::bay::metric::Histogram;
use crate::bay::name::Name;
use crate::bay::port::PortMapping;
use crate::bay::session::TermSize;

/// What the calls of one kind came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// How long they took.
    pub took: Histogram,
    /// Those that failed because of the engine: what is refused as wrong, or is not there, was answered.
    pub errors: u64,
}

/// All calls so far, whatever engine they went to.
#[derive(Debug, Default)]
pub struct Meter(Mutex<BTreeMap<&'static str, Calls>>);

impl Meter {
    /// By kind.
    #[must_use]
    pub fn read(&self) -> BTreeMap<&'static str, Calls> {
        self.all().clone()
    }

    /// All kinds together, for the alerts.
    #[must_use]
    pub fn calls(&self) -> alert::Calls {
        let mut sum = alert::Calls::default();
        for (call, calls) in &*self.all() {
            let count = calls.took.count();
            sum.all += count;
            sum.failed += calls.errors;
            // Others take as long as what they do: a stop has its grace.
            if matches!(*call, "ping" | "list" | "inspect") {
                sum.readings += count;
                sum.reading += Duration::try_from_secs_f64(calls.took.sum()).unwrap_or_default();
            }
        }
        sum
    }

    fn note(&self, call: &'static str, took: Duration, failed: bool) {
        let mut all = self.all();
        let calls = all.entry(call).or_default();
        calls.took.observe(took);
        calls.errors += u64::from(failed);
    }

    /// Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, Calls>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An engine that is watched.
pub struct Timed {
    inner: SharedEngine,
    meter: Arc<Meter>,
}

impl Timed {
    /// Watches this one.
    #[must_use]
    pub fn watch(inner: SharedEngine, meter: Arc<Meter>) -> SharedEngine {
        Arc::new(Self { inner, meter })
    }

    async fn timed<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, EngineError>> + Send,
    ) -> Result<T, EngineError> {
        let begun = Instant::now();
        let result = work.await;
        let failed = matches!(&result, Err(error) if error.is_away() || matches!(error, EngineError::Failed { .. }));
        self.meter.note(call, begun.elapsed(), failed);
        result
    }
}

#[async_trait]
impl Engine for Timed {
    fn endpoint(&self) -> &str {
        self.inner.endpoint()
    }

    fn images(&self) -> Option<&dyn images::ImageStore> {
        self.inner.images()
    }

    async fn identify(&self) -> Result<Identity, EngineError> {
        self.timed("identify", self.inner.identify()).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.timed("ping", self.inner.ping()).await
    }

    async fn list(&self, bay: &Name) -> Result<Vec<Observed>, EngineError> {
        self.timed("list", self.inner.list(bay)).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Observed, EngineError> {
        self.timed("inspect", self.inner.inspect(id)).await
    }

    async fn named(&self, name: &str) -> Result<Option<ContainerId>, EngineError> {
        self.timed("inspect", self.inner.named(name)).await
    }

    async fn describe(&self, id: &ContainerId) -> Result<serde_json::Value, EngineError> {
        self.timed("inspect", self.inner.describe(id)).await
    }

    async fn ensure_image(&self, image: &ImageRef) -> Result<(), EngineError> {
        self.timed("image", self.inner.ensure_image(image)).await
    }

    async fn image(&self, image: &ImageRef) -> Result<ImageFacts, EngineError> {
        self.timed("image", self.inner.image(image)).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<Created, EngineError> {
        self.timed("create", self.inner.create(spec)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), EngineError> {
        self.timed("start", self.inner.start(id)).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), EngineError> {
        self.timed("stop", self.inner.stop(id, grace)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), EngineError> {
        self.timed("remove", self.inner.remove(id)).await
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), EngineError> {
        self.timed("rename", self.inner.rename(id, name)).await
    }

    async fn attach(&self, id: &ContainerId) -> Result<RawTty, EngineError> {
        self.timed("attach", self.inner.attach(id)).await
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec, EngineError> {
        self.timed("exec", self.inner.exec(id, spec)).await
    }

    async fn resize(&self, id: &ContainerId, size: TermSize) -> Result<(), EngineError> {
        self.timed("resize", self.inner.resize(id, size)).await
    }

    async fn resize_exec(&self, exec: &ExecId, size: TermSize) -> Result<(), EngineError> {
        self.timed("resize", self.inner.resize_exec(exec, size)).await
    }

    async fn exec_state(&self, exec: &ExecId) -> Result<ExecState, EngineError> {
        self.timed("exec-state", self.inner.exec_state(exec)).await
    }

    async fn logs(&self, id: &ContainerId, query: &LogQuery) -> Result<LogStream, EngineError> {
        self.timed("logs", self.inner.logs(id, query)).await
    }

    async fn stats(&self, id: &ContainerId) -> Result<Stats, EngineError> {
        self.timed("stats", self.inner.stats(id)).await
    }

    async fn events(&self, bay: &Name) -> Result<BoxStream<'static, Result<Hint, EngineError>>, EngineError> {
        self.timed("events", self.inner.events(bay)).await
    }

    async fn listen(&self, id: &ContainerId, port: u16) -> Result<std::net::TcpListener, EngineError> {
        self.timed("listen", self.inner.listen(id, port)).await
    }

    async fn published(&self) -> Result<Vec<(PortMapping, String)>, EngineError> {
        self.timed("ports", self.inner.published()).await
    }
}
