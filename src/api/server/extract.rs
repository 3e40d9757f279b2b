//! What a request brings, read strictly: whatever is wrong with it is told in the shape of every other error.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ApiError;

/// A body of JSON. An empty one is read as `null`.
pub struct Body<T>(pub T);

/// The query.
pub struct Asked<T>(pub T);

/// What stands in the place of `{id}` or `{name}`.
pub struct Segment<T>(pub T);

/// The beginning of a WebSocket.
pub struct Upgrade(pub WebSocketUpgrade);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| match error.status().as_u16() {
            413 => ApiError::new("too-large", format!("a body has at most {} KiB", super::BODY >> 10)),
            _ => ApiError::new("invalid", error.body_text()),
        })?;
        if bytes.is_empty() {
            return read(b"null").map(Self);
        }
        if !json {
            return Err(ApiError::new("invalid", "a body is JSON, and says so: Content-Type: application/json"));
        }
        read(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(asked)| Self(asked)).map_err(|error| ApiError::new("invalid", error.body_text()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(named)| Self(named)).map_err(|error| ApiError::new("not-found", error.body_text()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let wrong = |error: axum::extract::ws::rejection::WebSocketUpgradeRejection| {
            ApiError::new("invalid", format!("this route is a WebSocket: {}", error.body_text()))
        };
        upgrade.map(Self).map_err(wrong)
    }
}

/// Reads JSON; says which field is wrong.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let error = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => {
            json.end()
                .map_err(|error| ApiError::new("invalid", format!("the body goes on after its JSON: {error}")))?;
            return Ok(value);
        }
        Err(error) => error,
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    if !inner.is_data() {
        return Err(ApiError::new("invalid", format!("the body is not JSON: {inner}")));
    }
    let named = Some(path).filter(|path| path != "." && !path.is_empty()).or_else(|| culprit::<T>(bytes));
    let error = ApiError::new("invalid", inner.to_string());
    Err(named.into_iter().fold(error, ApiError::field))
}

/// The first field that can't be read by itself: the path of an error ends where a struct lies flat in another.
fn culprit<T: DeserializeOwned>(bytes: &[u8]) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else { return None };
    fields.into_iter().find_map(|(key, value)| {
        let alone = Value::Object([(key.clone(), value)].into_iter().collect());
        serde_json::from_value::<T>(alone).is_err().then_some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::{PoolRequest, SpawnRequest};

    fn wrong<T: DeserializeOwned>(text: &str) -> (Option<String>, String) {
        let Err(ApiError(error)) = read::<T>(text.as_bytes()) else { panic!("{text} was read") };
        assert_eq!(error.code, "invalid");
        (error.field, error.message)
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (text, field) in [
            (r#"{"name": 5}"#, "name"),
            (r#"{"name": "x", "ports": ["a"]}"#, "ports"),
            (r#"{"memory": "much"}"#, "memory"),
            (r#"{"size": {"rows": -1, "cols": 1}}"#, "size.rows"),
            (r#"{"env": {"A": 1}}"#, "env"),
        ] {
            assert_eq!(wrong::<SpawnRequest>(text).0.as_deref(), Some(field), "{text}");
        }
        assert_eq!(wrong::<PoolRequest>(r#"{"order": "burn"}"#).0.as_deref(), Some("order"));
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        for text in ["{", "[1,", "\u{0}", "{\"name\": \"x\"} y", "nul", &"[".repeat(100_000)] {
            let (field, message) = wrong::<Value>(text);
            assert!(field.is_none() && message.starts_with("the body"), "{message}");
        }
    }
}
