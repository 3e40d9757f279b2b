//! The table of routes: what is answered, by what. The router, the description and the tests are made from it.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, post};

use super::{App, BODY, actions, doctor, error, exec, figures, images, ports, run, services, shown, streams, terminal};

/// One route.
pub struct Route {
    /// `GET`.
    pub method: &'static str,
    /// With `{id}` where something is named.
    pub path: &'static str,
    /// Only on the unix socket.
    pub private: bool,
    serve: fn() -> MethodRouter<App>,
}

const fn route(method: &'static str, path: &'static str, serve: fn() -> MethodRouter<App>) -> Route {
    Route { method, path, private: false, serve }
}

/// What only the owner of the unix socket may ask.
const fn private(method: &'static str, path: &'static str, serve: fn() -> MethodRouter<App>) -> Route {
    Route { method, path, private: true, serve }
}

/// All routes.
pub const ROUTES: &[Route] = &[
    route("GET", "/health", || get(shown::health)),
    route("GET", "/api/status", || get(shown::status)),
    route("GET", "/api/containers", || get(shown::containers)),
    route("POST", "/api/containers", || post(actions::spawn)),
    route("GET", "/api/containers/{id}", || get(actions::detail)),
    route("DELETE", "/api/containers/{id}", || delete(actions::remove)),
    route("POST", "/api/containers/{id}/start", || post(actions::start)),
    route("POST", "/api/containers/{id}/stop", || post(actions::stop)),
    route("POST", "/api/containers/{id}/restart", || post(actions::restart)),
    route("POST", "/api/containers/{id}/refresh", || post(actions::refresh)),
    route("GET", "/api/containers/{id}/unsaved", || get(actions::unsaved)),
    route("POST", "/api/containers/{id}/send", || post(actions::send)),
    route("POST", "/api/containers/{id}/sessions", || post(actions::open_session)),
    route("GET", "/api/containers/{id}/logs", || get(streams::logs)),
    route("GET", "/api/containers/{id}/terminal", || get(terminal::main)),
    route("GET", "/api/containers/{id}/exec", || get(exec::exec)),
    route("POST", "/api/containers/{id}/exec", || post(run::run)),
    route("GET", "/api/pool", || get(shown::pool)),
    route("POST", "/api/pool", || post(actions::pool)),
    route("GET", "/api/services", || get(services::list)),
    route("POST", "/api/services/{name}/start", || post(services::start)),
    route("POST", "/api/services/{name}/stop", || post(services::stop)),
    route("POST", "/api/services/{name}/restart", || post(services::restart)),
    route("GET", "/api/services/{name}/logs", || get(services::logs)),
    route("GET", "/api/sessions", || get(shown::sessions)),
    route("DELETE", "/api/sessions/{id}", || delete(actions::close_session)),
    route("GET", "/api/sessions/{id}/terminal", || get(terminal::session)),
    route("GET", "/api/images", || get(images::list)),
    route("POST", "/api/images", || post(images::host)),
    route("DELETE", "/api/images", || delete(images::prune)),
    route("POST", "/api/up", || post(actions::up)),
    route("POST", "/api/down", || post(actions::down)),
    route("POST", "/api/reload", || post(actions::reload_route)),
    route("GET", "/api/why/{name}", || get(actions::why)),
    route("GET", "/api/stats", || get(actions::stats)),
    route("GET", "/api/figures", || get(figures::figures)),
    route("GET", "/api/ports", || get(ports::ports)),
    route("GET", "/api/doctor", || get(doctor::doctor)),
    route("GET", "/api/events", || get(streams::events)),
    private("POST", "/api/token", || post(actions::rotate_token)),
];

/// The routes that this listener answers.
pub(super) fn router(app: App, with_private: bool) -> Router {
    let answered = ROUTES.iter().filter(|route| with_private || !route.private);
    let router = answered.fold(Router::new(), |router, route| router.route(route.path, (route.serve)()));
    router
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(app)
}
