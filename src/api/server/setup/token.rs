//! Secrets that a setup brings: one that opens a private repository for as long as the clone takes, and one that opens
//! the container's terminal.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::api::types::ContainerRow;
use crate::bay::owner::hex;
use crate::supervisor::store::random;

/// A shorter secret could be guessed.
pub const SHORTEST: usize = 32;
/// Containers whose secrets are remembered.
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

/// Which secret opens the terminal of which container, by its id, beside the API's token.
#[derive(Clone, Default)]
pub struct Lent(Arc<Mutex<BTreeMap<String, Digest>>>);

/// A secret that can be known again and not read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Digest {
    key: [u8; 16],
    of: [u8; 32],
}

impl Lent {
    /// Lets a secret open the terminal of the container with this id.
    pub fn lend(&self, id: &str, secret: &str) -> Option<Digest> {
        if secret.len() < SHORTEST {
            return None;
        }
        let key = random().ok()?;
        let of = mac(&key, secret.as_bytes()).finalize().into_bytes().into();
        let digest = Digest { key, of };
        self.put(id, digest.clone());
        Some(digest)
    }

    /// The same, by what was kept of a secret.
    pub fn put(&self, id: &str, digest: Digest) {
        let mut all = self.all();
        if all.len() >= MOST {
            all.pop_first();
        }
        all.insert(id.to_owned(), digest);
    }

    /// Whether it opens the terminal of the one that is asked for, by its name or its id, among those that there are:
    /// another one that is given the name later is another one.
    pub fn opens(&self, word: &str, secret: &[u8], rows: &[ContainerRow]) -> bool {
        let meant = rows.iter().find(|row| row.name == word || row.id == word);
        let all = self.all();
        let digest = meant.and_then(|row| all.get(&row.id));
        digest.is_some_and(|digest| mac(&digest.key, secret).verify_slice(&digest.of).is_ok())
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
        let row = |name: &str, id: &str| -> ContainerRow {
            let row = serde_json::json!({
                "id": id, "name": name, "role": "worker", "template": "", "state": "running", "image": "",
                "network": "", "project": null, "branch": null, "ports": [], "health": null, "restarts": 0,
                "created_at": null, "started_at": null, "attention": null, "reason": null,
            });
            serde_json::from_value(row).unwrap()
        };
        let rows = [row("fox", "id1"), row("owl", "id2")];
        let lent = Lent::default();
        let (long, short) = ("s".repeat(SHORTEST), "s".repeat(SHORTEST - 1));
        lent.lend("id1", &long);
        lent.lend("id2", &short);
        let opens = |word: &str, secret: &str| lent.opens(word, secret.as_bytes(), &rows);
        assert!(opens("fox", &long) && opens("id1", &long));
        assert!(!opens("owl", &short) && !opens("owl", &long) && !opens("fox", &short) && !opens("", ""));
        assert!(!lent.opens("fox", long.as_bytes(), &[row("fox", "id3")]), "another one of the name");
        assert!(!lent.opens("fox", long.as_bytes(), &[]));
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
