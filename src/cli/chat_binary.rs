//! The binary protocol as a chat client speaks it: auth, sync, then send, push and ack.
//!
//! Invariant: what is shown is shown once and in inbox order. Pushes that overtake the first sync are held back.

use super::chat_session::{FROM_THE_START, Heard, Identity, Outcome, shown};
use crate::wire::proto::{
    AuthRequest, AuthResponse, CommandType, HeartbeatRequest, KickOutNotification, MessageAck, PushMessage,
    SendMessageRequest, SendMessageResponse, SyncRequest, SyncResponse, WebSocketMessage,
};
use bytes::Bytes;
use prost::Message as _;
use tungstenite::Message;

const TEXT: i32 = 1;
const SYNC_LIMIT: i32 = 100;

pub struct BinarySession {
    me: Identity,
    sequence: u32,
    said: u64,
    /// Pushes that came before the first sync was complete; `None` once it is.
    held: Option<Vec<PushMessage>>,
}

impl BinarySession {
    pub fn new(me: Identity) -> Self {
        Self { me, sequence: 0, said: 0, held: Some(Vec::new()) }
    }

    pub fn open(&mut self, outcome: &mut Outcome) {
        let request = AuthRequest {
            user_id: self.me.user.clone(),
            token: self.me.token.clone(),
            platform: "mushan-chat".to_owned(),
        };
        self.write(CommandType::CmdAuthReq, &request, outcome);
    }

    pub fn say(&mut self, text: &str, outcome: &mut Outcome) {
        self.said += 1;
        let request = SendMessageRequest {
            client_msg_id: format!("{}-{}", self.me.run, self.said),
            receiver_id: self.me.peer.clone(),
            message_type: TEXT,
            content: Bytes::copy_from_slice(text.as_bytes()),
            ..Default::default()
        };
        self.write(CommandType::CmdSendMsgReq, &request, outcome);
    }

    pub fn keep_alive(&mut self, outcome: &mut Outcome) {
        self.write(CommandType::CmdHeartbeatReq, &HeartbeatRequest::default(), outcome);
    }

    /// `None`: the server said what nobody understands.
    pub fn hear(&mut self, bytes: &Bytes, outcome: &mut Outcome) -> Option<()> {
        let envelope = WebSocketMessage::decode(bytes.clone()).ok()?;
        let body = envelope.body;
        match CommandType::try_from(envelope.command).ok()? {
            CommandType::CmdAuthRsp => self.authenticated(&AuthResponse::decode(body).ok()?, outcome),
            CommandType::CmdSyncRsp => self.synced(SyncResponse::decode(body).ok()?, outcome),
            CommandType::CmdPushMsg => {
                let push = PushMessage::decode(body).ok()?;
                match &mut self.held {
                    Some(held) => held.push(push),
                    None => self.show(&push, outcome),
                }
            }
            CommandType::CmdSendMsgRsp => {
                let answer = SendMessageResponse::decode(body).ok()?;
                outcome.heard.push(match answer.error_code {
                    0 => Heard::Accepted,
                    code => Heard::Refused(format!("{} (error {code})", answer.error_msg)),
                });
            }
            CommandType::CmdKickOut => {
                let farewell = KickOutNotification::decode(body).ok()?;
                outcome.heard.push(Heard::Farewell(farewell.message));
            }
            CommandType::CmdUnknown => {
                outcome.heard.push(Heard::Farewell("the server does not know a command".to_owned()))
            }
            _ => {}
        }
        Some(())
    }

    fn authenticated(&mut self, answer: &AuthResponse, outcome: &mut Outcome) {
        if answer.error_code != 0 {
            let farewell = format!("{} (error {})", answer.error_msg, answer.error_code);
            outcome.heard.push(Heard::Farewell(farewell));
            return;
        }
        if self.me.seen > answer.max_seq {
            self.me.seen = FROM_THE_START;
        }
        self.sync(outcome);
    }

    fn sync(&mut self, outcome: &mut Outcome) {
        let request = SyncRequest { min_seq: 0, max_seq: self.me.seen, limit: SYNC_LIMIT };
        self.write(CommandType::CmdSyncReq, &request, outcome);
    }

    fn synced(&mut self, answer: SyncResponse, outcome: &mut Outcome) {
        if answer.error_code != 0 {
            let farewell = format!("{} (error {})", answer.error_msg, answer.error_code);
            outcome.heard.push(Heard::Farewell(farewell));
            return;
        }
        for entry in &answer.messages {
            self.show(entry, outcome);
        }
        if answer.has_more && !answer.messages.is_empty() {
            self.sync(outcome);
            return;
        }
        for push in self.held.take().unwrap_or_default() {
            self.show(&push, outcome);
        }
        outcome.heard.push(Heard::Opened);
    }

    /// Shows an entry unless it has been, and acknowledges it.
    fn show(&mut self, entry: &PushMessage, outcome: &mut Outcome) {
        if entry.seq <= self.me.seen {
            return;
        }
        self.me.seen = entry.seq;
        self.write(
            CommandType::CmdMsgAck,
            &MessageAck { message_id: entry.message_id.clone(), seq: entry.seq },
            outcome,
        );
        let is_mine = entry.sender_id == self.me.user && self.me.peer != self.me.user;
        let from = if is_mine { "you".to_owned() } else { entry.sender_id.clone() };
        outcome.heard.push(Heard::Text { from, text: shown(&entry.content), seq: Some(entry.seq) });
    }

    fn write(&mut self, command: CommandType, body: &impl prost::Message, outcome: &mut Outcome) {
        self.sequence += 1;
        let body = Bytes::from(body.encode_to_vec());
        let envelope = WebSocketMessage { command: command.into(), sequence: self.sequence, body, timestamp: 0 };
        outcome.write.push(Message::binary(envelope.encode_to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(seen: i64) -> BinarySession {
        let me = |text: &str| text.to_owned();
        BinarySession::new(Identity { user: me("bob"), peer: me("alice"), token: me("t"), run: me("r"), seen })
    }

    fn hear(session: &mut BinarySession, command: CommandType, body: &impl prost::Message) -> Outcome {
        let mut outcome = Outcome::default();
        let envelope =
            WebSocketMessage { command: command.into(), body: Bytes::from(body.encode_to_vec()), ..Default::default() };
        session.hear(&Bytes::from(envelope.encode_to_vec()), &mut outcome).unwrap();
        outcome
    }

    fn entry(seq: i64) -> PushMessage {
        let content = Bytes::from(format!("text {seq}"));
        PushMessage { seq, sender_id: "alice".to_owned(), content, ..Default::default() }
    }

    fn texts(outcome: &Outcome) -> Vec<i64> {
        outcome.heard.iter().filter_map(|heard| if let Heard::Text { seq, .. } = heard { *seq } else { None }).collect()
    }

    fn written(outcome: &Outcome) -> Vec<WebSocketMessage> {
        let decode = |message: &Message| WebSocketMessage::decode(message.clone().into_data()).unwrap();
        outcome.write.iter().map(decode).collect()
    }

    #[test]
    fn the_backlog_is_synced_page_by_page_from_what_was_seen_last_and_pushes_wait_for_it() {
        let mut bob = session(3);
        let asked =
            written(&hear(&mut bob, CommandType::CmdAuthRsp, &AuthResponse { max_seq: 6, ..Default::default() }));
        assert_eq!(SyncRequest::decode(asked[0].body.clone()).unwrap().max_seq, 3);

        assert_eq!(texts(&hear(&mut bob, CommandType::CmdPushMsg, &entry(6))), [0; 0]);
        let page = SyncResponse { messages: vec![entry(4), entry(5)], has_more: true, ..Default::default() };
        let first = hear(&mut bob, CommandType::CmdSyncRsp, &page);
        assert_eq!(texts(&first), [4, 5]);
        assert_eq!(
            written(&first).iter().map(WebSocketMessage::command).collect::<Vec<_>>(),
            [CommandType::CmdMsgAck, CommandType::CmdMsgAck, CommandType::CmdSyncReq]
        );

        let page = SyncResponse { messages: vec![entry(6)], ..Default::default() };
        let last = hear(&mut bob, CommandType::CmdSyncRsp, &page);
        assert_eq!(texts(&last), [6], "the held push is the same entry, shown once");
        assert_eq!(last.heard.last(), Some(&Heard::Opened));
    }

    #[test]
    fn a_memory_of_another_server_s_inbox_is_forgotten() {
        let mut bob = session(1_000);
        let asked =
            written(&hear(&mut bob, CommandType::CmdAuthRsp, &AuthResponse { max_seq: 2, ..Default::default() }));
        assert_eq!(SyncRequest::decode(asked[0].body.clone()).unwrap().max_seq, 0);
    }

    #[test]
    fn a_refused_login_is_a_farewell() {
        let refused = AuthResponse { error_code: 101, error_msg: "token expired".to_owned(), ..Default::default() };
        let heard = hear(&mut session(0), CommandType::CmdAuthRsp, &refused).heard;
        assert_eq!(heard, [Heard::Farewell("token expired (error 101)".to_owned())]);
    }
}
