//! Requests to the API, counted: by route, method and status, all of which are podbay's own words.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use tower_service::Service;

use super::BODY;
use super::routes::ROUTES;
use crate::bay::metric::Histogram;

/// What leads to no route, and every method that no route has.
const OTHER: &str = "other";

/// The paths that there are: whatever a client asks for, it makes no new series.
static PATHS: LazyLock<matchit::Router<&'static str>> = LazyLock::new(|| {
    let mut paths = matchit::Router::new();
    for route in ROUTES {
        // A path with several methods is there once.
        let _ = paths.insert(route.path, route.path);
    }
    paths
});

/// Route, method, status.
pub type Which = (&'static str, &'static str, u16);

/// What was asked and answered so far.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub answers: BTreeMap<Which, u64>,
    /// By route, until the answer's head.
    pub took: BTreeMap<&'static str, Histogram>,
}

/// Counts of all requests.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<Counts>>);

impl Requests {
    /// The counts at this moment.
    pub fn read(&self) -> Counts {
        self.counts().clone()
    }

    /// Counts a request from now on.
    pub fn begin(&self, request: &Request) -> Count {
        let (route, method) = (route(request.uri().path()), method(request.method()));
        Count { requests: self.clone(), route, method, begun: Instant::now() }
    }

    fn one(&self, which: Which, took: std::time::Duration) {
        let mut counts = self.counts();
        *counts.answers.entry(which).or_default() += 1;
        counts.took.entry(which.0).or_default().observe(took);
    }

    /// Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub struct Count {
    requests: Requests,
    route: &'static str,
    method: &'static str,
    begun: Instant,
}

impl Count {
    /// It was answered.
    pub fn end(self, status: StatusCode) {
        self.requests.one((self.route, self.method, status.as_u16()), self.begun.elapsed());
    }
}

/// The routes, with every request counted and every body bounded. All that is done around a route is done here and in the
/// door, once: a layer of the router would be a boxed copy of the route for every request.
#[derive(Clone)]
pub struct Counted {
    routes: Router,
    requests: Requests,
}

impl Counted {
    pub const fn new(routes: Router, requests: Requests) -> Self {
        Self { routes, requests }
    }

    pub const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Answers what was counted already.
    pub async fn route(&self, mut request: Request) -> Response {
        if !request.body().is_end_stream() {
            DefaultBodyLimit::max(BODY).apply(&mut request);
        }
        self.routes.clone().call(request).await.unwrap_or_else(|never| match never {})
    }
}

impl Service<Request> for Counted {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let count = this.requests.begin(&request);
            let response = this.route(request).await;
            count.end(response.status());
            Ok(response)
        })
    }
}

fn route(path: &str) -> &'static str {
    PATHS.at(path).map_or(OTHER, |found| *found.value)
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_makes_no_new_words() {
        for known in ["GET", "POST", "DELETE", "HEAD"] {
            assert_eq!(method(&known.parse().unwrap()), known);
        }
        assert_eq!(method(&"BREW".parse().unwrap()), OTHER);
        for (path, wanted) in [
            ("/api/containers", "/api/containers"),
            ("/api/containers/fox", "/api/containers/{id}"),
            ("/api/containers/fox/terminal", "/api/containers/{id}/terminal"),
            ("/api/containers/", OTHER),
            ("/api/containers//logs", "/api/containers/{id}/logs"),
            ("/api/containers/fox/owl/logs", OTHER),
            ("/etc/passwd", OTHER),
            ("*", OTHER),
        ] {
            assert_eq!(route(path), wanted, "{path}");
        }
    }

    #[test]
    fn each_answer_is_counted_once() {
        let requests = Requests::default();
        let which = ("/health", "GET", 200);
        for _ in 0..3 {
            requests.one(which, std::time::Duration::from_millis(2));
        }
        let counts = requests.read();
        assert_eq!((counts.answers[&which], counts.took["/health"].count()), (3, 3));
    }
}
