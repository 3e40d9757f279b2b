//! Making things: images and containers.

use std::path::Path;

use bollard::query_parameters::CreateContainerOptions;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::host_image::Layout;
use super::session::Session;
use super::{DockerEngine, create, error, session, transport};
use crate::bay::container::{ContainerId, ContainerSpec, ImageFacts, ImageRef, NetworkSpec};
use crate::engine::{Created, EngineError, NO_WALLS};

/// An answer about an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageShape {
    id: String,
    #[serde(default)]
    config: Option<ImageConfig>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageConfig {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

impl DockerEngine {
    pub(super) async fn has_image(&self, session: &Session, reference: &str) -> Result<bool, EngineError> {
        let what = format!("look for image {reference:?}");
        if !is_reference(reference) {
            return Err(EngineError::Refused { what, message: "that is no image reference".to_owned() });
        }
        match self.wire.get(&what, &session.path(&format!("/images/{reference}/json"))).await {
            Ok(_) => Ok(true),
            Err(EngineError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn image_facts(&self, session: &Session, image: &ImageRef) -> Result<ImageFacts, EngineError> {
        let ImageRef::Named(name) = image else {
            // Its reference is the hash of what is in it, and it has no command of its own.
            let id = self.host_layout(session).await?.reference();
            return Ok(ImageFacts { id, ..ImageFacts::default() });
        };
        let what = format!("look at image {name:?}");
        if !is_reference(name) {
            return Err(EngineError::Refused { what, message: "that is no image reference".to_owned() });
        }
        match self.wire.json::<ImageShape>(&what, &session.path(&format!("/images/{name}/json"))).await {
            Ok(ImageShape { id, config }) => {
                let config = config.unwrap_or_default();
                let (entrypoint, command) = (config.entrypoint.unwrap_or_default(), config.cmd.unwrap_or_default());
                Ok(ImageFacts { id, entrypoint, command })
            }
            Err(EngineError::NotFound { .. }) => Err(EngineError::NoImage(name.clone())),
            Err(error) => Err(error),
        }
    }

    /// Makes the host image when it is missing. One at a time: the second finds what the first has made.
    pub(super) async fn ensure_host_image(&self, session: &Session) -> Result<(), EngineError> {
        let layout = self.host_layout(session).await?;
        let what = "make the host image";
        let failed = |message: String| EngineError::Failed { what: what.to_owned(), message };
        let _turn = self.import.acquire().await.map_err(|error| failed(error.to_string()))?;
        if self.has_image(session, &layout.reference()).await? {
            return Ok(());
        }
        let tar = layout.tar().map_err(|error| failed(format!("the tar can't be written: {error}")))?;
        let path = session.path(&layout.import_path(session.podman));
        let answer = self.wire.send(what, Method::POST, &path, Bytes::from(tar)).await?;
        // The answer's body is the import's progress; the image is there when it has ended without an error.
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| error::broken(&self.wire.endpoint, what, &error))?.to_bytes();
        if String::from_utf8_lossy(&body).contains("errorDetail") {
            return Err(failed(transport::complaint(&body)));
        }
        Ok(())
    }

    async fn host_layout(&self, session: &Session) -> Result<Layout, EngineError> {
        let machine = session.machine(&self.wire).await?;
        if !session::is_local(&self.wire.endpoint.address, machine) {
            return Err(EngineError::Refused {
                what: "use the host image".to_owned(),
                message: "this engine runs on another machine, or in a virtual one, where this /usr is not; name an \
                          image of that engine"
                    .to_owned(),
            });
        }
        Ok(Layout::of(Path::new("/")))
    }

    pub(super) async fn create_now(&self, spec: &ContainerSpec) -> Result<Created, EngineError> {
        let what = format!("create {}", spec.name);
        if matches!(spec.network, NetworkSpec::Walled(_)) {
            return Err(EngineError::Refused { what, message: NO_WALLS.to_owned() });
        }
        let session = self.session().await?;
        let layout = match spec.image {
            ImageRef::Host => Some(self.host_layout(&session).await?),
            ImageRef::Named(_) => None,
        };
        let target = create::Target {
            minor: session.minor,
            podman: session.podman,
            cpus: session.machine(&self.wire).await?.cpus,
            host: layout.as_ref(),
            seccomp: seccomp(&spec.hardening.seccomp, &what).await?,
        };
        if session.podman {
            self.check_sources(&session, spec, &what).await?;
        }
        let body = create::body(spec, &target)?;
        let options = CreateContainerOptions { name: Some(spec.name.to_string()), ..Default::default() };
        let made = session.docker.create_container(Some(options), body).await;
        let made = made.map_err(|error| create::refusal(spec, self.said(&what, &error)))?;
        Ok(Created { id: ContainerId::new(made.id), warnings: made.warnings })
    }
}

impl DockerEngine {
    /// Podman makes a root-owned directory of a missing source, where Docker refuses it. On another machine it can't be
    /// seen from here.
    async fn check_sources(&self, session: &Session, spec: &ContainerSpec, what: &str) -> Result<(), EngineError> {
        let machine = session.machine(&self.wire).await?;
        if !session::is_local(&self.wire.endpoint.address, machine) {
            return Ok(());
        }
        for mount in &spec.mounts {
            if !tokio::fs::try_exists(&mount.source).await.unwrap_or(true) {
                let message = format!("the source of a mount does not exist: {}", mount.source.display());
                return Err(EngineError::Refused { what: what.to_owned(), message });
            }
        }
        Ok(())
    }
}

/// The text of a seccomp profile; nothing for the engine's own.
async fn seccomp(profile: &str, what: &str) -> Result<Option<String>, EngineError> {
    if profile.is_empty() || profile == "default" {
        return Ok(None);
    }
    let text = tokio::fs::read_to_string(profile).await.map_err(|error| EngineError::Refused {
        what: what.to_owned(),
        message: format!("the seccomp profile {profile:?} can't be read: {error}"),
    })?;
    Ok(Some(text))
}

/// An image reference that may stand in a path: letters, digits and `._-:/@`, and no empty or climbing part.
pub(super) fn is_reference(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte));
    plain && text.len() <= 512 && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_get_into_urls() {
        for bad in ["", "x?force=1&y=", "name/top?ps_args=aux#", "..", "a/../b", "a//b", "%2f", "a b", "ab\n", "é"] {
            assert!(!is_reference(bad), "{bad:?}");
        }
        for good in ["alpine", "ghcr.io/a/b:1", "localhost:5000/x@sha256:00ff", "podbay-host:12ab"] {
            assert!(is_reference(good), "{good}");
        }
    }
}
