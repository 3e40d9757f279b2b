//! Secrets that a setup brings: one that opens a private repository for as long as the clone takes, and one that opens
//! the container's terminal.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::bay::owner::hex;
use crate::supervisor::store::random;

/// A shorter secret could be guessed.
pub const SHORTEST: usize = 32;
/// Containers whose secrets are remembered; beyond, the oldest name goes.
const MOST: usize = 1024;

/// A token in a file that only its owner reads, for as long as this lives: git takes it from there.
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// Blocking.
    pub fn write(folder: &Path, token: &str) -> io::Result<Self> {
        let name = format!(".setup-{}", hex(&random::<8>()?));
        let file = Self(folder.join(name));
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.0)?;
        open.write_all(token.as_bytes())?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Which secret opens which container's terminal, beside the API's token. Gone with the supervisor.
#[derive(Clone, Default)]
pub struct Lent(Arc<Mutex<BTreeMap<String, Digest>>>);

struct Digest {
    key: [u8; 16],
    of: [u8; 32],
}

impl Lent {
    /// Lets a secret open the terminal of a container, by its id and its name.
    pub fn lend(&self, names: [String; 2], secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        for name in names {
            let Ok(key) = random() else { return };
            let of = mac(&key, secret.as_bytes()).finalize().into_bytes().into();
            let mut all = self.all();
            if all.len() >= MOST {
                all.pop_first();
            }
            all.insert(name, Digest { key, of });
        }
    }

    /// Whether it opens this one's.
    pub fn opens(&self, name: &str, secret: &[u8]) -> bool {
        let all = self.all();
        all.get(name).is_some_and(|digest| mac(&digest.key, secret).verify_slice(&digest.of).is_ok())
    }

    /// Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(text);
    mac
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_lent_secret_opens_one_containers_terminal_and_is_long() {
        let lent = Lent::default();
        let (long, short) = ("s".repeat(SHORTEST), "s".repeat(SHORTEST - 1));
        lent.lend(["id".to_owned(), "fox".to_owned()], &long);
        lent.lend(["id2".to_owned(), "owl".to_owned()], &short);
        assert!(lent.opens("fox", long.as_bytes()) && lent.opens("id", long.as_bytes()));
        assert!(!lent.opens("owl", short.as_bytes()) && !lent.opens("owl", long.as_bytes()));
        assert!(!lent.opens("fox", short.as_bytes()) && !lent.opens("", b""));
    }

    #[test]
    fn a_token_file_is_private_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::write(dir.path(), "gho_x").unwrap();
        let path = file.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }
}
