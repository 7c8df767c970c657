//! The bytes of each kind of record between envelope and padding (docs/FORMAT.md draws them).
//!
//! Invariants: decoding is total, never panics, and refuses bytes left over; links and ids come first, so that walking
//! an inbox touches a cache line or two of a record and not its content.

use super::bytes::{Put, Reader};
use super::{Delivery, Link, Links, MemberLink, Record, Side, Thread};
use super::{fact, kept};
use crate::model::{
    Annotations, BlockState, Chunk, ChunkPhase, ClientMessageId, Conversation, ConversationName, ConversationSeq,
    DeviceKey, Extra, GroupId, HeaderFlags, Message, MessageId, Millis, Position, Seq, SettingFlags, ShardId, UserId,
};
use bytes::Bytes;
use compact_str::CompactString;
use std::sync::Arc;

pub(super) const KIND_START: u8 = 1;
pub(super) const KIND_MARK: u8 = 2;
pub(super) const KIND_POSTED: u8 = 3;
pub(super) const KIND_DELIVERED: u8 = 4;
pub(super) const KIND_CONFIRMED: u8 = 5;
pub(super) const KIND_DEVICE: u8 = 6;
pub(super) const KIND_CARRIED: u8 = 7;
pub(super) const KIND_INBOX: u8 = 8;
pub(super) const KIND_CONVERSATION: u8 = 9;
pub(super) const KIND_FANNED: u8 = 10;
pub(super) const KIND_READ: u8 = 11;
pub(super) const KIND_CONSUMED: u8 = 12;
pub(super) const KIND_BLOCK: u8 = 13;
pub(super) const KIND_SEEN: u8 = 14;
pub(super) const KIND_ISSUED: u8 = 15;
/// Kinds 16 to 21 are `kept`'s.
const KIND_NEWEST: u8 = kept::KIND_BLOCKED;

pub(super) const MARK_BODY_BYTES: usize = CLAIM_BYTES;
pub(super) const START_BODY_BYTES: usize = CLAIM_BYTES + 16;
const CLAIM_BYTES: usize = 24;

const PREFIX_BYTES: usize = 8;
const LINK_BYTES: usize = 24;
const DELIVERY_BYTES: usize = 10;
/// Message id, conversation seq, message type, send time, server time.
const NUMBERS_BYTES: usize = 36;

const SIDE_AUTHOR: u8 = 1;
const SIDE_PEER: u8 = 2;
const SIDE_CONVERSATION: u8 = 4;
const SIDES_KNOWN: u8 = SIDE_AUTHOR | SIDE_PEER | SIDE_CONVERSATION;
const CONVERSATION_PAIR: u8 = 0;
const CONVERSATION_GROUP: u8 = 1;

const FLAG_RED_DOT: u16 = 1;
const FLAG_DUP: u16 = 1 << 1;
const FLAG_RECEIPT: u16 = 1 << 2;
const FLAG_TOPIC: u16 = 1 << 3;
const FLAG_ANNOTATED: u16 = 1 << 4;
const FLAG_TOPIC_TEXT: u16 = 1 << 5;
const FLAG_MESSAGE_KEY: u16 = 1 << 6;
const FLAG_EXTRA: u16 = 1 << 7;
const FLAG_SYNC_ONCE: u16 = 1 << 8;
const FLAG_EXPIRE: u16 = 1 << 9;
const FLAG_CHUNK: u16 = 1 << 10;
const FLAG_FACT: u16 = 1 << 11;
const FLAGS_KNOWN: u16 = (1 << 12) - 1;

/// What a `Start` or `Mark` says about the bytes before it: evidence, wherever it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Everything before this was on stable storage.
    pub durable: Position,
    /// Where the record that says so stands: a copy elsewhere, say inside a client's content, says nothing.
    pub at: Position,
    /// Which log says so.
    pub log: Millis,
}

impl Claim {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.durable.0);
        out.put_u64(self.at.0);
        out.put_u64(self.log.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { durable: Position(reader.u64()?), at: Position(reader.u64()?), log: Millis(reader.u64()?) })
    }
}

pub(super) fn kind_of(record: &Record) -> u8 {
    match record {
        Record::Start { .. } => KIND_START,
        Record::Mark { .. } => KIND_MARK,
        Record::Posted { .. } => KIND_POSTED,
        Record::Delivered { .. } => KIND_DELIVERED,
        Record::Confirmed { .. } => KIND_CONFIRMED,
        Record::Device { .. } => KIND_DEVICE,
        Record::Carried { .. } => KIND_CARRIED,
        Record::Inbox { .. } => KIND_INBOX,
        Record::Conversation { .. } => KIND_CONVERSATION,
        Record::Fanned { .. } => KIND_FANNED,
        Record::Read { .. } => KIND_READ,
        Record::Consumed { .. } => KIND_CONSUMED,
        Record::Block { .. } => KIND_BLOCK,
        Record::Seen { .. } => KIND_SEEN,
        Record::Issued { .. } => KIND_ISSUED,
        Record::Kept(kept) => kept::kind_of(kept),
    }
}

pub(super) fn is_known(kind: u8) -> bool {
    (KIND_START..=KIND_NEWEST).contains(&kind)
}

/// Exactly what `encode` appends.
pub(super) fn body_bytes(record: &Record) -> usize {
    match record {
        Record::Start { .. } => START_BODY_BYTES,
        Record::Mark { .. } => MARK_BODY_BYTES,
        Record::Posted { message, deliveries, links } => {
            message_bytes(message, links) + deliveries.len() * DELIVERY_BYTES
        }
        Record::Delivered { message, links, .. } => message_bytes(message, links) + DELIVERY_BYTES,
        Record::Confirmed { .. } => DELIVERY_BYTES,
        Record::Device { user, device, .. } => 8 + 1 + 1 + user.as_str().len() + 4 + device.id.len(),
        Record::Carried { message, links } => message_bytes(message, links),
        Record::Inbox { user, .. } => 8 + 1 + user.as_str().len(),
        Record::Conversation { conversation, .. } => 16 + conversation_bytes(conversation),
        Record::Issued { .. } => 8,
        Record::Kept(kept) => kept::kept_bytes(kept),
        Record::Fanned { links, .. } => {
            8 + 2 + links.iter().map(|member| 1 + LINK_BYTES + member.user.as_str().len()).sum::<usize>()
        }
        Record::Read { user, conversation, .. } => 12 + 1 + user.as_str().len() + conversation_bytes(conversation),
        Record::Consumed { user, .. } | Record::Seen { user, .. } => 8 + 1 + user.as_str().len(),
        Record::Block { by, other, .. } => 1 + 1 + by.as_str().len() + 1 + other.as_str().len(),
    }
}

pub(super) fn conversation_bytes(conversation: &Conversation) -> usize {
    conversation_ids(conversation).map(|id| 1 + id.len()).iter().sum()
}

pub(super) fn put_conversation(conversation: &Conversation, out: &mut Vec<u8>) {
    conversation_ids(conversation).into_iter().for_each(|id| out.put_short(id.as_bytes()));
}

/// A pair's two ids; of a group "" and its id.
fn conversation_ids(conversation: &Conversation) -> [&str; 2] {
    match conversation {
        Conversation::Pair(a, b) => [a.as_str(), b.as_str()],
        Conversation::Group(id) => ["", id.as_str()],
    }
}

pub(super) fn read_conversation(reader: &mut Reader<'_>) -> Option<Conversation> {
    let (first, second) = (text(reader.short()?)?, text(reader.short()?)?);
    if first.is_empty() {
        return Some(Conversation::Group(GroupId::new(second).ok()?));
    }
    let conversation = Conversation::pair(user(first)?, user(second)?);
    // A pair is written sorted; anything else is not what `encode` writes.
    (conversation_ids(&conversation) == [first, second]).then_some(conversation)
}

fn user(text: &str) -> Option<UserId> {
    UserId::new(text).ok()
}

fn short_user(reader: &mut Reader<'_>) -> Option<UserId> {
    user(text(reader.short()?)?)
}

fn message_bytes(message: &Message, links: &Links) -> usize {
    let name = message.conversation_name.as_ref().map_or(0, |name| name.as_str().len());
    let extra = message.extra.iter().map(|(key, value)| 4 + key.len() + 4 + value.len()).sum::<usize>();
    let extra = if message.extra.is_empty() { 0 } else { 4 + extra };
    let noted = message.annotations.as_ref().map_or(0, |notes| {
        let text = |text: &Option<CompactString>| text.as_ref().map_or(0, |text| 4 + text.len());
        let expire = if notes.expire_s == 0 { 0 } else { 4 };
        let chunk = notes.chunk.as_ref().map_or(0, |chunk| 8 + 1 + 4 + chunk.stream.len());
        text(&notes.topic) + text(&notes.message_key) + expire + chunk
    });
    let fact = message.fact.as_ref().map_or(0, |fact| fact::fact_bytes(fact));
    PREFIX_BYTES
        + links.len() * LINK_BYTES
        + message.author.as_str().len()
        + other_side(message).1.len()
        + NUMBERS_BYTES
        + 1
        + message.client_message_id.as_str().len()
        + 1
        + name
        + 4
        + message.content.len()
        + extra
        + noted
        + fact
}

/// Whom the author wrote to, and which kind of conversation that is.
fn other_side(message: &Message) -> (u8, &str) {
    match &message.conversation {
        Conversation::Pair(a, b) if *a == message.author => (CONVERSATION_PAIR, b.as_str()),
        Conversation::Pair(a, b) => {
            assert!(*b == message.author, "an author is one of the pair");
            (CONVERSATION_PAIR, a.as_str())
        }
        Conversation::Group(id) => (CONVERSATION_GROUP, id.as_str()),
    }
}

/// Appends the body. `claim` is what a `Start` or a `Mark` vouches for.
pub(super) fn encode(record: &Record, claim: Claim, out: &mut Vec<u8>) {
    match record {
        Record::Start { epoch, time } => {
            claim.put(out);
            out.put_u64(*epoch);
            out.put_u64(time.0);
        }
        Record::Mark { durable } => Claim { durable: *durable, ..claim }.put(out),
        Record::Posted { message, deliveries, links } => {
            encode_links(message, links, deliveries.len(), out);
            for delivery in deliveries {
                out.put_u16(delivery.target.0);
                out.put_u64(delivery.number);
            }
            encode_message(message, out);
        }
        Record::Delivered { source, number, message, links } => {
            encode_links(message, links, 0, out);
            out.put_u16(source.0);
            out.put_u64(*number);
            encode_message(message, out);
        }
        Record::Confirmed { target, through } => {
            out.put_u16(target.0);
            out.put_u64(*through);
        }
        Record::Device { user, device, position } => {
            out.put_u64(position.0);
            out.put_u8(device.flag);
            out.put_short(user.as_str().as_bytes());
            out.put_long(device.id.as_bytes());
        }
        Record::Carried { message, links } => {
            encode_links(message, links, 0, out);
            encode_message(message, out);
        }
        Record::Inbox { user, seq } => {
            out.put_u64(seq.0);
            out.put_short(user.as_str().as_bytes());
        }
        Record::Conversation { conversation, seq, message } => {
            out.put_u64(seq.0);
            out.put_u64(message.0);
            put_conversation(conversation, out);
        }
        Record::Issued { message } => out.put_u64(message.0),
        Record::Kept(kept) => kept::encode(kept, out),
        Record::Fanned { of, links } => {
            out.put_u64(of.0);
            out.put_u16(u16::try_from(links.len()).expect("a record has few of them"));
            for MemberLink { user, link } in links {
                put_link(link, out);
                out.put_short(user.as_str().as_bytes());
            }
        }
        Record::Read { user, conversation, through, unread } => {
            out.put_u64(through.0);
            out.put_u32(*unread);
            out.put_short(user.as_str().as_bytes());
            put_conversation(conversation, out);
        }
        Record::Consumed { user, message } => {
            out.put_u64(message.0);
            out.put_short(user.as_str().as_bytes());
        }
        Record::Block { by, other, state } => {
            out.put_u8(u8::from(*state == BlockState::Blocked));
            out.put_short(by.as_str().as_bytes());
            out.put_short(other.as_str().as_bytes());
        }
        Record::Seen { user, last_seen } => {
            out.put_u64(last_seen.0);
            out.put_short(user.as_str().as_bytes());
        }
    }
}

fn put_link(link: &Link, out: &mut Vec<u8>) {
    out.put_u64(link.seq.0);
    out.put_u64(link.previous.0);
    out.put_u64(link.skip.0);
}

/// The part that a walk reads: prefix, links, and the two ids that say whose the links are.
fn encode_links(message: &Message, links: &Links, deliveries: usize, out: &mut Vec<u8>) {
    let (conversation_kind, other_side) = other_side(message);
    let id_bytes = |id: &str| u8::try_from(id.len()).expect("ids are bounded by their types");
    out.put_u8(links.iter().fold(0, |sides, link| sides | side_bit(link.side)));
    out.put_u8(id_bytes(message.author.as_str()));
    out.put_u8(id_bytes(other_side));
    out.put_u8(conversation_kind);
    out.put_u16(flags_of(message));
    out.put_u16(u16::try_from(deliveries).expect("at most one delivery per shard"));
    let is_sorted = links.windows(2).all(|pair| side_bit(pair[0].side) < side_bit(pair[1].side));
    assert!(is_sorted, "a record has at most one link of each side, in their order");
    links.iter().for_each(|link| put_link(link, out));
    out.extend_from_slice(message.author.as_str().as_bytes());
    out.extend_from_slice(other_side.as_bytes());
}

fn side_bit(side: Side) -> u8 {
    match side {
        Side::Author => SIDE_AUTHOR,
        Side::Peer => SIDE_PEER,
        Side::Conversation => SIDE_CONVERSATION,
    }
}

fn flags_of(message: &Message) -> u16 {
    let bit = |is_set: bool, flag: u16| if is_set { flag } else { 0 };
    let extra = bit(!message.extra.is_empty(), FLAG_EXTRA) | bit(message.fact.is_some(), FLAG_FACT);
    message.annotations.as_ref().map_or(extra, |notes| {
        extra
            | FLAG_ANNOTATED
            | bit(notes.header.red_dot, FLAG_RED_DOT)
            | bit(notes.header.dup, FLAG_DUP)
            | bit(notes.setting.receipt, FLAG_RECEIPT)
            | bit(notes.setting.topic, FLAG_TOPIC)
            | bit(notes.topic.is_some(), FLAG_TOPIC_TEXT)
            | bit(notes.message_key.is_some(), FLAG_MESSAGE_KEY)
            | bit(notes.header.sync_once, FLAG_SYNC_ONCE)
            | bit(notes.expire_s > 0, FLAG_EXPIRE)
            | bit(notes.chunk.is_some(), FLAG_CHUNK)
    })
}

fn encode_message(message: &Message, out: &mut Vec<u8>) {
    out.put_u64(message.id.0);
    out.put_u64(message.conversation_seq.0);
    out.put_u32(message.message_type.cast_unsigned());
    out.put_u64(message.send_time.cast_unsigned());
    out.put_u64(message.server_time.0);
    out.put_short(message.client_message_id.as_str().as_bytes());
    out.put_short(message.conversation_name.as_ref().map_or("", ConversationName::as_str).as_bytes());
    out.put_long(&message.content);
    if !message.extra.is_empty() {
        out.put_u32(u32::try_from(message.extra.iter().len()).expect("a record is smaller than its segment"));
        for (key, value) in message.extra.iter() {
            out.put_long(key.as_bytes());
            out.put_long(value.as_bytes());
        }
    }
    if let Some(notes) = &message.annotations {
        encode_annotations(notes, out);
    }
    if let Some(fact) = &message.fact {
        fact::encode(fact, out);
    }
}

/// What flags cannot say. `noPersist` is never stored.
fn encode_annotations(notes: &Annotations, out: &mut Vec<u8>) {
    for text in [&notes.topic, &notes.message_key].into_iter().flatten() {
        out.put_long(text.as_bytes());
    }
    if notes.expire_s > 0 {
        out.put_u32(notes.expire_s);
    }
    if let Some(Chunk { stream, number, phase }) = &notes.chunk {
        out.put_u64(*number);
        out.put_u8(match phase {
            ChunkPhase::First => 0,
            ChunkPhase::Next => 1,
            ChunkPhase::Last => 2,
        });
        out.put_long(stream.as_bytes());
    }
}

/// The body that says this, for whoever compares what two logs hold; a `Start` or `Mark` vouches for nothing in it.
pub(super) fn plain(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(body_bytes(record));
    encode(record, Claim { durable: Position::NONE, at: Position::NONE, log: Millis(0) }, &mut out);
    out
}

/// The record with this body; `None` unless the body is one that `encode` writes. Total: any bytes will do.
pub fn decode(kind: u8, body: &[u8]) -> Option<Record> {
    let mut reader = Reader::new(body);
    let record = match kind {
        KIND_START => {
            Claim::read(&mut reader)?;
            Record::Start { epoch: reader.u64()?, time: Millis(reader.u64()?) }
        }
        KIND_MARK => Record::Mark { durable: Claim::read(&mut reader)?.durable },
        KIND_POSTED => {
            let head = Head::read(&mut reader)?;
            let deliveries = (0..head.deliveries).map(|_| read_delivery(&mut reader)).collect::<Option<_>>()?;
            let links = head.links();
            Record::Posted { deliveries, message: read_message(&head, &mut reader)?, links }
        }
        KIND_DELIVERED => {
            let head = Head::read(&mut reader)?;
            let Delivery { target: source, number } = read_delivery(&mut reader)?;
            let links = head.links();
            Record::Delivered { source, number, message: read_message(&head, &mut reader)?, links }
        }
        KIND_CONFIRMED => {
            let Delivery { target, number: through } = read_delivery(&mut reader)?;
            Record::Confirmed { target, through }
        }
        KIND_DEVICE => {
            let position = Seq(reader.u64()?);
            let flag = reader.u8()?;
            let user = UserId::new(text(reader.short()?)?).ok()?;
            Record::Device { user, device: DeviceKey { flag, id: text(reader.long()?)?.into() }, position }
        }
        KIND_CARRIED => {
            let head = Head::read(&mut reader)?;
            let links = head.links();
            Record::Carried { message: read_message(&head, &mut reader)?, links }
        }
        KIND_INBOX => {
            let seq = Seq(reader.u64()?);
            Record::Inbox { seq, user: UserId::new(text(reader.short()?)?).ok()? }
        }
        KIND_CONVERSATION => {
            let (seq, message) = (ConversationSeq(reader.u64()?), MessageId(reader.u64()?));
            Record::Conversation { seq, message, conversation: read_conversation(&mut reader)? }
        }
        KIND_ISSUED => Record::Issued { message: MessageId(reader.u64()?) },
        KIND_FANNED => {
            let of = Position(reader.u64()?);
            let links = (0..reader.u16()?).map(|_| read_member_link(&mut reader)).collect::<Option<_>>()?;
            Record::Fanned { of, links }
        }
        KIND_READ => {
            let (through, unread) = (ConversationSeq(reader.u64()?), reader.u32()?);
            Record::Read {
                through,
                unread,
                user: short_user(&mut reader)?,
                conversation: read_conversation(&mut reader)?,
            }
        }
        KIND_CONSUMED => {
            let message = MessageId(reader.u64()?);
            Record::Consumed { message, user: short_user(&mut reader)? }
        }
        KIND_BLOCK => {
            let state = match reader.u8()? {
                0 => BlockState::Allowed,
                1 => BlockState::Blocked,
                _ => return None,
            };
            Record::Block { state, by: short_user(&mut reader)?, other: short_user(&mut reader)? }
        }
        KIND_SEEN => {
            let last_seen = Millis(reader.u64()?);
            Record::Seen { last_seen, user: short_user(&mut reader)? }
        }
        kind => Record::Kept(kept::read(kind, &mut reader)?),
    };
    reader.is_at_end().then_some(record)
}

/// The thread's link in the body of a record, without looking at the message; `None` if it has none there.
pub(super) fn link_of(kind: u8, body: &[u8], thread: Thread<'_>) -> Option<Link> {
    if kind == KIND_FANNED {
        return member_link_of(body, thread);
    }
    if !matches!(kind, KIND_POSTED | KIND_DELIVERED | KIND_CARRIED) {
        return None;
    }
    let head = Head::read(&mut Reader::new(body))?;
    match thread {
        Thread::Inbox(user) => {
            let user = user.as_str().as_bytes();
            if head.author == user {
                return head.author_link;
            }
            if head.conversation_kind == CONVERSATION_PAIR && head.other_side == user { head.peer_link } else { None }
        }
        Thread::Conversation(conversation) => head.is_of(conversation).then_some(head.conversation_link).flatten(),
    }
}

/// The id of the message in the body of a record that has one itself.
pub(super) fn message_id_of(kind: u8, body: &[u8]) -> Option<MessageId> {
    let mut reader = Reader::new(body);
    let deliveries = match kind {
        KIND_POSTED => usize::from(Head::read(&mut reader)?.deliveries),
        KIND_DELIVERED => Head::read(&mut reader).map(|_| 1)?,
        KIND_CARRIED => Head::read(&mut reader).map(|_| 0)?,
        _ => return None,
    };
    reader.take(deliveries * DELIVERY_BYTES)?;
    Some(MessageId(reader.u64()?))
}

/// Links stand before ids of at most 64 bytes: a walk over the first few of them, no more.
fn member_link_of(body: &[u8], thread: Thread<'_>) -> Option<Link> {
    let Thread::Inbox(user) = thread else { return None };
    let mut reader = Reader::new(body);
    reader.u64()?;
    for _member in 0..reader.u16()? {
        let link = read_link(Side::Peer, &mut reader)?;
        if reader.short()? == user.as_str().as_bytes() {
            return Some(link);
        }
    }
    None
}

fn read_member_link(reader: &mut Reader<'_>) -> Option<MemberLink> {
    let link = read_link(Side::Peer, reader)?;
    Some(MemberLink { user: short_user(reader)?, link })
}

/// The part that a walk reads.
struct Head<'a> {
    author_link: Option<Link>,
    peer_link: Option<Link>,
    conversation_link: Option<Link>,
    author: &'a [u8],
    other_side: &'a [u8],
    conversation_kind: u8,
    flags: u16,
    deliveries: u16,
}

impl<'a> Head<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let sides = reader.u8()?;
        let author_bytes = usize::from(reader.u8()?);
        let other_side_bytes = usize::from(reader.u8()?);
        let conversation_kind = reader.u8()?;
        let flags = reader.u16()?;
        let deliveries = reader.u16()?;
        if sides & !SIDES_KNOWN != 0 || flags & !FLAGS_KNOWN != 0 {
            return None;
        }
        let mut link = |side| if sides & side_bit(side) == 0 { Some(None) } else { read_link(side, reader).map(Some) };
        let (author_link, peer_link) = (link(Side::Author)?, link(Side::Peer)?);
        let conversation_link = link(Side::Conversation)?;
        Some(Self {
            author_link,
            peer_link,
            conversation_link,
            author: reader.take(author_bytes)?,
            other_side: reader.take(other_side_bytes)?,
            conversation_kind,
            flags,
            deliveries,
        })
    }

    fn links(&self) -> Links {
        [self.author_link, self.peer_link, self.conversation_link].into_iter().flatten().collect()
    }

    fn is_of(&self, conversation: &Conversation) -> bool {
        let (author, other) = (self.author, self.other_side);
        match conversation {
            Conversation::Pair(a, b) => {
                let (a, b) = (a.as_str().as_bytes(), b.as_str().as_bytes());
                self.conversation_kind == CONVERSATION_PAIR && ((author, other) == (a, b) || (author, other) == (b, a))
            }
            Conversation::Group(id) => self.conversation_kind == CONVERSATION_GROUP && other == id.as_str().as_bytes(),
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

fn read_link(side: Side, reader: &mut Reader<'_>) -> Option<Link> {
    Some(Link { side, seq: Seq(reader.u64()?), previous: Position(reader.u64()?), skip: Position(reader.u64()?) })
}

fn read_delivery(reader: &mut Reader<'_>) -> Option<Delivery> {
    Some(Delivery { target: ShardId(reader.u16()?), number: reader.u64()? })
}

fn read_message(head: &Head<'_>, reader: &mut Reader<'_>) -> Option<Arc<Message>> {
    let author = UserId::new(text(head.author)?).ok()?;
    let other_side = text(head.other_side)?;
    let conversation = match head.conversation_kind {
        CONVERSATION_PAIR => Conversation::pair(author.clone(), UserId::new(other_side).ok()?),
        CONVERSATION_GROUP => Conversation::Group(GroupId::new(other_side).ok()?),
        _ => return None,
    };
    Some(Arc::new(Message {
        id: MessageId(reader.u64()?),
        conversation,
        conversation_seq: ConversationSeq(reader.u64()?),
        author,
        message_type: reader.u32()?.cast_signed(),
        send_time: reader.u64()?.cast_signed(),
        server_time: Millis(reader.u64()?),
        client_message_id: ClientMessageId::new(text(reader.short()?)?).ok()?,
        conversation_name: match text(reader.short()?)? {
            "" => None,
            name => Some(ConversationName::new(name).ok()?),
        },
        content: Bytes::copy_from_slice(reader.long()?),
        extra: if head.has(FLAG_EXTRA) { read_extra(reader)? } else { Extra::default() },
        annotations: read_annotations(head, reader)?,
        fact: if head.has(FLAG_FACT) { Some(Arc::new(fact::read(reader)?)) } else { None },
    }))
}

fn read_extra(reader: &mut Reader<'_>) -> Option<Extra> {
    let count = reader.u32()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((text(reader.long()?)?.into(), text(reader.long()?)?.into()));
    }
    Some(Extra::new(pairs))
}

/// The outer `None`: not what `encode` writes. The inner: a message without annotations.
fn read_annotations(head: &Head<'_>, reader: &mut Reader<'_>) -> Option<Option<Box<Annotations>>> {
    if !head.has(FLAG_ANNOTATED) {
        return Some(None);
    }
    let mut optional_text =
        |flag| if head.has(flag) { text(reader.long()?).map(|text| Some(text.into())) } else { Some(None) };
    Some(Some(Box::new(Annotations {
        header: HeaderFlags {
            no_persist: false,
            red_dot: head.has(FLAG_RED_DOT),
            sync_once: head.has(FLAG_SYNC_ONCE),
            dup: head.has(FLAG_DUP),
        },
        setting: SettingFlags { receipt: head.has(FLAG_RECEIPT), topic: head.has(FLAG_TOPIC) },
        topic: optional_text(FLAG_TOPIC_TEXT)?,
        message_key: optional_text(FLAG_MESSAGE_KEY)?,
        expire_s: if head.has(FLAG_EXPIRE) { reader.u32().filter(|expire_s| *expire_s > 0)? } else { 0 },
        chunk: if head.has(FLAG_CHUNK) { Some(read_chunk(reader)?) } else { None },
    })))
}

fn read_chunk(reader: &mut Reader<'_>) -> Option<Chunk> {
    let number = reader.u64()?;
    let phase = match reader.u8()? {
        0 => ChunkPhase::First,
        1 => ChunkPhase::Next,
        2 => ChunkPhase::Last,
        _ => return None,
    };
    Some(Chunk { number, phase, stream: text(reader.long()?)?.into() })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixtures::{self, Chance};

    const CLAIM: Claim = Claim { durable: Position(64), at: Position(128), log: Millis(3) };

    fn encoded(record: &Record) -> Vec<u8> {
        let mut body = Vec::new();
        encode(record, CLAIM, &mut body);
        body
    }

    #[test]
    fn every_record_is_read_back_as_it_was_written_and_takes_the_bytes_it_says() {
        let mut chance = Chance::new(1);
        let fixed = [Record::Start { epoch: 7, time: Millis(9) }, Record::Mark { durable: Position(77) }];
        for record in fixed.into_iter().chain((0..20_000).map(|_| fixtures::any_record(&mut chance))) {
            let body = encoded(&record);
            assert_eq!(body.len(), body_bytes(&record), "{record:?}");
            assert_eq!(decode(kind_of(&record), &body).as_ref(), Some(&record));
        }
    }

    #[test]
    fn a_body_cut_short_or_with_a_byte_too_many_is_refused() {
        let mut chance = Chance::new(2);
        for _ in 0..300 {
            let record = fixtures::any_record(&mut chance);
            let mut body = encoded(&record);
            for length in 0..body.len() {
                assert_eq!(decode(kind_of(&record), &body[..length]), None);
            }
            body.push(0);
            assert_eq!(decode(kind_of(&record), &body), None);
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic() {
        let mut chance = Chance::new(3);
        for _ in 0..200_000 {
            let mut body = encoded(&fixtures::any_record(&mut chance));
            for _ in 0..=chance.below(3) {
                let place = chance.below(body.len());
                body[place] = [0, 0xff, chance.next() as u8][chance.below(3)];
            }
            let kind = chance.below(usize::from(KIND_NEWEST) + 2) as u8;
            let _ = (decode(kind, &body), link_of(kind, &body, Thread::Inbox(&fixtures::user("u"))));
        }
    }

    #[test]
    fn a_walk_sees_the_links_that_a_full_reading_sees() {
        let mut chance = Chance::new(4);
        for _ in 0..5_000 {
            let record = fixtures::any_record(&mut chance);
            let body = encoded(&record);
            let walked = |thread| link_of(kind_of(&record), &body, thread);
            if let Record::Fanned { links, .. } = &record {
                links.iter().for_each(|it| assert_eq!(walked(Thread::Inbox(&it.user)), record.link_of(&it.user)));
            }
            let Some((message, links)) = record.message() else { continue };
            let peer = message.peer_of(&message.author).cloned();
            for user in [message.author.clone(), fixtures::user("stranger")].into_iter().chain(peer) {
                let in_head = link_of(kind_of(&record), &body, Thread::Inbox(&user));
                assert_eq!(in_head, record.link_of(&user));
            }
            let link = links.iter().find(|link| link.side == Side::Conversation).copied();
            assert_eq!(walked(Thread::Conversation(&message.conversation)), link);
            let other = Conversation::pair(fixtures::user("stranger"), fixtures::user("stranger"));
            assert_eq!(walked(Thread::Conversation(&other)), None);
        }
    }
}
