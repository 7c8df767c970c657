//! Both protocols against `wire`, without a socket: golden vectors written out from the specifications, and whatever
//! can be said, said and understood again.

mod binary;
mod client;
mod decode;
mod devices;
mod encode;
mod forward;
mod groups;
mod jsonrpc;
mod kit;
mod round_trip;
mod shapes;
mod vectors;

#[path = "../common/binary_fields.rs"]
#[allow(dead_code)] // Other tests use the rest of it.
mod binary_fields;

#[path = "../common/model.rs"]
mod model;

use vectors::Vectors;

#[test]
fn every_vector_is_used_and_json_is_json() {
    let source = [
        include_str!("binary.rs"),
        include_str!("jsonrpc.rs"),
        include_str!("client.rs"),
        include_str!("groups.rs"),
        include_str!("devices.rs"),
    ]
    .concat();
    let (binary, json_rpc) = (Vectors::binary(), Vectors::json_rpc());
    for (name, _) in binary.0.iter().chain(&json_rpc.0) {
        assert!(source.contains(&format!("\"{name}\"")), "{name} is not used");
    }
    for message in json_rpc.0.iter().flat_map(|(_, messages)| messages) {
        serde_json::from_slice::<serde_json::Value>(message).expect("JSON");
    }
}
