//! Whatever can be said: commands, entries and events, as arbitrary as their types allow.

use crate::client::user;
use bytes::Bytes;
use mushan::model::{
    Ack, Annotations, ChunkPhase, Clear, ClearExtent, ClientMessageId, Command, Conversation, ConversationName,
    ConversationRef, ConversationRow, ConversationSeq, Conversations, Entry, Event, Extra, Fact, GivenToken, GroupAct,
    GroupChange, GroupId, GroupProfile, GroupRequest, HeaderFlags, History, HistoryDirection, JoinPolicy, JoinStep,
    JoinVerdict, MarkRead, Message, MessageId, Millis, Presence, PresenceAction, PresenceState, Profile, ProfileChange,
    PushChange, PushSettings, PushToken, QuietHours, ReadMessage, Receipt, Recipient, Revoke, Role, Send, Seq,
    SettingFlags, StreamChunk, Sync, SyncDirection, Typing, TypingNotice, UserId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

/// Letters that escape, that are long in UTF-8, and that names are made of.
const TEXT: &str = r#"[a-z_"\\/小😀 ]{1,12}"#;
/// Seqs and times go over both wires as signed numbers.
const NUMBERS: std::ops::RangeInclusive<u64> = 0..=i64::MAX as u64;

/// How a protocol's clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    Binary,
    JsonRpc,
}

pub fn users() -> impl Strategy<Value = UserId> {
    TEXT.prop_map(|id| user(&id))
}

fn groups() -> impl Strategy<Value = GroupId> {
    TEXT.prop_map(|id| GroupId::new(&id).expect("well formed"))
}

fn names() -> impl Strategy<Value = ConversationName> {
    // No name that the server would fill.
    TEXT.prop_map(|name| ConversationName::new(&format!("my {name}")).expect("well formed"))
}

fn seqs() -> impl Strategy<Value = Seq> {
    NUMBERS.prop_map(Seq)
}

fn conversation_seqs() -> impl Strategy<Value = ConversationSeq> {
    NUMBERS.prop_map(ConversationSeq)
}

fn message_ids() -> impl Strategy<Value = MessageId> {
    any::<u64>().prop_map(MessageId)
}

fn recipients() -> impl Strategy<Value = Recipient> {
    prop_oneof![users().prop_map(Recipient::User), groups().prop_map(Recipient::Group)]
}

fn extras() -> impl Strategy<Value = Extra> {
    vec((TEXT, TEXT), 0..3)
        .prop_map(|pairs| Extra::new(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()))
}

fn phases() -> impl Strategy<Value = ChunkPhase> {
    prop_oneof![Just(ChunkPhase::First), Just(ChunkPhase::Next), Just(ChunkPhase::Last)]
}

/// `number` numbers the chunk.
fn annotations(number: impl Strategy<Value = u64>) -> impl Strategy<Value = Annotations> {
    let flags = any::<[bool; 6]>();
    let chunk = option::of((TEXT, number, phases()));
    (flags, option::of(TEXT), option::of(TEXT), any::<u32>(), chunk).prop_map(
        |([no_persist, red_dot, sync_once, dup, receipt, about], topic, message_key, expire_s, chunk)| Annotations {
            header: HeaderFlags { no_persist, red_dot, sync_once, dup },
            setting: SettingFlags { receipt, topic: about },
            topic: topic.map(Into::into),
            message_key: message_key.map(Into::into),
            expire_s,
            chunk: chunk.map(|(stream, number, phase)| StreamChunk { stream: stream.into(), number, phase }),
            is_replaced: false,
        },
    )
}

fn boxed(annotations: Annotations) -> Option<Box<Annotations>> {
    (annotations != Annotations::default()).then(|| Box::new(annotations))
}

/// Content and message type that a payload says.
fn payloads() -> impl Strategy<Value = (Bytes, i32)> {
    prop_oneof![
        (TEXT, 1..i32::MAX).prop_map(|(text, kind)| {
            let text = serde_json::to_string(&text).expect("a string");
            (Bytes::from(format!(r#"{{"content":{text},"type":{kind}}}"#)), kind)
        }),
        (TEXT, 1..i32::MAX).prop_map(|(text, kind)| {
            let text = serde_json::to_string(&text).expect("a string");
            (Bytes::from(format!(r#"{{ "type" : {kind}, "content" : {text} }}"#)), kind)
        }),
        TEXT.prop_map(|text| (Bytes::from(text), 1)),
    ]
}

fn sends(tongue: Tongue) -> BoxedStrategy<Send> {
    let id = TEXT.prop_map(|id| ClientMessageId::new(&id).expect("well formed"));
    match tongue {
        Tongue::Binary => {
            let content = vec(any::<u8>(), 0..300);
            let fields = (id, recipients(), option::of(names()), 1..i32::MAX, content, any::<i64>(), extras());
            fields
                .prop_map(
                    |(client_message_id, recipient, conversation_name, message_type, content, send_time, extra)| {
                        let content = content.into();
                        let annotations = None;
                        Send {
                            client_message_id,
                            recipient,
                            conversation_name,
                            message_type,
                            content,
                            send_time,
                            extra,
                            annotations,
                        }
                    },
                )
                .boxed()
        }
        Tongue::JsonRpc => (id, recipients(), payloads(), extras(), annotations(Just(0)))
            .prop_map(|(client_message_id, recipient, (content, message_type), extra, annotations)| Send {
                client_message_id,
                recipient,
                conversation_name: None,
                message_type,
                content: content.into(),
                send_time: 0,
                extra,
                annotations: boxed(annotations),
            })
            .boxed(),
    }
}

fn conversations(tongue: Tongue) -> BoxedStrategy<ConversationRef> {
    match tongue {
        Tongue::Binary => names().prop_map(ConversationRef::Named).boxed(),
        Tongue::JsonRpc => recipients().prop_map(ConversationRef::With).boxed(),
    }
}

fn profiles() -> impl Strategy<Value = Profile> {
    (TEXT, TEXT, extras()).prop_map(|(name, avatar, attributes)| Profile {
        name: name.into(),
        avatar: avatar.into(),
        attributes,
    })
}

fn joins() -> impl Strategy<Value = JoinPolicy> {
    proptest::sample::select(&JoinPolicy::ALL[..])
}

fn group_requests() -> impl Strategy<Value = GroupRequest> {
    let role = proptest::sample::select(&Role::ALL[..]);
    let change = (option::of(TEXT), option::of(TEXT), option::of(extras()), option::of(joins())).prop_map(
        |(name, avatar, attributes, join)| ProfileChange {
            name: name.map(Into::into),
            avatar: avatar.map(Into::into),
            attributes,
            join,
        },
    );
    let act = prop_oneof![
        (option::of(users()), 1..=GroupRequest::SHOWN_MEMBERS_MAX)
            .prop_map(|(after, limit)| GroupAct::Show { after, limit }),
        (vec(users(), 1..20), vec(users(), 0..20)).prop_map(|(add, remove)| GroupAct::ChangeMembers { add, remove }),
        (users(), role, option::of(0..=i64::MAX as u64)).prop_map(|(member, role, muted)| GroupAct::ChangeMember {
            member,
            role: Some(role),
            muted_until: muted.map(Millis),
        }),
        change
            .prop_filter("it is to change something", |change| !change.is_empty())
            .prop_map(|change| GroupAct::ChangeProfile(Box::new(change))),
        Just(GroupAct::Dissolve),
        Just(GroupAct::Join),
        (option::of(users()), 1..=200_usize).prop_map(|(after, limit)| GroupAct::Requests { after, limit }),
        (users(), any::<bool>()).prop_map(|(user, approves)| GroupAct::AnswerRequest {
            user,
            verdict: if approves { JoinVerdict::Approve } else { JoinVerdict::Decline },
        }),
    ];
    (users(), act)
        .prop_map(|(group, act)| GroupRequest { group: GroupId::new(group.as_str()).expect("well formed"), act })
}

/// Every command that this protocol can say.
pub fn commands(tongue: Tongue) -> impl Strategy<Value = Command> {
    let conversation = || conversations(tongue);
    let sync = prop_oneof![seqs().prop_map(SyncDirection::After), seqs().prop_map(SyncDirection::Before)];
    let history = prop_oneof![
        conversation_seqs().prop_map(HistoryDirection::After),
        conversation_seqs().prop_map(HistoryDirection::Before)
    ];
    let ack =
        prop_oneof![message_ids().prop_map(Ack::Message), (1..=i64::MAX as u64).prop_map(|seq| Ack::Through(Seq(seq)))];
    let action =
        prop_oneof![Just(PresenceAction::Query), Just(PresenceAction::Subscribe), Just(PresenceAction::Unsubscribe)];
    prop_oneof![
        4 => sends(tongue).prop_map(Command::Send),
        1 => (sync, 1..=1_000_u32).prop_map(|(direction, limit)| Command::Sync(Sync { direction, limit })),
        1 => ack.prop_map(Command::Ack),
        1 => (message_ids(), conversation())
            .prop_map(|(message, conversation)| Command::Revoke(Revoke { message, conversation })),
        1 => (vec(message_ids(), 1..=Receipt::MESSAGES_MAX), conversation())
            .prop_map(|(messages, conversation)| Command::Receipt(Receipt { messages, conversation })),
        1 => (conversation(), any::<i32>())
            .prop_map(|(conversation, status)| Command::Typing(Typing { conversation, status })),
        1 => (conversation(), history, 1..=1_000_u32, option::of(TEXT)).prop_map(
            |(conversation, direction, limit, topic)| {
                Command::History(History { conversation, direction, limit, topic: topic.map(Into::into) })
            }
        ),
        1 => (seqs(), 1..=Conversations::LIMIT_MAX)
            .prop_map(|(before, limit)| Command::Conversations(Conversations { before, limit })),
        1 => (conversation(), conversation_seqs())
            .prop_map(|(conversation, through)| Command::MarkRead(MarkRead { conversation, through })),
        1 => (conversation(), conversation_seqs(), extents())
            .prop_map(|(conversation, through, extent)| Command::Clear(Clear { conversation, through, extent })),
        3 => group_requests().prop_map(|request| Command::Group(Box::new(request))),
        1 => users().prop_map(Command::ShowProfile),
        1 => profiles().prop_map(|profile| Command::SetProfile(Box::new(profile))),
        1 => push_changes().prop_map(|change| Command::RegisterDevice(Box::new(change))),
        1 => "[a-z]{0,9}".prop_map(|device| Command::UnregisterDevice(device.into())),
        1 => Just(Command::ShowDevices),
        1 => (action, vec(users(), 0..20)).prop_map(|(action, users)| Command::Presence(Presence { action, users })),
    ]
}

fn push_changes() -> impl Strategy<Value = PushChange> {
    let given = ("[!-~]{1,90}", "[0-9a-f]{1,90}", "[A-Za-z0-9_-]{87}", "[A-Za-z0-9_-]{22}", 0..4_usize);
    let token = given.prop_map(|(fcm, apns, p256dh, auth, which)| {
        let endpoint = format!("https://push.example/{apns}");
        let given = match which {
            0 => return None,
            1 => GivenToken { provider: "fcm", token: &fcm, p256dh: "", auth: "" },
            2 => GivenToken { provider: "apns", token: &apns, p256dh: "", auth: "" },
            _ => GivenToken { provider: "webpush", token: &endpoint, p256dh: &p256dh, auth: &auth },
        };
        Some(PushToken::new(given).expect("well formed"))
    });
    let quiet = (0..700_i64, 700..1_440_i64, -840..=840_i64);
    let quiet = option::of(quiet.prop_map(|(from, until, offset)| QuietHours::new(from, until, offset).expect("fine")));
    ("[a-z]{0,9}", token, "[A-Za-z-]{0,35}", any::<bool>(), quiet).prop_map(
        |(device, token, locale, is_muted, quiet)| {
            let settings = PushSettings::new(&locale, is_muted, quiet).expect("well formed");
            PushChange { device: device.into(), token, settings }
        },
    )
}

fn facts() -> impl Strategy<Value = Fact> {
    let read =
        (message_ids(), conversation_seqs()).prop_map(|(id, conversation_seq)| ReadMessage { id, conversation_seq });
    let role = prop_oneof![Just(Role::Member), Just(Role::Admin), Just(Role::Owner)];
    let members = || vec(users(), 1..60);
    let change = prop_oneof![
        (users(), members()).prop_map(|(owner, members)| GroupChange::Created { owner, members }),
        members().prop_map(|members| GroupChange::Added { members }),
        members().prop_map(|members| GroupChange::Removed { members }),
        (users(), role, NUMBERS).prop_map(|(member, role, until)| GroupChange::Changed {
            member,
            role,
            muted_until: Millis(until)
        }),
        Just(GroupChange::Dissolved),
        (profiles(), joins()).prop_map(|(about, join)| GroupChange::Profiled(Box::new(GroupProfile { about, join }))),
    ];
    prop_oneof![
        message_ids().prop_map(|message| Fact::Revoked { message }),
        (users(), vec(read, 1..4)).prop_map(|(told, messages)| Fact::Read { told, messages }),
        change.prop_map(Fact::Group),
        users().prop_map(|asker| Fact::Joining { asker, step: JoinStep::Asked }),
        (users(), users()).prop_map(|(asker, by)| Fact::Joining { asker, step: JoinStep::Declined { by } }),
        (users(), conversation_seqs(), extents()).prop_map(|(user, through, extent)| Fact::Cleared {
            user,
            through,
            extent
        }),
    ]
}

fn extents() -> impl Strategy<Value = ClearExtent> {
    prop_oneof![Just(ClearExtent::History), Just(ClearExtent::Conversation)]
}

/// A message of `author` to somebody.
fn messages() -> impl Strategy<Value = Message> {
    let place = (message_ids(), conversation_seqs(), users(), recipients());
    let content =
        prop_oneof![payloads().prop_map(|(content, _)| content), vec(any::<u8>(), 0..200).prop_map(Bytes::from)];
    let said = (TEXT, 1..i32::MAX, content, any::<i64>(), NUMBERS, extras());
    let about = (option::of(annotations(any::<u64>())), option::weighted(0.4, facts()));
    (place, said, about).prop_map(|(place, said, (annotations, fact))| {
        let (id, conversation_seq, author, recipient) = place;
        let (client_id, message_type, content, send_time, server_time, extra) = said;
        let is_group = matches!(fact, Some(Fact::Group(_) | Fact::Joining { .. }));
        let conversation = match recipient {
            Recipient::User(peer) if is_group => Conversation::Group(GroupId::new(peer.as_str()).expect("well formed")),
            Recipient::User(peer) => Conversation::pair(author.clone(), peer),
            Recipient::Group(group) => Conversation::Group(group),
        };
        Message {
            id,
            conversation,
            conversation_seq,
            author,
            client_message_id: ClientMessageId::new(&client_id).expect("well formed"),
            conversation_name: None,
            message_type,
            content: content.into(),
            send_time,
            server_time: Millis(server_time),
            extra,
            annotations: annotations.map(Box::new),
            fact: fact.map(Arc::new),
        }
    })
}

pub fn entries() -> impl Strategy<Value = Entry> {
    (seqs(), messages(), option::of(names())).prop_map(|(seq, message, name)| Entry {
        seq,
        message: Arc::new(message),
        name,
    })
}

pub fn states() -> impl Strategy<Value = PresenceState> {
    (users(), any::<bool>(), NUMBERS).prop_map(|(user, is_online, last_seen)| PresenceState {
        user,
        is_online,
        last_seen: Millis(last_seen),
    })
}

pub fn rows() -> impl Strategy<Value = ConversationRow> {
    (entries(), any::<bool>(), (seqs(), NUMBERS, conversation_seqs(), conversation_seqs())).prop_map(
        |(entry, has_last, (last_seq, unread, read_through, newest_seq))| ConversationRow {
            conversation: entry.message.conversation.clone(),
            name: entry.name.clone(),
            last: has_last.then_some(entry),
            last_seq,
            unread,
            read_through,
            newest_seq,
        },
    )
}

/// An event and who is told.
pub fn events() -> impl Strategy<Value = (Event, UserId)> {
    let pushed = (entries(), any::<bool>(), users()).prop_map(|(entry, is_author, other)| {
        let viewer = match &entry.message.conversation {
            _ if is_author => entry.message.author.clone(),
            Conversation::Pair(..) => entry.message.peer_of(&entry.message.author).expect("a pair").clone(),
            Conversation::Group(_) => other,
        };
        (entry, viewer)
    });
    let typing = (users(), users(), option::of(names()), any::<i32>()).prop_map(|(writer, viewer, name, status)| {
        let conversation = Conversation::pair(writer.clone(), viewer.clone());
        (Event::Typing(Box::new(TypingNotice { conversation, name, user: writer, status })), viewer)
    });
    prop_oneof![
        6 => pushed.prop_map(|(entry, viewer)| match &entry.message.annotations {
            Some(annotations) if annotations.header.no_persist && entry.message.fact.is_none() => {
                (Event::Transient(entry.message, entry.name), viewer)
            }
            _ => (Event::Entry(entry), viewer),
        }),
        1 => typing,
        1 => (states(), users()).prop_map(|(state, viewer)| (Event::Presence(state), viewer)),
    ]
}
