//! Decodes untrusted paths, queries and bodies into the model's types. A refusal names the field that violates the
//! contract.

use crate::admin::api::Api;
use crate::admin::base::error::ApiError;
use crate::model::{GroupId, IdError, UserId};
use axum::body::Body;
use axum::extract::Query;
use axum::extract::path::Path;
use axum::extract::rejection::{PathRejection, QueryRejection};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::Duration;

/// How much of an oversized body is read and discarded, in multiples of the limit, so that the client can still read
/// the refusal.
const DISCARDED_TIMES: usize = 8;

/// A path's segments, percent-decoded.
pub type PathSegments<T> = Result<Path<T>, PathRejection>;

pub fn segments<T>(segments: PathSegments<T>) -> Result<T, ApiError> {
    segments.map(|Path(inner)| inner).map_err(|_| ApiError::invalid("the path is not percent-encoded UTF-8"))
}

pub fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(inner)| inner).map_err(|error| ApiError::invalid(error.body_text()))
}

pub fn user(what: &str, text: &str) -> Result<UserId, ApiError> {
    UserId::new(text).map_err(|error| not_an_id(what, error))
}

pub fn group(text: &str) -> Result<GroupId, ApiError> {
    GroupId::new(text).map_err(|error| not_an_id("the group's id", error))
}

fn not_an_id(what: &str, error: IdError) -> ApiError {
    ApiError::invalid(format!("{what} {error}"))
}

/// A list of users, sorted and without duplicates, so that equal requests make equal orders.
pub fn users(what: &str, texts: &[String]) -> Result<Vec<UserId>, ApiError> {
    let named = |(at, text): (usize, &String)| user(&format!("{what}[{at}]"), text);
    let mut users = texts.iter().enumerate().map(named).collect::<Result<Vec<_>, _>>()?;
    users.sort_unstable();
    users.dedup();
    Ok(users)
}

/// A JSON body.
pub async fn json<T: DeserializeOwned>(api: &Api, body: Body) -> Result<T, ApiError> {
    let bytes = read(api, body).await?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::invalid(format!("the body is invalid: {error}")))
}

/// One element of a JSON body whose elements are judged each by itself.
pub fn part<T: DeserializeOwned>(raw: &RawValue) -> Result<T, ApiError> {
    serde_json::from_str(raw.get())
        .map_err(|error| ApiError::invalid(format!("this element is not as it should be: {error}")))
}

/// A number of 64 bits in decimal digits.
pub fn decimal(what: &str, text: &str) -> Result<u64, ApiError> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_decimal { text.parse().ok() } else { None };
    number.ok_or_else(|| ApiError::invalid(format!("{what} is not a decimal number of 64 bits")))
}

/// A request without a body: an empty body or an empty object is accepted.
pub async fn nothing(api: &Api, body: Body) -> Result<(), ApiError> {
    let bytes = read(api, body).await?;
    let is_empty = matches!(bytes.trim_ascii(), b"" | b"{}");
    if is_empty { Ok(()) } else { Err(ApiError::invalid("this request has no body")) }
}

/// A request that names a user in its path and has no body.
pub async fn user_alone(api: &Api, path: PathSegments<String>, body: Body) -> Result<UserId, ApiError> {
    let user = user("the user's id", &segments(path)?)?;
    nothing(api, body).await?;
    Ok(user)
}

async fn read(api: &Api, body: Body) -> Result<Vec<u8>, ApiError> {
    let admin = &api.options.admin;
    let whole = tokio::time::timeout(Duration::from_millis(admin.read_ms), read_all(body, admin.body_bytes_max));
    whole.await.map_err(|_elapsed| ApiError::RequestTimeout)?
}

async fn read_all(mut body: Body, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let (mut bytes, mut discarded) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::invalid("the body ended too early"))?;
        let Ok(data) = frame.into_data() else { continue };
        if discarded == 0 && bytes.len() + data.len() <= bytes_max {
            bytes.extend_from_slice(&data);
            continue;
        }
        discarded += bytes.len() + data.len();
        bytes = Vec::new();
        if discarded > bytes_max.saturating_mul(DISCARDED_TIMES) {
            break;
        }
    }
    if discarded == 0 { Ok(bytes) } else { Err(ApiError::PayloadTooLarge { bytes_max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_users_is_in_order_and_names_each_once() {
        let list = |texts: &[&str]| users("members", &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let sorted = list(&["zoe", "bob", "zoe"]).expect("well formed");
        assert_eq!(sorted.iter().map(UserId::as_str).collect::<Vec<_>>(), ["bob", "zoe"]);
        assert_eq!(list(&["bob", ""]).expect_err("no id").to_string(), "members[1] is empty");
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_limit_and_no_further() {
        let read = |bytes: usize| read_all(Body::from(vec![b'x'; bytes]), 10);
        assert_eq!(read(10).await.expect("it fits").len(), 10);
        assert_eq!(read(11).await, Err(ApiError::PayloadTooLarge { bytes_max: 10 }));
        assert_eq!(read(1_000).await, Err(ApiError::PayloadTooLarge { bytes_max: 10 }));
    }
}
