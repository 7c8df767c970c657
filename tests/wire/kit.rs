//! The client kit for Rust has the types of the contract as this build makes them; `MUSHAN_WRITE_KIT=1` writes them.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods)]

const MADE: &str = include_str!(concat!(env!("OUT_DIR"), "/im.rs"));

#[test]
fn the_types_of_the_kit_are_those_that_the_contract_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/rust/src/wire/generated/im.rs");
    if std::env::var_os("MUSHAN_WRITE_KIT").is_some() {
        std::fs::write(path, MADE).expect("the kit is writable");
    }
    let kept = std::fs::read_to_string(path).expect("the kit is there");
    assert!(kept == MADE, "{path} is not what proto/im.proto makes: MUSHAN_WRITE_KIT=1 cargo test --test wire kit");
}
