//! `GET /v1/openapi.json`: the document of the API.

use crate::admin::api::Api;
use crate::admin::base::contract::{Answering, RouteContract};
use crate::admin::base::error::ApiError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The document as a response.
pub struct DocumentText(String);

impl IntoResponse for DocumentText {
    fn into_response(self) -> Response {
        (StatusCode::OK, [(CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

impl Answering for DocumentText {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<Map<String, Value>>(200, "application/json");
    }
}

pub async fn describe(State(api): State<Arc<Api>>) -> Result<DocumentText, ApiError> {
    Ok(DocumentText(api.document.clone()))
}
