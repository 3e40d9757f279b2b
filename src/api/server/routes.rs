//! The table of routes: what is answered, by what, in which shape. The router, the description and the tests are made
//! from it.

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::isolation;
use super::{
    App, actions, doctor, error, exec, figures, images, metrics, openapi, ports, run, services, setup, shown, streams,
    terminal,
};
use crate::api::types::{
    ContainerDetail, ContainerRow, Done, DownRequest, Figures, Finding, Health, ImageRow, IsolationRequest,
    NetworkRequest, NetworkStatus, PoolRequest, PoolRow, PortRow, Reloaded, RunReply, RunRequest, SendRequest,
    ServiceRow, SessionRequest, SessionRow, SetupReply, SetupRequest, SpawnReply, SpawnRequest, StatsRow, Status,
    UpRequest, Why,
};

/// The schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a route answers with.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// JSON.
    Json(Shape),
    /// Text of this type.
    Text(&'static str),
    /// A WebSocket.
    Socket,
}

/// Something that may stand in a query.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub name: &'static str,
    pub kind: &'static str,
    pub what: &'static str,
}

/// One route.
#[derive(Clone, Copy)]
pub struct Route {
    /// `GET`.
    pub method: &'static str,
    /// With `{id}` where something is named.
    pub path: &'static str,
    /// Only on the unix socket.
    pub private: bool,
    pub(super) what: &'static str,
    pub(super) takes: Option<Shape>,
    pub(super) gives: Gives,
    /// The status of a good answer.
    pub(super) status: u16,
    pub(super) asks: &'static [Ask],
    /// It has an `ETag`, and is 304 to who has it.
    pub(super) tagged: bool,
    serve: fn() -> MethodRouter<App>,
}

impl Route {
    const fn takes(self, shape: Shape) -> Self {
        Self { takes: Some(shape), ..self }
    }

    const fn gives(self, shape: Shape) -> Self {
        Self { gives: Gives::Json(shape), ..self }
    }

    const fn streams(self) -> Self {
        Self { gives: Gives::Text("text/event-stream"), ..self }
    }

    const fn is_socket(self) -> Self {
        Self { gives: Gives::Socket, status: 101, ..self }
    }

    const fn tagged(self) -> Self {
        Self { tagged: true, ..self }
    }

    const fn asks(self, asks: &'static [Ask]) -> Self {
        Self { asks, ..self }
    }
}

/// One that answers with what was done.
const fn route(
    method: &'static str,
    path: &'static str,
    what: &'static str,
    serve: fn() -> MethodRouter<App>,
) -> Route {
    let gives = Gives::Json(shape::<Done>);
    Route { method, path, private: false, what, takes: None, gives, status: 200, asks: &[], tagged: false, serve }
}

const fn ask(name: &'static str, kind: &'static str, what: &'static str) -> Ask {
    Ask { name, kind, what }
}

const LOGS: &[Ask] = &[
    ask("follow", "boolean", "go on with what comes; true where nothing is said"),
    ask("tail", "integer", "the last so many lines"),
    ask("since", "integer", "not before this time, in milliseconds since 1970"),
];
const LOOK: &[Ask] = &[
    ask("rows", "integer", "rows of the terminal that looks"),
    ask("cols", "integer", "its columns"),
    ask("frames", "boolean", "of a flood the whole screen, some times a second, instead of every byte"),
];
const OF: &[Ask] = &[ask("of", "string", "names, with commas between them; absent: all that run")];
const FORCE: &[Ask] = &[ask("force", "boolean", "also what is in its clone and nowhere else")];

/// All routes.
pub const ROUTES: &[Route] = &[
    route("GET", "/health", "Whether it answers; needs no token", || get(shown::health)).gives(shape::<Health>),
    route("GET", "/api/status", "The bay", || get(shown::status)).gives(shape::<Status>),
    route("GET", "/api/containers", "Parent, workers and services", || get(shown::containers))
        .gives(shape::<Vec<ContainerRow>>)
        .tagged(),
    route("POST", "/api/containers", "Makes a worker, or claims a warm one", || post(actions::spawn))
        .takes(shape::<SpawnRequest>)
        .gives(shape::<SpawnReply>),
    route("GET", "/api/containers/{id}", "One container", || get(actions::detail)).gives(shape::<ContainerDetail>),
    route("DELETE", "/api/containers/{id}", "Removes a worker", || delete(actions::remove)).asks(FORCE),
    route("POST", "/api/containers/{id}/start", "Starts it", || post(actions::start)),
    route("POST", "/api/containers/{id}/stop", "Stops it", || post(actions::stop)),
    route("POST", "/api/containers/{id}/restart", "Restarts it; the parent: repairs all", || post(actions::restart)),
    route("POST", "/api/containers/{id}/refresh", "Makes it anew, workspace kept", || post(actions::refresh)),
    route("GET", "/api/containers/{id}/unsaved", "What would be lost with its clone", || get(actions::unsaved))
        .gives(shape::<Vec<String>>),
    route("POST", "/api/containers/{id}/send", "Types a text into its terminal", || post(actions::send))
        .takes(shape::<SendRequest>),
    route("POST", "/api/containers/{id}/sessions", "Opens another shell in it", || post(actions::open_session))
        .takes(shape::<SessionRequest>)
        .gives(shape::<SessionRow>),
    route("GET", "/api/containers/{id}/logs", "Its log", || get(streams::logs)).streams().asks(LOGS),
    route("GET", "/api/containers/{id}/terminal", "Its terminal", || get(terminal::main)).is_socket().asks(LOOK),
    route("GET", "/api/containers/{id}/exec", "A command in it, both ways", || get(exec::exec)).is_socket(),
    route("POST", "/api/containers/{id}/exec", "A command in it, to its end", || post(run::run))
        .takes(shape::<RunRequest>)
        .gives(shape::<RunReply>),
    Route {
        status: 202,
        ..route("POST", "/api/containers/{id}/setup", "Clones a repository into it", || post(setup::setup))
            .takes(shape::<SetupRequest>)
            .gives(shape::<SetupReply>)
    },
    route("GET", "/api/network", "The way out of the bay", || get(shown::network)).gives(shape::<NetworkStatus>),
    route("POST", "/api/network", "Answers what was asked for outside of the bay, and refused", || {
        post(actions::network)
    })
    .takes(shape::<NetworkRequest>),
    route("GET", "/api/pool", "Pools", || get(shown::pool)).gives(shape::<Vec<PoolRow>>),
    route("POST", "/api/pool", "Sizes, drains or cleans up pools", || post(actions::pool)).takes(shape::<PoolRequest>),
    route("GET", "/api/services", "Services", || get(services::list)).gives(shape::<Vec<ServiceRow>>),
    route("POST", "/api/services/{name}/start", "Starts it", || post(services::start)),
    route("POST", "/api/services/{name}/stop", "Stops it", || post(services::stop)),
    route("POST", "/api/services/{name}/restart", "Restarts it", || post(services::restart)),
    route("GET", "/api/services/{name}/logs", "Its log", || get(services::logs)).streams().asks(LOGS),
    route("GET", "/api/sessions", "Open terminals", || get(shown::sessions)).gives(shape::<Vec<SessionRow>>),
    route("DELETE", "/api/sessions/{id}", "Ends a shell", || delete(actions::close_session)),
    route("GET", "/api/sessions/{id}/terminal", "Any terminal", || get(terminal::session)).is_socket().asks(LOOK),
    route("GET", "/api/images", "Images that podbay made", || get(images::list)).gives(shape::<Vec<ImageRow>>),
    route("POST", "/api/images", "Makes the host image", || post(images::host)),
    route("DELETE", "/api/images", "Removes images that nobody uses", || delete(images::prune)),
    route("POST", "/api/up", "Brings the bay to its configuration", || post(actions::up))
        .takes(shape::<Option<UpRequest>>),
    route("POST", "/api/down", "Stops the bay", || post(actions::down)).takes(shape::<DownRequest>),
    route("POST", "/api/isolation", "Takes weaker walls, by the user's word", || post(isolation::allow))
        .takes(shape::<IsolationRequest>),
    route("POST", "/api/reload", "Reads the configuration anew", || post(actions::reload_route))
        .gives(shape::<Reloaded>),
    route("GET", "/api/why/{name}", "Why something is as it is", || get(actions::why)).gives(shape::<Why>),
    route("GET", "/api/stats", "Figures of what runs", || get(actions::stats)).gives(shape::<Vec<StatsRow>>),
    route("GET", "/api/figures", "Figures of the machine and of what runs", || get(figures::figures))
        .gives(shape::<Figures>)
        .asks(OF),
    route("GET", "/api/ports", "Ports, and who has them", || get(ports::ports)).gives(shape::<Vec<PortRow>>),
    route("GET", "/api/doctor", "What would stop a worker", || get(doctor::doctor)).gives(shape::<Vec<Finding>>),
    route("GET", "/api/events", "The bay, then what changes", || get(streams::events)).streams(),
    Route {
        gives: Gives::Text("text/plain"),
        ..route("GET", "/metrics", "Figures for Prometheus", || get(metrics::metrics))
    },
    route("GET", "/openapi.json", "This description", || get(openapi::openapi)).gives(shape::<serde_json::Value>),
    Route {
        private: true,
        ..route("POST", "/api/token", "Puts another token in place; unix socket only", || post(actions::rotate_token))
    },
];

/// The routes that this listener answers.
pub(super) fn router(app: App, with_private: bool) -> Router {
    let answered = ROUTES.iter().filter(|route| with_private || !route.private);
    let router = answered.fold(Router::new(), |router, route| router.route(route.path, (route.serve)()));
    router.fallback(error::no_route).method_not_allowed_fallback(error::no_method).with_state(app)
}
