//! What stands at `/workspace`: a directory of this machine, or the worker's own, empty or filled with a clone.

use std::path::{Path, PathBuf};

use crate::bay::remote::{Branch, Remote};
use crate::bay::template::{Template, WorkspaceMode};
use crate::config::env::Env;

use super::clone::Source;
use super::mounts::{MountList, Refused};
use super::{Ground, WorkspaceError};

/// The project directory to bind, canonical; `None`: the worker's own.
pub fn project(
    ground: &Ground<'_>,
    list: &MountList<'_>,
    template: &Template,
) -> Result<Option<PathBuf>, WorkspaceError> {
    if template.project.is_empty() || template.workspace == WorkspaceMode::Clone {
        return Ok(None);
    }
    let refuse = |what: &dyn std::fmt::Display| WorkspaceError::new(format_args!("project directory: {what}"));
    let path = ground.env.expand(&template.project).map_err(|what| refuse(&what))?;
    let found = list.checked(Path::new(&path)).map_err(|refused| match refused {
        Refused::Missing => refuse(&format_args!("{path} does not exist")),
        Refused::Because(what) => refuse(&what),
    })?;
    if !found.is_dir() {
        return Err(refuse(&format_args!("{path} is not a directory")));
    }
    Ok(Some(found))
}

/// Whether a directory is the one that a configuration names: by `~`, a variable, a symlink or an odd spelling.
#[must_use]
pub fn is_same(env: &Env, named: &str, directory: &Path) -> bool {
    let canonical = |path: &Path| path.is_absolute().then(|| std::fs::canonicalize(path).ok()).flatten();
    let named = env.expand(named).ok().and_then(|path| canonical(Path::new(&path)));
    named.is_some() && named == canonical(directory)
}

/// The repository that is cloned into the worker's own directory; `None`: it asks for none.
///
/// # Errors
/// The template names no repository, or one that can't be used.
pub fn source(template: &Template, branch: Option<&str>) -> Result<Option<Source>, WorkspaceError> {
    if template.workspace != WorkspaceMode::Clone {
        return Ok(None);
    }
    if template.project.is_empty() {
        let text =
            "workspace = \"clone\" needs a repository: name its URL as the template's project, or say --repo URL";
        return Err(WorkspaceError::new(text));
    }
    let remote = template.project.parse::<Remote>().map_err(WorkspaceError::new)?;
    let branch = branch.map(str::parse::<Branch>).transpose().map_err(WorkspaceError::new)?;
    Ok(Some(Source { remote, branch }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_the_same_by_every_name() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("x");
        std::fs::create_dir_all(own.join("y")).unwrap();
        std::os::unix::fs::symlink(&own, home.path().join("link")).unwrap();
        let env = Env { home: home.path().to_owned(), ..Env::default() };
        let text = own.display().to_string();
        for named in ["~/x", "~/link", "~/x/", "~/x/y/..", &text] {
            for asked in [own.clone(), home.path().join("link"), own.join("y/..")] {
                assert!(is_same(&env, named, &asked), "{named} {}", asked.display());
            }
            assert!(!is_same(&env, named, &own.join("y")), "{named}");
        }
        assert!(!is_same(&env, "~/gone", &home.path().join("gone")), "nobody knows of what is not there");
        assert!(!is_same(&env, "x", Path::new("x")));
    }
}
