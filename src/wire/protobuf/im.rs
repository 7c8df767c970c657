//! The types of proto/im.proto, as the build script makes them.

#![allow(clippy::enum_variant_names, missing_docs)]

include!(concat!(env!("OUT_DIR"), "/im.rs"));
