//! Decodes untrusted paths, queries and bodies into the model's types. A refusal names the field that violates the
//! contract.

use crate::admin::api::Api;
use crate::admin::base::contract::{RequestPart, RouteContract};
use crate::admin::base::error::ApiError;
use crate::model::{GroupId, IdError, MessageId, SessionId, UserId};
use crate::server::event::schema::{IdSchema, MessageIdSchema, SessionIdSchema};
use axum::body::Body;
use axum::extract::path::Path;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// How much of an oversized body is read and discarded, in multiples of the limit, so that the client can still read
/// the refusal.
const DISCARDED_TIMES: usize = 8;

/// A segment of a path.
pub trait PathPart: Sized {
    /// Its name in the table of routes.
    const NAME: &'static str;
    type Schema: JsonSchema;

    fn read(text: &str) -> Result<Self, ApiError>;
}

impl PathPart for UserId {
    const NAME: &'static str = "user";
    type Schema = IdSchema;

    fn read(text: &str) -> Result<Self, ApiError> {
        user("the user's id", text)
    }
}

/// The other of two users.
pub struct OtherUser(pub UserId);

impl PathPart for OtherUser {
    const NAME: &'static str = "other";
    type Schema = IdSchema;

    fn read(text: &str) -> Result<Self, ApiError> {
        user("the other user's id", text).map(Self)
    }
}

impl PathPart for GroupId {
    const NAME: &'static str = "group";
    type Schema = IdSchema;

    fn read(text: &str) -> Result<Self, ApiError> {
        group(text)
    }
}

impl PathPart for MessageId {
    const NAME: &'static str = "message";
    type Schema = MessageIdSchema;

    fn read(text: &str) -> Result<Self, ApiError> {
        decimal("the message's id", text).map(Self)
    }
}

impl PathPart for SessionId {
    const NAME: &'static str = "session";
    type Schema = SessionIdSchema;

    fn read(text: &str) -> Result<Self, ApiError> {
        decimal("the session's id", text).map(Self)
    }
}

/// What a path names: one part, or two.
pub struct InPath<T>(pub T);

async fn segments<T: DeserializeOwned + Send>(parts: &mut Parts, api: &Arc<Api>) -> Result<T, ApiError> {
    let path = Path::from_request_parts(parts, api).await;
    path.map(|Path(inner)| inner).map_err(|_| ApiError::invalid("the path is not percent-encoded UTF-8"))
}

impl<T: PathPart> FromRequestParts<Arc<Api>> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let text: String = segments(parts, api).await?;
        T::read(&text).map(Self)
    }
}

impl<T: PathPart> RequestPart for InPath<T> {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.takes_segment::<T::Schema>(T::NAME);
        contract.refuses(&[400]);
    }
}

impl<T: PathPart, U: PathPart> FromRequestParts<Arc<Api>> for InPath<(T, U)> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let (first, second): (String, String) = segments(parts, api).await?;
        Ok(Self((T::read(&first)?, U::read(&second)?)))
    }
}

impl<T: PathPart, U: PathPart> RequestPart for InPath<(T, U)> {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.takes_segment::<T::Schema>(T::NAME);
        contract.takes_segment::<U::Schema>(U::NAME);
        contract.refuses(&[400]);
    }
}

/// The query.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, api).await;
        query.map(|Query(inner)| Self(inner)).map_err(|error| ApiError::invalid(error.body_text()))
    }
}

impl<T: JsonSchema> RequestPart for Asked<T> {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.takes_query::<T>();
        contract.refuses(&[400]);
    }
}

/// A JSON body.
pub struct Posted<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Posted<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, ApiError> {
        let bytes = read(api, request.into_body()).await?;
        let body = serde_json::from_slice(&bytes);
        body.map(|Object(body)| Self(body)).map_err(|error| ApiError::invalid(format!("the body is invalid: {error}")))
    }
}

impl<T: JsonSchema> RequestPart for Posted<T> {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.takes_json::<T>();
        contract.refuses(&[400, 408, 413]);
    }
}

/// No body: an empty one or an empty object is accepted.
pub struct NoBody;

impl FromRequest<Arc<Api>> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, ApiError> {
        let bytes = read(api, request.into_body()).await?;
        let is_empty = matches!(bytes.trim_ascii(), b"" | b"{}");
        if is_empty { Ok(Self) } else { Err(ApiError::invalid("this request has no body")) }
    }
}

impl RequestPart for NoBody {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.refuses(&[400, 408, 413]);
    }
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

/// One element of a JSON body whose elements are judged each by itself.
pub fn part<T: DeserializeOwned>(raw: &RawValue) -> Result<T, ApiError> {
    serde_json::from_str(raw.get())
        .map(|Object(part)| part)
        .map_err(|error| ApiError::invalid(format!("this element is not as it should be: {error}")))
}

/// What is read from an object. A list of its values in their order, which serde would take as well, is refused.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

/// A member that is an object.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(inner)| inner)
}

/// A member that is an object, or null.
pub fn object_or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|object| object.map(|Object(inner)| inner))
}

/// A whole number. Some languages write one with a fraction of zero.
pub fn whole<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<T, D::Error> {
    whole_of(&Number::deserialize(deserializer)?)
}

/// A whole number, or null.
pub fn whole_or_none<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Number>::deserialize(deserializer)?.map(|number| whole_of(&number)).transpose()
}

fn whole_of<T: TryFrom<i128>, E: serde::de::Error>(number: &Number) -> Result<T, E> {
    let integer = number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from));
    // Beyond 2^53 a fraction says nothing about the number that was meant.
    let exact = |float: &f64| float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    let integer = integer.or_else(|| number.as_f64().filter(exact).map(|float| float as i128));
    let number = || E::custom(format!("{number} is not a whole number within its bounds"));
    integer.and_then(|integer| T::try_from(integer).ok()).ok_or_else(number)
}

/// A number of 64 bits in decimal digits.
pub fn decimal(what: &str, text: &str) -> Result<u64, ApiError> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_decimal { text.parse().ok() } else { None };
    number.ok_or_else(|| ApiError::invalid(format!("{what} is not a decimal number of 64 bits")))
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

    #[test]
    fn a_list_of_an_objects_values_is_no_object() {
        let read = |text: &str| serde_json::from_str::<Object<(u8, u8)>>(text).err().map(|error| error.to_string());
        assert!(read("[1,2]").is_some_and(|said| said.contains("expected an object")), "{:?}", read("[1,2]"));
    }

    #[test]
    fn a_whole_number_may_have_a_fraction_of_zero() {
        let read = |text: &str| whole::<_, u32>(&mut serde_json::Deserializer::from_str(text)).ok();
        assert_eq!((read("22"), read("22.0"), read("2.2e1"), read("-0.0")), (Some(22), Some(22), Some(22), Some(0)));
        for wrong in ["22.5", "-1", "4294967296", "1e300", "\"22\"", "null"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_limit_and_no_further() {
        let read = |bytes: usize| read_all(Body::from(vec![b'x'; bytes]), 10);
        assert_eq!(read(10).await.expect("it fits").len(), 10);
        assert_eq!(read(11).await, Err(ApiError::PayloadTooLarge { bytes_max: 10 }));
        assert_eq!(read(1_000).await, Err(ApiError::PayloadTooLarge { bytes_max: 10 }));
    }
}
