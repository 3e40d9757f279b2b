//! Which keys mean which action: a trie per context, the defaults of the table with the user's own laid over.
//!
//! Data, not code: made once from [`TABLE`](super::action::TABLE) and `[ui.keys]`, asked by `update` for every key and
//! by help and hints for what to write. Must not act itself.

pub mod key;

use std::collections::BTreeMap;

use super::action::{Action, Context, TABLE};
pub use key::{Key, KeyError};

/// `[ui.keys]` as the configuration has it: context, key sequence, action name (`None` unbinds).
pub type UserKeys = BTreeMap<String, BTreeMap<String, Option<String>>>;

/// Every binding.
#[derive(Clone, Debug)]
pub struct Keymap {
    tries: BTreeMap<Context, Node>,
}

/// Where a sequence of keys leads.
#[derive(Clone, Debug, Default)]
struct Node {
    action: Option<Action>,
    next: Vec<(Key, Node)>,
}

/// What a sequence of keys means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This.
    Action(Action),
    /// The beginning of something longer.
    Prefix,
    /// Nothing.
    Nothing,
}

/// What is wrong in `[ui.keys]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeymapError {
    /// No such table.
    #[error("[ui.keys.{context}]: there is no such context; the contexts are {}", contexts())]
    Context {
        /// The word.
        context: String,
    },
    /// A key that does not exist.
    #[error("[ui.keys.{context}] {keys:?}: {source}")]
    Key {
        /// The context.
        context: String,
        /// The whole sequence.
        keys: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// No such action.
    #[error("[ui.keys.{context}] {keys:?}: there is no action {action:?}{}", did_you_mean(nearest.as_deref()))]
    Action {
        /// The context.
        context: String,
        /// The sequence.
        keys: String,
        /// The word.
        action: String,
        /// The nearest name, when one is near.
        nearest: Option<String>,
    },
    /// The action holds elsewhere.
    #[error("[ui.keys.{context}] {keys:?}: {action:?} does nothing there; it belongs under {}", places.join(", "))]
    Misplaced {
        /// The context.
        context: String,
        /// The sequence.
        keys: String,
        /// The action's name.
        action: String,
        /// Where it holds.
        places: Vec<&'static str>,
    },
    /// One sequence begins with another.
    #[error(
        "[ui.keys.{context}] {keys:?}: {other:?} begins with it or is its beginning, so one of them could never be typed"
    )]
    Shadowed {
        /// The context.
        context: String,
        /// The sequence.
        keys: String,
        /// The other one.
        other: String,
    },
    /// Nobody could leave a focused terminal any more.
    #[error("[ui.keys.focused]: no key is left for \"leave\"; bind one, like \"ctrl-q\" = \"leave\"")]
    NoWayOut,
}

fn contexts() -> String {
    Context::ALL.map(Context::as_str).join(", ")
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

impl Keymap {
    /// The table's keys, with the user's laid over.
    ///
    /// # Errors
    /// [`KeymapError`] for the first binding that can't be used.
    pub fn new(user: &UserKeys) -> Result<Self, KeymapError> {
        let mut map = Self::defaults();
        for (word, bindings) in user {
            let context = Context::ALL.into_iter().find(|context| context.as_str() == word);
            let context = context.ok_or_else(|| KeymapError::Context { context: word.clone() })?;
            for (keys, action) in bindings {
                map.bind(context, keys, action.as_deref())?;
            }
        }
        if map.keys_of(Action::Leave, Context::Focused).is_empty() {
            return Err(KeymapError::NoWayOut);
        }
        Ok(map)
    }

    fn defaults() -> Self {
        let mut map = Self { tries: BTreeMap::new() };
        for spec in TABLE {
            for context in spec.contexts {
                for keys in spec.keys {
                    // A test holds that every default can be read.
                    if let Ok(keys) = sequence(keys) {
                        map.tries.entry(*context).or_default().insert(&keys, Some(spec.action));
                    }
                }
            }
        }
        map
    }

    fn bind(&mut self, context: Context, keys: &str, action: Option<&str>) -> Result<(), KeymapError> {
        let word = context.as_str().to_owned();
        let wrong = |source| KeymapError::Key { context: word.clone(), keys: keys.to_owned(), source };
        let path = sequence(keys).map_err(wrong)?;
        let action = action.map(|name| named(context, keys, name)).transpose()?;
        let root = self.tries.entry(context).or_default();
        if action.is_some()
            && let Some(other) = root.conflict(&path)
        {
            return Err(KeymapError::Shadowed { context: word, keys: keys.to_owned(), other });
        }
        root.insert(&path, action);
        Ok(())
    }

    /// What these keys mean in a context.
    #[must_use]
    pub fn find(&self, context: Context, keys: &[Key]) -> Found {
        let own = self.tries.get(&context).map_or(Found::Nothing, |root| root.find(keys));
        if own == Found::Nothing && context.takes_global() && context != Context::Global {
            return self.tries.get(&Context::Global).map_or(Found::Nothing, |root| root.find(keys));
        }
        own
    }

    /// The key sequences of an action as they are in effect in a context, in the order of the table.
    #[must_use]
    pub fn keys_of(&self, action: Action, context: Context) -> Vec<String> {
        let mut places = vec![context];
        if context.takes_global() && context != Context::Global {
            places.push(Context::Global);
        }
        let mut found: Vec<Vec<Key>> = Vec::new();
        for place in places {
            if let Some(root) = self.tries.get(&place) {
                root.collect(action, &mut Vec::new(), &mut found);
            }
        }
        found.retain(|keys| self.find(context, keys) == Found::Action(action));
        found.iter().map(|keys| write_sequence(keys)).collect()
    }

    /// The keys that can follow a beginning, and what each does; `None`: something longer still.
    #[must_use]
    pub fn after(&self, context: Context, keys: &[Key]) -> Vec<(String, Option<Action>)> {
        let places = [Some(context), context.takes_global().then_some(Context::Global)];
        let roots = places.into_iter().flatten().filter_map(|place| self.tries.get(&place));
        let nodes = roots.filter_map(|root| keys.iter().try_fold(root, |node, key| node.child(*key)));
        let next =
            nodes.flat_map(|node| &node.next).filter(|(_, node)| node.action.is_some() || node.leads_somewhere());
        next.map(|(key, node)| (key.to_string(), node.action)).collect()
    }

    /// The first key of an action in a context, for hints.
    #[must_use]
    pub fn key_of(&self, action: Action, context: Context) -> Option<String> {
        self.keys_of(action, context).into_iter().next()
    }
}

fn named(context: Context, keys: &str, name: &str) -> Result<Action, KeymapError> {
    let (word, keys) = (context.as_str().to_owned(), keys.to_owned());
    let Some(spec) = TABLE.iter().find(|spec| spec.name == name) else {
        let nearest = TABLE
            .iter()
            .map(|spec| (strsim::jaro_winkler(name, spec.name), spec.name))
            .filter(|(score, _)| *score >= 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name.to_owned());
        return Err(KeymapError::Action { context: word, keys, action: name.to_owned(), nearest });
    };
    let holds = spec.contexts.contains(&context)
        || context == Context::Global
        || (context.takes_global() && spec.contexts.contains(&Context::Global));
    if !holds {
        let places = spec.contexts.iter().map(|context| context.as_str()).collect();
        return Err(KeymapError::Misplaced { context: word, keys, action: name.to_owned(), places });
    }
    Ok(spec.action)
}

/// Reads `g g` as two keys.
fn sequence(text: &str) -> Result<Vec<Key>, KeyError> {
    let keys = text.split(' ').map(str::parse).collect::<Result<Vec<Key>, KeyError>>()?;
    if keys.is_empty() { Err(KeyError(text.to_owned())) } else { Ok(keys) }
}

fn write_sequence(keys: &[Key]) -> String {
    keys.iter().map(Key::to_string).collect::<Vec<_>>().join(" ")
}

impl Node {
    fn child(&self, key: Key) -> Option<&Self> {
        self.next.iter().find(|(known, _)| *known == key).map(|(_, node)| node)
    }

    fn insert(&mut self, keys: &[Key], action: Option<Action>) {
        let Some((first, rest)) = keys.split_first() else {
            self.action = action;
            return;
        };
        if let Some((_, node)) = self.next.iter_mut().find(|(known, _)| known == first) {
            node.insert(rest, action);
        } else {
            let mut node = Self::default();
            node.insert(rest, action);
            self.next.push((*first, node));
        }
    }

    fn find(&self, keys: &[Key]) -> Found {
        let Some((first, rest)) = keys.split_first() else {
            return match self.action {
                Some(action) => Found::Action(action),
                None if self.leads_somewhere() => Found::Prefix,
                None => Found::Nothing,
            };
        };
        self.child(*first).map_or(Found::Nothing, |node| node.find(rest))
    }

    fn leads_somewhere(&self) -> bool {
        self.next.iter().any(|(_, node)| node.action.is_some() || node.leads_somewhere())
    }

    /// Another bound sequence that could not be told apart from `keys`.
    fn conflict(&self, keys: &[Key]) -> Option<String> {
        let mut node = self;
        for (depth, key) in keys.iter().enumerate() {
            if depth > 0 && node.action.is_some() {
                return keys.get(..depth).map(write_sequence);
            }
            node = node.child(*key)?;
        }
        let mut longer = Vec::new();
        for (key, child) in &node.next {
            child.walk(&mut vec![*key], &mut |path, _| longer.push(path.to_vec()));
        }
        longer.first().map(|tail| write_sequence(&[keys, tail].concat()))
    }

    fn walk(&self, path: &mut Vec<Key>, see: &mut impl FnMut(&[Key], Action)) {
        if let Some(action) = self.action {
            see(path, action);
        }
        for (key, node) in &self.next {
            path.push(*key);
            node.walk(path, see);
            path.pop();
        }
    }

    fn collect(&self, action: Action, path: &mut Vec<Key>, found: &mut Vec<Vec<Key>>) {
        self.walk(path, &mut |path, bound| {
            if bound == action {
                found.push(path.to_vec());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(context: &str, keys: &str, action: Option<&str>) -> UserKeys {
        let binding = BTreeMap::from([(keys.to_owned(), action.map(str::to_owned))]);
        BTreeMap::from([(context.to_owned(), binding)])
    }

    fn pressed(text: &str) -> Vec<Key> {
        sequence(text).unwrap()
    }

    #[test]
    fn every_default_can_be_read_and_none_collides() {
        let mut bound = BTreeMap::new();
        for spec in TABLE {
            for (context, keys) in spec.contexts.iter().flat_map(|c| spec.keys.iter().map(move |k| (*c, *k))) {
                assert!(sequence(keys).is_ok(), "{keys:?} of {}", spec.name);
                let other = bound.insert((context, keys), spec.name);
                assert_eq!(other, None, "{keys:?} in {context} is {} too", spec.name);
            }
        }
    }

    #[test]
    fn the_context_comes_first_then_the_global_keys() {
        let map = Keymap::new(&UserKeys::new()).unwrap();
        assert_eq!(map.find(Context::Workers, &pressed("l")), Found::Action(Action::ShowLogs));
        assert_eq!(map.find(Context::Logs, &pressed("w")), Found::Action(Action::Wrap));
        assert_eq!(map.find(Context::Workers, &pressed("w")), Found::Action(Action::Spawn));
        assert_eq!(map.find(Context::Workers, &pressed("q")), Found::Action(Action::Quit));
        assert_eq!(map.find(Context::Focused, &pressed("q")), Found::Nothing);
        assert_eq!(map.find(Context::Dialog, &pressed("q")), Found::Nothing);
    }

    #[test]
    fn users_keys_replace_unbind_and_make_sequences() {
        let map = Keymap::new(&user("global", "q", None)).unwrap();
        assert_eq!(map.find(Context::Workers, &pressed("q")), Found::Nothing);
        assert_eq!(map.keys_of(Action::Quit, Context::Workers), Vec::<String>::new());
        let map = Keymap::new(&user("workers", "ctrl-x s", Some("stop"))).unwrap();
        assert_eq!(map.find(Context::Workers, &pressed("ctrl-x")), Found::Prefix);
        assert_eq!(map.find(Context::Workers, &pressed("ctrl-x s")), Found::Action(Action::Stop));
        assert_eq!(map.keys_of(Action::Stop, Context::Workers), ["s", "ctrl-x s"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (keys, message) in [
            (
                user("worker", "q", None),
                "[ui.keys.worker]: there is no such context; the contexts are global, parent, workers, pool, services, \
                 terminal, logs, inspect, figures, events, ports, copy, left, reader, dialog, prompt, focused",
            ),
            (
                user("workers", "q", Some("stopp")),
                "[ui.keys.workers] \"q\": there is no action \"stopp\"; did you mean \"stop\"?",
            ),
            (
                user("logs", "q", Some("stop")),
                "[ui.keys.logs] \"q\": \"stop\" does nothing there; it belongs under parent, workers, services",
            ),
            (
                user("global", "q q", Some("quit")),
                "[ui.keys.global] \"q q\": \"q\" begins with it or is its beginning, so one of them could never be typed",
            ),
            (
                user("focused", "ctrl-q", None),
                "[ui.keys.focused]: no key is left for \"leave\"; bind one, like \"ctrl-q\" = \"leave\"",
            ),
        ] {
            assert_eq!(Keymap::new(&keys).unwrap_err().to_string(), message);
        }
        let error = Keymap::new(&user("global", "hyper-x", None)).unwrap_err().to_string();
        assert!(error.starts_with("[ui.keys.global] \"hyper-x\": \"hyper-x\" is not a key: write"), "{error}");
    }
}
