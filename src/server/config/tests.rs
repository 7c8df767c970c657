//! The configuration, read as an operator writes it.

use super::*;
use crate::server::Durability;
use std::io::Write;

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_file(file: &tempfile::NamedTempFile) -> Sources {
    Sources { file: Some(file.path().to_owned()), ..Sources::default() }
}

fn problems(sources: &Sources) -> Vec<String> {
    Config::read(sources).expect_err("something is wrong").0
}

fn values_of(options: &Options) -> Vec<(&'static str, String)> {
    KNOBS.iter().map(|knob| (knob.key, knob.shown(options))).collect()
}

fn values(config: &Config) -> Vec<(&'static str, String)> {
    values_of(&config.options)
}

fn origin_of(config: &Config, key: &str) -> String {
    let index = KNOBS.iter().position(|knob| knob.key == key).unwrap();
    config.origins[index].clone()
}

#[test]
fn with_nothing_given_the_balanced_profile_is_the_default_options() {
    let config = Config::read(&Sources::default()).unwrap();
    assert_eq!(config.profile, "balanced");
    assert_eq!(values(&config), values_of(&Options::default()), "tuning/balanced.toml and Options::default differ");
    assert_eq!(origin_of(&config, "server.spin_us"), "profile balanced");
    assert_eq!(origin_of(&config, "limits.handshake_ms"), "default");
}

#[test]
fn every_profile_is_sound_and_each_but_the_first_changes_something() {
    for (name, _) in PROFILES {
        let config = Config::read(&Sources { profile: Some(name.to_owned()), ..Sources::default() }).unwrap();
        assert_eq!(values(&config) == values_of(&Options::default()), name == "balanced", "{name}");
    }
}

/// Assignments of a profile with the line before each.
fn assignments(text: &str) -> Vec<(String, &str, &str)> {
    let (mut section, mut before, mut found) = (String::new(), "", Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.replace(']', ".");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            found.push((format!("{section}{name}"), line, before));
        }
        before = line;
    }
    found
}

#[test]
fn what_a_profile_sets_differs_from_balanced_and_has_its_reason_above() {
    let balanced = Options::default();
    for (profile, text) in PROFILES.into_iter().skip(1) {
        let config = Config::read(&Sources { profile: Some(profile.to_owned()), ..Sources::default() }).unwrap();
        let mut has_reason = false;
        for (key, line, before) in assignments(text) {
            let knob = Knob::named(&key).unwrap();
            let differs = knob.shown(&config.options) != knob.shown(&balanced);
            assert!(differs, "{profile}: {key} is as in balanced");
            has_reason = before.starts_with('#') || has_reason && before.contains(" = ");
            assert!(has_reason, "{profile}: {line} has no reason above it");
        }
    }
}

#[test]
fn every_knob_that_a_profile_sets_is_in_the_table_of_the_tuning_page() {
    let page = include_str!("../../../tuning/README.md");
    let table: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 7).collect();
    for (profile, text) in PROFILES {
        for (key, _, _) in assignments(text) {
            let is_listed = table.iter().any(|line| line.contains(&format!("`{key}`")));
            let is_equal_everywhere = ["server.receive_buffer_bytes", "server.tcp_nodelay"].contains(&key.as_str());
            assert!(is_listed || is_equal_everywhere, "{profile}: {key} is not in the table of tuning/README.md");
        }
    }
}

#[test]
fn a_knob_is_explained_with_its_value_in_every_profile() {
    let text = explain("server.huge_pages").unwrap();
    assert!(text.contains("\nbalanced   \"host\""), "{text}");
    assert!(text.lines().count() > PROFILES.len() && explain("server.huge").is_none());
}

#[test]
fn the_later_source_wins_and_is_named() {
    let file =
        file("listen = \"127.0.0.1:1\"\n[server]\nspin_us = 1\nstop_deadline_ms = 1\n[limits]\nclose_timeout_ms = 1\n");
    let sources = Sources {
        environment: environment(&[
            ("MUSHAN_SERVER__SPIN_US", "2"),
            ("MUSHAN_LISTEN", "127.0.0.1:2"),
            ("PATH", "/bin"),
        ]),
        flags: vec![("listen", "127.0.0.1:3".to_owned())],
        ..with_file(&file)
    };
    let config = Config::read(&sources).unwrap();
    assert_eq!(config.options.listen, "127.0.0.1:3".parse().unwrap());
    assert_eq!((config.options.spin_us, config.options.limits.close_timeout_ms), (2, 1));
    assert_eq!(origin_of(&config, "listen"), "flag");
    assert_eq!(origin_of(&config, "server.spin_us"), "environment");
    assert_eq!(origin_of(&config, "limits.close_timeout_ms"), format!("file {}", file.path().display()));
}

#[test]
fn all_problems_of_all_sources_are_told_at_once() {
    let file = file(concat!(
        "lisen = \"127.0.0.1:1\"\n[limits]\nframe_bytes_mx = 5\nclose_timeout_ms = \"long\"\nsends_burst = -1\n",
        "[server]\nspin_us = 99999\n[durability]\npolicy = \"maybe\"\n",
    ));
    let sources = Sources {
        profile: Some("fast".to_owned()),
        environment: environment(&[("MUSHAN_LIMITS__CONTENT_BYTES_MAX", "300000"), ("MUSHAN_LIMITS", "1")]),
        flags: vec![("shards", "many".to_owned()), ("data_dir", String::new())],
        ..with_file(&file)
    };
    let found = problems(&sources);
    let expected = [
        "there is no profile \"fast\"; the profiles are balanced, dev, latency, throughput, durable",
        "policy = \"maybe\" is not allowed; use \"fsync\", \"interval\" or \"none\"",
        "limits.frame_bytes_mx is unknown; did you mean limits.frame_bytes_max?",
        "limits.close_timeout_ms = \"long\" is not a whole number",
        "limits.sends_burst is not a whole number of 0 or more",
        "lisen is unknown; did you mean listen?",
        "server.spin_us = 99999 is out of range, 0 to 10000",
        "environment: MUSHAN_LIMITS is a section, not a value",
        "flag: --shards = \"many\" is not a whole number",
        "flag: --data-dir is empty, and it names a directory",
        "together exceed limits.frame_bytes_max",
    ];
    for sentence in expected {
        assert!(found.iter().any(|problem| problem.contains(sentence)), "{sentence:?} is not in {found:#?}");
    }
    let and_the_outbox = 1;
    assert_eq!(found.len(), expected.len() + and_the_outbox, "{found:#?}");
}

#[test]
fn a_misplaced_key_is_led_home_and_in_its_source_s_own_spelling() {
    let sources =
        Sources { environment: environment(&[("MUSHAN_SERVER__CLOSE_TIMEOUT_MS", "1")]), ..Sources::default() };
    let expected =
        "environment: MUSHAN_SERVER__CLOSE_TIMEOUT_MS is unknown; did you mean MUSHAN_LIMITS__CLOSE_TIMEOUT_MS?";
    assert_eq!(problems(&sources), [expected]);
}

#[test]
fn a_setting_that_was_renamed_is_refused_with_its_present_name() {
    let file = file("[server]\nposts_max = 64\n");
    let sources = Sources { environment: environment(&[("MUSHAN_LIMITS__LINGER_MS", "1")]), ..with_file(&file) };
    let expected = [
        format!("{}: server.posts_max is now called server.shard_requests_max", file.path().display()),
        "environment: MUSHAN_LIMITS__LINGER_MS is now called MUSHAN_LIMITS__CLOSE_TIMEOUT_MS".to_owned(),
    ];
    let found = problems(&sources);
    assert_eq!(found.len(), 2, "{found:?}");
    for sentence in expected {
        assert!(found.iter().any(|problem| problem.contains(&sentence)), "{sentence:?} is not in {found:#?}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_line_beside_other_problems() {
    let file = file("listen = \"127.0.0.1:1\"\nshards = = 2\n");
    let sources = Sources { flags: vec![("shards", "9999".to_owned())], ..with_file(&file) };
    let found = problems(&sources);
    assert!(found[0].contains("line 2"), "{found:?}");
    assert_eq!(found[1], "flag: --shards = 9999 is out of range, 0 to 1024");
}

#[test]
fn a_missing_file_is_a_problem_even_when_the_environment_names_it() {
    let sources = Sources { environment: environment(&[("MUSHAN_CONFIG", "/nowhere/at/all")]), ..Sources::default() };
    assert!(problems(&sources)[0].starts_with("file /nowhere/at/all: cannot be read"));
}

#[test]
fn the_profile_may_be_named_in_the_file_and_a_flag_overrules_it() {
    let file = file("profile = \"dev\"\n");
    assert_eq!(Config::read(&with_file(&file)).unwrap().profile, "dev");
    let sources = Sources { profile: Some("latency".to_owned()), ..with_file(&file) };
    assert_eq!(Config::read(&sources).unwrap().profile, "latency");
}

#[test]
fn durability_is_a_policy_with_its_interval() {
    let variables = [("MUSHAN_DURABILITY__POLICY", "interval"), ("MUSHAN_DURABILITY__INTERVAL_MS", "250")];
    let config = Config::read(&Sources { environment: environment(&variables), ..Sources::default() }).unwrap();
    assert_eq!(config.options.durability, Durability::Interval { interval_ms: 250 });
    let only_policy = Sources { environment: environment(&variables[..1]), ..Sources::default() };
    let expected = Durability::Interval { interval_ms: crate::server::config::knobs::INTERVAL_MS_DEFAULT };
    assert_eq!(Config::read(&only_policy).unwrap().options.durability, expected);
}

#[test]
fn shards_zero_leaves_the_count_to_the_data_directory() {
    let read = |text: &str| {
        let sources = Sources { flags: vec![("shards", text.to_owned())], ..Sources::default() };
        Config::read(&sources).unwrap().options.shards
    };
    assert_eq!((read("0"), read("3")), (None, Some(3)));
}

#[test]
fn what_check_prints_is_toml_that_reads_back_as_the_same_options() {
    let first = Config::read(&Sources { profile: Some("dev".to_owned()), ..Sources::default() }).unwrap();
    let file = file(&first.lines().collect::<Vec<_>>().join("\n"));
    assert_eq!(values(&Config::read(&with_file(&file)).unwrap()), values(&first));
}

#[test]
fn the_tests_own_variables_are_not_taken_for_the_server_s() {
    let sources = Sources { environment: environment(&[("MUSHAN_BENCH_SMOKE", "1")]), ..Sources::default() };
    assert!(Config::read(&sources).is_ok());
}

#[test]
fn every_knob_is_explained_in_the_tuning_page() {
    let page = include_str!("../../../tuning/README.md");
    let names: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let is_named = |key: &str, name: &str| match name.split_once('*') {
        Some((head, tail)) => key.starts_with(head) && key.ends_with(tail),
        None => key == name,
    };
    let silent: Vec<&str> =
        KNOBS.iter().map(|knob| knob.key).filter(|key| !names.iter().any(|name| is_named(key, name))).collect();
    assert_eq!(silent, ["data_dir"], "it has nothing to tune");
}
