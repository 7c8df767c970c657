//! A certificate that nobody renewed in time, and the one that replaces it.

use crate::common::rpc::RpcClient;
use crate::common::socket::Socket;
use crate::common::tls::Authority;
use crate::common::{Home, Server, mushan, run, wait_for};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

const EXPIRY: &str = "mushan_tls_certificate_expiry_timestamp_seconds{listener=\"clients\"}";

fn now_s() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Shakes hands; `Err` says why it cannot.
fn shake_hands(server: &Server, authority: &Authority) -> Result<(), String> {
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(server.address).expect("accepted");
    let client = ClientConnection::new(Arc::new(authority.client(None)), name).expect("a client");
    let mut secured = StreamOwned::new(client, stream);
    while secured.conn.is_handshaking() {
        secured.conn.complete_io(&mut secured.sock).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the doctor says of the certificate.
fn doctor(home: &Home, [certificate, key]: &[PathBuf; 2]) -> String {
    let mut doctor = mushan();
    doctor.args(["doctor", "--json", "--data-dir"]).arg(home.data_dir());
    doctor.env("MUSHAN_TLS__CERTIFICATE_FILE", certificate).env("MUSHAN_TLS__KEY_FILE", key);
    let parts: Value = serde_json::from_slice(&run(doctor).stdout).expect("JSON");
    let part = parts["parts"].as_array().expect("a list").iter().find(|part| part["part"] == "certificate");
    part.expect("it looks at it")["health"].as_str().expect("a word").to_owned()
}

#[tokio::test]
async fn an_expired_certificate_keeps_new_clients_out_until_another_one_is_there() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let files = authority.issue().write(directory.path(), "server");
    let [certificate, key] = files.each_ref().map(|path| path.display().to_string());
    let config = format!("[tls]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n");
    let home = Home::new().with_config(&config).with_shards(2);
    let (server, api) = home.start_with_api();
    assert_eq!(shake_hands(&server, &authority), Ok(()));
    let client = Arc::new(authority.client(None));
    let mut alice = RpcClient::on(Socket::connect_over_tls(server.address, "/rpc", &client).await);
    let params = json!({"uid": "alice", "token": home.token("alice"), "deviceId": "d", "deviceFlag": 1});
    alice.result("connect", params).await;
    assert_eq!(doctor(&home, &files), "good");

    authority.issue_until(2024).write(directory.path(), "server");
    wait_for("the metric of the alert", || (api.sample(EXPIRY) < now_s()).then_some(()));
    let why = shake_hands(&server, &authority).expect_err("nobody trusts it");
    assert!(why.to_lowercase().contains("expired"), "{why}");
    assert_eq!(alice.call("ping", json!({})).await["result"], json!({}), "open sessions stay");
    assert_eq!(doctor(&home, &files), "bad");

    authority.issue().write(directory.path(), "server");
    // As `systemctl reload mushan` does.
    server.signal("HUP");
    wait_for("another certificate", || shake_hands(&server, &authority).ok());
    wait_for("the metric", || (api.sample(EXPIRY) > now_s()).then_some(()));
    assert_eq!(doctor(&home, &files), "good");
    assert!(server.stop().status.success());
}
