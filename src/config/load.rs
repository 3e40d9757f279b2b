//! Where the configuration comes from.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Config;
use super::env::Env;
use super::error::ConfigError;
use super::file::config_of;
use super::node::Node;
use super::paths::Paths;
use crate::bay::name::Name;

/// A larger file is not a configuration.
const MOST_BYTES: u64 = 1 << 20;

impl Config {
    /// Finds and reads the configuration: `flag`, `$PODBAY_CONFIG`, `./podbay.toml`, the user's, the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong. A file that was named but is not there is an error; the
    /// other two may be missing.
    pub fn load(flag: Option<&Path>, env: &Env) -> Result<Self, ConfigError> {
        match find(flag, env)? {
            Some((path, shown)) => Self::read(&path, &shown),
            None => Self::defaults(),
        }
    }

    /// The bay that a configuration is of which has something wrong in it; `None` when not even that can be read.
    #[must_use]
    pub fn bay_of_broken(flag: Option<&Path>, env: &Env) -> Option<Name> {
        let (path, shown) = find(flag, env).ok()??;
        let text = String::from_utf8(read_bounded(&path, &shown).ok()?).ok()?;
        match text.parse::<toml::Table>().ok()?.get("bay").and_then(|bay| bay.get("name")) {
            Some(name) => name.as_str()?.parse().ok(),
            None => Self::defaults().ok().map(|config| config.bay),
        }
    }

    /// The built-in defaults, as if there were no file.
    ///
    /// # Errors
    /// None: a test reads them.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::parse("built-in defaults", "")
    }

    /// Reads a configuration from its text; `file` is what errors call it.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let user = Node::parse(text).map_err(|error| {
            let what = match error.text.as_str() {
                "recursion limit" | "cannot recurse further; max recursion depth met" => {
                    "tables or arrays are nested too deeply".to_owned()
                }
                other => format!("not valid TOML: {other}"),
            };
            ConfigError::at(file, text, error.at, &what)
        })?;
        config_of(user, None).map_err(|(fault, tree)| {
            let at = fault.at.or_else(|| tree.place(&fault.path));
            ConfigError::at(file, text, at, &fault.text)
        })
    }

    fn read(path: &Path, shown: &str) -> Result<Self, ConfigError> {
        let bytes = read_bounded(path, shown)?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                return Err(ConfigError::at(shown, &text, Some(good), "not UTF-8 from here on"));
            }
        };
        let config = Self::parse(shown, &text)?;
        Ok(Self { source: Some(path.to_owned()), ..config })
    }
}

/// Where the configuration lies, and what errors call it; `None`: there is none.
fn find(flag: Option<&Path>, env: &Env) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let named = flag.map(Path::to_owned).or_else(|| env.get("PODBAY_CONFIG").map(PathBuf::from));
    if let Some(named) = named {
        let shown = named.display().to_string();
        let expanded = env.expand(&shown).map_err(|what| ConfigError::of_file(&shown, what))?;
        return Ok(Some((env.cwd.join(expanded), shown)));
    }
    let own = Paths::config_dir(env).join("config.toml");
    let own_shown = own.display().to_string();
    for (path, shown) in [(env.cwd.join("podbay.toml"), "podbay.toml".to_owned()), (own, own_shown)] {
        match fs::symlink_metadata(&path) {
            Ok(_) => return Ok(Some((path, shown))),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(unreadable(&shown, &error)),
        }
    }
    Ok(None)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(shown: &str, error: &io::Error) -> ConfigError {
    let what = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        _ => format!("can't be read: {error}"),
    };
    ConfigError::of_file(shown, what)
}

pub(super) fn read_bounded(path: &Path, shown: &str) -> Result<Vec<u8>, ConfigError> {
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    let meta = fs::metadata(path).map_err(|error| unreadable(shown, &error))?;
    if meta.is_dir() {
        return Err(ConfigError::of_file(shown, "is a directory; name the file in it"));
    }
    if !meta.is_file() {
        return Err(ConfigError::of_file(shown, "is not a regular file"));
    }
    let file = File::open(path).map_err(|error| unreadable(shown, &error))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(shown, &error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(ConfigError::of_file(shown, "is larger than 1 MiB; that is not a configuration"));
    }
    Ok(bytes)
}
