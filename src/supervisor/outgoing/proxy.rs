//! The proxy: `CONNECT` for what is encrypted, whole URLs for what is not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::asker::Asker;
use super::reach::{self, Refusal};
use super::tunnel;

/// For the head of a question: who opens a connection and says nothing is let go.
const HEAD: Duration = Duration::from_secs(30);
/// The longest head, in bytes.
const LONGEST: usize = 64 * 1024;
/// For the head of the answer of a host outside: models think for minutes.
const ANSWER: Duration = Duration::from_mins(10);

/// What concerns one connection alone.
const OWN: [&str; 7] =
    ["connection", "proxy-connection", "keep-alive", "proxy-authorization", "proxy-authenticate", "te", "upgrade"];

type Body = BoxBody<Bytes, hyper::Error>;

/// Serves one connection, from its first question to its end.
pub async fn serve(stream: TcpStream, from: u16, asker: Arc<Asker>) {
    let service = service_fn(|request| {
        let asker = asker.clone();
        async move { Ok::<_, Infallible>(answer(request, &asker, from).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LONGEST);
    // Whoever breaks off does not want to know why.
    drop(http.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
}

async fn answer(request: Request<Incoming>, asker: &Asker, from: u16) -> Response<Body> {
    if request.method() == Method::CONNECT {
        return through(request, asker, from).await;
    }
    match request.uri().scheme_str() {
        Some("http") => plain(request, asker, from).await,
        _ => said(
            StatusCode::BAD_REQUEST,
            "this is podbay's proxy for what is outside of the bay: it serves nothing itself",
        ),
    }
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("podbay: {text}\n"))).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let status = match refusal {
        Refusal::Shape(_) => StatusCode::BAD_REQUEST,
        Refusal::Near(_) | Refusal::Closed(_) | Refusal::Strayed(..) => StatusCode::FORBIDDEN,
        Refusal::Away(..) => StatusCode::BAD_GATEWAY,
    };
    said(status, &refusal.to_string())
}

/// Whatever is spoken, unseen.
async fn through(request: Request<Incoming>, asker: &Asker, from: u16) -> Response<Body> {
    let Some((host, port)) = request.uri().authority().and_then(|to| Some((to.host().to_owned(), to.port_u16()?)))
    else {
        return said(StatusCode::BAD_REQUEST, "CONNECT needs HOST:PORT");
    };
    let outside = match reach::connect(asker, (&host, port), from).await {
        Ok(outside) => outside,
        Err(refusal) => return refused(&refusal),
    };
    tokio::spawn(async move {
        if let Ok(inside) = hyper::upgrade::on(request).await {
            tunnel::join(TokioIo::new(inside), outside).await;
        }
    });
    Response::new(Empty::new().map_err(|never| match never {}).boxed())
}

/// One question, and its answer: the next one of the same connection may be for another host.
async fn plain(mut request: Request<Incoming>, asker: &Asker, from: u16) -> Response<Body> {
    let Some(to) = request.uri().authority().cloned() else {
        return said(StatusCode::BAD_REQUEST, "this URL names no host");
    };
    let port = to.port_u16().unwrap_or(80);
    let outside = match reach::connect(asker, (to.host(), port), from).await {
        Ok(outside) => outside,
        Err(refusal) => return refused(&refusal),
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let host = HeaderValue::from_str(if to.port().is_some() { to.as_str() } else { to.host() });
    let (Ok(path), Ok(host)) = (path.parse::<Uri>(), host) else {
        return said(StatusCode::BAD_REQUEST, "this URL can't be asked for");
    };
    *request.uri_mut() = path;
    strip(request.headers_mut());
    request.headers_mut().insert(HOST, host);
    match timeout(ANSWER, ask(outside, request)).await {
        Ok(Ok(mut response)) => {
            strip(response.headers_mut());
            response.map(http_body_util::BodyExt::boxed)
        }
        Ok(Err(error)) => said(StatusCode::BAD_GATEWAY, &format!("{to}: {error}")),
        Err(_) => said(StatusCode::GATEWAY_TIMEOUT, &format!("{to} does not answer")),
    }
}

async fn ask(outside: TcpStream, request: Request<Incoming>) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(outside)).await?;
    // Ends with its answer, whose body says what goes wrong.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OWN {
        headers.remove(name);
    }
}
