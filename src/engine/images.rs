//! Images that are made from containers: what an engine can do with them, where it can.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::EngineError;
use crate::bay::container::{ContainerId, ImageFacts};

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSeen {
    /// The engine's id.
    pub id: String,
    /// Bytes of all its layers, shared ones counted.
    pub size: u64,
    /// What it says of itself.
    pub labels: BTreeMap<String, String>,
}

/// A container that becomes an image.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The container; it may run.
    pub container: &'a ContainerId,
    /// What the image is called, `name:tag`. Another image that was called so keeps only its id.
    pub reference: &'a str,
    /// Its labels: those of the container that are named here, too, have these texts.
    pub labels: &'a BTreeMap<String, String>,
    /// The image that the container was made from: the new one has its entrypoint and command.
    pub base: &'a ImageFacts,
}

/// Making, seeing and removing images.
#[async_trait]
pub trait ImageStore: Send + Sync {
    /// By reference or id; `None`: it is not there.
    async fn seen(&self, reference: &str) -> Result<Option<ImageSeen>, EngineError>;

    /// Makes an image of a container's file system, mounts left out; its id.
    async fn commit(&self, commit: Commit<'_>) -> Result<String, EngineError>;

    /// Removes an image by id; gone counts as done. One that a container uses is [`EngineError::Conflict`].
    async fn remove_image(&self, id: &str) -> Result<(), EngineError>;
}
