//! Compiles proto/im.proto without protoc (protox parses it, prost-build writes the types), and tells the program which
//! commit it is built from.

// clippy.toml's bans keep the floors pure; a build script asks its environment.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/im.proto");
    let descriptors = protox::compile(["im.proto"], ["proto"])?;
    prost_build::Config::new()
        // Content is sliced out of the received body, not copied once more.
        .bytes(["."])
        // Sorted, so that equal messages have equal bytes.
        .btree_map(["."])
        .compile_fds(descriptors)?;
    println!("cargo:rustc-env=MUSHAN_COMMIT={}", commit());
    Ok(())
}

/// What the build is told by `MUSHAN_COMMIT`, else what git says of this directory; "unknown" without either.
fn commit() -> String {
    println!("cargo:rerun-if-env-changed=MUSHAN_COMMIT");
    if let Ok(told) = std::env::var("MUSHAN_COMMIT") {
        return told;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
    };
    // A build for tests is not made anew for each commit.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return "development".to_owned();
    }
    // A package unpacked inside somebody else's repository has no commit of its own.
    if git(&["ls-files", "build.rs"]).is_none_or(|listed| listed != "build.rs") {
        return "unknown".to_owned();
    }
    // The log of HEAD changes with each commit and each change of branch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
        println!("cargo:rerun-if-changed=src");
    }
    git(&["describe", "--always", "--dirty", "--exclude=*"]).unwrap_or_else(|| "unknown".to_owned())
}
