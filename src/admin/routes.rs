//! The router, and the steps of every request: checking the token, counting the response.

use crate::admin::api::Api;
use crate::admin::base::browsers::{check_host, check_site};
use crate::admin::base::connections::Caller;
use crate::admin::base::error::ApiError;
use crate::admin::table::{Access, ROUTES, Route};
use crate::server::MetricsAccess;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub fn router(api: Arc<Api>) -> Router {
    let served =
        |router: Router<Arc<Api>>, route: &Route| router.route(route.path, (route.handler)(route.method).router);
    ROUTES
        .iter()
        .fold(Router::new(), served)
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

impl Api {
    /// Whether the request may be served. Without the token even the existence of a path is not disclosed.
    fn check(&self, request: &Request) -> Result<(), ApiError> {
        check_site(request.method(), request.headers())?;
        if self.token.is_borne_by(request.headers()) {
            return Ok(());
        }
        check_host(request.uri(), request.headers(), &self.options.admin.allowed_hosts)?;
        let (path, method) = (request.uri().path(), request.method().as_str());
        let named = ROUTES.iter().find(|route| route.path == path && route.method == method);
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
