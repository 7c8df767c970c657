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
    console_assets()?;
    println!("cargo:rustc-env=MUSHAN_COMMIT={}", commit());
    Ok(())
}

/// Lists the files of the console, which the program embeds: their names have hashes, so no source can name them.
fn console_assets() -> std::io::Result<()> {
    let dist = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web/console/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut names = Vec::new();
    for folder in ["", "assets"] {
        for entry in std::fs::read_dir(dist.join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    names.sort();
    let entry = |name: &std::path::PathBuf| {
        let file = dist.join(name);
        format!(
            "Asset {{ name: {:?}, body: include_bytes!({:?}) }},",
            name.display().to_string(),
            file.display().to_string()
        )
    };
    let list: String = names.iter().map(entry).collect();
    let out = Path::new(&std::env::var("OUT_DIR").unwrap_or_default()).join("console_assets.rs");
    std::fs::write(out, format!("const ASSETS: &[Asset] = &[{list}];\n"))
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
