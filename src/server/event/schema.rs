//! Schemas of values that many types show: ids, seqs and times, each under one name in the document of the HTTP API.

use crate::model::{JoinPolicy, Role};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Text without control characters (Unicode's Cc).
pub const WITHOUT_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// Digits of a number of 64 bits.
pub const DECIMAL: &str = "^(0[0-9]{19}|[0-9]{1,19}|1[0-7][0-9]{18}|18[0-3][0-9]{17}|184[0-3][0-9]{16}|1844[0-5][0-9]{15}|\
    18446[0-6][0-9]{14}|184467[0-3][0-9]{13}|1844674[0-3][0-9]{12}|184467440[0-6][0-9]{10}|\
    1844674407[0-2][0-9]{9}|18446744073[0-6][0-9]{8}|1844674407370[0-8][0-9]{6}|18446744073709[0-4][0-9]{5}|\
    184467440737095[0-4][0-9]{4}|18446744073709550[0-9]{3}|18446744073709551[0-5][0-9]{2}|\
    1844674407370955160[0-9]|1844674407370955161[0-5])$";

/// Says, in `oneOf` or `anyOf`, that one of these members is given: it is there and is not null.
pub fn given(members: &[&str]) -> Vec<Value> {
    let given = |member: &&str| json!({"required": [member], "properties": {*member: {"not": {"type": "null"}}}});
    members.iter().map(given).collect()
}

/// Declares types that only stand for a schema with a name.
macro_rules! named_schemas {
    ($($(#[$doc:meta])* $name:ident is $shown:literal: $schema:tt;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $shown.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

named_schemas! {
    /// A user's or a group's id.
    IdSchema is "Id": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "pattern": WITHOUT_CONTROLS,
        "description": "1 to 64 bytes of UTF-8 without control characters."
    };
    MillisSchema is "Millis": {
        "type": "integer",
        "format": "uint64",
        "minimum": 0,
        "maximum": u64::MAX,
        "description": "Unix milliseconds."
    };
    MessageIdSchema is "MessageId": {
        "type": "string",
        "pattern": DECIMAL,
        "description": "A decimal number of 64 bits: a JSON number would not hold it everywhere."
    };
    SessionIdSchema is "SessionId": {
        "type": "string",
        "pattern": DECIMAL,
        "description": "A decimal number of 64 bits."
    };
    SeqSchema is "Seq": {
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "maximum": i64::MAX
    };
    RoleSchema is "Role": {
        "type": "string",
        "enum": Role::ALL.map(Role::name)
    };
    JoinPolicySchema is "JoinPolicy": {
        "type": "string",
        "enum": JoinPolicy::ALL.map(JoinPolicy::name),
        "description": "Who becomes a member without being added: nobody, users whose request is approved, or every user who asks."
    };
    /// A mark that is there or is not.
    TrueSchema is "True": { "const": true };
}
