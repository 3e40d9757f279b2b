//! From a tree with places to typed values: serde's strictness, podbay's words.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{Fault, header, listed, suggestion, written};
use super::node::{Entry, Node, Path, Step, Value};

/// Reads a typed value out of a tree.
///
/// # Errors
/// [`Fault`] for the first key, in the file's order, that does not fit.
pub fn read<T: serde::de::DeserializeOwned>(node: &Node, path: &Path) -> Result<T, Fault> {
    T::deserialize(Reader(node)).map_err(|error| error.under(path))
}

/// What serde found, and the way there from the value that was being read.
#[derive(Debug)]
struct ReadError {
    /// Innermost step first.
    way: Vec<Step>,
    /// The offset of the key in question, when it is not the value's.
    at: Option<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// `path: text`.
    Value(String),
    /// A key that is not there; the way leads to the table.
    Unknown { key: String, known: &'static [&'static str] },
    /// A key that must be there; the way leads to the table.
    Missing(&'static str),
}

impl ReadError {
    fn of(kind: Kind) -> Self {
        Self { way: Vec::new(), at: None, kind }
    }

    fn step(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }

    fn under(self, base: &Path) -> Fault {
        let mut path = base.clone();
        path.0.extend(self.way.into_iter().rev());
        let text = match self.kind {
            Kind::Value(text) => format!("{}: {text}", written(&path)),
            Kind::Unknown { key, known } => {
                let known: Vec<&str> = known.iter().copied().filter(|k| !hidden(&path, k)).collect();
                format!("unknown key {key:?} in {}; {}", header(&path), suggestion(&key, &known))
            }
            Kind::Missing(key) => format!("{} needs the key {key:?}", header(&path)),
        };
        Fault { path, at: self.at, text }
    }
}

/// Keys of a template that `[worker]` does not take: it is every template's beginning, not one of them.
fn hidden(path: &Path, key: &str) -> bool {
    *path == Path::of("worker") && matches!(key, "name" | "pool")
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self::of(Kind::Value(text.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = plain(&expected.to_string());
        let quotes =
            wanted == "a string" && matches!(found, Unexpected::Signed(_) | Unexpected::Float(_) | Unexpected::Bool(_));
        let hint = if quotes { "; write it in quotes" } else { "" };
        Self::custom(format_args!("must be {wanted}, not {}{hint}", shown(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {}, not {len}", plain(&expected.to_string())))
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format_args!("{word:?} is not one of {}", listed(known, "and")))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::Unknown { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::of(Kind::Missing(key))
    }
}

/// serde's words for what it wants, in a user's.
fn plain(expected: &str) -> String {
    let text = match expected {
        // The only bytes are percentages, the only short words are ports.
        "u8" => "a percentage from 1 to 100",
        "u16" => "a port from 1 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, 0 or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "a table",
        "a tuple of size 2" => "an array of 2 numbers",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("enum ") => "a string",
        other => other,
    };
    text.to_owned()
}

fn shown(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(truth) => truth.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Float(number) => format!("{number:?}"),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Other(what) => (*what).to_owned(),
        other => other.to_string(),
    }
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a Node);

impl<'a> Reader<'a> {
    fn found(self) -> Unexpected<'a> {
        match &self.0.value {
            Value::Text(text) => Unexpected::Str(text),
            Value::Whole(number) => Unexpected::Signed(*number),
            Value::Real(number) => Unexpected::Float(*number),
            Value::Truth(truth) => Unexpected::Bool(*truth),
            Value::Moment => Unexpected::Other("a date"),
            Value::Array(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Whole(number) => visitor.visit_i64(*number),
            Value::Real(number) => visitor.visit_f64(*number),
            Value::Truth(truth) => visitor.visit_bool(*truth),
            Value::Moment => Err(ReadError::invalid_type(self.found(), &visitor)),
            Value::Array(items) => {
                let mut rest = Items { items: items.iter().enumerate() };
                let value = visitor.visit_seq(&mut rest)?;
                if rest.items.len() > 0 {
                    return Err(ReadError::custom(format_args!("has {} values; that is too many", items.len())));
                }
                Ok(value)
            }
            Value::Table(table) => {
                let mut entries: Vec<_> = table.iter().collect();
                entries.sort_by_key(|(_, entry)| entry.key_at.unwrap_or(usize::MAX));
                visitor.visit_map(Entries { entries: entries.into_iter(), next: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Value::Text(text) = &self.0.value else {
            let words = format!("one of {}", listed(variants, "and"));
            return Err(ReadError::invalid_type(self.found(), &words.as_str()));
        };
        visitor.visit_enum(Word(text))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for &mut Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Reader(node)).map(Some).map_err(|error| error.step(Step::Item(index)))
    }
}

struct Entries<'a> {
    entries: std::vec::IntoIter<(&'a String, &'a Entry)>,
    next: Option<(&'a String, &'a Entry)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.next = self.entries.next();
        let Some((key, entry)) = self.next else { return Ok(None) };
        let text: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        seed.deserialize(text).map(Some).map_err(|error| ReadError { at: entry.key_at, ..error })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, entry) = self.next.ok_or_else(|| ReadError::custom("a value without a key"))?;
        seed.deserialize(Reader(&entry.node)).map_err(|error| error.step(Step::Key(key.clone())))
    }
}

/// The name of a variant without content.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let text: StrDeserializer<'_, ReadError> = self.0.into_deserializer();
        Ok((seed.deserialize(text)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, ReadError> {
        Err(ReadError::custom("takes a plain word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::custom("takes a plain word"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::custom("takes a plain word"))
    }
}
