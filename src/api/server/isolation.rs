//! The user's word for walls that are weaker than namespaces.

use axum::Json;
use axum::extract::State;

use super::actions::{Answer, reload};
use super::extract::Body;
use super::{ApiError, App};
use crate::api::types::{Done, IsolationRequest};
use crate::bay::isolation::IsolationRule;
use crate::config::isolation;

/// Keeps it for the bay, and has the engine looked for with it.
pub async fn allow(State(app): State<App>, Body(request): Body<IsolationRequest>) -> Answer<Done> {
    let level = request.level;
    let rule = app.handle.config.borrow().engine.isolation;
    let asks = matches!(rule, IsolationRule::Ask) || isolation::kept(&app.handle.paths.state).is_some();
    if !asks && rule != IsolationRule::from(level) {
        let text = format!("the configuration says what the isolation is: {}", rule.level());
        return Err(ApiError::new("invalid", text));
    }
    isolation::keep(&app.handle.paths.state, level)
        .map_err(|error| ApiError::new("internal", format!("the answer can't be kept: {error}")))?;
    let reloaded = reload(&app).await?;
    Ok(Json(Done { text: format!("the isolation of this bay is {level}"), notes: reloaded.notes }))
}
