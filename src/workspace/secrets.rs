//! Secrets: files in a worker, never words in its environment, argv or labels.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::bay::name::Name;
use crate::config::paths::Paths;

use super::WorkspaceError;
use super::build::Build;
use super::mounts::MountList;

/// As large as Docker takes a secret.
const MOST_BYTES: u64 = 500 * 1024;

/// A secret that was read. Not `Debug`: it must not be printed by accident.
pub struct Secret {
    name: Name,
    content: Vec<u8>,
}

/// Reads the user's secrets: regular files that nobody else can read.
pub fn read(paths: &Paths, names: &[Name]) -> Result<Vec<Secret>, WorkspaceError> {
    names.iter().map(|name| read_one(&paths.secrets().join(name), name)).collect()
}

fn read_one(path: &Path, name: &Name) -> Result<Secret, WorkspaceError> {
    let fail = |why: &dyn std::fmt::Display| {
        WorkspaceError::new(format_args!("secret {:?}: {} {why}", name.as_str(), path.display()))
    };
    // A symlink is not followed, and a pipe does not make us wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let looped = rustix::io::Errno::LOOP.raw_os_error();
    let opened = File::options().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path);
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fail(&"does not exist; put the secret there, with mode 0600"),
        _ if error.raw_os_error() == Some(looped) => fail(&"is a symbolic link; a secret is a regular file"),
        _ => fail(&format_args!("can't be read: {error}")),
    })?;
    let meta = file.metadata().map_err(|error| fail(&error))?;
    if !meta.is_file() {
        return Err(fail(&"is not a regular file"));
    }
    if meta.mode() & 0o177 != 0 {
        return Err(fail(&format_args!(
            "has mode {:04o}; make it 0600, so that nobody else can read it",
            meta.mode() & 0o7777
        )));
    }
    if meta.len() > MOST_BYTES {
        return Err(fail(&"is larger than 500 KiB"));
    }
    let mut content = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut content).map_err(|error| fail(&error))?;
    Ok(Secret { name: name.clone(), content })
}

/// Puts a native service's secrets into its directory, and takes away what is none of them any more; where they are.
pub fn lay_out(secrets: Vec<Secret>, build: &mut Build) -> io::Result<PathBuf> {
    let dir = build.dir(Path::new("secrets"))?;
    for entry in std::fs::read_dir(&dir)?.flatten() {
        if !secrets.iter().any(|secret| entry.file_name().to_str() == Some(secret.name.as_str())) {
            std::fs::remove_file(entry.path())?;
        }
    }
    for Secret { name, content } in secrets {
        build.replace(&Path::new("secrets").join(&name), 0o400, &content)?;
    }
    Ok(dir)
}

/// One secret as text, without the end of its line.
pub fn text(paths: &Paths, name: &Name) -> Result<String, WorkspaceError> {
    let Secret { content, .. } = read_one(&paths.secrets().join(name), name)?;
    let text = String::from_utf8(content);
    let text = text.map_err(|_| WorkspaceError::new(format_args!("secret {:?} is not text", name.as_str())))?;
    Ok(text.trim_end().to_owned())
}

/// Puts each secret into the worker's directory and mounts it, read-only.
pub fn place(secrets: Vec<Secret>, build: &mut Build, list: &mut MountList<'_>) -> Result<(), WorkspaceError> {
    for Secret { name, content } in secrets {
        let path = build.replace(&Path::new("secrets").join(&name), 0o400, &content)?;
        list.add_own(&path, &Path::new("/run/secrets").join(&name), true)?;
    }
    Ok(())
}
