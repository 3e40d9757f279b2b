//! What comes from services and what goes to them.

use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::bay::port::PortMapping;
use crate::config::ServiceConfig;
use crate::service::protocol::{Status, Told};
use crate::supervisor::machine::Which;

/// Something about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceEvent {
    /// All shims and statuses that were found at the start.
    Surveyed(Vec<Found>),
    /// Its shim says this.
    Shim {
        /// Which service.
        name: Name,
        /// How it is.
        status: Box<Status>,
    },
    /// It has no shim any more.
    ShimGone {
        /// Which service.
        name: Name,
        /// What the shim last wrote down.
        status: Option<Box<Status>>,
    },
    /// Its shim lives, and can't be spoken with.
    ShimMute {
        /// Which service.
        name: Name,
        /// In words.
        why: String,
    },
    /// Who holds the port that it was to listen on.
    Holder {
        /// Which service.
        name: Name,
        /// Which of its runs could not begin.
        run: u64,
        /// In words, with the port.
        holder: String,
    },
    /// What it needs to start is not there.
    Unprepared {
        /// Which service.
        name: Name,
        /// In words.
        error: String,
    },
    /// A probe's answer.
    Probed {
        /// Which service.
        name: Name,
        /// Which of its runs was asked.
        run: u64,
        /// Which probe.
        which: Which,
        /// Passed, or why not.
        result: Result<(), String>,
    },
}

/// What an earlier supervisor left of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub name: Name,
    /// What its shim says, or last wrote down.
    pub status: Box<Status>,
    /// How it stands with its shim.
    pub shim: Sighting,
}

/// How it stands with a shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It answers.
    Alive,
    /// It is there, and can't be spoken with: why.
    Mute(String),
    /// There is none.
    Dead,
}

/// What is to be done about a service.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceEffect {
    /// Look which shims there are.
    Survey,
    /// See what it needs, have a shim, and have that start it.
    Start {
        /// The order's number.
        id: u64,
        /// What is started.
        service: Box<ServiceConfig>,
        /// Its rules say whether.
        resume: bool,
    },
    /// Have a shim: it ends what an earlier one left.
    Open(Name),
    /// Find out who holds the port that its run was to listen on.
    FindHolder {
        /// Which service.
        name: Name,
        /// Which of its runs could not begin.
        run: u64,
        /// The port.
        port: u16,
    },
    /// Give its shim an order.
    Tell {
        /// Which service.
        name: Name,
        /// What it is told.
        told: Box<Told>,
    },
    /// Ask one of its probes.
    Probe {
        /// Which service.
        service: Box<ServiceConfig>,
        /// How it is.
        status: Box<Status>,
        /// Which probe.
        which: Which,
        /// Its container; `None`: it is native.
        container: Option<ContainerId>,
        /// Ports of this machine that lead into its network.
        ports: Vec<PortMapping>,
    },
}
