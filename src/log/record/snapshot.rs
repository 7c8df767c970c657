//! State that a rewrite of the data directory found and no message expresses, and its bytes (docs/FORMAT.md).
//!
//! Invariants: decoding is total and returns exactly what was written, or nothing; a record is small: state with many
//! parts takes several records, in order.

use crate::log::record::bytes::{Put, Reader};
use crate::log::record::conversation::{conversation_bytes, put_conversation, read_conversation};
use crate::log::record::fact::{put_extent, put_role, read_extent, read_role};
use crate::log::record::profile::{group_profile_bytes, put_group_profile, read_group_profile};
use crate::model::{
    ClearExtent, Conversation, ConversationName, ConversationSeq, GroupId, GroupProfile, MessageId, Millis, Role, Seq,
    UserId,
};

/// The most members or messages of one record.
pub const KEPT_PARTS_MAX: usize = 64;

pub(in crate::log) const KIND_SEAT: u8 = 16;
pub(in crate::log) const KIND_NAMED: u8 = 17;
pub(in crate::log) const KIND_ROSTER: u8 = 18;
pub(in crate::log) const KIND_REVOKED: u8 = 19;
pub(in crate::log) const KIND_TOLD: u8 = 20;
pub(in crate::log) const KIND_BLOCKED: u8 = 21;
pub(in crate::log) const KIND_DESCRIBED: u8 = 28;
pub(in crate::log) const KIND_ASKED: u8 = 30;
pub(in crate::log) const KIND_CLEARED: u8 = 31;

/// A member of a group in a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMember {
    /// The member.
    pub user: UserId,
    /// The member's role.
    pub role: Role,
    /// The wall-clock time until which the member may not send; 0: not muted.
    pub muted_until: Millis,
}

/// A user's membership in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotMembership {
    /// The first conversation seq that the member may see.
    pub joined: ConversationSeq,
    /// The last conversation seq that the member may see; all ones: the membership has not ended.
    pub left: ConversationSeq,
    /// The conversation seq up to which the user has read.
    pub read: ConversationSeq,
    /// The inbox seq of the conversation's newest entry.
    pub last: Seq,
    /// Messages of other users after `read`.
    pub unread: u32,
}

/// One piece of state beside messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotRecord {
    /// A membership. In the log of the user's shard.
    Seat {
        /// The user.
        user: UserId,
        /// The conversation.
        conversation: Conversation,
        /// The membership.
        seat: SnapshotMembership,
    },
    /// A user's own name for a conversation. In the log of the user's shard.
    Named {
        /// The user.
        user: UserId,
        /// The conversation.
        conversation: Conversation,
        /// The name.
        name: ConversationName,
    },
    /// Members of a group. In the log of the group's owner.
    Roster {
        /// The group.
        group: GroupId,
        /// The user with the role `Owner`.
        owner: UserId,
        /// The wall-clock time of the group's creation.
        created: Millis,
        /// At most `KEPT_PARTS_MAX` members.
        members: Vec<SnapshotMember>,
    },
    /// Messages that are revoked.
    Revoked {
        /// At most `KEPT_PARTS_MAX` ids.
        messages: Vec<MessageId>,
    },
    /// The messages about which a reader has sent receipts. In the log of the conversation's owner.
    Told {
        /// The fingerprint of reader and conversation.
        reader: [u64; 2],
        /// Ranges of conversation seqs, first and last.
        ranges: Vec<(ConversationSeq, ConversationSeq)>,
    },
    /// The blocks of a pair. In the log of the pair's owner.
    Blocked {
        /// The fingerprint of the pair.
        pair: [u64; 2],
        /// 1: the smaller id blocks; 2: the greater one; 3: both.
        bits: u8,
    },
    /// A group's profile, if it is not empty. In the log of the group's owner, after its members.
    Described {
        /// The group.
        group: GroupId,
        /// The profile.
        profile: Box<GroupProfile>,
    },
    /// Requests to join a group. In the log of the group's owner, after its members.
    Asked {
        /// The group.
        group: GroupId,
        /// At most `KEPT_PARTS_MAX` users, each with the time of the request.
        requests: Vec<(UserId, Millis)>,
    },
    /// A conversation that a user has cleared for itself. In the log of the user's shard, after the seat.
    Cleared {
        /// The user.
        user: UserId,
        /// The conversation.
        conversation: Conversation,
        /// The conversation seq of the last message that the user does not see any more.
        through: ConversationSeq,
        /// What of the conversation the user does not want to see.
        extent: ClearExtent,
    },
}

pub(in crate::log) fn kind_of(kept: &SnapshotRecord) -> u8 {
    match kept {
        SnapshotRecord::Seat { .. } => KIND_SEAT,
        SnapshotRecord::Named { .. } => KIND_NAMED,
        SnapshotRecord::Roster { .. } => KIND_ROSTER,
        SnapshotRecord::Revoked { .. } => KIND_REVOKED,
        SnapshotRecord::Told { .. } => KIND_TOLD,
        SnapshotRecord::Blocked { .. } => KIND_BLOCKED,
        SnapshotRecord::Described { .. } => KIND_DESCRIBED,
        SnapshotRecord::Asked { .. } => KIND_ASKED,
        SnapshotRecord::Cleared { .. } => KIND_CLEARED,
    }
}

/// Exactly what `encode` appends.
pub(in crate::log) fn kept_bytes(kept: &SnapshotRecord) -> usize {
    let short = |text: &str| 1 + text.len();
    match kept {
        SnapshotRecord::Seat { user, conversation, .. } => 36 + short(user.as_str()) + conversation_bytes(conversation),
        SnapshotRecord::Named { user, conversation, name } => {
            short(user.as_str()) + conversation_bytes(conversation) + short(name.as_str())
        }
        SnapshotRecord::Roster { group, owner, members, .. } => {
            let members: usize = members.iter().map(|it| short(it.user.as_str()) + 9).sum();
            short(group.as_str()) + short(owner.as_str()) + 8 + 2 + members
        }
        SnapshotRecord::Revoked { messages } => 2 + 8 * messages.len(),
        SnapshotRecord::Told { ranges, .. } => 16 + 2 + 16 * ranges.len(),
        SnapshotRecord::Blocked { .. } => 16 + 1,
        SnapshotRecord::Described { group, profile } => short(group.as_str()) + group_profile_bytes(profile),
        SnapshotRecord::Asked { group, requests } => {
            let requests: usize = requests.iter().map(|(user, _)| short(user.as_str()) + 8).sum();
            short(group.as_str()) + 2 + requests
        }
        SnapshotRecord::Cleared { user, conversation, .. } => {
            8 + 1 + short(user.as_str()) + conversation_bytes(conversation)
        }
    }
}

pub(in crate::log) fn encode(kept: &SnapshotRecord, out: &mut impl Put) {
    match kept {
        SnapshotRecord::Seat { user, conversation, seat } => {
            let SnapshotMembership { joined, left, read, last, unread } = seat;
            [joined.0, left.0, read.0, last.0].into_iter().for_each(|number| out.put_u64(number));
            out.put_u32(*unread);
            out.put_short(user.as_str().as_bytes());
            put_conversation(conversation, out);
        }
        SnapshotRecord::Named { user, conversation, name } => {
            out.put_short(user.as_str().as_bytes());
            put_conversation(conversation, out);
            out.put_short(name.as_str().as_bytes());
        }
        SnapshotRecord::Roster { group, owner, created, members } => {
            out.put_short(group.as_str().as_bytes());
            out.put_short(owner.as_str().as_bytes());
            out.put_u64(created.0);
            put_count(members.len(), out);
            for SnapshotMember { user, role, muted_until } in members {
                out.put_short(user.as_str().as_bytes());
                put_role(*role, out);
                out.put_u64(muted_until.0);
            }
        }
        SnapshotRecord::Revoked { messages } => {
            put_count(messages.len(), out);
            messages.iter().for_each(|message| out.put_u64(message.0));
        }
        SnapshotRecord::Told { reader, ranges } => {
            reader.iter().for_each(|half| out.put_u64(*half));
            put_count(ranges.len(), out);
            for (from, through) in ranges {
                out.put_u64(from.0);
                out.put_u64(through.0);
            }
        }
        SnapshotRecord::Blocked { pair, bits } => {
            pair.iter().for_each(|half| out.put_u64(*half));
            out.put_u8(*bits);
        }
        SnapshotRecord::Described { group, profile } => {
            out.put_short(group.as_str().as_bytes());
            put_group_profile(profile, out);
        }
        SnapshotRecord::Asked { group, requests } => {
            out.put_short(group.as_str().as_bytes());
            put_count(requests.len(), out);
            for (user, time) in requests {
                out.put_short(user.as_str().as_bytes());
                out.put_u64(time.0);
            }
        }
        SnapshotRecord::Cleared { user, conversation, through, extent } => {
            out.put_u64(through.0);
            put_extent(*extent, out);
            out.put_short(user.as_str().as_bytes());
            put_conversation(conversation, out);
        }
    }
}

fn put_count(count: usize, out: &mut impl Put) {
    out.put_u16(u16::try_from(count).expect("a record has few parts"));
}

pub(in crate::log) fn read(kind: u8, reader: &mut Reader<'_>) -> Option<SnapshotRecord> {
    Some(match kind {
        KIND_SEAT => {
            let mut seq = || reader.u64().map(ConversationSeq);
            let (joined, left, read) = (seq()?, seq()?, seq()?);
            let seat = SnapshotMembership { joined, left, read, last: Seq(reader.u64()?), unread: reader.u32()? };
            SnapshotRecord::Seat { seat, user: user(reader)?, conversation: read_conversation(reader)? }
        }
        KIND_NAMED => SnapshotRecord::Named {
            user: user(reader)?,
            conversation: read_conversation(reader)?,
            name: ConversationName::new(text(reader)?).ok()?,
        },
        KIND_ROSTER => {
            let group = GroupId::new(text(reader)?).ok()?;
            let (owner, created) = (user(reader)?, Millis(reader.u64()?));
            SnapshotRecord::Roster { group, owner, created, members: parts(reader, read_member)? }
        }
        KIND_REVOKED => SnapshotRecord::Revoked { messages: parts(reader, |reader| reader.u64().map(MessageId))? },
        KIND_TOLD => {
            let range =
                |reader: &mut Reader<'_>| Some((ConversationSeq(reader.u64()?), ConversationSeq(reader.u64()?)));
            SnapshotRecord::Told { reader: [reader.u64()?, reader.u64()?], ranges: parts(reader, range)? }
        }
        KIND_BLOCKED => SnapshotRecord::Blocked { pair: [reader.u64()?, reader.u64()?], bits: reader.u8()? },
        KIND_DESCRIBED => {
            let group = GroupId::new(text(reader)?).ok()?;
            SnapshotRecord::Described { group, profile: Box::new(read_group_profile(reader)?) }
        }
        KIND_ASKED => {
            let request = |reader: &mut Reader<'_>| Some((user(reader)?, Millis(reader.u64()?)));
            SnapshotRecord::Asked { group: GroupId::new(text(reader)?).ok()?, requests: parts(reader, request)? }
        }
        KIND_CLEARED => {
            let (through, extent) = (ConversationSeq(reader.u64()?), read_extent(reader)?);
            SnapshotRecord::Cleared { through, extent, user: user(reader)?, conversation: read_conversation(reader)? }
        }
        _ => return None,
    })
}

fn parts<'a, T>(reader: &mut Reader<'a>, mut part: impl FnMut(&mut Reader<'a>) -> Option<T>) -> Option<Vec<T>> {
    (0..reader.u16()?).map(|_| part(reader)).collect()
}

fn read_member(reader: &mut Reader<'_>) -> Option<SnapshotMember> {
    Some(SnapshotMember { user: user(reader)?, role: read_role(reader)?, muted_until: Millis(reader.u64()?) })
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    std::str::from_utf8(reader.short()?).ok()
}

fn user(reader: &mut Reader<'_>) -> Option<UserId> {
    UserId::new(text(reader)?).ok()
}
