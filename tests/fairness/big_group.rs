//! Members of a large group write to it as fast as the server allows; other users must not be slowed down.

use crate::stage::Stage;
use std::time::{Duration, Instant};

const MEMBERS: usize = 100_000;
const AUTHORS: usize = 10;

#[test]
fn members_of_a_large_group_hold_nobody_up() {
    let stage = Stage::new();
    stage.group("crowd", MEMBERS);
    stage.withstands("big group", || async {
        let mut authors = Vec::new();
        for number in 0..AUTHORS {
            authors.push(stage.login(&Stage::member("crowd", number)).await);
        }
        let begun = Instant::now();
        let (mut taken, mut refused) = (0, 0);
        for number in 0.. {
            if begun.elapsed() > Duration::from_secs(4) {
                break;
            }
            for author in &mut authors {
                let answer = author.send_to_group("crowd", &format!("g{number}"), b"everybody").await;
                match answer.number("error_code") {
                    0 => taken += 1,
                    201 => refused += 1,
                    other => panic!("{other}: {}", answer.text("error_msg")),
                }
            }
        }
        println!("big group: {taken} messages taken, {refused} refused");
        assert!(taken > 0);
    });
}
