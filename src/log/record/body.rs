//! The body of each kind of record, between envelope and padding (docs/FORMAT.md).
//!
//! Invariant: decoding is total, never panics, and refuses excess bytes.

use crate::log::record::borrowed::RecordRef;
use crate::log::record::bytes::{Put, Reader, text};
use crate::log::record::conversation::{conversation_bytes, put_conversation, read_conversation};
use crate::log::record::envelope;
use crate::log::record::member_link::{member_link_bytes, member_link_of, put_member_link, read_member_link};
use crate::log::record::message::{MessageHead, encode_links, encode_message, message_bytes, read_message};
use crate::log::record::profile::{profile_bytes, put_profile, read_profile};
use crate::log::record::push::{put_registration, read_registration, registration_bytes};
use crate::log::record::snapshot;
use crate::log::{Delivery, Record, Side, Thread, ThreadLink};
use crate::model::{
    AccountState, BlockState, ConversationSeq, DeviceKey, Message, MessageId, Millis, Position, Seq, ShardId, UserId,
    push_device_id,
};
use std::sync::Arc;

pub(in crate::log) const KIND_START: u8 = 1;
pub(in crate::log) const KIND_MARK: u8 = 2;
pub(in crate::log) const KIND_POSTED: u8 = 3;
pub(in crate::log) const KIND_DELIVERED: u8 = 4;
pub(in crate::log) const KIND_CONFIRMED: u8 = 5;
pub(in crate::log) const KIND_DEVICE: u8 = 6;
pub(in crate::log) const KIND_CARRIED: u8 = 7;
pub(in crate::log) const KIND_INBOX: u8 = 8;
pub(in crate::log) const KIND_CONVERSATION: u8 = 9;
pub(in crate::log) const KIND_FANNED: u8 = 10;
pub(in crate::log) const KIND_READ: u8 = 11;
pub(in crate::log) const KIND_CONSUMED: u8 = 12;
pub(in crate::log) const KIND_BLOCK: u8 = 13;
pub(in crate::log) const KIND_SEEN: u8 = 14;
pub(in crate::log) const KIND_ISSUED: u8 = 15;
// Kinds 16 to 21, 28, 30 and 31 are `kept`'s.
pub(in crate::log) const KIND_ACCOUNT: u8 = 22;
pub(in crate::log) const KIND_FORGONE: u8 = 23;
pub(in crate::log) const KIND_ONLINE: u8 = 24;
pub(in crate::log) const KIND_CLOCK: u8 = 25;
pub(in crate::log) const KIND_ERASED: u8 = 26;
pub(in crate::log) const KIND_PROFILE: u8 = 27;
pub(in crate::log) const KIND_PUSH_DEVICE: u8 = 29;
const KIND_NEWEST: u8 = snapshot::KIND_CLEARED;

pub(in crate::log) const MARK_BODY_BYTES: usize = CLAIM_BYTES;
pub(in crate::log) const START_BODY_BYTES: usize = CLAIM_BYTES + 16;
const CLAIM_BYTES: usize = 24;

pub(in crate::log) const DELIVERY_BYTES: usize = 10;

/// The claim of a `Start` or `Mark` about the bytes before it, which is evidence wherever it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct DurabilityMark {
    /// Everything before this position was on stable storage.
    pub durable: Position,
    /// The position of the record itself: a copy elsewhere, for instance in a client's content, claims nothing.
    pub at: Position,
    /// The wall-clock time of the log's creation, which identifies the log.
    pub log: Millis,
}

impl DurabilityMark {
    fn put(&self, out: &mut impl Put) {
        out.put_u64(self.durable.0);
        out.put_u64(self.at.0);
        out.put_u64(self.log.0);
    }

    pub(in crate::log) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { durable: Position(reader.u64()?), at: Position(reader.u64()?), log: Millis(reader.u64()?) })
    }
}

impl Record {
    /// Bytes of this record in a segment: envelope, body and padding.
    pub fn encoded_bytes(&self) -> usize {
        envelope::record_bytes(body_bytes(self))
    }

    /// The record's kind and body.
    pub fn plain(&self) -> (u8, Vec<u8>) {
        (kind_of(self), plain(self))
    }
}

impl RecordRef<'_> {
    /// Bytes of this record in a segment: envelope, body and padding.
    pub fn encoded_bytes(self) -> usize {
        envelope::record_bytes(self.body_bytes())
    }

    pub(in crate::log) fn kind(self) -> u8 {
        match self {
            Self::Posted { .. } => KIND_POSTED,
            Self::Delivered { .. } => KIND_DELIVERED,
            Self::Fanned { .. } => KIND_FANNED,
            Self::Whole(record) => kind_of(record),
        }
    }

    /// Exactly the bytes that `encode` appends.
    pub(in crate::log) fn body_bytes(self) -> usize {
        match self {
            Self::Posted { message, deliveries, links } => {
                message_bytes(message, links) + deliveries.len() * DELIVERY_BYTES
            }
            Self::Delivered { message, links, .. } => message_bytes(message, links) + DELIVERY_BYTES,
            Self::Fanned { links, .. } => 8 + 2 + links.iter().map(member_link_bytes).sum::<usize>(),
            Self::Whole(record) => body_bytes(record),
        }
    }

    /// Appends the body. `claim` is the claim of a `Start` or `Mark`.
    pub(in crate::log) fn encode(self, claim: DurabilityMark, out: &mut impl Put) {
        match self {
            Self::Posted { message, deliveries, links } => {
                encode_links(message, links, deliveries.len(), out);
                for delivery in deliveries {
                    out.put_u16(delivery.target.0);
                    out.put_u64(delivery.number);
                }
                encode_message(message, out);
            }
            Self::Delivered { source, number, message, links } => {
                encode_links(message, links, 0, out);
                out.put_u16(source.0);
                out.put_u64(number);
                encode_message(message, out);
            }
            Self::Fanned { of, links } => {
                out.put_u64(of.0);
                out.put_u16(u16::try_from(links.len()).expect("a record has few of them"));
                links.iter().for_each(|member| put_member_link(member, out));
            }
            Self::Whole(record) => encode(record, claim, out),
        }
    }
}

pub(in crate::log) fn kind_of(record: &Record) -> u8 {
    match record {
        Record::Start { .. } => KIND_START,
        Record::Mark { .. } => KIND_MARK,
        Record::Posted { .. } => KIND_POSTED,
        Record::Delivered { .. } => KIND_DELIVERED,
        Record::Confirmed { .. } => KIND_CONFIRMED,
        Record::Forgone { .. } => KIND_FORGONE,
        Record::Device { .. } => KIND_DEVICE,
        Record::Carried { .. } => KIND_CARRIED,
        Record::Inbox { .. } => KIND_INBOX,
        Record::Conversation { .. } => KIND_CONVERSATION,
        Record::Fanned { .. } => KIND_FANNED,
        Record::Read { .. } => KIND_READ,
        Record::Consumed { .. } => KIND_CONSUMED,
        Record::Block { .. } => KIND_BLOCK,
        Record::Seen { .. } => KIND_SEEN,
        Record::Online { .. } => KIND_ONLINE,
        Record::Clock { .. } => KIND_CLOCK,
        Record::Issued { .. } => KIND_ISSUED,
        Record::Account { .. } => KIND_ACCOUNT,
        Record::Erased { .. } => KIND_ERASED,
        Record::Profile { .. } => KIND_PROFILE,
        Record::PushDevice { .. } => KIND_PUSH_DEVICE,
        Record::Kept(kept) => snapshot::kind_of(kept),
    }
}

pub(in crate::log) fn is_known(kind: u8) -> bool {
    (KIND_START..=KIND_NEWEST).contains(&kind)
}

/// Exactly the bytes that `encode` appends.
pub(in crate::log) fn body_bytes(record: &Record) -> usize {
    match record {
        Record::Start { .. } => START_BODY_BYTES,
        Record::Mark { .. } => MARK_BODY_BYTES,
        Record::Posted { .. } | Record::Delivered { .. } | Record::Fanned { .. } => {
            RecordRef::from(record).body_bytes()
        }
        Record::Confirmed { .. } | Record::Forgone { .. } => DELIVERY_BYTES,
        Record::Device { user, device, .. } => 8 + 1 + 1 + user.as_str().len() + 4 + device.id.len(),
        Record::Carried { message, links } => message_bytes(message, links),
        Record::Inbox { user, .. } => 8 + 1 + user.as_str().len(),
        Record::Conversation { conversation, .. } => 16 + conversation_bytes(conversation),
        Record::Issued { .. } => 8,
        Record::Clock { .. } => 16,
        Record::Kept(kept) => snapshot::kept_bytes(kept),
        Record::Read { user, conversation, .. } => 12 + 1 + user.as_str().len() + conversation_bytes(conversation),
        Record::Consumed { user, .. }
        | Record::Seen { user, .. }
        | Record::Online { user, .. }
        | Record::Erased { user, .. } => 8 + 1 + user.as_str().len(),
        Record::Account { user, .. } => 1 + 8 + 1 + user.as_str().len(),
        Record::Profile { user, profile } => 1 + user.as_str().len() + profile_bytes(profile),
        Record::PushDevice { user, device, registration } => {
            let registered = registration.as_ref().map_or(0, |it| registration_bytes(it));
            1 + user.as_str().len() + 1 + device.len() + 1 + registered
        }
        Record::Block { by, other, .. } => 1 + 1 + by.as_str().len() + 1 + other.as_str().len(),
    }
}

fn user(text: &str) -> Option<UserId> {
    UserId::new(text).ok()
}

fn short_user(reader: &mut Reader<'_>) -> Option<UserId> {
    user(text(reader.short()?)?)
}

/// Appends the body. `claim` is the claim of a `Start` or `Mark`.
pub(in crate::log) fn encode(record: &Record, claim: DurabilityMark, out: &mut impl Put) {
    match record {
        Record::Start { epoch, time } => {
            claim.put(out);
            out.put_u64(*epoch);
            out.put_u64(time.0);
        }
        Record::Mark { durable } => DurabilityMark { durable: *durable, ..claim }.put(out),
        Record::Posted { .. } | Record::Delivered { .. } | Record::Fanned { .. } => {
            RecordRef::from(record).encode(claim, out);
        }
        Record::Confirmed { target, through } => {
            out.put_u16(target.0);
            out.put_u64(*through);
        }
        Record::Forgone { source, through } => {
            out.put_u16(source.0);
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
        _ => encode_note(record, out),
    }
}

/// Appends the body of a kind that contains no message.
fn encode_note(record: &Record, out: &mut impl Put) {
    match record {
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
        Record::Kept(kept) => snapshot::encode(kept, out),
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
        Record::Seen { user, last_seen: time }
        | Record::Online { user, since: time }
        | Record::Erased { user, time } => {
            out.put_u64(time.0);
            out.put_short(user.as_str().as_bytes());
        }
        Record::Clock { time, jumped_ms } => {
            out.put_u64(time.0);
            out.put_u64(jumped_ms.cast_unsigned());
        }
        Record::Account { user, state, tokens_from } => {
            out.put_u8(u8::from(*state == AccountState::Disabled));
            out.put_u64(tokens_from.0);
            out.put_short(user.as_str().as_bytes());
        }
        Record::Profile { user, profile } => {
            out.put_short(user.as_str().as_bytes());
            put_profile(profile, out);
        }
        Record::PushDevice { user, device, registration } => {
            out.put_short(user.as_str().as_bytes());
            out.put_short(device.as_bytes());
            out.put_u8(u8::from(registration.is_some()));
            if let Some(registration) = registration {
                put_registration(registration, out);
            }
        }
        _ => {}
    }
}

/// The body without claims, to compare records of two logs.
pub(in crate::log) fn plain(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(body_bytes(record));
    encode(record, DurabilityMark { durable: Position::NONE, at: Position::NONE, log: Millis(0) }, &mut out);
    out
}

/// The record with this body; `None` unless the body is one that `encode` writes. Total: takes any bytes.
pub fn decode(kind: u8, body: &[u8]) -> Option<Record> {
    let mut reader = Reader::new(body);
    let record = match kind {
        KIND_START => {
            DurabilityMark::read(&mut reader)?;
            Record::Start { epoch: reader.u64()?, time: Millis(reader.u64()?) }
        }
        KIND_MARK => Record::Mark { durable: DurabilityMark::read(&mut reader)?.durable },
        KIND_POSTED => {
            let head = MessageHead::read(&mut reader)?;
            let deliveries = (0..head.deliveries).map(|_| read_delivery(&mut reader)).collect::<Option<_>>()?;
            let links = head.links();
            Record::Posted { deliveries, message: read_message(&head, &mut reader)?, links }
        }
        KIND_DELIVERED => {
            let head = MessageHead::read(&mut reader)?;
            let Delivery { target: source, number } = read_delivery(&mut reader)?;
            let links = head.links();
            Record::Delivered { source, number, message: read_message(&head, &mut reader)?, links }
        }
        KIND_CONFIRMED => {
            let Delivery { target, number: through } = read_delivery(&mut reader)?;
            Record::Confirmed { target, through }
        }
        KIND_FORGONE => {
            let Delivery { target: source, number: through } = read_delivery(&mut reader)?;
            Record::Forgone { source, through }
        }
        KIND_DEVICE => {
            let position = Seq(reader.u64()?);
            let flag = reader.u8()?;
            let user = UserId::new(text(reader.short()?)?).ok()?;
            Record::Device { user, device: DeviceKey { flag, id: text(reader.long()?)?.into() }, position }
        }
        KIND_CARRIED => {
            let head = MessageHead::read(&mut reader)?;
            let links = head.links();
            Record::Carried { message: read_message(&head, &mut reader)?, links }
        }
        _ => decode_note(kind, &mut reader)?,
    };
    reader.is_at_end().then_some(record)
}

fn decode_note(kind: u8, reader: &mut Reader<'_>) -> Option<Record> {
    Some(match kind {
        KIND_INBOX => {
            let seq = Seq(reader.u64()?);
            Record::Inbox { seq, user: UserId::new(text(reader.short()?)?).ok()? }
        }
        KIND_CONVERSATION => {
            let (seq, message) = (ConversationSeq(reader.u64()?), MessageId(reader.u64()?));
            Record::Conversation { seq, message, conversation: read_conversation(reader)? }
        }
        KIND_ISSUED => Record::Issued { message: MessageId(reader.u64()?) },
        KIND_FANNED => {
            let of = Position(reader.u64()?);
            let links = (0..reader.u16()?).map(|_| read_member_link(reader)).collect::<Option<_>>()?;
            Record::Fanned { of, links }
        }
        KIND_READ => {
            let (through, unread) = (ConversationSeq(reader.u64()?), reader.u32()?);
            Record::Read { through, unread, user: short_user(reader)?, conversation: read_conversation(reader)? }
        }
        KIND_CONSUMED => {
            let message = MessageId(reader.u64()?);
            Record::Consumed { message, user: short_user(reader)? }
        }
        KIND_BLOCK => {
            let state = match reader.u8()? {
                0 => BlockState::Allowed,
                1 => BlockState::Blocked,
                _ => return None,
            };
            Record::Block { state, by: short_user(reader)?, other: short_user(reader)? }
        }
        KIND_SEEN => {
            let last_seen = Millis(reader.u64()?);
            Record::Seen { last_seen, user: short_user(reader)? }
        }
        KIND_ONLINE => {
            let since = Millis(reader.u64()?);
            Record::Online { since, user: short_user(reader)? }
        }
        KIND_ERASED => {
            let time = Millis(reader.u64()?);
            Record::Erased { time, user: short_user(reader)? }
        }
        KIND_CLOCK => {
            let time = Millis(reader.u64()?);
            Record::Clock { time, jumped_ms: reader.u64()?.cast_signed() }
        }
        KIND_ACCOUNT => {
            let state = match reader.u8()? {
                0 => AccountState::Enabled,
                1 => AccountState::Disabled,
                _ => return None,
            };
            Record::Account { state, tokens_from: Millis(reader.u64()?), user: short_user(reader)? }
        }
        KIND_PROFILE => Record::Profile { user: short_user(reader)?, profile: Box::new(read_profile(reader)?) },
        KIND_PUSH_DEVICE => Record::PushDevice {
            user: short_user(reader)?,
            device: push_device_id(text(reader.short()?)?).ok()?,
            registration: match reader.u8()? {
                0 => None,
                1 => Some(Box::new(read_registration(reader)?)),
                _ => return None,
            },
        },
        kind => Record::Kept(snapshot::read(kind, reader)?),
    })
}

/// The thread's link in a record's body, found without decoding the message; `None` if the record is not in the thread.
pub(in crate::log) fn link_of(kind: u8, body: &[u8], thread: Thread<'_>) -> Option<ThreadLink> {
    if kind == KIND_FANNED {
        return member_link_of(body, thread);
    }
    if !matches!(kind, KIND_POSTED | KIND_DELIVERED | KIND_CARRIED) {
        return None;
    }
    let head = MessageHead::read(&mut Reader::new(body))?;
    match thread {
        Thread::Inbox(user) => {
            let user = user.as_str().as_bytes();
            if head.author == user {
                return head.link(Side::Author);
            }
            if head.is_of_pair() && head.other_side == user { head.link(Side::Peer) } else { None }
        }
        Thread::Conversation(conversation) => head.is_of(conversation).then(|| head.link(Side::Conversation)).flatten(),
    }
}

/// The id of the message in the body of a record that contains one.
pub(in crate::log) fn message_id_of(kind: u8, body: &[u8]) -> Option<MessageId> {
    let (_, mut reader) = behind_links(kind, body)?;
    Some(MessageId(reader.u64()?))
}

/// The place of the message of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::log) enum EntrySource {
    Here(Arc<Message>),
    /// In the record there.
    At(Position),
}

/// What the body of an entry shows: all that a page needs beside the entry's link, at less than a full reading.
pub(in crate::log) fn shown_by(kind: u8, body: &[u8]) -> Option<EntrySource> {
    if kind == KIND_FANNED {
        return Some(EntrySource::At(Position(Reader::new(body).u64()?)));
    }
    let (head, mut reader) = behind_links(kind, body)?;
    let message = read_message(&head, &mut reader)?;
    reader.is_at_end().then_some(EntrySource::Here(message))
}

/// Where the message begins in the body of a record that has one itself.
#[inline]
fn behind_links(kind: u8, body: &[u8]) -> Option<(MessageHead<'_>, Reader<'_>)> {
    if !matches!(kind, KIND_POSTED | KIND_DELIVERED | KIND_CARRIED) {
        return None;
    }
    let mut reader = Reader::new(body);
    let head = MessageHead::read(&mut reader)?;
    let deliveries = match kind {
        KIND_POSTED => usize::from(head.deliveries),
        KIND_DELIVERED => 1,
        _ => 0,
    };
    reader.take(deliveries * DELIVERY_BYTES)?;
    Some((head, reader))
}

fn read_delivery(reader: &mut Reader<'_>) -> Option<Delivery> {
    Some(Delivery { target: ShardId(reader.u16()?), number: reader.u64()? })
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
