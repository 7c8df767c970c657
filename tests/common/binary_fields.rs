//! The binary protocol's messages by reflection over tests/binary.proto: another protobuf implementation than the
//! server's, and another reading of the specification.

use protobuf::MessageDyn;
use protobuf::reflect::{
    FileDescriptor, MessageDescriptor, ReflectFieldRef, ReflectValueBox, ReflectValueRef, RuntimeFieldType,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// A decoded message; fields are asked for by the names of the specification.
pub struct Fields(Box<dyn MessageDyn>);

fn descriptor(message: &str) -> MessageDescriptor {
    static FILE: OnceLock<FileDescriptor> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut parser = protobuf_parse::Parser::new();
        parser.pure().include(&folder).input(folder.join("binary.proto"));
        let set = parser.file_descriptor_set().expect("binary.proto is well formed");
        let mut files = FileDescriptor::new_dynamic_fds(set.file, &[]).expect("binary.proto is consistent");
        files.pop().expect("one file")
    });
    file.message_by_package_relative_name(message).unwrap_or_else(|| panic!("no message {message}"))
}

/// A repeated field is named once for each of its values.
pub fn encode(message: &str, fields: &[(&str, ReflectValueBox)]) -> Vec<u8> {
    encode_with(message, fields, &[])
}

/// With pairs for the map `extra`.
pub fn encode_with(message: &str, fields: &[(&str, ReflectValueBox)], extra: &[(&str, &str)]) -> Vec<u8> {
    let descriptor = descriptor(message);
    let mut instance = descriptor.new_instance();
    let field = |name: &str| descriptor.field_by_name(name).unwrap_or_else(|| panic!("{message} has no {name}"));
    for (name, value) in fields {
        match field(name).runtime_field_type() {
            RuntimeFieldType::Repeated(_) => field(name).mut_repeated(&mut *instance).push(value.clone()),
            _ => field(name).set_singular_field(&mut *instance, value.clone()),
        }
    }
    for (key, value) in extra {
        field("extra").mut_map(&mut *instance).insert(text(key), text(value));
    }
    instance.write_to_bytes_dyn().expect("memory takes it")
}

pub fn text(value: &str) -> ReflectValueBox {
    ReflectValueBox::String(value.to_owned())
}

pub fn bytes(value: &[u8]) -> ReflectValueBox {
    ReflectValueBox::Bytes(value.to_vec())
}

impl Fields {
    pub fn decode(message: &str, bytes: &[u8]) -> Self {
        let parsed = descriptor(message).parse_from_bytes(bytes);
        let parsed = parsed.unwrap_or_else(|error| panic!("not a {message}: {error}: {bytes:?}"));
        assert!(
            parsed.unknown_fields_dyn().iter().next().is_none(),
            "{message} has fields that the specification does not know"
        );
        Self(parsed)
    }

    fn value(&self, name: &str) -> ReflectValueRef<'_> {
        let descriptor = self.0.descriptor_dyn();
        let field = descriptor.field_by_name(name);
        field.unwrap_or_else(|| panic!("{} has no {name}", descriptor.name())).get_singular_field_or_default(&*self.0)
    }

    pub fn text(&self, name: &str) -> String {
        match self.value(name) {
            ReflectValueRef::String(text) => text.to_owned(),
            other => panic!("{name} is {other:?}"),
        }
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        match self.value(name) {
            ReflectValueRef::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{name} is {other:?}"),
        }
    }

    pub fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            ReflectValueRef::I32(number) | ReflectValueRef::Enum(_, number) => number.into(),
            ReflectValueRef::I64(number) => number,
            ReflectValueRef::U32(number) => number.into(),
            ReflectValueRef::U64(number) => number.try_into().expect("below 2^63"),
            other => panic!("{name} is {other:?}"),
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        match self.value(name) {
            ReflectValueRef::Bool(flag) => flag,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn many(&self, name: &str) -> ReflectFieldRef<'_> {
        let field = self.0.descriptor_dyn().field_by_name(name);
        field.unwrap_or_else(|| panic!("there is no {name}")).get_reflect(&*self.0)
    }

    pub fn list(&self, name: &str) -> Vec<Self> {
        let ReflectFieldRef::Repeated(items) = self.many(name) else { panic!("{name} is not repeated") };
        let messages = items.into_iter().map(|item| match item {
            ReflectValueRef::Message(message) => Self(message.clone_box()),
            other => panic!("{name} holds {other:?}"),
        });
        messages.collect()
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        let ReflectFieldRef::Repeated(items) = self.many(name) else { panic!("{name} is not repeated") };
        let texts = items.into_iter().map(|item| match item {
            ReflectValueRef::String(text) => text.to_owned(),
            other => panic!("{name} holds {other:?}"),
        });
        texts.collect()
    }

    /// The message in a field, if it is there.
    pub fn message(&self, name: &str) -> Option<Self> {
        let ReflectFieldRef::Optional(field) = self.many(name) else { panic!("{name} is not singular") };
        field.value().map(|value| match value {
            ReflectValueRef::Message(message) => Self(message.clone_box()),
            other => panic!("{name} is {other:?}"),
        })
    }

    pub fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        let ReflectFieldRef::Map(pairs) = self.many(name) else { panic!("{name} is not a map") };
        pairs.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }
}
