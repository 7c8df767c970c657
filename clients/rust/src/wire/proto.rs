//! The types of `proto/im.proto`, made by the server's build; `tests/wire/kit.rs` of the server compares the two.

#![allow(missing_docs, clippy::all, reason = "made by prost-build")]

include!("generated/im.rs");
