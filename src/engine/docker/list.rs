//! All containers of a bay, each as an inspect tells it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::StreamExt;

use super::known::Found;
use super::observe::Row;
use super::transport::escape;
use super::{Address, DockerEngine, short};
use crate::bay::container::{Observed, label};
use crate::bay::name::Name;
use crate::engine::EngineError;

/// Inspects that one list does at the same time: as many as there are connections kept for the next.
const INSPECTS: usize = 8;
/// The same where each connection is a login, of which a server takes only so many at once.
const INSPECTS_BY_SSH: usize = 4;

/// This part of the list's deadline is what a busy engine takes for one inspect, and still answers.
const SLOW: u32 = 5;

impl DockerEngine {
    pub(super) async fn list_now(&self, what: &str, bay: &Name) -> Result<Vec<Observed>, EngineError> {
        let session = self.session().await?;
        let filters = serde_json::json!({"label": [format!("{}={bay}", label::BAY)]}).to_string();
        let path = session.path(&format!("/containers/json?all=1&filters={}", escape(&filters)));
        let begun = Instant::now();
        let rows: Vec<Row> = self.wire.json(what, &path).await?;
        // The pids of another machine's containers mean something else here.
        let local = self.is_local().await.unwrap_or(false);
        let is_new = |row: &Row| !local || self.known.still(row).is_none();
        if patience(self.deadlines.read, begun.elapsed(), 1, 1).is_zero() && rows.iter().any(is_new) {
            // Not one could be asked: that is the list's failure, not theirs.
            return Err(EngineError::Deadline { what: what.to_owned(), deadline: self.deadlines.read });
        }
        let at_once = if matches!(self.wire.endpoint.address, Address::Ssh(_)) { INSPECTS_BY_SSH } else { INSPECTS };
        let (all, done) = (rows.len(), AtomicUsize::new(0));
        let inspects = futures_util::stream::iter(rows).map(|row| {
            let (session, done) = (session.clone(), &done);
            async move {
                if let Some(still) = if local { self.known.still(&row) } else { None } {
                    done.fetch_add(1, Ordering::Relaxed);
                    return Ok(Some(Found::known(row, still)));
                }
                let what = format!("inspect {}", short(&row.id));
                let inspect = self.inspect_now(&session, &row.id);
                let patience =
                    patience(self.deadlines.read, begun.elapsed(), all - done.load(Ordering::Relaxed), at_once);
                let told = self.timed(&what, patience, inspect).await;
                done.fetch_add(1, Ordering::Relaxed);
                match told {
                    Ok(seen) => Ok(Some(Found::new(row, seen))),
                    // Gone since the list was made: then it does not belong in it.
                    Err(EngineError::NotFound { .. }) => Ok(None),
                    Err(error) => Err((row, error)),
                }
            }
        });
        let inspected: Vec<_> = inspects.buffer_unordered(at_once).collect().await;
        let Settled { told, unclear } = settled(inspected)?;
        let mut found: Vec<Observed> = told.iter().map(|found| found.seen.clone()).chain(unclear).collect();
        self.known.keep(if local { told } else { Vec::new() });
        found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(found)
    }
}

/// How long one inspect may take: however many of those that are left hang, all have their turn before the list's own
/// deadline. One of many that answers slowly has more than its share while there is time: most answer sooner.
fn patience(deadline: Duration, elapsed: Duration, left: usize, at_once: usize) -> Duration {
    let turns = u32::try_from(left.div_ceil(at_once.max(1))).unwrap_or(u32::MAX).max(1);
    // A tenth is for what comes after the last of them.
    let time = deadline.mul_f64(0.9).saturating_sub(elapsed);
    // A third of what is left leaves something for each that comes after.
    (time / turns).max((deadline / SLOW).min(time / 3)).min(deadline / 2)
}

struct Settled {
    told: Vec<Found>,
    unclear: Vec<Observed>,
}

/// One container that the engine can't tell of takes no other with it. When it can tell of none, the list is none.
fn settled(inspected: Vec<Result<Option<Found>, (Row, EngineError)>>) -> Result<Settled, EngineError> {
    let any = inspected.iter().any(Result::is_ok);
    let (mut told, mut unclear) = (Vec::new(), Vec::new());
    for inspected in inspected {
        match inspected {
            Ok(pair) => told.extend(pair),
            Err((_, error)) if !any || matches!(error, EngineError::Away { .. }) => return Err(error),
            Err((row, error)) => unclear.push(row.unclear(&error)),
        }
    }
    Ok(Settled { told, unclear })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_inspects_have_their_turn_before_the_lists_deadline() {
        let deadline = Duration::from_secs(5);
        for (count, at_once) in [(1, 8), (8, 8), (33, 8), (200, 8), (500, 4)] {
            // The worst: each that begins hangs for as long as it may.
            let (mut elapsed, mut left) = (Duration::from_millis(50), count);
            while left > 0 {
                elapsed += patience(deadline, elapsed, left, at_once);
                left = left.saturating_sub(at_once);
            }
            assert!(elapsed < deadline, "{count} by {at_once}: {elapsed:?}");
        }
        assert_eq!(patience(deadline, Duration::ZERO, 1, 8), deadline / 2);
        assert_eq!(patience(deadline, deadline, 9, 8), Duration::ZERO);
    }

    #[test]
    fn one_of_many_may_answer_slowly() {
        let deadline = Duration::from_secs(5);
        for (count, at_once) in [(60, 4), (200, 8)] {
            assert_eq!(patience(deadline, Duration::ZERO, count, at_once), Duration::from_secs(1), "{count}");
            let late = patience(deadline, Duration::from_secs(3), count / 2, at_once);
            assert_eq!(late, Duration::from_millis(500), "{count}: while there is time");
        }
    }
}
