//! Compares a group's members on its owner shard with the seats on the members' shards.
//!
//! Owned by an audit. A change that is still under way, in a delivery or in a fan-out, is no difference.

use crate::log::{Record, Segments};
use crate::model::{Conversation, UserId};
use crate::shard::audit::examined::Examined;
use crate::shard::audit::findings::{Findings, Promise, Violation};
use crate::shard::rows::groups::Group;
use crate::shard::rows::packed_row::ConversationFields;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashSet;

/// Groups with changes under way to a shard.
type GroupsInFlight = HashSet<(usize, Fingerprint), FixedState>;

pub(in crate::shard) fn memberships<S: Segments>(shards: &[Examined<'_, S>], findings: &mut Findings) {
    let under_way = under_way(shards);
    for examined in shards {
        findings.tally.fanning_out += examined.state.groups.fan_out.len() as u64;
        for (conversation_key, group) in examined.state.groups.rosters.all() {
            let Some(at) = examined.state.group_row(conversation_key) else { continue };
            let row = examined.state.tables.conversations.at(at).unpacked(&examined.state.tables.inboxes);
            findings.tally.groups += 1;
            findings.tally.members += group.members.len() as u64;
            expect_seats(shards, &under_way, &row, group, findings);
        }
        for (_, row) in examined.state.rows() {
            let conversation_key = examined.state.identity.fingerprints.of_conversation(&row.conversation);
            let is_group = matches!(row.conversation, Conversation::Group(_));
            if is_group && !under_way.contains(&(usize::from(examined.me.0), conversation_key)) {
                expect_members(shards, examined, conversation_key, &row, findings);
            }
        }
    }
}

fn under_way<S: Segments>(shards: &[Examined<'_, S>]) -> GroupsInFlight {
    let mut found = GroupsInFlight::with_hasher(FixedState::with_seed(0));
    for from in shards {
        for (to, peer) in from.state.peers.outbound.peers().iter().enumerate().filter(|(to, _)| *to < shards.len()) {
            let taken = shards[to].state.peers.outbound.peers()[usize::from(from.me.0)].taken();
            for unconfirmed in peer.unconfirmed_deliveries().filter(|unconfirmed| unconfirmed.number > taken) {
                if let Ok(Record::Posted { message, .. }) = from.view().read(unconfirmed.record) {
                    found.insert((to, from.state.identity.fingerprints.of_conversation(&message.conversation)));
                }
            }
        }
        for (at, row) in from.state.rows() {
            if from.state.groups.fan_out.under_way(at).next().is_some() {
                found.insert((
                    usize::from(from.me.0),
                    from.state.identity.fingerprints.of_conversation(&row.conversation),
                ));
            }
        }
    }
    found
}

/// Checks that every member has a seat.
fn expect_seats<S: Segments>(
    shards: &[Examined<'_, S>],
    under_way: &GroupsInFlight,
    row: &ConversationFields,
    group: &Group,
    findings: &mut Findings,
) {
    for user in group.members.iter().map(|(user, _)| user) {
        let Some(home) = shards.iter().find(|shard| shard.state.is_home(user)) else { continue };
        let conversation_key = home.state.identity.fingerprints.of_conversation(&row.conversation);
        if under_way.contains(&(usize::from(home.me.0), conversation_key)) {
            continue;
        }
        let place = home.state.tables.inboxes.find(user);
        let seat = place.zip(home.state.group_row(conversation_key)).and_then(|(place, at)| {
            let seat = home.state.seat_of(place, at)?;
            Some(home.state.tables.conversations.at(at).seat(seat))
        });
        if !seat.is_some_and(|seat| seat.is_taken()) {
            let why = format!("{user} is a member of {}, but has no seat", row.conversation.default_name());
            break_membership(findings, home, row, user, why);
        }
    }
}

/// Checks that every user with a seat is a member.
fn expect_members<S: Segments>(
    shards: &[Examined<'_, S>],
    examined: &Examined<'_, S>,
    conversation_key: Fingerprint,
    row: &ConversationFields,
    findings: &mut Findings,
) {
    let owner = examined.state.identity.placement.owner_of_conversation(&row.conversation);
    let Some(owner) = shards.get(usize::from(owner.0)) else { return };
    let group = owner.state.groups.rosters.find(conversation_key);
    for seat in row.seats.iter().filter(|seat| seat.is_taken()) {
        let user = examined.state.tables.inboxes.user_at(seat.user);
        if !group.is_some_and(|group| group.members.contains(user)) {
            let why = format!("{user} has a seat in {}, but is no member", row.conversation.default_name());
            break_membership(findings, examined, row, user, why);
        }
    }
}

fn break_membership<S: Segments>(
    findings: &mut Findings,
    shard: &Examined<'_, S>,
    row: &ConversationFields,
    user: &UserId,
    why: String,
) {
    findings.add(Violation {
        promise: Promise::Membership,
        shard: shard.me,
        position: row.tail.last,
        user: Some(user.clone()),
        conversation: Some(row.conversation.clone()),
        seq: row.tail.seq.0,
        why,
    });
}
