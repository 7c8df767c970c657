//! Conversations that users clear for themselves: on one, two and three shards, through restarts, checkpoints and erasure.

use crate::log::MemoryStorage;
use crate::model::{
    Clear, ClearExtent, Command, ConversationRef, ConversationSeq, Limits, MarkRead, Order, Recipient, Refusal, Reply,
    ShardId,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::*;

fn clear(conversation: ConversationRef, through: u64) -> Command {
    Command::Clear(Clear { conversation, through: ConversationSeq(through), extent: ClearExtent::History })
}

fn delete(conversation: ConversationRef) -> Command {
    let extent = ClearExtent::Conversation;
    Command::Clear(Clear { conversation, through: ConversationSeq(0), extent })
}

impl Cluster {
    fn say_to(&mut self, author: &str, id: &str, peer: &str) {
        self.say(author, id, Recipient::User(user(peer)));
    }

    /// What history shows the user.
    fn seen(&mut self, id: &str, conversation: &ConversationRef) -> Vec<String> {
        told(&self.history(id, conversation, 3))
    }

    /// The user's list: what stands last in each row, and how much is unread.
    fn listed(&mut self, id: &str) -> Vec<(Option<String>, u64)> {
        let rows = self.rows(id).into_iter();
        rows.map(|row| (row.last.map(|last| told(&[last]).remove(0)), row.unread)).collect()
    }
}

#[test]
fn who_clears_a_history_sees_what_comes_later_and_the_other_side_sees_everything() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        for (author, id, peer) in [("alice", "1", "bob"), ("bob", "2", "alice"), ("alice", "3", "bob")] {
            cluster.say_to(author, id, peer);
        }
        assert_eq!(cluster.ask("bob", clear(with("alice"), 2)), Reply::Done);
        assert_eq!(cluster.seen("bob", &with("alice")), ["3"]);
        assert_eq!(cluster.listed("bob"), [(Some("3".into()), 1)], "the third is unread");
        assert_eq!(cluster.ask("bob", clear(with("alice"), 99)), Reply::Done, "as far as it goes");
        for _round in 0..2 {
            assert_eq!(cluster.seen("bob", &with("alice")), [""; 0]);
            assert_eq!(cluster.listed("bob"), [(None, 0)], "the conversation stays");
            assert_eq!(told(&cluster.inbox("bob")), ["cleared through 2", "cleared through 3"]);
            assert_eq!(cluster.seen("alice", &with("bob")), ["1", "2", "3"]);
            assert_eq!(told(&cluster.inbox("alice")), ["1", "2", "3"], "and nobody tells her");
            cluster = cluster.restart(Windows::default());
        }
        for _again in 0..2 {
            assert_eq!(cluster.ask("bob", clear(with("alice"), 1)), Reply::Done, "never back");
        }
        cluster.say_to("alice", "4", "bob");
        assert_eq!(cluster.seen("bob", &with("alice")), ["4"]);
        assert_eq!(cluster.listed("bob"), [(Some("4".into()), 1)]);
        assert_eq!(told(&cluster.inbox("bob")).len(), 3, "what changes nothing tells nobody");
    }
}

#[test]
fn who_deletes_a_conversation_has_it_in_no_list_until_the_next_message() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.order(create("g", "alice", &["bob", "carol"]));
        cluster.say_in("alice", "in g", "g");
        cluster.say_to("carol", "hi", "bob");
        assert_eq!(cluster.ask("bob", delete(in_group("g"))), Reply::Done);
        for _round in 0..2 {
            assert_eq!(cluster.listed("bob"), [(Some("hi".into()), 1)]);
            assert_eq!(cluster.seen("bob", &in_group("g")), [""; 0]);
            assert_eq!(cluster.seen("carol", &in_group("g")), ["created alice bob carol", "in g"]);
            assert_eq!(told(&cluster.inbox("bob")), ["created alice bob carol", "hi", "deleted through 2"]);
            cluster = cluster.restart(Windows::default());
        }
        cluster.say_in("carol", "again", "g");
        assert_eq!(cluster.listed("bob"), [(Some("again".into()), 1), (Some("hi".into()), 1)]);
        assert_eq!(cluster.seen("bob", &in_group("g")), ["again"]);
        // Who has left may delete what is left.
        cluster.order(change("g", &[], &["bob"]));
        assert_eq!(cluster.ask("bob", delete(in_group("g"))), Reply::Done);
        assert_eq!(cluster.listed("bob"), [(Some("hi".into()), 1)]);
        assert_eq!(refusal(&cluster.ask("erin", delete(in_group("g")))), Some(Refusal::ConversationNotExist));
    }
}

#[test]
fn every_device_of_the_user_is_told_and_nobody_elses() {
    for shards in 1..=2 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.say_to("alice", "1", "bob");
        cluster.connect(1, "bob");
        cluster.connect(2, "bob");
        cluster.connect(3, "alice");
        cluster.outputs();
        cluster.perform(1, "bob", clear(with("alice"), 0));
        let pushed = cluster.outputs().into_iter().filter_map(|effect| match effect {
            Effect::Push { sessions, event: crate::model::Event::Entry(entry), .. } => Some((sessions, told(&[entry]))),
            _ => None,
        });
        let mut sessions: Vec<u64> = Vec::new();
        for (to, what) in pushed {
            assert_eq!(what, ["cleared through 1"]);
            sessions.extend(to.iter().map(|session| session.0));
        }
        sessions.sort_unstable();
        assert_eq!(sessions, [1, 2]);
    }
}

#[test]
fn a_checkpoint_keeps_what_is_cleared_and_an_erased_users_is_forgotten() {
    for shards in 1..=2 {
        let disks = (0..shards).map(|_| MemoryStorage::new(4_096, 64)).collect();
        let mut cluster = Cluster::on(Windows::default(), disks);
        for number in 0..4 {
            cluster.say_to("alice", &format!("{number}"), "bob");
        }
        assert_eq!(cluster.ask("bob", delete(with("alice"))), Reply::Done);
        // Whoever opens from the checkpoint reads nothing of what is before it.
        for number in 0..60 {
            cluster.say_to("carol", &format!("filler {number}"), "carol");
            cluster.say_to("bob", &format!("filler {number}"), "bob");
        }
        let made = |cluster: &mut Cluster, me: usize| {
            cluster.sync(me);
            let (settings, journal) = (cluster.settings(me), cluster.shards[me].journal());
            let through = journal.end().segment() - 1;
            survey(&settings, &[] as &[&[u8]], journal.storage(), through).expect("sound").bytes
        };
        let home = cluster.home("bob");
        assert!(cluster.shards[home].journal().end().segment() > 3, "a checkpoint is due");
        let mut checkpoints = vec![Vec::new(); shards];
        checkpoints[home].push(made(&mut cluster, home));
        let (disks, now) = (cluster.take_disks(), cluster.now);
        let mut cluster = Cluster::start(Windows::default(), Limits::default(), disks, checkpoints, now);
        cluster.settle();
        assert_eq!(cluster.seen("bob", &with("alice")), [""; 0]);
        assert_eq!(cluster.listed("bob").len(), 1, "only that with itself");
        assert_eq!(cluster.seen("alice", &with("bob")).len(), 4);
        let tables = |cluster: &Cluster| cluster.shards[home].state.tables.cleared.all().count();
        assert_eq!(tables(&cluster), 1);
        for me in 0..shards {
            let order = Order::EraseUser { shard: ShardId(me as u16), user: user("bob") };
            cluster.input(me, Input::Ordered { ticket: Ticket(900 + me as u64), order });
        }
        cluster.settle();
        assert_eq!(tables(&cluster), 0);
        assert!(!cluster.shards[home].state.tables.cleared.has_forgotten(), "and removed");
    }
}

#[test]
fn a_clearing_that_there_is_no_room_for_changes_nothing() {
    let mut cluster = Cluster::on(Windows::default(), vec![MemoryStorage::new(4_096, 1)]);
    let refused = |reply: &Reply| matches!(reply, Reply::Refused(refused) if refused.refusal == Refusal::StorageFull);
    let mut said = 0;
    while !refused(&cluster.say("alice", &format!("m{said}"), Recipient::User(user("bob")))) {
        said += 1;
    }
    let mark = |through| Command::MarkRead(MarkRead { conversation: with("alice"), through: ConversationSeq(through) });
    let mut marked = 0;
    while !refused(&cluster.ask("bob", mark(marked + 1))) {
        marked += 1;
    }
    let before = cluster.listed("bob");
    assert!(before[0].1 > 0, "something is unread");
    assert!(refused(&cluster.ask("bob", clear(with("alice"), 0))));
    assert_eq!(cluster.listed("bob"), before);
}
