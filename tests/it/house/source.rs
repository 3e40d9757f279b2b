//! Reads Rust source as far as the house rules need it: the paths that it names, comments and texts left out.

use std::collections::BTreeSet;

/// One file of `src`.
#[derive(Debug)]
pub struct Source {
    /// Its place under `src`, like `tui/view/mod.rs`.
    pub file: String,
    /// Its text without comments and without what stands in quotes; the lines are where they were.
    pub code: String,
    /// How many lines it has, its own tests left out.
    pub lines: usize,
    /// Every path that it names, as from outside of any module: `crate::bay::name::Name`, `tokio::time::sleep`.
    pub paths: BTreeSet<String>,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let code = blank(text);
        let paths = Reader::new(file, &code).read();
        let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        Self { file: file.to_owned(), lines: own.lines().count(), code, paths }
    }

    /// The paths that lie in a module, given like `crate::engine`.
    pub fn named<'a>(&'a self, module: &str) -> impl Iterator<Item = &'a str> {
        let below = format!("{module}::");
        let module = module.to_owned();
        self.paths.iter().map(String::as_str).filter(move |path| *path == module || path.starts_with(&below))
    }

    /// Whether a word stands in the code.
    pub fn has_word(&self, word: &str) -> bool {
        let part = |character: char| character.is_alphanumeric() || character == '_';
        self.code
            .match_indices(word)
            .any(|(at, _)| !self.code[..at].ends_with(part) && !self.code[at + word.len()..].starts_with(part))
    }
}

/// Comments, texts and characters become spaces.
fn blank(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let length = quiet(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// How much of the beginning says nothing to the compiler's name resolution.
fn quiet(rest: &str, before: Option<char>) -> usize {
    let after_word = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    let quoted = |from: usize| end_of_text(rest, from);
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        end_of_comment(rest)
    } else if rest.starts_with('"') {
        quoted(1)
    } else if !after_word && (rest.starts_with("b\"") || rest.starts_with("c\"")) {
        quoted(2)
    } else if !after_word && let Some(length) = raw_text(rest) {
        length
    } else if rest.starts_with('\'') {
        character(rest)
    } else {
        0
    }
}

fn end_of_text(rest: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip_while(|(at, _)| *at < from) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn end_of_comment(rest: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// `r"…"`, `br#"…"#` and the like.
fn raw_text(rest: &str) -> Option<usize> {
    let begin = rest.find('r').filter(|at| matches!(&rest[..*at], "" | "b" | "c"))? + 1;
    let marks = rest[begin..].len() - rest[begin..].trim_start_matches('#').len();
    let inside = rest[begin + marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(begin + marks + 1 + length)
}

/// A character in quotes; a lifetime is none.
fn character(rest: &str) -> usize {
    let mut inside = rest[1..].chars();
    match inside.next() {
        Some('\\') => rest[3..].find('\'').map_or(rest.len(), |at| at + 4),
        Some(one) if inside.next() == Some('\'') => one.len_utf8() + 2,
        _ => 0,
    }
}

/// Finds paths in code, groups of `use` opened and `super` and `self` resolved.
struct Reader<'a> {
    words: Vec<&'a str>,
    at: usize,
    /// The module that is read, from the crate on.
    module: Vec<String>,
    /// For each open brace, whether a module begins there.
    braces: Vec<bool>,
    paths: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn new(file: &str, code: &'a str) -> Self {
        let place = file.trim_end_matches(".rs");
        let place = place.strip_suffix("/mod").unwrap_or(place);
        let parts = place.split('/').filter(|part| !matches!(*part, "lib" | "main" | "mod" | ""));
        Self {
            words: words(code),
            at: 0,
            module: parts.map(str::to_owned).collect(),
            braces: Vec::new(),
            paths: BTreeSet::new(),
        }
    }

    fn read(mut self) -> BTreeSet<String> {
        while let Some(word) = self.next() {
            match word {
                "mod" if self.peek(1) == "{" => {
                    let name = self.next().unwrap_or_default();
                    self.next();
                    self.module.push(name.to_owned());
                    self.braces.push(true);
                }
                "{" => self.braces.push(false),
                "}" if self.braces.pop() == Some(true) => drop(self.module.pop()),
                "use" => self.tree(&[]),
                _ if is_name(word) && self.peek(0) == "::" && self.before() != "::" => {
                    self.at -= 1;
                    self.tree(&[]);
                }
                _ => {}
            }
        }
        self.paths
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn peek(&self, ahead: usize) -> &'a str {
        self.words.get(self.at + ahead).copied().unwrap_or_default()
    }

    /// The word before the one that was just read.
    fn before(&self) -> &'a str {
        self.at.checked_sub(2).and_then(|at| self.words.get(at)).copied().unwrap_or_default()
    }

    /// One tree of paths: `a::b`, `a::{b, c::d}`, `a::*`.
    fn tree(&mut self, above: &[&str]) {
        let mut path = above.to_vec();
        if self.peek(0) == "::" {
            self.at += 1;
        }
        loop {
            let word = self.peek(0);
            if word == "{" {
                self.at += 1;
                while !matches!(self.peek(0), "}" | "") {
                    let from = self.at;
                    self.tree(&path);
                    // Whatever this is, the reader goes on.
                    self.at = self.at.max(from + 1);
                }
                self.at += 1;
                return;
            }
            if !is_name(word) {
                break;
            }
            path.push(word);
            self.at += 1;
            if self.peek(0) != "::" {
                break;
            }
            self.at += 1;
        }
        if path.len() > above.len() {
            self.keep(&path);
        }
        if self.peek(0) == "as" {
            self.at += 2;
        }
    }

    fn keep(&mut self, path: &[&str]) {
        let mut module = self.module.clone();
        let mut inside = false;
        let mut rest = path;
        while let [first, others @ ..] = rest {
            match *first {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => break,
            }
            (inside, rest) = (true, others);
        }
        let mut whole: Vec<&str> = Vec::new();
        if inside {
            whole.push("crate");
            whole.extend(module.iter().map(String::as_str));
        }
        whole.extend(rest);
        if !whole.is_empty() {
            self.paths.insert(whole.join("::"));
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and every other sign alone.
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(file: &str, text: &str) -> Vec<String> {
        Source::new(file, text).paths.into_iter().collect()
    }

    #[test]
    fn groups_are_opened_and_relative_paths_resolved() {
        let text = "use crate::bay::{name::Name, worker::{self, State as S}};\nuse super::update::*;\nuse std::fs;";
        let found = paths("tui/view/list.rs", text);
        let wanted = [
            "crate::bay::name::Name",
            "crate::bay::worker::self",
            "crate::bay::worker::State",
            "crate::tui::view::update",
            "std::fs",
        ];
        let mut wanted = wanted.map(str::to_owned).to_vec();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn paths_inside_of_code_and_of_inner_modules_are_found() {
        let text = "fn f() { let x = crate::engine::Engine::new(a::b()); }\nmod tests { use super::super::model; }\nfn g(x: super::Y) {}";
        let found = paths("tui/update/mod.rs", text);
        assert_eq!(found, ["a::b", "crate::engine::Engine::new", "crate::tui::Y", "crate::tui::model"]);
    }

    #[test]
    fn comments_and_texts_name_nothing() {
        let text = r##"
            // crate::engine::a
            /* crate::engine::b /* deeper */ crate::engine::c */
            //! [`crate::engine`]
            const A: &str = "crate::engine::d \" crate::engine::e";
            const B: &str = r#"crate::engine::" f"#;
            const C: char = '"'; const D: char = '\''; fn f<'a>(x: &'a str) {}
            use crate::engine::G;
        "##;
        assert_eq!(paths("tui/a.rs", text), ["crate::engine::G"]);
        assert_eq!(Source::new("a.rs", text).lines, text.lines().count());
    }

    #[test]
    fn tests_do_not_make_a_file_long() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
        assert_eq!((Source::new("a.rs", text).lines, Source::new("a.rs", "\n\n\n").lines), (1, 3));
    }

    #[test]
    fn a_word_is_a_whole_word() {
        let source = Source::new("a.rs", "let awaited = x.await;");
        assert!(source.has_word("await") && source.has_word("awaited") && !source.has_word("wait"));
        assert!(!Source::new("a.rs", "let awaited = model.awaited;").has_word("await"));
    }
}
