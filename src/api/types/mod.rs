//! The shapes on the wire, a file a noun. INTERFACE's JSON and this room are the same thing; a field here is a promise.

mod alert;
mod bay;
mod container;
mod doctor;
mod error;
mod event;
mod figures;
mod image;
mod log;
mod pool;
mod port;
mod run;
mod service;
mod session;
mod setup;
mod spawn;
mod status;
mod why;

pub use alert::{AlertReport, AlertRow};
pub use bay::{Done, DownRequest, Reloaded, UpRequest};
pub use container::{ContainerDetail, ContainerRow, State, StatsRow, Verb};
pub use doctor::{Finding, Verdict};
pub use error::{ErrorBody, ErrorDetail};
pub use event::{BayEvent, Change, Counts, HISTORY_KEPT, HistoryLine, Snapshot};
pub use figures::{Figures, MachineRow};
pub use image::ImageRow;
pub use log::LogEntry;
pub use pool::{Percentiles, PoolOrder, PoolRequest, PoolRow};
pub use port::PortRow;
pub use run::{RunReply, RunRequest, Script};
pub use service::{ServiceRow, ServiceVerb};
pub use session::{ExecRequest, Frame, SEND_MAX, SendRequest, SessionRequest, SessionRow};
pub use setup::{SetupPhase, SetupReply, SetupReport, SetupRequest};
pub use spawn::{SpawnReply, SpawnRequest};
pub use status::{Capacity, Disk, EngineStatus, Health, LinkState, Status, TemplateRoom};
pub use why::Why;
