//! From words on the command line to containers.

use std::collections::BTreeSet;

use crate::api::client::Client;
use crate::api::types::ContainerRow;
use crate::bay::container::Role;
use crate::bay::matching::{self, Named};
use crate::bay::name::WARM;

use super::exit::CliError;

/// What the words mean, each once, in the order of the words. The first word that means nothing, or too much,
/// is an error, before anything is done to any.
pub fn resolve<T: Named + Clone>(words: &[String], rows: &[T]) -> Result<Vec<T>, CliError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for word in words {
        for row in matching::resolve(word, rows)? {
            if seen.insert(row.name()) {
                found.push(row.clone());
            }
        }
    }
    Ok(found)
}

/// Everything that a verb may be about: containers, and services that have none.
pub async fn all(client: &Client) -> Result<Vec<ContainerRow>, CliError> {
    let mut rows = client.containers().await?;
    for service in client.services().await? {
        let row = service.as_container();
        if !rows.iter().any(|known| known.name == row.name) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The one that a word means.
pub async fn one(client: &Client, word: &str) -> Result<ContainerRow, CliError> {
    let rows = all(client).await?;
    let mut found = matching::resolve(word, &rows)?;
    match (found.pop(), found.as_slice()) {
        (Some(row), []) => Ok(row.clone()),
        _ => Err(CliError::usage(format!("{word:?} means several; this verb takes one"))),
    }
}

/// All workers that somebody asked for: those of the pool are nobody's yet.
pub fn workers(rows: Vec<ContainerRow>) -> Vec<ContainerRow> {
    rows.into_iter().filter(|row| row.role == Role::Worker && !row.name.starts_with(WARM)).collect()
}
