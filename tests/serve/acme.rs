//! Certificates that an authority issues by itself: Pebble, the authority that Let's Encrypt tests its clients with, as a
//! real process. `MUSHAN_TEST_PEBBLE` names the directory of its two programs; without it these tests say that they are
//! skipped.

use crate::common::tls::Authority;
use crate::common::{Home, Server, wait_for};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const NAMES: [&str; 2] = ["im.example.org", "chat.example.org"];
/// So that a test sees two certificates: the second is due after two thirds of it.
const VALIDITY_S: u64 = 30;

/// Pebble, and a name server that knows every name as this machine.
struct Pebble {
    processes: [Child; 2],
    directory: TempDir,
    /// Of itself, not of the certificates that it issues.
    authority: Authority,
    listen: SocketAddr,
    management: SocketAddr,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("bound")
}

fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("MUSHAN_TEST_PEBBLE").map(PathBuf::from);
    if named.is_none() {
        eprintln!("skipped: MUSHAN_TEST_PEBBLE names no directory with pebble and pebble-challtestsrv");
    }
    named
}

impl Pebble {
    /// It asks for proof at these addresses.
    fn start(programs: &Path, tls: SocketAddr, http: SocketAddr) -> Self {
        let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
        let [certificate, key] = authority.issue().write(directory.path(), "pebble");
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).expect("written");
        let [listen, management, names, names_management] = [free(), free(), free(), free()];
        let config = serde_json::json!({ "pebble": {
            "listenAddress": listen.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": http.port(),
            "tlsPort": tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "profiles": { "default": { "description": "short", "validityPeriod": VALIDITY_S } },
        }});
        let path = directory.path().join("pebble.json");
        std::fs::write(&path, config.to_string()).expect("written");
        let mut resolver = Command::new(programs.join("pebble-challtestsrv"));
        resolver.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dnsserver", &names.to_string()]);
        resolver.args(["-management", &names_management.to_string(), "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        resolver.args(["-doh", ""]);
        let mut pebble = Command::new(programs.join("pebble"));
        pebble.arg("-config").arg(path).args(["-dnsserver", &names.to_string()]).env("PEBBLE_VA_NOSLEEP", "1");
        let processes = [resolver, pebble].map(|mut command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a program")
        });
        let pebble = Self { processes, directory, authority, listen, management };
        wait_for("Pebble", || TcpStream::connect(pebble.management).ok());
        pebble
    }

    /// The certificate that signs those that it issues.
    fn root(&self) -> String {
        let host = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(self.authority.client(None)), host).expect("a client");
        let stream = TcpStream::connect(self.management).expect("Pebble listens");
        let mut stream = StreamOwned::new(client, stream);
        stream.write_all(b"GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut answer = String::new();
        // The end may come without `close_notify`.
        let _ = stream.read_to_string(&mut answer);
        answer.split_once("\r\n\r\n").expect("an answer").1.to_owned()
    }

    fn home(&self, more: &str) -> Home {
        Home::new().with_limits(&format!(
            "[tls]\nacme_directory_url = \"https://localhost:{}/dir\"\nacme_names = \"{}\"\nacme_ca_file = \"{}\"\n\
             acme_contact = \"ops@example.org\"\n{more}",
            self.listen.port(),
            NAMES.join(","),
            self.directory.path().join("ca.pem").display(),
        ))
    }
}

/// The certificate that the server shows for a name to a client that trusts `root`.
fn shown(address: SocketAddr, name: &'static str, root: &str, alpn: &[u8]) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let mut client =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name).expect("a name")).expect("a client");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    while client.is_handshaking() {
        client.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(client.peer_certificates().expect("a chain")[0].clone().into_owned())
}

fn orders(server: &Server, result: &str) -> u64 {
    server.api().sample(&format!("mushan_acme_orders_total{{result=\"{result}\"}}")) as u64
}

fn issued(address: SocketAddr, name: &'static str, root: &str) -> CertificateDer<'static> {
    wait_for("a certificate of the authority", || shown(address, name, root, b"http/1.1").ok())
}

#[test]
fn a_certificate_is_ordered_by_handshakes_renewed_in_time_and_kept_across_a_restart() {
    let Some(programs) = programs() else { return };
    let address = free();
    let pebble = Pebble::start(&programs, address, free());
    let home = pebble.home("");
    let server = home.start_at(address);
    let root = pebble.root();
    let first = issued(address, NAMES[0], &root);
    assert_eq!(first, issued(address, NAMES[1], &root), "one certificate has both names");
    assert!(shown(address, NAMES[0], &root, b"acme-tls/1").is_err(), "no challenge is under way: nobody is answered");
    for file in ["certificate.pem", "account.json"] {
        let metadata = std::fs::metadata(home.data_dir().join("acme").join(file)).expect("stored");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file} has a key");
    }
    let account = std::fs::read(home.data_dir().join("acme/account.json")).expect("stored");

    let second = wait_for("the next one, before the first ends", || {
        let now = issued(address, NAMES[0], &root);
        (now != first).then_some(now)
    });
    assert!(orders(&server, "issued") >= 2 && orders(&server, "failed") == 0);
    let exit = server.stop();
    assert!(exit.status.success(), "{}", exit.errors);

    let _server = home.start_at(address);
    let after = issued(address, NAMES[0], &root);
    let is_later = after != second;
    let kept = std::fs::read(home.data_dir().join("acme/account.json")).expect("stored");
    assert!(account == kept, "the account is used again (a later certificate: {is_later})");
}

#[test]
fn a_certificate_is_ordered_by_requests_to_another_port() {
    let Some(programs) = programs() else { return };
    let (address, http) = (free(), free());
    let pebble = Pebble::start(&programs, free(), http);
    let home = pebble.home(&format!("acme_challenge = \"http-01\"\nacme_http_listen = \"{http}\"\n"));
    let _server = home.start_at(address);
    issued(address, NAMES[1], &pebble.root());
    wait_for("the port is given back", || TcpListener::bind(http).ok());
}

#[test]
fn a_server_runs_though_its_authority_is_away_and_says_so() {
    let home = Home::new().with_limits(&format!(
        "[tls]\nacme_directory_url = \"https://{}/dir\"\nacme_names = \"im.example.org\"\n",
        free()
    ));
    let server = home.start();
    wait_for("an order that fails", || (orders(&server, "failed") > 0).then_some(()));
    let config = home.data_dir().with_file_name("mushan.toml");
    let doctor = home.run(&["doctor", "--config", &config.display().to_string()]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(told.contains("has issued none yet"), "{told}");
    wait_for("a line about it", || server.errors().contains("no certificate was issued").then_some(()));
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "it speaks TLS, with a certificate of its own, and never plaintext");
    let exit = server.stop();
    assert!(exit.status.success(), "an order under way holds up no stop: {}", exit.errors);
}

#[test]
fn a_port_for_the_challenge_that_is_taken_is_said_at_the_start() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let home = Home::new().with_limits(&format!(
        "[tls]\nacme_directory_url = \"https://127.0.0.1:1/dir\"\nacme_names = \"im.example.org\"\n\
         acme_challenge = \"http-01\"\nacme_http_listen = \"{}\"\n",
        taken.local_addr().expect("bound")
    ));
    let said = Server::try_start(home.serve("127.0.0.1:0")).err().expect("it does not start");
    assert!(said.contains("tls.acme_http_listen"), "{said}");
}
