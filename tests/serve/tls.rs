//! TLS on the listener of clients, on a real server: both protocols, hand-over, certificates that change, bad peers.

use crate::common::binary::{BinaryClient, SUCCESS};
use crate::common::rpc::RpcClient;
use crate::common::socket::Socket;
use crate::common::tls::Authority;
use crate::common::{Home, PATIENCE, Server, mushan, wait_for};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, StreamOwned};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A home whose server speaks TLS with a certificate of its own authority.
struct Secured {
    authority: Authority,
    directory: TempDir,
    home: Home,
}

impl Secured {
    fn new(more: &str) -> Self {
        let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
        let [certificate, key] = authority.issue().write(directory.path(), "server");
        let config = format!(
            "[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n{more}",
            certificate.display(),
            key.display()
        );
        Self { authority, directory, home: Home::new().with_config(&config).with_shards(3) }
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.authority.client(None))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn binary(&self, server: &Server, user: &str) -> BinaryClient {
        let mut client = BinaryClient::on(Socket::connect_over_tls(server.address, "/ws", &self.client()).await);
        let answer = client.authenticate(user, &self.home.token(user)).await;
        assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
        client
    }

    async fn rpc(&self, server: &Server, path: &str, user: &str) -> RpcClient {
        let mut client = RpcClient::on(Socket::connect_over_tls(server.address, path, &self.client()).await);
        user.clone_into(&mut client.user);
        let params = json!({"uid": user, "token": self.home.token(user), "deviceId": "d", "deviceFlag": 1});
        client.result("connect", params).await;
        client
    }
}

/// A blocking TLS connection whose handshake is complete.
fn shake_hands(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut secured = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).expect("a client"), stream);
    while secured.conn.is_handshaking() {
        secured.conn.complete_io(&mut secured.sock)?;
    }
    Ok(secured)
}

/// Sends a request and reads the answer, so that tickets of the server have arrived.
fn ask(secured: &mut StreamOwned<ClientConnection, TcpStream>) -> String {
    secured.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    // A server that ends with close_notify ends the text without an error.
    secured.read_to_string(&mut answer).expect("an answer, and a clean end");
    answer
}

#[tokio::test]
async fn messages_pass_between_all_protocols_whichever_core_they_arrive_at() {
    let secured = Secured::new("");
    let server = secured.home.start();
    // Enough users that all shards have some, and that some connections are handed over with their TLS state.
    for number in 0..6 {
        let (alice, bob, carol) = (format!("alice-{number}"), format!("bob-{number}"), format!("carol-{number}"));
        let mut binary = secured.binary(&server, &alice).await;
        let mut rpc = secured.rpc(&server, "/rpc", &bob).await;
        let mut wukong = secured.rpc(&server, "/wukong", &carol).await;
        let large = vec![b'x'; 60_000];
        assert_eq!(binary.send(&bob, "one", b"hello").await.number("error_code"), SUCCESS);
        assert_eq!(binary.send(&bob, "two", &large).await.number("error_code"), SUCCESS);
        let first = rpc.next("recv").await;
        assert_eq!(first["fromUid"], json!(alice));
        assert!(rpc.next("recv").await.to_string().len() > large.len());
        let send = json!({"clientMsgNo": "three", "channelId": carol, "channelType": 1, "payload": {"type": 1}});
        assert_eq!(rpc.call("send", send).await["result"]["reasonCode"], 0);
        assert_eq!(wukong.next("recv").await["fromUid"], json!(bob));
    }
    let exit = server.stop();
    assert!(exit.status.success(), "{}", exit.errors);
}

#[tokio::test]
async fn a_stop_ends_each_session_with_its_code_and_a_clean_end_of_tls() {
    let secured = Secured::new("");
    let server = secured.home.start();
    let mut alice = secured.binary(&server, "alice").await;
    server.signal("TERM");
    assert_eq!(alice.socket.ending().await, Some(1001));
    assert!(server.wait().status.success());
}

#[test]
fn sessions_are_resumed_on_every_shard_and_http_ends_cleanly() {
    let secured = Secured::new("");
    let server = secured.home.start();
    let client = secured.client();
    let mut first = shake_hands(server.address, &client).expect("a handshake");
    assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(first.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert!(ask(&mut first).starts_with("HTTP/1.1 404 "));
    // The kernel chooses the shard of each connection: nine times the same one of three is unlikely.
    for _again in 0..9 {
        let mut later = shake_hands(server.address, &client).expect("a handshake");
        assert_eq!(later.conn.handshake_kind(), Some(HandshakeKind::Resumed));
        ask(&mut later);
    }
}

#[test]
fn a_certificate_is_replaced_by_a_signal_and_by_its_files_alone() {
    let secured = Secured::new("");
    let server = secured.home.start();
    let shown = |client: &Arc<ClientConfig>| {
        let stream = shake_hands(server.address, client).expect("a handshake");
        stream.conn.peer_certificates().expect("certificates")[0].to_vec()
    };
    let first = shown(&secured.client());
    secured.authority.issue().write(secured.directory.path(), "server");
    server.signal("HUP");
    let second = wait_for("the second certificate", || Some(shown(&secured.client())).filter(|shown| *shown != first));

    secured.authority.issue().write(secured.directory.path(), "server");
    wait_for("the third certificate", || Some(shown(&secured.client())).filter(|shown| *shown != second));

    // A wrong file changes nothing and is told.
    let third = shown(&secured.client());
    std::fs::write(secured.path("server.pem"), "nothing").expect("written");
    server.signal("HUP");
    wait_for("the complaint", || server.errors().contains("previous one stays in use").then_some(()));
    assert_eq!(shown(&secured.client()), third);
}

#[test]
fn plaintext_garbage_and_old_versions_are_refused_and_others_are_served() {
    let secured = Secured::new("min_version = \"1.3\"\n");
    let server = secured.home.start();
    let greeting = server.output();
    assert!(greeting.contains("mushan chat") && greeting.contains("--url wss://NAME:"), "{greeting}");
    for wrong in [&b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 0, 2, 1, 0]] {
        let mut stream = TcpStream::connect(server.address).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(wrong).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
        let mut answer = Vec::new();
        // A reset instead of an alert is as good.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.first().is_none_or(|first| *first == 21), "an alert or nothing: {answer:?}");
    }
    let mut old = secured.authority.client(None);
    old.alpn_protocols = vec![b"h2".to_vec()];
    assert!(shake_hands(server.address, &Arc::new(old)).is_err(), "no protocol in common");
    let mut stream = shake_hands(server.address, &secured.client()).expect("a handshake");
    assert!(ask(&mut stream).starts_with("HTTP/1.1 404 "));
    let api = server.api();
    wait_for("the count of failures", || {
        let text = api.get("/metrics").body;
        let failed = text.lines().filter(|line| line.contains("closing=\"tls_failed\""));
        let sum: u64 = failed.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        (sum >= 2).then_some(())
    });
}

#[test]
fn a_missing_or_mismatched_file_is_named_before_anything_starts() {
    let secured = Secured::new("");
    let other = secured.authority.issue();
    let started = |command| match Server::try_start(command) {
        Ok(_server) => panic!("it started"),
        Err(said) => said,
    };
    std::fs::write(secured.path("server-key.pem"), &other.key).expect("written");
    let said = started(secured.home.serve("127.0.0.1:0"));
    assert!(said.contains("server.pem") && said.contains("exit status: 1"), "{said}");
    std::fs::remove_file(secured.path("server-key.pem")).expect("removed");
    assert!(started(secured.home.serve("127.0.0.1:0")).contains("server-key.pem"));
    let mut check = mushan();
    check.args(["check", "--data-dir"]).arg(secured.path("data")).env("MUSHAN_TLS__KEY_FILE", "/nowhere/key.pem");
    let output = check.output().expect("mushan check can be run");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && errors.contains("tls.certificate_file and tls.key_file"), "{errors}");
}
