//! One user gives a name to each of very many conversations, and then says that it types in what nobody calls so.

use crate::common::binary::command;
use crate::common::binary_fields::{encode, text};
use crate::stage::Stage;
use std::time::{Duration, Instant};

#[test]
fn a_user_of_many_names_that_types_without_end_holds_nobody_up() {
    let stage = Stage::new();
    stage.withstands("names and typing", || async {
        let mut flooder = stage.login("flooder").await;
        for number in 0..400 {
            let (id, to, name) = (format!("n{number}"), format!("peer-{number}"), format!("name {number}"));
            let fields = [
                ("client_msg_id", text(&id)),
                ("receiver_id", text(&to)),
                ("conversation_id", text(&name)),
                ("message_type", 1_i32.into()),
            ];
            flooder.send_with(&fields, &[]).await;
        }
        let typing = encode("TypingStatusRequest", &[("conversation_id", text("nobody")), ("status", 1_i32.into())]);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            for _ in 0..100 {
                let asked = flooder.ask(command::TYPING, &typing).await;
                let refused = flooder.answer(asked).await;
                assert!(refused.is_ok(), "closed for typing");
            }
        }
    });
}
