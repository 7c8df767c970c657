//! One user writes to as many strangers as it can, who exist only because it does.

use crate::stage::Stage;
use std::time::{Duration, Instant};

#[test]
fn who_writes_to_random_ids_holds_nobody_up() {
    let stage = Stage::new();
    stage.withstands("random ids", || async {
        let mut writer = stage.login("writer").await;
        let begun = Instant::now();
        for number in 0.. {
            if begun.elapsed() > Duration::from_secs(3) {
                break;
            }
            writer.send(&format!("nobody-{number}"), &format!("r{number}"), b"hello").await;
        }
    });
}
