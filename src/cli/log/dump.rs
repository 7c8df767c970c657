//! `mushan log dump`: prints every record as a line of JSON.

use crate::cli::log::selection::{LogSelection, expect_whole};
use crate::log::{MemberLink, Record, SnapshotRecord, ThreadLink, inspect};
use crate::model::{
    AccountState, BlockState, ClearExtent, Fact, GroupChange, GroupProfile, JoinStep, Message, Position, Profile,
    ShardId, UserId,
};
use crate::terminal::arguments::parse_user;
use crate::terminal::failure::Failure;
use crate::terminal::print::was_printed;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

/// Print every record as one line of JSON
///
/// Contents of messages are left out by default, because printed text is easily kept.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: LogSelection,
    /// Print only this shard
    #[arg(long, value_name = "N")]
    shard: Option<u16>,
    /// Print only records that concern this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Print the messages' contents too, in base64
    #[arg(long)]
    content: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let archive = arguments.place.open()?;
    let user = arguments.user.as_deref().map(parse_user).transpose()?;
    if let Some(shard) = arguments.shard.filter(|shard| *shard >= archive.manifest.shards) {
        return Err(Failure::new(format!(
            "there is no shard {shard}; the number of shards is {}",
            archive.manifest.shards
        )));
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut printed, mut damaged) = (Ok(()), Ok(()));
    for shard in archive.shards().filter(|shard| arguments.shard.is_none_or(|only| only == shard.0)) {
        let dumped = inspect(&archive.log(shard)?, shard, |position, record| {
            if printed.is_ok() && user.as_ref().is_none_or(|user| is_about(user, &record)) {
                printed = writeln!(out, "{}", line(shard, position, &record, arguments));
            }
        });
        let dumped = dumped.map_err(Failure::because_with(Failure::DISK, format!("shard {shard}")))?;
        damaged = damaged.and(expect_whole(shard, dumped.damage.map(|it| it.to_string()).as_deref()));
    }
    was_printed(printed.and_then(|()| out.flush()))?;
    damaged
}

fn kept_body(kept: &SnapshotRecord) -> (&'static str, Value) {
    match kept {
        SnapshotRecord::Seat { user, conversation, seat } => {
            let conversation = conversation.default_name();
            let body = json!({
                "user": user.as_str(), "conversation": conversation.as_str(), "joined": seat.joined.0,
                "left": (seat.left.0 < u64::MAX).then_some(seat.left.0), "read": seat.read.0, "last": seat.last.0,
                "unread": seat.unread,
            });
            ("seat", body)
        }
        SnapshotRecord::Named { user, conversation, name } => {
            let conversation = conversation.default_name();
            let body = json!({"user": user.as_str(), "conversation": conversation.as_str(), "name": name.as_str()});
            ("named", body)
        }
        SnapshotRecord::Roster { group, owner, created, members } => {
            let members: Vec<&str> = members.iter().map(|it| it.user.as_str()).collect();
            let body = json!({
                "group": group.as_str(), "owner": owner.as_str(), "created": created.0, "members": members,
            });
            ("roster", body)
        }
        SnapshotRecord::Revoked { messages } => {
            let messages: Vec<String> = messages.iter().map(|it| it.0.to_string()).collect();
            ("revoked", json!({"messages": messages}))
        }
        SnapshotRecord::Told { ranges, .. } => {
            let ranges: Vec<[u64; 2]> = ranges.iter().map(|(from, through)| [from.0, through.0]).collect();
            ("told", json!({"ranges": ranges}))
        }
        SnapshotRecord::Blocked { bits, .. } => ("blocked", json!({"by": bits})),
        SnapshotRecord::Described { group, profile } => {
            let mut body = group_profile_body(profile);
            body["group"] = group.as_str().into();
            ("described", body)
        }
        SnapshotRecord::Asked { group, requests } => {
            let requests: Vec<_> = requests.iter().map(|(user, time)| json!([user.as_str(), time.0])).collect();
            ("asked", json!({"group": group.as_str(), "requests": requests}))
        }
        SnapshotRecord::Cleared { user, conversation, through, extent } => {
            let (conversation, extent) = (conversation.default_name(), extent_name(*extent));
            let cleared = json!({"user": user.as_str(), "conversation": conversation.as_str(), "through": through.0, "extent": extent});
            ("cleared", cleared)
        }
    }
}

fn is_about(user: &UserId, record: &Record) -> bool {
    match record {
        Record::Posted { message, .. } | Record::Delivered { message, .. } | Record::Carried { message, .. } => {
            let is_told = matches!(message.fact.as_deref(), Some(Fact::Group(it)) if it.members().contains(user));
            message.author == *user || message.peer_of(&message.author) == Some(user) || is_told
        }
        Record::Device { user: other, .. } | Record::Inbox { user: other, .. } => other == user,
        Record::Read { user: other, .. } | Record::Consumed { user: other, .. } | Record::Seen { user: other, .. } => {
            other == user
        }
        Record::Account { user: other, .. }
        | Record::Online { user: other, .. }
        | Record::Profile { user: other, .. }
        | Record::PushDevice { user: other, .. }
        | Record::Erased { user: other, .. } => other == user,
        Record::Fanned { .. } => record.link_of(user).is_some(),
        Record::Block { by, other, .. } => by == user || other == user,
        Record::Kept(
            SnapshotRecord::Seat { user: other, .. }
            | SnapshotRecord::Named { user: other, .. }
            | SnapshotRecord::Cleared { user: other, .. },
        ) => other == user,
        Record::Kept(SnapshotRecord::Roster { owner, members, .. }) => {
            owner == user || members.iter().any(|it| it.user == *user)
        }
        Record::Kept(_)
        | Record::Start { .. }
        | Record::Mark { .. }
        | Record::Confirmed { .. }
        | Record::Forgone { .. }
        | Record::Conversation { .. }
        | Record::Issued { .. }
        | Record::Clock { .. } => false,
    }
}

fn line(shard: ShardId, position: Position, record: &Record, arguments: &Arguments) -> Value {
    let (kind, body) = match record {
        Record::Start { epoch, time } => ("start", json!({"epoch": epoch, "time": time.0})),
        Record::Mark { durable } => ("mark", json!({"durable": place(*durable)})),
        Record::Posted { message, deliveries, links } => {
            let deliveries: Vec<Value> =
                deliveries.iter().map(|it| json!({"shard": it.target.0, "number": it.number})).collect();
            let body = json!({"message": told(message, arguments), "deliveries": deliveries, "links": linked(links)});
            ("posted", body)
        }
        Record::Delivered { source, number, message, links } => {
            let message = told(message, arguments);
            ("delivered", json!({"from": source.0, "number": number, "message": message, "links": linked(links)}))
        }
        Record::Forgone { source, through } => ("forgone", json!({"shard": source.0, "through": through})),
        Record::Confirmed { target, through } => ("confirmed", json!({"shard": target.0, "through": through})),
        Record::Device { user, device, position } => {
            let device = json!({"flag": device.flag, "id": device.id.as_str()});
            ("device", json!({"user": user.as_str(), "device": device, "delivered": position.0}))
        }
        Record::Carried { message, links } => {
            ("carried", json!({"message": told(message, arguments), "links": linked(links)}))
        }
        Record::Inbox { user, seq } => ("inbox", json!({"user": user.as_str(), "seq": seq.0})),
        Record::Conversation { conversation, seq, message } => {
            let name = conversation.default_name();
            let body = json!({"conversation": name.as_str(), "seq": seq.0, "newest_id": message.0.to_string()});
            ("conversation", body)
        }
        Record::Issued { message } => ("issued", json!({"newest_id": message.0.to_string()})),
        Record::Fanned { of, links } => {
            let link = |it: &MemberLink| json!({"user": it.user.as_str(), "link": linked(&[it.link])[0]});
            ("fanned", json!({"of": place(*of), "links": links.iter().map(link).collect::<Vec<_>>()}))
        }
        Record::Read { user, conversation, through, unread } => {
            let conversation = conversation.default_name();
            let body = json!({
                "user": user.as_str(), "conversation": conversation.as_str(), "through": through.0, "unread": unread,
            });
            ("read", body)
        }
        Record::Consumed { user, message } => {
            ("consumed", json!({"user": user.as_str(), "message": message.0.to_string()}))
        }
        Record::Block { by, other, state } => {
            let is_blocked = *state == BlockState::Blocked;
            ("block", json!({"by": by.as_str(), "other": other.as_str(), "blocked": is_blocked}))
        }
        Record::Account { user, state, tokens_from } => {
            let is_disabled = *state == AccountState::Disabled;
            let body = json!({"user": user.as_str(), "disabled": is_disabled, "tokens_from": tokens_from.0});
            ("account", body)
        }
        Record::Profile { user, profile } => {
            let mut body = profile_body(profile);
            body["user"] = user.as_str().into();
            ("profile", body)
        }
        Record::PushDevice { user, device, registration } => {
            let provider = registration.as_ref().map(|it| it.token.provider().name());
            ("push_device", json!({"user": user.as_str(), "device": device.as_str(), "provider": provider}))
        }
        Record::Kept(kept) => kept_body(kept),
        Record::Online { user, since } => ("online", json!({"user": user.as_str(), "since": since.0})),
        Record::Erased { user, time } => ("erased", json!({"user": user.as_str(), "time": time.0})),
        Record::Clock { time, jumped_ms } => ("clock", json!({"time": time.0, "jumped_ms": jumped_ms})),
        Record::Seen { user, last_seen } => ("seen", json!({"user": user.as_str(), "last_seen": last_seen.0})),
    };
    json!({"shard": shard.0, "at": place(position), "kind": kind, "record": body})
}

fn profile_body(profile: &Profile) -> Value {
    let attributes: BTreeMap<&str, &str> = profile.attributes.iter().collect();
    json!({"name": profile.name.as_str(), "avatar": profile.avatar.as_str(), "attributes": attributes})
}

fn group_profile_body(profile: &GroupProfile) -> Value {
    let mut body = profile_body(&profile.about);
    body["kind"] = "profile".into();
    body["join"] = profile.join.name().into();
    body
}

fn place(position: Position) -> Value {
    json!([position.segment(), position.offset()])
}

fn linked(links: &[ThreadLink]) -> Vec<Value> {
    let link = |link: &ThreadLink| {
        json!({
            "side": format!("{:?}", link.side).to_lowercase(),
            "seq": link.seq.0,
            "previous": place(link.previous),
            "skip": place(link.skip),
            "away": link.is_away,
        })
    };
    links.iter().map(link).collect()
}

fn what_happened(fact: &Fact) -> Value {
    let names = |users: &[UserId]| users.iter().map(UserId::as_str).map(Value::from).collect::<Vec<_>>();
    match fact {
        Fact::Revoked { message } => json!({"kind": "revoked", "message": message.0.to_string()}),
        Fact::Read { told, messages } => {
            let read: Vec<u64> = messages.iter().map(|read| read.conversation_seq.0).collect();
            json!({"kind": "read", "told": told.as_str(), "conversation_seqs": read})
        }
        Fact::Group(change) => match change {
            GroupChange::Created { owner, members } => {
                json!({"kind": "created", "owner": owner.as_str(), "members": names(members)})
            }
            GroupChange::Added { members } => json!({"kind": "added", "members": names(members)}),
            GroupChange::Removed { members } => json!({"kind": "removed", "members": names(members)}),
            GroupChange::Changed { member, role, muted_until } => {
                let role = format!("{role:?}").to_lowercase();
                json!({"kind": "changed", "member": member.as_str(), "role": role, "muted_until": muted_until.0})
            }
            GroupChange::Dissolved => json!({"kind": "dissolved"}),
            GroupChange::Profiled(profile) => group_profile_body(profile),
        },
        Fact::Joining { asker, step: JoinStep::Asked } => json!({"kind": "join_requested", "asker": asker.as_str()}),
        Fact::Joining { asker, step: JoinStep::Declined { by } } => {
            json!({"kind": "join_declined", "asker": asker.as_str(), "by": by.as_str()})
        }
        Fact::Cleared { user, through, extent } => {
            json!({"kind": "cleared", "user": user.as_str(), "through": through.0, "extent": extent_name(*extent)})
        }
    }
}

fn extent_name(extent: ClearExtent) -> &'static str {
    match extent {
        ClearExtent::History => "history",
        ClearExtent::Conversation => "conversation",
    }
}

fn told(message: &Message, arguments: &Arguments) -> Value {
    let mut told = json!({
        "id": message.id.0.to_string(),
        "author": message.author.as_str(),
        "conversation": message.conversation.default_name().as_str(),
        "conversation_seq": message.conversation_seq.0,
        "client_message_id": message.client_message_id.as_str(),
        "type": message.message_type,
        "server_time": message.server_time.0,
        "content_bytes": message.content.len(),
    });
    if let Some(fact) = &message.fact {
        told["fact"] = what_happened(fact);
    }
    if arguments.content {
        told["content"] = STANDARD.encode(&message.content[..]).into();
    }
    told
}
