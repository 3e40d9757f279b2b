//! Rules that change while a run goes on.

use regex::bytes::Regex;

use super::running::Shim;
use crate::bay::lifecycle::{Event, Rules};
use crate::service::log::Reader;
use crate::service::protocol::OutputRules;

/// Lines of the log that are looked through at once.
const LINES: usize = 1000;
/// Who is to be ready says so early: no more of a long run's log is looked through.
const MOST: usize = 64 << 20;

impl Shim {
    pub(super) fn set_rules(&mut self, rules: Rules) {
        if let Some(spec) = &mut self.spec {
            spec.rules = rules.clone();
        }
        if let Some(life) = &mut self.life {
            life.set_rules(rules);
        }
    }

    pub(super) fn set_output(&mut self, OutputRules { log_bytes, log_files, ready_log }: OutputRules) {
        let Some(spec) = &mut self.spec else { return };
        (spec.log_bytes, spec.log_files) = (log_bytes, log_files);
        self.output.log().set_limits(log_bytes, log_files);
        if std::mem::replace(&mut spec.ready_log, ready_log.clone()) == ready_log {
            return;
        }
        self.status.ready_log = false;
        let sought = ready_log.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        if sought.as_ref().is_some_and(|sought| self.has_said(sought)) {
            self.output.log().seek(None);
            self.status.ready_log = true;
            return self.live(Event::Ready(true));
        }
        self.output.log().seek(sought);
    }

    /// Whether this run has said such a line before anybody waited for it. Nobody else writes the log meanwhile.
    fn has_said(&self, sought: &Regex) -> bool {
        let mut log = Reader::new(&self.birth.place.log(), self.status.log_start);
        let mut read = 0;
        while read < MOST {
            match log.read(LINES) {
                Ok(lines) if lines.iter().any(|line| sought.is_match(&line.bytes)) => return true,
                Ok(lines) if !lines.is_empty() => read += lines.iter().map(|line| line.bytes.len()).sum::<usize>(),
                // A log that can't be read says nothing.
                Ok(_) | Err(_) => return false,
            }
        }
        false
    }
}
