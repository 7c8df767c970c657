//! What the tests of this floor share: seeded chance, and records to write.

use super::{
    Delivery, Journal, MemberLink, MemoryStorage, OpenError, OpenedLog, Record, Side, SnapshotMember,
    SnapshotMembership, SnapshotRecord, ThreadLink, ThreadLinks,
};
pub(crate) use crate::model::testing::{chance::Chance, user};
use crate::model::testing::{client_message_id, name, plain_message};
use crate::model::{
    AccountState, Annotations, BlockState, ChunkPhase, ClearExtent, Conversation, ConversationName, ConversationSeq,
    DeviceKey, Extra, Fact, GivenToken, GroupChange, GroupId, GroupProfile, HeaderFlags, JoinPolicy, JoinStep, Message,
    MessageId, Millis, Position, Profile, PushRegistration, PushSettings, PushToken, QuietHours, ReadMessage, Role,
    Seq, SettingFlags, ShardId, StreamChunk, UserId,
};
use std::sync::Arc;

pub(super) const SHARD: ShardId = ShardId(3);
pub(super) const NOW: Millis = Millis(1_790_000_000_123);

pub(super) type Replayed = Vec<(Position, Record)>;

/// Opens and keeps what was replayed.
pub(super) fn open_all(storage: MemoryStorage) -> Result<(Journal<MemoryStorage>, OpenedLog, Replayed), OpenError> {
    let mut replayed = Vec::new();
    let replay = |position, record| replayed.push((position, record));
    let (journal, opening) = Journal::open(storage, SHARD, NOW, None, replay)?;
    Ok((journal, opening, replayed))
}

pub(super) fn open(storage: MemoryStorage) -> Result<(Journal<MemoryStorage>, OpenedLog), OpenError> {
    Journal::open(storage, SHARD, NOW, None, |_, _| {})
}

pub(super) fn message(author: &UserId, peer: &UserId, content_bytes: usize) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId(7),
        conversation: Conversation::pair(author.clone(), peer.clone()),
        conversation_seq: ConversationSeq(9),
        author: author.clone(),
        client_message_id: client_message_id("0b2f7f8e-7c55-4f10-9d0e-1c2d3e4f5a6b"),
        content: vec![b'x'; content_bytes].into(),
        send_time: -5,
        server_time: NOW,
        ..plain_message()
    })
}

pub(super) fn posted(message: &Arc<Message>, links: ThreadLinks) -> Record {
    Record::Posted { message: Arc::clone(message), deliveries: Default::default(), links }
}

/// Any record that a shard could append, sizes of every residue included.
pub(super) fn any_record(chance: &mut Chance) -> Record {
    match chance.below(24) {
        0 | 1 => Record::Posted {
            message: any_message(chance),
            deliveries: (0..chance.below(4))
                .map(|_| Delivery { target: ShardId(chance.next() as u16), number: chance.next() })
                .collect(),
            links: any_links(chance),
        },
        2 | 3 => Record::Delivered {
            source: ShardId(chance.next() as u16),
            number: chance.next(),
            message: any_message(chance),
            links: any_links(chance),
        },
        4 => Record::Confirmed { target: ShardId(chance.next() as u16), through: chance.next() },
        19 => Record::Forgone { source: ShardId(chance.next() as u16), through: chance.next() },
        5 => Record::Carried { message: any_message(chance), links: any_links(chance) },
        6 => Record::Inbox { user: user(&any_text(chance, 1, 64)), seq: Seq(chance.next()) },
        7 => Record::Conversation {
            conversation: any_conversation(chance, &user("alice")),
            seq: ConversationSeq(chance.next()),
            message: MessageId(chance.next()),
        },
        8 => Record::Fanned {
            of: Position(chance.next()),
            links: (0..chance.below(20))
                .map(|_| MemberLink { user: user(&any_text(chance, 1, 64)), link: any_link(chance, Side::Peer) })
                .collect(),
        },
        9 => Record::Read {
            user: user(&any_text(chance, 1, 64)),
            conversation: any_conversation(chance, &user("alice")),
            through: ConversationSeq(chance.next()),
            unread: chance.next() as u32,
        },
        10 => Record::Consumed { user: user(&any_text(chance, 1, 64)), message: MessageId(chance.next()) },
        11 => Record::Block {
            by: user(&any_text(chance, 1, 64)),
            other: user(&any_text(chance, 1, 64)),
            state: [BlockState::Blocked, BlockState::Allowed][chance.below(2)],
        },
        15 | 16 => Record::Kept(any_kept(chance)),
        17 | 18 => Record::Account {
            user: user(&any_text(chance, 1, 64)),
            state: [AccountState::Enabled, AccountState::Disabled][chance.below(2)],
            tokens_from: Millis(chance.next()),
        },
        22 => Record::Profile { user: user(&any_text(chance, 1, 64)), profile: Box::new(any_profile(chance)) },
        23 => Record::PushDevice {
            user: user(&any_text(chance, 1, 64)),
            device: any_text(chance, 0, 20).into(),
            registration: if chance.below(3) > 0 { Some(Box::new(any_registration(chance))) } else { None },
        },
        20 => Record::Online { user: user(&any_text(chance, 1, 64)), since: Millis(chance.next()) },
        21 => Record::Clock { time: Millis(chance.next()), jumped_ms: chance.next().cast_signed() },
        14 => Record::Erased { user: user(&any_text(chance, 1, 64)), time: Millis(chance.next()) },
        13 => Record::Issued { message: MessageId(chance.next()) },
        12 => Record::Seen { user: user(&any_text(chance, 1, 64)), last_seen: Millis(chance.next()) },
        _ => Record::Device {
            user: user(&any_text(chance, 1, 64)),
            device: DeviceKey { flag: chance.next() as u8, id: any_text(chance, 0, 128).into() },
            position: Seq(chance.next()),
        },
    }
}

fn any_kept(chance: &mut Chance) -> SnapshotRecord {
    let some_user = |chance: &mut Chance| user(&any_text(chance, 1, 64));
    let seq = |chance: &mut Chance| ConversationSeq(chance.next());
    let halves = |chance: &mut Chance| [chance.next(), chance.next()];
    match chance.below(9) {
        0 => SnapshotRecord::Seat {
            user: some_user(chance),
            conversation: any_conversation(chance, &user("alice")),
            seat: SnapshotMembership {
                joined: seq(chance),
                left: seq(chance),
                read: seq(chance),
                last: Seq(chance.next()),
                unread: chance.next() as u32,
            },
        },
        1 => SnapshotRecord::Named {
            user: some_user(chance),
            conversation: any_conversation(chance, &user("alice")),
            name: ConversationName::new(&any_text(chance, 1, 128)).expect("well formed"),
        },
        2 => SnapshotRecord::Roster {
            group: GroupId::new(&any_text(chance, 1, 64)).expect("well formed"),
            owner: some_user(chance),
            created: Millis(chance.next()),
            members: (0..chance.below(4)).map(|_| any_member(chance)).collect(),
        },
        3 => SnapshotRecord::Revoked { messages: (0..chance.below(9)).map(|_| MessageId(chance.next())).collect() },
        4 => SnapshotRecord::Told {
            reader: halves(chance),
            ranges: (0..chance.below(5)).map(|_| (seq(chance), seq(chance))).collect(),
        },
        5 => SnapshotRecord::Described {
            group: GroupId::new(&any_text(chance, 1, 64)).expect("well formed"),
            profile: Box::new(any_group_profile(chance)),
        },
        6 => SnapshotRecord::Asked {
            group: GroupId::new(&any_text(chance, 1, 64)).expect("well formed"),
            requests: (0..chance.below(5)).map(|_| (user(&any_text(chance, 1, 64)), Millis(chance.next()))).collect(),
        },
        7 => SnapshotRecord::Cleared {
            user: some_user(chance),
            conversation: any_conversation(chance, &user("alice")),
            through: seq(chance),
            extent: any_extent(chance),
        },
        _ => SnapshotRecord::Blocked { pair: halves(chance), bits: chance.next() as u8 },
    }
}

fn any_registration(chance: &mut Chance) -> PushRegistration {
    let (p256dh, auth) = ("B".repeat(87), "a".repeat(22));
    let (provider, token, p256dh, auth) = match chance.below(3) {
        0 => ("fcm", "token:fcm", "", ""),
        1 => ("apns", "00ff", "", ""),
        _ => ("webpush", "https://push.example/1", &p256dh[..], &auth[..]),
    };
    let quiet =
        QuietHours::new(chance.below(700) as i64, 700 + chance.below(700) as i64, chance.below(1_000) as i64 - 500);
    let quiet = quiet.ok().filter(|_| chance.below(2) == 0);
    PushRegistration {
        token: PushToken::new(GivenToken { provider, token, p256dh, auth }).expect("well formed"),
        settings: PushSettings::new("de-AT", chance.below(2) == 0, quiet).expect("well formed"),
    }
}

fn any_profile(chance: &mut Chance) -> Profile {
    let attributes = (0..chance.below(3)).map(|_| (any_text(chance, 0, 9).into(), any_text(chance, 0, 30).into()));
    Profile {
        attributes: Extra::new(attributes.collect()),
        name: any_text(chance, 0, 40).into(),
        avatar: any_text(chance, 0, 90).into(),
    }
}

fn any_group_profile(chance: &mut Chance) -> GroupProfile {
    let join = JoinPolicy::ALL[chance.below(JoinPolicy::ALL.len())];
    GroupProfile { about: any_profile(chance), join }
}

fn any_member(chance: &mut Chance) -> SnapshotMember {
    SnapshotMember {
        user: user(&any_text(chance, 1, 64)),
        role: [Role::Member, Role::Admin, Role::Owner][chance.below(3)],
        muted_until: Millis(chance.next()),
    }
}

fn any_links(chance: &mut Chance) -> ThreadLinks {
    let mut links = ThreadLinks::new();
    for side in [Side::Author, Side::Peer, Side::Conversation] {
        if chance.below(3) > 0 {
            links.push(any_link(chance, side));
        }
    }
    links
}

fn any_link(chance: &mut Chance, side: Side) -> ThreadLink {
    let (previous, skip) = (Position(chance.next()), Position(chance.next()));
    ThreadLink { side, seq: Seq(chance.next()), previous, skip, is_away: side == Side::Peer && chance.below(2) == 0 }
}

fn any_conversation(chance: &mut Chance, author: &UserId) -> Conversation {
    match chance.below(4) {
        0 => Conversation::Group(GroupId::new(&any_text(chance, 1, 64)).expect("well formed")),
        1 => Conversation::pair(author.clone(), author.clone()),
        _ => Conversation::pair(author.clone(), user(&any_text(chance, 1, 64))),
    }
}

fn any_extent(chance: &mut Chance) -> ClearExtent {
    [ClearExtent::History, ClearExtent::Conversation][chance.below(2)]
}

fn any_fact(chance: &mut Chance) -> Arc<Fact> {
    let some_user = |chance: &mut Chance| user(&any_text(chance, 1, 64));
    let users = |chance: &mut Chance| (0..chance.below(5)).map(|_| some_user(chance)).collect::<Vec<_>>();
    Arc::new(match chance.below(11) {
        0 => Fact::Revoked { message: MessageId(chance.next()) },
        1 => Fact::Read {
            told: some_user(chance),
            messages: (0..chance.below(4))
                .map(|_| ReadMessage { id: MessageId(chance.next()), conversation_seq: ConversationSeq(chance.next()) })
                .collect(),
        },
        2 => Fact::Group(GroupChange::Created { owner: some_user(chance), members: users(chance) }),
        3 => Fact::Group(GroupChange::Added { members: users(chance) }),
        4 => Fact::Group(GroupChange::Removed { members: users(chance) }),
        5 => Fact::Group(GroupChange::Changed {
            member: some_user(chance),
            role: [Role::Member, Role::Admin, Role::Owner][chance.below(3)],
            muted_until: Millis(chance.next()),
        }),
        6 => Fact::Group(GroupChange::Profiled(Box::new(any_group_profile(chance)))),
        7 => Fact::Joining { asker: some_user(chance), step: JoinStep::Asked },
        8 => Fact::Joining { asker: some_user(chance), step: JoinStep::Declined { by: some_user(chance) } },
        9 => Fact::Cleared {
            user: some_user(chance),
            through: ConversationSeq(chance.next()),
            extent: any_extent(chance),
        },
        _ => Fact::Group(GroupChange::Dissolved),
    })
}

pub(crate) fn any_message(chance: &mut Chance) -> Arc<Message> {
    let author = user(&any_text(chance, 1, 64));
    let conversation = any_conversation(chance, &author);
    let extra = (0..chance.below(3)).map(|_| (any_text(chance, 0, 9).into(), any_text(chance, 0, 30).into())).collect();
    Arc::new(Message {
        id: MessageId(chance.next()),
        conversation,
        conversation_seq: ConversationSeq(chance.next()),
        author,
        client_message_id: client_message_id(&any_text(chance, 1, 128)),
        conversation_name: maybe(chance, |chance| name(&any_text(chance, 1, 128))),
        message_type: chance.next() as i32,
        content: (0..chance.below(200)).map(|_| chance.next() as u8).collect(),
        send_time: chance.next() as i64,
        server_time: Millis(chance.next()),
        extra: Extra::new(extra),
        annotations: maybe(chance, |chance| Box::new(any_annotations(chance))),
        fact: if chance.below(4) == 0 { Some(any_fact(chance)) } else { None },
    })
}

fn any_annotations(chance: &mut Chance) -> Annotations {
    let mut coin = || chance.below(2) == 0;
    let header = HeaderFlags { no_persist: false, red_dot: coin(), sync_once: coin(), dup: coin() };
    let setting = SettingFlags { receipt: coin(), topic: coin() };
    Annotations {
        header,
        setting,
        topic: maybe(chance, |chance| any_text(chance, 0, 20).into()),
        message_key: maybe(chance, |chance| any_text(chance, 0, 40).into()),
        expire_s: chance.below(3) as u32,
        chunk: maybe(chance, |chance| StreamChunk {
            stream: any_text(chance, 1, 128).into(),
            number: chance.next(),
            phase: [ChunkPhase::First, ChunkPhase::Next, ChunkPhase::Last][chance.below(3)],
        }),
        is_replaced: chance.below(2) == 0,
    }
}

fn maybe<T>(chance: &mut Chance, make: impl FnOnce(&mut Chance) -> T) -> Option<T> {
    if chance.below(2) == 0 { Some(make(chance)) } else { None }
}

/// Between `bytes_min` and `bytes_max` bytes, now and then of more than one byte a letter.
fn any_text(chance: &mut Chance, bytes_min: usize, bytes_max: usize) -> String {
    let bytes = chance.between(bytes_min, bytes_max);
    let mut text = String::new();
    while text.len() < bytes {
        let letter = if chance.below(8) == 0 { '明' } else { char::from(b'!' + chance.below(90) as u8) };
        text.push(if text.len() + letter.len_utf8() > bytes { 'x' } else { letter });
    }
    text
}
