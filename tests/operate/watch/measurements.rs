//! The metrics as monitoring systems take them: what a linter demands of names, units and histograms, that dashboards,
//! alerts and documents name only what is exported, and that histograms count what happened.

use crate::common::http::Api;
use crate::common::receiver::Receiver;
use crate::common::tls::Authority;
use crate::common::{Home, Server, wait_for};
use crate::webhooks::{SECRET, Secrets, table};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// A server that exports everything that it can: with TLS, a hook, a webhook, and a backup.
struct Complete {
    home: Home,
    _files: (tempfile::TempDir, Secrets, Receiver),
}

impl Complete {
    fn new() -> Self {
        let (directory, secrets, receiver) =
            (tempfile::tempdir().expect("a directory"), Secrets::new(SECRET), Receiver::start());
        let [certificate, key] = Authority::new().issue().write(directory.path(), "server");
        let config = format!(
            "[server]\nsegment_bytes = 1048576\n[hook]\nurl = \"{}\"\nsecret_file = \"{}\"\non_failure = \"open\"\n\
             [tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n{}",
            receiver.url(),
            secrets.file().display(),
            certificate.display(),
            key.display(),
            table("orders", &receiver.url(), &secrets.file(), "")
        );
        Self { home: Home::new().with_shards(2).with_config(&config), _files: (directory, secrets, receiver) }
    }

    fn start(&self) -> (Server, Api) {
        let (server, api) = self.home.start_with_api();
        let target = self._files.0.path().join("backup");
        let backup = self.home.run(&["backup", "--to", target.to_str().expect("UTF-8")]);
        assert!(backup.status.success(), "{backup:?}");
        wait_for("both shards", || (samples(&api.get("/metrics").body, "mushan_turns_total") == 2).then_some(()));
        (server, api)
    }
}

fn samples(text: &str, name: &str) -> usize {
    text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count()
}

/// One metric of an exposition: its type, its help, and its lines.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    /// The name with its suffix, the labels, the value.
    samples: Vec<(String, String, f64)>,
}

/// Every metric by its name, read as the text format is specified, by code of this test alone.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut found: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(found.get(name).is_none_or(|family| family.help.is_empty()), "{name} has two helps");
            found.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            let family = found.entry(name.to_owned()).or_default();
            assert!(family.kind.is_empty() && family.samples.is_empty(), "{name} has one type, before its samples");
            family.kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect("closed").to_owned();
            let suffixes = ["_bucket", "_sum", "_count"];
            let of_histogram = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
            let family = of_histogram.filter(|base| found.get(*base).is_some_and(|it| it.kind == "histogram"));
            let family = family.unwrap_or(name);
            let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect("a number") };
            let family = found.get_mut(family).unwrap_or_else(|| panic!("{name} has no type"));
            family.samples.push((name.to_owned(), labels, value));
        }
    }
    found
}

/// What `promtool check metrics` objects to.
fn problems(name: &str, family: &Family) -> Vec<String> {
    const FOREIGN_UNITS: [&str; 24] = [
        "ms",
        "us",
        "ns",
        "milliseconds",
        "microseconds",
        "nanoseconds",
        "minutes",
        "hours",
        "days",
        "weeks",
        "kb",
        "mb",
        "gb",
        "kib",
        "mib",
        "gib",
        "kilobytes",
        "megabytes",
        "gigabytes",
        "bits",
        "percent",
        "celcius",
        "sec",
        "secs",
    ];
    let parts: Vec<&str> = name.split('_').collect();
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let ends = |suffix: &str| name.ends_with(suffix);
    let is_counter = family.kind == "counter";
    let distinct: BTreeSet<_> = family.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    let table = [
        (family.help.is_empty(), "no help"),
        (!["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "no type"),
        (!name.chars().all(is_plain), "letters that do not belong into a name"),
        (is_counter != ends("_total"), "a counter ends with _total, and nothing else does"),
        (ends("_count") || ends("_sum") || ends("_bucket"), "a suffix of histograms"),
        (parts.iter().any(|part| ["counter", "gauge", "histogram", "summary"].contains(part)), "its type in its name"),
        (parts.iter().any(|part| FOREIGN_UNITS.contains(part)), "a unit that is no base unit"),
        (parts.iter().any(|part| *part == "second" || *part == "byte"), "a unit in the singular"),
        (distinct.len() < family.samples.len(), "a series twice"),
    ];
    table.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| format!("{name}: {what}")).collect()
}

/// Buckets ascend, and the infinite one has everything.
fn check_histogram(name: &str, family: &Family) {
    let bound = |labels: &str| labels.rsplit_once("le=\"").map(|(rest, bound)| (rest.to_owned(), bound.to_owned()));
    let mut by_series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (_, labels, value) in family.samples.iter().filter(|(sample, _, _)| sample.ends_with("_bucket")) {
        let (rest, le) = bound(labels).expect("a bound");
        let le = le.trim_end_matches('"');
        let le = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("a number") };
        by_series.entry(rest.trim_end_matches(',').to_owned()).or_default().push((le, *value));
    }
    assert!(!by_series.is_empty(), "{name} has no buckets");
    for (labels, buckets) in by_series {
        assert!(buckets.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1), "{name} {labels} {buckets:?}");
        let count = family.samples.iter().find(|(sample, of, _)| sample.ends_with("_count") && *of == labels);
        let (le, all) = *buckets.last().expect("not empty");
        assert!(le.is_infinite() && count.is_some_and(|(_, _, count)| *count == all), "{name} {labels}: {count:?}");
        assert!(family.samples.iter().any(|(sample, of, _)| sample.ends_with("_sum") && *of == labels), "{name}");
    }
}

/// Runs a published program over `text`, if this machine has it.
fn check_with(program: &str, arguments: &[&str], text: &str) {
    let child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return println!("{program} is not here") };
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("our own child");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_is_exported_is_as_a_linter_wants_it() {
    let complete = Complete::new();
    let (_server, api) = complete.start();
    let text = api.get("/metrics").body;
    let families = families(&text);
    let found: Vec<String> = families.iter().flat_map(|(name, family)| problems(name, family)).collect();
    assert!(found.is_empty(), "{found:#?}");
    let histograms: Vec<_> = families.iter().filter(|(_, family)| family.kind == "histogram").collect();
    assert!(histograms.len() >= 10, "{} histograms", histograms.len());
    histograms.into_iter().for_each(|(name, family)| check_histogram(name, family));
    check_with("promtool", &["check", "metrics"], &text);
    const PARSE: &str = "import sys\ntext = sys.stdin.read()\ntry:\n from prometheus_client.parser import \
                         text_string_to_metric_families as parse\nexcept ImportError:\n sys.exit(0)\n\
                         assert len(list(parse(text))) > 90";
    check_with("python3", &["-c", PARSE], &text);
}

#[test]
fn a_linter_finds_what_is_wrong_with_a_name() {
    let text = "# HELP mushan_waits Waits.\n# TYPE mushan_waits counter\nmushan_waits 1\n\
                # HELP mushan_wait_ms Waits.\n# TYPE mushan_wait_ms gauge\nmushan_wait_ms 1\n\
                # HELP mushan_turn_us_max Waits.\n# TYPE mushan_turn_us_max gauge\nmushan_turn_us_max 1\n\
                # TYPE mushan_silent gauge\nmushan_silent 1\nmushan_silent 2\n";
    let found: Vec<String> = families(text).iter().flat_map(|(name, family)| problems(name, family)).collect();
    let expected = [
        "mushan_silent: no help",
        "mushan_silent: a series twice",
        "mushan_turn_us_max: a unit that is no base unit",
        "mushan_wait_ms: a unit that is no base unit",
        "mushan_waits: a counter ends with _total, and nothing else does",
    ];
    assert_eq!(found, expected);
}

/// The names of metrics in a text, without the suffixes of histograms' series.
fn named(text: &str, exported: &BTreeSet<String>) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let words = text.split(|letter: char| !is_part(letter) && letter != '*' && letter != '/' && letter != '-');
    let metrics = words.filter(|word| word.starts_with("mushan_") || word.starts_with("process_"));
    let whole = metrics.filter(|word| word.chars().all(is_part) && !word.ends_with('_'));
    let base = |word: &str| {
        let stripped = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        stripped.filter(|base| exported.contains(*base)).unwrap_or(word).to_owned()
    };
    whole.map(base).collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn dashboard_alerts_and_documents_name_only_what_is_exported() {
    let complete = Complete::new();
    let (_server, api) = complete.start();
    let mut exported: BTreeSet<String> = families(&api.get("/metrics").body).into_keys().collect();
    // A shard has written a checkpoint only after some segments.
    exported.insert("mushan_checkpoint_age_seconds".to_owned());
    // A server that orders its certificate has none in files; tests/serve/acme.rs reads this one.
    exported.insert("mushan_acme_orders_total".to_owned());
    // Only one that took over has it; tests/runbook/take_over.rs reads it.
    exported.insert("mushan_take_over_gap_seconds".to_owned());
    let of_push = named(&read("src/cli/push/meters.rs"), &exported);
    exported.extend(of_push);
    let dashboard = named(&read("tuning/grafana/mushan.json"), &exported);
    assert!(dashboard.len() > 40, "the dashboard shows {} metrics", dashboard.len());
    for (path, names) in [
        ("tuning/grafana/mushan.json", dashboard),
        ("tuning/alerts/mushan.yml", named(&read("tuning/alerts/mushan.yml"), &exported)),
        ("docs/OPERATIONS.md", named(&read("docs/OPERATIONS.md"), &exported)),
        ("docs/ARCHITECTURE.md", named(&read("docs/ARCHITECTURE.md"), &exported)),
        ("docs/WEBHOOKS.md", named(&read("docs/WEBHOOKS.md"), &exported)),
        ("docs/PUSH.md", named(&read("docs/PUSH.md"), &exported)),
        ("README.md", named(&read("README.md"), &exported)),
    ] {
        // Readers know counters with and without their suffix.
        let is_there = |name: &&String| exported.contains(*name) || exported.contains(&format!("{name}_total"));
        let unknown: Vec<&String> = names.iter().filter(|name| !is_there(name)).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let (rules, operations) = (read("tuning/alerts/mushan.yml"), read("docs/OPERATIONS.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let runbooks = rules.lines().filter_map(|line| line.trim().strip_prefix("runbook: docs/OPERATIONS.md#"));
    let lower: Vec<String> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    assert_eq!(runbooks.collect::<Vec<_>>(), lower, "each alert names its own section");
    let sections: BTreeSet<&str> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### ").filter(|title| title.starts_with("Mushan")))
        .collect();
    assert_eq!(sections, alerts.into_iter().collect::<BTreeSet<_>>());
    for section in operations.split("\n### Mushan").skip(1) {
        let section = section.split("\n## ").next().unwrap_or_default();
        for part in ["**Looks like**", "**Why**", "**Do**"] {
            assert!(section.contains(part), "{part} is missing in Mushan{section}");
        }
    }
    let path = |name: &str| format!("{}/tuning/alerts/{name}", env!("CARGO_MANIFEST_DIR"));
    check_with("promtool", &["check", "rules", &path("mushan.yml")], "");
    let scenarios = read("tuning/alerts/mushan_test.yml");
    let missing: Vec<_> =
        sections.iter().filter(|alert| !scenarios.contains(&format!("  - name: {alert}\n"))).collect();
    assert!(missing.is_empty(), "no scenario makes {missing:?} fire");
    check_with("promtool", &["test", "rules", &path("mushan_test.yml")], "");
}

#[tokio::test]
async fn histograms_and_counters_tell_what_happened() {
    let home = Home::new().with_shards(2);
    let (server, api) = home.start_with_api();
    // Their shards are different ones, so each message crosses a lane.
    let (mut alice, mut bob) = (server.rpc("alice").await, server.rpc("bob").await);
    for number in 0..20 {
        alice.send("bob", &format!("m{number}"), json!({"text": "good morning"})).await;
        bob.next("recv").await;
    }
    let at_least = |series: &str, least: f64| wait_for(series, || (api.sample(series) >= least).then_some(()));
    at_least("mushan_message_commit_seconds_count", 20.0);
    at_least("mushan_message_delivery_seconds_count", 20.0);
    at_least("mushan_message_push_seconds_count", 20.0);
    at_least("mushan_message_commit_seconds_sum", 0.000_01);
    at_least("mushan_lane_hop_seconds_count", 20.0);
    at_least("mushan_log_sync_seconds_count", 2.0);
    at_least("mushan_log_sync_records_sum", 20.0);
    at_least("mushan_turn_seconds_count", 20.0);
    at_least("mushan_connection_outbox_bytes_count", 2.0);
    at_least("mushan_admin_request_seconds_count", 1.0);
    at_least("mushan_requests_total{shard=\"1\",verb=\"send\"}", 20.0);
    at_least("mushan_client_messages_total{shard=\"1\",protocol=\"jsonrpc\"}", 20.0);
    assert_eq!(api.sample("mushan_message_commit_seconds_count"), 20.0, "each message once");
    let of_rpc = |text: &str| text.lines().filter(|line| line.contains("protocol=\"jsonrpc\"")).count();
    assert!(of_rpc(&api.get("/metrics").body) > 2);
    let commits = api.sample("mushan_message_commit_seconds_sum");
    assert!(commits < 60.0, "twenty messages waited for {commits} s");
}

#[test]
fn certificates_backups_and_recovery_are_dated() {
    let complete = Complete::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let (_server, api) = complete.start();
    assert!(api.sample("mushan_tls_certificate_expiry_timestamp_seconds{listener=\"clients\"}") > now);
    let backed_up = api.sample("mushan_backup_last_timestamp_seconds");
    assert!((now - 1.0..now + Duration::from_secs(600).as_secs_f64()).contains(&backed_up), "{backed_up}");
    assert!(api.sample("mushan_recovery_seconds{") > 0.0);
    assert!(api.sample("mushan_disk_bytes ") > api.sample("mushan_disk_free_bytes "));
    assert_eq!(api.sample("mushan_draining "), 0.0);
}
