//! What differs between two configurations: the one place that a reload asks.
//!
//! Pure. Compares what is in effect, defaults included, so that a default that was written out is no change.

use std::collections::BTreeMap;
use std::fmt;

use toml::Value;

use crate::bay::name::Name;

use super::Config;

/// A longer value is cut where it is shown.
const LONGEST: usize = 60;
/// So much is shown of what two long values have in common before they differ.
const BEFORE: usize = 20;

/// A part of the configuration with a life of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `[engine]`.
    Engine,
    /// `[network]`.
    Network,
    /// `[parent]`.
    Parent,
    /// A `[[template]]`, `[worker]` laid under it; `default` is `[worker]` itself.
    Template(Name),
    /// A `[[service]]`.
    Service(Name),
    /// `[api]`.
    Api,
    /// `[ui]`.
    Ui,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => f.write_str("engine"),
            Self::Network => f.write_str("network"),
            Self::Parent => f.write_str("parent"),
            Self::Template(name) => write!(f, "template {name}"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Api => f.write_str("api"),
            Self::Ui => f.write_str("ui"),
        }
    }
}

/// What happened to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is no more.
    Removed,
    /// These of its keys differ; never empty.
    Changed(Vec<KeyChange>),
}

/// One key whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// With dots, inside its part: `limits.memory`.
    pub key: String,
    /// As TOML; `None`: it was not there.
    pub old: Option<String>,
    /// As TOML; `None`: it is not there any more.
    pub new: Option<String>,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is handed to a program may be a secret.
        if self.key == "env" || self.key.starts_with("env.") {
            let word = match (&self.old, &self.new) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            };
            return write!(f, "{} {word}", self.key);
        }
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => {
                let from = apart(old, new);
                write!(f, "{} {} -> {}", self.key, cut(old, from), cut(new, from))
            }
            (None, Some(new)) => write!(f, "{} {}", self.key, cut(new, 0)),
            _ => write!(f, "{} removed", self.key),
        }
    }
}

/// Everything that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// By part.
    pub parts: BTreeMap<Part, Change>,
}

impl ConfigDiff {
    /// What is to be done to come from `old` to `new`. The bay's name is no part: it never changes under a supervisor.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let (old, new) = (parts(old), parts(new));
        let mut found = BTreeMap::new();
        for (part, table) in &new {
            match old.get(part) {
                None => {
                    found.insert(part.clone(), Change::Added);
                }
                Some(before) => {
                    let keys = changed(before, table);
                    if !keys.is_empty() {
                        found.insert(part.clone(), Change::Changed(keys));
                    }
                }
            }
        }
        let gone = old.into_keys().filter(|part| !new.contains_key(part)).map(|part| (part, Change::Removed));
        found.extend(gone.collect::<Vec<_>>());
        Self { parts: found }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What happened to a part.
    #[must_use]
    pub fn of(&self, part: &Part) -> Option<&Change> {
        self.parts.get(part)
    }

    /// Whether one of these keys of a part, or one below them, differs; also when the part is new or gone.
    #[must_use]
    pub fn touches(&self, part: &Part, keys: &[&str]) -> bool {
        let below = |key: &str, of: &str| key == of || key.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
        match self.of(part) {
            None => false,
            Some(Change::Added | Change::Removed) => true,
            Some(Change::Changed(changes)) => changes.iter().any(|one| keys.iter().any(|key| below(&one.key, key))),
        }
    }

    /// A line for each part, for people: `~ parent: ports ["3000:3000"] -> []`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |(part, change): (&Part, &Change)| match change {
            Change::Added => format!("+ {part}"),
            Change::Removed => format!("- {part}"),
            Change::Changed(keys) => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                format!("~ {part}: {}", keys.join(", "))
            }
        };
        self.parts.iter().map(line).collect()
    }
}

/// From which character on two values are shown: what differs must be among what is.
fn apart(old: &str, new: &str) -> usize {
    if old.chars().count().max(new.chars().count()) <= LONGEST {
        return 0;
    }
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    if same + BEFORE < LONGEST { 0 } else { same - BEFORE }
}

/// At most so much of a value, from a character on.
fn cut(text: &str, from: usize) -> String {
    let rest: String = text.chars().skip(from).take(LONGEST).map(|c| if c == '\n' { ' ' } else { c }).collect();
    let more = if text.chars().count() > from + LONGEST { "…" } else { "" };
    format!("{}{rest}{more}", if from > 0 { "…" } else { "" })
}

/// The keys of each part, flat, with their values.
fn parts(config: &Config) -> BTreeMap<Part, BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for (key, value) in config.table() {
        match (key.as_str(), value) {
            ("engine", value) => drop(found.insert(Part::Engine, flat(value))),
            ("network", value) => drop(found.insert(Part::Network, flat(value))),
            ("parent", value) => drop(found.insert(Part::Parent, flat(value))),
            ("api", value) => drop(found.insert(Part::Api, flat(value))),
            ("ui", value) => drop(found.insert(Part::Ui, flat(value))),
            ("worker", value) => drop(found.insert(Part::Template(config.worker.name.clone()), flat(value))),
            ("template", Value::Array(list)) => found.extend(named(list, Part::Template)),
            ("service", Value::Array(list)) => found.extend(named(list, Part::Service)),
            _ => {}
        }
    }
    found
}

fn named(list: Vec<Value>, part: fn(Name) -> Part) -> impl Iterator<Item = (Part, BTreeMap<String, Value>)> {
    list.into_iter().filter_map(move |value| {
        let mut keys = flat(value);
        let name = keys.remove("name")?.as_str()?.parse().ok()?;
        Some((part(name), keys))
    })
}

/// Nested tables become keys with dots. An empty table leaves nothing.
fn flat(value: Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), value)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Table(table) => open.extend(table.into_iter().map(|(key, value)| {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                (path, value)
            })),
            leaf => drop(found.insert(path, leaf)),
        }
    }
    found
}

fn changed(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<KeyChange> {
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |value: Option<&Value>| value.map(ToString::to_string);
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| KeyChange { key: key.clone(), old: text(old.get(key)), new: text(new.get(key)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("t", text).unwrap()
    }

    fn lines(old: &str, new: &str) -> Vec<String> {
        ConfigDiff::between(&config(old), &config(new)).lines()
    }

    const BRAIN: &str = "[[service]]\nname = 'brain'\nimage = 'x'\n";

    #[test]
    fn what_differs_is_named_by_part_and_key() {
        let none: [&str; 0] = [];
        assert_eq!(lines("", "engine.host = ''\n[worker.limits]\nmemory = '8192m'\n"), none, "defaults written out");
        assert_eq!(lines("bay.name = 'aa'", "bay.name = 'bb'"), none);
        for (old, new, said) in [
            ("", BRAIN, "+ service brain"),
            (BRAIN, "", "- service brain"),
            ("engine.host = 'unix:///a'", "", "~ engine: host \"unix:///a\" -> \"\""),
            ("", "parent.ports = []", "~ parent: ports [\"127.0.0.1:3000-3009:3000-3009\"] -> []"),
            (
                "",
                "[worker.limits]\nmemory = '4g'\npids = 9",
                "~ template default: limits.memory \"8g\" -> \"4g\", limits.pids 1000 -> 9",
            ),
            ("", "[ui.keys.global]\nx = 'quit'", "~ ui: keys.global.x \"quit\""),
            ("[ui.keys.global]\nx = 'quit'", "", "~ ui: keys.global.x removed"),
            (
                "",
                "ui.theme = 'a very long name of a theme that goes on and on and on and on'",
                "~ ui: theme \"default\" -> \"a very long name of a theme that goes on and on and on and …",
            ),
        ] {
            assert_eq!(lines(old, new), [said], "{old:?} -> {new:?}");
        }
    }

    #[test]
    fn long_values_are_cut_so_that_what_differs_is_seen() {
        let with = |last: &str| format!("{BRAIN}command = ['sh', '-c', '{}', '{last}']\n", "x".repeat(80));
        let same = "x".repeat(16);
        assert_eq!(
            lines(&with("old"), &with("new")),
            [format!("~ service brain: command …{same}\", \"old\"] -> …{same}\", \"new\"]")]
        );
        let long = |begins: &str| format!("ui.theme = '{begins}{}'", "y".repeat(80));
        assert_eq!(lines(&long("a"), &long("b")), [format!("~ ui: theme \"a{0}… -> \"b{0}…", "y".repeat(58))]);
    }

    #[test]
    fn a_change_of_the_worker_is_one_of_every_template_that_does_not_say_otherwise() {
        let claude = "[[template]]\nname = 'claude'\n[[template]]\nname = 'own'\nimage = 'mine'\n";
        let said = lines(claude, &format!("[worker]\nimage = 'new'\n{claude}"));
        assert_eq!(
            said,
            ["~ template claude: image \"host\" -> \"new\"", "~ template default: image \"host\" -> \"new\""]
        );
    }

    #[test]
    fn values_of_an_environment_are_not_shown() {
        let with = |env: &str| format!("{BRAIN}env = {env}\n");
        for (old, new, said) in [
            ("{}", "{ KEY = 's3cret' }", "~ service brain: env.KEY added"),
            ("{ KEY = 's3cret' }", "{ KEY = 's4cret' }", "~ service brain: env.KEY changed"),
            ("{ KEY = 's3cret' }", "{}", "~ service brain: env.KEY removed"),
        ] {
            assert_eq!(lines(&with(old), &with(new)), [said]);
        }
    }

    #[test]
    fn a_part_is_touched_by_its_keys() {
        let claude = |more: &str| config(&format!("[[template]]\nname = 'claude'\n{more}"));
        let part = Part::Template("claude".parse().unwrap());
        let diff = ConfigDiff::between(&claude(""), &claude("limits.memory = '1g'"));
        assert!(diff.touches(&part, &["limits"]) && diff.touches(&part, &["image", "limits.memory"]));
        assert!(!diff.touches(&part, &["limit", "image"]) && !diff.touches(&Part::Parent, &["limits"]));
        assert!(ConfigDiff::between(&config(""), &claude("")).touches(&part, &[]));
        assert!(ConfigDiff::between(&claude(""), &claude("")).is_empty());
    }
}
