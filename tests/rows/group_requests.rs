//! Groups that their members run themselves, and profiles: in both protocols and over the API, through kills and a
//! reshard.

use crate::common::binary::{BinaryClient, SUCCESS, command};
use crate::common::binary_fields::{Fields, encode, text};
use crate::world::{World, list};
use protobuf::reflect::ReflectValueBox;
use serde_json::{Value, json};

const DENIED: i64 = 102;
const UNTIL: i64 = 4_102_444_800_000;

/// Makes the request, and returns the error code.
async fn ask(client: &mut BinaryClient, code: i32, message: &str, fields: &[(&str, ReflectValueBox)]) -> i64 {
    let body = encode(message, &[&[("group_id", text("team"))], fields].concat());
    client.request(code, &body, "GroupChangeResponse").await.number("error_code")
}

async fn info(client: &mut BinaryClient, after: &str, limit: i32) -> Fields {
    let fields = [("group_id", text("team")), ("after", text(after)), ("limit", limit.into())];
    client.request(command::GROUP_INFO, &encode("GroupInfoRequest", &fields), "GroupInfoResponse").await
}

fn roles(info: &Fields) -> Vec<(String, String)> {
    info.list("members").iter().map(|member| (member.text("user_id"), member.text("role"))).collect()
}

/// What a user's inbox says of changes of groups: what, and by whom.
async fn changes(world: &World, user: &str) -> Vec<(String, String)> {
    let mut client = world.binary_on(user, "reader").await;
    let inbox = client.inbox().await;
    let change = |entry: &Fields| serde_json::from_slice::<Value>(&entry.bytes("content")).expect("JSON");
    let told = |change: Value| (change["change"].as_str().expect("a name").to_owned(), change["by"].to_string());
    inbox.iter().map(change).map(told).collect()
}

fn pair(what: &str, by: &str) -> (String, String) {
    (what.to_owned(), format!("\"{by}\""))
}

#[tokio::test]
async fn members_run_their_group_in_both_protocols_through_a_kill_and_a_reshard() {
    let mut world = World::new();
    world.group("team", &["bob", "carol"]).await;
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let admin = [("user_id", text("bob")), ("role", text("admin"))];
    assert_eq!(ask(&mut alice, command::GROUP_MEMBER, "GroupMemberRequest", &admin).await, SUCCESS);
    bob.result("groupMembers", json!({"groupId": "team", "add": ["dave", "erin"]})).await;
    bob.result("groupMember", json!({"groupId": "team", "userId": "dave", "mutedUntil": UNTIL})).await;
    let profile = json!({"groupId": "team", "name": "Crew", "avatar": "a.png", "attributes": {"colour": "red"}});
    bob.result("groupProfile", profile).await;
    assert_eq!(bob.refusal("groupProfile", json!({"groupId": "team", "name": "x".repeat(257)})).await, 1103);
    let erin = [("remove", text("erin"))];
    assert_eq!(ask(&mut alice, command::GROUP_MEMBERS, "GroupMembersRequest", &erin).await, SUCCESS);
    let mut carol = world.binary("carol").await;
    assert_eq!(ask(&mut carol, command::GROUP_MEMBERS, "GroupMembersRequest", &erin).await, DENIED);
    assert_eq!(ask(&mut carol, command::GROUP_LEAVE, "GroupRequest", &[]).await, SUCCESS);
    assert_eq!(ask(&mut alice, command::GROUP_LEAVE, "GroupRequest", &[]).await, 2, "the owner stays");
    assert_eq!(bob.refusal("dissolveGroup", json!({"groupId": "team"})).await, 1102);

    let told = [
        pair("created", "alice"),
        pair("changed", "alice"),
        pair("added", "bob"),
        pair("changed", "bob"),
        pair("profile", "bob"),
        pair("removed", "alice"),
        pair("removed", "carol"),
    ];
    world.settle("bob", 7).await;
    world.kill_and_start();
    assert_eq!(changes(&world, "bob").await, told);
    world.settle("dave", 5).await;
    assert_eq!(changes(&world, "dave").await, told[2..]);
    for after_reshard in [false, true] {
        if after_reshard {
            world.reshard(3);
        }
        let mut bob = world.rpc("bob").await;
        let shown = bob.result("groupInfo", json!({"groupId": "team", "limit": 2})).await;
        assert_eq!(
            (&shown["name"], &shown["avatar"], &shown["join"]),
            (&json!("Crew"), &json!("a.png"), &json!("closed"))
        );
        assert_eq!((&shown["attributes"], &shown["memberCount"]), (&json!({"colour": "red"}), &json!(3)));
        let members: Vec<&Value> = list(&shown, "members").iter().map(|member| &member["userId"]).collect();
        assert_eq!(members, ["alice", "bob"]);
        let mut alice = world.binary("alice").await;
        let rest = info(&mut alice, "bob", 10).await;
        assert_eq!(roles(&rest), [("dave".to_owned(), "member".to_owned())]);
        assert_eq!(rest.list("members")[0].number("muted_until"), UNTIL);
        assert_eq!(rest.message("profile").expect("one").text("name"), "Crew");
        let seen = world.api().get("/v1/groups/team").json();
        assert_eq!((&seen["name"], &seen["attributes"]), (&json!("Crew"), &json!({"colour": "red"})));
    }
    let mut bob = world.rpc("bob").await;
    assert_eq!(bob.refusal("groupInfo", json!({"groupId": "nowhere"})).await, 1101);
    let mut carol = world.rpc("carol").await;
    assert_eq!(carol.refusal("groupInfo", json!({"groupId": "team"})).await, 1102, "who has left");
    let mut alice = world.binary("alice").await;
    let owner = [("user_id", text("bob")), ("role", text("owner"))];
    assert_eq!(ask(&mut alice, command::GROUP_MEMBER, "GroupMemberRequest", &owner).await, SUCCESS);
    assert_eq!(ask(&mut alice, command::GROUP_DISSOLVE, "GroupRequest", &[]).await, DENIED);
    bob.result("dissolveGroup", json!({"groupId": "team"})).await;
    assert_eq!(world.api().get("/v1/groups/team").status, 404);
}

#[tokio::test]
async fn who_asks_is_let_into_an_open_group_and_the_operator_says_which_are() {
    let world = World::new();
    world.group("team", &["bob"]).await;
    let (mut carol, mut dave) = (world.binary("carol").await, world.rpc("dave").await);
    assert_eq!(ask(&mut carol, command::GROUP_JOIN, "GroupRequest", &[]).await, DENIED);
    let change = |body: Value| world.api().ask("PATCH", "/v1/groups/team", &body.to_string()).status;
    assert_eq!(change(json!({"join": "open", "name": "Everybody"})), 200);
    assert_eq!(ask(&mut carol, command::GROUP_JOIN, "GroupRequest", &[]).await, SUCCESS);
    dave.result("joinGroup", json!({"groupId": "team"})).await;
    dave.result("joinGroup", json!({"groupId": "team"})).await;
    assert_eq!(roles(&info(&mut carol, "", 0).await).len(), 4);
    assert_eq!(change(json!({"join": "closed"})), 200);
    let mut erin = world.rpc("erin").await;
    assert_eq!(erin.refusal("joinGroup", json!({"groupId": "team"})).await, 1102);
    for (body, status) in [
        (json!({}), 400),
        (json!({"join": "ajar"}), 400),
        (json!({"name": "a\nb"}), 400),
        (json!({"name": "x".repeat(257)}), 413),
        (json!({"attributes": {"k": "x".repeat(4_096)}}), 413),
        (json!({"attributes": {"k": 1}}), 400),
    ] {
        assert_eq!(change(body.clone()), status, "{body}");
    }
    assert_eq!(world.api().ask("PATCH", "/v1/groups/nowhere", r#"{"name":"x"}"#).status, 404);
    assert_eq!(world.api().get("/v1/groups/team").json()["name"], "Everybody");
}

#[tokio::test]
async fn a_user_has_a_profile_for_those_whom_it_has_not_blocked() {
    let mut world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    bob.result("setProfile", json!({"name": "Bob", "attributes": {"k": "v"}})).await;
    let shown = async |client: &mut BinaryClient, of: &str| {
        let body = encode("ProfileRequest", &[("user_id", text(of))]);
        let answer = client.request(command::PROFILE, &body, "ProfileResponse").await;
        (answer.number("error_code"), answer.message("profile").map(|profile| profile.text("name")))
    };
    assert_eq!(shown(&mut alice, "bob").await, (SUCCESS, Some("Bob".to_owned())));
    assert_eq!(shown(&mut alice, "nobody").await, (SUCCESS, Some(String::new())));
    let body = json!({"name": "Al", "avatar": "https://example.org/al.png"}).to_string();
    assert_eq!(world.api().ask("PUT", "/v1/users/alice/profile", &body).status, 200);
    world.kill_and_start();
    world.reshard(3);
    let mut bob = world.rpc("bob").await;
    let seen = bob.result("profile", json!({"userId": "alice"})).await;
    assert_eq!((&seen["name"], &seen["avatar"]), (&json!("Al"), &json!("https://example.org/al.png")));
    let seen = world.api().get("/v1/users/bob/profile").json();
    assert_eq!(seen, json!({"name": "Bob", "avatar": "", "attributes": {"k": "v"}}));
    world.order("PUT", "/v1/users/bob/blocks/alice");
    let mut alice = world.binary("alice").await;
    assert_eq!(shown(&mut alice, "bob").await.0, DENIED);
    bob.result("profile", json!({"userId": "alice"})).await;
    bob.result("setProfile", json!({})).await;
    assert_eq!(world.api().get("/v1/users/bob/profile").json()["name"], "");
}

/// Who has asked to join, as the owner's binary client sees it.
async fn waiting(client: &mut BinaryClient) -> Vec<String> {
    let body = encode("GroupRequestsRequest", &[("group_id", text("team"))]);
    let page = client.request(command::GROUP_REQUESTS, &body, "GroupRequestsResponse").await;
    page.list("requests").iter().map(|request| request.text("user_id")).collect()
}

#[tokio::test]
async fn who_asks_to_join_waits_for_an_answer_through_a_kill_and_a_reshard() {
    let mut world = World::new();
    world.group("team", &["bob"]).await;
    let change = |world: &World, body: Value| world.api().ask("PATCH", "/v1/groups/team", &body.to_string()).status;
    assert_eq!(change(&world, json!({"join": "request"})), 200);
    let (mut carol, mut dave) = (world.binary("carol").await, world.rpc("dave").await);
    let mut carols_other = world.rpc_on("carol", "other").await;
    assert_eq!(ask(&mut carol, command::GROUP_JOIN, "GroupRequest", &[]).await, SUCCESS);
    let told = carols_other.next("group").await;
    assert_eq!(
        (&told["change"], &told["group"], &told["by"]),
        (&json!("joinRequested"), &json!("team"), &json!("carol"))
    );
    for asker in ["erin", "finn", "gwen"] {
        world.rpc(asker).await.result("joinGroup", json!({"groupId": "team"})).await;
    }
    dave.result("joinGroup", json!({"groupId": "team"})).await;
    world.kill_and_start();
    world.reshard(3);
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    assert_eq!(waiting(&mut alice).await, ["carol", "dave", "erin", "finn", "gwen"]);
    let page = world.api().get("/v1/groups/team/requests?limit=2").json();
    let users: Vec<&Value> = list(&page, "requests").iter().map(|request| &request["user"]).collect();
    assert_eq!((users, &page["next"]), (vec![&json!("carol"), &json!("dave")], &json!("dave")));
    let rest = world.api().get("/v1/groups/team/requests?after=dave").json();
    assert_eq!((list(&rest, "requests").len(), &rest["next"]), (3, &Value::Null));

    for (method, params) in [
        ("groupRequests", json!({"groupId": "team"})),
        ("groupAnswer", json!({"groupId": "team", "userId": "carol", "answer": "approve"})),
    ] {
        assert_eq!(bob.refusal(method, params).await, 1102, "a member who is no admin");
    }
    let verdict = |who: &str| [("user_id", text(who)), ("answer", text("decline"))];
    let answer = "GroupAnswerRequest";
    assert_eq!(ask(&mut alice, command::GROUP_ANSWER, answer, &verdict("carol")).await, SUCCESS);
    assert_eq!(ask(&mut alice, command::GROUP_ANSWER, answer, &verdict("carol")).await, 103, "it is answered");
    world.change_member("team", "bob", &json!({"role": "admin"}));
    let page = bob.result("groupRequests", json!({"groupId": "team", "after": "dave", "limit": 1})).await;
    assert_eq!((&list(&page, "requests")[0]["userId"], &page["hasMore"]), (&json!("erin"), &json!(true)));
    bob.result("groupAnswer", json!({"groupId": "team", "userId": "dave", "answer": "approve"})).await;
    let no = json!({"groupId": "team", "userId": "zoe", "answer": "approve"});
    assert_eq!(bob.refusal("groupAnswer", no).await, 1100);
    assert_eq!(bob.refusal("groupAnswer", json!({"groupId": "team", "userId": "erin"})).await, -32602);
    let post = |user: &str, body: Value| {
        world.api().ask("POST", &format!("/v1/groups/team/requests/{user}"), &body.to_string()).status
    };
    assert_eq!(post("erin", json!({"answer": "approve"})), 200);
    assert_eq!(post("finn", json!({"answer": "decline"})), 200);
    assert_eq!(post("finn", json!({"answer": "decline"})), 404);
    assert_eq!(post("gwen", json!({"answer": "maybe"})), 400);
    assert_eq!(roles(&info(&mut alice, "", 0).await).len(), 4);
    let told = [pair("joinRequested", "carol"), pair("joinDeclined", "alice")];
    world.settle("carol", 2).await;
    assert_eq!(changes(&world, "carol").await, told);
    world.settle("dave", 2).await;
    assert_eq!(changes(&world, "dave").await[..2], [pair("joinRequested", "dave"), pair("added", "bob")]);
    world.kill_and_start();
    let mut alice = world.binary("alice").await;
    assert_eq!(waiting(&mut alice).await, ["gwen"]);
    assert_eq!(changes(&world, "carol").await, told);
}

#[tokio::test]
async fn nobody_is_in_more_groups_than_it_may_be_and_each_protocol_says_so() {
    let world = World::with_limits("groups_per_user_max = 2");
    for id in ["one", "two"] {
        world.group(id, &["bob"]).await;
    }
    let body = json!({"id": "team", "owner": "carol", "members": ["bob"]});
    let refused = world.api().ask("POST", "/v1/groups", &body.to_string());
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("too_many_groups")));
    let body = json!({"id": "team", "owner": "carol", "members": ["dave"]});
    assert_eq!(world.api().ask("POST", "/v1/groups", &body.to_string()).status, 201);
    let (mut carol, mut bob) = (world.binary("carol").await, world.rpc("bob").await);
    let add = [("add", text("bob"))];
    assert_eq!(ask(&mut carol, command::GROUP_MEMBERS, "GroupMembersRequest", &add).await, 2);
    assert_eq!(world.api().ask("PATCH", "/v1/groups/team", r#"{"join":"open"}"#).status, 200);
    assert_eq!(bob.refusal("joinGroup", json!({"groupId": "team"})).await, -32602);
    bob.result("leaveGroup", json!({"groupId": "one"})).await;
    world.settle("bob", 3).await;
    bob.result("joinGroup", json!({"groupId": "team"})).await;
}
