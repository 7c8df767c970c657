//! Hundreds of sessions watch the same users, who come and go.

use crate::stage::Stage;
use std::time::{Duration, Instant};

const WATCHERS: usize = 300;
const WATCHED: usize = 100;

#[test]
fn watchers_of_the_same_users_hold_nobody_up() {
    let stage = Stage::new();
    stage.withstands("watchers", || async {
        let watched: Vec<String> = (0..WATCHED).map(|number| format!("star-{number}")).collect();
        let names: Vec<&str> = watched.iter().map(String::as_str).collect();
        let mut watchers = Vec::new();
        for number in 0..WATCHERS {
            let mut watcher = stage.login(&format!("fan-{number}")).await;
            watcher.presence(&names, 1).await;
            watchers.push(watcher);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            for name in names.iter().take(10) {
                drop(stage.login(name).await);
            }
        }
    });
}
