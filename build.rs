//! Compiles proto/im.proto without protoc: protox parses it, prost-build writes the types.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/im.proto");
    let descriptors = protox::compile(["im.proto"], ["proto"])?;
    prost_build::Config::new()
        // Content is sliced out of the received body, not copied once more.
        .bytes(["."])
        // Sorted, so that equal messages have equal bytes.
        .btree_map(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
