//! Words that stand in many tables: argv, paths, mounts, environment, images.

use std::collections::{BTreeMap, BTreeSet};

use crate::bay::container::ImageRef;
use crate::bay::mount::{MountRule, check_target};
use crate::bay::size::Span;

use super::super::error::Fault;
use super::super::node::Path;
use super::{Checked, ensure};

/// No text may hold what ends a C string.
pub fn text(text: &str, path: &Path) -> Checked {
    ensure(!text.contains('\0'), || Fault::new(path.clone(), "must not have a NUL in it"))
}

/// An argv: may be empty; its first word may not.
pub fn argv(words: &[String], path: &Path) -> Checked {
    ensure(words.first().is_none_or(|word| !word.is_empty()), || {
        Fault::new(path.item(0), "must not be empty: it is the program's name")
    })?;
    words.iter().enumerate().try_for_each(|(index, word)| text(word, &path.item(index)))
}

/// A path of this machine as written: empty, absolute, or starting with `~` or `${VAR}`.
pub fn path(text: &str, path: &Path) -> Checked {
    self::text(text, path)?;
    let anchored = ["/", "~/", "${"].iter().any(|start| text.starts_with(start)) || matches!(text, "" | "~");
    ensure(anchored, || {
        Fault::new(path.clone(), format_args!("{text:?} must be absolute, or start with ~/ or ${{VAR}}"))
    })
}

/// Like [`path`], for a list; none may be empty or come twice.
pub fn paths(list: &[String], at: &Path) -> Checked {
    each_once(list, at)?;
    for (index, one) in list.iter().enumerate() {
        ensure(!one.is_empty(), || Fault::new(at.item(index), "must not be empty"))?;
        path(one, &at.item(index))?;
    }
    Ok(())
}

/// An image reference: the engine says whether it exists.
pub fn image(image: &ImageRef, path: &Path) -> Checked {
    let ImageRef::Named(name) = image else { return Ok(()) };
    let fits = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c));
    ensure(fits, || {
        let what = format!("{name:?} is not an image: write \"host\", or a reference like \"debian:12\"");
        Fault::new(path.clone(), what)
    })
}

/// Environment: keys that every shell can name, values without NUL.
pub fn env(env: &BTreeMap<String, String>, path: &Path) -> Checked {
    for (key, value) in env {
        let one = path.key(key);
        ensure(crate::config::env::is_variable(key), || {
            Fault::new(one.clone(), "is not a variable's name: use letters, digits and '_', no digit first")
        })?;
        text(value, &one)?;
    }
    Ok(())
}

/// Mounts: sources and targets of the right shape, no target twice.
pub fn mounts(rules: &[MountRule], at: &Path) -> Checked {
    let mut seen = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let one = at.item(index);
        path(&rule.source, &one)?;
        text(&rule.target, &one)?;
        let target = rule.target.replacen('~', "/~", usize::from(rule.target.starts_with("~/")));
        let lexical = std::path::PathBuf::from(target);
        check_target(&lexical).map_err(|_| {
            let what = format!("target {:?} must be absolute or start with ~/, without \"..\"", rule.target);
            Fault::new(one.clone(), what)
        })?;
        ensure(seen.insert(lexical.components().collect::<std::path::PathBuf>()), || {
            Fault::new(one, format_args!("target {:?} is mounted twice", rule.target))
        })?;
    }
    Ok(())
}

/// No item comes twice.
pub fn each_once<T: Ord + std::fmt::Debug>(items: &[T], path: &Path) -> Checked {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        ensure(seen.insert(item), || Fault::new(path.item(index), format_args!("{item:?} is there twice")))?;
    }
    Ok(())
}

/// A time that can't be zero.
pub fn lasting(span: Span, path: &Path) -> Checked {
    ensure(!span.get().is_zero(), || Fault::new(path.clone(), "must be longer than zero"))
}

/// A count that can't be zero.
pub fn counted(count: u32, path: &Path) -> Checked {
    ensure(count > 0, || Fault::new(path.clone(), "must be 1 or more"))
}
