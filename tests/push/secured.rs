//! `mushan push` with an API that speaks TLS and serves only clients with a certificate.

use crate::common::tls::Authority;
use crate::common::wait_for;
use crate::waking::{PushHome, fcm, register};
use serde_json::json;
use std::io::Read;
use std::process::Stdio;

#[tokio::test]
async fn an_api_over_tls_that_wants_a_certificate_is_followed_with_one_and_not_without() {
    let mut push = PushHome::new();
    push.configure("");
    let server = push.home.start();
    register(&push.home.api(), "bob", "phone", &fcm("bobs-token"));
    assert!(server.stop().status.success());

    let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let [certificate, key] = authority.issue().write(directory.path(), "api");
    let [own, own_key] = authority.issue().write(directory.path(), "push");
    let trusted = directory.path().join("ca.pem");
    std::fs::write(&trusted, authority.pem()).expect("written");
    push.home = push.home.with_config(&format!(
        "[admin]\ntls_certificate_file = '{}'\ntls_key_file = '{}'\ntls_client_ca_file = '{}'\n",
        certificate.display(),
        key.display(),
        trusted.display()
    ));
    let server = push.home.start();
    let url = std::fs::read_to_string(push.home.data_dir().join("admin-url")).expect("the address");
    assert!(url.starts_with("https://"), "{url}");

    let trusting = format!("admin_ca_file = '{}'", trusted.display());
    for refused in ["", &trusting] {
        push.configure(refused);
        let mut child = push.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut said = child.stderr.take().expect("piped");
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("cannot be followed") {
            let mut more = [0; 256];
            let count = said.read(&mut more).expect("readable");
            assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&more[..count]);
        }
        child.kill().and_then(|()| child.wait()).expect("our own child");
    }
    push.configure(&format!("{trusting}\nadmin_client_certificate_file = '{}'", own.display()));
    let half = push.command().arg("--check").output().expect("it runs");
    let said = String::from_utf8_lossy(&half.stderr).into_owned();
    assert!(half.status.code() == Some(1) && said.contains("name both"), "{said}");

    push.configure(&format!(
        "{trusting}\nadmin_client_certificate_file = '{}'\nadmin_client_key_file = '{}'",
        own.display(),
        own_key.display()
    ));
    let process = push.push();
    let mut alice = server.rpc("alice").await;
    let sent = alice.send("bob", "1", json!({"type": 1, "content": "are you there?"})).await;
    assert!(sent.get("error").is_none(), "{sent}");
    wait_for("the phone", || push.services.pushed("bobs-token").iter().any(|it| it.status == 200).then_some(()));
    process.stop();
}
