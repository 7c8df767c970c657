//! What a first start makes durable: no file system of Linux loses the entry of a new directory whose file was synced, so
//! the calls themselves are looked at.
//!
//! The test needs strace. Where it is missing the test says so on stderr and passes.

use crate::common::mounts::skip;
use crate::common::{Home, Server, wait_for};
use std::process::Command;

#[test]
fn a_new_data_directory_is_synced_with_the_directory_that_it_is_in_before_anybody_is_served() {
    const NAME: &str =
        "founding::a_new_data_directory_is_synced_with_the_directory_that_it_is_in_before_anybody_is_served";
    let home = Home::new().with_shards(1);
    let trace = home.data_dir().with_file_name("calls");
    // The tracer is a child of the server, which is then a child of this process like any other.
    let mut traced = Command::new("strace");
    traced.args(["-D", "-f", "-y", "-qq", "-e", "trace=mkdir,mkdirat,fsync,listen", "-o"]).arg(&trace);
    if Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success()) {
        let serve = home.serve("127.0.0.1:0");
        traced.arg(serve.get_program()).args(serve.get_args());
        traced.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    } else {
        return skip(NAME, "strace is missing or may not trace");
    }
    let server = Server::try_start(traced).expect("it starts");
    let calls = wait_for("the call that lets clients in", || {
        std::fs::read_to_string(&trace).ok().filter(|calls| calls.contains(" listen("))
    });
    server.kill();
    let data_dir = home.data_dir();
    let parent = data_dir.parent().expect("it is in the home");
    let at = |what: &str, of: &str| {
        let found = calls.lines().position(|call| call.contains(what) && call.contains(of));
        found.unwrap_or_else(|| panic!("no {what} of {of}: {calls}"))
    };
    let made = at("mkdir", &format!("\"{}\"", data_dir.display()));
    let parent_synced = at("fsync(", &format!("<{}>", parent.display()));
    let synced = at("fsync(", &format!("<{}>", data_dir.display()));
    let served = at("listen(", "");
    assert!(made < parent_synced && parent_synced < served && synced < served, "{calls}");
}
