//! What is read for a native service: files that may lie anywhere, on a file system that hangs, too.
//!
//! A thread that hangs there can't be ended. So a service has one at most: what is read next waits until it is done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::bay::name::Name;
use crate::bay::service::ServiceConfig;

/// How long its files of variables and its secrets may take.
const FILES: Duration = Duration::from_secs(10);

const BROKEN: &str = "podbay itself failed; its log says where";

/// The readings of all services: the configuration that was last read for, and its turn.
#[derive(Default)]
pub(super) struct Reads(Mutex<BTreeMap<Name, (String, Arc<Semaphore>)>>);

/// The reading of one service.
pub(super) struct Read {
    turn: Arc<Semaphore>,
    limit: Duration,
}

impl Reads {
    /// A service that is configured otherwise may read other files: it does not wait for those of before.
    pub(super) fn of(&self, service: &ServiceConfig) -> Read {
        let hash = service.hash();
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = match reads.get(&service.name) {
            Some((known, turn)) if *known == hash => turn.clone(),
            _ => {
                let turn = Arc::new(Semaphore::new(1));
                reads.insert(service.name.clone(), (hash, turn.clone()));
                turn
            }
        };
        Read { turn, limit: FILES }
    }
}

impl Read {
    /// What this work found, within the time it has.
    ///
    /// # Errors
    /// The work's own, and that the file system does not answer.
    pub(super) async fn done<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let read = async {
            let turn = self.turn.acquire_owned().await.map_err(|_| BROKEN.to_owned())?;
            let work = move || {
                // Until the thread is free again, whoever has waited for it.
                let _turn = turn;
                work()
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(BROKEN.to_owned()))
        };
        tokio::time::timeout(self.limit, read).await.unwrap_or_else(|_| {
            let seconds = self.limit.as_secs();
            Err(format!("its files can't be read within {seconds}s: the file system does not answer"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn service(more: &str) -> ServiceConfig {
        let toml =
            format!("[[service]]\nname = 'web'\nrun = 'host'\nreason = 'native-api'\ncommand = ['true']\n{more}");
        crate::config::Config::parse("podbay.toml", &toml).unwrap().services[0].clone()
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_costs_a_service_one_thread() {
        let (reads, begun) = (Reads::default(), Arc::new(AtomicUsize::new(0)));
        let (answer, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        let work = || {
            let (begun, hang) = (begun.clone(), hang.clone());
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = hang.lock().unwrap().recv();
                Ok(7)
            }
        };
        let (web, short) = (service(""), Duration::from_millis(50));
        for _ in 0..5 {
            let refused = Read { limit: short, ..reads.of(&web) }.done(work()).await.unwrap_err();
            assert!(refused.contains("does not answer"), "{refused}");
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        // Other files are another matter.
        let other = service("env_file = ['~/other']");
        assert_eq!(reads.of(&other).done(|| Ok(8)).await, Ok(8));
        drop(answer);
        assert_eq!(reads.of(&other).done(work()).await, Ok(7), "it answers again");
    }
}
