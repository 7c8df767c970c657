//! A server in memory that speaks the binary protocol, with one user's inbox, and a network that a test cuts where it
//! likes.

use mushan_client::Frame;
use mushan_client::proto::{self, CommandType, ErrorCode};
use prost::Message as _;
use std::collections::{BTreeMap, VecDeque};

pub const ME: &str = "me";
pub const PEER: &str = "peer";

const REVOKED: i32 = 1001;
const RECEIPT: i32 = 1002;

/// What a real server may do this way or that.
#[derive(Clone, Copy, Default)]
pub struct Habits {
    /// Facts are pushed without their seqs, as the binary protocol does.
    pub pushes_facts_unplaced: bool,
    /// A login pushes what is not acknowledged, as JSON-RPC does.
    pub pushes_backlog: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    Message,
    Revoked,
    Receipt,
}

#[derive(Default)]
pub struct FakeServer {
    habits: Habits,
    pub epoch: u64,
    /// `None`: an entry that has expired.
    pub inbox: Vec<Option<proto::PushMessage>>,
    pub acknowledged: i64,
    answers: BTreeMap<String, proto::SendMessageResponse>,
    ids: u64,
    /// Frames on their way, of the connection that is open.
    pub to_server: VecDeque<Frame>,
    pub to_client: VecDeque<Frame>,
    pub attempt: u64,
    is_logged_in: bool,
    /// Sends that are refused for now.
    pub refusals: u64,
    /// Sends that are refused for good.
    pub denials: u64,
    pub written_sends: Vec<String>,
    /// The users of each subscription.
    pub subscriptions: Vec<Vec<String>>,
}

impl FakeServer {
    pub fn new(habits: Habits) -> Self {
        Self { habits, epoch: 1, ids: 100, ..Self::default() }
    }

    pub fn accept(&mut self, attempt: u64) {
        self.attempt = attempt;
        self.to_server.clear();
        self.to_client.clear();
        self.is_logged_in = false;
    }

    pub fn cut(&mut self) {
        self.accept(0);
    }

    pub fn newest(&self) -> i64 {
        i64::try_from(self.inbox.len()).expect("few entries")
    }

    fn next_id(&mut self) -> String {
        self.ids += 1;
        self.ids.to_string()
    }

    /// Something happens that concerns the user.
    pub fn post(&mut self, posted: Posted) {
        let (seq, message_id) = (self.newest() + 1, self.next_id());
        let of = format!("of-{message_id}");
        let (message_type, content, client_msg_id) = match posted {
            Posted::Message => (1, Vec::new(), format!("p-{message_id}")),
            Posted::Revoked => {
                let fact = proto::RevokeMessagePush { message_id: of, ..Default::default() };
                (REVOKED, fact.encode_to_vec(), String::new())
            }
            Posted::Receipt => {
                let fact = proto::ReadReceiptPush { message_ids: vec![of], ..Default::default() };
                (RECEIPT, fact.encode_to_vec(), String::new())
            }
        };
        let entry = proto::PushMessage {
            message_id,
            client_msg_id,
            sender_id: PEER.to_owned(),
            receiver_id: ME.to_owned(),
            message_type,
            content: content.into(),
            seq,
            ..Default::default()
        };
        self.inbox.push(Some(entry.clone()));
        self.push(&entry);
    }

    /// The entry of somebody else has expired: its seq stays.
    pub fn hide(&mut self, seq: i64) {
        let entry = self.inbox.get_mut(usize::try_from(seq - 1).expect("a seq"));
        if let Some(entry) = entry.filter(|entry| entry.as_ref().is_some_and(|it| it.sender_id != ME)) {
            *entry = None;
        }
    }

    /// The time has passed within which repetitions are recognised by their ids.
    pub fn forget_ids(&mut self) {
        self.answers.clear();
    }

    /// A restored backup: the newest entries are gone, and their seqs will stand for others.
    pub fn restore(&mut self, lost: usize) {
        self.inbox.truncate(self.inbox.len().saturating_sub(lost));
        let kept: Vec<&String> = self.inbox.iter().flatten().map(|entry| &entry.message_id).collect();
        self.answers.retain(|_, answer| kept.contains(&&answer.message_id));
        self.acknowledged = self.acknowledged.min(self.newest());
        self.epoch += 1;
        self.cut();
    }

    /// Says something once more that was said before.
    pub fn repeat(&mut self, seq: i64) {
        if let Some(Some(entry)) = self.inbox.get(usize::try_from(seq - 1).expect("a seq")).cloned() {
            self.push(&entry);
        }
    }

    pub fn serve_one(&mut self) {
        let Some(Frame::Binary(bytes)) = self.to_server.pop_front() else { return };
        let asked = proto::WebSocketMessage::decode(bytes).expect("an envelope");
        let (tag, body) = (asked.sequence, asked.body.clone());
        match asked.command() {
            CommandType::CmdAuthReq => {
                self.is_logged_in = true;
                let answer = proto::AuthResponse { inbox_epoch: self.epoch, ..Default::default() };
                self.say(CommandType::CmdAuthRsp, tag, &answer);
                if self.habits.pushes_backlog {
                    let first = usize::try_from(self.acknowledged).expect("a seq");
                    let backlog: Vec<_> = self.inbox[first..].iter().flatten().cloned().collect();
                    backlog.iter().for_each(|entry| self.push(entry));
                }
            }
            CommandType::CmdMsgAck => {
                let ack = proto::MessageAck::decode(body).expect("an acknowledgement");
                assert!(ack.seq <= self.newest(), "acknowledges what is not there");
                self.acknowledged = self.acknowledged.max(ack.seq);
            }
            CommandType::CmdSendMsgReq => self.take(proto::SendMessageRequest::decode(body).expect("a message"), tag),
            CommandType::CmdSyncReq => self.sync(&proto::SyncRequest::decode(body).expect("a request"), tag),
            CommandType::CmdPresenceReq => {
                let users = proto::PresenceRequest::decode(body).expect("a request").user_ids;
                self.subscriptions.push(users);
                self.say(CommandType::CmdPresenceRsp, tag, &proto::PresenceResponse::default());
            }
            CommandType::CmdHeartbeatReq => {
                self.say(CommandType::CmdHeartbeatRsp, tag, &proto::HeartbeatResponse::default());
            }
            CommandType::CmdRevokeMsgReq => {
                self.say(CommandType::CmdRevokeMsgRsp, tag, &proto::RevokeMessageResponse::default());
            }
            other => panic!("{other:?} is not served"),
        }
    }

    fn sync(&mut self, request: &proto::SyncRequest, tag: u32) {
        let server_max_seq = self.newest();
        let mut answer = proto::SyncResponse { server_max_seq, ..Default::default() };
        if request.limit >= 0 {
            let limit = usize::try_from(request.limit).expect("positive");
            let after = usize::try_from(request.max_seq).expect("a seq").min(self.inbox.len());
            let found: Vec<_> = self.inbox[after..].iter().flatten().cloned().collect();
            answer.has_more = found.len() > limit;
            answer.messages = found.into_iter().take(limit).collect();
        }
        self.say(CommandType::CmdSyncRsp, tag, &answer);
    }

    fn take(&mut self, message: proto::SendMessageRequest, tag: u32) {
        self.written_sends.push(message.client_msg_id.clone());
        if self.refusals > 0 {
            self.refusals -= 1;
            return self.refuse(ErrorCode::ErrSendTooFast, tag);
        }
        if self.denials > 0 {
            self.denials -= 1;
            return self.refuse(ErrorCode::ErrPermissionDenied, tag);
        }
        if let Some(known) = self.answers.get(&message.client_msg_id).cloned() {
            return self.say(CommandType::CmdSendMsgRsp, tag, &known);
        }
        let (seq, message_id) = (self.newest() + 1, self.next_id());
        let answer = proto::SendMessageResponse { message_id: message_id.clone(), seq, ..Default::default() };
        self.answers.insert(message.client_msg_id.clone(), answer.clone());
        self.inbox.push(Some(proto::PushMessage {
            message_id,
            client_msg_id: message.client_msg_id,
            sender_id: ME.to_owned(),
            receiver_id: message.receiver_id,
            message_type: message.message_type,
            content: message.content,
            seq,
            ..Default::default()
        }));
        self.say(CommandType::CmdSendMsgRsp, tag, &answer);
    }

    fn refuse(&mut self, error: ErrorCode, tag: u32) {
        let answer = proto::SendMessageResponse { error_code: error.into(), ..Default::default() };
        self.say(CommandType::CmdSendMsgRsp, tag, &answer);
    }

    fn push(&mut self, entry: &proto::PushMessage) {
        if !self.is_logged_in {
            return;
        }
        let is_unplaced = self.habits.pushes_facts_unplaced;
        match entry.message_type {
            REVOKED if is_unplaced => self.say_bytes(CommandType::CmdRevokeMsgPush, 0, entry.content.to_vec()),
            RECEIPT if is_unplaced => self.say_bytes(CommandType::CmdReadReceiptPush, 0, entry.content.to_vec()),
            _ => self.say(CommandType::CmdPushMsg, 0, entry),
        }
    }

    fn say(&mut self, command: CommandType, sequence: u32, body: &impl prost::Message) {
        self.say_bytes(command, sequence, body.encode_to_vec());
    }

    fn say_bytes(&mut self, command: CommandType, sequence: u32, body: Vec<u8>) {
        if self.attempt > 0 {
            let command = command.into();
            let envelope = proto::WebSocketMessage { command, sequence, body: body.into(), timestamp: 0 };
            self.to_client.push_back(Frame::Binary(envelope.encode_to_vec().into()));
        }
    }
}

/// One text for each entry, the same for a fact with and without its seq.
pub fn name_of(entry: &proto::PushMessage) -> String {
    match entry.message_type {
        REVOKED => format!("revoked of-{}", entry.message_id),
        RECEIPT => format!("receipt of-{}", entry.message_id),
        _ => entry.client_msg_id.clone(),
    }
}
