//! The token: 32 random bytes in a file that only its owner can read, never kept or told as it is.
//!
//! In memory there is only its HMAC under a key of this process: a comparison then takes the same time whatever is
//! given, and a core file holds no token.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use crate::bay::owner::hex;
use crate::supervisor::store::random;

/// 32 bytes in base64, without padding. In hex they are more.
const SHORTEST: usize = 43;
/// More is no token.
const LONGEST: u64 = 4096;

/// The present token, and where it is kept.
pub struct Tokens {
    file: PathBuf,
    /// Begun with this process's key.
    mac: Hmac<Sha256>,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    digest: Option<[u8; 32]>,
    /// Cancelled when another takes its place.
    reign: CancellationToken,
}

impl Tokens {
    /// A token that is not read yet: until then none fits.
    ///
    /// # Errors
    /// The system's, where it gives no random bytes.
    pub fn new(file: PathBuf) -> io::Result<Self> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mac = Hmac::new_from_slice(&random::<32>()?).expect("any key length");
        Ok(Self { file, mac, present: Mutex::default() })
    }

    /// Where it is kept.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reads it; makes it where there is none. Whoever used another one is let go. Blocking.
    ///
    /// # Errors
    /// In words, with the file and what would be right; never with what is in it.
    pub fn ready(&self) -> Result<(), String> {
        let token = match read(&self.file) {
            Ok(Some(token)) => token,
            Ok(None) => self.make()?,
            Err(why) => return Err(self.about(&why)),
        };
        self.take(&token);
        Ok(())
    }

    /// Puts another one in its place, at once and for all. Blocking.
    ///
    /// # Errors
    /// In words; the old one is then still good.
    pub fn rotate(&self) -> Result<(), String> {
        let token = self.make()?;
        self.take(&token);
        Ok(())
    }

    /// Ends when the present token does.
    pub fn reign(&self) -> CancellationToken {
        self.present().reign.clone()
    }

    /// Whether this is it. Takes the same time for every text of one length.
    pub fn fits(&self, given: &[u8]) -> bool {
        let Some(digest) = self.present().digest else { return false };
        self.mac(given).verify_slice(&digest).is_ok()
    }

    fn make(&self) -> Result<String, String> {
        let token = random::<32>().map(|bytes| hex(&bytes)).map_err(|error| self.about(&error.to_string()))?;
        write(&self.file, &token).map_err(|error| self.about(&error.to_string()))?;
        Ok(token)
    }

    fn take(&self, token: &str) {
        let digest: [u8; 32] = self.mac(token.as_bytes()).finalize().into_bytes().into();
        let mut present = self.present();
        if present.digest != Some(digest) {
            present.reign.cancel();
            *present = Present { digest: Some(digest), reign: CancellationToken::new() };
        }
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(text);
        mac
    }

    /// Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn about(&self, why: &str) -> String {
        format!("token file {}: {why}", self.file.display())
    }
}

/// `None`: there is no such file.
fn read(path: &Path) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // Of what was opened, not of what stands there by now.
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a file".to_owned());
    }
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us && meta.uid() != 0 {
        return Err(format!("it belongs to user {}, not to you ({us})", meta.uid()));
    }
    if meta.mode() & 0o077 != 0 {
        return Err("others may read it: `chmod 600` it, or remove it and podbay makes another".to_owned());
    }
    let mut text = String::new();
    let reading = file.take(LONGEST).read_to_string(&mut text);
    reading.map_err(|_| "it is not text".to_owned())?;
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "a token has {SHORTEST} or more characters, no spaces (32 random bytes); `podbay api token rotate` makes one"
        ));
    }
    Ok(Some(token.to_owned()))
}

/// Whole or not at all, and never readable by others.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    crate::config::paths::private_dir(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    drop(fs::remove_file(&draft));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = writeln!(file, "{token}").and_then(|()| file.sync_all()).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        drop(fs::remove_file(&draft));
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn tokens() -> (tempfile::TempDir, Tokens) {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(dir.path().join("deep/token")).unwrap();
        (dir, tokens)
    }

    fn kept(tokens: &Tokens) -> String {
        fs::read_to_string(tokens.file()).unwrap().trim().to_owned()
    }

    #[test]
    fn it_is_made_once_private_and_long() {
        let (_dir, tokens) = tokens();
        assert!(!tokens.fits(b""), "none fits before one is read");
        tokens.ready().unwrap();
        let token = kept(&tokens);
        assert_eq!((token.len(), fs::metadata(tokens.file()).unwrap().mode() & 0o777), (64, 0o600));
        tokens.ready().unwrap();
        assert_eq!(kept(&tokens), token);
        assert!(tokens.fits(token.as_bytes()));
        let other = Tokens::new(tokens.file().to_owned()).unwrap();
        other.ready().unwrap();
        assert!(other.fits(token.as_bytes()), "another process reads the same");
    }

    #[test]
    fn s07_only_the_whole_token_fits() {
        let (_dir, tokens) = tokens();
        tokens.ready().unwrap();
        let token = kept(&tokens);
        let longer = format!("{token}0");
        let first = format!("{}{}", if token.starts_with('0') { '1' } else { '0' }, &token[1..]);
        for wrong in ["", &token[..63], &token[1..], &longer, &first, &token.to_uppercase(), &"0".repeat(64)] {
            assert!(!tokens.fits(wrong.as_bytes()) || wrong == token, "{wrong}");
        }
        assert!(!tokens.fits(&vec![b'a'; 1 << 20]));
    }

    /// Welch's t of what two kinds of tokens cost, the slowest tenth of each left out: the machine had something else to do.
    fn welch(tokens: &Tokens, [one, other]: [&[u8]; 2], pairs: usize) -> f64 {
        let mut times = [Vec::with_capacity(pairs), Vec::with_capacity(pairs)];
        for round in 0..pairs {
            // By turns which is first.
            for kind in [round % 2, 1 - round % 2] {
                let begun = std::time::Instant::now();
                std::hint::black_box(tokens.fits(std::hint::black_box([one, other][kind])));
                times[kind].push(begun.elapsed().as_secs_f64());
            }
        }
        let [one, other] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times.truncate(pairs * 9 / 10);
            let count = f64::from(u32::try_from(times.len()).unwrap());
            let mean = times.iter().sum::<f64>() / count;
            let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
            (mean, variance / count)
        });
        (one.0 - other.0) / (one.1 + other.1).sqrt()
    }

    #[test]
    #[ignore = "by the clock: for a quiet machine"]
    fn s07_how_much_of_a_token_is_right_can_not_be_told_by_the_time() {
        let (_dir, tokens) = tokens();
        tokens.ready().unwrap();
        let token = kept(&tokens).into_bytes();
        let wrong_at = |at: usize| {
            let mut wrong = token.clone();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            wrong
        };
        let (first, last) = (wrong_at(0), wrong_at(63));
        // What differs does so each time; a busy machine does not.
        let tries: Vec<f64> = (0..8).map(|_| welch(&tokens, [&first, &last], 10_000)).collect();
        assert!(tries.iter().any(|t| t.abs() < 3.0), "{tries:?}");
    }

    #[test]
    fn a_rotated_token_ends_the_reign_of_the_old_one() {
        let (_dir, tokens) = tokens();
        tokens.ready().unwrap();
        let (old, reign) = (kept(&tokens), tokens.reign());
        tokens.ready().unwrap();
        assert!(!reign.is_cancelled(), "the same one read again");
        tokens.rotate().unwrap();
        let new = kept(&tokens);
        assert!(reign.is_cancelled() && !tokens.reign().is_cancelled());
        assert!(!tokens.fits(old.as_bytes()) && tokens.fits(new.as_bytes()));
        assert_eq!(fs::metadata(tokens.file()).unwrap().mode() & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(tokens.file().parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_file_that_can_not_be_trusted_is_refused_without_being_told() {
        let (_dir, tokens) = tokens();
        let write = |text: &str, mode: u32| {
            fs::create_dir_all(tokens.file().parent().unwrap()).unwrap();
            fs::write(tokens.file(), text).unwrap();
            fs::set_permissions(tokens.file(), fs::Permissions::from_mode(mode)).unwrap();
            tokens.ready().unwrap_err()
        };
        let secret = "s".repeat(64);
        let said = write(&secret, 0o640);
        assert!(said.contains("others may read it") && !said.contains("ssss"), "{said}");
        let short = "s".repeat(42);
        let said = write(&short, 0o600);
        assert!(said.contains("43 or more") && !said.contains("ssss"), "{said}");
        assert!(write(&format!("{secret} {secret}"), 0o600).contains("no spaces"));
        assert!(!tokens.fits(secret.as_bytes()), "a refused file makes no token");
    }
}
