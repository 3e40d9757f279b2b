//! The health check, where there is one: asked when it is due, and written down.

use tokio::time::Instant;

use super::super::health::Check;
use super::Shim;
use crate::engine::local::wire::Order;

impl Shim<'_> {
    /// From the start of the run.
    pub(super) fn begin_checks(&mut self) {
        if let Some(health) = &self.spec.health
            && let Some(plan) = self.place.planned()
        {
            self.check = Check::new(Some(health), plan.main, Instant::now());
        }
        self.place.set_verdict(self.check.as_ref().map(Check::verdict));
    }

    /// The next probe, or the end of one that takes too long.
    pub(super) fn probe(&mut self) {
        let Some(check) = &mut self.check else { return };
        let order = check.act(self.next_exec, Instant::now());
        self.next_exec += 1;
        self.place.set_verdict(Some(check.verdict()));
        if let (Order::Probe(number, _), Err(_)) = (&order, self.tell(&order)) {
            self.checked(*number, None);
        }
    }

    /// A process has ended, or could not begin; whether it was a probe.
    pub(super) fn checked(&mut self, number: u64, code: Option<i64>) -> bool {
        let Some(check) = &mut self.check else { return false };
        let before = check.verdict();
        let own = check.ended(number, code, Instant::now());
        if check.verdict() != before {
            self.place.set_verdict(Some(check.verdict()));
        }
        own
    }
}
