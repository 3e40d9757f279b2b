//! A worker's environment: files of `KEY=VALUE` lines, the template's table over them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;

use crate::config::env::{Env, is_variable};

use super::WorkspaceError;

/// A larger file is not an environment.
const MOST_BYTES: u64 = 1 << 20;

/// The files' variables in order, then the table's; a later one goes first.
pub fn environment(
    env: &Env,
    files: &[String],
    table: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, WorkspaceError> {
    let mut made = BTreeMap::new();
    for file in files {
        let text = read(env, file)?;
        parse(env, file, &text, &mut made)?;
    }
    for (key, value) in table {
        if !is_variable(key) || value.contains('\0') {
            return Err(WorkspaceError::new(format_args!("{key:?} can't be put into an environment")));
        }
        made.insert(key.clone(), value.clone());
    }
    Ok(made)
}

fn read(env: &Env, file: &str) -> Result<String, WorkspaceError> {
    let fail = |why: &str| WorkspaceError::new(format_args!("env_file {file:?}: {why}"));
    let path = env.cwd.join(env.expand(file).map_err(WorkspaceError::new)?);
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    let meta = fs::metadata(&path).map_err(|error| fail(&format!("can't be read: {error}")))?;
    if !meta.is_file() {
        return Err(fail("is not a regular file"));
    }
    let mut bytes = Vec::new();
    let opened = File::open(&path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    opened.map_err(|error| fail(&format!("can't be read: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(fail("is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| fail("is not UTF-8"))
}

/// Docker's own rules: values are literal, quotes too; a key alone takes podbay's own value, if it has one.
fn parse(env: &Env, file: &str, text: &str, into: &mut BTreeMap<String, String>) -> Result<(), WorkspaceError> {
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (line.trim_end(), env.get(line.trim_end())),
        };
        if !is_variable(key) || value.is_some_and(|value| value.contains('\0')) {
            let what = "is not KEY=VALUE; a key has letters, digits and '_', no digit first";
            // The value may be a secret: only the key is shown.
            return Err(WorkspaceError::new(format_args!("env_file {file:?}, line {}: {key:?} {what}", index + 1)));
        }
        if let Some(value) = value {
            into.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String)>, String> {
        let env = Env { vars: [("OWN".to_owned(), "mine".to_owned())].into(), ..Env::default() };
        let mut made = BTreeMap::new();
        parse(&env, "f", text, &mut made).map_err(|error| error.text)?;
        Ok(made.into_iter().collect())
    }

    #[test]
    fn lines_are_read_as_docker_reads_them() {
        let pairs =
            |pairs: &[(&str, &str)]| Ok(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        for (text, expected) in [
            ("A=1\nB=2", pairs(&[("A", "1"), ("B", "2")])),
            ("\u{feff}A=1\r\n\r\n", pairs(&[("A", "1")])),
            ("# no\n  # no\n  A=1", pairs(&[("A", "1")])),
            ("export A=1", pairs(&[("A", "1")])),
            ("A=\"x y\"", pairs(&[("A", "\"x y\"")])),
            ("A=x=y # z", pairs(&[("A", "x=y # z")])),
            ("A=", pairs(&[("A", "")])),
            ("OWN\nNOT", pairs(&[("OWN", "mine")])),
            ("A=1\nA=2", pairs(&[("A", "2")])),
        ] {
            assert_eq!(parsed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_pair_is_named_without_its_value() {
        for bad in ["=x", "A B=x", "1A=x", "A-B=hunter2", "A=x\0y"] {
            let error = parsed(&format!("\n{bad}")).unwrap_err();
            assert!(error.starts_with("env_file \"f\", line 2: ") && !error.contains("hunter2"), "{error}");
        }
    }
}
