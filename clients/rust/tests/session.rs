//! The session, one fault at a time.

mod common;

use common::fake_server::{Habits, Posted};
use common::rig::Rig;
use mushan_client::{Answer, Begin, Phase, RefusalKind, Request, Session, Target, Tuning};

fn ready_with(habits: Habits, tuning: Tuning, begin: Begin) -> Rig {
    let mut rig = Rig::with(habits, tuning, begin, 1);
    rig.start();
    rig.settle(1_000);
    assert_eq!(rig.session.phase(), Phase::Ready);
    rig
}

fn ready() -> Rig {
    ready_with(Habits::default(), Tuning::default(), Begin::Beginning)
}

fn post(rig: &mut Rig, count: usize) {
    for _ in 0..count {
        rig.server.post(Posted::Message);
    }
}

fn seqs(rig: &Rig) -> Vec<u64> {
    rig.taken.iter().map(|entry| entry.seq).collect()
}

#[test]
fn a_login_syncs_the_inbox_before_it_is_ready() {
    let mut rig = Rig::new(Habits::default());
    post(&mut rig, 450);
    rig.start();
    rig.settle(1_000);
    assert_eq!(rig.phases, [Phase::Connecting, Phase::Login, Phase::Resync, Phase::Ready]);
    assert_eq!((rig.taken.len(), rig.server.acknowledged), (450, 450));
}

#[test]
fn a_client_that_begins_with_the_newest_gets_no_history() {
    let mut rig = Rig::with(Habits { pushes_backlog: true, ..Habits::default() }, Tuning::default(), Begin::Newest, 1);
    rig.server.post(Posted::Message);
    rig.start();
    rig.settle(1_000);
    assert_eq!(seqs(&rig), [0; 0]);
    rig.server.post(Posted::Message);
    rig.settle(1_000);
    assert_eq!(seqs(&rig), [2]);
}

#[test]
fn a_client_that_begins_with_the_last_entries_gets_so_many_and_what_comes_then() {
    for pushes_backlog in [false, true] {
        for (last, first) in [(300, 151), (1_000, 1), (0, 451)] {
            let habits = Habits { pushes_backlog, ..Habits::default() };
            let mut rig = Rig::with(habits, Tuning::default(), Begin::Last(last), 1);
            post(&mut rig, 450);
            rig.start();
            rig.settle(1_000);
            assert_eq!(seqs(&rig), (first..=450).collect::<Vec<u64>>(), "{last}, {pushes_backlog}");
            post(&mut rig, 1);
            rig.settle(1_000);
            assert_eq!(rig.taken.last().map(|entry| entry.seq), Some(451));
        }
    }
}

#[test]
fn a_message_whose_answer_was_lost_is_recognised_and_is_not_written_again() {
    let mut rig = ready();
    let message = rig.say();
    rig.server.serve_one();
    rig.cut(1006);
    rig.settle(5_000);
    assert_eq!(
        (&rig.server.written_sends, &rig.sent, rig.told()),
        (&vec![message.clone()], &vec![message.clone()], vec![message])
    );
}

#[test]
fn a_message_that_did_not_arrive_is_written_again_under_its_id() {
    let mut rig = ready();
    let message = rig.say();
    rig.cut(1006);
    rig.settle(5_000);
    assert_eq!(rig.server.written_sends, [message]);
    assert_eq!((rig.server.newest(), rig.sent.len()), (1, 1));
}

#[test]
fn messages_that_were_queued_without_a_connection_are_sent_in_their_order() {
    let mut rig = Rig::new(Habits::default());
    rig.is_up = false;
    rig.start();
    let asked = [rig.say(), rig.say(), rig.say()];
    rig.settle(5_000);
    assert!(rig.sent.is_empty());
    rig.is_up = true;
    rig.settle(60_000);
    assert_eq!(rig.server.written_sends, asked);
    assert_eq!(rig.told(), asked);
}

#[test]
fn a_restart_of_the_application_loses_no_queued_message_and_repeats_no_entry() {
    let mut rig = ready();
    rig.server.post(Posted::Message);
    rig.settle(1_000);
    let message = rig.say();
    rig.server.serve_one();
    rig.crash();
    rig.settle(5_000);
    assert_eq!(rig.taken.len(), 2);
    assert_eq!((&rig.sent, &rig.server.written_sends), (&vec![message.clone()], &vec![message]));
}

#[test]
fn an_entry_that_the_application_has_not_finished_with_is_told_again_after_a_restart() {
    let mut rig = ready();
    rig.server.post(Posted::Message);
    rig.hear();
    assert_eq!(rig.untaken.len(), 1);
    rig.advance(1_000);
    assert_eq!(rig.server.acknowledged, 0);
    rig.crash();
    rig.settle(5_000);
    assert_eq!((seqs(&rig), rig.server.acknowledged), (vec![1], 1));
}

#[test]
fn a_slow_application_leaves_entries_at_the_server_and_still_sends() {
    let tuning = Tuning { entries_max: 10, page_entries: 5, ..Tuning::default() };
    let mut rig = Rig::with(Habits::default(), tuning, Begin::Beginning, 1);
    post(&mut rig, 100);
    rig.start();
    let message = rig.say();
    rig.settle_untaken(5_000);
    assert_eq!((rig.session.phase(), &rig.sent), (Phase::Ready, &vec![message]));
    post(&mut rig, 100);
    rig.settle_untaken(5_000);
    assert!(rig.untaken.len() <= 15, "{} wait", rig.untaken.len());
    rig.settle(5_000);
    assert_eq!(seqs(&rig), (1..=201).collect::<Vec<u64>>());
    assert_eq!(rig.server.acknowledged, 201);
}

#[test]
fn a_message_that_lies_behind_what_there_is_no_room_for_is_recognised_and_is_not_written_again() {
    let tuning = Tuning { entries_max: 5, page_entries: 5, ..Tuning::default() };
    let mut rig = ready_with(Habits::default(), tuning, Begin::Beginning);
    post(&mut rig, 50);
    let message = rig.say();
    rig.server.serve_one();
    rig.cut(1006);
    // The server would take a repetition for another message.
    rig.server.forget_ids();
    rig.settle_untaken(5_000);
    assert_eq!((rig.session.phase(), &rig.sent), (Phase::Ready, &vec![message.clone()]));
    assert_eq!(rig.server.written_sends, [message]);
    rig.settle(5_000);
    assert_eq!(seqs(&rig), (1..=51).collect::<Vec<u64>>());
}

#[test]
fn a_full_outbox_refuses_and_a_full_list_of_requests_does() {
    let tuning = Tuning { outbox_max: 2, requests_max: 1, ..Tuning::default() };
    let mut rig = Rig::with(Habits::default(), tuning, Begin::Beginning, 1);
    rig.is_up = false;
    rig.start();
    rig.say();
    rig.say();
    let one_more = mushan_client::Outgoing::new("c-3", Target::user("peer"), bytes::Bytes::new());
    let refused = rig.act(|session, now| session.send(one_more, now)).expect_err("it is full");
    assert_eq!(refused.kind, RefusalKind::Full);
    let ask = || Request::Revoke { conversation: Target::user("peer"), message_id: "1".to_owned() };
    assert!(rig.act(|session, now| session.request(ask(), now)).is_ok());
    assert_eq!(rig.act(|session, now| session.request(ask(), now)).expect_err("full").kind, RefusalKind::Full);
}

#[test]
fn an_entry_that_comes_too_early_waits_until_the_gap_is_read() {
    let mut rig = ready();
    rig.server.post(Posted::Message);
    rig.server.to_client.pop_front();
    rig.server.post(Posted::Message);
    rig.hear();
    assert!(rig.untaken.is_empty());
    rig.settle(1_000);
    assert_eq!(seqs(&rig), [1, 2]);
}

#[test]
fn entries_that_have_expired_leave_no_gap() {
    let mut rig = ready();
    rig.server.post(Posted::Message);
    rig.server.hide(1);
    rig.server.to_client.clear();
    rig.server.post(Posted::Message);
    rig.settle(1_000);
    assert_eq!((seqs(&rig), rig.server.acknowledged), (vec![2], 2));
}

#[test]
fn a_fact_without_a_seq_is_told_in_its_place_and_once() {
    let habits = Habits { pushes_facts_unplaced: true, ..Habits::default() };
    let mut rig = ready_with(habits, Tuning::default(), Begin::Beginning);
    rig.server.post(Posted::Receipt);
    rig.hear();
    rig.server.repeat(1);
    assert_eq!(rig.due(), 50);
    rig.settle(1_000);
    assert_eq!((seqs(&rig), rig.server.acknowledged), (vec![1], 1));
    rig.server.post(Posted::Message);
    rig.settle(1_000);
    assert_eq!(seqs(&rig), [1, 2]);
}

#[test]
fn a_fact_that_is_pushed_while_an_older_page_is_on_its_way_is_asked_for() {
    let habits = Habits { pushes_facts_unplaced: true, ..Habits::default() };
    let mut rig = ready_with(habits, Tuning::default(), Begin::Beginning);
    rig.server.post(Posted::Receipt);
    rig.hear();
    rig.advance(50);
    rig.server.serve_one();
    // The page has been read; the next fact overtakes it.
    rig.server.post(Posted::Revoked);
    let page = rig.server.to_client.pop_front().expect("the page");
    rig.server.to_client.push_back(page);
    rig.hear();
    rig.advance(60);
    rig.settle(1_000);
    assert_eq!(seqs(&rig), [1, 2]);
}

#[test]
fn another_epoch_reads_the_inbox_again_and_tells_what_was_told_no_second_time() {
    let mut rig = ready();
    post(&mut rig, 5);
    rig.settle(1_000);
    rig.server.restore(2);
    rig.act(|session, now| session.lost(1, 1006, "", now));
    rig.server.post(Posted::Message);
    rig.settle(5_000);
    assert_eq!((rig.taken.len(), rig.epochs), (6, 1));
}

#[test]
fn entries_of_an_epoch_that_is_over_say_nothing_of_the_place_in_the_next_one() {
    let mut rig = ready();
    post(&mut rig, 5);
    (0..5).for_each(|_| rig.hear());
    rig.server.restore(3);
    rig.act(|session, now| session.lost(1, 1006, "", now));
    post(&mut rig, 1);
    rig.settle_untaken(5_000);
    assert_eq!(rig.untaken.len(), 6);
    (0..5).for_each(|_| rig.take_one());
    assert_eq!(rig.session.save().through, Some(0), "the sixth is not finished with");
    rig.take_one();
    assert_eq!(rig.session.save().through, Some(3));
}

#[test]
fn a_server_that_has_less_than_this_client_is_read_again() {
    let mut rig = ready();
    post(&mut rig, 5);
    rig.settle(1_000);
    rig.server.inbox.truncate(3);
    rig.cut(1006);
    rig.server.post(Posted::Message);
    rig.settle(5_000);
    assert_eq!(rig.taken.len(), 6);
}

#[test]
fn a_message_that_is_refused_for_a_while_is_sent_later_and_one_that_is_refused_for_good_is_told() {
    let mut rig = ready();
    rig.server.refusals = 3;
    rig.say();
    rig.settle(20_000);
    assert_eq!(rig.sent.len(), 1);
    rig.server.denials = 1;
    let denied = rig.say();
    rig.settle(1_000);
    assert_eq!(rig.refused, [denied]);
    assert!(rig.session.save().outgoing.is_empty());
}

#[test]
fn pauses_grow_have_jitter_and_are_short_again_after_a_stable_connection() {
    let pauses = |seed| {
        let mut rig = Rig::with(Habits::default(), Tuning::default(), Begin::Beginning, seed);
        rig.is_up = false;
        rig.start();
        let pauses: Vec<u64> = (0..8)
            .map(|_| {
                rig.connect();
                let pause = rig.due();
                rig.advance(pause);
                pause
            })
            .collect();
        rig.is_up = true;
        rig.settle(30_000);
        rig.advance(10_000);
        rig.cut(1006);
        assert!((250..=500).contains(&rig.due()), "{}", rig.due());
        pauses
    };
    let (one, other) = (pauses(1), pauses(2));
    for (pause, bound) in one.iter().zip([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
        assert!((bound / 2..=bound).contains(pause), "{pause} of {bound}");
    }
    assert_ne!(one, other, "two clients do not come back together");
}

#[test]
fn a_server_without_room_is_not_asked_again_within_a_second() {
    let mut rig = ready();
    rig.cut(1013);
    assert!(rig.due() >= 1_000);
}

#[test]
fn a_silent_connection_is_tested_and_given_up() {
    let mut rig = ready();
    rig.advance(31_000);
    assert_eq!(rig.server.to_server.len(), 1);
    rig.server.to_server.clear();
    rig.advance(10_001);
    assert_eq!(rig.session.phase(), Phase::Waiting);
}

#[test]
fn a_message_without_an_answer_tests_the_connection_soon() {
    let mut rig = ready();
    rig.say();
    rig.server.to_server.clear();
    rig.advance(5_001);
    assert_eq!(rig.server.to_server.len(), 1);
    rig.server.to_server.clear();
    rig.advance(10_001);
    assert_eq!(rig.session.phase(), Phase::Waiting);
    rig.settle(10_000);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_session_that_was_replaced_or_disabled_does_not_come_back() {
    for code in [4004, 4008] {
        let mut rig = ready();
        rig.cut(code);
        assert_eq!((rig.session.phase(), rig.session.deadline()), (Phase::Ended, u64::MAX));
    }
}

#[test]
fn a_refused_token_is_asked_for_anew_and_not_for_ever() {
    let mut rig = ready();
    rig.cut(4007);
    for _failure in 0..2 {
        rig.advance(rig.due());
        assert_eq!((rig.session.phase(), rig.is_token_stale), (Phase::Connecting, true));
        rig.connect();
        rig.cut(4001);
    }
    assert_eq!(rig.session.phase(), Phase::Ended);
}

#[test]
fn a_request_is_asked_again_after_a_cut_and_fails_after_its_time() {
    let mut rig = ready();
    let ask = || Request::Revoke { conversation: Target::user("peer"), message_id: "1".to_owned() };
    let id = rig.act(|session, now| session.request(ask(), now)).expect("there is room");
    rig.cut(1006);
    rig.settle(5_000);
    assert_eq!(rig.answered.get(&id), Some(&Ok(Answer::Done)));
    rig.is_up = false;
    rig.cut(1006);
    let id = rig.act(|session, now| session.request(ask(), now)).expect("there is room");
    rig.settle(120_000);
    assert_eq!(rig.answered[&id].as_ref().expect_err("no answer").kind, RefusalKind::Timeout);
}

#[test]
fn a_stop_ends_everything_and_keeps_what_was_not_sent() {
    let mut rig = ready();
    rig.say();
    let ask = Request::Conversations { before_seq: 0, limit: 0 };
    let id = rig.act(|session, now| session.request(ask, now)).expect("there is room");
    rig.act(|session, _| Session::stop(session));
    assert_eq!(rig.answered[&id].as_ref().expect_err("no answer").kind, RefusalKind::Stopped);
    assert_eq!(rig.session.save().outgoing.len(), 1);
}

#[test]
fn watched_users_are_watched_again_after_a_cut() {
    let mut rig = ready();
    rig.act(|session, now| session.watch(vec!["bob".to_owned(), "carol".to_owned()], now));
    rig.act(|session, now| session.unwatch(vec!["carol".to_owned()], now));
    rig.settle(1_000);
    rig.server.subscriptions.clear();
    rig.cut(1006);
    rig.settle(5_000);
    assert_eq!(rig.server.subscriptions, [["bob"]]);
}
