//! Volumes that all clones of one repository share: packages that are installed once.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::mount::check_target;
use super::name::Name;
use super::remote::Remote;

/// A volume as written: `NAME:PATH`, one for each repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeRule {
    /// The last part of its name.
    pub name: Name,
    /// Where it stands in a worker.
    pub target: PathBuf,
}

impl VolumeRule {
    /// What it is called: `<owner>-<repo>-<name>`. Two repositories may be given one name; see who asks.
    #[must_use]
    pub fn of(&self, remote: &Remote) -> String {
        format!("{}-{}-{}", remote.owner(), remote.repo(), self.name)
    }
}

/// A volume that is asked for by its name alone: whoever asks for the same name shares it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// As long as a file's name may be, with what podbay puts behind it.
    const MAX: usize = 200;

    /// What stands in the place of a repository's identity: no repository is called so.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("volume {}", self.0)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VolumeName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        // Beside each volume there is a file of its name with `.of` behind it.
        if begins && text.chars().all(fits) && text.len() <= Self::MAX && text.rsplit('.').next() != Some("of") {
            return Ok(Self(text));
        }
        let most = Self::MAX;
        Err(format!(
            "{text:?} is not a volume's name: letters, digits, '_', '.' and '-', a letter or digit first, at most {most}, and no \".of\" behind"
        ))
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}

impl FromStr for VolumeRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a volume: write NAME:PATH, like \"node_modules:/workspace/node_modules\"");
        let (name, target) = text.split_once(':').ok_or_else(wrong)?;
        let target = PathBuf::from(target);
        check_target(&target).map_err(|error| error.to_string())?;
        if target == Path::new("/workspace") {
            return Err(format!("{text:?}: the clone itself stands at /workspace"));
        }
        Ok(Self { name: name.parse().map_err(|error| format!("{text:?}: {error}"))?, target })
    }
}

impl TryFrom<String> for VolumeRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<VolumeRule> for String {
    fn from(rule: VolumeRule) -> Self {
        format!("{}:{}", rule.name, rule.target.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volumes_name_leads_nowhere_else() {
        for good in ["owner-repo-node_modules", "a", "A.b_c-1", &"x".repeat(200)] {
            assert_eq!(VolumeName::try_from(good.to_owned()).map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "../x", "a/b", "-x", "a b", "a\n", "x.of", "a~b", "ä", &"x".repeat(201)] {
            assert!(VolumeName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn volumes_read_and_write_and_are_called_by_their_repository() {
        let rule: VolumeRule = "node_modules:/workspace/node_modules".parse().unwrap();
        assert_eq!(String::from(rule.clone()), "node_modules:/workspace/node_modules");
        assert_eq!(rule.of(&"git@github.com:ann/app.git".parse().unwrap()), "ann-app-node_modules");
        for bad in ["", "node_modules", "x:rel", "../x:/a", "ab:/a/../b", "ab:/", "ab:/workspace"] {
            assert!(bad.parse::<VolumeRule>().is_err(), "{bad:?}");
        }
    }
}
