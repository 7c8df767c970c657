//! The golden vectors of groups and profiles, in both protocols and both directions.

use crate::client::*;
use crate::vectors::Vectors;
use mushan::model::{
    Command, ConversationSeq, Extra, GroupAct, GroupId, GroupProfile, GroupRequest, GroupState, JoinPolicy,
    JoinRequest, JoinRequests, JoinVerdict, Member, Millis, Profile, ProfileChange, Refusal, Reply, RequestTag, Role,
    UserId, UserProfile, Verb,
};
use mushan::wire::Incoming;

fn in_team(act: GroupAct) -> Command {
    Command::Group(Box::new(GroupRequest { group: GroupId::new("team").expect("well formed"), act }))
}

fn users(ids: &[&str]) -> Vec<UserId> {
    ids.iter().map(|id| user(id)).collect()
}

fn crew() -> Profile {
    let attributes = Extra::new(vec![("k".into(), "v".into())]);
    Profile { name: "Crew".into(), avatar: "a.png".into(), attributes }
}

fn show() -> Command {
    in_team(GroupAct::Show { after: Some(user("aaron")), limit: 2 })
}

fn change_members() -> Command {
    in_team(GroupAct::ChangeMembers { add: users(&["carol", "dave"]), remove: users(&["bob"]) })
}

fn change_member() -> Command {
    let (role, muted_until) = (Some(Role::Admin), Some(Millis(1_700_000_000_000)));
    in_team(GroupAct::ChangeMember { member: user("bob"), role, muted_until })
}

fn change_profile() -> Command {
    let Profile { name, avatar, attributes } = crew();
    let change = ProfileChange {
        name: Some(name),
        avatar: Some(avatar),
        attributes: Some(attributes),
        join: Some(JoinPolicy::Open),
    };
    in_team(GroupAct::ChangeProfile(Box::new(change)))
}

fn leave(who: &str) -> Command {
    in_team(GroupAct::ChangeMembers { add: Vec::new(), remove: users(&[who]) })
}

fn team() -> Reply {
    let member = |id: &str, role, muted_until| Member { user: user(id), role, muted_until: Millis(muted_until) };
    Reply::Group(Box::new(GroupState {
        id: GroupId::new("team").expect("well formed"),
        owner: user("alice"),
        created: Millis(1_700_000_000_000),
        member_count: 3,
        members: vec![member("alice", Role::Owner, 0), member("bob", Role::Member, 1_700_000_000_000)],
        newest_seq: ConversationSeq(13),
        profile: GroupProfile { about: crew(), join: JoinPolicy::Open },
    }))
}

fn requests() -> Command {
    in_team(GroupAct::Requests { after: Some(user("alice")), limit: 2 })
}

fn waiting() -> Reply {
    let asked = |id: &str| JoinRequest { user: user(id), time: Millis(1_700_000_000_000) };
    Reply::JoinRequests(Box::new(JoinRequests { requests: vec![asked("bob"), asked("carol")], has_more: true }))
}

fn answer() -> Command {
    in_team(GroupAct::AnswerRequest { user: user("bob"), verdict: JoinVerdict::Approve })
}

fn bobs() -> Reply {
    Reply::Profile(Box::new(UserProfile { user: user("bob"), profile: crew() }))
}

#[test]
fn groups_and_profiles_in_binary_are_as_the_contract_has_them() {
    // "group info request", "group info response", "group info response that refuses"
    // "group members request", "group members response", "group members response that refuses"
    // "group member request", "group member response", "group member response that refuses"
    // "group profile request", "group profile response", "group profile response that refuses"
    // "group leave request", "group leave response", "group leave response that refuses"
    // "group join request", "group join response", "group join response that refuses"
    // "group requests request", "group requests response", "group requests response that refuses"
    // "group answer request", "group answer response", "group answer response that refuses"
    // "group dissolve request", "group dissolve response", "group dissolve response that refuses"
    // "profile request", "profile response", "profile response that refuses"
    // "set profile request", "set profile response", "set profile response that refuses"
    let vectors = Vectors::binary();
    let denied = Refusal::PermissionDenied;
    for (what, sequence, command, reply, refusal) in [
        ("group info", 14, show(), team(), denied),
        ("group members", 15, change_members(), Reply::Done, denied),
        ("group member", 16, change_member(), Reply::Done, Refusal::UserNotExist),
        ("group profile", 17, change_profile(), Reply::Done, denied),
        ("group leave", 18, leave("alice"), Reply::Done, denied),
        ("group join", 19, in_team(GroupAct::Join), Reply::Done, denied),
        ("group requests", 23, requests(), waiting(), denied),
        ("group answer", 24, answer(), Reply::Done, Refusal::UserNotExist),
        ("group dissolve", 20, in_team(GroupAct::Dissolve), Reply::Done, denied),
        ("profile", 21, Command::ShowProfile(user("bob")), bobs(), Refusal::UserNotExist),
        ("set profile", 22, Command::SetProfile(Box::new(crew())), Reply::Done, Refusal::MessageTooLarge),
    ] {
        let (mut client, _, _) = Client::welcomed("/ws", &vectors.one("auth request"));
        let named = |kind: &str| vectors.one(&format!("{what} {kind}"));
        // The response to a leave has a code of its own, though a leave is a change of members.
        let verb = if what == "group leave" { Verb::LeaveGroup } else { command.verb() };
        let tag = RequestTag::Sequence(sequence, verb);
        let expected = Some(Incoming::Request { tag: tag.clone(), command });
        assert_eq!(client.say(&named("request")), expected, "{what}");
        client.reply(&tag, &reply);
        client.reply(&tag, &Reply::Refused(refusal.into()));
        assert_eq!(client.heard(), [named("response"), named("response that refuses")], "{what}");
    }
}

#[test]
fn groups_and_profiles_in_json_rpc_are_as_the_contract_has_them() {
    // "group info request", "group info response", "group members request", "group member request",
    // "group profile request", "leave group request", "join group request", "dissolve group request",
    // "group requests request", "group requests response", "group answer request",
    // "profile request", "profile response", "set profile request"
    let vectors = Vectors::json_rpc();
    for (what, command, reply) in [
        ("group info", show(), Some(team())),
        ("group members", change_members(), None),
        ("group member", change_member(), None),
        ("group profile", change_profile(), None),
        ("leave group", leave("bob"), None),
        ("join group", in_team(GroupAct::Join), None),
        ("group requests", requests(), Some(waiting())),
        ("group answer", answer(), None),
        ("dissolve group", in_team(GroupAct::Dissolve), None),
        ("profile", Command::ShowProfile(user("bob")), Some(bobs())),
        ("set profile", Command::SetProfile(Box::new(crew())), None),
    ] {
        expect_exchange(&vectors, what, command, reply);
    }
}
