//! A configuration as a tree whose every part remembers where in the file it stands.
//!
//! The tree is what defaults, `[worker]` and `[[template]]` are laid over each other in, so that an error in the result
//! still names the line that the user wrote.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// One value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Byte offset in the user's file; `None`: a default.
    pub at: Option<usize>,
    /// The value.
    pub value: Value,
}

/// One key of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Byte offset of the key; `None`: a default.
    pub key_at: Option<usize>,
    /// What stands behind it.
    pub node: Node,
}

/// The keys of a table.
pub type Table = BTreeMap<String, Entry>;

/// A value of TOML.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Whole(i64),
    /// A float.
    Real(f64),
    /// A boolean.
    Truth(bool),
    /// A date or a time: no key takes one.
    Moment,
    /// An array.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

/// A text that is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub at: Option<usize>,
    /// What is wrong there.
    pub text: String,
}

impl Node {
    /// Reads TOML.
    ///
    /// # Errors
    /// [`SyntaxError`] for the first thing that is not TOML.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let table = DeTable::parse(text).map_err(|error| SyntaxError {
            at: error.span().map(|span| span.start),
            text: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
        })?;
        Ok(Self { at: Some(0), value: Value::Table(from_table(table.into_inner())?) })
    }

    /// The same tree as defaults: without places.
    #[must_use]
    pub fn placeless(mut self) -> Self {
        self.forget_places();
        self
    }

    fn forget_places(&mut self) {
        self.at = None;
        match &mut self.value {
            Value::Array(items) => items.iter_mut().for_each(Self::forget_places),
            Value::Table(table) => {
                for entry in table.values_mut() {
                    entry.key_at = None;
                    entry.node.forget_places();
                }
            }
            _ => {}
        }
    }

    /// Lays another tree over this one: tables key by key, everything else is replaced.
    pub fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(under), Value::Table(table)) => {
                self.at = over.at.or(self.at);
                for (key, entry) in table {
                    match under.get_mut(&key) {
                        Some(below) => {
                            below.key_at = entry.key_at.or(below.key_at);
                            below.node.overlay(entry.node);
                        }
                        None => {
                            under.insert(key, entry);
                        }
                    }
                }
            }
            (_, value) => *self = Self { at: over.at, value },
        }
    }

    /// The table, if it is one.
    pub fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The entry of a key, if this is a table that has it.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Table(table) => table.get(key),
            _ => None,
        }
    }

    /// The items of an array; none for everything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// Takes a key out of a table.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        self.table_mut()?.remove(key)
    }

    /// Puts a default in.
    pub fn put(&mut self, key: &str, node: Self) {
        if let Some(table) = self.table_mut() {
            table.insert(key.to_owned(), Entry { key_at: None, node });
        }
    }

    /// The offset of what a path leads to, or of the nearest thing around it that stands in the file.
    #[must_use]
    pub fn place(&self, path: &Path) -> Option<usize> {
        let mut node = self;
        let mut found = self.at;
        for step in &path.0 {
            let next = match step {
                Step::Key(key) => node.entry(key).map(|entry| &entry.node),
                Step::Item(index) => node.items().get(*index),
            };
            let Some(next) = next else { break };
            found = next.at.or(found);
            node = next;
        }
        found
    }
}

/// One step into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key of a table.
    Key(String),
    /// An item of an array, from 0.
    Item(usize),
}

/// The way to a value: `worker.mounts[1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// Of keys alone, written with dots between them.
    #[must_use]
    pub fn of(keys: &str) -> Self {
        Self(keys.split('.').map(|key| Step::Key(key.to_owned())).collect())
    }

    /// One key further.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// One item further.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    /// One step further.
    #[must_use]
    pub fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

fn from_table(table: DeTable<'_>) -> Result<Table, SyntaxError> {
    table
        .into_iter()
        .map(|(key, value)| {
            let key_at = Some(key.span().start);
            let node = from_value(value.span(), value.into_inner())?;
            Ok((key.into_inner().into_owned(), Entry { key_at, node }))
        })
        .collect()
}

fn from_value(span: Range<usize>, value: DeValue<'_>) -> Result<Node, SyntaxError> {
    let at = Some(span.start);
    let wrong = |text: String| SyntaxError { at, text };
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Whole(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| wrong(format!("the number {number} is too large")))?,
        ),
        DeValue::Float(number) => {
            Value::Real(number.as_str().parse().map_err(|_| wrong(format!("{number} is not a number")))?)
        }
        DeValue::Boolean(truth) => Value::Truth(truth),
        DeValue::Datetime(_) => Value::Moment,
        DeValue::Array(items) => Value::Array(
            items.into_iter().map(|item| from_value(item.span(), item.into_inner())).collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => Value::Table(from_table(table)?),
    };
    Ok(Node { at, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_laying_over() {
        let mut under = Node::parse("[a]\nx = 1\ny = [1, 2]\n").unwrap().placeless();
        under.overlay(Node::parse("a.y = [3]\na.z.q = 'é'\n").unwrap());
        let y = under.entry("a").unwrap().node.entry("y").unwrap();
        assert_eq!(y.node.items().len(), 1);
        assert_eq!(under.place(&Path::of("a.y")), Some(6));
        assert_eq!(under.place(&Path::of("a.y").item(0)), Some(7));
        assert_eq!(under.place(&Path::of("a.z.q.nothing")), Some(18));
        assert_eq!(under.entry("a").unwrap().node.entry("x").unwrap().node.at, None);
    }

    #[test]
    fn an_integer_in_any_base_is_read() {
        let node = Node::parse("a = 0x10\nb = 1_000\nc = 99999999999999999999\n");
        assert_eq!(node.unwrap_err().text, "the number 99999999999999999999 is too large");
        let node = Node::parse("a = 0x10\nb = 1_000\nc = -0\n").unwrap();
        assert_eq!(node.entry("a").unwrap().node.value, Value::Whole(16));
        assert_eq!(node.entry("b").unwrap().node.value, Value::Whole(1000));
    }
}
