//! `[[service]]`: something that must keep running beside the workers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bay::container::ImageRef;
use crate::bay::mount::MountRule;
use crate::bay::name::Name;
use crate::bay::port::{PortError, PortRule};
use crate::bay::size::Span;
use crate::bay::template::{NetworkMode, short_hash};

/// The variable that all processes of a native service carry.
pub const MARK: &str = "PODBAY_SERVICE";

pub use crate::bay::graph::Condition;

/// One service, read and checked in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceConfig {
    /// Its name.
    pub name: Name,
    /// Where it runs, and what is true only there.
    pub run: ServiceRun,
    /// Its argv; empty: the image's own (never empty on the host).
    pub command: Vec<String>,
    /// Ports that it listens on or publishes.
    pub ports: Vec<ServicePort>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Files of `KEY=VALUE` lines, under `env` in precedence.
    pub env_file: Vec<String>,
    /// `UID`, `UID:GID` or a name; empty: the invoking user, or that of an image.
    pub user: String,
    /// The user's secrets that it is given as files.
    pub secrets: Vec<Name>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Exit codes that are no failure.
    pub success_exit_codes: Vec<i64>,
    /// What must come before it. Never a cycle, never a name that is not configured.
    pub depends_on: BTreeMap<Name, Condition>,
    /// When it counts as ready; `None`: as soon as it is started.
    pub ready: Option<Probe>,
    /// Whether it still works; `None`: as long as it runs.
    pub live: Option<Probe>,
    /// How it is stopped.
    pub stop: StopRule,
    /// How long a restart waits.
    pub backoff: BackoffRule,
    /// When podbay gives up.
    pub start_limit: StartLimit,
}

/// Where a service runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ServiceRun {
    /// In a container: the default.
    Container {
        /// The image.
        image: ImageRef,
        /// The network namespace.
        network: NetworkMode,
        /// Mounts.
        mounts: Vec<MountRule>,
    },
    /// On the machine itself, for a reason.
    Host {
        /// Why it can't live in a container.
        reason: HostReason,
        /// Its working directory, not expanded yet; empty: the home directory.
        cwd: String,
        /// Whether it has a tty.
        tty: bool,
    },
}

/// Why a service can't live in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HostReason {
    /// It needs the graphics processor.
    Gpu,
    /// It needs the screen.
    Display,
    /// It needs sound.
    Audio,
    /// It needs a device.
    Hardware,
    /// It calls the operating system's own interfaces.
    NativeApi,
    /// Its client talks to it over its standard streams.
    Stdio,
    /// The user's own sentence, never empty.
    Other(String),
}

const REASONS: [(HostReason, &str); 6] = [
    (HostReason::Gpu, "gpu"),
    (HostReason::Display, "display"),
    (HostReason::Audio, "audio"),
    (HostReason::Hardware, "hardware"),
    (HostReason::NativeApi, "native-api"),
    (HostReason::Stdio, "stdio"),
];

/// A text that is not a [`HostReason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a reason: write gpu, display, audio, hardware, native-api, stdio or \"other: your sentence\"")]
pub struct ReasonError(String);

impl ServiceConfig {
    /// Whether it runs outside of any container.
    #[must_use]
    pub const fn is_native(&self) -> bool {
        matches!(self.run, ServiceRun::Host { .. })
    }

    /// The ports that it is to be found at, in its own namespace.
    #[must_use]
    pub fn listens(&self) -> Vec<u16> {
        let numbers = |port: &ServicePort| match port {
            ServicePort::Listens(port) => vec![*port],
            ServicePort::Published(rule) => rule.mappings().iter().map(|mapping| mapping.host).collect(),
        };
        self.ports.iter().flat_map(numbers).collect()
    }

    /// The same for equal definitions: of what a run is made of. A change of what only podbay follows (when it waits, when
    /// it restarts, how it is probed) is no reason to start it anew.
    #[must_use]
    pub fn hash(&self) -> String {
        let made = (&self.command, &self.ports, &self.env, &self.env_file);
        let bytes = match &self.run {
            // Why it is on the host makes no run another one.
            ServiceRun::Host { cwd, tty, .. } => serde_json::to_vec(&(cwd, tty, made)),
            run @ ServiceRun::Container { .. } => serde_json::to_vec(&(run, made)),
        };
        let mut bytes = bytes.unwrap_or_default();
        // The engine is told of it when it makes the container.
        if let Some(signal) = self.stop.asked_for().filter(|_| !self.is_native()) {
            bytes.extend_from_slice(signal.name().as_bytes());
        }
        let more = std::iter::once(self.user.as_str()).chain(self.secrets.iter().map(Name::as_str));
        more.for_each(|word| bytes.extend_from_slice(word.as_bytes()));
        short_hash(&bytes)
    }
}

impl StopSignal {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SIGTERM => "SIGTERM",
            Self::SIGINT => "SIGINT",
            Self::SIGQUIT => "SIGQUIT",
            Self::SIGHUP => "SIGHUP",
            Self::SIGUSR1 => "SIGUSR1",
            Self::SIGUSR2 => "SIGUSR2",
            Self::SIGKILL => "SIGKILL",
        }
    }
}

impl FromStr for HostReason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        if let Some((reason, _)) = REASONS.iter().find(|(_, word)| *word == text) {
            return Ok(reason.clone());
        }
        let sentence = text.strip_prefix("other:").map(str::trim).filter(|s| !s.is_empty());
        sentence.map(|s| Self::Other(s.to_owned())).ok_or_else(|| ReasonError(text.to_owned()))
    }
}

impl fmt::Display for HostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(sentence) => write!(f, "other: {sentence}"),
            known => f.pad(REASONS.iter().find(|(reason, _)| reason == known).map_or("", |(_, word)| word)),
        }
    }
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePort {
    /// It listens here: in the shared namespace, or on the machine.
    Listens(u16),
    /// Published from a namespace of its own (`network = "bridge"`).
    Published(PortRule),
}

impl Serialize for ServicePort {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Listens(port) => to.serialize_u16(*port),
            Self::Published(rule) => rule.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for ServicePort {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Port;

        impl serde::de::Visitor<'_> for Port {
            type Value = ServicePort;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 1 to 65535, or \"HOST:CONTAINER\"")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<ServicePort, E> {
                let port = u16::try_from(number).ok().filter(|port| *port > 0);
                port.map(ServicePort::Listens)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ServicePort, E> {
                let wrong = |error| match error {
                    PortError::Rule(text) => E::custom(format_args!(
                        "{text:?} is not a port of a service: write a number, like 3002, for one that it listens on, or \
                         \"HOST:CONTAINER\" for one that a container with network = \"bridge\" publishes"
                    )),
                    error => E::custom(error),
                };
                text.parse().map(ServicePort::Published).map_err(wrong)
            }
        }

        from.deserialize_any(Port)
    }
}

/// When a service is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    No,
    /// After a failure.
    OnFailure,
    /// After every end.
    Always,
    /// After every end but one that a user asked for.
    UnlessStopped,
}

/// A probe and its pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// What is asked.
    pub target: ProbeTarget,
    /// Time between probes.
    pub interval: Span,
    /// Time for one probe.
    pub timeout: Span,
    /// Failures in a row until it counts.
    pub retries: u32,
    /// So long after a start, failures do not count.
    pub start_period: Span,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ProbeTarget {
    /// A GET that must answer with 2xx.
    Http(String),
    /// A connection that must be accepted, `HOST:PORT`.
    Tcp(String),
    /// A command that must exit with 0.
    Exec(Vec<String>),
    /// A line of output that must match this regular expression.
    Log(String),
}

/// How a service is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRule {
    /// The first signal.
    pub signal: StopSignal,
    /// Time until SIGKILL.
    pub timeout: Span,
}

impl StopRule {
    /// The signal, unless it is the usual one: an image may have another of its own.
    #[must_use]
    pub fn asked_for(&self) -> Option<StopSignal> {
        Some(self.signal).filter(|signal| *signal != StopSignal::SIGTERM)
    }
}

/// Signals that end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// Terminate.
    SIGTERM,
    /// Interrupt.
    SIGINT,
    /// Quit.
    SIGQUIT,
    /// Hang up.
    SIGHUP,
    /// The program's own.
    SIGUSR1,
    /// The program's own.
    SIGUSR2,
    /// Kill.
    SIGKILL,
}

/// How long a restart waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackoffRule {
    /// The first delay; doubled each time.
    pub initial: Span,
    /// The longest delay.
    pub max: Span,
    /// Up and ready for this long, the next delay is the first again.
    pub reset_after: Span,
}

/// When podbay gives up: more than `burst` starts within `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartLimit {
    /// Starts.
    pub burst: u32,
    /// Within this time.
    pub interval: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_and_write() {
        for text in ["gpu", "display", "audio", "hardware", "native-api", "stdio", "other: talks to the kernel"] {
            assert_eq!(text.parse::<HostReason>().unwrap().to_string(), text);
        }
        for bad in ["", "GPU", "other", "other:", "other:  ", "because"] {
            assert!(bad.parse::<HostReason>().is_err(), "{bad:?}");
        }
    }
}
