//! Routes that show how things are. Answered from the latest view: the engine is asked nothing.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use super::App;
use crate::api::types::{Health, NetworkStatus, PoolRow, SessionRow, Snapshot, Status};
use crate::bay::template::short_hash;

pub async fn health(State(app): State<App>) -> Json<Health> {
    let container_count = app.handle.view.borrow().containers.len() as u64;
    Json(Health { status: "ok".to_owned(), container_count, uptime: app.handle.started.elapsed().as_secs_f64() })
}

pub async fn status(State(app): State<App>) -> Json<Status> {
    app.first_look().await;
    Json(app.snapshot().status)
}

/// Whoever asks again and says what he has is only told that nothing has changed.
pub async fn containers(State(app): State<App>, headers: HeaderMap) -> Response {
    app.first_look().await;
    let view = app.handle.view.borrow().clone();
    let (bytes, tag) = app.listed.of(&view);
    if has(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    ([(CONTENT_TYPE, "application/json")], [(ETAG, tag)], bytes).into_response()
}

/// Whether a client names this tag among those that it has. One that was packed on the way is weak by then, and as good.
fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let named = headers.get_all(IF_NONE_MATCH).iter().flat_map(|known| known.as_bytes().split(|byte| *byte == b','));
    let mut named = named.map(<[u8]>::trim_ascii);
    named.any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == tag.as_bytes())
}

/// The list as it was last written: it is asked for far more often than it changes.
#[derive(Clone, Default)]
pub struct Listed(Arc<Mutex<Last>>);

/// Of which view, its list, and by what that is told from another one.
type Last = Option<(Arc<Snapshot>, Bytes, HeaderValue)>;

impl Listed {
    fn of(&self, view: &Arc<Snapshot>) -> (Bytes, HeaderValue) {
        // Held while it is written, which takes less than to write it twice. A panic elsewhere leaves it as good as it was.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes, tag)) = last.as_ref().filter(|(known, ..)| Arc::ptr_eq(known, view)) {
            return (bytes.clone(), tag.clone());
        }
        let bytes = Bytes::from(serde_json::to_vec(&view.containers).unwrap_or_default());
        // Of hexadecimal digits, so that it always can be a header.
        let tag = HeaderValue::from_maybe_shared(format!("\"{}\"", short_hash(&bytes)));
        let tag = tag.unwrap_or(HeaderValue::from_static("\"\""));
        *last = Some((view.clone(), bytes.clone(), tag.clone()));
        (bytes, tag)
    }
}

pub async fn network(State(app): State<App>) -> Json<NetworkStatus> {
    app.first_look().await;
    Json(app.snapshot().status.network)
}

pub async fn pool(State(app): State<App>) -> Json<Vec<PoolRow>> {
    app.first_look().await;
    Json(app.snapshot().status.pool)
}

pub async fn sessions(State(app): State<App>) -> Json<Vec<SessionRow>> {
    Json(app.handle.sessions.rows())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_among_others_weak_or_by_a_star() {
        let known = |values: &[&'static str]| {
            let headers = values.iter().map(|value| (IF_NONE_MATCH, HeaderValue::from_static(value))).collect();
            has(&headers, &HeaderValue::from_static("\"abc\""))
        };
        for values in [&["\"abc\""][..], &["W/\"abc\""], &["\"x\", \"abc\""], &["\"x\"", "\"abc\""], &["*"]] {
            assert!(known(values), "{values:?}");
        }
        for values in [&[][..], &[""], &["abc"], &["\"abcd\""], &["\"x\",\"y\""], &["W/"]] {
            assert!(!known(values), "{values:?}");
        }
    }
}
