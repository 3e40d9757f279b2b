//! Errors on the wire: one shape, the fitting status.

use std::fmt;

use axum::Json;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::api::types::{ErrorBody, ErrorDetail};
use crate::engine::EngineError;

/// An answer that says no.
#[derive(Debug)]
pub struct ApiError(pub ErrorDetail);

impl ApiError {
    /// With a code of [`ErrorDetail`] and a sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self(ErrorDetail { code: code.to_owned(), message: message.into(), ..ErrorDetail::default() })
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With the field of the request that is wrong.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    fn status(&self) -> StatusCode {
        match self.0.code.as_str() {
            "invalid" => StatusCode::BAD_REQUEST,
            "unauthorized" => StatusCode::UNAUTHORIZED,
            "forbidden" => StatusCode::FORBIDDEN,
            "not-found" => StatusCode::NOT_FOUND,
            "no-method" => StatusCode::METHOD_NOT_ALLOWED,
            "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
            "impossible" => StatusCode::UNPROCESSABLE_ENTITY,
            "capacity" => StatusCode::TOO_MANY_REQUESTS,
            "name-taken" | "busy" | "unsaved" | "refused" | "port-taken" => StatusCode::CONFLICT,
            "engine-away" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let code = match &error {
            EngineError::Away { .. } | EngineError::NoWalls { .. } | EngineError::Deadline { .. } => "engine-away",
            EngineError::NotFound { .. } => "not-found",
            EngineError::NameTaken(_) => "name-taken",
            EngineError::NoImage(_) => "impossible",
            EngineError::PortTaken { .. } => "port-taken",
            EngineError::Conflict { .. } | EngineError::Refused { .. } => "refused",
            EngineError::Failed { .. } => "internal",
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(ErrorBody { error: self.0 })).into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}

/// What a path that leads nowhere is answered with.
pub async fn no_route(uri: Uri) -> ApiError {
    ApiError::new("not-found", format!("there is no route {:?}", uri.path()))
}

/// What a method that a path does not have is answered with.
pub async fn no_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new("no-method", format!("{:?} has no {method}", uri.path()))
}
