//! Routes that show how things are. Answered from the latest view: the engine is asked nothing.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use crate::api::types::{ContainerRow, PoolRow, SessionRow, Status};

pub async fn health(State(app): State<App>) -> Json<Value> {
    let count = app.handle.view.borrow().containers.len();
    Json(json!({ "status": "ok", "containerCount": count, "uptime": app.handle.started.elapsed().as_secs_f64() }))
}

pub async fn status(State(app): State<App>) -> Json<Status> {
    app.first_look().await;
    Json(app.snapshot().status)
}

pub async fn containers(State(app): State<App>) -> Json<Vec<ContainerRow>> {
    app.first_look().await;
    Json(app.handle.view.borrow().containers.clone())
}

pub async fn pool(State(app): State<App>) -> Json<Vec<PoolRow>> {
    app.first_look().await;
    Json(app.snapshot().status.pool)
}

pub async fn sessions(State(app): State<App>) -> Json<Vec<SessionRow>> {
    Json(app.handle.sessions.rows())
}
