//! The programs of examples/ do what they say: the two that drive a value assert it themselves, the two clients talk to
//! each other through a real server.

#[path = "../../examples/client_binary.rs"]
#[allow(dead_code)] // The test has no command line.
mod client_binary;
#[path = "../../examples/client_jsonrpc.rs"]
#[allow(dead_code)]
mod client_jsonrpc;
#[path = "../../examples/drive_connection.rs"]
mod drive_connection;
#[path = "../../examples/drive_shard.rs"]
mod drive_shard;

use crate::common;

#[test]
fn a_connection_and_a_shard_are_driven_by_hand() {
    drive_connection::main();
    drive_shard::main();
}

#[test]
fn the_clients_of_both_protocols_meet_in_one_inbox() {
    let home = common::Home::new();
    let server = home.start();
    let url = |path: &str| format!("ws://{}/{path}", server.address);
    let (alice, bob) = (home.token("alice"), home.token("bob"));

    let inbox = client_binary::send_and_sync(&url("ws"), "alice", &alice, "bob", "to bob").expect("alice talks");
    assert_eq!(inbox, ["alice: to bob"]);
    let inbox = client_jsonrpc::send_and_sync(&url("rpc"), "bob", &bob, "alice", "to alice").expect("bob talks");
    assert_eq!(inbox.len(), 2);
    assert_eq!(inbox[1], "bob: to alice");
    // Said again, it is stored once.
    let inbox = client_binary::send_and_sync(&url("ws"), "alice", &alice, "bob", "to bob").expect("alice talks");
    assert_eq!(inbox.len(), 2);
    assert_eq!(inbox[0], "alice: to bob");

    let refused = client_binary::send_and_sync(&url("ws"), "alice", &bob, "bob", "to bob").expect_err("not its token");
    assert!(refused.to_string().starts_with("100: "), "{refused}");
    let refused = client_jsonrpc::send_and_sync(&url("rpc"), "alice", &bob, "bob", "x").expect_err("not its token");
    assert!(refused.to_string().contains("1001"), "{refused}");
    assert!(server.stop().status.success());
}
