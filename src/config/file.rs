//! The file's shape as serde sees it, and the way between it and [`Config`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bay::mount::MountRule;
use crate::bay::name::Name;
use crate::bay::size::Span;
use crate::bay::template::{NetworkMode, ParentSpec, Template};

use super::error::Fault;
use super::node::{Entry, Node, Path, Value};
use super::{ApiConfig, Config, EngineConfig, GitConfig, NetworkConfig, UiConfig, check, de};
use crate::bay::service::{BackoffRule, Condition, RestartPolicy, ServicePort, StartLimit, StopRule};

/// The defaults' own text.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Each entry is laid over a copy of the defaults: more would only take memory.
const MOST_ENTRIES: usize = 1000;

/// The whole file, defaults laid under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub bay: BayTable,
    pub engine: EngineConfig,
    pub network: NetworkConfig,
    pub parent: ParentSpec,
    pub worker: Template,
    pub template: Vec<Template>,
    pub service: Vec<ServiceTable>,
    pub git: GitConfig,
    pub api: ApiConfig,
    pub ui: UiConfig,
}

/// `[bay]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BayTable {
    pub name: Name,
}

/// `[[service]]` as written: what is true only for one kind is sorted out by [`check::service`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTable {
    pub name: Name,
    pub run: RunKind,
    pub reason: String,
    pub image: String,
    pub command: Vec<String>,
    pub cwd: String,
    pub network: NetworkMode,
    pub ports: Vec<ServicePort>,
    pub mounts: Vec<MountRule>,
    pub user: String,
    pub env: BTreeMap<String, String>,
    pub env_file: Vec<String>,
    pub secrets: Vec<Name>,
    pub restart: RestartPolicy,
    pub success_exit_codes: Vec<i64>,
    pub depends_on: BTreeMap<Name, Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<ProbeTable>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<ProbeTable>,
    pub stop: StopRule,
    pub backoff: BackoffRule,
    pub start_limit: StartLimit,
    pub tty: bool,
}

/// `run = "..."`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    Container,
    Host,
}

/// A probe as written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeTable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    pub interval: Span,
    pub timeout: Span,
    pub retries: u32,
    pub start_period: Span,
}

/// `[ui.keys.CONTEXT]`: an action's name, or `false`.
pub mod bindings {
    use super::{BTreeMap, Deserialize, Deserializer, Serialize, Serializer, fmt};

    type Keys = BTreeMap<String, BTreeMap<String, Option<String>>>;

    struct Binding(Option<String>);

    impl<'de> Deserialize<'de> for Binding {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_any(Word)
        }
    }

    struct Word;

    impl serde::de::Visitor<'_> for Word {
        type Value = Binding;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of an action, or false")
        }

        fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Binding, E> {
            if truth {
                return Err(E::invalid_value(serde::de::Unexpected::Bool(true), &self));
            }
            Ok(Binding(None))
        }

        fn visit_str<E: serde::de::Error>(self, action: &str) -> Result<Binding, E> {
            Ok(Binding(Some(action.to_owned())))
        }
    }

    impl Serialize for Binding {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            match &self.0 {
                Some(action) => to.serialize_str(action),
                None => to.serialize_bool(false),
            }
        }
    }

    pub fn serialize<S: Serializer>(keys: &Keys, to: S) -> Result<S::Ok, S::Error> {
        let wrap = |keys: &BTreeMap<String, Option<String>>| -> BTreeMap<String, Binding> {
            keys.iter().map(|(key, action)| (key.clone(), Binding(action.clone()))).collect()
        };
        keys.iter().map(|(context, keys)| (context, wrap(keys))).collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Keys, D::Error> {
        let keys = BTreeMap::<String, BTreeMap<String, Binding>>::deserialize(from)?;
        let unwrap = |keys: BTreeMap<String, Binding>| keys.into_iter().map(|(key, b)| (key, b.0)).collect();
        Ok(keys.into_iter().map(|(context, keys)| (context, unwrap(keys))).collect())
    }
}

/// What entries of a list start from.
struct Defaults {
    /// The file without a list.
    file: Node,
    /// One `[[template]]`'s pool.
    pool: Node,
    /// One `[[service]]`, and its probes.
    service: Node,
    ready: Node,
    live: Node,
}

impl Defaults {
    fn get() -> &'static Self {
        static DEFAULT: LazyLock<Defaults> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "the text is part of the program, and every test reads it")]
            let mut file = Node::parse(DEFAULTS).expect("the built-in defaults are TOML").placeless();
            let mut part = |key| file.take(key).map_or_else(empty_table, |entry| entry.node);
            let (pool, service, ready, live) = (part("pool"), part("service"), part("ready"), part("live"));
            Defaults { file, pool, service, ready, live }
        });
        &DEFAULT
    }
}

fn empty_table() -> Node {
    Node { at: None, value: Value::Table(BTreeMap::new()) }
}

/// From the user's tree to a checked configuration.
///
/// # Errors
/// [`Fault`] for the first thing that is wrong, and the tree in which its path can be looked up.
pub fn config_of(user: Node, source: Option<PathBuf>) -> Result<Config, (Fault, Box<Node>)> {
    let (tree, laid) = lay(user);
    let read = laid.and_then(|()| de::read::<File>(&tree, &Path::default()));
    match read.and_then(|file| checked(file, &tree, source)) {
        Ok(config) => Ok(config),
        Err(fault) => Err((fault, Box::new(tree))),
    }
}

fn checked(mut file: File, tree: &Node, source: Option<PathBuf>) -> Result<Config, Fault> {
    soften_pools(&mut file, tree);
    check::check(&file)?;
    let services = check::service::services(&file.service, tree)?;
    check::graph::dependencies(&file)?;
    Ok(Config {
        source,
        said: None,
        bay: file.bay.name,
        engine: file.engine,
        network: file.network,
        parent: file.parent,
        worker: file.worker,
        templates: file.template,
        services,
        git: file.git,
        api: file.api,
        ui: file.ui,
    })
}

/// Lays the user's tree over the defaults, each `[[template]]` over `[worker]`, each `[[service]]` over its beginning.
fn lay(mut user: Node) -> (Node, Result<(), Fault>) {
    let defaults = Defaults::get();
    let templates = user.take("template");
    let services = user.take("service");
    let early =
        worker_takes_no_name(&user).and_then(|()| lists_are_lists(&[("template", &templates), ("service", &services)]));
    let mut tree = defaults.file.clone();
    tree.overlay(user);
    if early.is_err() {
        return (tree, early);
    }
    let worker = tree.entry("worker").map_or_else(empty_table, |entry| entry.node.clone());
    name_the_worker(&mut tree);
    lay_list(&mut tree, "template", templates, |item| {
        lay_under(item, "pool", &defaults.pool);
        lay_over(item, &worker);
    });
    lay_list(&mut tree, "service", services, |item| {
        lay_under(item, "ready", &defaults.ready);
        lay_under(item, "live", &defaults.live);
        lay_over(item, &defaults.service);
    });
    (tree, early)
}

fn lay_list(tree: &mut Node, key: &str, list: Option<Entry>, mut each: impl FnMut(&mut Node)) {
    let mut list = list.map_or_else(|| Node { at: None, value: Value::Array(Vec::new()) }, |entry| entry.node);
    if let Value::Array(items) = &mut list.value {
        items.iter_mut().filter(|item| matches!(item.value, Value::Table(_))).for_each(&mut each);
    }
    tree.put(key, list);
}

/// Lays what stands at `key`, if it is a table, over its beginning.
fn lay_under(item: &mut Node, key: &str, beginning: &Node) {
    let Some(entry) = item.table_mut().and_then(|table| table.get_mut(key)) else { return };
    if matches!(entry.node.value, Value::Table(_)) {
        lay_over(&mut entry.node, beginning);
    }
}

/// Lays an item over its beginning, in its place.
fn lay_over(item: &mut Node, beginning: &Node) {
    let own = std::mem::replace(item, beginning.clone());
    item.overlay(own);
}

/// `[worker]` becomes the template `default`; a user names templates, not this.
fn name_the_worker(tree: &mut Node) {
    if let Some(entry) = tree.table_mut().and_then(|table| table.get_mut("worker")) {
        entry.node.put("name", Node { at: None, value: Value::Text(Config::DEFAULT_TEMPLATE.to_owned()) });
    }
}

fn worker_takes_no_name(user: &Node) -> Result<(), Fault> {
    let Some(worker) = user.entry("worker") else { return Ok(()) };
    for (key, why) in [("name", "it is what every template starts from"), ("pool", "a pool belongs to a [[template]]")]
    {
        if let Some(entry) = worker.node.entry(key) {
            let text = format!("[worker] does not take the key {key:?}: {why}");
            return Err(Fault { path: Path::of("worker").key(key), at: entry.key_at, text });
        }
    }
    Ok(())
}

fn lists_are_lists(lists: &[(&str, &Option<Entry>)]) -> Result<(), Fault> {
    for (key, entry) in lists {
        let Some(entry) = entry else { continue };
        let items = entry.node.items();
        let tables =
            matches!(entry.node.value, Value::Array(_)) && items.iter().all(|i| matches!(i.value, Value::Table(_)));
        if !tables {
            let text = format!("{key}: must be a list of tables; write [[{key}]] with two brackets");
            return Err(Fault { path: Path::of(key), at: entry.key_at, text });
        }
        if let Some(extra) = items.get(MOST_ENTRIES) {
            let text = format!("{key}: there are {} of them; {MOST_ENTRIES} are the most", items.len());
            return Err(Fault { path: Path::of(key), at: extra.at, text });
        }
    }
    Ok(())
}

/// A `min` that nobody wrote follows a smaller `target`.
fn soften_pools(file: &mut File, tree: &Node) {
    let items = tree.entry("template").map_or(&[][..], |entry| entry.node.items());
    for (template, item) in file.template.iter_mut().zip(items) {
        let written =
            item.entry("pool").and_then(|pool| pool.node.entry("min")).is_some_and(|min| min.key_at.is_some());
        if let Some(pool) = template.pool.as_mut().filter(|_| !written) {
            pool.min = pool.min.min(pool.target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../config.example.toml");

    /// Every key of a tree, as dotted paths: `worker.limits.cpus`.
    fn keys(node: &Node, under: &str, found: &mut Vec<String>) {
        if let Value::Table(table) = &node.value {
            for (key, entry) in table {
                let path = if under.is_empty() { key.clone() } else { format!("{under}.{key}") };
                keys(&entry.node, &path, found);
                found.push(path);
            }
        }
    }

    fn keys_of(node: &Node) -> Vec<String> {
        let mut found = Vec::new();
        keys(node, "", &mut found);
        found
    }

    /// The example with its commented-out entries: `#name = 1` is such a line, `# Words.` is not.
    fn with_entries() -> String {
        let line = |line: &str| match line.strip_prefix('#') {
            Some(entry) if entry.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => format!("{entry}\n"),
            _ => format!("{line}\n"),
        };
        EXAMPLE.lines().map(line).collect()
    }

    #[test]
    fn the_example_is_the_defaults() {
        let example = Config::parse("config.example.toml", EXAMPLE).unwrap();
        assert_eq!(example, Config::defaults().unwrap());
        assert_eq!(keys_of(&Node::parse(EXAMPLE).unwrap()), keys_of(&Defaults::get().file));
    }

    #[test]
    fn the_example_has_every_key_of_an_entry() {
        let text = with_entries();
        let config = Config::parse("config.example.toml", &text).unwrap();
        assert_eq!((config.templates.len(), config.services.len()), (1, 2));
        let tree = Node::parse(&text).unwrap();
        let entries = |list: &str| tree.entry(list).unwrap().node.items().iter().flat_map(keys_of).collect::<Vec<_>>();
        let services = entries("service");
        let defaults = Defaults::get();
        for key in keys_of(&defaults.service) {
            assert!(services.contains(&key), "service.{key} is not in the example");
        }
        for (part, list, node) in [
            ("pool", "template", &defaults.pool),
            ("ready", "service", &defaults.ready),
            ("live", "service", &defaults.live),
        ] {
            for key in keys_of(node) {
                assert!(entries(list).contains(&format!("{part}.{key}")), "{list}.{part}.{key} is not in the example");
            }
        }
    }

    #[test]
    fn the_example_explains_every_key() {
        for line in
            EXAMPLE.lines().filter(|line| line.contains(" = ") && !line.starts_with("# ") && !line.starts_with(' '))
        {
            assert!(line.contains(" # "), "no comment: {line}");
        }
    }

    #[test]
    fn what_is_shown_parses_back() {
        for text in [String::new(), with_entries()] {
            let config = Config::parse("t", &text).unwrap();
            let shown = config.to_toml();
            assert_eq!(Config::parse("shown", &shown).unwrap(), config, "{shown}");
        }
    }
}
