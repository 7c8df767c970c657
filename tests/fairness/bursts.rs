//! Everybody who may write to one user sends all that it has saved up at once: strangers, and members of a large group.
//! The user reads as fast as it can in both protocols, is told everything, and is not closed for it.

use crate::common::binary::{BinaryClient, command, send_body};
use crate::common::rpc::RpcClient;
use crate::stage::Stage;
use std::time::Duration;

const MEMBERS: usize = 100_000;
const STRANGERS: usize = 10;
/// A large message and so many small ones: what a user has saved up. Then, two times, what comes back in `PAUSE`.
const SMALL_SENDS: usize = 180;
const SENDS_AGAIN: usize = 90;
const PAUSE: Duration = Duration::from_millis(1_200);
const SMALL: usize = 4 << 10;
const LARGE: usize = 60 << 10;
/// Members that write to the group.
const SPEAKERS: usize = 5;

#[test]
fn bursts_to_who_reads_fast_hold_nobody_up_and_close_nobody() {
    let stage = Stage::new();
    stage.group("crowd", MEMBERS);
    let reader = Stage::member("crowd", 1);
    stage.withstands("bursts", || async {
        let count = STRANGERS * (1 + SMALL_SENDS + 2 * SENDS_AGAIN) + SPEAKERS;
        let rpc = RpcClient::login(stage.address(), "/rpc", &reader, &stage.token(&reader)).await;
        let readers =
            [tokio::spawn(read_rpc(rpc, count)), tokio::spawn(read_binary(stage.login(&reader).await, count))];
        let mut bursts = Vec::new();
        for number in 0..STRANGERS {
            bursts.push(burst(stage.login(&format!("stranger-{number}")).await, reader.clone()));
        }
        for number in 2..2 + SPEAKERS {
            speak(stage.login(&Stage::member("crowd", number)).await).await;
        }
        let bursts: Vec<_> = bursts.into_iter().map(tokio::spawn).collect();
        for task in bursts.into_iter().chain(readers) {
            task.await.expect("nobody is closed");
        }
    });
}

/// To all members, as soon as the group has a place for it.
async fn speak(mut member: BinaryClient) {
    loop {
        let answer = member.send_to_group("crowd", "burst", &[b'g'; LARGE]).await;
        match answer.number("error_code") {
            0 => return,
            201 => tokio::time::sleep(Duration::from_millis(50)).await,
            other => panic!("{other}: {}", answer.text("error_msg")),
        }
    }
}

async fn burst(mut author: BinaryClient, to: String) {
    for (round, small_sends) in [SMALL_SENDS, SENDS_AGAIN, SENDS_AGAIN].into_iter().enumerate() {
        let large = (round == 0).then_some(LARGE);
        let mut asked = Vec::new();
        for (number, bytes) in large.into_iter().chain(std::iter::repeat_n(SMALL, small_sends)).enumerate() {
            let body = send_body(&to, &format!("burst-{round}-{number}"), &vec![b's'; bytes]);
            asked.push(author.ask(command::SEND, &body).await);
        }
        for sequence in asked {
            author.answer(sequence).await.expect("who reads its answers is not closed");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads on until so many messages of the bursts have come.
async fn read_binary(mut client: BinaryClient, count: usize) {
    let mut told = 0;
    while told < count {
        told += usize::from(client.next_push().await.text("client_msg_id").starts_with("burst"));
    }
}

async fn read_rpc(mut client: RpcClient, count: usize) {
    let mut told = 0;
    while told < count {
        let message = client.next("recv").await;
        told += usize::from(message["clientMsgNo"].as_str().is_some_and(|id| id.starts_with("burst")));
    }
}
