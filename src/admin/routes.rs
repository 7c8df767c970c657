//! The router, and the steps of every request: finding out who asks and whether that is allowed, the audit trail,
//! counting the response.

use crate::admin::api::Api;
use crate::admin::base::browsers::{check_host, check_origin, check_site};
use crate::admin::base::connections::Caller;
use crate::admin::base::error::ApiError;
use crate::admin::base::identity::Identity;
use crate::admin::base::token::OperatorRole;
use crate::admin::console::pages::{self, CONSOLE_PATH};
use crate::admin::console::trail::RecordedRequest;
use crate::admin::console::trail_page::{is_change, is_recorded};
use crate::admin::table::{Access, ROUTES, Route};
use crate::server::{MetricsAccess, wall_now};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub fn router(api: Arc<Api>) -> Router {
    let served =
        |router: Router<Arc<Api>>, route: &Route| router.route(route.path, (route.handler)(route.method).router);
    ROUTES
        .iter()
        .fold(Router::new(), served)
        .route("/", get(pages::to_console))
        .route("/console", get(pages::to_console))
        .route(CONSOLE_PATH, get(pages::index))
        .route("/console/{*name}", get(pages::named))
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(from_fn_with_state(api.clone(), serve))
        .with_state(api)
}

async fn serve(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let caller = request.extensions().get::<Arc<Caller>>().cloned();
    let identity = api.identify(&request, began);
    if identity != Identity::Nobody
        && let Some(caller) = &caller
    {
        caller.has_borne_token();
    }
    let response = match api.check(&request, &identity) {
        Ok(()) => {
            request.extensions_mut().insert(identity.clone());
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    };
    let operation = Route::of(method.as_str(), &path).map(|route| route.id);
    if let Some(caller) = caller
        && is_recorded(&identity, method.as_str(), operation)
    {
        // A login tells who has logged in.
        let identity = response.extensions().get().unwrap_or(&identity);
        let status = response.status().as_u16();
        let answered =
            RecordedRequest { identity, address: caller.address, method: method.as_str(), path: &path, status };
        api.trail.record(&answered, wall_now());
    }
    api.count(response.status(), began.elapsed());
    response
}

impl Api {
    /// Who asks. A cookie counts only where no token is borne.
    fn identify(&self, request: &Request, now: Instant) -> Identity {
        match self.token.role_borne_by(request.headers()) {
            Some(role) => Identity::Token(role),
            None => self.logins.find(request.headers(), now).map_or(Identity::Nobody, Identity::Console),
        }
    }

    /// Whether the request may be served. Without the token even the existence of a path is not disclosed.
    fn check(&self, request: &Request, identity: &Identity) -> Result<(), ApiError> {
        let (method, headers) = (request.method(), request.headers());
        check_site(method, headers)?;
        if !matches!(identity, Identity::Token(_)) {
            check_host(request.uri(), headers, &self.options.admin.allowed_hosts)?;
        }
        let path = request.uri().path();
        let is_page = matches!(path, "/" | "/console") || path.starts_with(CONSOLE_PATH);
        let is_read = matches!(method.as_str(), "GET" | "HEAD");
        if is_page && is_read {
            return Ok(());
        }
        if matches!(identity, Identity::Console(_)) {
            // To a page of another origin the cookie opens nothing: not even what it is good for is told.
            let refused = |refused| if is_read { ApiError::Unauthorized } else { refused };
            check_origin(method, headers).map_err(refused)?;
        }
        let named = ROUTES.iter().find(|route| route.path == path && route.method == method.as_str());
        let is_open = match named.map_or(Access::Token, |route| route.access) {
            Access::Everybody => true,
            Access::Metrics => self.options.admin.metrics == MetricsAccess::Everybody,
            Access::Token => false,
        };
        let operation = named.map(|route| route.id);
        match identity.role() {
            _ if is_open => Ok(()),
            None => Err(ApiError::Unauthorized),
            Some(OperatorRole::Full) => Ok(()),
            Some(OperatorRole::ReadOnly) if operation == Some("logOut") => Ok(()),
            Some(OperatorRole::ReadOnly) if is_change(method.as_str(), operation) => Err(ApiError::ReadOnly),
            Some(OperatorRole::ReadOnly) => Ok(()),
        }
    }

    fn count(&self, status: StatusCode, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.requests_us.lock().unwrap_or_else(PoisonError::into_inner).note(took_us);
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered.entry(status.as_u16()).or_default() += 1;
    }
}
