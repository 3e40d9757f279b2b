//! `ssh://` remotes, by a real `sshd` of the test's own: its own keys, its own port, nothing of the user's.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use podbay::config::env::Env;

use super::clones::Yard;
use super::skipped;
use crate::git_server::{git, repository};

/// Nobody is asked and nothing hangs: a refusal comes sooner than this even on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// One at a time: they share a directory of the system's.
static ONE: Mutex<()> = Mutex::new(());

struct Sshd {
    child: Child,
    port: u16,
    _one: MutexGuard<'static, ()>,
    /// sshd wants this directory, and nobody else has made it.
    made: Option<PathBuf>,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}

/// By `PODBAY_SSHD`, or where Debian and others have it.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("PODBAY_SSHD").map(PathBuf::from);
    named.into_iter().chain([PathBuf::from("/usr/sbin/sshd")]).find(|path| path.is_file())
}

fn key(at: &Path, passphrase: &str) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f"]).arg(at);
    assert!(keygen.status().unwrap().success());
}

impl Sshd {
    /// Lets in who has `user.pub`.
    fn start(program: &Path, dir: &Path) -> Result<Self, String> {
        key(&dir.join("host"), "");
        fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |part: &str| dir.join(part).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin \
             prohibit-password\n",
            at("host"),
            at("authorized"),
        );
        fs::write(dir.join("sshd.conf"), config).unwrap();
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let separate = PathBuf::from("/run/sshd");
        let made = fs::create_dir(&separate).is_ok().then_some(separate);
        let log = fs::File::create(dir.join("sshd.log")).unwrap();
        let mut sshd = Command::new(program);
        sshd.args(["-D", "-e", "-f"]).arg(dir.join("sshd.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = sshd.spawn().map_err(|error| error.to_string())?;
        let mut own = Self { child, port, _one: one, made };
        let deadline = Instant::now() + SOON;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = own.child.try_wait().is_ok_and(|ended| ended.is_some());
            if ended || Instant::now() > deadline {
                let said = fs::read_to_string(dir.join("sshd.log")).unwrap_or_default();
                return Err(format!("sshd does not come up: {said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(own)
    }
}

/// A yard whose ssh has a configuration, a key and known hosts of its own. podbay's own options stay.
struct Shore {
    yard: Yard,
    sshd: Sshd,
}

impl Shore {
    fn new(test: &str) -> Option<Self> {
        let Some(program) = program() else {
            skipped(test, "no sshd: PODBAY_SSHD names one");
            return None;
        };
        let mut yard = Yard::new();
        key(&yard.at("user"), "");
        let sshd = match Sshd::start(&program, yard.dir.path()) {
            Ok(sshd) => sshd,
            Err(why) => {
                skipped(test, &why);
                return None;
            }
        };
        let bin = yard.at("bin");
        fs::create_dir(&bin).unwrap();
        let config = yard.at("ssh.conf");
        fs::write(bin.join("ssh"), format!("#!/bin/sh\nexec /usr/bin/ssh -F '{}' \"$@\"\n", config.display())).unwrap();
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut vars = yard.env.vars.clone();
        vars.insert("PATH".to_owned(), format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
        yard.env = Arc::new(Env { vars, ..Env::clone(&yard.env) });
        let shore = Self { yard, sshd };
        shore.uses("user");
        shore.knows("host.pub");
        Some(shore)
    }

    /// The key that the user has.
    fn uses(&self, key: &str) {
        let config = format!(
            "Host *\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nIdentityFile {}\nIdentitiesOnly yes\n\
             IdentityAgent none\n",
            self.yard.at("known").display(),
            self.yard.at(key).display()
        );
        fs::write(self.yard.at("ssh.conf"), config).unwrap();
    }

    /// The host key that the user knows; empty: none.
    fn knows(&self, key: &str) {
        let line = if key.is_empty() {
            String::new()
        } else {
            format!("[127.0.0.1]:{} {}", self.sshd.port, fs::read_to_string(self.yard.at(key)).unwrap())
        };
        fs::write(self.yard.at("known"), line).unwrap();
    }

    fn url(&self, path: &str) -> String {
        let bare = repository(&self.yard.at("origins"), path);
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        format!("ssh://{}@127.0.0.1:{}{}", String::from_utf8(user).unwrap().trim(), self.sshd.port, bare.display())
    }

    /// What is said instead of a clone, with what would help.
    fn refused(&self, name: &str, url: &str) -> (String, String) {
        let begun = Instant::now();
        let error = self.yard.fill(name, url, None).unwrap_err();
        assert!(begun.elapsed() < SOON, "it waited for {:?}", begun.elapsed());
        (error.text, error.hint.unwrap_or_default())
    }
}

#[test]
fn a_repository_is_cloned_over_ssh_and_fetched_anew() {
    let Some(shore) = Shore::new("a_repository_is_cloned_over_ssh_and_fetched_anew") else { return };
    let url = shore.url("ann/app.git");
    let fox = shore.yard.fill("fox", &url, None).unwrap();
    assert_eq!(fs::read_to_string(fox.join("README")).unwrap(), "hello\n");
    assert_eq!(git(&fox, &["remote", "get-url", "origin"]), url);
    let owl = shore.yard.fill("owl", &url, Some("feature")).unwrap();
    assert!(owl.join("feature").exists());
}

#[test]
fn who_is_not_let_in_is_told_why_and_nobody_is_asked() {
    let Some(shore) = Shore::new("who_is_not_let_in_is_told_why_and_nobody_is_asked") else { return };
    let url = shore.url("ann/app.git");
    key(&shore.yard.at("stranger"), "");
    key(&shore.yard.at("locked"), "a passphrase");
    let (user, locked) = (shore.yard.at("user.pub"), shore.yard.at("locked.pub"));
    let both = fs::read_to_string(user).unwrap() + &fs::read_to_string(locked).unwrap();
    fs::write(shore.yard.at("authorized"), both).unwrap();
    for (key, known, said, helps) in [
        ("user", "", "Host key verification failed", "does not know 127.0.0.1"),
        ("user", "stranger.pub", "has changed", "another key than the one"),
        ("stranger", "host.pub", "Permission denied (publickey)", "ssh-add -l"),
        // Its owner would be asked for a passphrase, and is not.
        ("locked", "host.pub", "Permission denied (publickey)", "ssh-add -l"),
    ] {
        shore.uses(key);
        shore.knows(known);
        let (text, hint) = shore.refused("fox", &url);
        assert!(text.contains(said) && hint.contains(helps), "{key}, {known}: {text} ({hint})");
    }
    shore.uses("user");
    shore.knows("host.pub");
    let (text, hint) = shore.refused("fox", &url.replace("ann/app", "ann/none"));
    assert!(hint.contains("check the URL"), "{text} ({hint})");
    shore.yard.fill("fox", &url, None).unwrap();
}
