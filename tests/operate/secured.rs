//! The HTTP API over TLS, with and without certificates of clients, and the commands that use it.

use crate::common::tls::Authority;
use crate::common::{Home, Server, mushan, run, wait_for};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

struct SecuredApi {
    authority: Authority,
    directory: TempDir,
    home: Home,
}

impl SecuredApi {
    fn new(more: &str) -> Self {
        let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
        let [certificate, key] = authority.issue().write(directory.path(), "api");
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).expect("written");
        let pair = format!("certificate_file = \"{}\"\nkey_file = \"{}\"\n", certificate.display(), key.display());
        let config = format!(
            "[admin]\ntls_certificate_file = \"{}\"\ntls_key_file = \"{}\"\n{}",
            certificate.display(),
            key.display(),
            more.replace("CA", &directory.path().join("ca.pem").display().to_string()).replace("PAIR", &pair)
        );
        Self { authority, directory, home: Home::new().with_config(&config) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self) -> Server {
        let server = self.home.start();
        wait_for("the API", || self.home.data_dir().join("admin-url").exists().then_some(()));
        server
    }

    /// `mushan user disable` with these flags.
    fn disable(&self, flags: &[&str]) -> Output {
        let mut command = mushan();
        command.args(["user", "disable", "alice", "--data-dir"]).arg(self.home.data_dir());
        command.args(flags.iter().map(|flag| match flag.strip_suffix(".pem") {
            Some(_) => self.path(flag).display().to_string(),
            None => (*flag).to_owned(),
        }));
        run(command)
    }
}

fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn commands_reach_an_api_over_tls_when_they_trust_its_certificate() {
    let api = SecuredApi::new("");
    let server = api.start();
    assert!(server.output().contains("https://127.0.0.1:"), "{}", server.output());
    let distrusted = api.disable(&[]);
    assert!(!distrusted.status.success());
    assert!(errors_of(&distrusted).contains("TLS with https://127.0.0.1:"), "{}", errors_of(&distrusted));
    let trusted = api.disable(&["--ca-file", "ca.pem"]);
    assert!(trusted.status.success(), "{}", errors_of(&trusted));

    let url = std::fs::read_to_string(api.home.data_dir().join("admin-url")).expect("the address");
    let mut plain = TcpStream::connect(url.trim().strip_prefix("https://").expect("https")).expect("accepted");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    // A reset instead of an alert is as good.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "no plaintext is answered");

    api.authority.issue().write(api.directory.path(), "api");
    server.signal("HUP");
    wait_for("the reload", || server.output().contains("certificate reloaded").then_some(()));
    assert!(api.disable(&["--ca-file", "ca.pem"]).status.success());
    assert!(server.stop().status.success());
}

/// Two people on a server whose certificate a private authority has signed, in both protocols; and the commands of care.
#[test]
fn chat_and_the_commands_of_care_trust_a_private_authority() {
    let api = SecuredApi::new("[tls]\nPAIR");
    let server = api.start();
    let chat = |user: &str, to: &str, protocol: &str, flags: &[&str]| {
        let mut command = mushan();
        command
            .args(["chat", "--user", user, "--to", to, "--protocol", protocol, "--data-dir"])
            .arg(api.home.data_dir());
        command.args(["--url", &format!("wss://localhost:{}", server.address.port())]).args(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let ca = api.path("ca.pem").display().to_string();
    let distrusted = run(chat("alice", "bob", "binary", &[]));
    assert_eq!(distrusted.status.code(), Some(1), "{}", errors_of(&distrusted));
    assert!(errors_of(&distrusted).contains("certificate"), "{}", errors_of(&distrusted));
    let mut bob = chat("bob", "alice", "jsonrpc", &["--ca", &ca, "--receive", "2", "--wait-ms", "30000"]);
    let mut bob = bob.spawn().expect("it runs");
    let mut alice = chat("alice", "bob", "binary", &["--ca-file", &ca]).spawn().expect("it runs");
    // Larger than a TLS record, and than a socket takes at once.
    let long = "x".repeat(40_000);
    let mut typed = alice.stdin.take().expect("piped");
    typed.write_all(format!("good morning\n{long}\n").as_bytes()).expect("it reads");
    drop(typed);
    let sent = alice.wait_with_output().expect("it ends");
    assert!(sent.status.success(), "{}", errors_of(&sent));
    drop(bob.stdin.take());
    let received = bob.wait_with_output().expect("it ends");
    assert!(received.status.success(), "{}", errors_of(&received));
    let shown = String::from_utf8(received.stdout).expect("text");
    assert!(shown.contains("alice: good morning") && shown.contains(&format!("alice: {long}")), "{}", shown.len());

    let doctor = |flags: &[&str]| {
        let output = api.home.run(&[&["doctor", "--json"], flags].concat());
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(doctor(&[]).contains("TLS with https://127.0.0.1:"), "{}", doctor(&[]));
    assert!(!doctor(&["--ca-file", &ca]).contains("TLS with"), "{}", doctor(&["--ca-file", &ca]));
    let bundle = api.path("bundle.txt").display().to_string();
    let written = api.home.run(&["debug-bundle", "--to", &bundle, "--ca-file", &ca]);
    assert!(written.status.success(), "{}", errors_of(&written));
    let bundle = std::fs::read_to_string(bundle).expect("a bundle");
    assert!(bundle.contains("mushan_turn_seconds_bucket") && !bundle.contains("TLS with"), "the metrics came over TLS");
    assert!(api.home.run(&["status", "--ca-file", &ca]).status.success());
    assert!(server.stop().status.success());
}

#[test]
fn an_api_that_wants_certificates_of_clients_serves_nobody_else() {
    let api = SecuredApi::new("tls_client_ca_file = \"CA\"\n");
    let _server = api.start();
    api.authority.issue().write(api.directory.path(), "operator");
    Authority::new().issue().write(api.directory.path(), "stranger");
    let show = |name: &str| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}-key.pem"));
        let flags = ["--client-certificate-file", &certificate, "--client-key-file", &key, "--ca-file", "ca.pem"];
        api.disable(&flags)
    };
    assert!(!api.disable(&["--ca-file", "ca.pem"]).status.success(), "no certificate");
    assert!(!show("stranger").status.success(), "somebody else's authority");
    let operator = show("operator");
    assert!(operator.status.success(), "{}", errors_of(&operator));
}

#[test]
fn over_tls_browsers_keep_the_consoles_cookie_to_tls() {
    let api = SecuredApi::new("");
    let _server = api.start();
    let file =
        |name: &str| std::fs::read_to_string(api.home.data_dir().join(name)).expect("readable").trim().to_owned();
    let address = file("admin-url").strip_prefix("https://").expect("TLS").to_owned();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(api.authority.client(None)), name).expect("a client");
    let mut stream = StreamOwned::new(client, TcpStream::connect(address).expect("it listens"));
    let body = format!(r#"{{"token":"{}"}}"#, file("read-token"));
    let head = "POST /v1/console/login HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("it reads");
    let mut answer = String::new();
    // The server may close without a goodbye; what came before counts.
    let _ended = stream.read_to_string(&mut answer);
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.starts_with("__Host-mushan_console=") && cookie.contains("; Secure"), "{answer}");
}
