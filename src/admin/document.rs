//! The OpenAPI 3.1 document, made of the table of routes and of the signatures of their handlers. `proto/admin.openapi.json`
//! is a copy of it.

use crate::admin::base::contract::{RouteContract, Schemas, on_one_line};
use crate::admin::base::error::ErrorBody;
use crate::admin::table::{Access, ROUTES, Route};
use crate::admin::webhooks::handlers::TestEvent;
use crate::server::event::log_event::EventBody;
use serde_json::{Map, Value, json};

/// The document, as it is served and as its copy has it.
pub fn text() -> String {
    let text = serde_json::to_string_pretty(&document()).expect("the document has text keys");
    text + "\n"
}

const ABOUT: &str = "Messages, groups, block lists, users and their accounts, as an operator's backend drives them. Every \
    request but GET /healthz bears the token of DATA_DIR/admin-token, or that of DATA_DIR/read-token, which changes nothing. \
    Every answer but the metrics, the event stream and \
    exports is JSON; unknown members of a body are refused. What is answered with 503 was not done; after a 504 it is \
    unknown whether it was. All requests can be sent again: the second one changes nothing (but revokeTokens, which revokes \
    what was issued meanwhile) and is answered like the first. Ids are 1 to 64 bytes of UTF-8 without control characters, \
    percent-encoded in paths. Times are Unix milliseconds.";

/// Refusals by their status: a name in the document, and what the status says.
const REFUSALS: [(u16, &str, &str); 15] = [
    (400, "Invalid", "The path, the query or the body is not as described here, or makes no sense: `invalid_param`."),
    (401, "Unauthorized", "The token is missing or wrong: `unauthorized`."),
    (
        403,
        "Forbidden",
        "`permission_denied`, `account_disabled`, `denied` (with `hook_code`), `cross_site`, `read_only`.",
    ),
    (404, "NotFound", "`conversation_not_exist`, `user_not_exist`; `not_found`: there is no webhook of that name."),
    (408, "RequestTimeout", "The body did not arrive in time: `request_timeout`."),
    (
        409,
        "Conflict",
        "`group_exists`: with another owner or other members. `group_full`, `too_many_groups`, \
         `too_many_join_requests`. \
         `client_message_id_reused`: for another message. `not_awaited`: no server waits for the directory.",
    ),
    (
        410,
        "Gone",
        "`cursor_expired`: retention has dropped what stood after the cursor of an event stream, or the server has been \
         started anew since the first page of a list. `cursor_superseded`: the logs were rewritten, restored or cut since. \
         Begin without the cursor, or with after=begin.",
    ),
    (
        413,
        "TooLarge",
        "The body is over admin.body_bytes_max: `payload_too_large`. A message is over its limit: `message_too_large`.",
    ),
    (421, "Misdirected", "The request has no token, and its Host is not one of this API's: `wrong_host`."),
    (
        429,
        "TooFast",
        "Too much of the group is on its way: `group_too_busy`; `too_many_conversations`, `daily_share_used`, \
         `too_many_logins`.",
    ),
    (
        500,
        "Damaged",
        "`storage_damaged`, `unreadable`: what the request needs cannot be read from the disk. `internal`.",
    ),
    (
        503,
        "Unavailable",
        "`busy`, `shard_busy`, `hook_failed`, `starting`, `stopping`, `stuck`: nothing was done. Try again later.",
    ),
    (504, "Timeout", "`timeout`: whether it was done, or will be, is unknown. Retrying is safe."),
    (507, "Full", "The disk is full and nothing was stored: `storage_full`."),
    (405, "MethodNotAllowed", "`method_not_allowed`."),
];

fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for route in ROUTES {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.to_lowercase()] = route.described(&mut schemas);
    }
    let error = schemas.given::<ErrorBody>();
    let refusals = REFUSALS.map(|(status, name, what)| (name.to_owned(), refusal((status, what), &error)));
    let delivery = delivery(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {"title": "mushan, the operator's HTTP API", "version": "1", "description": ABOUT},
        "servers": [{"url": "http://127.0.0.1:8080"}],
        "security": [{"token": []}],
        "paths": paths,
        "webhooks": {"events": {"post": delivery}},
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The 64 hex digits of DATA_DIR/admin-token or DATA_DIR/read-token.",
                },
            },
            "responses": Map::from_iter(refusals),
            "schemas": schemas.into_named(),
        },
    })
}

fn refusal((status, what): (u16, &str), error: &Value) -> Value {
    let mut response = json!({"description": what, "content": {"application/json": {"schema": error}}});
    let header = match status {
        401 => Some(("WWW-Authenticate", "string")),
        429 | 503 => Some(("Retry-After", "integer")),
        _ => None,
    };
    if let Some((name, kind)) = header {
        response["headers"] = json!({name: {"schema": {"type": kind}}});
    }
    response
}

/// What a receiver of a webhook gets.
fn delivery(schemas: &mut Schemas) -> Value {
    let (event, test) = (schemas.given::<EventBody<'_>>(), schemas.given::<TestEvent<'_>>());
    let events = json!({"type": "array", "minItems": 1, "items": {"anyOf": [event, test]}});
    json!({
        "summary": "Events, POSTed to a webhook's URL.",
        "description": "With the headers webhook-id, webhook-timestamp and webhook-signature of the Standard Webhooks \
            specification.",
        "security": [],
        "requestBody": {"required": true, "content": {"application/json": {"schema": events}}},
        "responses": {"2XX": {"description": "The receiver has the events."}},
    })
}

impl Route {
    fn described(&self, schemas: &mut Schemas) -> Value {
        let mut contract = RouteContract::new(schemas);
        ((self.handler)(self.method).describe)(&mut contract);
        contract.refuses(self.refusals);
        contract.refuses(&[421]);
        if self.method != "GET" {
            contract.refuses(&[403]);
        }
        if self.access != Access::Everybody {
            contract.refuses(&[401]);
        }
        let answers = contract
            .answers
            .iter()
            .map(|(status, content)| (status.to_string(), json!({"description": self.answer, "content": content})));
        let refusals = contract.refusals.iter().map(|status| {
            let named = REFUSALS.iter().find(|(known, ..)| known == status);
            let (_, name, _) = named.expect("the table of routes names statuses that refusals have");
            (status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}))
        });
        let responses: Map<String, Value> = answers.chain(refusals).collect();
        let mut operation = json!({"operationId": self.id, "summary": self.summary, "responses": responses});
        if !self.details.is_empty() {
            operation["description"] = self.details.into();
        }
        if self.access == Access::Everybody {
            operation["security"] = json!([]);
        }
        if !contract.parameters.is_empty() {
            operation["parameters"] = contract.parameters.into();
        }
        if let Some(body) = contract.body {
            operation["requestBody"] = body;
        }
        on_one_line(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// With `MUSHAN_WRITE_OPENAPI=1` it writes the copy.
    #[test]
    fn the_committed_document_is_the_one_that_the_code_makes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/admin.openapi.json");
        if std::env::var_os("MUSHAN_WRITE_OPENAPI").is_some() {
            std::fs::write(&path, text()).expect("the copy is written");
        }
        let committed = std::fs::read_to_string(&path).expect("the copy is there");
        let committed: Value = serde_json::from_str(&committed).expect("it is JSON");
        let remedy = "MUSHAN_WRITE_OPENAPI=1 cargo test --lib admin::document";
        assert!(committed == document(), "proto/admin.openapi.json is not what the code makes: {remedy}");
    }

    #[test]
    fn every_route_is_described_once_under_a_name_of_its_own() {
        let document = document();
        let ids: BTreeSet<&str> = ROUTES.iter().map(|route| route.id).collect();
        assert_eq!(ids.len(), ROUTES.len());
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_lowercase()];
            assert_eq!(operation["operationId"], route.id, "{} {}", route.method, route.path);
        }
        let methods = document["paths"].as_object().expect("paths").values();
        let described: usize = methods.map(|methods| methods.as_object().expect("methods").len()).sum();
        assert_eq!(described, ROUTES.len());
    }

    #[test]
    fn the_segments_of_a_path_are_those_that_its_handler_takes() {
        let document = document();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_lowercase()];
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let taken: Vec<&str> =
                parameters.filter(|it| it["in"] == "path").filter_map(|it| it["name"].as_str()).collect();
            let named: Vec<&str> =
                route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(taken, named, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let (document, mut found) = (document(), Vec::new());
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("it stays inside");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
