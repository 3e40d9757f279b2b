//! Images by Docker's API.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::make::is_reference;
use super::transport::escape;
use super::{DockerEngine, error, hex_id};
use crate::engine::EngineError;
use crate::engine::images::{Commit, ImageSeen, ImageStore};

/// A file system of gigabytes takes its time.
const COMMIT: Duration = Duration::from_mins(15);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shape {
    id: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    config: Option<ConfigShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigShape {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

fn checked<'a>(what: &str, reference: &'a str) -> Result<&'a str, EngineError> {
    let refused = || EngineError::Refused { what: what.to_owned(), message: "that is no image reference".to_owned() };
    if is_reference(reference) { Ok(reference) } else { Err(refused()) }
}

#[async_trait]
impl ImageStore for DockerEngine {
    async fn seen(&self, reference: &str) -> Result<Option<ImageSeen>, EngineError> {
        let what = format!("look at image {reference:?}");
        let call = async {
            let session = self.session().await?;
            let path = session.path(&format!("/images/{}/json", checked(&what, reference)?));
            match self.wire.json::<Shape>(&what, &path).await {
                Ok(Shape { id, size, config }) => {
                    let labels = config.and_then(|config| config.labels).unwrap_or_default();
                    Ok(Some(ImageSeen { id, size, labels }))
                }
                Err(EngineError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.timed(&what, self.deadlines.read, call).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<String, EngineError> {
        let what = format!("make the image {:?}", commit.reference);
        let call = async {
            let session = self.session().await?;
            let (name, tag) =
                checked(&what, commit.reference)?.rsplit_once(':').unwrap_or((commit.reference, "latest"));
            let id = hex_id(commit.container.as_str())?;
            let query = format!("container={id}&repo={}&tag={}", escape(name), escape(tag));
            let mut config = serde_json::json!({ "Labels": commit.labels, "Cmd": commit.base.command });
            if let Some(config) = config.as_object_mut().filter(|_| !commit.base.entrypoint.is_empty()) {
                config.insert("Entrypoint".to_owned(), serde_json::json!(commit.base.entrypoint));
            }
            let body = Bytes::from(config.to_string());
            let answer = self.wire.send(&what, Method::POST, &session.path(&format!("/commit?{query}")), body).await?;
            let body = answer.into_body().collect().await;
            let body = body.map_err(|error| error::broken(&self.wire.endpoint, &what, &error))?.to_bytes();
            let made: Made = serde_json::from_slice(&body).map_err(|error| error::unreadable(&what, &error))?;
            Ok(made.id)
        };
        self.timed(&what, COMMIT, call).await
    }

    async fn remove_image(&self, id: &str) -> Result<(), EngineError> {
        let what = format!("remove image {id}");
        let call = async {
            let session = self.session().await?;
            let path = session.path(&format!("/images/{}", checked(&what, id)?));
            match self.wire.send(&what, Method::DELETE, &path, Bytes::new()).await {
                Ok(_) | Err(EngineError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.timed(&what, self.deadlines.act, call).await
    }
}
