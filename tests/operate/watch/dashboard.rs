//! The dashboard of `tuning/grafana` with data of a real server, which a real Prometheus collects: each of its queries is asked, as
//! Grafana asks it. Where no Prometheus is installed the test says so.

use crate::common::http::{Answer, Api};
use crate::common::receiver::Receiver;
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, wait_for};
use crate::webhooks::{SECRET, Secrets, table};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than two intervals of collecting, over which a rate is taken.
const LOAD: Duration = Duration::from_secs(12);
/// A connection is turned away where there is no room, a shard has a checkpoint after some segments.
const WITHOUT_DATA: [&str; 2] = ["mushan_connections_turned_away_total", "mushan_checkpoint_age_seconds"];

/// A Prometheus that collects one server's metrics each second; killed when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// `None`: there is none on this machine.
    fn start(home: &Home, api: &Api) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: mushan\n  authorization: {{credentials_file: \
             '{}'}}\n  static_configs: [{{targets: ['{}']}}]\n",
            home.data_dir().join("admin-token").display(),
            api.address
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Some(Self { child: child.ok()?, address, _directory: directory })
    }

    /// The values of an expression now.
    fn values(&self, expression: &str) -> Option<Vec<f64>> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a TCP socket");
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        write!(stream, "GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n").ok()?;
        let answer: Value = serde_json::from_str(&Answer::read(&mut stream).body).expect("JSON");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let result = answer["data"]["result"].as_array().expect("a vector").clone();
        let values = result.iter().map(|series| series["value"][1].as_str().and_then(|value| value.parse().ok()));
        Some(values.map(|value| value.expect("a number")).collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What happens on a day: messages across shards in both directions, a refusal, a wrong token, sessions that come and go.
async fn work(server: &Server, api: &Api) {
    let began = Instant::now();
    let (mut alice, mut bob) = (server.rpc("alice").await, server.rpc("bob").await);
    for number in 0.. {
        if began.elapsed() > LOAD {
            break;
        }
        alice.send("bob", &format!("m{number}"), json!({"text": "good morning"})).await;
        bob.next("recv").await;
        if number % 20 == 0 {
            drop(server.rpc("carol").await);
            alice
                .refusal("send", json!({"clientMsgNo": "", "channelId": "bob", "channelType": 1, "payload": {}}))
                .await;
            let mut stranger = RpcClient::connect(server.address, "/rpc").await;
            stranger
                .refusal("connect", json!({"uid": "carol", "token": "wrong", "deviceId": "d", "deviceFlag": 1}))
                .await;
            assert_eq!(api.get("/v1/status").status, 200);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(include_str!("../../../tuning/grafana/mushan.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let of_panel = |panel: &Value| -> Vec<(String, String)> {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let expressions = targets.iter().map(|target| target["expr"].as_str().expect("a query").to_owned());
        expressions.map(|expression| (title.clone(), expression)).collect()
    };
    panels.iter().flat_map(of_panel).collect()
}

#[tokio::test]
async fn each_query_of_the_dashboard_has_data() {
    let (secrets, receiver) = (Secrets::new(SECRET), Receiver::start());
    let hook = format!(
        "[hook]\nurl = \"{}\"\nsecret_file = \"{}\"\non_failure = \"open\"\n",
        receiver.url(),
        secrets.file().display()
    );
    let config = format!("{hook}{}", table("orders", &receiver.url(), &secrets.file(), ""));
    let home = Home::new().with_shards(2).with_config(&config);
    let (server, api) = home.start_with_api();
    let Some(prometheus) = Prometheus::start(&home, &api) else { return println!("prometheus is not here") };
    let target = home.data_dir().with_file_name("backup");
    assert!(home.run(&["backup", "--to", target.to_str().expect("UTF-8")]).status.success());
    // A follower that reads nothing lags behind.
    let mut stream = api.connect();
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", api.token)
        .expect("asked");
    wait_for("Prometheus", || prometheus.values("up").filter(|values| values == &[1.0]));
    work(&server, &api).await;
    let expressions = expressions();
    assert!(expressions.len() > 50, "{} queries", expressions.len());
    let without = expressions.iter().filter(|(_, expression)| {
        let asked = expression.replace("$__rate_interval", "8s").replace("$instance", ".+");
        let values = prometheus.values(&asked).expect("Prometheus answers");
        !values.iter().any(|value| value.is_finite()) && !WITHOUT_DATA.iter().any(|name| expression.contains(name))
    });
    let without: Vec<_> = without.collect();
    assert!(without.is_empty(), "no data for {without:#?}");
}
