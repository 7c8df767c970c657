//! The builders of the unit tests, for suites and benches outside the crate.

// Each uses its own part of them.
#![allow(dead_code)]

pub use mushan::model::*;

#[path = "../../src/model/testing/mod.rs"]
pub mod testing;
