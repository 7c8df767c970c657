//! `mushan push` against services on this machine: who is notified, of what, and how; what the services answer.

use crate::common::binary::BinaryClient;
use crate::common::http::Api;
use crate::common::{Home, mushan, run, wait_for};
use crate::services::{ACCESS_TOKEN, PushServices, Pushed, Told};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_lc_rs::{aead, digest, hkdf, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server, services, and the configuration and keys of `mushan push`.
pub struct PushHome {
    pub home: Home,
    pub services: PushServices,
    certificate: Option<PathBuf>,
    rsa_public: Vec<u8>,
    ec_public: Vec<u8>,
}

/// A running `mushan push`; killed when dropped.
pub struct PushProcess(Child);

impl Drop for PushProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl PushProcess {
    /// With SIGTERM; it must end well.
    pub fn stop(mut self) {
        let killed = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        let status = wait_for("the end of mushan push", || self.0.try_wait().expect("our own child"));
        assert_eq!(status.code(), Some(0));
    }
}

fn write_key(path: &Path, pkcs8: &[u8]) {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8));
    write_secret(path, &pem);
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("ours");
}

impl PushHome {
    pub fn new() -> Self {
        let home = Home::new();
        std::fs::create_dir_all(home.data_dir()).expect("made");
        let at = |name: &str| home.data_dir().with_file_name(name);
        let (certificate, key) = (at("tls.pem"), at("tls.key"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"]).arg(&certificate);
        let has_tls = openssl.arg("-keyout").arg(&key).output().is_ok_and(|output| output.status.success());
        if !has_tls {
            eprintln!("SKIPPED: there is no openssl here: nothing is sent to APNs");
        }
        let services = PushServices::start(has_tls.then_some((&certificate, &key)));
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8: Pkcs8V1Der<'_> = rsa.as_der().expect("DER");
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8.as_ref()));
        let account = json!({
            "project_id": "demo", "client_email": "push@demo.example", "private_key": pem,
            "token_uri": format!("http://{}/token", services.plain),
        });
        write_secret(&at("account.json"), &account.to_string());
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rand::SystemRandom::new());
        let document = document.expect("a key");
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("a key");
        write_key(&at("key.p8"), document.as_ref());
        let (rsa_public, ec_public) = (rsa.public_key().as_ref().to_vec(), ec.public_key().as_ref().to_vec());
        let certificate = has_tls.then_some(certificate);
        Self { home, services, certificate, rsa_public, ec_public }
    }

    pub fn has_apns(&self) -> bool {
        self.certificate.is_some()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.home.data_dir().with_file_name(name)
    }

    /// Writes the configuration, with more lines for `[push]`.
    pub fn configure(&self, more: &str) -> PathBuf {
        let path = |name: &str| self.at(name).display().to_string();
        let apns = self.services.apns.map_or_else(String::new, |address| {
            format!(
                "[push.apns]\nkey_file = '{}'\nkey_id = 'KEY'\nteam_id = 'TEAM'\ntopic = 'org.example.chat'\nendpoint = 'https://localhost:{}'\n",
                path("key.p8"),
                address.port()
            )
        });
        let text = format!(
            "[push]\ndata_dir = '{}'\ncursor_file = '{}'\nwindow_ms = 200\nretry_max_s = 50\n{more}\n[push.fcm]\nservice_account_file = '{}'\nendpoint = 'http://{}'\n{apns}[push.webpush]\nkey_file = '{}'\nsubject = 'mailto:ops@example.org'\n",
            path("data"),
            path("push.cursor"),
            path("account.json"),
            self.services.plain,
            path("key.p8"),
        );
        let file = self.at("push.toml");
        std::fs::write(&file, text).expect("written");
        file
    }

    pub fn command(&self) -> Command {
        let mut command = mushan();
        command.arg("push").arg("--config").arg(self.at("push.toml"));
        if let Some(certificate) = &self.certificate {
            command.env("SSL_CERT_FILE", certificate);
        }
        command
    }

    /// Runs it until it has a cursor.
    pub fn push(&self) -> PushProcess {
        let mut child = self.command().stdout(Stdio::piped()).spawn().expect("the binary can be run");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "following")), "it begins");
        std::thread::spawn(move || lines.count());
        let process = PushProcess(child);
        wait_for("the first cursor", || self.at("push.cursor").exists().then_some(()));
        process
    }
}

pub fn register(api: &Api, user: &str, device: &str, body: &Value) {
    let answer = api.ask("PUT", &format!("/v1/users/{user}/devices/{device}"), &body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

pub fn fcm(token: &str) -> Value {
    json!({"provider": "fcm", "token": token})
}

pub fn devices(api: &Api, user: &str) -> Vec<String> {
    let listed = api.get(&format!("/v1/users/{user}/devices")).json();
    let id = |device: &Value| device["id"].as_str().expect("an id").to_owned();
    listed["devices"].as_array().expect("a list").iter().map(id).collect()
}

pub fn say(api: &Api, from: &str, to: &Value, id: &str) {
    let body =
        json!({"from": from, "to": to, "client_msg_id": id, "payload": {"type": 1, "content": format!("secret {id}")}});
    assert_eq!(api.ask("POST", "/v1/messages", &body.to_string()).status, 201);
}

/// The claims of a token that the key has signed.
fn claims(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Value {
    let mut validation = Validation::new(algorithm);
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    decode::<Value>(token, key, &validation).expect("signed by the key").claims
}

/// A browser's side of a subscription.
struct Browser {
    private: PrivateKey,
    auth: [u8; 16],
}

#[derive(Clone, Copy)]
struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl Browser {
    fn new() -> Self {
        let mut auth = [0; 16];
        rand::fill(&mut auth).expect("random bytes");
        Self { private: PrivateKey::generate(&ECDH_P256).expect("a key"), auth }
    }

    fn public(&self) -> Vec<u8> {
        self.private.compute_public_key().expect("a point").as_ref().to_vec()
    }

    fn registration(&self, endpoint: &str) -> Value {
        json!({"provider": "webpush", "token": endpoint, "p256dh": BASE64URL.encode(self.public()), "auth": BASE64URL.encode(self.auth)})
    }

    /// RFC 8188 and 8291 from the receiver's side.
    fn decrypt(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert_eq!((size, rest[0]), (&4_096_u32.to_be_bytes()[..], 65));
        let (sender, sealed) = rest[1..].split_at(65);
        let expand = |prk: &hkdf::Prk, info: &[&[u8]], length| {
            let mut out = vec![0; length];
            prk.expand(info, Bytes(length)).expect("short").fill(&mut out).expect("filled");
            out
        };
        let public = self.public();
        let sender_key = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared = agreement::agree(&self.private, sender_key, (), |secret| {
            let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &self.auth).extract(secret);
            Ok(expand(&prk, &[b"WebPush: info\0", &public, sender], 32))
        });
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&shared.expect("a point"));
        let key = expand(&prk, &[b"Content-Encoding: aes128gcm\0"], 16);
        let nonce = expand(&prk, &[b"Content-Encoding: nonce\0"], 12);
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_128_GCM, &key).expect("a key"));
        let mut opened = sealed.to_vec();
        let nonce = aead::Nonce::try_assume_unique_for_key(&nonce).expect("12 bytes");
        let plain = key.open_in_place(nonce, aead::Aad::empty(), &mut opened).expect("encrypted for this browser");
        serde_json::from_slice(plain.strip_suffix(&[2]).expect("the last record")).expect("JSON")
    }
}

fn collapse_id(name: &str) -> String {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_sleeping_phone_is_woken_by_each_service_and_who_is_online_is_not() {
    let push = PushHome::new();
    push.configure("addresses = 'any'");
    let server = push.home.start();
    let api = push.home.api();
    let browser = Browser::new();
    register(&api, "bob", "phone", &fcm("bobs-phone"));
    register(&api, "bob", "browser", &browser.registration(&format!("http://{}/sub/bob", push.services.plain)));
    if push.has_apns() {
        register(&api, "bob", "iphone", &json!({"provider": "apns", "token": "b0b0"}));
    }
    register(&api, "carol", "phone", &fcm("carols-phone"));
    let (_carol, _) = BinaryClient::login(server.address, "carol", &push.home.token("carol")).await;
    let _process = push.push();
    say(&api, "alice", &json!({"user": "carol"}), "online");
    say(&api, "alice", &json!({"user": "bob"}), "asleep");

    let to_fcm = push.services.wait_for("bobs-phone", 1).remove(0);
    let conversation = collapse_id("user:alice");
    let body = to_fcm.json()["message"].clone();
    assert_eq!(to_fcm.path, "/v1/projects/demo/messages:send");
    assert_eq!(to_fcm.headers["authorization"], format!("Bearer {ACCESS_TOKEN}"));
    assert_eq!(body["notification"], json!({"title": "New message", "body": ""}));
    let android = &body["android"];
    assert_eq!(
        (&android["collapse_key"], &android["notification"]["tag"]),
        (&json!(conversation), &json!(conversation))
    );
    assert_eq!((&android["notification"]["notification_count"], &android["ttl"]), (&json!(1), &json!("86400s")));
    assert!(!String::from_utf8_lossy(&to_fcm.body).contains("secret"), "the default has no content");
    let assertions = push.services.assertions();
    let key = DecodingKey::from_rsa_der(&push.rsa_public);
    let granted = claims(&assertions[0], &key, Algorithm::RS256);
    assert_eq!(
        (&granted["iss"], &granted["scope"]),
        (&json!("push@demo.example"), &json!("https://www.googleapis.com/auth/firebase.messaging"))
    );
    assert_eq!(granted["aud"], format!("http://{}/token", push.services.plain));

    let ec = DecodingKey::from_ec_der(&push.ec_public);
    if push.has_apns() {
        let to_apns = push.services.wait_for("/3/device/b0b0", 1).remove(0);
        assert!(to_apns.is_http_2, "{to_apns:?}");
        let head = |name: &str| to_apns.headers[name].as_str();
        assert_eq!((head("apns-topic"), head("apns-push-type")), ("org.example.chat", "alert"));
        assert_eq!((head("apns-collapse-id"), head("apns-priority")), (&conversation[..], "10"));
        assert!(head("apns-expiration").parse::<u64>().is_ok());
        let body = to_apns.json();
        assert_eq!((&body["aps"]["badge"], &body["aps"]["alert"]["title"]), (&json!(1), &json!("New message")));
        let token = head("authorization").strip_prefix("bearer ").expect("a provider token");
        assert_eq!(decode_header(token).expect("a header").kid.as_deref(), Some("KEY"));
        assert_eq!(claims(token, &ec, Algorithm::ES256)["iss"], "TEAM");
    }

    let to_browser = push.services.wait_for("/sub/bob", 1).remove(0);
    let head = |name: &str| to_browser.headers[name].as_str();
    assert_eq!((head("content-encoding"), head("topic"), head("ttl")), ("aes128gcm", &conversation[..], "86400"));
    let vapid = head("authorization").strip_prefix("vapid t=").expect("VAPID");
    let (token, public) = vapid.split_once(", k=").expect("a key");
    assert_eq!(BASE64URL.decode(public).expect("base64url"), push.ec_public);
    let signed = claims(token, &ec, Algorithm::ES256);
    assert_eq!(
        (&signed["aud"], &signed["sub"]),
        (&json!(format!("http://{}", push.services.plain)), &json!("mailto:ops@example.org"))
    );
    let told = browser.decrypt(&to_browser.body);
    assert_eq!(
        (&told["title"], &told["badge"], &told["tag"]),
        (&json!("New message"), &json!(1), &json!(conversation))
    );
    assert!(!told.to_string().contains("secret"));
    assert!(push.services.pushed("carols-phone").is_empty(), "who is online is not woken");
}

#[test]
fn dead_tokens_are_removed_and_what_a_service_cannot_take_now_is_sent_again() {
    const UNREGISTERED: Told =
        (404, None, r#"{"error":{"code":404,"details":[{"errorCode":"UNREGISTERED"}],"status":"NOT_FOUND"}}"#);
    let push = PushHome::new();
    push.configure("content = 'preview'\naddresses = 'any'");
    let _server = push.home.start();
    let api = push.home.api();
    let (browser, services) = (Browser::new(), &push.services);
    let endpoint = |name: &str| browser.registration(&format!("http://{}/sub/{name}", services.plain));
    register(&api, "bob", "dead", &fcm("dead-token"));
    register(&api, "bob", "dead browser".replace(' ', "-").as_str(), &endpoint("gone"));
    register(&api, "bob", "limited", &fcm("limited-token"));
    register(&api, "bob", "down", &endpoint("down"));
    register(&api, "bob", "odd", &fcm("odd-token"));
    services.answer("dead-token", &[UNREGISTERED]);
    services.answer("/sub/gone", &[(410, None, "")]);
    services.answer("limited-token", &[(429, Some(("retry-after", "2")), "{}"), (401, None, "{}")]);
    services.answer("/sub/down", &[(503, None, ""), (500, None, "")]);
    services.answer("odd-token", &[(400, None, r#"{"error":{"status":"INVALID_ARGUMENT"}}"#)]);
    if push.has_apns() {
        register(&api, "bob", "old-iphone", &json!({"provider": "apns", "token": "0dead"}));
        register(&api, "bob", "wrong-iphone", &json!({"provider": "apns", "token": "0bad"}));
        services.answer("0dead", &[(410, None, r#"{"reason":"Unregistered","timestamp":1}"#)]);
        services.answer("0bad", &[(400, None, r#"{"reason":"BadDeviceToken"}"#)]);
    }
    let process = push.push();
    say(&api, "alice", &json!({"user": "bob"}), "one");
    let limited = services.wait_for("limited-token", 3);
    assert_eq!(limited.iter().map(|it| it.status).collect::<Vec<_>>(), [429, 401, 200]);
    assert!(limited[1].at - limited[0].at >= std::time::Duration::from_secs(2), "as long as it was asked for");
    assert_eq!(services.assertions().len(), 2, "a refused access token is not used again");
    let sent = limited[2].json()["message"]["notification"].clone();
    assert_eq!(sent, json!({"title": "alice", "body": "secret one"}));
    let down = services.wait_for("/sub/down", 3);
    assert_eq!(down.iter().map(|it| it.status).collect::<Vec<_>>(), [503, 500, 201]);
    let left = wait_for("the removal of dead tokens", || Some(devices(&api, "bob")).filter(|left| left.len() == 3));
    assert_eq!(left, ["limited", "down", "odd"], "a request that is refused says nothing of the token");
    let odd = services.pushed("odd-token");
    assert_eq!(odd.len(), 1, "and is not tried again");
    assert!(odd[0].at < limited[1].at, "no device waits for another one");
    process.stop();
}

#[test]
fn who_does_not_want_to_be_notified_is_not() {
    let push = PushHome::new();
    let metrics_at = free_address();
    push.configure(&format!(
        "metrics_listen = '{metrics_at}'\n[push.locales.de]\ntitle = 'Neue Nachricht'\nbody = 'Jetzt'"
    ));
    let _server = push.home.start();
    let api = push.home.api();
    let minute = (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
        / 60
        % 1_440) as i64;
    let quiet = |from: i64, until: i64| json!({"from": from.rem_euclid(1_440), "until": until.rem_euclid(1_440), "utc_offset": 0});
    let with = |token: &str, name: &str, value: Value| {
        let mut body = fcm(token);
        body[name] = value;
        body
    };
    register(&api, "bob", "muted", &with("muted-token", "muted", json!(true)));
    register(&api, "bob", "night", &with("night-token", "quiet", quiet(minute - 60, minute + 120)));
    register(&api, "bob", "day", &with("day-token", "quiet", quiet(minute + 120, minute - 60)));
    register(&api, "bob", "german", &with("german-token", "locale", json!("de-AT")));
    register(&api, "dave", "phone", &fcm("daves-token"));
    // A client names what `mushan push` calls: nothing that only this machine and its network can reach.
    let browser = Browser::new();
    let endpoints = [
        format!("http://{}/sub/here", push.services.plain),
        "https://localhost/sub/here".to_owned(),
        "https://10.0.0.1/".to_owned(),
    ];
    for (n, endpoint) in endpoints.iter().enumerate() {
        register(&api, "bob", &format!("inner-{n}"), &browser.registration(endpoint));
    }
    assert_eq!(api.ask("PUT", "/v1/users/dave/disabled", "").status, 200);
    let _process = push.push();
    say(&api, "alice", &json!({"user": "dave"}), "to dave");
    say(&api, "alice", &json!({"user": "bob"}), "to bob");
    let german = push.services.wait_for("german-token", 1).remove(0).json()["message"].clone();
    assert_eq!(german["notification"], json!({"title": "Neue Nachricht", "body": "Jetzt"}));
    assert_eq!(german["data"]["locale"], "de-AT");
    push.services.wait_for("day-token", 1);
    let refused = "mushan_push_requests_total{provider=\"webpush\",result=\"refused\"} 3";
    wait_for("refusals", || metrics(&metrics_at).contains(refused).then_some(()));
    assert!(push.services.pushed("/sub/here").is_empty());
    say(&api, "alice", &json!({"user": "bob"}), "again");
    let again: Vec<Pushed> = push.services.wait_for("german-token", 2);
    assert_eq!(again[1].json()["message"]["android"]["notification"]["notification_count"], 2, "what is unread");
    for silent in ["muted-token", "night-token", "daves-token"] {
        assert!(push.services.pushed(silent).is_empty(), "{silent}");
    }
}

#[test]
fn the_configuration_is_checked_and_keys_that_others_can_read_are_refused() {
    let push = PushHome::new();
    push.configure("metrics_listen = '127.0.0.1:0'");
    let checked = |push: &PushHome| {
        let mut command = push.command();
        command.arg("--check");
        let output = run(command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (status, told, _) = checked(&push);
    assert_eq!(status, Some(0));
    assert!(told.contains("fcm: project demo") && told.contains("the configuration is valid"), "{told}");
    assert!(told.contains(&BASE64URL.encode(&push.ec_public)), "the application's server key: {told}");
    let wrong = |lines: &str, why: &str| {
        push.configure(lines);
        let (status, _, said) = checked(&push);
        assert!(status == Some(1) && said.contains(why), "{lines}: {said}");
    };
    wrong("metrics_listen = '0.0.0.0:9'", "loopback");
    wrong("colour = 'red'", "colour");
    wrong("concurrency_max = 0", "at least 1");
    push.configure("");
    for file in ["key.p8", "account.json"] {
        let secret = push.at(file);
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("ours");
        let (status, _, said) = checked(&push);
        assert!(status == Some(1) && said.contains("other users can read"), "{said}");
        assert!(!said.contains("BEGIN"), "no key is shown");
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("ours");
    }
    std::fs::write(push.at("push.cursor"), "nonsense").expect("written");
    let output = run(push.command());
    assert_eq!(output.status.code(), Some(3), "a cursor that is none: {}", String::from_utf8_lossy(&output.stderr));
}

/// An address that was free a moment ago.
pub fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string()
}

/// What `GET /metrics` says.
pub fn metrics(address: &str) -> String {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    text
}
