//! The table of routes, and the steps of every request: checking the token, counting the response.

use crate::admin::api::Api;
use crate::admin::base::browsers::{check_host, check_site};
use crate::admin::base::connections::Caller;
use crate::admin::base::error::ApiError;
use crate::admin::events::stream;
use crate::admin::messages::{reading, sending};
use crate::admin::people::{devices, erasure, export, groups, profiles, sessions, users};
use crate::admin::watch::{drain, health, metrics};
use crate::admin::webhooks::handlers as webhooks;
use crate::server::MetricsAccess;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub struct Route {
    pub method: Method,
    pub path: &'static str,
    access: Access,
    handler: fn() -> MethodRouter<Arc<Api>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Token,
    Everybody,
    /// Decided by `MetricsAccess`.
    Metrics,
}

const fn route(method: Method, path: &'static str, access: Access, handler: fn() -> MethodRouter<Arc<Api>>) -> Route {
    Route { method, path, access, handler }
}

/// `proto/admin.openapi.json` describes exactly these routes.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    route(Method::POST, "/v1/groups", Access::Token, || post(groups::create)),
    route(Method::GET, "/v1/groups/{group}", Access::Token, || get(groups::show)),
    route(Method::PATCH, "/v1/groups/{group}", Access::Token, || patch(profiles::change_group)),
    route(Method::DELETE, "/v1/groups/{group}", Access::Token, || delete(groups::dissolve)),
    route(Method::POST, "/v1/groups/{group}/members", Access::Token, || post(groups::change_members)),
    route(Method::GET, "/v1/groups/{group}/requests", Access::Token, || get(groups::requests)),
    route(Method::POST, "/v1/groups/{group}/requests/{user}", Access::Token, || post(groups::answer_request)),
    route(Method::PUT, "/v1/groups/{group}/members/{user}", Access::Token, || put(groups::change_member)),
    route(Method::GET, "/v1/users/{user}", Access::Token, || get(users::show)),
    route(Method::PUT, "/v1/users/{user}", Access::Token, || put(users::know)),
    route(Method::DELETE, "/v1/users/{user}", Access::Token, || delete(erasure::erase)),
    route(Method::GET, "/v1/users/{user}/export", Access::Token, || get(export::export)),
    route(Method::GET, "/v1/users/{user}/profile", Access::Token, || get(profiles::show_user)),
    route(Method::PUT, "/v1/users/{user}/profile", Access::Token, || put(profiles::set_user)),
    route(Method::GET, "/v1/users/{user}/devices", Access::Token, || get(devices::list)),
    route(Method::PUT, "/v1/users/{user}/devices/{device}", Access::Token, || put(devices::register)),
    route(Method::DELETE, "/v1/users/{user}/devices/{device}", Access::Token, || delete(devices::unregister)),
    route(Method::PUT, "/v1/users/{user}/blocks/{other}", Access::Token, || put(users::block)),
    route(Method::DELETE, "/v1/users/{user}/blocks/{other}", Access::Token, || delete(users::unblock)),
    route(Method::PUT, "/v1/users/{user}/disabled", Access::Token, || put(users::disable)),
    route(Method::DELETE, "/v1/users/{user}/disabled", Access::Token, || delete(users::enable)),
    route(Method::POST, "/v1/users/{user}/tokens/revoke", Access::Token, || post(users::revoke_tokens)),
    route(Method::POST, "/v1/messages", Access::Token, || post(sending::send)),
    route(Method::POST, "/v1/messages/batch", Access::Token, || post(sending::send_batch)),
    route(Method::DELETE, "/v1/messages/{message}", Access::Token, || delete(sending::revoke)),
    route(Method::GET, "/v1/events", Access::Token, || get(stream::follow)),
    route(Method::GET, "/v1/users", Access::Token, || get(reading::list_users)),
    route(Method::GET, "/v1/groups", Access::Token, || get(reading::list_groups)),
    route(Method::GET, "/v1/users/{user}/inbox", Access::Token, || get(reading::inbox)),
    route(Method::GET, "/v1/users/{user}/conversations", Access::Token, || get(reading::conversations)),
    route(Method::GET, "/v1/users/{user}/history/{other}", Access::Token, || get(reading::pair_history)),
    route(Method::GET, "/v1/groups/{group}/history", Access::Token, || get(reading::group_history)),
    route(Method::GET, "/v1/users/{user}/sessions", Access::Token, || get(sessions::list)),
    route(Method::DELETE, "/v1/users/{user}/sessions", Access::Token, || delete(sessions::end_all)),
    route(Method::DELETE, "/v1/users/{user}/sessions/{session}", Access::Token, || delete(sessions::end_one)),
    route(Method::POST, "/v1/presence", Access::Token, || post(sessions::presence)),
    route(Method::POST, "/v1/tokens", Access::Token, || post(sessions::mint_token)),
    route(Method::GET, "/v1/stats", Access::Token, || get(health::stats)),
    route(Method::GET, "/v1/webhooks", Access::Token, || get(webhooks::list)),
    route(Method::POST, "/v1/webhooks/{webhook}/test", Access::Token, || post(webhooks::test)),
    route(Method::POST, "/v1/webhooks/{webhook}/replay", Access::Token, || post(webhooks::replay)),
    route(Method::POST, "/v1/drain", Access::Token, || post(drain::drain)),
    route(Method::GET, "/v1/openapi.json", Access::Token, || get(describe)),
    route(Method::GET, "/metrics", Access::Metrics, || get(metrics::show)),
    route(Method::GET, "/healthz", Access::Everybody, || get(health::live)),
    route(Method::GET, "/readyz", Access::Token, || get(health::ready)),
];

const DESCRIPTION: &str = include_str!("../../proto/admin.openapi.json");

pub fn router(api: Arc<Api>) -> Router {
    let routed = ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    routed
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(from_fn_with_state(api.clone(), serve))
        .with_state(api)
}

async fn serve(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if api.token.is_borne_by(request.headers())
        && let Some(caller) = request.extensions().get::<Arc<Caller>>()
    {
        caller.has_borne_token();
    }
    let began = Instant::now();
    let response = match api.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    api.count(response.status(), began.elapsed());
    response
}

async fn describe() -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

impl Api {
    /// Whether the request may be served. Without the token even the existence of a path is not disclosed.
    fn check(&self, request: &Request) -> Result<(), ApiError> {
        check_site(request.method(), request.headers())?;
        if self.token.is_borne_by(request.headers()) {
            return Ok(());
        }
        check_host(request.uri(), request.headers(), &self.options.admin.allowed_hosts)?;
        let named = ROUTES.iter().find(|route| route.path == request.uri().path() && route.method == request.method());
        let is_open = match named.map_or(Access::Token, |route| route.access) {
            Access::Everybody => true,
            Access::Metrics => self.options.admin.metrics == MetricsAccess::Everybody,
            Access::Token => false,
        };
        if is_open { Ok(()) } else { Err(ApiError::Unauthorized) }
    }

    fn count(&self, status: StatusCode, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.requests_us.lock().unwrap_or_else(PoisonError::into_inner).note(took_us);
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered.entry(status.as_u16()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::base::error::CODES;
    use crate::model::{Refusal, Role};
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn description() -> Value {
        serde_json::from_str(DESCRIPTION).expect("it is JSON")
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let description = description();
        let paths = description["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("methods").keys().filter(|key| *key != "parameters");
                methods.map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let routed = ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_string()));
        assert_eq!(described, routed.collect());
    }

    #[test]
    fn the_description_says_which_routes_need_no_token_and_which_parameters_a_path_has() {
        let description = description();
        for route in ROUTES {
            let path = &description["paths"][route.path];
            let operation = &path[route.method.as_str().to_lowercase()];
            let is_open = operation["security"] == serde_json::json!([]);
            assert_eq!(is_open, route.access == Access::Everybody, "{}", route.path);
            let in_path = route.path.matches('{').count();
            let described = path["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(described, in_path, "{}", route.path);
            assert!(operation["operationId"].is_string() && operation["responses"].is_object(), "{}", route.path);
        }
    }

    #[test]
    fn the_description_lists_every_code_and_role() {
        let schemas = &description()["components"]["schemas"];
        let listed = |value: &Value| -> BTreeSet<String> {
            value.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
        };
        let codes = Refusal::ALL.map(Refusal::name).into_iter().chain(CODES).map(str::to_owned).collect();
        assert_eq!(listed(&schemas["Error"]["properties"]["code"]["enum"]), codes);
        let roles = Role::ALL.map(Role::name).map(str::to_owned).into();
        assert_eq!(listed(&schemas["Role"]["enum"]), roles);
    }

    #[test]
    fn every_reference_in_the_description_leads_somewhere() {
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
        let (description, mut found) = (description(), Vec::new());
        references(&description, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("it stays inside");
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }
}
