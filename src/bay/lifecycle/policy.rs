//! What a definition says about the ends of its runs.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bay::service::{BackoffRule, RestartPolicy, ServiceConfig, StartLimit, StopRule};

/// The part of a definition that its life follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Exit codes that are no failure.
    pub success: Vec<i64>,
    /// How it is stopped.
    pub stop: StopRule,
    /// How long a restart waits.
    pub backoff: BackoffRule,
    /// When it is given up.
    pub limit: StartLimit,
    /// It has no readiness probe.
    pub ready_at_once: bool,
}

/// What outlives whoever looks after the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Runs that followed another by themselves, since somebody last started it.
    #[serde(default)]
    pub restarts: u32,
    /// When it was started lately, oldest first.
    #[serde(default)]
    pub starts: VecDeque<Duration>,
    /// Ends in a row that were too early.
    #[serde(default)]
    pub failures: u32,
    /// How it last ended.
    #[serde(default)]
    pub last_exit: Option<Exit>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With this code.
    Code(i64),
    /// By this signal.
    Signal(i32),
    /// The kernel ended it for its memory.
    OutOfMemory,
    /// It never began: why.
    NotStarted(String),
    /// It was ended for its liveness probe: what that said.
    Unhealthy(String),
    /// It went into the background: these processes were left and were ended.
    Daemonised(u32),
    /// Nobody saw how: it went down with its shim, its engine or the machine, or was removed.
    Lost,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}{}", code_hint(*code)),
            Self::Signal(number) => write!(f, "ended by {}", signal_name(*number)),
            Self::OutOfMemory => f.write_str("killed by the kernel: out of memory"),
            Self::NotStarted(why) => write!(f, "could not be started: {why}"),
            Self::Unhealthy(why) => write!(f, "ended for its liveness probe: {why}"),
            Self::Daemonised(count) => write!(
                f,
                "went into the background (it left {count} process{} behind, which {} ended): podbay runs services in \
                 the foreground; most programs have a flag for that",
                if *count == 1 { "" } else { "es" },
                if *count == 1 { "was" } else { "were" }
            ),
            Self::Lost => f.write_str("went down with what held it, unseen"),
        }
    }
}

const fn code_hint(code: i64) -> &'static str {
    match code {
        126 => " (a command can't be executed)",
        127 => " (a command was not found)",
        137 => " (SIGKILL)",
        143 => " (SIGTERM)",
        _ => "",
    }
}

/// The name of a signal.
fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

impl Rules {
    /// Those of a definition.
    #[must_use]
    pub fn of(service: &ServiceConfig) -> Self {
        Self {
            restart: service.restart,
            success: service.success_exit_codes.clone(),
            stop: service.stop,
            backoff: service.backoff,
            limit: service.start_limit,
            ready_at_once: service.ready.is_none(),
        }
    }

    /// Whether an end is no failure.
    #[must_use]
    pub fn is_success(&self, exit: &Exit) -> bool {
        matches!(exit, Exit::Code(code) if self.success.contains(code))
    }

    /// Whether another run follows an end that nobody asked for.
    #[must_use]
    pub fn again(&self, exit: &Exit) -> bool {
        match self.restart {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => !self.is_success(exit),
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        }
    }

    /// Whether a start at `at` would be one too many.
    #[must_use]
    pub fn limit_reached(&self, starts: &VecDeque<Duration>, at: Duration) -> bool {
        let from = at.saturating_sub(self.limit.interval.get());
        let lately = starts.iter().filter(|start| **start >= from).count();
        u32::try_from(lately).unwrap_or(u32::MAX) >= self.limit.burst
    }
}
