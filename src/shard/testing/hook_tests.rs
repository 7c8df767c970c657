//! The operator's hook: what it is asked about, what its answers do, and what waits for them.

use crate::model::{
    AccountState, Annotations, Answer, Authority, ChunkPhase, Command, Denial, DenialCode, Entry, HeaderFlags,
    HookPolicy, HookVerdict, OnHookFailure, Order, Refusal, Replacement, Reply, Send, SendKind, SendKinds, SessionId,
    StreamChunk,
};
use crate::shard::testing::duo::{ALICE, BOB, Duo, chunk_of, message, noted, refusal, send, user};
use crate::shard::*;

const ALICES: u64 = 1;
const ALICES_OTHER: u64 = 2;
const BOBS: u64 = 3;

fn hooked(asked: SendKinds, on_failure: OnHookFailure) -> Duo {
    let mut duo = Duo::with(|settings| settings.policies.hook = HookPolicy { asked, on_failure });
    log_in(&mut duo);
    duo
}

fn log_in(duo: &mut Duo) {
    duo.connect(ALICES, ALICE, "phone", CatchUp::Sync);
    duo.connect(ALICES_OTHER, ALICE, "desk", CatchUp::Sync);
    duo.connect(BOBS, BOB, "phone", CatchUp::Sync);
    duo.outputs();
}

fn duo() -> Duo {
    hooked(SendKinds::OF_CLIENTS, OnHookFailure::Closed)
}

/// Takes the questions out of the outputs.
fn questions(duo: &mut Duo) -> Vec<HookQuestion> {
    let (questions, rest): (Vec<_>, Vec<_>) =
        duo.outputs().into_iter().partition(|effect| matches!(effect, Effect::External(ExternalEffect::AskHook(_))));
    duo.keep(rest, 0);
    let question = |effect| match effect {
        Effect::External(ExternalEffect::AskHook(question)) => Some(*question),
        _ => None,
    };
    questions.into_iter().filter_map(question).collect()
}

fn question(duo: &mut Duo) -> HookQuestion {
    let mut asked = questions(duo);
    assert_eq!(asked.len(), 1, "one question: {asked:?}");
    asked.remove(0)
}

/// Alice has sent this message to bob, and its question is out.
fn asked_about(id: &str) -> (Duo, HookQuestion) {
    let mut duo = duo();
    duo.request(ALICES, ALICE, message(id, BOB));
    let question = question(&mut duo);
    (duo, question)
}

fn answer(duo: &mut Duo, question: &HookQuestion, verdict: HookVerdict) {
    let ticket = question.ticket.clone();
    duo.input(Duo::home(question.author().as_str()), Input::HookAnswered { ticket, verdict });
    duo.settle();
}

fn denied() -> Box<Denial> {
    let code = DenialCode::new(150).expect("in range");
    Box::new(Denial { code, text: "not here".into() })
}

fn replaced(content: &str) -> HookVerdict {
    let content = content.as_bytes().to_vec().into();
    HookVerdict::Replaced(Box::new(Replacement { content, message_type: Some(4), extra: None }))
}

fn contents(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.message.content).into_owned()).collect()
}

fn said(duo: &mut Duo, id: &str) -> Vec<String> {
    let inbox = duo.inbox(id);
    contents(&inbox)
}

#[test]
fn a_message_is_sent_when_the_hook_allows_it_and_not_before() {
    let mut duo = duo();
    duo.perform(ALICES, ALICE, message("a", BOB));
    let asked = question(&mut duo);
    assert_eq!((asked.author().as_str(), asked.kind), (ALICE, SendKind::Stored));
    assert_eq!(asked.send, send("a", BOB));
    assert!(duo.replies(ALICES).is_empty() && said(&mut duo, BOB).is_empty());
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert!(matches!(duo.replies(ALICES)[..], [Reply::Sent { .. }]));
    assert_eq!(said(&mut duo, BOB), ["a"]);
}

#[test]
fn a_denial_reaches_the_author_with_its_code_and_text_and_nothing_is_stored() {
    let (mut duo, asked) = asked_about("a");
    answer(&mut duo, &asked, HookVerdict::Denied(denied()));
    assert_eq!(duo.replies(ALICES), [Reply::Denied(denied())]);
    assert!(said(&mut duo, BOB).is_empty() && said(&mut duo, ALICE).is_empty());
}

#[test]
fn without_an_answer_a_message_is_accepted_or_refused_as_the_operator_chose() {
    for (on_failure, expected) in [(OnHookFailure::Open, None), (OnHookFailure::Closed, Some(Refusal::HookFailed))] {
        let mut duo = hooked(SendKinds::OF_CLIENTS, on_failure);
        duo.request(ALICES, ALICE, message("a", BOB));
        let asked = question(&mut duo);
        answer(&mut duo, &asked, HookVerdict::Failed);
        assert_eq!(duo.replies(ALICES).iter().map(refusal).collect::<Vec<_>>(), [expected]);
        assert_eq!(said(&mut duo, BOB).len(), usize::from(expected.is_none()));
    }
}

#[test]
fn a_replaced_message_is_read_by_all_and_what_the_author_sent_repeats_it_also_after_a_restart() {
    let mut duo = duo();
    duo.request(
        ALICES,
        ALICE,
        noted("a", BOB, Annotations { message_key: Some("k".into()), ..Annotations::default() }),
    );
    let asked = question(&mut duo);
    answer(&mut duo, &asked, replaced("b"));
    let first = duo.replies(ALICES);
    assert!(matches!(first[..], [Reply::Sent { .. }]));
    let mut duo = {
        let again = noted("a", BOB, Annotations { message_key: Some("k".into()), ..Annotations::default() });
        assert_eq!([duo.ask(ALICES, ALICE, again)], first[..]);
        assert!(questions(&mut duo).is_empty(), "a known repetition is not asked about");
        duo.restart()
    };
    log_in(&mut duo);
    assert_eq!([duo.ask(ALICES, ALICE, message("a", BOB))], first[..]);
    assert!(questions(&mut duo).is_empty());
    for reader in [ALICE, BOB] {
        let inbox = duo.inbox(reader);
        assert_eq!(contents(&inbox), ["b"]);
        let message = &inbox[0].message;
        let key = message.annotations.as_ref().and_then(|notes| notes.message_key.as_ref());
        assert_eq!((message.message_type, key), (4, None), "no key proves what the author did not send");
    }
}

#[test]
fn a_repetition_of_a_replaced_message_that_is_under_way_waits_for_its_answer() {
    let mut duo = duo();
    // The conversation belongs to the smaller id's shard, which is alice's own; bob's is not: bob writes.
    duo.request(BOBS, BOB, message("a", ALICE));
    let asked = question(&mut duo);
    let ticket = asked.ticket.clone();
    duo.input(Duo::home(BOB), Input::HookAnswered { ticket, verdict: replaced("b") });
    duo.perform(BOBS, BOB, message("a", ALICE));
    assert!(questions(&mut duo).is_empty());
    let replies = duo.replies(BOBS);
    assert!(replies.len() == 2 && replies[0] == replies[1], "{replies:?}");
    assert_eq!(said(&mut duo, ALICE), ["b"]);
}

#[test]
fn later_sends_of_the_author_wait_in_order_and_pause_their_sessions() {
    let (mut duo, first) = asked_about("1");
    duo.request(ALICES, ALICE, message("2", BOB));
    duo.request(ALICES_OTHER, ALICE, message("3", "carol"));
    for session in [ALICES, ALICES_OTHER].map(SessionId) {
        assert!(duo.has_heard(&Effect::Pause { session }));
    }
    duo.settle();
    assert!(questions(&mut duo).is_empty(), "one question at a time");
    answer(&mut duo, &first, HookVerdict::Allowed);
    let second = question(&mut duo);
    assert_eq!(second.send, send("2", BOB));
    assert!(duo.has_heard(&Effect::Resume { session: SessionId(ALICES) }));
    assert!(!duo.has_heard(&Effect::Resume { session: SessionId(ALICES_OTHER) }), "its send still waits");
    answer(&mut duo, &second, HookVerdict::Denied(denied()));
    let third = question(&mut duo);
    assert_eq!(third.send, send("3", "carol"));
    answer(&mut duo, &third, HookVerdict::Allowed);
    assert_eq!(said(&mut duo, ALICE), ["1", "3"]);
    assert!(duo.shards.iter().all(|shard| shard.is_settled()));
}

#[test]
fn nobody_waits_for_an_answer_about_somebody_else() {
    let (mut duo, _) = asked_about("a");
    duo.request(BOBS, BOB, message("b", ALICE));
    let bobs = question(&mut duo);
    answer(&mut duo, &bobs, HookVerdict::Allowed);
    assert!(matches!(duo.replies(BOBS)[..], [Reply::Sent { .. }]));
    assert_eq!(said(&mut duo, ALICE), ["b"]);
    assert!(!duo.shards[Duo::home(ALICE)].is_settled(), "a question is open");
}

#[test]
fn what_is_no_send_does_not_wait() {
    let (mut duo, _) = asked_about("a");
    assert!(duo.inbox(ALICE).is_empty(), "a sync is answered");
}

#[test]
fn a_repetition_waits_with_its_first_and_has_its_answer() {
    let (mut duo, asked) = asked_about("a");
    duo.request(ALICES_OTHER, ALICE, message("a", BOB));
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert_eq!(duo.replies(ALICES), duo.replies(ALICES_OTHER));
    duo.request(ALICES, ALICE, message("b", BOB));
    let asked = question(&mut duo);
    duo.request(ALICES_OTHER, ALICE, message("b", BOB));
    answer(&mut duo, &asked, HookVerdict::Denied(denied()));
    assert_eq!(duo.replies(ALICES), [Reply::Denied(denied())]);
    assert_eq!(duo.replies(ALICES_OTHER), [Reply::Denied(denied())]);
    assert!(duo.has_heard(&Effect::Resume { session: SessionId(ALICES_OTHER) }));
    assert!(questions(&mut duo).is_empty());
    assert_eq!(said(&mut duo, BOB), ["a"]);
}

#[test]
fn a_message_whose_session_has_ended_is_sent_and_what_waited_behind_it_is_not() {
    let (mut duo, asked) = asked_about("1");
    duo.request(ALICES, ALICE, message("2", BOB));
    duo.request(ALICES_OTHER, ALICE, message("3", BOB));
    duo.close(ALICES, ALICE);
    answer(&mut duo, &asked, HookVerdict::Allowed);
    let next = question(&mut duo);
    assert_eq!(next.send, send("3", BOB));
    answer(&mut duo, &next, HookVerdict::Allowed);
    assert_eq!(said(&mut duo, BOB), ["1", "3"]);
}

#[test]
fn a_chunk_is_numbered_when_it_is_allowed_and_does_not_outlive_its_session() {
    let chunk = |id: &str| {
        let chunk = Some(StreamChunk { stream: "s".into(), number: 0, phase: ChunkPhase::Next });
        noted(id, BOB, Annotations { chunk, ..Annotations::default() })
    };
    let mut duo = duo();
    for (id, verdict) in
        [("1", HookVerdict::Allowed), ("2", HookVerdict::Denied(denied())), ("3", HookVerdict::Allowed)]
    {
        duo.request(ALICES, ALICE, chunk(id));
        let asked = question(&mut duo);
        assert_eq!(asked.kind, SendKind::Chunk);
        answer(&mut duo, &asked, verdict);
    }
    duo.request(ALICES, ALICE, chunk("4"));
    let asked = question(&mut duo);
    duo.close(ALICES, ALICE);
    answer(&mut duo, &asked, HookVerdict::Allowed);
    let inbox = duo.inbox(BOB);
    let numbers: Vec<_> = inbox.iter().filter_map(chunk_of).map(|chunk| (chunk.number, chunk.phase)).collect();
    assert_eq!(numbers, [(1, ChunkPhase::First), (2, ChunkPhase::Next), (3, ChunkPhase::Last)], "the server ended it");
    assert_eq!(contents(&inbox), ["1", "3", ""]);
}

#[test]
fn what_has_changed_meanwhile_counts() {
    let (mut duo, asked) = asked_about("a");
    let order = Order::SetAccount { user: user(ALICE), state: AccountState::Disabled };
    duo.input(Duo::home(ALICE), Input::Ordered { ticket: Ticket(1), order });
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert!(said(&mut duo, BOB).is_empty(), "the account is disabled");

    duo.request(BOBS, BOB, message("b", ALICE));
    let asked = question(&mut duo);
    duo.order(Order::Block { by: user(ALICE), other: user(BOB), state: crate::model::BlockState::Blocked });
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert_eq!(duo.replies(BOBS).iter().map(refusal).collect::<Vec<_>>(), [Some(Refusal::PermissionDenied)]);
}

fn ordered(duo: &mut Duo, ticket: u64, id: &str, authority: Authority) {
    let order = Order::Send { author: user(ALICE), send: Box::new(send(id, BOB)), authority };
    duo.input(Duo::home(ALICE), Input::Ordered { ticket: Ticket(ticket), order });
    duo.settle();
}

#[test]
fn orders_are_asked_about_only_if_the_operator_wants_it_and_keep_the_authors_order() {
    let mut duo = duo();
    ordered(&mut duo, 1, "1", Authority::User);
    assert!(questions(&mut duo).is_empty());
    duo.request(ALICES, ALICE, message("2", BOB));
    let asked = question(&mut duo);
    ordered(&mut duo, 2, "3", Authority::System);
    assert_eq!(said(&mut duo, BOB), ["1"], "the author's later message waits, whoever sends it");
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert_eq!(said(&mut duo, BOB), ["1", "2", "3"]);

    let mut duo = hooked([SendKind::Backend].into_iter().collect(), OnHookFailure::Closed);
    ordered(&mut duo, 7, "1", Authority::System);
    assert!(questions(&mut duo).is_empty());
    ordered(&mut duo, 8, "2", Authority::User);
    let asked = question(&mut duo);
    assert_eq!(asked.kind, SendKind::Backend);
    answer(&mut duo, &asked, HookVerdict::Denied(denied()));
    assert!(duo.has_heard(&Effect::answer(Ticket(8), Answer::Denied(denied()))));
    duo.perform(ALICES, ALICE, message("3", BOB));
    assert!(matches!(duo.replies(ALICES)[..], [Reply::Sent { .. }]), "of no kind that is asked about");
}

#[test]
fn a_message_that_is_never_stored_is_asked_about_too() {
    let mut duo = duo();
    let header = HeaderFlags { no_persist: true, ..HeaderFlags::default() };
    duo.request(ALICES, ALICE, noted("a", BOB, Annotations { header, ..Annotations::default() }));
    let asked = question(&mut duo);
    assert_eq!(asked.kind, SendKind::Unstored);
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert_eq!(duo.events(BOBS).len(), 1);
}

#[test]
fn an_answer_counts_once() {
    let (mut duo, asked) = asked_about("a");
    answer(&mut duo, &asked, HookVerdict::Allowed);
    duo.request(ALICES, ALICE, message("b", BOB));
    question(&mut duo);
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert_eq!(said(&mut duo, BOB), ["a"], "the answer is about the first message");
}

#[test]
fn an_allowed_message_waits_for_its_window_before_later_ones() {
    let windows = Windows { requests_max: 1, ..Windows::default() };
    let asked = SendKinds::OF_CLIENTS;
    let mut duo = Duo::with(|settings| {
        settings.windows = windows;
        settings.policies.hook = HookPolicy { asked, on_failure: OnHookFailure::Closed };
    });
    log_in(&mut duo);
    // Bob's requests go to alice's shard, one at a time; the lanes stand still.
    let home = Duo::home(BOB);
    let allow = |duo: &mut Duo, asked: &HookQuestion| {
        let ticket = asked.ticket.clone();
        duo.input(home, Input::HookAnswered { ticket, verdict: HookVerdict::Allowed });
    };
    duo.connect(4, BOB, "desk", CatchUp::Sync);
    duo.request(BOBS, BOB, message("1", ALICE));
    duo.request(4, BOB, message("2", ALICE));
    duo.open(5, BOB, "tablet", CatchUp::Sync);
    let first = question(&mut duo);
    allow(&mut duo, &first);
    duo.request(5, BOB, message("3", ALICE));
    for _question in 0..2 {
        duo.settle();
        for asked in questions(&mut duo) {
            allow(&mut duo, &asked);
        }
    }
    duo.settle();
    assert_eq!(said(&mut duo, ALICE), ["1", "2", "3"]);
}

#[test]
fn an_order_that_found_no_room_comes_back_into_its_authors_line_before_later_ones() {
    let mut duo = Duo::with(|settings| {
        settings.windows = Windows { requests_max: 1, ..Windows::default() };
        settings.policies.hook = HookPolicy { asked: SendKinds::OF_CLIENTS, on_failure: OnHookFailure::Closed };
    });
    log_in(&mut duo);
    // Bob's requests go to alice's shard, one at a time; those to himself stay on his.
    let home = Duo::home(BOB);
    let allow = |duo: &mut Duo, asked: &HookQuestion| {
        let ticket = asked.ticket.clone();
        duo.input(home, Input::HookAnswered { ticket, verdict: HookVerdict::Allowed });
        (0..3).for_each(|_| duo.input(home, Input::Continued));
    };
    let order = |duo: &mut Duo, ticket: u64, id: &str| {
        let order = Order::Send { author: user(BOB), send: Box::new(send(id, ALICE)), authority: Authority::User };
        duo.input(home, Input::Ordered { ticket: Ticket(ticket), order });
    };
    duo.connect(4, BOB, "desk", CatchUp::Sync);
    duo.request(BOBS, BOB, message("1", ALICE));
    order(&mut duo, 11, "2");
    duo.request(4, BOB, message("to himself", BOB));
    order(&mut duo, 12, "3");
    let first = question(&mut duo);
    allow(&mut duo, &first);
    // The first order has left the line for the full window; the second one is in the line still.
    let second = question(&mut duo);
    duo.settle();
    allow(&mut duo, &second);
    duo.settle();
    assert_eq!(said(&mut duo, ALICE), ["1", "2", "3"]);
}

#[test]
fn a_question_is_forgotten_by_a_restart() {
    let (duo, asked) = asked_about("a");
    let mut duo = duo.restart();
    log_in(&mut duo);
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert!(said(&mut duo, BOB).is_empty(), "nobody was told that it was accepted");
    let Command::Send(Send { client_message_id, .. }) = message("a", BOB) else { panic!("a send") };
    duo.request(ALICES, ALICE, message(client_message_id.as_str(), BOB));
    let asked = question(&mut duo);
    answer(&mut duo, &asked, HookVerdict::Allowed);
    assert_eq!(said(&mut duo, BOB), ["a"]);
}
