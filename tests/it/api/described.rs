//! `/metrics` and `/openapi.json`: what is told of the API, and whether our own client keeps to it.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Uri};
use axum::routing::any;
use podbay::api::client::{Client, LogsRequest};
use podbay::api::types::{
    DownRequest, ExecRequest, PoolOrder, PoolRequest, SendRequest, ServiceVerb, SessionRequest, SpawnRequest, Verb,
};
use podbay::bay::metric::{ALL, Kind};
use podbay::bay::session::{SessionId, TermSize};
use serde_json::Value;
use tokio::net::UnixListener;

use super::open::Open;

#[test]
fn the_figures_are_prometheus_text() {
    let open = Open::with("", "[[template]]\nname = \"web\"\ncommand = [\"sh\"]\npool = { target = 0 }\n");
    open.den.spawn("fox");
    let answer = open.get("/metrics");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let page = &answer.body;
    for metric in ALL {
        let (name, kind) = (metric.name, metric.kind.as_str());
        assert!(page.contains(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help)), "{name}\n{page}");
    }
    for line in [
        "podbay_workers{state=\"running\"} 1",
        "podbay_workers{state=\"cut-off\"} 0",
        "podbay_engine_up 1",
        "podbay_pool_target{template=\"web\"} 0",
        "podbay_pool_claim_seconds_count{template=\"web\"} 0",
        "podbay_engine_call_seconds_count{call=\"create\"} 2",
        "podbay_engine_errors_total{call=\"create\"} 0",
        "podbay_alert_firing{alert=\"PodbayEngineAway\"} 0",
    ] {
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
    // Nothing is told twice, and all of it belongs to a family.
    let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let series: BTreeSet<&str> = samples.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(series.len(), samples.len());
    for (name, value) in samples.iter().map(|line| line.rsplit_once(' ').unwrap()) {
        value.parse::<f64>().unwrap();
        let name = name.split('{').next().unwrap();
        let of = |metric: &&podbay::bay::metric::Metric| {
            let ends: &[&str] = if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
            ends.iter().any(|end| name == format!("{}{end}", metric.name))
        };
        assert_eq!(ALL.iter().filter(of).count(), 1, "{name}");
    }
    let bucket = "podbay_engine_call_seconds_bucket{call=\"create\",le=";
    let counts: Vec<f64> = samples
        .iter()
        .filter(|line| line.starts_with(bucket))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(counts.len() > 10 && counts.is_sorted() && counts.last() == Some(&2.0), "{counts:?}");
}

#[test]
fn the_figures_can_be_turned_off() {
    let open = Open::with("metrics = false", "");
    assert_eq!(open.get("/metrics").status, 404);
}

/// Whether a document has a route for what was asked.
fn describes(document: &Value, method: &str, path: &str, query: &str) -> Result<(), String> {
    let asked: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == asked.len() && parts.iter().zip(&asked).all(|(part, word)| part.starts_with('{') || part == word)
    };
    let operations = document["paths"].as_object().unwrap().iter().filter(|(template, _)| fits(template));
    let operation =
        operations.map(|(_, operations)| &operations[method.to_lowercase()]).find(|operation| operation.is_object());
    let operation = operation.ok_or_else(|| format!("{method} {path} is not described"))?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap();
        let known = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|known| known["name"] == name && known["in"] == "query");
        if !known {
            return Err(format!("{method} {path}: ?{name} is not described"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_asks_for_nothing_that_is_not_described() {
    let open = tokio::task::block_in_place(Open::new);
    let document = tokio::task::block_in_place(|| open.get("/openapi.json").json());
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let (seen, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let note = move |method: Method, uri: Uri, _: Bytes| async move {
        seen.send((method.to_string(), uri.path().to_owned(), uri.query().unwrap_or_default().to_owned())).unwrap();
        axum::Json(serde_json::json!({"error": {"code": "x", "message": "x"}}))
    };
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(note))).await.unwrap() });
    ask_everything(&Client::new(dir.path().join("s"))).await;
    server.abort();
    let mut count = 0;
    while let Ok((method, path, query)) = asked.try_recv() {
        describes(&document, &method, &path, &query).unwrap();
        count += 1;
    }
    assert!(count > 35, "{count}");
    assert!(describes(&document, "GET", "/api/nothing", "").is_err());
    assert!(describes(&document, "DELETE", "/api/containers/fox", "burn=true").is_err());
    tokio::task::block_in_place(|| drop(open));
}

/// Each of the client's questions once; what comes back does not matter here.
async fn ask_everything(client: &Client) {
    let size = Some(TermSize::default());
    let logs = LogsRequest { follow: true, tail: Some(1), since: Some(1), after: None };
    drop(client.health().await);
    drop(client.reload().await);
    drop(client.rotate_token().await);
    drop(client.status().await);
    drop(client.containers().await);
    drop(client.ports().await);
    drop(client.container("fox").await);
    drop(client.spawn(&SpawnRequest::default()).await);
    for verb in [Verb::Start, Verb::Stop, Verb::Restart, Verb::Refresh, Verb::Remove, Verb::Discard] {
        drop(client.act("fox", verb).await);
    }
    drop(client.pool().await);
    drop(client.order_pool(&PoolRequest { template: None, order: PoolOrder::Drain }).await);
    drop(client.unsaved("fox").await);
    drop(client.images().await);
    drop(client.build_host_image().await);
    drop(client.prune_images().await);
    drop(client.up().await);
    drop(client.up_gently().await);
    drop(client.down(DownRequest::default()).await);
    drop(client.why("fox").await);
    drop(client.stats().await);
    drop(client.figures(&["fox".to_owned()]).await);
    drop(client.doctor().await);
    drop(client.events().await);
    drop(client.logs("fox", &logs).await);
    drop(client.send("fox", &SendRequest::default()).await);
    drop(client.services().await);
    for verb in [ServiceVerb::Start, ServiceVerb::Stop, ServiceVerb::Restart] {
        drop(client.service("brain", verb).await);
    }
    drop(client.service_logs("brain", &logs).await);
    drop(client.sessions().await);
    drop(client.open_session("fox", &SessionRequest::default()).await);
    drop(client.close_session(SessionId(1)).await);
    drop(client.main_terminal_at("fox", size).await);
    drop(client.terminal_at(SessionId(1), size).await);
    drop(client.exec("fox", &ExecRequest::default()).await);
}

#[test]
fn the_examples_are_printed_and_the_status_has_alerts() {
    let open = Open::new();
    let events = open.den.ok(&["metrics", "rules"]);
    assert!(events.contains("alert: PodbayServiceDown"), "{events}");
    let status = open.get("/api/status").json();
    assert!(status["alerts"].is_array(), "{status}");
    let dashboard: Value = serde_json::from_str(&open.den.ok(&["metrics", "dashboard"])).unwrap();
    assert_eq!(dashboard["panels"].as_array().unwrap().len(), ALL.len());
}
