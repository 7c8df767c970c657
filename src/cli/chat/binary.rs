//! The chat client's side of the binary protocol: authenticate, sync, then send, receive pushes and acknowledge.
//!
//! Invariant: each entry is shown once and in inbox order. Pushes that arrive before the first sync is complete are
//! held back.

use crate::cli::chat::exchange::{ChatAction, ChatEvent, ChatPair, ChatPeer, FROM_THE_START, Line};
use crate::cli::chat::line::ChatMessage;
use crate::wire::proto::{
    AuthRequest, AuthResponse, CommandType, HeartbeatRequest, KickOutNotification, MessageAck, PushMessage,
    ReadReceiptPush, RevokeMessagePush, SendMessageRequest, SendMessageResponse, SyncRequest, SyncResponse,
    WebSocketMessage,
};
use bytes::Bytes;
use prost::Message as _;
use std::collections::HashSet;
use tungstenite::Message;

const TEXT: i32 = 1;
const REVOKED: i32 = 1001;
const READ: i32 = 1002;
const GROUP_CHANGE: i32 = 1003;
/// Reasons of a kick-out after which the client reconnects: the server stops, or this client was too slow.
const PASSING: [i32; 2] = [4, 5];

pub struct BinarySession {
    me: ChatPair,
    /// Pushes that arrived before the first sync was complete; `None` afterwards.
    held: Option<Vec<PushMessage>>,
    /// Facts that were pushed: a push of a fact has no seq, so a later sync returns the fact again.
    told: HashSet<Bytes>,
}

impl BinarySession {
    pub fn new(me: ChatPair) -> Self {
        Self { me, held: Some(Vec::new()), told: HashSet::new() }
    }

    pub fn epoch(&self) -> Option<u64> {
        self.me.epoch
    }

    pub fn open(&mut self, outcome: &mut ChatAction) {
        self.held = Some(Vec::new());
        let request = AuthRequest {
            user_id: self.me.user.clone(),
            token: self.me.token.clone(),
            platform: "mushan-chat".to_owned(),
        };
        write(CommandType::CmdAuthReq, 0, &request, outcome);
    }

    pub fn say(&mut self, number: u32, text: &str, outcome: &mut ChatAction) {
        let (receiver_id, group_id) = match self.me.peer.clone() {
            ChatPeer::User(user) => (user, String::new()),
            ChatPeer::Group(group) => (String::new(), group),
        };
        let request = SendMessageRequest {
            client_msg_id: self.me.client_message_id(number),
            receiver_id,
            group_id,
            message_type: TEXT,
            content: Bytes::copy_from_slice(text.as_bytes()),
            ..Default::default()
        };
        write(CommandType::CmdSendMsgReq, number, &request, outcome);
    }

    pub fn keep_alive(&mut self, outcome: &mut ChatAction) {
        write(CommandType::CmdHeartbeatReq, 0, &HeartbeatRequest::default(), outcome);
    }

    /// Handles one message. `None`: the bytes are not of this protocol. Unknown commands are ignored.
    pub fn receive(&mut self, bytes: &Bytes, outcome: &mut ChatAction) -> Option<()> {
        let envelope = WebSocketMessage::decode(bytes.clone()).ok()?;
        let body = envelope.body;
        let Ok(command) = CommandType::try_from(envelope.command) else { return Some(()) };
        match command {
            CommandType::CmdAuthRsp => self.authenticated(&AuthResponse::decode(body).ok()?, outcome),
            CommandType::CmdSyncRsp => self.synced(SyncResponse::decode(body).ok()?, outcome),
            CommandType::CmdPushMsg => {
                let push = PushMessage::decode(body).ok()?;
                match &mut self.held {
                    Some(held) => held.push(push),
                    None => self.show(&push, outcome),
                }
            }
            CommandType::CmdRevokeMsgPush | CommandType::CmdReadReceiptPush => {
                let kind = if command == CommandType::CmdRevokeMsgPush { REVOKED } else { READ };
                let line = self.line_of_fact(kind, &body);
                self.told.insert(body);
                outcome.events.push(ChatEvent::Entry { seq: None, line });
            }
            CommandType::CmdSendMsgRsp => {
                let answer = SendMessageResponse::decode(body).ok()?;
                match answer.error_code {
                    0 => outcome.accepted(&mut self.me, envelope.sequence, answer.seq),
                    code => {
                        let why = format!("{} (error {code})", answer.error_msg);
                        outcome.events.push(ChatEvent::Refused(envelope.sequence, why));
                    }
                }
            }
            CommandType::CmdKickOut => {
                let farewell = KickOutNotification::decode(body).ok()?;
                let is_passing = PASSING.contains(&farewell.reason);
                outcome.events.push(if is_passing {
                    ChatEvent::Leaving
                } else {
                    ChatEvent::Farewell(farewell.message)
                });
            }
            CommandType::CmdUnknown => return None,
            _ => {}
        }
        Some(())
    }

    fn authenticated(&mut self, answer: &AuthResponse, outcome: &mut ChatAction) {
        if answer.error_code != 0 {
            let farewell = format!("{} (error {})", answer.error_msg, answer.error_code);
            outcome.events.push(ChatEvent::Farewell(farewell));
            return;
        }
        self.me.is_in_epoch(answer.inbox_epoch);
        if self.me.seen.is_some_and(|seen| seen > answer.max_seq) {
            self.me.seen = Some(FROM_THE_START);
        }
        self.sync(outcome);
    }

    fn sync(&mut self, outcome: &mut ChatAction) {
        let (max_seq, limit) = self.me.sync_range();
        write(CommandType::CmdSyncReq, 0, &SyncRequest { min_seq: 0, max_seq, limit }, outcome);
    }

    fn synced(&mut self, answer: SyncResponse, outcome: &mut ChatAction) {
        if answer.error_code != 0 {
            let farewell = format!("{} (error {})", answer.error_msg, answer.error_code);
            outcome.events.push(ChatEvent::Farewell(farewell));
            return;
        }
        let was_from_a_seq = self.me.seen.is_some();
        for entry in &answer.messages {
            self.show(entry, outcome);
        }
        if answer.has_more && !answer.messages.is_empty() && was_from_a_seq {
            self.sync(outcome);
            return;
        }
        self.me.seen.get_or_insert(answer.server_max_seq);
        for push in self.held.take().unwrap_or_default() {
            self.show(&push, outcome);
        }
        outcome.events.push(ChatEvent::Opened);
    }

    /// Shows an entry unless it has been shown already, and acknowledges it.
    fn show(&mut self, entry: &PushMessage, outcome: &mut ChatAction) {
        let is_stored = entry.seq > 0;
        if is_stored && self.me.seen.is_some_and(|seen| entry.seq <= seen) {
            return;
        }
        let line = self.line_of(entry);
        if is_stored {
            self.me.seen = Some(entry.seq);
            let ack = MessageAck { message_id: entry.message_id.clone(), seq: entry.seq };
            write(CommandType::CmdMsgAck, 0, &ack, outcome);
        }
        outcome.events.push(ChatEvent::Entry { seq: is_stored.then_some(entry.seq), line });
    }

    fn line_of(&mut self, entry: &PushMessage) -> Line {
        match entry.message_type {
            REVOKED | READ if self.told.remove(&entry.content) => Line::Nothing,
            kind @ (REVOKED | READ) => self.line_of_fact(kind, &entry.content),
            GROUP_CHANGE => serde_json::from_slice(&entry.content)
                .map_or(Line::Nothing, |change| self.me.line_of_group_change(&change)),
            _ => {
                let is_mine = entry.sender_id == self.me.user;
                if is_mine && self.me.has_said(&entry.client_msg_id) {
                    return Line::Nothing;
                }
                let conversation = match &entry.group_id[..] {
                    "" => ChatPeer::User(if is_mine { &entry.receiver_id } else { &entry.sender_id }.clone()),
                    group => ChatPeer::Group(group.to_owned()),
                };
                let is_revoked = entry.content.is_empty() && entry.extra.contains_key("revoked");
                let said = ChatMessage { author: &entry.sender_id, conversation, content: &entry.content, is_revoked };
                self.me.line_of_message(&said)
            }
        }
    }

    /// The line for a revocation or a receipt, from a push or from an entry's content.
    fn line_of_fact(&self, kind: i32, body: &Bytes) -> Line {
        if kind == REVOKED {
            return RevokeMessagePush::decode(body.clone()).map_or(Line::Nothing, |fact| {
                self.me.line_of_revocation(&fact.revoked_by, &self.named(&fact.conversation_id))
            });
        }
        ReadReceiptPush::decode(body.clone())
            .map_or(Line::Nothing, |fact| self.me.line_of_receipt(&fact.user_id, &self.named(&fact.conversation_id)))
    }

    /// The conversation of a name that the server filled in: this client gives no names of its own.
    fn named(&self, name: &str) -> ChatPeer {
        match (name.strip_prefix("group_"), name.strip_prefix("single_")) {
            (Some(group), _) => ChatPeer::Group(group.to_owned()),
            (None, Some(pair)) => {
                let me = &self.me.user[..];
                let after = pair.strip_prefix(me).and_then(|rest| rest.strip_prefix('_'));
                let before = pair.strip_suffix(me).and_then(|rest| rest.strip_suffix('_'));
                let is_peer = |peer: &&str| self.me.peer == ChatPeer::User((*peer).to_owned());
                let peer = after.filter(is_peer).or(before).or(after).unwrap_or_default();
                ChatPeer::User(peer.to_owned())
            }
            (None, None) => ChatPeer::User(String::new()),
        }
    }
}

fn write(command: CommandType, sequence: u32, body: &impl prost::Message, outcome: &mut ChatAction) {
    let body = Bytes::from(body.encode_to_vec());
    let envelope = WebSocketMessage { command: command.into(), sequence, body, timestamp: 0 };
    outcome.write.push(Message::binary(envelope.encode_to_vec()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(seen: impl Into<Option<i64>>) -> BinarySession {
        let me = |text: &str| text.to_owned();
        let peer = ChatPeer::User(me("alice"));
        let (token, run, seen) = (me("t"), me("r"), seen.into());
        BinarySession::new(ChatPair { user: me("bob"), peer, token, run, seen, epoch: None })
    }

    fn receive(session: &mut BinarySession, command: CommandType, body: &impl prost::Message) -> ChatAction {
        let mut outcome = ChatAction::default();
        let envelope =
            WebSocketMessage { command: command.into(), body: Bytes::from(body.encode_to_vec()), ..Default::default() };
        session.receive(&Bytes::from(envelope.encode_to_vec()), &mut outcome).unwrap();
        outcome
    }

    fn entry(seq: i64) -> PushMessage {
        let content = Bytes::from(format!("text {seq}"));
        PushMessage { seq, sender_id: "alice".to_owned(), content, ..Default::default() }
    }

    fn texts(outcome: &ChatAction) -> Vec<i64> {
        let text = |events: &ChatEvent| match events {
            ChatEvent::Entry { seq, line: Line::Text { .. } } => *seq,
            _ => None,
        };
        outcome.events.iter().filter_map(text).collect()
    }

    fn written(outcome: &ChatAction) -> Vec<WebSocketMessage> {
        let decode = |message: &Message| WebSocketMessage::decode(message.clone().into_data()).unwrap();
        outcome.write.iter().map(decode).collect()
    }

    #[test]
    fn the_backlog_is_synced_page_by_page_from_what_was_seen_last_and_pushes_wait_for_it() {
        let mut bob = session(3);
        let asked =
            written(&receive(&mut bob, CommandType::CmdAuthRsp, &AuthResponse { max_seq: 6, ..Default::default() }));
        assert_eq!(SyncRequest::decode(asked[0].body.clone()).unwrap().max_seq, 3);

        assert_eq!(texts(&receive(&mut bob, CommandType::CmdPushMsg, &entry(6))), [0; 0]);
        let page = SyncResponse { messages: vec![entry(4), entry(5)], has_more: true, ..Default::default() };
        let first = receive(&mut bob, CommandType::CmdSyncRsp, &page);
        assert_eq!(texts(&first), [4, 5]);
        assert_eq!(
            written(&first).iter().map(WebSocketMessage::command).collect::<Vec<_>>(),
            [CommandType::CmdMsgAck, CommandType::CmdMsgAck, CommandType::CmdSyncReq]
        );

        let page = SyncResponse { messages: vec![entry(6)], ..Default::default() };
        let last = receive(&mut bob, CommandType::CmdSyncRsp, &page);
        assert_eq!(texts(&last), [6], "the held push is the same entry, shown once");
        assert_eq!(last.events.last(), Some(&ChatEvent::Opened));
    }

    #[test]
    fn a_memory_of_another_server_s_inbox_is_forgotten() {
        let mut bob = session(1_000);
        let asked =
            written(&receive(&mut bob, CommandType::CmdAuthRsp, &AuthResponse { max_seq: 2, ..Default::default() }));
        assert_eq!(SyncRequest::decode(asked[0].body.clone()).unwrap().max_seq, 0);
    }

    #[test]
    fn what_was_remembered_in_another_epoch_is_forgotten() {
        for (epoch, expected) in [(7, 3), (8, 0), (0, 3)] {
            let mut bob = session(3);
            bob.me.epoch = Some(7);
            let answer = AuthResponse { max_seq: 6, inbox_epoch: epoch, ..Default::default() };
            let asked = written(&receive(&mut bob, CommandType::CmdAuthRsp, &answer));
            assert_eq!(SyncRequest::decode(asked[0].body.clone()).unwrap().max_seq, expected, "epoch {epoch}");
        }
    }

    #[test]
    fn a_refused_login_is_a_farewell() {
        let refused = AuthResponse { error_code: 101, error_msg: "token expired".to_owned(), ..Default::default() };
        let events = receive(&mut session(0), CommandType::CmdAuthRsp, &refused).events;
        assert_eq!(events, [ChatEvent::Farewell("token expired (error 101)".to_owned())]);
    }

    fn notes(outcome: &ChatAction) -> Vec<&str> {
        let note = |events| match events {
            &ChatEvent::Entry { seq: _, line: Line::Note(ref note) } => Some(&note[..]),
            _ => None,
        };
        outcome.events.iter().filter_map(note).collect()
    }

    #[test]
    fn an_inbox_with_a_group_entry_a_receipt_and_a_revocation_opens() {
        let fact = |seq, message_type, content: Vec<u8>| PushMessage {
            seq,
            message_type,
            content: content.into(),
            ..entry(seq)
        };
        let revoked = RevokeMessagePush {
            revoked_by: "alice".to_owned(),
            conversation_id: "single_alice_bob".to_owned(),
            ..Default::default()
        };
        let read = ReadReceiptPush {
            user_id: "alice".to_owned(),
            conversation_id: "single_alice_bob".to_owned(),
            message_ids: vec!["7".to_owned()],
            ..Default::default()
        };
        let change = br#"{"change":"created","group":"team","by":"alice","members":["bob"],"count":1}"#;
        let carol = PushMessage { sender_id: "carol".to_owned(), ..entry(4) };
        let mut bob = session(None);
        let asked = receive(&mut bob, CommandType::CmdAuthRsp, &AuthResponse { max_seq: 9, ..Default::default() });
        assert_eq!(SyncRequest::decode(written(&asked)[0].body.clone()).unwrap().limit, -500);
        let page = SyncResponse {
            messages: vec![
                fact(1, 1003, change.to_vec()),
                fact(2, 1002, read.encode_to_vec()),
                fact(3, 1001, revoked.encode_to_vec()),
                carol,
                fact(5, 1001, b"\xff".to_vec()),
                fact(6, 1099, b"?".to_vec()),
                entry(9),
            ],
            has_more: true,
            server_max_seq: 9,
            ..Default::default()
        };
        let events = receive(&mut bob, CommandType::CmdSyncRsp, &page);
        let expected = [
            "alice created the group team with bob",
            "alice has read your messages",
            "alice revoked a message",
            "carol wrote to you (mushan chat --user bob --to carol)",
        ];
        assert_eq!((notes(&events), texts(&events)), (expected.to_vec(), vec![6, 9]));
        assert_eq!(events.events.last(), Some(&ChatEvent::Opened), "older entries are not asked for");
        let live = receive(&mut bob, CommandType::CmdRevokeMsgPush, &revoked);
        assert_eq!(notes(&live), ["alice revoked a message"]);
        let again = receive(&mut bob, CommandType::CmdPushMsg, &fact(10, 1001, revoked.encode_to_vec()));
        assert_eq!(notes(&again), [""; 0], "it was told when it happened");
    }

    #[test]
    fn a_group_is_written_to_by_its_own_name() {
        let mut bob = session(0);
        bob.me.peer = ChatPeer::Group("team".to_owned());
        let mut outcome = ChatAction::default();
        bob.say(7, "hi", &mut outcome);
        let envelope = written(&outcome).remove(0);
        let request = SendMessageRequest::decode(envelope.body).unwrap();
        assert_eq!((envelope.sequence, &request.group_id[..], &request.receiver_id[..]), (7, "team", ""));
    }

    #[test]
    fn a_stop_of_the_server_is_no_farewell() {
        let kick = |reason| KickOutNotification { reason, message: "m".to_owned() };
        let events = |reason| receive(&mut session(0), CommandType::CmdKickOut, &kick(reason)).events;
        assert_eq!((events(4), events(1)), (vec![ChatEvent::Leaving], vec![ChatEvent::Farewell("m".to_owned())]));
    }
}
