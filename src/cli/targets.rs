//! From words on the command line to containers.

use std::collections::BTreeSet;

use crate::api::client::Client;
use crate::api::types::ContainerRow;
use crate::bay::container::Role;
use crate::bay::matching;

use super::exit::CliError;

/// What the words mean, each container once, in the order of the words. The first word that means nothing, or too much,
/// is an error, before anything is done to any.
pub fn resolve(words: &[String], rows: &[ContainerRow]) -> Result<Vec<ContainerRow>, CliError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for word in words {
        for row in matching::resolve(word, rows)? {
            if seen.insert(row.name.clone()) {
                found.push(row.clone());
            }
        }
    }
    Ok(found)
}

/// The one container that a word means.
pub async fn one(client: &Client, word: &str) -> Result<ContainerRow, CliError> {
    let rows = client.containers().await?;
    let mut found = matching::resolve(word, &rows)?;
    match (found.pop(), found.as_slice()) {
        (Some(row), []) => Ok(row.clone()),
        _ => Err(CliError::usage(format!("{word:?} means several; this verb takes one"))),
    }
}

/// All workers.
pub fn workers(rows: Vec<ContainerRow>) -> Vec<ContainerRow> {
    rows.into_iter().filter(|row| row.role == Role::Worker).collect()
}
