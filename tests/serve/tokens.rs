//! Fresh tokens on live sessions, and sessions that prove their messages, on a real server.

use crate::common::binary::{BinaryClient, SUCCESS, auth_body, command};
use crate::common::keys::{agreed, proof, public_key};
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server};
use serde_json::{Value, json};

/// A second longer than its token, and the session is closed.
fn with_little_grace() -> (Home, Server) {
    let home = Home::new().with_limits("token_grace_ms = 1000\n");
    let server = home.start();
    (home, server)
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_it_shows_a_fresh_one() {
    let (home, server) = with_little_grace();
    let token = |user: &str| home.token_for(user, "2s");
    let (mut idle, _) = BinaryClient::login(server.address, "idle", &token("idle")).await;
    let (mut alice, _) = BinaryClient::login(server.address, "alice", &token("alice")).await;
    let params = json!({"uid": "bob", "token": token("bob"), "deviceId": "d", "deviceFlag": 1});
    let (mut bob, welcome) = RpcClient::login_with(server.address, "/rpc", params).await;
    alice.send("bob", "before", b"hello").await;

    let fresh = auth_body("alice", &home.token("alice"), "Linux");
    let answer = alice.request(command::REAUTH, &fresh, "AuthResponse").await;
    assert_eq!((answer.number("error_code"), answer.number("max_seq")), (SUCCESS, 1));
    let answer = bob.call("reauth", json!({"token": home.token("bob")})).await;
    assert_eq!(answer["result"], json!({"reasonCode": 0, "maxSeq": 1, "inboxEpoch": welcome["inboxEpoch"]}));

    let farewell = idle.receive().await.expect("a farewell before the close");
    assert_eq!(farewell.command, command::KICK_OUT);
    assert_eq!(idle.socket.ending().await, Some(4007));
    assert_eq!(alice.send("bob", "after", b"hello").await.number("error_code"), SUCCESS);
    assert_eq!(bob.call("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_token_that_is_not_good_leaves_the_session_as_it_is() {
    let (home, server) = with_little_grace();
    let mut alice = server.binary("alice").await;
    for (body, code) in [
        (auth_body("alice", &home.token("mallory"), ""), 100),
        (auth_body("mallory", &home.token("mallory"), ""), 100),
        (auth_body("alice", "no token", ""), 100),
    ] {
        let answer = alice.request(command::REAUTH, &body, "AuthResponse").await;
        assert_eq!(answer.number("error_code"), code);
        assert_eq!(alice.send("alice", "note", b"I am still here").await.number("error_code"), SUCCESS);
    }
    let mut bob = server.rpc("bob").await;
    let answer = bob.call("reauth", json!({"token": home.token("alice")})).await;
    assert_eq!(answer["error"]["code"], 1001);
    assert_eq!(bob.call("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn sessions_with_keys_prove_every_message_whichever_core_they_are_on() {
    let server = Home::new().with_shards(3).start();
    let payload = r#"{"content":"hello","type":1}"#;
    // Enough users that all shards have some, and that some arrive at the wrong core.
    for number in 0..6_u8 {
        let (alice, bob) = (format!("alice-{number}"), format!("bob-{number}"));
        let private = [number + 1; 32];
        let public = public_key(private);
        let mut keyed = RpcClient::connect(server.address, "/rpc").await;
        let params = json!({"uid": alice, "token": server.token(&alice), "deviceId": "d", "clientKey": public});
        let welcome = keyed.call("connect", params).await;
        let key = agreed(private, &welcome["result"]);
        let mut plain = server.rpc(&bob).await;

        let send = |id: &str, key: String| {
            let object: Value = serde_json::from_str(payload).expect("JSON");
            json!({"clientMsgNo": id, "channelId": bob, "channelType": 1, "payload": object, "msgKey": key})
        };
        let answer = keyed.call("send", send("one", proof(&key, "one", &bob, payload))).await;
        assert_eq!(answer["result"]["reasonCode"], 0, "{answer}");
        let answer = keyed.call("send", send("two", proof(&key, "one", &bob, payload))).await;
        assert_eq!(answer["error"]["code"], 1106);
        assert!(plain.next("recv").await.get("msgKey").is_none(), "it says nothing to anybody else");

        plain.send(&alice, "three", serde_json::from_str(payload).expect("JSON")).await;
        let received = keyed.next("recv").await;
        assert_eq!(received["msgKey"], proof(&key, "three", &bob, payload), "{received}");
    }
}

/// Seconds since 1970, with fractions.
fn now_s() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// A token with these claims, signed with the data directory's secret.
fn signed(home: &Home, claims: &Value) -> String {
    let digits = std::fs::read_to_string(home.data_dir().join("token-secret")).expect("the server has a secret");
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    let secret: Vec<u8> = (0..64).step_by(2).map(byte).collect();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_secret(&secret)).expect("it signs")
}

#[tokio::test]
async fn a_session_on_one_platform_takes_no_fresh_token_for_another() {
    let home = Home::new();
    let server = home.start();
    let on = |platform: &str| signed(&home, &json!({"sub": "alice", "exp": now_s() + 3_600.0, "platform": platform}));
    let mut alice = server.binary("alice").await;
    for (platform, code) in [("iOS", 100), ("Linux", SUCCESS)] {
        let answer = alice.request(command::REAUTH, &auth_body("alice", &on(platform), ""), "AuthResponse").await;
        assert_eq!(answer.number("error_code"), code, "{platform}");
        assert!(alice.heartbeat().await > 0, "the session goes on");
    }
    let mut bob = server.rpc("alice").await;
    let answer = bob.call("reauth", json!({"token": on("iOS")})).await;
    assert_eq!(answer["result"]["reasonCode"], 0, "JSON-RPC has no platforms: {answer}");
}

/// What opens a session in its leeway opens one that lasts as long as the leeway does.
#[tokio::test]
async fn a_token_in_its_leeway_opens_a_session_that_is_not_ended_at_once_for_want_of_grace() {
    let config = "[server]\ntoken_leeway_ms = 4000\n[limits]\ntoken_grace_ms = 0\n";
    let home = Home::new().with_config(config);
    let server = home.start();
    let expires = now_s() - 1.0;
    let token = signed(&home, &json!({"sub": "alice", "exp": expires}));
    let (mut alice, _) = BinaryClient::login(server.address, "alice", &token).await;
    assert!(alice.heartbeat().await > 0);
    while alice.receive().await.is_ok() {}
    let lasted = now_s() - expires;
    assert!(lasted >= 4.0, "it ends {lasted} s after the token");
    let late = BinaryClient::connect(server.address).await.authenticate("alice", &token).await;
    assert_eq!(late.number("error_code"), 101, "and no session is opened behind the leeway");
}

fn token_tool(home: &Home, arguments: &[&str]) -> std::process::Output {
    let mut tool = crate::common::mushan();
    tool.arg("token").args(arguments).arg("--data-dir").arg(home.data_dir());
    crate::common::run(tool)
}

#[tokio::test]
async fn a_lost_secret_is_replaced_only_when_that_is_asked_for() {
    let home = Home::new();
    let server = home.start();
    let before = home.token("alice");
    BinaryClient::login(server.address, "alice", &before).await.0.send("bob", "one", b"hello").await;
    assert!(!token_tool(&home, &["--new-secret"]).status.success(), "there is one");
    assert!(server.stop().status.success());
    std::fs::remove_file(home.data_dir().join("token-secret")).expect("it is there");
    let refused = Server::try_start(home.serve("127.0.0.1:0")).err().expect("a start makes none beside a log");
    assert!(refused.contains("--new-secret"), "{refused}");
    let made = token_tool(&home, &["--new-secret"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = home.start();
    let stale = BinaryClient::connect(server.address).await.authenticate("alice", &before).await;
    assert_eq!(stale.number("error_code"), 100);
    assert_eq!(BinaryClient::login(server.address, "alice", &home.token("alice")).await.1, 1, "the inbox is the same");
}

/// What the snippet needs of PyJWT, for hosts that have Python and no PyJWT.
const JWT_MODULE: &str = r#"
import base64, hashlib, hmac, json
def encode(claims, key, algorithm):
    assert algorithm == "HS256"
    part = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")
    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (head + b"." + part(hmac.new(key, head, hashlib.sha256).digest())).decode()
"#;

#[tokio::test]
async fn the_tokens_that_the_readme_makes_in_python_are_good() {
    let has = |code: &str| std::process::Command::new("python3").args(["-c", code]).output();
    if !has("").is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED: there is no python3");
    }
    let home = Home::new();
    let server = home.start();
    let directory = tempfile::tempdir().expect("a directory");
    if !has("import jwt").is_ok_and(|output| output.status.success()) {
        std::fs::write(directory.path().join("jwt.py"), JWT_MODULE).expect("written");
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let snippet = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a snippet");
    std::fs::write(directory.path().join("snippet.py"), snippet).expect("written");
    std::os::unix::fs::symlink(home.data_dir(), directory.path().join("mushan-data")).expect("a link");
    let ran = std::process::Command::new("python3").arg("snippet.py").current_dir(directory.path()).output();
    let ran = ran.expect("python3 was there a moment ago");
    let token = String::from_utf8(ran.stdout).expect("text");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let checked = token_tool(&home, &["--check", token.trim()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    BinaryClient::login(server.address, "alice", token.trim()).await;
}
