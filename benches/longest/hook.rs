//! The operator's hook: its answers about what is large, about what many wait behind, and about very many authors.

use crate::common::is_smoke;
use crate::stage::{Choices, Stage, group, send, to_user, user};
use crate::{Book, Scene};
use mushan::model::{
    Authority, Command, Denial, DenialCode, HookPolicy, HookVerdict, OnHookFailure, Order, Policies, Recipient,
    Replacement, SendKind, SessionId,
};
use mushan::shard::{CatchUp, Input};

pub const SCENES: &[Scene] = &[("hook lines", lines), ("hook authors", authors)];

const AUTHOR: &str = "alice";
const LARGE: usize = 64 << 10;
/// Orders that an operator may have under way.
const ORDERS: usize = 1_000;

/// The hook is asked about everything.
fn asking() -> Choices {
    let hook = HookPolicy { asked: SendKind::ALL.into_iter().collect(), on_failure: OnHookFailure::Closed };
    Choices { policies: Policies { hook, ..Policies::default() }, ..Choices::default() }
}

fn denied() -> HookVerdict {
    let code = DenialCode::new(200).expect("in range");
    HookVerdict::Denied(Box::new(Denial { code, text: "x".repeat(Denial::TEXT_BYTES_MAX).into() }))
}

fn replaced() -> HookVerdict {
    let content = vec![b'y'; LARGE].into();
    HookVerdict::Replaced(Box::new(Replacement { content, message_type: None, extra: None }))
}

/// Answers what was asked, and what is asked then, until nothing is.
fn answer_all(stage: &mut Stage, verdict: &HookVerdict) {
    while let Some((me, ticket)) = stage.questions.pop_front() {
        stage.handle(me, Input::HookAnswered { ticket, verdict: verdict.clone() });
        stage.settle();
    }
}

/// One author whose send the hook is asked about, and as many behind it as there may be.
fn lines(book: &mut Book) {
    let mut stage = Stage::chosen(2, asking());
    let members = (0..Order::MEMBERS_MAX).map(|n| user(&format!("member-{n}"))).collect();
    stage.order(Order::CreateGroup { group: group("crowd"), owner: user(AUTHOR), members });
    let sessions: Vec<SessionId> = (0..16).map(|_| stage.open(AUTHOR, CatchUp::Sync)).collect();
    stage.settle();
    let to_crowd = |id: &str| send(id, Recipient::Group(group("crowd")), LARGE, None);
    let ordered = |command| match command {
        Command::Send(send) => Order::Send { author: user(AUTHOR), send: Box::new(send), authority: Authority::User },
        _ => unreachable!("a send"),
    };
    for (name, verdict) in [
        ("the hook denies what a thousand have repeated", denied()),
        ("the hook fails for what a thousand have repeated", HookVerdict::Failed),
        ("the hook allows what a thousand have repeated", HookVerdict::Allowed),
        ("the hook replaces a thousand large messages", replaced()),
    ] {
        let id = |n: usize| if name.contains("replaces") { format!("{name}-{n}") } else { name.to_owned() };
        let id = |n: usize| id(n).chars().filter(|c| *c != ' ').collect::<String>();
        for (n, session) in sessions.iter().enumerate() {
            stage.request(*session, AUTHOR, to_crowd(&id(n)));
        }
        for n in 0..if is_smoke() { 64 } else { ORDERS } {
            stage.begin_order(ordered(to_crowd(&id(sessions.len() + n))));
        }
        book.measure(name, &mut stage, |stage| answer_all(stage, &verdict));
    }
}

/// Very many authors about whose sends the hook is asked at once; each has another one behind it.
fn authors(book: &mut Book) {
    let mut stage = Stage::chosen(2, asking());
    let name = |n: usize| format!("author-{n}");
    let many = if is_smoke() { 1_000 } else { 5_000 };
    for n in 0..many {
        for id in ["first", "second"] {
            let session = stage.open(&name(n), CatchUp::Sync);
            stage.request(session, &name(n), to_user(id, "bob", 1));
        }
    }
    stage.settle();
    for (name, verdict) in [
        ("the hook allows what very many send", HookVerdict::Allowed),
        ("the hook fails for very many", HookVerdict::Failed),
    ] {
        book.measure(name, &mut stage, |stage| {
            for _question in 0..stage.questions.len() {
                let Some((me, ticket)) = stage.questions.pop_front() else { break };
                stage.handle(me, Input::HookAnswered { ticket, verdict: verdict.clone() });
            }
            stage.settle();
        });
    }
}
