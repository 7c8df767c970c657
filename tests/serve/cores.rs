//! The number of shards belongs to the data, the number of cores to the day: a directory is served on any.

use crate::common::binary::BinaryClient;
use crate::common::{Home, Server};

/// Started on these cores only: a process inherits them from the thread that starts it.
fn start_on(home: &Home, core: usize) -> Server {
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            assert!(core_affinity::set_for_current(core_affinity::CoreId { id: core }), "core {core} is ours");
            home.start()
        });
        starter.join().expect("the server starts")
    })
}

#[tokio::test]
async fn three_shards_are_served_on_one_core_and_on_all_with_the_same_inboxes() {
    let home = Home::new().with_shards(3);
    let users = ["ann", "ben", "cyd", "dan", "eve"];
    let cores = core_affinity::get_core_ids().expect("cores");
    for round in 0..3_usize {
        let server = if round == 1 { start_on(&home, cores[0].id) } else { home.start() };
        let told = server.output();
        let line = told.lines().find(|line| line.starts_with("shards")).expect("it says where it runs").to_owned();
        let core = cores[0].id;
        assert_eq!(
            line.ends_with(&format!("on cores {core}, {core}, {core}")),
            round == 1 || cores.len() == 1,
            "{line}"
        );
        for (at, author) in users.iter().enumerate() {
            let (mut client, max_seq) = BinaryClient::login(server.address, author, &home.token(author)).await;
            // Nine a round, and one from each who has sent in this one.
            assert_eq!(max_seq, (9 * round + at) as i64, "{author} in round {round}");
            for peer in users {
                client.send(peer, &format!("{round}-{author}-{peer}"), b"hello").await;
            }
        }
        for user in users {
            let mut client = server.binary(user).await;
            let inbox = client.inbox().await;
            // Five sent, one of them to oneself, and four received, each round.
            assert_eq!(inbox.len(), 9 * (round + 1), "{user} in round {round}");
            let mut ids: Vec<String> =
                inbox.iter().map(|entry| entry.text("sender_id") + &entry.text("client_msg_id")).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), inbox.len(), "each once");
        }
        assert!(server.stop().status.success());
    }
}
