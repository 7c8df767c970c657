//! Any order of faults: cuts at each point, lost answers, repetitions, restarts of both sides, other epochs, and an
//! application that is slow. What the fake server has is told once and in order, whatever happens.
//!
//! KIT_SEEDS is how many seeds run (400), KIT_SEED runs one.

#![allow(clippy::disallowed_methods, reason = "a test lives in the world")]

mod common;

use common::Chance;
use common::fake_server::{Habits, Posted, name_of};
use common::rig::Rig;
use mushan_client::{Begin, Phase, Session, Tuning};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const STEPS: usize = 400;

fn run(seed: u64) {
    let chance = &mut Chance(seed);
    let habits = Habits { pushes_facts_unplaced: chance.one_in(2), pushes_backlog: chance.one_in(2) };
    let restores = chance.one_in(4);
    let tuning = Tuning {
        page_entries: 1 + u32::try_from(chance.below(5)).expect("small"),
        sends_max: 1 + usize::try_from(chance.below(4)).expect("small"),
        entries_max: if chance.one_in(2) { 1_000 } else { 1 + usize::try_from(chance.below(6)).expect("small") },
        request_ms: 1_000_000_000,
        ..Tuning::default()
    };
    let mut rig = Rig::with(habits, tuning, Begin::Beginning, seed);
    let mut asked = Vec::new();
    rig.start();
    for _step in 0..STEPS {
        act(&mut rig, chance, &mut asked, restores);
    }
    rig.is_up = true;
    rig.server.refusals = 0;
    rig.settle(120_000);
    check(&rig, &asked, restores);
}

fn act(rig: &mut Rig, chance: &mut Chance, asked: &mut Vec<String>, restores: bool) {
    let some_seq = |chance: &mut Chance, newest: i64| {
        1 + i64::try_from(chance.below(newest.unsigned_abs() + 1)).expect("few entries")
    };
    match chance.below(110) {
        0..25 => rig.server.serve_one(),
        25..50 => rig.hear(),
        50..58 => rig.server.post(Posted::Message),
        58..64 => rig.server.post(if chance.one_in(2) { Posted::Revoked } else { Posted::Receipt }),
        64..72 => asked.push(rig.say()),
        72..80 => rig.advance(chance.below(2_000)),
        80..88 => rig.connect(),
        88..91 => rig.cut(1006),
        91 => rig.server.cut(),
        92..94 => {
            let seq = some_seq(chance, rig.server.newest());
            rig.server.repeat(seq);
        }
        94 => rig.is_up = !rig.is_up,
        95 => rig.server.refusals = chance.below(3),
        96 => rig.crash(),
        97 => rig.act(Session::retry_now),
        98 if restores => {
            let attempt = rig.server.attempt;
            rig.server.restore(usize::try_from(chance.below(5)).expect("small"));
            if attempt > 0 {
                rig.act(|session, now| session.lost(attempt, 1006, "", now));
            }
        }
        98 | 99 if chance.one_in(2) => {
            let seq = some_seq(chance, rig.server.newest());
            rig.server.hide(seq);
        }
        98 | 99 => rig.server.forget_ids(),
        _ => rig.take_one(),
    }
}

fn check(rig: &Rig, asked: &[String], restores: bool) {
    let server = &rig.server;
    assert_eq!(rig.session.phase(), Phase::Ready);
    assert!(rig.session.save().outgoing.is_empty(), "a message is still queued");
    let stored: Vec<String> = server.inbox.iter().flatten().map(name_of).collect();
    let told = rig.told();
    let known: BTreeSet<&String> = told.iter().collect();
    for name in &stored {
        assert!(known.contains(name), "{name} was lost");
    }
    assert_eq!(sorted(&rig.sent), sorted(asked), "each message is told as sent, once");
    assert_eq!(server.acknowledged, server.newest(), "everything is acknowledged");
    let most = rig.tuning.entries_max * 2 + rig.tuning.page_entries as usize;
    assert!(rig.untaken_max <= most, "{} entries waited for the application", rig.untaken_max);
    if restores {
        return;
    }
    assert_eq!(told.len(), known.len(), "told twice: {told:?}");
    // What has expired may have been told before.
    let kept: BTreeSet<&String> = stored.iter().collect();
    let in_order: Vec<String> = told.iter().filter(|name| kept.contains(name)).cloned().collect();
    assert_eq!(in_order, stored, "entries are told in the order of the inbox");
    let own: Vec<String> = stored.iter().filter(|name| name.starts_with("c-")).cloned().collect();
    assert_eq!(sorted(&own), sorted(asked), "stored once each");
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names
}

#[test]
fn whatever_happens_nothing_is_lost_doubled_or_out_of_order() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("KIT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KIT_SEEDS").unwrap_or(400),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("KIT_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
