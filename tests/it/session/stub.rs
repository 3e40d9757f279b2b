//! An engine of one container whose program is the test itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use podbay::bay::container::{ContainerId, ContainerSpec, ImageFacts, ImageRef, Observed, ObservedNetwork, Status};
use podbay::bay::name::Name;
use podbay::bay::port::PortMapping;
use podbay::bay::session::TermSize;
use podbay::engine::{
    Created, Engine, EngineError, Exec, ExecId, ExecIo, ExecSpec, ExecState, Hint, Identity, LogLine, LogQuery,
    LogStream, RawTty, Stats,
};
use tokio::io::DuplexStream;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// The stub's script and its diary.
pub struct Stub {
    pub status: Mutex<Status>,
    pub exec: Mutex<ExecState>,
    pub away: AtomicBool,
    pub history: Mutex<Vec<Bytes>>,
    pub resizes: Mutex<Vec<(Instant, TermSize)>>,
    pub execs: Mutex<Vec<ExecSpec>>,
    /// What an exec fails with.
    pub refusal: Mutex<Option<EngineError>>,
    programs: mpsc::Sender<DuplexStream>,
    opened: AsyncMutex<mpsc::Receiver<DuplexStream>>,
}

pub fn running() -> Status {
    Status::Running { pid: 1, since: jiff::Timestamp::UNIX_EPOCH, paused: false }
}

pub fn exited(code: i64) -> Status {
    Status::Exited { code, oom: false, at: None, error: String::new() }
}

impl Stub {
    pub fn new() -> Arc<Self> {
        let (programs, opened) = mpsc::channel(64);
        Arc::new(Self {
            status: Mutex::new(running()),
            exec: Mutex::new(ExecState::Running { pid: 7 }),
            away: AtomicBool::new(false),
            history: Mutex::default(),
            resizes: Mutex::default(),
            execs: Mutex::default(),
            refusal: Mutex::default(),
            programs,
            opened: AsyncMutex::new(opened),
        })
    }

    /// The program's side of the tty that was opened next.
    pub async fn program(&self) -> DuplexStream {
        let mut opened = self.opened.lock().await;
        tokio::time::timeout(Duration::from_secs(5), opened.recv()).await.expect("nobody opened a tty").unwrap()
    }

    fn tty(&self) -> RawTty {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.programs.try_send(far).unwrap();
        let (output, input) = tokio::io::split(near);
        RawTty { output: Box::new(output), input: Box::new(input) }
    }

    fn answering(&self) -> Result<(), EngineError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(EngineError::Away { endpoint: "stub".to_owned(), why: "asked to be".to_owned() });
        }
        Ok(())
    }
}

fn not_played<T>() -> Result<T, EngineError> {
    Err(EngineError::Failed { what: "stub".to_owned(), message: "not played".to_owned() })
}

#[async_trait]
impl Engine for Stub {
    fn endpoint(&self) -> &'static str {
        "stub:"
    }

    async fn identify(&self) -> Result<Identity, EngineError> {
        not_played()
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.answering()
    }

    async fn list(&self, _bay: &Name) -> Result<Vec<Observed>, EngineError> {
        not_played()
    }

    async fn named(&self, _name: &str) -> Result<Option<ContainerId>, EngineError> {
        not_played()
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Observed, EngineError> {
        self.answering()?;
        Ok(Observed {
            id: id.clone(),
            name: "bay-fox".to_owned(),
            image: "stub".to_owned(),
            labels: BTreeMap::default(),
            status: self.status.lock().unwrap().clone(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            network: ObservedNetwork::Own,
            ports: Vec::new(),
            health: None,
            failed_probes: 0,
            tty: true,
            isolation: None,
        })
    }

    async fn describe(&self, _id: &ContainerId) -> Result<serde_json::Value, EngineError> {
        not_played()
    }

    async fn ensure_image(&self, _image: &ImageRef) -> Result<(), EngineError> {
        not_played()
    }

    async fn image(&self, _: &ImageRef) -> Result<ImageFacts, EngineError> {
        not_played()
    }

    async fn create(&self, _spec: &ContainerSpec) -> Result<Created, EngineError> {
        not_played()
    }

    async fn start(&self, _id: &ContainerId) -> Result<(), EngineError> {
        not_played()
    }

    async fn stop(&self, _id: &ContainerId, _grace: Duration) -> Result<(), EngineError> {
        not_played()
    }

    async fn remove(&self, _id: &ContainerId) -> Result<(), EngineError> {
        not_played()
    }

    async fn rename(&self, _id: &ContainerId, _name: &str) -> Result<(), EngineError> {
        not_played()
    }

    async fn attach(&self, _id: &ContainerId) -> Result<RawTty, EngineError> {
        self.answering()?;
        Ok(self.tty())
    }

    async fn exec(&self, _id: &ContainerId, spec: &ExecSpec) -> Result<Exec, EngineError> {
        self.answering()?;
        if let Some(error) = self.refusal.lock().unwrap().clone() {
            return Err(error);
        }
        self.execs.lock().unwrap().push(spec.clone());
        let io = if spec.tty.is_some() {
            ExecIo::Tty(self.tty())
        } else {
            // Somebody signals the shell: it goes at once.
            *self.exec.lock().unwrap() = ExecState::Exited { code: 129 };
            ExecIo::Pipes { output: stream::empty().boxed(), input: Box::new(tokio::io::sink()) }
        };
        Ok(Exec { id: ExecId("exec".to_owned()), io })
    }

    async fn resize(&self, _id: &ContainerId, size: TermSize) -> Result<(), EngineError> {
        self.answering()?;
        if !self.status.lock().unwrap().is_running() {
            return not_played();
        }
        self.resizes.lock().unwrap().push((Instant::now(), size));
        Ok(())
    }

    async fn resize_exec(&self, _exec: &ExecId, size: TermSize) -> Result<(), EngineError> {
        self.resizes.lock().unwrap().push((Instant::now(), size));
        Ok(())
    }

    async fn exec_state(&self, _exec: &ExecId) -> Result<ExecState, EngineError> {
        self.answering()?;
        Ok(*self.exec.lock().unwrap())
    }

    async fn logs(&self, _id: &ContainerId, _query: &LogQuery) -> Result<LogStream, EngineError> {
        self.answering()?;
        let lines = self.history.lock().unwrap().clone();
        Ok(stream::iter(lines.into_iter().map(|bytes| Ok(LogLine { at: None, stderr: false, bytes }))).boxed())
    }

    async fn stats(&self, _id: &ContainerId) -> Result<Stats, EngineError> {
        not_played()
    }

    async fn events(&self, _bay: &Name) -> Result<BoxStream<'static, Result<Hint, EngineError>>, EngineError> {
        not_played()
    }

    async fn published(&self) -> Result<Vec<(PortMapping, String)>, EngineError> {
        not_played()
    }
}
