//! What each route takes and answers, read from the signature of its handler. The OpenAPI document is made of these
//! contracts, so it cannot part from the code.
//!
//! Invariant: a handler takes nothing from a request but through a `RequestPart`, and answers nothing but an `Answering` or
//! an `ApiError`.

use crate::admin::api::Api;
use crate::admin::base::connections::Caller;
use crate::admin::base::error::ApiError;
use crate::admin::base::identity::Identity;
use axum::extract::{Extension, State};
use axum::handler::Handler;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a handler takes from a request.
pub trait RequestPart {
    fn describe(contract: &mut RouteContract<'_>);
}

/// What a handler answers when it does not refuse.
pub trait Answering: IntoResponse {
    fn describe(contract: &mut RouteContract<'_>);
}

/// A handler, with the parts that it takes.
pub trait Contracted<Parts> {
    fn describe(contract: &mut RouteContract<'_>);
}

/// What one route takes and answers.
pub struct RouteContract<'s> {
    schemas: &'s mut Schemas,
    pub parameters: Vec<Value>,
    pub body: Option<Value>,
    /// Media types and their schemas, by the status.
    pub answers: BTreeMap<u16, Map<String, Value>>,
    /// Statuses of refusals.
    pub refusals: BTreeSet<u16>,
}

/// The schemas of what clients send, and of what the server sends.
pub struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

/// A handler that serves a method.
pub struct Served {
    pub router: MethodRouter<Arc<Api>>,
    pub describe: fn(&mut RouteContract<'_>),
}

pub fn served<H, Parts, Extracted>(method: &str, handler: H) -> Served
where
    H: Handler<Extracted, Arc<Api>> + Contracted<Parts>,
    Extracted: 'static,
{
    let method = Method::from_bytes(method.as_bytes()).ok().and_then(|method| MethodFilter::try_from(method).ok());
    let filter = method.expect("the table of routes names standard methods");
    Served { router: on(filter, handler), describe: <H as Contracted<Parts>>::describe }
}

macro_rules! contracted {
    ($($part:ident),*) => {
        impl<F, Answer, Answered, $($part),*> Contracted<($($part,)*)> for F
        where
            F: Fn($($part),*) -> Answer,
            Answer: Future<Output = Result<Answered, ApiError>>,
            Answered: Answering,
            $($part: RequestPart),*
        {
            fn describe(contract: &mut RouteContract<'_>) {
                $(<$part as RequestPart>::describe(contract);)*
                <Answered as Answering>::describe(contract);
            }
        }
    };
}

contracted!();
contracted!(A);
contracted!(A, B);
contracted!(A, B, C);
contracted!(A, B, C, D);
contracted!(A, B, C, D, E);

impl RequestPart for State<Arc<Api>> {
    fn describe(_: &mut RouteContract<'_>) {}
}

impl RequestPart for Extension<Arc<Caller>> {
    fn describe(_: &mut RouteContract<'_>) {}
}

impl RequestPart for Extension<Identity> {
    fn describe(_: &mut RouteContract<'_>) {}
}

impl<'s> RouteContract<'s> {
    pub fn new(schemas: &'s mut Schemas) -> Self {
        Self { schemas, parameters: Vec::new(), body: None, answers: BTreeMap::new(), refusals: BTreeSet::new() }
    }

    pub fn refuses(&mut self, statuses: &[u16]) {
        self.refusals.extend(statuses);
    }

    pub fn takes_segment<T: JsonSchema>(&mut self, name: &str) {
        let schema = self.schemas.taken.subschema_for::<T>().to_value();
        self.parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    }

    pub fn takes_header(&mut self, name: &str, description: &str) {
        let schema = json!({"type": "string"});
        self.parameters.push(json!({"name": name, "in": "header", "description": description, "schema": schema}));
    }

    /// Each property of `T` is a parameter of the query.
    pub fn takes_query<T: JsonSchema>(&mut self) {
        let schema = T::json_schema(&mut self.schemas.taken).to_value();
        let names = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
        let required = names("required");
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let mut schema = without_null(schema);
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut parameter = json!({"name": name, "in": "query", "schema": schema});
            if let Some(description) = description {
                parameter["description"] = description;
            }
            if required.contains(&json!(name)) {
                parameter["required"] = json!(true);
            }
            self.parameters.push(parameter);
        }
    }

    pub fn takes_json<T: JsonSchema>(&mut self) {
        let schema = self.schemas.taken.subschema_for::<T>().to_value();
        self.body = Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}));
    }

    pub fn answers<T: JsonSchema>(&mut self, status: u16, media_type: &str) {
        let schema = self.schemas.given.subschema_for::<T>().to_value();
        self.answers.entry(status).or_default().insert(media_type.to_owned(), json!({"schema": schema}));
    }
}

/// A parameter is there or is not, and never null.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(types) = schema["type"].as_array() {
        let named = types.iter().find(|name| *name != "null").cloned();
        schema["type"] = named.expect("a parameter has a type");
    }
    let one = schema["anyOf"].as_array().and_then(|any| any.iter().find(|it| it["type"] != "null").cloned());
    if let (Some(Value::Object(one)), Some(object)) = (one, schema.as_object_mut()) {
        object.remove("anyOf");
        object.extend(one);
    }
    schema
}

impl Schemas {
    pub fn new() -> Self {
        Self { taken: generator(Contract::Deserialize), given: generator(Contract::Serialize) }
    }

    /// A type that no route names: the reference to its schema.
    pub fn given<T: JsonSchema>(&mut self) -> Value {
        self.given.subschema_for::<T>().to_value()
    }

    /// Every schema that has a name.
    ///
    /// # Panics
    ///
    /// Two schemas share a name.
    pub fn into_named(mut self) -> Map<String, Value> {
        let mut named = self.taken.take_definitions(true);
        for (name, schema) in self.given.take_definitions(true) {
            let other = named.insert(name.clone(), schema.clone());
            assert!(other.is_none_or(|other| other == schema), "two schemas are called {name}");
        }
        named.into_iter().map(|(name, schema)| (name, on_one_line(schema))).collect()
    }
}

fn generator(contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.contract = contract;
    });
    settings.into_generator()
}

/// Comments of several lines are one description.
pub fn on_one_line(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let joined = |(key, value): (String, Value)| match (key.as_str(), value) {
                ("description", Value::String(text)) => (key, text.replace('\n', " ").into()),
                (_, value) => (key, on_one_line(value)),
            };
            object.into_iter().map(joined).collect::<Map<_, _>>().into()
        }
        Value::Array(list) => list.into_iter().map(on_one_line).collect::<Vec<_>>().into(),
        other => other,
    }
}
