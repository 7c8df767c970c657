//! The bytes of a fact inside a message's record (docs/FORMAT.md).
//!
//! Invariant: decoding is total and gives exactly what was written, or nothing.

use crate::log::record::bytes::{Put, Reader};
use crate::log::record::profile::{group_profile_bytes, put_group_profile, read_group_profile};
use crate::model::{
    ClearExtent, ConversationSeq, Fact, GroupChange, JoinStep, MessageId, Millis, ReadMessage, Role, UserId,
};

const REVOKED: u8 = 1;
const READ: u8 = 2;
const CREATED: u8 = 3;
const ADDED: u8 = 4;
const REMOVED: u8 = 5;
const CHANGED: u8 = 6;
const DISSOLVED: u8 = 7;
const PROFILED: u8 = 8;
const ASKED: u8 = 9;
const DECLINED: u8 = 10;
const CLEARED: u8 = 11;

/// Exactly the bytes that `encode` appends.
pub(in crate::log) fn fact_bytes(fact: &Fact) -> usize {
    let short = |user: &UserId| 1 + user.as_str().len();
    let list = |users: &[UserId]| 4 + users.iter().map(short).sum::<usize>();
    1 + match fact {
        Fact::Revoked { .. } => 8,
        Fact::Read { told, messages } => short(told) + 4 + 16 * messages.len(),
        Fact::Group(GroupChange::Created { owner, members }) => short(owner) + list(members),
        Fact::Group(GroupChange::Added { members } | GroupChange::Removed { members }) => list(members),
        Fact::Group(GroupChange::Changed { member, .. }) => short(member) + 1 + 8,
        Fact::Group(GroupChange::Dissolved) => 0,
        Fact::Group(GroupChange::Profiled(profile)) => group_profile_bytes(profile),
        Fact::Joining { asker, step: JoinStep::Asked } => short(asker),
        Fact::Joining { asker, step: JoinStep::Declined { by } } => short(asker) + short(by),
        Fact::Cleared { user, .. } => short(user) + 8 + 1,
    }
}

pub(in crate::log) fn encode(fact: &Fact, out: &mut impl Put) {
    match fact {
        Fact::Revoked { message } => {
            out.put_u8(REVOKED);
            out.put_u64(message.0);
        }
        Fact::Read { told, messages } => {
            out.put_u8(READ);
            put_user(told, out);
            out.put_u32(u32::try_from(messages.len()).expect("a receipt names few messages"));
            for ReadMessage { id, conversation_seq } in messages {
                out.put_u64(id.0);
                out.put_u64(conversation_seq.0);
            }
        }
        Fact::Group(GroupChange::Created { owner, members }) => {
            out.put_u8(CREATED);
            put_user(owner, out);
            put_users(members, out);
        }
        Fact::Group(GroupChange::Added { members }) => {
            out.put_u8(ADDED);
            put_users(members, out);
        }
        Fact::Group(GroupChange::Removed { members }) => {
            out.put_u8(REMOVED);
            put_users(members, out);
        }
        Fact::Group(GroupChange::Changed { member, role, muted_until }) => {
            out.put_u8(CHANGED);
            put_user(member, out);
            put_role(*role, out);
            out.put_u64(muted_until.0);
        }
        Fact::Group(GroupChange::Dissolved) => out.put_u8(DISSOLVED),
        Fact::Group(GroupChange::Profiled(profile)) => {
            out.put_u8(PROFILED);
            put_group_profile(profile, out);
        }
        Fact::Joining { asker, step: JoinStep::Asked } => {
            out.put_u8(ASKED);
            put_user(asker, out);
        }
        Fact::Joining { asker, step: JoinStep::Declined { by } } => {
            out.put_u8(DECLINED);
            put_user(asker, out);
            put_user(by, out);
        }
        Fact::Cleared { user, through, extent } => {
            out.put_u8(CLEARED);
            put_user(user, out);
            out.put_u64(through.0);
            put_extent(*extent, out);
        }
    }
}

pub(in crate::log) fn read(reader: &mut Reader<'_>) -> Option<Fact> {
    Some(match reader.u8()? {
        REVOKED => Fact::Revoked { message: MessageId(reader.u64()?) },
        READ => {
            let told = user(reader)?;
            let message = |reader: &mut Reader<'_>| {
                Some(ReadMessage { id: MessageId(reader.u64()?), conversation_seq: ConversationSeq(reader.u64()?) })
            };
            Fact::Read { told, messages: (0..reader.u32()?).map(|_| message(reader)).collect::<Option<_>>()? }
        }
        CREATED => Fact::Group(GroupChange::Created { owner: user(reader)?, members: users(reader)? }),
        ADDED => Fact::Group(GroupChange::Added { members: users(reader)? }),
        REMOVED => Fact::Group(GroupChange::Removed { members: users(reader)? }),
        CHANGED => {
            let (member, role) = (user(reader)?, read_role(reader)?);
            Fact::Group(GroupChange::Changed { member, role, muted_until: Millis(reader.u64()?) })
        }
        DISSOLVED => Fact::Group(GroupChange::Dissolved),
        ASKED => Fact::Joining { asker: user(reader)?, step: JoinStep::Asked },
        DECLINED => {
            let asker = user(reader)?;
            Fact::Joining { asker, step: JoinStep::Declined { by: user(reader)? } }
        }
        CLEARED => {
            let (user, through) = (user(reader)?, ConversationSeq(reader.u64()?));
            Fact::Cleared { user, through, extent: read_extent(reader)? }
        }
        PROFILED => Fact::Group(GroupChange::Profiled(Box::new(read_group_profile(reader)?))),
        _ => return None,
    })
}

fn put_user(user: &UserId, out: &mut impl Put) {
    out.put_short(user.as_str().as_bytes());
}

fn put_users(users: &[UserId], out: &mut impl Put) {
    out.put_u32(u32::try_from(users.len()).expect("a change names a bounded number of members"));
    users.iter().for_each(|user| put_user(user, out));
}

fn user(reader: &mut Reader<'_>) -> Option<UserId> {
    UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok()
}

fn users(reader: &mut Reader<'_>) -> Option<Vec<UserId>> {
    (0..reader.u32()?).map(|_| user(reader)).collect()
}

pub(crate) fn put_extent(extent: ClearExtent, out: &mut impl Put) {
    out.put_u8(u8::from(extent == ClearExtent::Conversation));
}

pub(crate) fn read_extent(reader: &mut Reader<'_>) -> Option<ClearExtent> {
    match reader.u8()? {
        0 => Some(ClearExtent::History),
        1 => Some(ClearExtent::Conversation),
        _ => None,
    }
}

pub(crate) fn put_role(role: Role, out: &mut impl Put) {
    out.put_u8(match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    });
}

pub(crate) fn read_role(reader: &mut Reader<'_>) -> Option<Role> {
    match reader.u8()? {
        0 => Some(Role::Member),
        1 => Some(Role::Admin),
        2 => Some(Role::Owner),
        _ => None,
    }
}
