//! Requests over the dialer: a pool of kept connections for calls, and bollard on the same pool.
//!
//! Kept connections are cheaper than one for each request: over ssh they save a login a call, over a unix socket a
//! third of an inspect (0.42 ms instead of 0.64 ms). A request that changes something is only ever repeated when
//! nothing of it was sent; a GET once more when its connection ended, because an engine may close a kept one at any
//! time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Either, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::dial::Connector;
use super::endpoint::Endpoint;
use super::error;
use crate::engine::EngineError;

/// Answers are read up to here; a list of 500 containers has about 1 MiB.
const ANSWER_LIMIT: usize = 64 << 20;

/// Idle connections are closed before an engine's own limit of minutes.
const IDLE: Duration = Duration::from_secs(20);
/// A connection reads so much at once.
const READ: usize = 16 << 10;

/// The body of a request, in bollard's shape.
pub type Body = Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, io::Error>> + Send>>>>;

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Connecting, and the answer's head, of a call that streams.
    pub head: Duration,
    /// A list or an inspect.
    pub read: Duration,
    /// Create, start, remove, rename, import.
    pub act: Duration,
    /// A stop, beyond its grace.
    pub stop: Duration,
    /// A ping.
    pub ping: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            read: Duration::from_secs(5),
            act: Duration::from_secs(30),
            stop: Duration::from_secs(10),
            ping: Duration::from_secs(2),
        }
    }
}

/// The engine's own error body.
#[derive(Deserialize)]
struct Complaint {
    message: Option<String>,
    // Podman's compatible API has both.
    cause: Option<String>,
}

/// Requests to one endpoint.
#[derive(Clone)]
pub struct Wire {
    /// Where they go.
    pub endpoint: Arc<Endpoint>,
    client: Client<Connector, Body>,
}

impl Wire {
    /// Opens nothing yet.
    pub fn new(endpoint: Endpoint) -> Self {
        let endpoint = Arc::new(endpoint);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(8)
            // Left to itself, each connection that ever carried a long list keeps a buffer of 400 KB.
            .http1_read_buf_exact_size(READ)
            .build(Connector(endpoint.clone()));
        Self { endpoint, client }
    }

    /// bollard on this pool, its paths under the negotiated version (by itself it sends none).
    pub fn bollard(&self, minor: u32) -> Result<bollard::Docker, EngineError> {
        let client = self.client.clone();
        let transport = move |request: bollard::BollardRequest| {
            let client = client.clone();
            async move {
                let (mut head, body) = request.into_parts();
                let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
                head.uri = uri(&under(minor, path))?;
                client.request(Request::from_parts(head, body)).await.map_err(bollard::errors::Error::from)
            }
        };
        // Deadlines are ours, one for each kind of call.
        let never = u64::from(u32::MAX);
        bollard::Docker::connect_with_custom_transport(
            transport,
            Some("http://engine"),
            never,
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|error| error::of_bollard(&self.endpoint, "set up the client", &error))
    }

    /// Sends a request and waits for the head of a good answer. Without a deadline.
    pub async fn send(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, EngineError> {
        let wrong = |error: http::Error| error::unreadable(what, &error);
        let request = || {
            let mut request = Request::builder().method(method.clone()).uri(uri(path)?);
            if !body.is_empty() {
                request = request.header(http::header::CONTENT_TYPE, "application/json");
            }
            request.body(Either::Left(Full::new(body.clone())))
        };
        let mut answer = self.client.request(request().map_err(wrong)?).await;
        if method == Method::GET && answer.as_ref().is_err_and(|error| !error.is_connect()) {
            answer = self.client.request(request().map_err(wrong)?).await;
        }
        let answer = answer.map_err(|error| error::of_client(&self.endpoint, what, &error))?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        let text = self.body(what, answer).await?;
        Err(error::of_status(what, status.as_u16(), &complaint(&text)))
    }

    /// A GET, whole. Without a deadline.
    pub async fn get(&self, what: &str, path: &str) -> Result<Bytes, EngineError> {
        let answer = self.send(what, Method::GET, path, Bytes::new()).await?;
        self.body(what, answer).await
    }

    /// A GET whose answer is JSON. Without a deadline.
    pub async fn json<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, EngineError> {
        let answer = self.send(what, Method::GET, path, Bytes::new()).await?;
        let pieces = self.collect(what, answer).await?.aggregate();
        // Read in its pieces: a list of all containers is long, and asked for again and again.
        serde_json::from_reader(pieces.reader()).map_err(|error| error::unreadable(what, &error))
    }

    async fn body(&self, what: &str, answer: Response<Incoming>) -> Result<Bytes, EngineError> {
        self.collect(what, answer).await.map(Collected::to_bytes)
    }

    async fn collect(&self, what: &str, answer: Response<Incoming>) -> Result<Collected<Bytes>, EngineError> {
        let whole = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
        whole.map_err(|error| error::broken(&self.endpoint, what, &*error))
    }
}

/// The engine's words in an error's body, or the body itself.
pub fn complaint(body: &[u8]) -> String {
    let parsed = serde_json::from_slice::<Complaint>(body).ok();
    let words = parsed.and_then(|complaint| complaint.message.or(complaint.cause));
    words.unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(1000).collect())
}

/// A path under a version of the API.
pub fn under(minor: u32, path: &str) -> String {
    format!("/v1.{minor}{path}")
}

fn uri(path: &str) -> Result<http::Uri, http::Error> {
    http::Uri::builder().scheme("http").authority("engine").path_and_query(path).build()
}

/// A text as the value of a query.
pub fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
