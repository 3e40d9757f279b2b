//! Routes about prebuilt images.

use axum::Json;
use axum::extract::State;

use super::{ApiError, App};
use crate::api::types::{Done, ImageRow};
use crate::bay::container::ImageRef;
use crate::engine::SharedEngine;
use crate::engine::images::ImageStore;
use crate::supervisor::event::StepError;

type Answer<T> = Result<Json<T>, ApiError>;

/// What the engine can do with images.
fn store(engine: &SharedEngine) -> Result<&dyn ImageStore, ApiError> {
    engine.images().ok_or_else(|| ApiError::new("refused", "this engine makes no images of containers"))
}

/// `GET /api/images`.
pub async fn list(State(app): State<App>) -> Answer<Vec<ImageRow>> {
    app.first_look().await;
    let engine = app.engine()?;
    Ok(Json(app.handle.prebuilt.rows(store(&engine)?).await?))
}

/// `POST /api/images`: makes the host image when it is missing.
pub async fn host(State(app): State<App>) -> Answer<Done> {
    app.first_look().await;
    app.engine()?.ensure_image(&ImageRef::Host).await?;
    Ok(Json(Done { text: "the host image is there".to_owned(), notes: vec![] }))
}

/// `DELETE /api/images`: removes what no container uses.
pub async fn prune(State(app): State<App>) -> Answer<Done> {
    app.first_look().await;
    let engine = app.engine()?;
    let pruned = app.handle.prebuilt.prune(store(&engine)?).await;
    let (removed, kept) = pruned.map_err(|error| match error {
        StepError::Engine(error) => ApiError::from(error),
        other @ (StepError::Workspace(_) | StepError::Fill(_) | StepError::Ports(_)) => {
            ApiError::new("internal", other.to_string())
        }
    })?;
    let text = match removed.len() {
        0 => "no image was removed".to_owned(),
        1 => format!("removed {}", removed.join("")),
        n => format!("removed {n} images: {}", removed.join(", ")),
    };
    let notes = kept.into_iter().map(|kept| format!("kept {kept}")).collect();
    Ok(Json(Done { text, notes }))
}
