//! One user sends the largest messages as fast as it is let, and asks for them back.

use crate::stage::Stage;
use std::time::{Duration, Instant};

#[test]
fn a_flood_of_bytes_holds_nobody_up() {
    let stage = Stage::new();
    stage.withstands("byte flood", || async {
        let mut flooder = stage.login("flooder").await;
        let content = vec![b'x'; 64 << 10];
        let begun = Instant::now();
        for number in 0.. {
            if begun.elapsed() > Duration::from_secs(3) {
                break;
            }
            flooder.send("sink", &format!("f{number}"), &content).await;
            if number % 8 == 0 {
                flooder.sync(0, 1_000).await;
            }
        }
    });
}
