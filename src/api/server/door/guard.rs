//! Who may ask over TCP. Everything here happens before a route is looked at and before a body is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, WWW_AUTHENTICATE};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;

use super::address::{Foreign, Hosts};
use super::token::Tokens;
use crate::api::server::setup::Lent;
use crate::api::server::{ApiError, App, BODY};
use crate::api::types::Snapshot;

/// How long a body may take.
const SENDING: Duration = Duration::from_secs(20);

/// What is asked of every request.
pub struct Guard {
    tokens: Arc<Tokens>,
    lent: Lent,
    view: watch::Receiver<Arc<Snapshot>>,
    hosts: Hosts,
}

impl Guard {
    pub(super) fn new(app: &App, address: SocketAddr, named: &[String]) -> Self {
        let (tokens, lent, view) = (app.tokens.clone(), app.lent.clone(), app.handle.view.clone());
        Self { tokens, lent, view, hosts: Hosts::new(address, named) }
    }

    pub(super) const fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// Whether a secret that a setup brought opens this terminal.
    fn opens(&self, path: &str, secret: &[u8]) -> bool {
        let terminal = path.strip_prefix("/api/containers/").and_then(|rest| rest.strip_suffix("/terminal"));
        let rows = self.view.borrow().clone();
        terminal.is_some_and(|container| self.lent.opens(container, secret, &rows.containers))
    }

    /// Whether the request carries the token where it belongs. A second one is one too many.
    fn knows(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (Some(header), None) => bearer(header).is_some_and(|token| self.tokens.fits(token)),
            (None, None) if *method == Method::GET && is_stream(uri.path()) => {
                let token = token_in(uri.query().unwrap_or_default());
                token.is_some_and(|token| self.tokens.fits(&token) || self.opens(uri.path(), &token))
            }
            _ => false,
        }
    }

    /// Lets in who may, with a body that is there already and a URL that holds no token; `Err`: what the others are told.
    pub async fn admit(&self, mut request: Request) -> Result<Request, Response> {
        if let Err(foreign) = self.hosts.check(request.uri(), request.headers()) {
            return Err(refuse(foreign));
        }
        let open = request.uri().path() == "/health" && matches!(*request.method(), Method::GET | Method::HEAD);
        if !open && !self.knows(request.method(), request.uri(), request.headers()) {
            return Err(unknown());
        }
        forget_token(&mut request);
        // Most have none.
        if request.body().is_end_stream() {
            return Ok(request);
        }
        received(request).await.map_err(|error| closing(error.into_response()))
    }
}

fn refuse(foreign: Foreign) -> Response {
    let error = match foreign {
        Foreign::NoHost => ApiError::new("invalid", "a request has exactly one Host header"),
        Foreign::Host => ApiError::new("forbidden", "the Host header names another host")
            .hint("ask by the address that it listens on, or put the name into [api] hosts"),
        Foreign::Origin => ApiError::new("forbidden", "pages of other origins are not let in"),
    };
    closing(error.into_response())
}

fn unknown() -> Response {
    let error = ApiError::new("unauthorized", "this needs the token")
        .hint("Authorization: Bearer TOKEN; it is in the file that [api] token_file names");
    let mut response = error.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    closing(response)
}

/// What is still to come of the request is not waited for.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The token of `Bearer TOKEN`.
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The two streams that a browser opens without being able to set a header.
fn is_stream(path: &str) -> bool {
    let mut parts = path.strip_prefix("/api/containers/").unwrap_or_default().split('/');
    let (id, stream, end) = (parts.next(), parts.next(), parts.next());
    id.is_some_and(|id| !id.is_empty()) && matches!(stream, Some("logs" | "terminal")) && end.is_none()
}

/// The value of the only `token` in a query.
fn token_in(query: &str) -> Option<Vec<u8>> {
    let mut found = query.split('&').filter_map(|pair| pair.strip_prefix("token="));
    match (found.next(), found.next()) {
        (Some(token), None) => Some(percent_encoding::percent_decode_str(token).collect()),
        _ => None,
    }
}

/// Nothing behind this sees the token: not a handler, not a log, not an error.
fn forget_token(request: &mut Request) {
    request.headers_mut().remove(AUTHORIZATION);
    let Some(query) = request.uri().query().filter(|query| query.contains("token=")) else { return };
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("token=")).collect();
    let path = request.uri().path();
    let path = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = path.parse::<PathAndQuery>().ok();
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// The request with its body, which has an end in size and time.
async fn received(request: Request) -> Result<Request, ApiError> {
    let too_large = || ApiError::new("too-large", format!("a body has at most {} KiB", BODY >> 10));
    let (parts, body) = request.into_parts();
    let told = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > BODY as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(SENDING, to_bytes(body, BODY)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(ApiError::new("invalid", format!("the body did not come within {}s", SENDING.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_streams_take_a_token_in_their_url() {
        for path in ["/api/containers/fox/logs", "/api/containers/fox/terminal"] {
            assert!(is_stream(path), "{path}");
        }
        for path in [
            "/api/containers",
            "/api/containers/fox",
            "/api/containers//logs",
            "/api/containers/fox/logs/",
            "/api/containers/fox/exec",
            "/api/services/brain/logs",
            "/api/events",
            "/metrics",
        ] {
            assert!(!is_stream(path), "{path}");
        }
    }

    #[test]
    fn a_token_is_taken_from_a_query_once() {
        assert_eq!(token_in("token=ab%20c"), Some(b"ab c".to_vec()));
        assert_eq!(token_in("follow=true&token=x"), Some(b"x".to_vec()));
        assert_eq!((token_in("token=x&token=y"), token_in(""), token_in("xtoken=y")), (None, None, None));
    }

    #[test]
    fn what_follows_sees_no_token() {
        for (uri, left) in [
            ("/a/logs?token=secret", "/a/logs"),
            ("/a/logs?follow=true&token=secret&tail=5", "/a/logs?follow=true&tail=5"),
            ("http://localhost/a?token=secret", "http://localhost/a"),
            ("/a?tail=5", "/a?tail=5"),
        ] {
            let mut request =
                Request::builder().uri(uri).header(AUTHORIZATION, "Bearer secret").body(Body::empty()).unwrap();
            forget_token(&mut request);
            assert_eq!(request.uri().to_string(), left);
            assert!(request.headers().is_empty());
        }
    }

    #[test]
    fn a_bearer_is_a_word_and_a_token() {
        let of = |text: &'static str| bearer(&HeaderValue::from_static(text)).map(<[u8]>::to_vec);
        assert_eq!((of("Bearer x"), of("bearer  x ")), (Some(b"x".to_vec()), Some(b"x".to_vec())));
        assert_eq!((of("Basic x"), of("Bearer"), of("x"), of("Token x")), (None, None, None, None));
    }
}
