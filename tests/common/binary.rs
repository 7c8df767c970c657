//! A client of the binary protocol, written from its specification.

use super::binary_fields::{Fields, bytes, encode, encode_with, text};
use super::socket::{Received, Socket};
use protobuf::reflect::ReflectValueBox;
use std::collections::VecDeque;
use std::net::SocketAddr;

pub mod command {
    pub const UNKNOWN: i32 = 0;
    pub const HEARTBEAT: i32 = 5;
    pub const AUTH: i32 = 100;
    pub const REAUTH: i32 = 102;
    pub const KICK_OUT: i32 = 104;
    pub const SEND: i32 = 200;
    pub const PUSH: i32 = 202;
    pub const ACK: i32 = 203;
    pub const REVOKE: i32 = 205;
    pub const REVOKED: i32 = 207;
    pub const SYNC: i32 = 300;
    pub const PRESENCE: i32 = 400;
    pub const PRESENCE_CHANGED: i32 = 402;
    pub const RECEIPT: i32 = 500;
    pub const READ: i32 = 502;
    pub const TYPING: i32 = 600;
    pub const TYPED: i32 = 601;
    pub const CONVERSATIONS: i32 = 700;
    pub const MARK_READ: i32 = 702;
    pub const HISTORY: i32 = 704;
    pub const GROUP_INFO: i32 = 720;
    pub const GROUP_MEMBERS: i32 = 722;
    pub const GROUP_MEMBER: i32 = 724;
    pub const GROUP_PROFILE: i32 = 726;
    pub const GROUP_LEAVE: i32 = 728;
    pub const GROUP_JOIN: i32 = 730;
    pub const GROUP_DISSOLVE: i32 = 732;
    pub const GROUP_REQUESTS: i32 = 740;
    pub const GROUP_ANSWER: i32 = 742;
    pub const CLEAR_HISTORY: i32 = 744;
    pub const DELETE_CONVERSATION: i32 = 746;
    pub const PROFILE: i32 = 736;
    pub const SET_PROFILE: i32 = 738;
}

pub const SUCCESS: i64 = 0;

pub struct BinaryClient {
    pub socket: Socket,
    pub user: String,
    sequence: u32,
    /// Pushed and not looked at yet.
    pushes: VecDeque<Fields>,
    /// Pushes of other kinds than messages, not looked at yet.
    told: VecDeque<Envelope>,
}

/// A message of the server's.
#[derive(Debug)]
pub struct Envelope {
    pub command: i32,
    pub sequence: u32,
    pub timestamp: i64,
    pub body: Vec<u8>,
}

pub fn envelope(command: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
    encode(
        "WebSocketMessage",
        &[
            ("command", command.into()),
            ("sequence", sequence.into()),
            ("body", bytes(body)),
            ("timestamp", 1_i64.into()),
        ],
    )
}

pub fn auth_body(user: &str, token: &str, platform: &str) -> Vec<u8> {
    encode("AuthRequest", &[("user_id", text(user)), ("token", text(token)), ("platform", text(platform))])
}

pub fn send_body(to: &str, id: &str, content: &[u8]) -> Vec<u8> {
    encode(
        "SendMessageRequest",
        &[
            ("client_msg_id", text(id)),
            ("receiver_id", text(to)),
            ("message_type", 1_i32.into()),
            ("content", bytes(content)),
            ("send_time", 1_700_000_000_123_i64.into()),
        ],
    )
}

/// Sent by the server of its own accord.
fn is_push(command: i32) -> bool {
    use command::{KICK_OUT, PRESENCE_CHANGED, PUSH, READ, REVOKED, TYPED};
    [KICK_OUT, PUSH, REVOKED, READ, TYPED, PRESENCE_CHANGED].contains(&command)
}

impl Envelope {
    pub fn decode(frame: &[u8]) -> Self {
        let fields = Fields::decode("WebSocketMessage", frame);
        Self {
            command: i32::try_from(fields.number("command")).expect("an int32"),
            sequence: u32::try_from(fields.number("sequence")).expect("a uint32"),
            timestamp: fields.number("timestamp"),
            body: fields.bytes("body"),
        }
    }
}

impl BinaryClient {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::on(Socket::connect(address, "/ws").await)
    }

    pub fn on(socket: Socket) -> Self {
        Self { socket, user: String::new(), sequence: 0, pushes: VecDeque::new(), told: VecDeque::new() }
    }

    /// Connects and authenticates; returns `max_seq` as well.
    pub async fn login(address: SocketAddr, user: &str, token: &str) -> (Self, i64) {
        let mut client = Self::connect(address).await;
        let answer = client.authenticate(user, token).await;
        assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
        (client, answer.number("max_seq"))
    }

    pub async fn authenticate(&mut self, user: &str, token: &str) -> Fields {
        self.authenticate_on(user, token, "Linux").await
    }

    pub async fn authenticate_on(&mut self, user: &str, token: &str, platform: &str) -> Fields {
        self.user = user.to_owned();
        self.request(command::AUTH, &auth_body(user, token, platform), "AuthResponse").await
    }

    /// Sends a request and returns its sequence.
    pub async fn ask(&mut self, command: i32, body: &[u8]) -> u32 {
        self.sequence += 1;
        self.socket.send_binary(&envelope(command, self.sequence, body)).await;
        self.sequence
    }

    /// The next message; `Err` holds the close code.
    pub async fn receive(&mut self) -> Result<Envelope, Option<u16>> {
        match self.socket.receive().await {
            Received::Binary(frame) => Ok(Envelope::decode(&frame)),
            Received::Closed(code) => Err(code),
            other => panic!("not a binary frame: {other:?}"),
        }
    }

    /// The answer to a request; what is pushed before it is kept.
    pub async fn answer(&mut self, sequence: u32) -> Result<Envelope, Option<u16>> {
        loop {
            let heard = self.receive().await?;
            if !is_push(heard.command) {
                assert_eq!(heard.sequence, sequence, "command {}", heard.command);
                return Ok(heard);
            }
            self.keep(heard);
        }
    }

    fn keep(&mut self, push: Envelope) {
        assert_eq!(push.sequence, 0, "a push has sequence 0");
        match push.command {
            command::PUSH => self.pushes.push_back(Fields::decode("PushMessage", &push.body)),
            _ => self.told.push_back(push),
        }
    }

    pub async fn request(&mut self, command: i32, body: &[u8], response: &str) -> Fields {
        let sequence = self.ask(command, body).await;
        let answer = self.answer(sequence).await.unwrap_or_else(|code| panic!("closed with {code:?}"));
        assert_eq!(answer.command, command + 1, "the answer's command");
        assert!(answer.timestamp > 0, "the answer's timestamp");
        let answer = Fields::decode(response, &answer.body);
        if response != "HeartbeatResponse" {
            let is_success = answer.number("error_code") == SUCCESS;
            assert_eq!(is_success, answer.text("error_msg").is_empty(), "a refusal says why: {response}");
        }
        answer
    }

    pub async fn send(&mut self, to: &str, id: &str, content: &[u8]) -> Fields {
        self.request(command::SEND, &send_body(to, id, content), "SendMessageResponse").await
    }

    pub async fn send_with(&mut self, fields: &[(&str, ReflectValueBox)], extra: &[(&str, &str)]) -> Fields {
        let body = encode_with("SendMessageRequest", fields, extra);
        self.request(command::SEND, &body, "SendMessageResponse").await
    }

    pub async fn send_to_group(&mut self, group: &str, id: &str, content: &[u8]) -> Fields {
        let fields = [
            ("client_msg_id", text(id)),
            ("group_id", text(group)),
            ("message_type", 1_i32.into()),
            ("content", bytes(content)),
        ];
        self.send_with(&fields, &[]).await
    }

    /// The error code of a revocation.
    pub async fn revoke(&mut self, conversation: &str, message: &str) -> i64 {
        let fields = [("message_id", text(message)), ("conversation_id", text(conversation))];
        let body = encode("RevokeMessageRequest", &fields);
        self.request(command::REVOKE, &body, "RevokeMessageResponse").await.number("error_code")
    }

    /// The error code of a read receipt.
    pub async fn read(&mut self, conversation: &str, messages: &[&str]) -> i64 {
        let mut fields = vec![("conversation_id", text(conversation))];
        fields.extend(messages.iter().map(|message| ("message_ids", text(message))));
        let body = encode("ReadReceiptRequest", &fields);
        self.request(command::RECEIPT, &body, "ReadReceiptResponse").await.number("error_code")
    }

    /// Returns the sequence of the request, which is answered only when it is refused.
    pub async fn type_in(&mut self, conversation: &str, status: i32) -> u32 {
        let fields = [("conversation_id", text(conversation)), ("status", status.into())];
        self.ask(command::TYPING, &encode("TypingStatusRequest", &fields)).await
    }

    pub async fn history(&mut self, conversation: &str, fields: &[(&str, ReflectValueBox)]) -> Fields {
        let fields = [&[("conversation_id", text(conversation))], fields].concat();
        self.request(command::HISTORY, &encode("HistoryRequest", &fields), "HistoryResponse").await
    }

    pub async fn conversations(&mut self, before: i64, limit: i32) -> Fields {
        let body = encode("ConversationsRequest", &[("before_seq", before.into()), ("limit", limit.into())]);
        self.request(command::CONVERSATIONS, &body, "ConversationsResponse").await
    }

    /// Clears the conversation, or deletes it, for this user, as `command` says. The error code.
    pub async fn clear(&mut self, command: i32, conversation: &str, through: i64) -> i64 {
        let fields = [("conversation_id", text(conversation)), ("through", through.into())];
        let body = encode("ClearRequest", &fields);
        self.request(command, &body, "ClearResponse").await.number("error_code")
    }

    /// The error code.
    pub async fn mark_read(&mut self, conversation: &str, through: i64) -> i64 {
        let fields = [("conversation_id", text(conversation)), ("through", through.into())];
        let body = encode("MarkReadRequest", &fields);
        self.request(command::MARK_READ, &body, "MarkReadResponse").await.number("error_code")
    }

    pub async fn presence(&mut self, users: &[&str], action: i32) -> Fields {
        let mut fields = vec![("action", action.into())];
        fields.extend(users.iter().map(|user| ("user_ids", text(user))));
        self.request(command::PRESENCE, &encode("PresenceRequest", &fields), "PresenceResponse").await
    }

    /// Hears on until the end, and returns the close code.
    pub async fn ending(&mut self) -> Option<u16> {
        self.socket.ending().await
    }

    pub async fn heartbeat(&mut self) -> i64 {
        let body = encode("HeartbeatRequest", &[("client_time", 5_i64.into())]);
        self.request(command::HEARTBEAT, &body, "HeartbeatResponse").await.number("server_time")
    }

    pub async fn next_push(&mut self) -> Fields {
        while self.pushes.is_empty() {
            let heard = self.receive().await.unwrap_or_else(|code| panic!("closed with {code:?}"));
            assert!(is_push(heard.command), "command {}", heard.command);
            self.keep(heard);
        }
        self.pushes.pop_front().expect("just seen")
    }

    /// The next push that is no message; it is of this command.
    pub async fn next_told(&mut self, command: i32, message: &str) -> Fields {
        while self.told.is_empty() {
            let heard = self.receive().await.unwrap_or_else(|code| panic!("closed with {code:?}"));
            assert!(is_push(heard.command), "command {}", heard.command);
            self.keep(heard);
        }
        let told = self.told.pop_front().expect("just seen");
        assert_eq!(told.command, command);
        Fields::decode(message, &told.body)
    }

    /// How many pushes that are no messages came before now.
    pub async fn told_until_now(&mut self) -> usize {
        self.heartbeat().await;
        self.told.drain(..).count()
    }

    /// Pushes that came before now: the server answers in order.
    pub async fn pushes_until_now(&mut self) -> Vec<Fields> {
        self.heartbeat().await;
        self.pushes.drain(..).collect()
    }

    /// Everything that the server said so far has been seen, and none of it was a push.
    pub async fn expect_no_push(&mut self) {
        assert_eq!(self.pushes_until_now().await.len(), 0, "pushes to {}", self.user);
    }

    pub async fn acknowledge(&mut self, push: &Fields) {
        let body =
            encode("MessageAck", &[("message_id", text(&push.text("message_id"))), ("seq", push.number("seq").into())]);
        self.ask(command::ACK, &body).await;
    }

    pub async fn sync(&mut self, after: i64, limit: i32) -> Fields {
        let fields: [(&str, ReflectValueBox); 2] = [("max_seq", after.into()), ("limit", limit.into())];
        self.request(command::SYNC, &encode("SyncRequest", &fields), "SyncResponse").await
    }

    /// The whole inbox, page by page; its seqs are 1 to n without a hole.
    pub async fn inbox(&mut self) -> Vec<Fields> {
        self.inbox_after(0).await
    }

    /// The inbox behind a seq, page by page; its seqs go on from there to the last without a hole.
    pub async fn inbox_after(&mut self, start: i64) -> Vec<Fields> {
        let mut entries: Vec<Fields> = Vec::new();
        loop {
            let after = entries.last().map_or(start, |entry| entry.number("seq"));
            let page = self.sync(after, 1000).await;
            assert_eq!(page.number("error_code"), SUCCESS, "{}", page.text("error_msg"));
            entries.extend(page.list("messages"));
            if !page.flag("has_more") {
                let seqs: Vec<i64> = entries.iter().map(|entry| entry.number("seq")).collect();
                let expected: Vec<i64> = (start + 1..=page.number("server_max_seq")).collect();
                assert_eq!(seqs, expected, "the inbox of {} has a hole", self.user);
                return entries;
            }
            assert!(!page.list("messages").is_empty(), "more is promised, and nothing comes");
        }
    }
}
