//! Users who ask to join a group: on one, two and three shards, over restarts and from checkpoints.

use crate::model::{
    Answer, Command, Entry, GroupAct, GroupRequest, JoinPolicy, JoinRequest, JoinVerdict, Limits, Millis, Moment,
    Order, ProfileChange, Refusal, Reply, Role,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::*;

const NO: Option<Refusal> = Some(Refusal::PermissionDenied);

fn asked(act: GroupAct) -> Command {
    Command::Group(Box::new(GroupRequest { group: group("g"), act }))
}

fn join() -> Command {
    asked(GroupAct::Join)
}

fn verdict(of: &str, verdict: JoinVerdict) -> Command {
    asked(GroupAct::AnswerRequest { user: user(of), verdict })
}

fn approve(of: &str) -> Command {
    verdict(of, JoinVerdict::Approve)
}

fn decline(of: &str) -> Command {
    verdict(of, JoinVerdict::Decline)
}

fn policy(join: JoinPolicy) -> Command {
    let change = ProfileChange { join: Some(join), ..ProfileChange::default() };
    asked(GroupAct::ChangeProfile(Box::new(change)))
}

impl Cluster {
    fn tell(&mut self, who: &str, command: Command) -> Option<Refusal> {
        match self.ask(who, command) {
            Reply::Done => None,
            Reply::Refused(refused) => Some(refused.refusal),
            other => panic!("it is done or refused, not {other:?}"),
        }
    }

    /// Who waits, as that user is told.
    fn waiting(&mut self, who: &str) -> Vec<String> {
        let act = GroupAct::Requests { after: None, limit: 100 };
        let Reply::JoinRequests(page) = self.ask(who, asked(act)) else { panic!("a page") };
        assert!(!page.has_more);
        page.requests.into_iter().map(|request| request.user.to_string()).collect()
    }

    /// A group of Alice and Bob that is joined by request; Bob is an admin.
    fn by_request(shards: usize, limits: Limits) -> Self {
        let disks = (0..shards).map(|_| crate::log::MemoryStorage::new(4 << 10, 64)).collect();
        let mut cluster = Self::start(Windows::default(), limits, disks, vec![Vec::new(); shards], NOW);
        cluster.settle();
        cluster.order(create("g", "alice", &["bob"]));
        let (member, role) = (user("bob"), Some(Role::Admin));
        cluster.order(Order::ChangeMember { group: group("g"), member, role, muted_until: None });
        assert_eq!(cluster.tell("bob", policy(JoinPolicy::Request)), None);
        cluster
    }

    /// Starts again from checkpoints of all segments but the last.
    fn resumed(mut self) -> Self {
        for number in 0..20 {
            self.ask("alice", message(&format!("m{number}"), "bob", &"x".repeat(1_000)));
        }
        let made = |cluster: &mut Self, me: usize| {
            cluster.sync(me);
            let journal = cluster.shards[me].journal();
            let through = journal.end().segment() - 1;
            assert!(through > journal.segments().start);
            let made = survey(&cluster.settings(me), &Vec::<Vec<u8>>::new(), journal.storage(), through);
            vec![made.expect("it is sound").bytes]
        };
        let checkpoints = (0..self.shards.len()).map(|me| made(&mut self, me)).collect();
        let disks = self.take_disks();
        let mut cluster = Self::start(Windows::default(), Limits::default(), disks, checkpoints, NOW);
        cluster.settle();
        cluster
    }
}

/// Without the group's creation and what made it one that is joined by request.
fn told_later(inbox: &[Entry]) -> Vec<String> {
    told(inbox).into_iter().filter(|what| !what.starts_with("profile")).collect()
}

#[test]
fn a_request_is_listed_and_answered_and_only_its_user_is_told() {
    for shards in 1..=3 {
        let mut cluster = Cluster::by_request(shards, Limits::default());
        for asker in ["carol", "dave", "erin"] {
            assert_eq!(cluster.tell(asker, join()), None);
            assert_eq!(cluster.tell(asker, join()), None, "asking again changes nothing");
        }
        let mut cluster = cluster.restart(Windows::default());
        assert_eq!(cluster.waiting("bob"), ["carol", "dave", "erin"]);
        assert_eq!(cluster.show("g").expect("it is there").member_count, 2);
        assert_eq!(cluster.tell("bob", decline("carol")), None);
        assert_eq!(cluster.tell("alice", approve("dave")), None);
        for answered in ["carol", "dave"] {
            let again = cluster.tell("bob", decline(answered));
            assert_eq!(again, Some(Refusal::UserNotExist), "{answered} is answered");
        }
        assert_eq!(cluster.tell("bob", approve("dave")), None, "it is a member already");
        for _start in 0..2 {
            assert_eq!(cluster.waiting("alice"), ["erin"]);
            assert_eq!(told(&cluster.inbox("carol")), ["carol asked", "carol declined by bob"]);
            assert_eq!(told(&cluster.inbox("dave")), ["dave asked", "added dave"]);
            assert_eq!(told(&cluster.inbox("erin")), ["erin asked"]);
            let group = told_later(&cluster.inbox("alice"));
            assert_eq!(group, ["created alice bob", "changed bob", "added dave"], "members hear of no request");
            cluster = cluster.restart(Windows::default());
        }
        assert_eq!(cluster.tell("carol", join()), None, "who was declined asks again");
        let order = |user_id: &str, verdict| Order::AnswerRequest { group: group("g"), user: user(user_id), verdict };
        assert_eq!(cluster.order(order("carol", JoinVerdict::Approve)), Answer::Done);
        assert_eq!(cluster.order(order("carol", JoinVerdict::Approve)), Answer::Unchanged);
        assert_eq!(cluster.order(order("erin", JoinVerdict::Decline)), Answer::Done);
        assert_eq!(told(&cluster.inbox("erin")), ["erin asked", "erin declined by alice"], "in the owner's name");
        let page = cluster.order(Order::ShowRequests { group: group("g"), after: None, limit: 9 });
        assert_eq!(page, Answer::JoinRequests(Box::default()));
        let seqs: Vec<u64> = cluster.inbox("carol").iter().map(|entry| entry.seq.0).collect();
        assert_eq!(seqs, [1, 2, 3, 4], "a hole in an inbox is a bug");
    }
}

#[test]
fn only_the_owner_and_admins_list_and_answer() {
    for shards in 1..=2 {
        let mut cluster = Cluster::by_request(shards, Limits::default());
        cluster.order(change("g", &["carol"], &[]));
        assert_eq!(cluster.tell("dave", join()), None);
        let list = || asked(GroupAct::Requests { after: None, limit: 9 });
        for who in ["carol", "dave", "zoe"] {
            assert_eq!(refusal(&cluster.ask(who, list())), NO);
            assert_eq!(cluster.tell(who, approve("dave")), NO);
            assert_eq!(cluster.tell(who, decline("dave")), NO);
        }
        assert_eq!(cluster.tell("bob", approve("zoe")), Some(Refusal::UserNotExist));
        assert_eq!(cluster.waiting("bob"), ["dave"]);
        assert_eq!(cluster.tell("bob", policy(JoinPolicy::Closed)), None);
        assert_eq!(cluster.tell("zoe", join()), NO);
        assert_eq!(cluster.tell("bob", approve("dave")), None, "it asked while it could");
    }
}

#[test]
fn requests_outlive_checkpoints_and_end_with_the_group_or_the_membership() {
    for shards in 1..=2 {
        let mut cluster = Cluster::by_request(shards, Limits::default());
        for asker in ["carol", "dave", "erin"] {
            cluster.tell(asker, join());
        }
        let mut cluster = cluster.resumed();
        assert_eq!(cluster.waiting("alice"), ["carol", "dave", "erin"]);
        cluster.order(change("g", &["carol"], &[]));
        cluster.order(change("g", &[], &["carol"]));
        assert_eq!(cluster.waiting("alice"), ["dave", "erin"], "who was added and removed asks anew");
        cluster.order(Order::DissolveGroup { group: group("g") });
        cluster.order(create("g", "carol", &[]));
        assert_eq!(cluster.waiting("carol"), Vec::<String>::new(), "it is another group");
        let bytes = cluster.shards.iter().map(|shard| shard.state.groups.rosters.requests.bytes()).sum::<u64>();
        assert_eq!(bytes, 0);
    }
}

#[test]
fn a_group_keeps_so_many_requests_and_none_for_longer_than_thirty_days() {
    let limits = Limits { group_requests_max: 2, group_members_max: 3, ..Limits::default() };
    let mut cluster = Cluster::by_request(2, limits);
    assert_eq!((cluster.tell("carol", join()), cluster.tell("dave", join())), (None, None));
    assert_eq!(cluster.tell("erin", join()), Some(Refusal::TooManyJoinRequests));
    assert_eq!(cluster.tell("carol", join()), None, "it has asked");
    assert_eq!(cluster.tell("bob", approve("carol")), None);
    assert_eq!(cluster.tell("bob", approve("dave")), Some(Refusal::GroupFull));
    assert_eq!(cluster.waiting("bob"), ["dave"], "a refused approval changes nothing");
    let later = cluster.now.wall.0 + JoinRequest::EXPIRES_AFTER_MS;
    cluster.now = Moment { wall: Millis(later - 1), ..cluster.now };
    assert_eq!(cluster.waiting("bob"), ["dave"]);
    cluster.now = Moment { wall: Millis(later + 1), ..cluster.now };
    assert_eq!(cluster.waiting("bob"), Vec::<String>::new());
    assert_eq!(cluster.tell("bob", decline("dave")), Some(Refusal::UserNotExist), "it has expired");
    assert_eq!(cluster.tell("dave", join()), None, "and asks again");
    assert_eq!(cluster.waiting("bob"), ["dave"]);
}
