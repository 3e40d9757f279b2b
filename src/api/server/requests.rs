//! Requests to the API, counted: by route, method and status, all of which are podbay's own words.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use super::routes::ROUTES;
use crate::bay::metric::Histogram;

/// What leads to no route, and every method that no route has.
const OTHER: &str = "other";

/// The paths that there are: whatever a client asks for, it makes no new series.
static PATHS: LazyLock<BTreeMap<&'static str, &'static str>> =
    LazyLock::new(|| ROUTES.iter().map(|route| (route.path, route.path)).collect());

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

    /// Counts what this router answers, refusals of what is laid around its routes included.
    pub fn of(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), count))
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

async fn count(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().and_then(|path| PATHS.get(path.as_str()));
    let path = path.copied().unwrap_or(OTHER);
    let method = method(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    requests.one((path, method, response.status().as_u16()), begun.elapsed());
    response
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
        assert!(PATHS.contains_key("/api/containers/{id}") && !PATHS.contains_key("/api/containers/fox"));
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
