//! A message inside a record: the head that a walk reads, and the rest (docs/FORMAT.md).
//!
//! Invariants: decoding is total; links and ids come first, so that a walk through an inbox touches one or two cache
//! lines of a record and not its content.

use crate::log::record::bytes::text;
use crate::log::record::bytes::{Put, Reader};
use crate::log::record::fact;
use crate::log::{Side, ThreadLink, ThreadLinks};
use crate::model::{
    Annotations, ChunkPhase, ClientMessageId, Conversation, ConversationName, ConversationSeq, Extra, GroupId,
    HeaderFlags, Message, MessageId, Millis, Position, Seq, SettingFlags, StreamChunk, UserId,
};
use bytes::Bytes;
use compact_str::CompactString;
use std::sync::Arc;

const PREFIX_BYTES: usize = 8;
pub(in crate::log) const LINK_BYTES: usize = 24;
/// Message id, conversation seq, message type, send time and server time.
const NUMBERS_BYTES: usize = 36;

/// One of each side.
const LINKS_MAX: usize = 3;

const SIDE_AUTHOR: u8 = 1;
const SIDE_PEER: u8 = 2;
const SIDE_CONVERSATION: u8 = 4;
/// The peer had no session.
const PEER_AWAY: u8 = 8;
const SIDES_KNOWN: u8 = SIDE_AUTHOR | SIDE_PEER | SIDE_CONVERSATION | PEER_AWAY;
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
const FLAG_REPLACED: u16 = 1 << 12;
const FLAGS_KNOWN: u16 = (1 << 13) - 1;

pub(in crate::log) fn message_bytes(message: &Message, links: &ThreadLinks) -> usize {
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

/// The recipient's id and the kind of the conversation.
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

pub(in crate::log) fn put_link(link: &ThreadLink, out: &mut impl Put) {
    out.put_bytes(&link_bytes(link));
}

fn link_bytes(link: &ThreadLink) -> [u8; LINK_BYTES] {
    let mut bytes = [0; LINK_BYTES];
    for (eight, number) in bytes.as_chunks_mut().0.iter_mut().zip([link.seq.0, link.previous.0, link.skip.0]) {
        *eight = number.to_le_bytes();
    }
    bytes
}

/// Appends the head: prefix, links, and the two ids that say whose links they are.
pub(in crate::log) fn encode_links(message: &Message, links: &ThreadLinks, deliveries: usize, out: &mut impl Put) {
    let (conversation_kind, other_side) = other_side(message);
    let id_bytes = |id: &str| u8::try_from(id.len()).expect("ids are bounded by their types");
    let [flag, other_flag] = flags_of(message).to_le_bytes();
    let [low, high] = u16::try_from(deliveries).expect("at most one delivery per shard").to_le_bytes();
    let (author_bytes, other_side_bytes) = (id_bytes(message.author.as_str()), id_bytes(other_side));
    let mut head = [0; PREFIX_BYTES + LINKS_MAX * LINK_BYTES];
    let (prefix, places) = head.split_first_chunk_mut().expect("a head begins with its prefix");
    let (mut sides, mut away) = (0, 0);
    for (place, link) in places.as_chunks_mut().0.iter_mut().zip(links) {
        let bit = side_bit(link.side);
        assert!(bit > sides, "a record has at most one link of each side, in their order");
        sides |= bit;
        away |= if link.is_away { PEER_AWAY } else { 0 };
        *place = link_bytes(link);
    }
    *prefix = [sides | away, author_bytes, other_side_bytes, conversation_kind, flag, other_flag, low, high];
    out.put_bytes(&head[..PREFIX_BYTES + links.len() * LINK_BYTES]);
    out.put_bytes(message.author.as_str().as_bytes());
    out.put_bytes(other_side.as_bytes());
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
            | bit(notes.is_replaced, FLAG_REPLACED)
    })
}

pub(in crate::log) fn encode_message(message: &Message, out: &mut impl Put) {
    let mut numbers = [0; NUMBERS_BYTES];
    numbers[..8].copy_from_slice(&message.id.0.to_le_bytes());
    numbers[8..16].copy_from_slice(&message.conversation_seq.0.to_le_bytes());
    numbers[16..20].copy_from_slice(&message.message_type.to_le_bytes());
    numbers[20..28].copy_from_slice(&message.send_time.to_le_bytes());
    numbers[28..].copy_from_slice(&message.server_time.0.to_le_bytes());
    out.put_bytes(&numbers);
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

/// Appends the annotations that flags cannot express. `noPersist` is never stored.
fn encode_annotations(notes: &Annotations, out: &mut impl Put) {
    for text in [&notes.topic, &notes.message_key].into_iter().flatten() {
        out.put_long(text.as_bytes());
    }
    if notes.expire_s > 0 {
        out.put_u32(notes.expire_s);
    }
    if let Some(StreamChunk { stream, number, phase }) = &notes.chunk {
        out.put_u64(*number);
        out.put_u8(match phase {
            ChunkPhase::First => 0,
            ChunkPhase::Next => 1,
            ChunkPhase::Last => 2,
        });
        out.put_long(stream.as_bytes());
    }
}

/// The head of a message, which a walk reads.
pub(in crate::log) struct MessageHead<'a> {
    sides: u8,
    links: &'a [u8],
    pub author: &'a [u8],
    pub other_side: &'a [u8],
    conversation_kind: u8,
    flags: u16,
    pub deliveries: u16,
}

impl<'a> MessageHead<'a> {
    #[inline]
    pub fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let sides = reader.u8()?;
        let author_bytes = usize::from(reader.u8()?);
        let other_side_bytes = usize::from(reader.u8()?);
        let conversation_kind = reader.u8()?;
        let flags = reader.u16()?;
        let deliveries = reader.u16()?;
        if sides & !SIDES_KNOWN != 0 || flags & !FLAGS_KNOWN != 0 {
            return None;
        }
        Some(Self {
            sides,
            links: reader.take((sides & !PEER_AWAY).count_ones() as usize * LINK_BYTES)?,
            author: reader.take(author_bytes)?,
            other_side: reader.take(other_side_bytes)?,
            conversation_kind,
            flags,
            deliveries,
        })
    }

    /// The link of one side.
    #[inline]
    pub fn link(&self, side: Side) -> Option<ThreadLink> {
        let bit = side_bit(side);
        if self.sides & bit == 0 {
            return None;
        }
        let before = (self.sides & (bit - 1)).count_ones() as usize;
        let is_away = side == Side::Peer && self.sides & PEER_AWAY != 0;
        read_link(side, is_away, &mut Reader::new(&self.links[before * LINK_BYTES..]))
    }

    pub fn links(&self) -> ThreadLinks {
        [Side::Author, Side::Peer, Side::Conversation].into_iter().filter_map(|side| self.link(side)).collect()
    }

    pub fn is_of_pair(&self) -> bool {
        self.conversation_kind == CONVERSATION_PAIR
    }

    pub fn is_of(&self, conversation: &Conversation) -> bool {
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

#[inline]
pub(in crate::log) fn read_link(side: Side, is_away: bool, reader: &mut Reader<'_>) -> Option<ThreadLink> {
    let (seq, previous, skip) = (Seq(reader.u64()?), Position(reader.u64()?), Position(reader.u64()?));
    Some(ThreadLink { side, seq, previous, skip, is_away })
}

pub(in crate::log) fn read_message(head: &MessageHead<'_>, reader: &mut Reader<'_>) -> Option<Arc<Message>> {
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
        content: Bytes::copy_from_slice(reader.long()?).into(),
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
fn read_annotations(head: &MessageHead<'_>, reader: &mut Reader<'_>) -> Option<Option<Box<Annotations>>> {
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
        is_replaced: head.has(FLAG_REPLACED),
    })))
}

fn read_chunk(reader: &mut Reader<'_>) -> Option<StreamChunk> {
    let number = reader.u64()?;
    let phase = match reader.u8()? {
        0 => ChunkPhase::First,
        1 => ChunkPhase::Next,
        2 => ChunkPhase::Last,
        _ => return None,
    };
    Some(StreamChunk { number, phase, stream: text(reader.long()?)?.into() })
}
