//! What is done by the clock: looks, pings, tries to connect.

use std::time::Duration;

use super::super::event::{Effect, Gauges, Now};
use super::{Link, Machine, Out};

/// A full look at least this often; events only make it sooner.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A ping this long after the last answer.
const PING_AFTER: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn tick(&mut self, gauges: Gauges, now: Now, out: &mut Out) {
        // Every log line changes it: nobody is woken for less than anybody would notice.
        let coarse = |gauges: &Gauges| (gauges.disk.free >> 26, gauges.memory_free.map(|free| free >> 28));
        self.dirty |= coarse(&self.gauges) != coarse(&gauges);
        self.gauges = gauges;
        self.watch_figures(now);
        if self.save_trouble.is_some() || std::mem::take(&mut self.jotted) {
            // There may be space again; or it was written in haste.
            self.save_due = true;
        }
        match &mut self.link {
            Link::Connecting => {}
            Link::Away { next, connecting, .. } => {
                if *next <= now.mono && !*connecting {
                    *connecting = true;
                    out.push(Effect::Connect);
                }
            }
            Link::Up { heard, .. } => {
                if now.mono.saturating_sub(*heard) >= PING_AFTER {
                    self.ping(out);
                }
                if now.mono >= self.looking.due {
                    self.look(now, out);
                }
                self.look_at_images(now, out);
                self.survey_workers(now, out);
            }
        }
    }

    pub(super) fn ping(&mut self, out: &mut Out) {
        if let Link::Up { pinging, .. } = &mut self.link
            && !*pinging
        {
            *pinging = true;
            out.push(Effect::Ping);
        }
    }

    /// Asks for a look, or for one more once the present one is back.
    pub(super) fn look(&mut self, now: Now, out: &mut Out) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        if self.looking.in_flight {
            self.looking.again = true;
            return;
        }
        self.looking.last += 1;
        self.looking.in_flight = true;
        self.looking.again = false;
        self.looking.due = now.mono + LOOK_EVERY;
        out.push(Effect::Look(self.looking.last));
    }
}
