//! Which things a word on the command line means: exact name, unique prefix of a name or id, or a glob.
//!
//! A service has the name of its container, `svc-NAME`, and is called `NAME` by people: both mean it. `KIND/WORD` means
//! only things of that kind, `service/db`: with it, what bears the name of another thing can still be told.

use globset::GlobBuilder;

/// Something that can be named.
pub trait Named {
    /// Its name inside the bay.
    fn name(&self) -> &str;
    /// Its id, empty when it has none.
    fn id(&self) -> &str;
    /// What people call it, where that is not its name but the end of it.
    fn called(&self) -> &str {
        self.name()
    }
    /// `worker`, `service`, …; empty: only one kind is asked for.
    fn kind(&self) -> &'static str {
        ""
    }
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
/// Ids are drawn by lot: the beginning of one that is shorter than this is more likely a name that is not there.
const LEAST_OF_ID: usize = 3;

/// Everything that `word` means among `items`: one for a name, an id or a prefix of either; any number above none for a glob.
///
/// # Errors
/// [`MatchError`] when nothing, or too much, is meant.
pub fn resolve<'a, T: Named>(word: &str, items: &'a [T]) -> Result<Vec<&'a T>, MatchError> {
    let (kind, bare) = word.split_once('/').map_or((None, word), |(kind, bare)| (Some(kind), bare));
    let items: Vec<&T> = items.iter().filter(|item| kind.is_none_or(|kind| item.kind() == kind)).collect();
    if bare.contains(['*', '?', '[', '{']) {
        return glob(word, bare, &items);
    }
    let exact: Vec<&T> = items.iter().copied().filter(|item| item.name() == bare || item.called() == bare).collect();
    match exact.as_slice() {
        [] => {}
        [_] => return Ok(exact),
        all => return Err(ambiguous(word, all, |item| format!("{}/{bare}", item.kind()))),
    }
    let found: Vec<&T> = items.iter().copied().filter(|item| starts(*item, bare)).collect();
    match found.as_slice() {
        [] => Err(none(word, bare, &items)),
        [_] => Ok(found),
        all => Err(ambiguous(word, all, |item| item.called().to_owned())),
    }
}

/// Whether a word is the beginning of what it is called, of its id, or of its whole name: not of what stands before all
/// names of its kind.
fn starts<T: Named>(item: &T, word: &str) -> bool {
    let before = item.name().len().saturating_sub(item.called().len());
    let whole = word.len() >= before && item.name().starts_with(word);
    let of_id = word.len() >= LEAST_OF_ID && item.id().starts_with(word);
    !word.is_empty() && (item.called().starts_with(word) || whole || of_id)
}

fn ambiguous<T>(word: &str, all: &[&T], told: impl Fn(&T) -> String) -> MatchError {
    let names = all.iter().take(10).map(|item| told(item)).collect();
    MatchError::Ambiguous { word: word.to_owned(), names }
}

fn glob<'a, T: Named>(word: &str, bare: &str, items: &[&'a T]) -> Result<Vec<&'a T>, MatchError> {
    let glob = GlobBuilder::new(bare)
        .build()
        .map_err(|error| MatchError::Glob { word: word.to_owned(), why: error.kind().to_string() })?
        .compile_matcher();
    let hit = |item: &&T| {
        let before = item.name().strip_suffix(item.called()).filter(|before| !before.is_empty());
        let whole = before.is_some_and(|before| bare.starts_with(before) && glob.is_match(item.name()));
        whole || glob.is_match(item.called())
    };
    let found: Vec<&T> = items.iter().copied().filter(hit).collect();
    if found.is_empty() { Err(none(word, bare, items)) } else { Ok(found) }
}

fn none<T: Named>(word: &str, bare: &str, items: &[&T]) -> MatchError {
    let nearest = items
        .iter()
        .map(|item| (strsim::jaro_winkler(bare, item.called()), item.called()))
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
        assert_eq!(names("bb3"), Ok(vec!["owl"]));
        assert_eq!(names("bb"), Err(MatchError::None { word: "bb".to_owned(), nearest: None }));
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

    /// Kind, name, and how much of it stands before what it is called.
    struct Thing(&'static str, &'static str, usize);

    impl Named for Thing {
        fn name(&self) -> &str {
            self.1
        }
        fn id(&self) -> &'static str {
            ""
        }
        fn called(&self) -> &str {
            &self.1[self.2..]
        }
        fn kind(&self) -> &'static str {
            self.0
        }
    }

    #[test]
    fn a_service_is_found_by_what_people_call_it_and_a_name_that_two_have_is_never_guessed() {
        let things = [
            Thing("parent", "parent", 0),
            Thing("worker", "sam", 0),
            Thing("worker", "db", 0),
            Thing("worker", "strong", 0),
            Thing("service", "svc-db", 4),
            Thing("service", "svc-stream", 4),
            Thing("service", "svc-brain", 4),
        ];
        let table = [
            ("stream", "svc-stream"),
            ("svc-stream", "svc-stream"),
            ("service/stream", "svc-stream"),
            ("service/svc-stream", "svc-stream"),
            ("service/s", "svc-stream"),
            ("b", "svc-brain"),
            ("svc-b", "svc-brain"),
            // What stands before every service's name is no prefix of one.
            ("sa", "sam"),
            ("worker/s*m", "sam"),
            ("service/db", "svc-db"),
            ("worker/db", "db"),
            ("svc-db", "svc-db"),
        ];
        for (word, name) in table {
            let found = resolve(word, &things).map(|found| found.iter().map(|thing| thing.1).collect::<Vec<_>>());
            assert_eq!(found, Ok(vec![name]), "{word}");
        }
        let many = |word: &str| resolve(word, &things).map(|found| found.len());
        assert_eq!((many("service/*"), many("svc-*"), many("d*"), many("s*")), (Ok(3), Ok(3), Ok(2), Ok(3)));
        for (word, said) in [
            ("db", "\"db\" is ambiguous: worker/db, service/db"),
            ("str", "\"str\" is ambiguous: strong, stream"),
            ("s", "\"s\" is ambiguous: sam, strong, stream"),
            ("svc-", "\"svc-\" is ambiguous: db, stream, brain"),
            ("service/sam", "no such name: \"service/sam\""),
            ("brian", "no such name: \"brian\"; did you mean \"brain\"?"),
            ("nothing/db", "no such name: \"nothing/db\""),
        ] {
            assert_eq!(resolve(word, &things).err().map(|error| error.to_string()).as_deref(), Some(said));
        }
    }
}
