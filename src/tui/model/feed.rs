//! What the supervisor says, and whether it says anything.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::types::{ContainerRow, LinkState, PoolRow, ServiceRow, SessionRow, Snapshot, State, Status};
use crate::bay::backoff::Backoff;
use crate::bay::container::Role;
use crate::bay::name::WARM;

/// The last snapshot, and the link to the supervisor.
#[derive(Debug)]
pub struct Feed {
    /// The last that was heard; stays when the link is lost.
    pub snapshot: Option<Box<Snapshot>>,
    /// The services as rows among containers.
    pub service_rows: Vec<ContainerRow>,
    /// The link to the supervisor.
    pub link: Link,
    /// How long to wait for the next try.
    pub backoff: Backoff,
}

/// The link to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A try is under way.
    Connecting,
    /// Changes come in.
    Up,
    /// Nobody answers.
    Lost {
        /// Why.
        reason: String,
        /// When it is tried again.
        next_try_at: Timestamp,
    },
}

impl Default for Feed {
    /// Nothing heard yet.
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        Self { snapshot: None, service_rows: Vec::new(), link: Link::Connecting, backoff }
    }
}

impl Feed {
    /// The bay's status.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        self.snapshot.as_deref().map(|snapshot| &snapshot.status)
    }

    /// The parent.
    #[must_use]
    pub fn parent(&self) -> Option<&ContainerRow> {
        self.of_role(Role::Parent).next()
    }

    /// The workers that are not the pool's own.
    pub fn workers(&self) -> impl Iterator<Item = &ContainerRow> {
        self.of_role(Role::Worker).filter(|row| !row.name.starts_with(WARM))
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = &ContainerRow> {
        self.snapshot.iter().flat_map(|snapshot| &snapshot.containers).filter(move |row| row.role == role)
    }

    /// A container by name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&ContainerRow> {
        self.snapshot.as_deref()?.containers.iter().find(|row| row.name == name)
    }

    /// The pools.
    #[must_use]
    pub fn pool(&self) -> &[PoolRow] {
        self.status().map_or(&[], |status| &status.pool)
    }

    /// The services.
    #[must_use]
    pub fn services(&self) -> &[ServiceRow] {
        self.status().map_or(&[], |status| &status.services)
    }

    /// A service as a row among containers.
    #[must_use]
    pub fn service_row(&self, name: &str) -> Option<&ContainerRow> {
        self.service_rows.iter().find(|row| row.name.strip_prefix("svc-") == Some(name))
    }

    /// The snapshot is another one.
    pub fn changed(&mut self) {
        self.service_rows = self.services().iter().map(ServiceRow::as_container).collect();
    }

    /// The supervisor has just begun and has not looked yet: that it names nobody does not say that nobody is there.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        let connecting = self.status().is_some_and(|status| status.engine.state == LinkState::Connecting);
        connecting && self.workers().next().is_none()
    }

    /// The open terminals of a container.
    pub fn sessions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a SessionRow> {
        self.snapshot.iter().flat_map(|snapshot| &snapshot.sessions).filter(move |session| session.name == name)
    }

    /// Workers without their network.
    #[must_use]
    pub fn cut_off(&self) -> usize {
        self.workers().filter(|row| row.state == State::CutOff).count()
    }

    /// The next second of the countdown that is shown, or the end of it.
    #[must_use]
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let own = match &self.link {
            Link::Lost { next_try_at, .. } => Some(*next_try_at),
            _ => None,
        };
        let engine = self
            .status()
            .filter(|status| status.engine.state == LinkState::Away)
            .and_then(|status| status.engine.next_try_at)
            .filter(|at| *at > now);
        [own, engine].into_iter().flatten().map(|at| next_second(at, now)).min()
    }
}

/// When the whole seconds that are left until `at` next change.
fn next_second(at: Timestamp, now: Timestamp) -> Timestamp {
    let left = u64::try_from(at.duration_since(now).as_millis()).unwrap_or(0);
    let to_go = if left % 1000 == 0 { 1000 } else { left % 1000 };
    now + Duration::from_millis(to_go.min(left.max(1)))
}

/// The whole seconds until `at`, rounded up.
#[must_use]
pub fn seconds_until(at: Timestamp, now: Timestamp) -> i64 {
    let left = i64::try_from(at.duration_since(now).as_millis()).unwrap_or(i64::MAX);
    (left.max(0) + 999) / 1000
}
