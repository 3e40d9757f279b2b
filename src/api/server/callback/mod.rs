//! Callbacks: told over HTTP how far something is, signed, to hosts that the configuration allows, and to nothing near
//! the machine that a name could be made to point at.
//!
//! One task a receiver, one report after the other. What can't be delivered is tried again, ever later, and given up
//! after a while; whoever asked for it finds that in the bay's history.

mod address;
mod send;

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::Serialize;
use sha2::Sha256;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bay::backoff::Backoff;
use crate::bay::owner::hex;
use crate::bay::receiver::{Receiver, Refusal};

pub use address::Target;

/// Reports that wait for their receiver. Full: whoever has one more waits.
const WAITING: usize = 16;
/// Tries of one report.
const TRIES: u32 = 6;

/// A host that nobody knows is asked for so often: a network may not be there yet.
const LOOKUPS: u32 = 5;

/// Where reports are sent.
pub struct Callback {
    reports: mpsc::Sender<Vec<u8>>,
    telling: JoinHandle<()>,
}

/// Told of a report that was given up.
pub type GivenUp = Arc<dyn Fn(String) + Send + Sync>;

impl Callback {
    /// Begins to tell a receiver; ends once this is dropped and all is told or given up, or with the supervisor.
    pub fn begin(target: Target, secret: String, given_up: GivenUp, ending: CancellationToken) -> Self {
        let (reports, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING);
        let telling = tokio::spawn(async move {
            let telling = async {
                while let Some(body) = waiting.recv().await {
                    if let Err(why) = deliver(&target, &secret, &body).await {
                        given_up(format!("callback to {} was given up: {why}", target.host()));
                    }
                }
            };
            tokio::select! {
                () = telling => {}
                () = ending.cancelled() => {}
            }
        });
        Self { reports, telling }
    }

    /// One more report.
    pub async fn tell(&self, report: &impl Serialize) {
        // Fails only with the supervisor's end.
        drop(self.reports.send(serde_json::to_vec(report).unwrap_or_default()).await);
    }

    /// Waits until all reports are told or given up.
    pub async fn end(self) {
        let Self { reports, telling } = self;
        drop(reports);
        drop(telling.await);
    }
}

async fn deliver(target: &Target, secret: &str, body: &[u8]) -> Result<(), String> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        let at = Timestamp::now().as_second();
        let error = match send::post(target, &signed(secret, at, body), body).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.is_final || backoff.failures() + 1 >= TRIES {
            return Err(error.text);
        }
        tracing::debug!(host = %target.host(), error = %error.text, "a callback is tried again");
        tokio::time::sleep(backoff.fail(at.unsigned_abs())).await;
    }
}

/// The headers by which a receiver knows that it is us, and that it is now: over the time, a dot and the body.
fn signed(secret: &str, at: i64, body: &[u8]) -> [(&'static str, String); 2] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key length");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    let signature = hex(&mac.finalize().into_bytes());
    [("x-podbay-timestamp", at.to_string()), ("x-podbay-signature", format!("sha256={signature}"))]
}

/// Looks at a URL, and finds its host's address once and for all.
///
/// # Errors
/// Why nothing is sent there.
pub async fn target(url: &str, allowed: &[String]) -> Result<Target, Refusal> {
    Target::resolve(Receiver::read(url, allowed)?).await
}

/// The same where nobody waits for the answer: a name that is not found is looked for again.
///
/// # Errors
/// Why nothing is sent there.
pub async fn found(url: &str, allowed: &[String]) -> Result<Target, Refusal> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        match target(url, allowed).await {
            Err(Refusal::Unknown(_)) if backoff.failures() + 1 < LOOKUPS => {
                tokio::time::sleep(backoff.fail(Timestamp::now().as_second().unsigned_abs())).await;
            }
            found => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_signed_with_its_time() {
        // As `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret` has it.
        let [(_, at), (_, signature)] = signed("secret", 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(at, "1700000000");
        assert_eq!(signature, "sha256=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686");
    }
}
