//! The `host` image: directories and links that mirror this machine's layout, a few KB; its content is the machine's
//! own `/usr` and parts of `/etc`, mounted read-only into each container.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::bay::mount::Mount;
use crate::bay::owner::hex;

/// The repository of host images in the engine; the tag is the layout's hash.
const REPOSITORY: &str = "podbay-host";

/// The environment of every container of it.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Every container of it has this, too, where nothing else is asked for: without a locale, a shell takes what is not ASCII
/// for several columns each. This one needs no files.
pub const LOCALE: (&str, &str) = ("LANG", "C.UTF-8");

/// What a merged `/usr` makes links of; a system without one has directories there.
const TOP: [&str; 5] = ["bin", "lib", "lib32", "lib64", "libx32"];

/// Programs that are called by their path below `/sbin`. That directory can't be a link into the read-only `/usr`: the
/// engine mounts its init there.
const SBIN: [&str; 8] = ["ethtool", "ifconfig", "ip", "ldconfig", "mkfs", "route", "sysctl", "tc"];

/// Parts of `/etc` that programs of `/usr` look at. Never shadow files, nor what the engine writes itself (hosts,
/// hostname, resolv.conf).
const ETC: [&str; 34] = [
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "bashrc",
    "ca-certificates",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "gitconfig",
    "group",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.conf",
    "localtime",
    "lsb-release",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "rpc",
    "services",
    "skel",
    "ssl",
    "terminfo",
    "timezone",
];

/// Directories of the image, with their modes.
const FOLDERS: [(&str, u32); 16] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/tmp", 0o1777),
    ("workspace", 0o777),
];

/// This machine's top level, as far as programs of `/usr` need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Links of the root, with their targets.
    links: Vec<(String, PathBuf)>,
    /// Directories of the root that must be mounted beside `/usr`.
    folders: Vec<String>,
    /// Parts of `/etc` that exist.
    etc: Vec<Mount>,
    root: PathBuf,
}

impl Layout {
    /// Of the system below `root`, `/` for this machine.
    pub fn of(root: &Path) -> Self {
        let (mut links, mut folders) = (Vec::new(), Vec::new());
        for name in TOP {
            let path = root.join(name);
            match std::fs::read_link(&path) {
                Ok(target) => links.push((name.to_owned(), target)),
                Err(_) if path.is_dir() => folders.push(name.to_owned()),
                Err(_) => {}
            }
        }
        for name in SBIN.iter().filter(|name| root.join("usr/sbin").join(name).exists()) {
            links.push((format!("sbin/{name}"), Path::new("/usr/sbin").join(name)));
        }
        links.push(("var/run".to_owned(), PathBuf::from("/run")));
        let within = root.join("etc").canonicalize().unwrap_or_else(|_| root.join("etc"));
        let etc = ETC.iter().filter_map(|name| {
            let mut source = within.join(name);
            let mut meta = source.symlink_metadata().ok()?;
            if meta.is_symlink() {
                // The engine mounts what it leads to.
                source = source.canonicalize().ok()?;
                meta = source.metadata().ok()?;
            }
            let target = Path::new("/etc").join(name);
            readable(&meta).then_some(Mount { source, target, read_only: true })
        });
        let etc = etc.collect();
        Self { links, folders, etc, root: root.to_owned() }
    }

    /// The image's reference: `podbay-host:<hash of the layout>`.
    pub fn reference(&self) -> String {
        format!("{REPOSITORY}:{}", self.tag())
    }

    fn tag(&self) -> String {
        let mut text = format!("2 {PATH} {FOLDERS:?} {:?}", self.folders);
        for (name, target) in &self.links {
            text.extend([" ", name, "->", &target.display().to_string()]);
        }
        hex(&Sha256::digest(text.as_bytes())).chars().take(12).collect()
    }

    /// The path and query that import it.
    pub fn import_path(&self, podman: bool) -> String {
        let change = super::transport::escape(&format!("ENV PATH={PATH}"));
        // Podman 4 passes over the tag, and takes one that is part of the repository; Docker does not.
        let name = if podman { self.reference() } else { format!("{REPOSITORY}&tag={}", self.tag()) };
        format!("/images/create?fromSrc=-&repo={name}&changes={change}")
    }

    /// What every container of the image has mounted, but for targets that `taken` has already.
    pub fn mounts(&self, taken: &[Mount]) -> Vec<Mount> {
        let top = self.folders.iter().map(String::as_str).chain(["usr"]);
        let top =
            top.map(|name| Mount { source: self.root.join(name), target: Path::new("/").join(name), read_only: true });
        let own = top.chain(self.etc.iter().cloned());
        own.filter(|mount| taken.iter().all(|other| other.target != mount.target)).collect()
    }

    /// Makes the image's directories and links below a directory that is there: what an engine would unpack.
    ///
    /// # Errors
    /// The system's.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "containers without a daemon are of Linux"))]
    pub fn unfold(&self, root: &Path) -> io::Result<()> {
        let folders = self.folders.iter().map(|name| (name.as_str(), 0o755));
        for (name, mode) in FOLDERS.into_iter().chain(folders) {
            let path = root.join(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        }
        self.links.iter().try_for_each(|(name, target)| std::os::unix::fs::symlink(target, root.join(name)))
    }

    /// The image as a tar: always the same bytes for the same layout.
    ///
    /// # Errors
    /// A link's target that no tar can hold.
    pub fn tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        let folders = self.folders.iter().map(|name| (name.as_str(), 0o755));
        for (name, mode) in FOLDERS.into_iter().chain(folders) {
            let mut header = header(EntryType::Directory, mode);
            tar.append_data(&mut header, format!("{name}/"), io::empty())?;
        }
        for (name, target) in &self.links {
            let mut header = header(EntryType::Symlink, 0o777);
            tar.append_link(&mut header, name, target)?;
        }
        tar.into_inner()
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header
}

/// Whether everybody may read it: what root alone may read is nobody's business in a worker.
fn readable(meta: &std::fs::Metadata) -> bool {
    meta.permissions().mode() & 0o004 != 0
}

/// The engine's reference as users say it: `host` for any host image.
pub fn spoken(reference: &str) -> String {
    // Podman gives every short name a registry.
    let host = ["localhost/", "docker.io/library/"].iter().find_map(|registry| reference.strip_prefix(registry));
    let host = host.unwrap_or(reference);
    if host.split(':').next() == Some(REPOSITORY) { "host".to_owned() } else { reference.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn merged() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["usr/bin", "usr/sbin", "usr/lib", "etc/ssl", "lib64"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        symlink("usr/lib", dir.path().join("lib")).unwrap();
        symlink("usr/sbin", dir.path().join("sbin")).unwrap();
        std::fs::write(dir.path().join("usr/sbin/ip"), "").unwrap();
        for (file, mode) in [("passwd", 0o644), ("shadow", 0o640), ("hosts", 0o644), ("group", 0o600)] {
            let path = dir.path().join("etc").join(file);
            std::fs::write(&path, "x").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        dir
    }

    #[test]
    fn the_tar_mirrors_the_layout() {
        let dir = merged();
        let layout = Layout::of(dir.path());
        let bytes = layout.tar().unwrap();
        assert!(bytes.len() < 32 * 1024, "{} bytes", bytes.len());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            entries.insert(entry.path().unwrap().display().to_string(), (entry.header().mode().unwrap(), link));
        }
        assert_eq!(entries["bin"], (0o777, Some("usr/bin".into())));
        assert_eq!(entries["lib64/"], (0o755, None));
        assert_eq!(entries["sbin/"], (0o755, None), "the engine mounts its init there");
        assert_eq!(entries["sbin/ip"].1.as_deref(), Some("/usr/sbin/ip"));
        assert_eq!(entries["tmp/"], (0o1777, None));
        assert_eq!(entries["workspace/"].0, 0o777);
        assert_eq!(bytes, Layout::of(dir.path()).tar().unwrap());
    }

    #[test]
    fn what_is_unfolded_is_what_the_tar_has() {
        let dir = merged();
        let layout = Layout::of(dir.path());
        let (direct, unpacked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        layout.unfold(direct.path()).unwrap();
        tar::Archive::new(layout.tar().unwrap().as_slice()).unpack(unpacked.path()).unwrap();
        let facts = |root: &Path, name: &str| {
            let path = root.join(name);
            let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
            (mode, std::fs::read_link(&path).ok())
        };
        for name in ["bin", "sbin", "sbin/ip", "lib64", "tmp", "var/run", "root", "workspace", "proc"] {
            // A tar can't say "sticky" without being asked to keep it.
            let same = |(mode, link): (u32, Option<PathBuf>)| (mode & 0o777, link);
            assert_eq!(same(facts(direct.path(), name)), same(facts(unpacked.path(), name)), "{name}");
        }
        assert_eq!(facts(direct.path(), "tmp").0 & 0o7777, 0o1777);
    }

    #[test]
    fn mounts_are_read_only_and_never_secret() {
        let dir = merged();
        let layout = Layout::of(dir.path());
        let taken = [Mount { source: "/x".into(), target: "/etc/ssl".into(), read_only: false }];
        let mounts = layout.mounts(&taken);
        let targets: Vec<_> = mounts.iter().map(|mount| mount.target.display().to_string()).collect();
        assert_eq!(targets, ["/lib64", "/usr", "/etc/passwd"]);
        assert!(mounts.iter().all(|mount| mount.read_only));
    }

    #[test]
    fn another_layout_is_another_image() {
        let dir = merged();
        let before = Layout::of(dir.path()).reference();
        symlink("usr/lib32", dir.path().join("lib32")).unwrap();
        assert_ne!(before, Layout::of(dir.path()).reference());
        for own in [before.clone(), format!("localhost/{before}"), format!("docker.io/library/{before}")] {
            assert_eq!(spoken(&own), "host");
        }
        assert_eq!(spoken("podbay-hosted:1"), "podbay-hosted:1");
    }
}
