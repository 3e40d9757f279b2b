//! A worker's private home: the agent's settings in it, and places for what is mounted into it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::bay::template::AgentHome;

use super::build::Build;
use super::hooks;
use super::mounts::MountList;
use super::{Ground, WorkspaceError};

/// A larger file is not a setting.
const MOST_BYTES: u64 = 16 << 20;

/// Gives the worker its own copy of the agent's settings: in its home, or mounted where `to` says.
pub fn agent(
    ground: &Ground<'_>,
    home: &AgentHome,
    build: &mut Build,
    list: &mut MountList<'_>,
) -> Result<(), WorkspaceError> {
    if home.to.is_empty() {
        return Ok(());
    }
    let fail = |what: String| WorkspaceError::new(format_args!("agent_home: {what}"));
    let to = ground.env.expand_from(&home.to, &list.home().to_string_lossy()).map_err(fail)?;
    let inside = Path::new(&to).strip_prefix(list.home()).map(|rest| Path::new("home").join(rest)).ok();
    let place = inside.clone().unwrap_or_else(|| PathBuf::from("agent"));
    let made = build.dir(&place)?;
    if inside.is_none() {
        list.add_own(&made, Path::new(&to), false)?;
    }
    // Without an agent on this machine there is nothing to copy, and nothing wrong: its hooks are written all the same.
    let from = match home.from.as_str() {
        "" => None,
        from => fs::canonicalize(PathBuf::from(ground.env.expand(from).map_err(fail)?)).ok(),
    };
    for file in &home.copy {
        match from.as_ref().map_or(Ok(None), |from| setting(from, file)) {
            Ok(content) => {
                let hooked = if file == hooks::FILE { hooks::added(content.as_deref()) } else { None };
                if let Some(content) = hooked.or(content) {
                    build.file(&place.join(file), 0o600, &content)?;
                }
            }
            Err(why) => list
                .notes
                .push(format!("agent_home: {} was not copied: {why}", Path::new(&home.from).join(file).display())),
        }
    }
    Ok(())
}

/// The content of a settings file; `None`: there is no such file.
fn setting(from: &Path, file: &str) -> Result<Option<Vec<u8>>, String> {
    let path = match fs::canonicalize(from.join(file)) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !path.starts_with(from) {
        return Err(format!("it leads out of {}", from.display()));
    }
    let meta = fs::metadata(&path).map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a file".to_owned());
    }
    if meta.len() > MOST_BYTES {
        return Err("it is larger than 16 MiB".to_owned());
    }
    let mut content = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut content));
    read.map(|_| Some(content)).map_err(|error| error.to_string())
}

/// Makes the places in the home that something is mounted on. Left to the engine, they would belong to root, and a
/// worker could not write beside them nor podbay remove them.
pub fn mount_points(build: &mut Build, list: &MountList<'_>) -> Result<(), WorkspaceError> {
    for mount in list.mounts() {
        let Ok(below) = mount.target.strip_prefix(list.home()) else { continue };
        let Some(parent) = below.parent() else { continue };
        let home = Path::new("home");
        if mount.source.is_dir() {
            build.dir(&home.join(below))?;
        } else {
            build.dir(&home.join(parent))?;
            build.file(&home.join(below), 0o600, b"")?;
        }
    }
    Ok(())
}
