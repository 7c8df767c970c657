//! One user marks a long conversation read, one message after the other, which takes a recount each time.

use crate::stage::Stage;
use std::time::{Duration, Instant};

#[test]
fn a_flood_of_marks_delays_no_other_users_recount() {
    let stage = Stage::new();
    stage.withstands("mark flood", || async {
        for (author, reader) in [("writer", "flooder"), ("friend", "reader")] {
            let mut author = stage.login(author).await;
            for number in 0..200 {
                author.send(reader, &format!("m{number}"), b"read me").await;
            }
        }
        let mut flooder = stage.login("flooder").await;
        for through in 1..130 {
            flooder.mark_read("single_flooder_writer", through).await;
        }
        let mut reader = stage.login("reader").await;
        let begun = Instant::now();
        assert_eq!(reader.mark_read("single_friend_reader", 50).await, 0);
        loop {
            let list = reader.conversations(0, 10).await;
            if list.list("conversations")[0].number("unread") == 150 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "another user's recount is not done");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
