//! What the API is, as a document: made from the table of routes and the types on the wire.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Gives, ROUTES, Route};
use crate::api::types::ErrorBody;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for route in ROUTES {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(operations) = operations.as_object_mut() {
            operations.insert(route.method.to_ascii_lowercase(), operation(route, &mut generator));
        }
    }
    let error = json!({"description": "What went wrong", "content": {"application/json": {"schema": error}}});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "podbay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The supervisor of a bay of worker containers. On the unix socket nothing is asked; over TCP \
                            everything but /health needs the token.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {"Error": error},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let named = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = named
        .map(|name| {
            let kind = if route.path.starts_with("/api/sessions/") { "integer" } else { "string" };
            json!({"name": name, "in": "path", "required": true, "schema": {"type": kind}})
        })
        .collect();
    parameters.extend(route.asks.iter().map(|ask| {
        json!({"name": ask.name, "in": "query", "required": false, "description": ask.what, "schema": {"type": ask.kind}})
    }));
    let good = match route.gives {
        Gives::Json(shape) => {
            json!({"description": "Done", "content": {"application/json": {"schema": shape(generator)}}})
        }
        Gives::Text(kind) => json!({"description": "Text", "content": {kind: {"schema": {"type": "string"}}}}),
        Gives::Socket => json!({"description": "A WebSocket: binary frames are bytes, text frames are JSON"}),
    };
    let id = format!("{}{}", route.method.to_ascii_lowercase(), route.path.replace(['/', '{', '}', '.'], "_"));
    let mut operation = Map::new();
    let mut put = |key: &str, value: Value| drop(operation.insert(key.to_owned(), value));
    put("summary", route.what.into());
    put("operationId", id.into());
    put("parameters", parameters.into());
    let mut responses = json!({route.status.to_string(): good, "default": {"$ref": "#/components/responses/Error"}});
    if let Some(responses) = responses.as_object_mut().filter(|_| route.tagged) {
        responses.insert("304".to_owned(), json!({"description": "As If-None-Match has it"}));
    }
    put("responses", responses);
    if let Some(shape) = route.takes {
        let schema = shape(generator);
        put("requestBody", json!({"required": true, "content": {"application/json": {"schema": schema}}}));
    }
    if route.path == "/health" {
        put("security", json!([]));
    }
    operation.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All `$ref`s of a document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert!(operation["responses"][route.status.to_string()].is_object(), "{} {}", route.method, route.path);
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 40, "{}", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let spawn = &document["components"]["schemas"]["SpawnRequest"]["properties"];
        for field in ["name", "image", "ports", "volumeName", "pool", "repo", "memory"] {
            assert!(spawn[field].is_object(), "{field}: {spawn}");
        }
        let setup = &document["components"]["schemas"]["SetupRequest"]["properties"];
        assert!(setup["githubToken"].is_object() && setup["envVars"].is_object(), "{setup}");
    }
}
