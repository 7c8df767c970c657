//! After the faults: everything that was ever said is answered, fresh devices collect everything, and the oracle
//! speaks.

use crate::check::group::Group;
use crate::check::oracle::{End, Oracle};
use crate::client::frames::Protocol;
use crate::client::speech::{Channel, Manner, No};
use crate::client::{Client, Phase};
use crate::token_of;
use crate::world::World;
use crate::world::clocks::check_dates;
use crate::world::loss::Remains;
use mushan::model::SamePlatform;
use mushan::shard::Cost;

/// Liveness. Without faults, everybody comes back, and everything that was ever said or ordered is answered in the end.
pub fn settle(world: &mut World) {
    world.settle_clock();
    obey(world);
    world.pardon();
    obey(world);
    world.check_presence();
    world.ledger.intents.iter_mut().for_each(|intent| intent.answer.no = None);
    meet(world);
    say_all(world);
    check_refusals(world);
    world.check_presence();
    probe(world);
    world.outlast();
    world.check_deadlines();
    say_all(world);
    world.check_presence();
    world.show_groups();
    world.show_users();
    world.show_devices();
    world.calm();
    let crate::world::World { clients, ledger, .. } = &mut *world;
    clients.iter().for_each(|client| client.lacks(ledger));
    assert!(world.operator.is_idle() && world.operator.backend.is_idle(), "an order is not answered");
    for core in &world.cores {
        let highest_cost = core.turn.shard().stats().highest_cost;
        assert!(highest_cost.is_within(Cost::BUDGET), "an input costs more than it may: {highest_cost:?}");
    }
}

/// Every order is carried out.
fn obey(world: &mut World) {
    for _ in 0..60 {
        world.calm();
        if world.operator.is_idle() {
            return;
        }
        world.erase_some();
        world.order_again();
    }
    panic!("without faults, an order is never carried out\n{}", world.describe());
}

/// Everybody is there at once, but no device twice; then each device goes on as one client.
fn meet(world: &mut World) {
    (0..world.clients.len()).for_each(|at| world.connect(at));
    world.calm();
    for at in 0..world.clients.len() {
        let client = &world.clients[at];
        let is_same = |other: &Client| {
            (&other.user, &other.device, other.protocol) == (&client.user, &client.device, client.protocol)
        };
        let is_alone = client.protocol == Protocol::Binary && world.scale.policies.same_platform == SamePlatform::Allow;
        let of_device = world.clients.iter().filter(|other| is_same(other) && other.phase == Phase::Open).count();
        assert!(is_alone || of_device <= 1, "{} of {} is here {of_device} times", client.device, client.user);
        if world.clients[..at].iter().any(is_same) {
            world.retire(at);
        }
    }
}

fn say_all(world: &mut World) {
    for _ in 0..60 {
        for at in 0..world.clients.len() {
            if world.clients[at].phase == Phase::Offline {
                world.connect(at);
            }
        }
        world.calm();
        if world.ledger.is_rated {
            world.pass(1_000);
        }
        world.backend_repeats_unanswered();
        for at in 0..world.clients.len() {
            if world.clients[at].phase == Phase::Open {
                let World { clients, ledger, chance, .. } = world;
                let bytes = clients[at].repeat_unanswered(ledger, chance);
                world.say(at, bytes);
            }
        }
        world.calm();
        let repeatable = &world.ledger.intents[world.ledger.repeatable()];
        let is_out = |user: &String| world.ledger.erasures.may_be(user);
        let is_answered = |client: &Client| {
            client.is_retired || is_out(&client.user) || client.phase == Phase::Open && !client.is_waiting()
        };
        if repeatable.iter().all(|it| it.answer.is_final() || is_out(&it.author))
            && world.clients.iter().all(is_answered)
        {
            return;
        }
    }
    let unheard = world.ledger.repeatable().map(|at| &world.ledger.intents[at]);
    let unheard = unheard.filter(|it| !it.answer.is_final());
    let unheard: Vec<_> = unheard.map(|intent| (&intent.author, &intent.to, &intent.client_id)).collect();
    let phases: Vec<_> =
        world.clients.iter().map(|it| (&it.user, it.protocol, it.phase, it.expected.values())).collect();
    panic!("without faults, these are not answered: {unheard:?}\nclients: {phases:?}\n{}", world.describe());
}

/// A no is only for those who may not.
fn check_refusals(world: &World) {
    for at in world.ledger.repeatable() {
        let intent = &world.ledger.intents[at];
        let is_out = world.ledger.erasures.may_be(&intent.author);
        if intent.answer.message.is_none() && intent.answer.no != Some(No::Denied) && !is_out {
            let may = world.operator.may_write(intent, &world.ledger);
            let groups: Vec<_> = world.ledger.groups.all().collect();
            assert!(!may, "{intent:?} was refused, in a group as {groups:?}");
        }
    }
}

/// One more message of each group's owner: who is in the group now is to have it.
fn probe(world: &mut World) {
    let groups: Vec<(String, Group)> =
        world.ledger.groups.all().map(|(name, group)| (name.clone(), group.clone())).collect();
    for (name, group) in groups {
        if world.ledger.erasures.may_be(&group.owner) {
            continue;
        }
        let id = format!("probe-{name}-{}", world.ledger.intents.len());
        let to = Channel::Group(name);
        let at = world.ledger.intend(&group.owner, to, id, "probe".into(), Manner::default());
        world.ledger.intents[at].expected = Some(group.members.into_keys().collect());
    }
}

/// Somebody comes, and is told who is here, and when the others were.
pub fn ask_around(world: &mut World) {
    world.calm();
    let goes_on = |client: &Client| !client.is_retired && !world.ledger.erasures.may_be(&client.user);
    let first = world.clients.iter().position(goes_on).expect("somebody goes on");
    world.connect(first);
    world.calm();
    world.check_presence();
}

/// Two fresh devices of each user collect what there is, through one protocol each.
pub fn reckon(world: &mut World) {
    world.pass_ends_at_hand();
    let first = world.clients.len();
    for user in world.living() {
        for protocol in [Protocol::JsonRpc, Protocol::Binary] {
            world.add_client(Client::new(&user, world.clients.len(), protocol, token_of(&user)));
        }
    }
    let mut is_done = false;
    let dropped = world.dropped_so_far();
    for _ in 0..2_000 {
        is_done = true;
        for at in first..world.clients.len() {
            if world.clients[at].has_collected() {
                continue;
            }
            match world.clients[at].phase {
                Phase::Open if !world.clients[at].is_waiting() => {
                    let World { clients, chance, ledger, .. } = world;
                    let Some(bytes) = clients[at].collect(ledger.moment, chance) else { continue };
                    world.say(at, bytes);
                }
                Phase::Offline => world.connect(at),
                _ => {}
            }
            is_done = false;
        }
        if is_done {
            break;
        }
        world.calm();
    }
    let stuck = world.clients[first..].iter().map(|client| (&client.user, client.phase, client.collection.so_far()));
    assert!(is_done, "somebody cannot collect everything: {:#?}", stuck.collect::<Vec<_>>());
    if !world.ledger.may_drop {
        check_dates(&world.ledger.known);
    }
    world.ledger.dropped_meanwhile = world.dropped_so_far() > dropped;
    world.note_entries_without_body();
    let mut ends = Vec::new();
    for pair in world.clients[first..].chunks_mut(2) {
        let [json, binary] = pair else { unreachable!("two each") };
        let (json_has, binary_has) = (std::mem::take(&mut json.collection), std::mem::take(&mut binary.collection));
        ends.push(End { user: json.user.clone(), json: json_has, binary: binary_has });
    }
    // Where nothing is holed or hidden, what was told says it all.
    let is_told_all = world.ledger.holed.is_empty() && !world.ledger.cleared.is_wanted && !world.ledger.erasures.any();
    // Of what retention has dropped nothing is read.
    let is_told_all = is_told_all || world.ledger.may_drop;
    let cores = if is_told_all { &[][..] } else { &world.cores[..] };
    let logs = Remains::of(cores.iter().map(|core| core.turn.shard().journal().storage()));
    Oracle::new(&world.ledger, &world.operator, &logs, &ends).check();
}
