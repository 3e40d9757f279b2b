//! Ownership: a label that only this bay could have written.
//!
//! Labels can be set by anyone who can make a container, so the owner label carries an HMAC with a key that never
//! leaves the state directory. Copying all labels of one of our containers copies the HMAC too: the nonce in it is
//! used once, so the supervisor also remembers which container id belongs to which nonce.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::container::{Observed, Role, label};
use super::name::Name;

/// The bay's key, 32 random bytes.
#[derive(Clone)]
pub struct OwnerKey([u8; 32]);

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerKey(..)")
    }
}

/// Used once, for one container. Random hex, chosen before the container is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(String);

impl Nonce {
    /// From sixteen random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(hex(&bytes))
    }

    /// The hex text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OwnerKey {
    /// From the bytes of the key file.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The label's text for a container that is about to be made.
    #[must_use]
    pub fn sign(&self, bay: &Name, role: Role, nonce: &Nonce) -> String {
        format!("{}:{}", nonce.0, hex(&self.mac(bay, role, &nonce.0).finalize().into_bytes()))
    }

    /// The nonce of a container whose labels this key has signed; `None` for any other.
    #[must_use]
    pub fn verify(&self, bay: &Name, container: &Observed) -> Option<Nonce> {
        if container.label(label::BAY) != bay.as_str() {
            return None;
        }
        let (nonce, signature) = container.label(label::OWNER).split_once(':')?;
        let signature = unhex(signature)?;
        // Compared in constant time by the library.
        self.mac(bay, container.role()?, nonce).verify_slice(&signature).ok()?;
        Some(Nonce(nonce.to_owned()))
    }

    fn mac(&self, bay: &Name, role: Role, nonce: &str) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        mac.update(format!("{bay}\0{}\0{nonce}", role.as_str()).as_bytes());
        mac
    }
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
