//! A server with default limits, two bystanders who write to each other all the time, and what they had to wait.

use crate::common::binary::BinaryClient;
use crate::common::http::Api;
use crate::common::{Home, Server, wait_for};
use mushan::model::{Millis, UserId};
use mushan::shard::{Cost, Placement};
use mushan::wire::token;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What 99 of 100 sends of a bystander may take.
const BOUND: Duration = Duration::from_millis(20);
/// How much longer it may take on a machine that does other things as well, or in a build without optimization.
const FACTOR: u32 = 100;
/// Between two sends of a bystander: far below what it may send.
const PAUSE: Duration = Duration::from_millis(15);
/// How long bystanders are heard at least.
const LEAST: Duration = Duration::from_secs(1);
const SHARDS: u16 = 2;

/// Attacks one at a time: they would be each other's.
static ALONE: Mutex<()> = Mutex::new(());

pub struct Stage {
    pub home: Home,
    server: Server,
    secret: Vec<u8>,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// A server as it is without any configuration.
    pub fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let home = Home::new().with_config("").with_shards(SHARDS);
        let server = home.start();
        let secret = std::fs::read_to_string(home.data_dir().join("token-secret")).expect("the server has a secret");
        let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hex digits");
        let secret = secret.trim().as_bytes().chunks(2).map(digit).collect();
        Self { home, server, secret, _alone: alone }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn api(&self) -> Api {
        self.home.api()
    }

    pub fn token(&self, user: &str) -> String {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let now = Millis(since_epoch.as_millis() as u64);
        token::mint(&self.secret, &UserId::new(user).expect("well formed"), now, now.plus(3_600_000))
    }

    pub async fn login(&self, user: &str) -> BinaryClient {
        BinaryClient::login(self.address(), user, &self.token(user)).await.0
    }

    /// Names that belong to this shard.
    pub fn users_of(shard: u16, prefix: &str) -> impl Iterator<Item = String> {
        let placement = Placement::new(SHARDS);
        let is_there = move |name: &String| placement.owner_of(&UserId::new(name).expect("well formed")).0 == shard;
        let prefix = prefix.to_owned();
        (0..).map(move |number| format!("{prefix}-{number}")).filter(is_there)
    }

    /// The name of a group's member.
    pub fn member(group: &str, number: usize) -> String {
        format!("{group}-{number}")
    }

    /// A group of so many, made by the operator.
    pub fn group(&self, group: &str, members: usize) {
        let names: Vec<String> = (0..members).map(|number| Self::member(group, number)).collect();
        let api = self.api();
        let made = serde_json::json!({ "id": group, "owner": names[0], "members": [names[1]] }).to_string();
        assert!(api.ask("POST", "/v1/groups", &made).status < 300, "the group is made");
        for part in names.chunks(5_000) {
            let part = serde_json::json!({ "add": part }).to_string();
            let path = format!("/v1/groups/{group}/members");
            wait_for("members to be added", || (api.ask("POST", &path, &part).status < 300).then_some(()));
        }
    }

    /// Runs an attack; on every shard a pair of bystanders writes meanwhile. Then both are judged.
    pub fn withstands<A: Future<Output = ()>>(&self, name: &str, attack: impl FnOnce() -> A) {
        let is_over = Arc::new(AtomicBool::new(false));
        let bystanders: Vec<_> = (0..SHARDS).map(|shard| self.bystander(shard, &is_over)).collect();
        let begun = Instant::now();
        run(attack());
        // A short attack on a fast machine is over before bystanders have sent enough to be judged.
        std::thread::sleep(LEAST.saturating_sub(begun.elapsed()));
        is_over.store(true, Ordering::Relaxed);
        let mut waits: Vec<Duration> =
            bystanders.into_iter().flat_map(|it| it.join().expect("every send is answered")).collect();
        waits.sort_unstable();
        self.judge(name, &waits);
    }

    fn bystander(&self, shard: u16, is_over: &Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<Duration>> {
        let names: Vec<String> = Self::users_of(shard, "bystander").take(2).collect();
        let tokens: Vec<String> = names.iter().map(|name| self.token(name)).collect();
        let (address, is_over) = (self.address(), Arc::clone(is_over));
        std::thread::spawn(move || {
            run(async {
                let mut author = BinaryClient::login(address, &names[0], &tokens[0]).await.0;
                let mut peer = BinaryClient::login(address, &names[1], &tokens[1]).await.0;
                let mut waits = Vec::new();
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let begun = Instant::now();
                    let answer = author.send(&names[1], &format!("m{number}"), b"how are you").await;
                    assert_eq!(answer.number("error_code"), 0, "{}", answer.text("error_msg"));
                    waits.push(begun.elapsed());
                    peer.next_push().await;
                    tokio::time::sleep(PAUSE).await;
                }
                waits
            })
        })
    }

    fn judge(&self, name: &str, waits: &[Duration]) {
        let at = |part: usize| waits[(waits.len() - 1) * part / 100];
        let highest_cost = self.highest_cost();
        println!(
            "{name}: {} sends, p50 {:?}, p99 {:?}, max {:?}; {highest_cost:?}",
            waits.len(),
            at(50),
            at(99),
            at(100)
        );
        let longest = Duration::from_secs_f64(self.highest("mushan_turn_longest_seconds"));
        let [turns, slow] = ["turns", "slow_turns"].map(|name| self.metric(&format!("mushan_{name}_total")));
        println!("{name}: {slow} of {turns} turns of a shard longer than 1 ms, the longest {longest:?}");
        assert!(waits.len() >= 20, "{name}: bystanders sent only {} messages", waits.len());
        assert!(
            highest_cost.is_within(Cost::BUDGET),
            "{name}: one input costs {highest_cost:?}, more than {:?}",
            Cost::BUDGET
        );
        let factor = std::env::var("MUSHAN_FAIRNESS_FACTOR").ok().and_then(|text| text.parse().ok()).unwrap_or(FACTOR);
        assert!(at(99) <= BOUND * factor, "{name}: 1 of 100 sends takes {:?}", at(99));
    }

    /// What the dearest input has cost since the start, on any shard; published once a second.
    fn highest_cost(&self) -> Cost {
        let turns = self.metric("mushan_turns_total");
        wait_for("fresh metrics", || (self.metric("mushan_turns_total") > turns).then_some(()));
        let of = |part: &str| u32::try_from(self.metric(&format!("mushan_input_{part}_max"))).expect("a count");
        Cost { records: of("records"), bytes: of("bytes"), rows: of("rows"), effects: of("effects") }
    }

    /// The largest value of this name, of all shards.
    pub fn metric(&self, name: &str) -> u64 {
        self.highest(name) as u64
    }

    fn highest(&self, name: &str) -> f64 {
        let text = self.api().get("/metrics").body;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix('{')?.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines().filter_map(value).reduce(f64::max).unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

fn run<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(task)
}
