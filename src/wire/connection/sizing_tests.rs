//! What the size classes of `model` say of an entry is never less than what is written for it, and not much more.

use crate::model::testing::{client_message_id, group, user};
use crate::model::*;
use crate::wire::base::dialect::Dialect;
use crate::wire::common::incoming::Context;
use crate::wire::json::message_key::{ClientKey, MessageKey, ServerKey};
use crate::wire::jsonrpc::audience::Audience;
use crate::wire::jsonrpc::message::{push_entry, push_row};
use crate::wire::protobuf::encode::{AnsweredRequest, push_reply};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;

/// Some text; most of it takes more than a byte a character where it is escaped.
fn text(max: usize) -> impl Strategy<Value = String> {
    vec(select(vec!['a', '"', '\\', '\u{1}', '\n', '\u{7f}', '\u{85}', 'ß', '明']), 0..max)
        .prop_map(|letters| letters.into_iter().collect())
}

/// The same as an id.
fn id(max: usize) -> impl Strategy<Value = String> {
    vec(select(vec!['a', '_', '"', '\\', '7']), 1..=max).prop_map(|letters| letters.into_iter().collect())
}

fn fact() -> impl Strategy<Value = Option<Fact>> {
    let members = || vec(id(64).prop_map(|id| user(&id)), 0..70);
    let read = |count| Fact::Read {
        told: user("bob"),
        messages: vec![ReadMessage { id: MessageId(u64::MAX), conversation_seq: ConversationSeq(u64::MAX) }; count],
    };
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fact::Revoked { message: MessageId(u64::MAX) })),
        1 => (0_usize..100).prop_map(move |count| Some(read(count))),
        1 => (id(64), members()).prop_map(|(owner, members)| {
            Some(Fact::Group(GroupChange::Created { owner: user(&owner), members }))
        }),
        1 => members().prop_map(|members| Some(Fact::Group(GroupChange::Removed { members }))),
        1 => id(64).prop_map(|member| {
            let (role, muted_until) = (Role::Member, Millis(u64::MAX));
            Some(Fact::Group(GroupChange::Changed { member: user(&member), role, muted_until }))
        }),
    ]
}

fn annotations() -> impl Strategy<Value = Option<Box<Annotations>>> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let texts = (text(128), text(128), text(128));
    let some = (flags, texts, any::<u32>(), any::<bool>()).prop_map(|(flags, texts, expire_s, is_chunk)| {
        let (no_persist, red_dot, sync_once, dup, receipt, topic) = flags;
        let (topic_text, key, stream) = texts;
        let chunk = StreamChunk { stream: stream.into(), number: u64::MAX, phase: ChunkPhase::Last };
        Some(Box::new(Annotations {
            header: HeaderFlags { no_persist, red_dot, sync_once, dup },
            setting: SettingFlags { receipt, topic },
            topic: Some(topic_text.into()).filter(|_| topic),
            message_key: Some(key.into()).filter(|_| receipt),
            expire_s,
            chunk: is_chunk.then_some(chunk),
            is_replaced: false,
        }))
    });
    prop_oneof![1 => Just(None), 1 => some]
}

fn entry() -> impl Strategy<Value = Entry> {
    let content = prop_oneof![
        vec(any::<u8>(), 0..600),
        text(200).prop_map(String::into_bytes),
        "[a-z]{0,300}".prop_map(|text| format!(r#"{{"text":"{text}"}}"#).into_bytes()),
    ];
    let ids = (id(64), id(64), id(128), any::<bool>(), proptest::option::of(id(128)));
    let extra = vec((text(30), text(30)), 0..6);
    let numbers = prop_oneof![Just(u64::MAX), Just(1_700_000_000_000)];
    (content, ids, extra, annotations(), fact(), numbers).prop_map(
        |(content, ids, extra, annotations, fact, number)| {
            let (author, peer, client, is_pair, name) = ids;
            let (author, peer) = (user(&author), user(&peer));
            let conversation = match is_pair {
                true => Conversation::pair(author.clone(), peer),
                false => Conversation::Group(group(peer.as_str())),
            };
            let message = Message {
                id: MessageId(number),
                conversation,
                conversation_seq: ConversationSeq(number),
                author,
                client_message_id: client_message_id(&client),
                conversation_name: None,
                message_type: i32::MAX,
                content: if fact.is_some() { Bytes::new().into() } else { content.into() },
                send_time: i64::MAX,
                server_time: Millis(number),
                extra: Extra::new(extra.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
                annotations,
                fact: fact.map(Arc::new),
            };
            let name = name.map(|name| ConversationName::new(&name).expect("well formed"));
            Entry { seq: Seq(number), message: Arc::new(message), name }
        },
    )
}

fn row(entry: &Entry) -> ConversationRow {
    ConversationRow {
        conversation: entry.message.conversation.clone(),
        name: entry.name.clone(),
        last: Some(entry.clone()),
        last_seq: Seq(u64::MAX),
        unread: u64::MAX,
        read_through: ConversationSeq(u64::MAX),
        newest_seq: ConversationSeq(u64::MAX),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> usize {
    let mut out = Vec::new();
    write(&mut out);
    out.len()
}

/// What two of it take more than one, in an answer.
fn binary_bytes(viewer: &UserId, reply: impl Fn(usize) -> Reply) -> usize {
    let context = &Context {
        limits: Limits::default(),
        handshake: Default::default(),
        server_version: "",
        server_key: ServerKey::of([7; 32]),
        node_id: 0,
        inbox_epoch: 1,
    };
    let request = AnsweredRequest { sequence: 7, verb: Verb::Sync, viewer };
    let bytes = |count| written(|out| push_reply(out, Millis(u64::MAX), request, &reply(count), context));
    bytes(2) - bytes(1)
}

/// In the ways that differ; the widest counts.
fn json_bytes(key: &MessageKey, viewer: &UserId, write: impl Fn(&mut Vec<u8>, &Audience<'_>)) -> usize {
    let ways = [(Dialect::JsonRpc, None), (Dialect::JsonRpc, Some(key)), (Dialect::Wukong, None)];
    let bytes = |(dialect, key)| written(|out| write(out, &Audience { dialect, version: 3, viewer, key }));
    // The comma between two.
    1 + ways.into_iter().map(bytes).max().unwrap_or_default()
}

fn message_key() -> MessageKey {
    let client = ClientKey::parse(ServerKey::of([2; 32]).public()).expect("a key");
    ServerKey::of([1; 32]).agree(client, &[b'x'; 16]).expect("agreed")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_entry_never_takes_more_bytes_than_its_size_class_says(entry in entry(), is_mine: bool) {
        let key = message_key();
        let viewer = if is_mine { entry.message.author.clone() } else { user("viewer") };
        let tombstone = Entry { message: Arc::new(entry.message.tombstone()), ..entry.clone() };
        let (verbatim, escaped) = (Sizing::Verbatim.entry_bytes(&entry.message), Sizing::Escaped.entry_bytes(&entry.message));
        for shown in [&entry, &tombstone] {
            let synced = |count| Reply::Synced {
                entries: vec![shown.clone(); count],
                server_max_seq: Seq(1),
                has_more: true,
            };
            let history = |count| Reply::History {
                messages: vec![shown.clone(); count],
                reached: ConversationSeq(1),
                newest_seq: ConversationSeq(1),
                has_more: true,
            };
            let binary = binary_bytes(&viewer, synced).max(binary_bytes(&viewer, history));
            prop_assert!(binary <= verbatim, "{binary} > {verbatim}");
            let json = json_bytes(&key, &viewer, |out, audience| push_entry(out, audience, shown));
            prop_assert!(json <= escaped, "{json} > {escaped}");
            let row = row(shown);
            let rows = |count| Reply::Conversations { rows: vec![row.clone(); count], has_more: true };
            let binary = binary_bytes(&viewer, rows);
            let room = Sizing::Verbatim.row_bytes(&row.conversation, Some(&entry.message));
            prop_assert!(binary <= room, "{binary} > {room} for a row");
            let json = json_bytes(&key, &viewer, |out, audience| push_row(out, audience, &row));
            let room = Sizing::Escaped.row_bytes(&row.conversation, Some(&entry.message));
            prop_assert!(json <= room, "{json} > {room} for a row");
        }
        let json = json_bytes(&key, &viewer, |out, audience| push_entry(out, audience, &entry));
        if entry.message.fact.is_none() {
            prop_assert!(escaped <= json * 4 / 3 + 600, "{escaped} for {json}: too much is set aside");
        }
    }
}
