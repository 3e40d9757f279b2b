//! Which things a word on the command line means: exact name, unique prefix of a name or id, or a glob.

use globset::GlobBuilder;

/// Something that can be named.
pub trait Named {
    /// Its name inside the bay.
    fn name(&self) -> &str;
    /// Its id, empty when it has none.
    fn id(&self) -> &str;
}

/// Why a word means nothing, or too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// Nothing is called so.
    #[error("no such name: {word:?}{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    None {
        /// The word.
        word: String,
        /// The nearest name, when one is near.
        nearest: Option<String>,
    },
    /// More than one thing starts so.
    #[error("{word:?} is ambiguous: {}", names.join(", "))]
    Ambiguous {
        /// The word.
        word: String,
        /// What it could mean, at most ten.
        names: Vec<String>,
    },
    /// The glob can't be read.
    #[error("{word:?} is not a glob: {why}")]
    Glob {
        /// The word.
        word: String,
        /// The parser's message.
        why: String,
    },
}

/// Names below this similarity are not offered.
const NEAR: f64 = 0.7;

/// Everything that `word` means among `items`: one for a name, an id or a prefix of either; any number above none for a glob.
///
/// # Errors
/// [`MatchError`] when nothing, or too much, is meant.
pub fn resolve<'a, T: Named>(word: &str, items: &'a [T]) -> Result<Vec<&'a T>, MatchError> {
    if word.contains(['*', '?', '[', '{']) {
        return glob(word, items);
    }
    if let Some(exact) = items.iter().find(|item| item.name() == word) {
        return Ok(vec![exact]);
    }
    let starts = |item: &&T| !word.is_empty() && (item.name().starts_with(word) || item.id().starts_with(word));
    let found: Vec<&T> = items.iter().filter(starts).collect();
    match found.len() {
        0 => Err(none(word, items)),
        1 => Ok(found),
        _ => {
            let names = found.iter().take(10).map(|item| item.name().to_owned()).collect();
            Err(MatchError::Ambiguous { word: word.to_owned(), names })
        }
    }
}

fn glob<'a, T: Named>(word: &str, items: &'a [T]) -> Result<Vec<&'a T>, MatchError> {
    let glob = GlobBuilder::new(word)
        .build()
        .map_err(|error| MatchError::Glob { word: word.to_owned(), why: error.kind().to_string() })?
        .compile_matcher();
    let found: Vec<&T> = items.iter().filter(|item| glob.is_match(item.name())).collect();
    if found.is_empty() { Err(none(word, items)) } else { Ok(found) }
}

fn none<T: Named>(word: &str, items: &[T]) -> MatchError {
    let nearest = items
        .iter()
        .map(|item| (strsim::jaro_winkler(word, item.name()), item.name()))
        .filter(|(score, _)| *score >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned());
    MatchError::None { word: word.to_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(&'static str, &'static str);

    impl Named for Item {
        fn name(&self) -> &str {
            self.0
        }
        fn id(&self) -> &str {
            self.1
        }
    }

    const ITEMS: [Item; 4] = [Item("fox", "aa11"), Item("foxglove", "aa22"), Item("owl", "bb33"), Item("elk", "cc44")];

    fn names(word: &str) -> Result<Vec<&'static str>, MatchError> {
        resolve(word, &ITEMS).map(|found| found.iter().map(|item| item.0).collect())
    }

    #[test]
    fn exact_beats_prefix_and_ids_count() {
        assert_eq!(names("fox"), Ok(vec!["fox"]));
        assert_eq!(names("foxg"), Ok(vec!["foxglove"]));
        assert_eq!(names("bb"), Ok(vec!["owl"]));
    }

    #[test]
    fn too_much_and_nothing_are_said() {
        let names_of = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(
            names("fo"),
            Err(MatchError::Ambiguous { word: "fo".to_owned(), names: names_of(&["fox", "foxglove"]) })
        );
        assert_eq!(names("owll"), Err(MatchError::None { word: "owll".to_owned(), nearest: Some("owl".to_owned()) }));
        assert_eq!(names("zzz"), Err(MatchError::None { word: "zzz".to_owned(), nearest: None }));
        assert!(names("").is_err());
    }

    #[test]
    fn globs_take_many() {
        assert_eq!(names("fox*"), Ok(vec!["fox", "foxglove"]));
        assert_eq!(names("?l?"), Ok(vec!["elk"]));
        assert!(matches!(names("[a"), Err(MatchError::Glob { .. })));
        assert!(matches!(names("z*"), Err(MatchError::None { .. })));
    }
}
