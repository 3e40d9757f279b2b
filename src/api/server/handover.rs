//! From one supervisor of a bay to the next.

use std::time::Duration;

use tokio::time::Instant;

use crate::api::client::Client;
use crate::config::paths::Paths;
use crate::supervisor::lock::{Lock, LockError};

/// How long a supervisor that holds the lock and does not answer may take to begin, or to end.
const HANDOVER: Duration = Duration::from_secs(5);
/// Between two looks at it.
const RETRY: Duration = Duration::from_millis(20);

/// Takes the bay's lock. One that is held while nobody answers belongs to a supervisor that begins or ends: it is waited
/// for, so that a verb that follows a `down` finds its supervisor, and a loser of a race can name the winner. To be
/// connected is no answer: the kernel accepts for a process that is being killed until its last thread is gone, and so
/// long it holds the lock.
pub(super) async fn take_lock(paths: &Paths) -> Result<Lock, LockError> {
    let deadline = Instant::now() + HANDOVER;
    let client = Client::new(&paths.socket);
    loop {
        let taken = Lock::take(&paths.state, &paths.socket);
        let held = matches!(taken, Err(LockError::Held { .. }));
        if !held || Instant::now() >= deadline {
            return taken;
        }
        if matches!(tokio::time::timeout_at(deadline, client.health()).await, Ok(Ok(()))) {
            // Who answers has written down its pid by now.
            return Lock::take(&paths.state, &paths.socket);
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::name::Name;
    use crate::config::env::Env;

    fn home() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let vars = [("XDG_RUNTIME_DIR", at("run")), ("XDG_STATE_HOME", at("state"))];
        let env = Env {
            vars: vars.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            cwd: dir.path().to_owned(),
            home: dir.path().to_owned(),
            ..Env::default()
        };
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let paths = Paths::of(&"bay".parse::<Name>().unwrap(), &env);
        paths.create().unwrap();
        (dir, paths)
    }

    #[tokio::test]
    async fn one_that_still_accepts_and_no_longer_answers_is_waited_for() {
        let (_dir, paths) = home();
        let held = Lock::take(&paths.state, &paths.socket).unwrap();
        let dying = tokio::net::UnixListener::bind(&paths.socket).unwrap();
        let (taken, ()) = tokio::join!(take_lock(&paths), async {
            // The newcomer has been accepted, and waits for an answer.
            let connection = dying.accept().await.unwrap();
            assert!(matches!(Lock::take(&paths.state, &paths.socket), Err(LockError::Held { .. })));
            drop((connection, dying, held));
        });
        assert!(taken.is_ok(), "{taken:?}");
    }
}
