//! What is said about a configuration that can't be used.

use std::fmt::Write as _;

use super::node::{Path, Step};

/// Why a configuration can't be used. Its text names the file, the line, the key, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    text: String,
}

impl ConfigError {
    /// About a file as a whole.
    pub(super) fn of_file(file: &str, what: impl std::fmt::Display) -> Self {
        Self { text: format!("{file}: {what}") }
    }

    /// About one place in a file; a `None` place is said without a line.
    pub(super) fn at(file: &str, source: &str, at: Option<usize>, what: &str) -> Self {
        let cut: String = what.chars().take(LONGEST_MESSAGE).collect();
        let what = if cut.len() < what.len() { format!("{cut}…") } else { cut };
        let text = match at {
            Some(offset) => {
                let (line, column) = line_and_column(source, offset);
                format!("{file}:{line}:{column}: {what}")
            }
            None => format!("{file}: {what}"),
        };
        Self { text }
    }
}

/// A longer word is no slip of a key, and comparing it takes memory.
const LONGEST_WORD: usize = 64;

/// A longer message is cut: a value may be as long as the file.
const LONGEST_MESSAGE: usize = 600;

/// What is wrong at one place, before the file's name and the line are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the tree.
    pub path: Path,
    /// An offset that is nearer than what the path leads to (a key's own, say).
    pub at: Option<usize>,
    /// Complete but for file and line.
    pub text: String,
}

impl Fault {
    /// `path: what`.
    #[must_use]
    pub fn new(path: Path, what: impl std::fmt::Display) -> Self {
        let text = format!("{}: {what}", written(&path));
        Self { path, at: None, text }
    }
}

/// Line and column, both from 1; columns count characters.
fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(source.len());
    while !source.is_char_boundary(end) {
        end -= 1;
    }
    let before = source.get(..end).unwrap_or_default().trim_start_matches('\u{feff}');
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// A path as TOML writes it: `worker.mounts[1]`. The line tells which of the templates or services it is.
#[must_use]
pub fn written(path: &Path) -> String {
    let mut text = String::new();
    for (depth, step) in path.0.iter().enumerate() {
        match step {
            Step::Key(key) => {
                if depth > 0 {
                    text.push('.');
                }
                text.push_str(&quoted_if_needed(key));
            }
            Step::Item(_) if depth == 1 && is_table_list(path) => {}
            Step::Item(index) => {
                // Writing to a string can't fail.
                let _ = write!(text, "[{}]", index + 1);
            }
        }
    }
    text
}

/// The header of a table: `[worker.limits]`, `[[template]]`, `[template.limits]`; the file's top has none.
#[must_use]
pub fn header(path: &Path) -> String {
    let text = written(path);
    match path.0.len() {
        0 => "the file's top level".to_owned(),
        2 if is_table_list(path) => format!("[[{text}]]"),
        _ => format!("[{text}]"),
    }
}

fn is_table_list(path: &Path) -> bool {
    matches!(path.0.first(), Some(Step::Key(key)) if key == "template" || key == "service")
        && matches!(path.0.get(1), Some(Step::Item(_)))
}

fn quoted_if_needed(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// ` did you mean "memory"?` or the list of what there is.
#[must_use]
pub fn suggestion(word: &str, known: &[&str]) -> String {
    if word.len() > LONGEST_WORD {
        return format!("there are {}", listed(known, "and"));
    }
    let lower = word.to_ascii_lowercase();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, candidate)) => format!("did you mean {candidate:?}?"),
        None => format!("there are {}", listed(known, "and")),
    }
}

/// `a, b and c`.
#[must_use]
pub fn listed(words: &[&str], last: &str) -> String {
    match words {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(line_and_column("", 0), (1, 1));
        assert_eq!(line_and_column("é = 1\r\nb", 8), (2, 1));
        assert_eq!(line_and_column("é = 1", 2), (1, 2));
        assert_eq!(line_and_column("\u{feff}a = 1", 3), (1, 1));
        assert_eq!(line_and_column("a", 99), (1, 2));
    }

    #[test]
    fn paths_are_written_as_toml_has_them() {
        let template = Path::of("template").item(0);
        assert_eq!(header(&template), "[[template]]");
        assert_eq!(header(&template.key("limits")), "[template.limits]");
        assert_eq!(written(&template.key("mounts").item(1)), "template.mounts[2]");
        assert_eq!(written(&Path::of("ui.keys").key("a b")), "ui.keys.\"a b\"");
        assert_eq!(header(&Path::default()), "the file's top level");
    }

    #[test]
    fn the_nearest_word_is_named_only_when_it_is_near() {
        assert_eq!(suggestion("memroy", &["cpus", "memory"]), "did you mean \"memory\"?");
        assert_eq!(suggestion("Shared", &["shared", "none"]), "did you mean \"shared\"?");
        assert_eq!(suggestion("zzz", &["cpus", "memory", "pids"]), "there are cpus, memory and pids");
    }
}
