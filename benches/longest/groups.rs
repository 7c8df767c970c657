//! Groups: an operator's orders that name as many as they may, and what members can do in the largest.

use crate::common::is_smoke;
use crate::stage::{Stage, group, in_group, send, user};
use crate::{Book, Scene};
use mushan::model::{
    Annotations, Authority, Command, Extra, GroupAct, GroupRequest, HeaderFlags, JoinPolicy, JoinVerdict, Order,
    ProfileChange, Receipt, Recipient, Revoke, Role, SessionId, Typing, UserId,
};
use mushan::shard::CatchUp;

pub const SCENES: &[Scene] =
    &[("group orders", orders), ("group requests", requests), ("group joining", joining), ("group removals", removals)];

const CROWD: &str = "crowd";
const OWNER: &str = "alice";
/// Members with a session.
const ONLINE: usize = 2_000;

fn members() -> usize {
    if is_smoke() { 15_000 } else { 100_000 }
}

/// As long as an id may be, and as alike as ids can be.
fn member(n: usize) -> UserId {
    user(&format!("member-{n:057}"))
}

fn some(from: usize) -> Vec<UserId> {
    (from..from + Order::MEMBERS_MAX).map(member).collect()
}

fn change(add: Vec<UserId>, remove: Vec<UserId>) -> Order {
    Order::ChangeMembers { group: group(CROWD), add, remove }
}

/// Two shards and the largest group.
fn crowded() -> Stage {
    let mut stage = Stage::new(2);
    stage.order(Order::CreateGroup { group: group(CROWD), owner: user(OWNER), members: some(0) });
    for from in (Order::MEMBERS_MAX..members()).step_by(Order::MEMBERS_MAX) {
        stage.order(change(some(from), Vec::new()));
    }
    stage
}

/// The same with some of the members and the owner online. Returns the owner's session.
fn crowd_online() -> (Stage, SessionId) {
    let mut stage = crowded();
    for n in 0..ONLINE {
        stage.open(member(n).as_str(), CatchUp::Sync);
    }
    let owner = stage.open(OWNER, CatchUp::Sync);
    stage.settle();
    (stage, owner)
}

fn to_crowd(id: &str, notes: Option<Annotations>) -> Command {
    send(id, Recipient::Group(group(CROWD)), 128, notes)
}

fn unstored() -> Option<Annotations> {
    let header = HeaderFlags { no_persist: true, ..HeaderFlags::default() };
    Some(Annotations { header, ..Annotations::default() })
}

fn orders(book: &mut Book) {
    let (mut stage, alice) = crowd_online();
    let all = members();
    let create = |id| Order::CreateGroup { group: group(id), owner: user(OWNER), members: some(0) };
    book.measure("create a group of 5,000", &mut stage, |stage| stage.order(create("other")));
    book.measure("create it again", &mut stage, |stage| stage.order(create("other")));
    book.measure("add 5,000 who are members", &mut stage, |stage| stage.order(change(some(0), Vec::new())));
    book.measure("add 5,000 to the largest group", &mut stage, |stage| {
        stage.order(change(some(all), Vec::new()));
    });
    book.measure("add 5,000 and remove 5,000", &mut stage, |stage| {
        stage.order(change(some(2 * all), some(all)));
    });
    book.measure("remove 5,000 from the largest group", &mut stage, |stage| {
        stage.order(change(Vec::new(), some(2 * all)));
    });
    book.measure("show members of the largest group", &mut stage, |stage| {
        let show = Order::ShowGroup { group: group(CROWD), after: None, limit: usize::MAX };
        stage.order(show);
    });
    book.measure("change a member's role", &mut stage, |stage| {
        let role = Some(mushan::model::Role::Admin);
        let change = Order::ChangeMember { group: group(CROWD), member: member(7), role, muted_until: None };
        stage.order(change);
    });
    stage.sent.clear();
    book.measure("send to the largest group", &mut stage, |stage| {
        stage.request(alice, OWNER, to_crowd("stored", None));
        stage.settle();
    });
    let message = stage.sent[0];
    book.measure("send 20 to the largest group at once", &mut stage, |stage| {
        (0..20).for_each(|n| stage.request(alice, OWNER, to_crowd(&format!("many-{n}"), None)));
        stage.settle();
    });
    book.measure("send what is not stored to the largest group", &mut stage, |stage| {
        (0..16).for_each(|n| stage.request(alice, OWNER, to_crowd(&format!("unstored-{n}"), unstored())));
        stage.settle();
    });
    book.measure("type in the largest group", &mut stage, |stage| {
        stage.request(alice, OWNER, Command::Typing(Typing { conversation: in_group(CROWD), status: 1 }));
        stage.settle();
    });
    let reader = stage.open(member(3).as_str(), CatchUp::Sync);
    stage.settle();
    book.measure("receipt in the largest group", &mut stage, |stage| {
        let receipt = Receipt { messages: vec![message], conversation: in_group(CROWD) };
        stage.request(reader, member(3).as_str(), Command::Receipt(receipt));
        stage.settle();
    });
    book.measure("revoke in the largest group", &mut stage, |stage| {
        stage.request(alice, OWNER, Command::Revoke(Revoke { message, conversation: in_group(CROWD) }));
        stage.settle();
    });
    book.measure("an operator sends 64 KiB to the largest group", &mut stage, |stage| {
        let Command::Send(send) = send("ordered", Recipient::Group(group(CROWD)), 64 << 10, None) else {
            unreachable!("a send")
        };
        stage.order(Order::Send { author: user(OWNER), send: Box::new(send), authority: Authority::System });
    });
    book.measure("an operator changes the profile of the largest group", &mut stage, |stage| {
        stage.order(Order::ChangeProfile { group: group(CROWD), change: Box::new(profile()) });
    });
    book.measure("dissolve the largest group", &mut stage, |stage| {
        stage.order(Order::DissolveGroup { group: group(CROWD) });
    });
}

/// As large as a profile may be, of a group that everybody may join.
fn profile() -> ProfileChange {
    let attributes = Extra::new(vec![("k".into(), "v".repeat(4_000).into())]);
    let (name, avatar) = (Some("n".repeat(256).into()), Some("a".repeat(1 << 10).into()));
    ProfileChange { name, avatar, attributes: Some(attributes), join: Some(JoinPolicy::Open) }
}

/// What members of the largest group ask for, and one who joins.
fn requests(book: &mut Book) {
    let mut stage = crowded();
    let some_members = |from: usize| (from..from + GroupRequest::MEMBERS_MAX).map(member).collect::<Vec<_>>();
    for n in 0..ONLINE {
        stage.open(member(n).as_str(), CatchUp::Sync);
    }
    let alice = stage.open(OWNER, CatchUp::Sync);
    // On the shard where the owner is not, so that the group's shard is asked.
    let others = (members()..).map(member).find(|id| stage.home(id.as_str()) != stage.home(OWNER));
    let joining = others.expect("some user of the other shard");
    let newcomer = stage.open(joining.as_str(), CatchUp::Sync);
    stage.settle();
    let (add, remove) = (Vec::new(), some_members(100));
    let (member, role) = (member(7), Some(Role::Admin));
    for (name, (session, id), act) in [
        ("a user reads a page of the largest group", (alice, OWNER), GroupAct::Show { after: None, limit: usize::MAX }),
        ("a user removes 100 of the largest group", (alice, OWNER), GroupAct::ChangeMembers { add, remove }),
        (
            "a user adds them again",
            (alice, OWNER),
            GroupAct::ChangeMembers { add: some_members(100), remove: Vec::new() },
        ),
        (
            "a user changes a role in the largest group",
            (alice, OWNER),
            GroupAct::ChangeMember { member, role, muted_until: None },
        ),
        (
            "a user changes the profile of the largest group",
            (alice, OWNER),
            GroupAct::ChangeProfile(Box::new(profile())),
        ),
        ("a user joins the largest group", (newcomer, joining.as_str()), GroupAct::Join),
        ("a user dissolves the largest group", (alice, OWNER), GroupAct::Dissolve),
    ] {
        book.measure(name, &mut stage, |stage| {
            stage.request(session, id, Command::Group(Box::new(GroupRequest { group: group(CROWD), act })));
            stage.settle();
        });
    }
}

/// As many as may ask to join the largest group, and what they are answered.
fn joining(book: &mut Book) {
    let mut stage = crowded();
    for n in 0..ONLINE {
        stage.open(member(n).as_str(), CatchUp::Sync);
    }
    let alice = stage.open(OWNER, CatchUp::Sync);
    let change = ProfileChange { join: Some(JoinPolicy::Request), ..ProfileChange::default() };
    stage.order(Order::ChangeProfile { group: group(CROWD), change: Box::new(change) });
    let asking = |n: usize| member(members() + n);
    let asks = |act| Command::Group(Box::new(GroupRequest { group: group(CROWD), act }));
    let many = mushan::model::Limits::default().group_requests_max;
    book.measure("very many ask to join", &mut stage, |stage| {
        for n in 0..many {
            stage.say_once(asking(n).as_str(), asks(GroupAct::Join));
            stage.settle();
        }
    });
    let (after, limit) = (None, usize::MAX);
    book.measure("an admin reads who has asked", &mut stage, |stage| {
        stage.request(alice, OWNER, asks(GroupAct::Requests { after, limit }));
        stage.settle();
    });
    book.measure("an operator reads who has asked", &mut stage, |stage| {
        stage.order(Order::ShowRequests { group: group(CROWD), after: None, limit });
    });
    let verdict = JoinVerdict::Approve;
    book.measure("an admin approves", &mut stage, |stage| {
        stage.request(alice, OWNER, asks(GroupAct::AnswerRequest { user: asking(1), verdict }));
        stage.settle();
    });
    book.measure("an operator approves", &mut stage, |stage| {
        stage.order(Order::AnswerRequest { group: group(CROWD), user: asking(2), verdict });
    });
    book.measure("a group that many have asked for is open", &mut stage, |stage| {
        stage.order(Order::ChangeProfile { group: group(CROWD), change: Box::new(profile()) });
    });
}

/// Most leave a large group; what is said meanwhile, and in the few that are left.
fn removals(book: &mut Book) {
    let (mut stage, alice) = crowd_online();
    let all = members();
    let first = Order::MEMBERS_MAX;
    book.measure("remove most of the largest group at once", &mut stage, |stage| {
        for from in (first..all).step_by(Order::MEMBERS_MAX) {
            stage.begin_order(change(Vec::new(), some(from)));
        }
        (0..3).for_each(|n| stage.request(alice, OWNER, to_crowd(&format!("unstored-{n}"), unstored())));
        stage.settle();
    });
    let left: Vec<UserId> = (400..first).map(member).collect();
    stage.order(change(Vec::new(), left));
    book.measure("type in a group that was the largest", &mut stage, |stage| {
        stage.request(alice, OWNER, Command::Typing(Typing { conversation: in_group(CROWD), status: 1 }));
        stage.settle();
    });
}
