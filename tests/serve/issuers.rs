//! Tokens that somebody else has signed: algorithms, keys by their ids, files that are wrong, keys that change, and
//! what of a token's claims the configuration asks for.

use crate::common::binary::{BinaryClient, SUCCESS, auth_body, command};
use crate::common::issuer::{Issuer, claims, jwks};
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, mushan, run, wait_for};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

const AUTH_FAILED: i64 = 100;

/// A home with a file of keys beside its data directory, and its section `[auth]`.
struct Published {
    home: Home,
    file: PathBuf,
}

impl Published {
    fn of(keys: &str, more: &str) -> Self {
        let home = Home::new();
        let file = home.data_dir().with_file_name("keys.json");
        let auth = format!("[auth]\njwks_file = \"{}\"\n{more}", file.display());
        let published = Self { home: home.with_config(&auth), file };
        published.publish(keys);
        published
    }

    fn publish(&self, keys: &str) {
        std::fs::write(&self.file, keys).expect("the file can be written");
    }

    /// What a start says that does not succeed.
    fn refused(&self) -> String {
        match Server::try_start(self.home.serve("127.0.0.1:0")) {
            Ok(_) => panic!("it started"),
            Err(said) => said,
        }
    }
}

/// The error code that a binary client is given.
async fn authenticated(address: SocketAddr, user: &str, token: &str) -> i64 {
    BinaryClient::connect(address).await.authenticate(user, token).await.number("error_code")
}

async fn expect_let_in(address: SocketAddr, user: &str, token: &str) {
    assert_eq!(authenticated(address, user, token).await, SUCCESS, "{token}");
    let mut client = RpcClient::login(address, "/rpc", user, token).await;
    assert_eq!(client.call("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn tokens_of_every_algorithm_open_sessions_in_both_protocols() {
    let issuers = [Issuer::rs256("r"), Issuer::es256("e"), Issuer::eddsa("d")];
    let published = Published::of(&jwks(&issuers.each_ref()), "");
    let server = published.home.start();
    for issuer in &issuers {
        expect_let_in(server.address, "alice", &issuer.sign(&claims("alice"))).await;
        expect_let_in(server.address, "bob", &issuer.sign_under(None, &claims("bob"))).await;
        assert_eq!(authenticated(server.address, "bob", &issuer.sign(&claims("alice"))).await, AUTH_FAILED);
    }
    expect_let_in(server.address, "carol", &published.home.token("carol")).await;
}

/// tests/issuer has what OpenSSL made: its public keys, and a token of each for alice.
#[tokio::test]
async fn tokens_that_openssl_has_signed_are_good() {
    let published = Published::of(include_str!("../issuer/keys.json"), "");
    let server = published.home.start();
    let tokens =
        [include_str!("../issuer/rs256.jwt"), include_str!("../issuer/es256.jwt"), include_str!("../issuer/eddsa.jwt")];
    for token in tokens {
        expect_let_in(server.address, "alice", token.trim()).await;
        let (message, signature) = token.trim().rsplit_once('.').expect("three parts");
        let first = if signature.starts_with('A') { "B" } else { "A" };
        let other = format!("{message}.{first}{}", &signature[1..]);
        assert_eq!(authenticated(server.address, "alice", &other).await, AUTH_FAILED);
    }
}

#[tokio::test]
async fn a_key_is_chosen_by_its_id_and_without_one_every_fitting_key_is_tried() {
    let (one, two, stranger) = (Issuer::es256("one"), Issuer::es256("two"), Issuer::es256("one"));
    let published = Published::of(&jwks(&[&one, &two]), "");
    let server = published.home.start();
    for (token, code) in [
        (one.sign(&claims("alice")), SUCCESS),
        (two.sign(&claims("alice")), SUCCESS),
        (one.sign_under(None, &claims("alice")), SUCCESS),
        (two.sign_under(None, &claims("alice")), SUCCESS),
        (two.sign_under(Some("one"), &claims("alice")), AUTH_FAILED),
        (one.sign_under(Some("three"), &claims("alice")), AUTH_FAILED),
        (stranger.sign(&claims("alice")), AUTH_FAILED),
        (stranger.sign_under(None, &claims("alice")), AUTH_FAILED),
    ] {
        assert_eq!(authenticated(server.address, "alice", &token).await, code, "{token}");
    }
}

fn encoded(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

/// With this header, whatever it says, and the signature of an HMAC with this secret.
fn forged(header: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", encoded(header), encoded(&claims("alice")));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let signature = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn no_token_chooses_the_algorithm_of_a_key() {
    let (rsa, curve) = (Issuer::rs256("r"), Issuer::es256("e"));
    let published = Published::of(&jwks(&[&rsa, &curve]), "");
    let server = published.home.start();
    let jwk = rsa.jwk();
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(jwk["n"].as_str().expect("text")).expect("base64url");
    let mut tokens = Vec::new();
    for secret in [modulus.as_slice(), jwk["n"].as_str().expect("text").as_bytes(), jwk.to_string().as_bytes()] {
        for algorithm in ["HS256", "RS256", "ES256", "EdDSA", "PS256", "none"] {
            tokens.push(forged(&json!({"alg": algorithm, "kid": "r"}), secret));
            tokens.push(forged(&json!({"alg": algorithm}), secret));
        }
    }
    for header in [json!({"alg": "none"}), json!({"alg": "None", "kid": "r"})] {
        tokens.push(format!("{}.{}.", encoded(&header), encoded(&claims("alice"))));
    }
    // A key that the token itself brings along, and one key's signature under another's name.
    let stranger = Issuer::es256("e");
    let header =
        Header { jwk: Some(serde_json::from_value(stranger.jwk()).expect("a key")), ..Header::new(Algorithm::HS256) };
    tokens.push(encode(&header, &claims("alice"), &EncodingKey::from_secret(b"mine")).expect("it signs"));
    tokens.push(stranger.sign(&claims("alice")));
    tokens.push(rsa.sign_under(Some("e"), &claims("alice")));
    for token in tokens {
        assert_eq!(authenticated(server.address, "alice", &token).await, AUTH_FAILED, "{token}");
    }
    expect_let_in(server.address, "alice", &rsa.sign(&claims("alice"))).await;
}

#[tokio::test]
async fn an_algorithm_that_is_not_allowed_opens_nothing() {
    let issuers = [Issuer::rs256("r"), Issuer::es256("e")];
    let published = Published::of(&jwks(&issuers.each_ref()), "algorithms = \"ES256,EdDSA\"\n");
    let server = published.home.start();
    assert_eq!(authenticated(server.address, "alice", &published.home.token("alice")).await, AUTH_FAILED);
    assert_eq!(authenticated(server.address, "alice", &issuers[0].sign(&claims("alice"))).await, AUTH_FAILED);
    expect_let_in(server.address, "alice", &issuers[1].sign(&claims("alice"))).await;
}

#[test]
fn a_file_that_is_wrong_ends_the_start_and_is_named_with_the_key() {
    let good = Issuer::eddsa("good").jwk();
    let mut private = good.clone();
    private["kid"] = json!("mine");
    private["d"] = json!("c2VjcmV0");
    for (keys, said) in [
        ("no JSON".to_owned(), "is not JSON"),
        (json!({"keys": [good, private]}).to_string(), "keys[1] (kid \"mine\") is a private key"),
        (json!({"keys": [{"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}]}).to_string(), "(kid \"short\")"),
        (json!({"keys": []}).to_string(), "has no key for tokens of"),
    ] {
        let published = Published::of(&keys, "");
        let refused = published.refused();
        assert!(refused.starts_with("exit status: 1"), "{refused}");
        assert!(refused.contains("keys.json") && refused.contains(said), "{refused}");
        assert!(!refused.contains("c2VjcmV0"), "{refused}");
        assert!(!published.home.data_dir().exists(), "nothing is made");
    }
    let published = Published::of("", "");
    std::fs::remove_file(&published.file).expect("it is there");
    assert!(published.refused().contains("keys.json: cannot be read"));
    let published = Published::of("", "").home.with_config("[auth]\nalgorithms = \"RS256\"\n");
    let refused = Published { home: published, file: PathBuf::new() }.refused();
    assert!(refused.contains("no token would be valid"), "{refused}");
}

#[tokio::test]
async fn a_signal_reads_the_keys_again_and_a_wrong_file_changes_nothing() {
    let (old, new) = (Issuer::eddsa("old"), Issuer::rs256("new"));
    let published = Published::of(&jwks(&[&old]), "");
    let server = published.home.start();
    let address = server.address;
    let (old_token, new_token) = (old.sign(&claims("alice")), new.sign(&claims("alice")));
    let (mut alice, _) = BinaryClient::login(address, "alice", &old_token).await;
    assert_eq!(authenticated(address, "alice", &new_token).await, AUTH_FAILED);

    published.publish(&jwks(&[&new]));
    server.signal("HUP");
    wait_for("the keys", || server.output().contains("keys reloaded: ").then_some(()));
    assert!(server.output().contains("RS256: 1 key(s)"), "{}", server.output());
    assert_eq!(authenticated(address, "alice", &old_token).await, AUTH_FAILED);
    expect_let_in(address, "alice", &new_token).await;
    assert_eq!(alice.send("bob", "id", b"{}").await.number("error_code"), SUCCESS, "who is in stays in");
    let answer = alice.request(command::REAUTH, &auth_body("alice", &old_token, ""), "AuthResponse").await;
    assert_eq!(answer.number("error_code"), AUTH_FAILED);

    published.publish("{");
    server.signal("HUP");
    expect_let_in(address, "alice", &new_token).await;
    let exit = server.stop();
    assert!(exit.status.success());
    assert!(exit.errors.contains("keys.json") && exit.errors.contains("stay in use"), "{}", exit.errors);
}

fn check(published: &Published) -> Output {
    let mut check = mushan();
    check.args(["check", "--auth-jwks-file"]).arg(&published.file).env("MUSHAN_AUTH__EXP", "optional");
    run(check)
}

#[test]
fn a_check_counts_the_keys_and_refuses_a_wrong_file() {
    let published = Published::of(include_str!("../issuer/keys.json"), "");
    let output = check(&published);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let line =
        |head: &str| text.lines().find(|line| line.starts_with(head)).unwrap_or_else(|| panic!("{head}: {text}"));
    for counted in ["HS256: the data", "RS256: 1 key", "ES256: 1 key", "EdDSA: 1 key", "1 other key(s) ignored"] {
        assert!(line("# tokens").contains(counted), "{text}");
    }
    assert!(line("auth.jwks_file = \"/").contains("# flag"), "{text}");
    assert!(line("auth.exp = \"optional\"").contains("# environment"), "{text}");
    published.publish(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#);
    let output = check(&published);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("keys[0] is a private key or a shared secret"));
}

#[tokio::test]
async fn a_token_says_when_it_expires_unless_that_is_optional() {
    let issuer = Issuer::eddsa("d");
    let for_ever = issuer.sign(&json!({"uid": "alice"}));
    let expired = issuer.sign(&json!({"uid": "alice", "exp": 1_000_000_000}));
    for (more, code) in [("", AUTH_FAILED), ("exp = \"required\"\n", AUTH_FAILED), ("exp = \"optional\"\n", SUCCESS)] {
        let published = Published::of(&jwks(&[&issuer]), more);
        let server = published.home.start();
        assert_eq!(authenticated(server.address, "alice", &for_ever).await, code, "{more}");
        assert_eq!(authenticated(server.address, "alice", &expired).await, 101, "what it says holds");
    }
}

#[tokio::test]
async fn a_token_for_one_platform_opens_no_session_on_another() {
    let issuer = Issuer::es256("e");
    let published = Published::of(&jwks(&[&issuer]), "[sessions]\nsame_platform = \"kick\"\n");
    let server = published.home.start();
    let token = issuer.sign(&json!({"sub": "alice", "exp": 4_000_000_000_u64, "platform": "iOS"}));
    let on = async |platform: &str| {
        let mut client = BinaryClient::connect(server.address).await;
        let code = client.authenticate_on("alice", &token, platform).await.number("error_code");
        (client, code)
    };
    let (mut ios, code) = on("iOS").await;
    assert_eq!(code, SUCCESS);
    let (mut web, code) = on("Web").await;
    assert_eq!((code, web.ending().await), (AUTH_FAILED, Some(4001)));
    assert!(ios.heartbeat().await > 0);
    let (_unnamed, code) = on("").await;
    assert_eq!((code, ios.ending().await), (SUCCESS, Some(4004)), "it is on the token's platform");
    RpcClient::login(server.address, "/rpc", "alice", &token).await.call("ping", json!({})).await;
}
