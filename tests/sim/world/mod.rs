//! A whole server in one thread: shards, lanes, disks and connections, driven by chance, with a clock that is a number.
//!
//! Real: connections, turns, shards, journals. Not: sockets (byte queues), disks (memory that can lose power), cores.

pub mod backend;
pub mod clocks;
pub mod copies;
pub mod disks;
pub mod erasing;
pub mod failing;
pub mod follower;
pub mod hook;
pub mod lanes;
pub mod loss;
pub mod network;
pub mod operator;
pub mod retention;
pub mod scale;

use crate::chance::Chance;
use crate::check::accounts;
use crate::check::chronicle::Chronicle;
use crate::check::hidden::When;
use crate::check::ledger::Ledger;
use crate::check::presence::Sightings;
use crate::client::verbs::Scene;
use crate::client::{Client, Phase};
use crate::world::clocks::{BEGIN, Clocks};
use crate::world::copies::{Copies, end_of};
use crate::world::failing::{Loss, Power};
use crate::world::follower::Follower;
use crate::world::loss::Remains;
use crate::world::operator::Operator;
use crate::world::scale::Scale;
use mushan::log::{Batch, MemoryStorage, TornTail};
use mushan::model::{Directory, Moment, SendKind, ShardId};
use mushan::server::Keyring;
use mushan::server::turn::{Action, Common, LinkKey, MigratingConnection, Turn};
use mushan::shard::{
    Cost, ExternalEffect, Fetch, Fetched, HookQuestion, Placement, Shard, ShardMessage, ShardSettings,
};
use mushan::wire::{Context, HandshakePolicy, ServerKey, token};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub const SECRET: &[u8] = b"a secret of thirty-two bytes ...";
/// Far above what these clients can ask for between two syncs.
const PENDING_MAX: usize = 20_000;
/// The largest entry that these clients can bring about: what a frame says about its body, its `extra` escaped.
const ENTRY_BYTES_MAX: usize = 16 << 10;

/// A socket: the bytes on their way, and where its server end is.
#[derive(Default)]
pub struct Pipe {
    pub to_server: VecDeque<u8>,
    pub to_client: VecDeque<u8>,
    pub client_closed: bool,
    pub server_closed: bool,
    pub place: Place,
    /// Bytes given to the kernel, not yet said to be written.
    pub writing: Option<Vec<u8>>,
    /// Until calm comes, one try to write in so many succeeds.
    pub slowness: usize,
    pub departing: Option<ShardId>,
    pub ending: bool,
    /// When it was accepted, and when the server had bytes of it last.
    pub since_ms: u64,
    pub heard_ms: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Place {
    /// Between two cores, or closed.
    #[default]
    Nowhere,
    At(usize, LinkKey),
}

/// What a core leaves on its disk: the log, and checkpoints, newest first, each with the segment it ends with.
pub type Disk = (MemoryStorage, Vec<(u32, Vec<u8>)>);

/// What somebody reads for a shard.
pub enum Reading {
    Asked(Box<Fetch>),
    /// On its way back: the shard may be another by the time it arrives.
    Read(Box<Fetched>),
}

pub struct Core {
    pub turn: Turn<MemoryStorage>,
    pub pipes: BTreeMap<LinkKey, usize>,
    pub syncing: Option<Batch>,
    /// Under way to whoever reads for the shard, or back, in no order.
    pub fetches: Vec<Reading>,
    /// Asked of the hook and not answered, in no order.
    pub questions: Vec<HookQuestion>,
    /// On stable storage, newest first, each with the segment it ends with.
    pub checkpoints: Vec<(u32, Vec<u8>)>,
}

pub struct World {
    pub chance: Chance,
    pub now: Moment,
    pub clocks: Clocks,
    pub ledger: Ledger,
    pub clients: Vec<Client>,
    pub users: Vec<String>,
    /// Whom nobody can write to, in a closed directory.
    pub strangers: Vec<String>,
    /// One a client; a new connection replaces it.
    pub pipes: Vec<Pipe>,
    pub cores: Vec<Core>,
    pub lanes: BTreeMap<(usize, usize), VecDeque<ShardMessage>>,
    pub migrating: VecDeque<(usize, usize, MigratingConnection)>,
    pub placement: Placement,
    pub seed: u64,
    /// The durability policy does not wait for syncs.
    pub is_waived: bool,
    /// A log has lost something that was let out, now or at an earlier start.
    has_lost: bool,
    /// Nor does it ever ask for one.
    pub is_never_synced: bool,
    pub copies: Copies,
    /// A disk may be put back from such a copy.
    pub may_restore: bool,
    pub crashes: u64,
    pub restored: u64,
    /// Messages that came back from other shards, before the last crash.
    pub healed: u64,
    /// Syncs fail now and then.
    pub has_failing_disks: bool,
    pub failed_syncs: u64,
    /// The hook gives no answer now and then.
    pub hook_fails: bool,
    /// Graceful ones.
    pub stops: u64,
    pub handed_over: u64,
    pub is_disk_full: bool,
    /// How often a shard began with a checkpoint, and waited for its disk, before the last crash.
    pub checkpointed_starts: u64,
    pub fetched: u64,
    pub fell_behind: u64,
    pub sightings: Sightings,
    pub operator: Operator,
    pub chronicle: Chronicle,
    pub follower: Follower,
    pub scale: Scale,
    /// Segments dropped before the last crash.
    pub dropped: u64,
    /// Nothing that this core sends to others arrives, and what goes on from turn to turn here stands still.
    pub frozen: Option<usize>,
    /// A client says so much before it hangs up.
    pub stays: usize,
    /// Reading off the cores is so much slower than all else.
    pub reads_one_in: usize,
    /// Turns that went on with what one input began.
    pub went_on: u64,
}

impl World {
    pub fn new(seed: u64, scale: Scale) -> Self {
        let mut world = Self {
            chance: Chance::new(seed),
            now: Moment::told(BEGIN),
            clocks: Clocks::default(),
            ledger: Ledger::default(),
            clients: Vec::new(),
            users: Vec::new(),
            strangers: Vec::new(),
            pipes: Vec::new(),
            cores: Vec::new(),
            lanes: BTreeMap::new(),
            migrating: VecDeque::new(),
            placement: Placement::new(scale.shards),
            seed,
            is_waived: false,
            has_lost: false,
            is_never_synced: false,
            copies: Copies::default(),
            may_restore: false,
            crashes: 0,
            restored: 0,
            healed: 0,
            has_failing_disks: false,
            failed_syncs: 0,
            hook_fails: true,
            stops: 0,
            handed_over: 0,
            is_disk_full: false,
            checkpointed_starts: 0,
            fetched: 0,
            fell_behind: 0,
            sightings: Sightings::default(),
            operator: Operator::default(),
            chronicle: Chronicle::default(),
            follower: Follower::new(seed, scale.shards, scale.retention.segment_bytes()),
            scale,
            dropped: 0,
            frozen: None,
            stays: 60,
            reads_one_in: 1,
            went_on: 0,
        };
        world.ledger.is_closed = scale.policies.directory == Directory::Closed;
        let asked = scale.policies.hook.asked;
        world.ledger.hook.asks_sessions = asked.contains(SendKind::Stored);
        world.ledger.hook.asks_backend = asked.contains(SendKind::Backend);
        world.ledger.hook.asks_system = asked.contains(SendKind::System);
        world.ledger.groups.is_closed = world.ledger.is_closed;
        world.ledger.groups.members_max = scale.limits.group_members_max;
        if world.ledger.is_closed {
            world.operator.guests = (0..2).map(|n| format!("guest-{n}")).collect();
            world.strangers = (0..2).map(|n| format!("stranger-{n}")).chain(world.operator.guests.clone()).collect();
        }
        let segment_bytes = scale.retention.segment_bytes();
        let disks = (0..scale.shards).map(|_| (MemoryStorage::new(segment_bytes, 100_000), Vec::new())).collect();
        world.boot(disks);
        world
    }

    pub fn add_client(&mut self, client: Client) {
        self.clients.push(client);
        self.pipes.push(Pipe::default());
    }

    pub fn settings(&self, me: usize) -> ShardSettings {
        ShardSettings {
            me: ShardId(me as u16),
            placement: self.placement,
            limits: self.scale.limits,
            policies: self.scale.policies,
            windows: self.scale.windows,
            upkeep: self.scale.retention.upkeep(),
            seed: self.seed,
            fingerprint_seed: 9,
        }
    }

    fn boot(&mut self, disks: Vec<Disk>) {
        let context = Arc::new(Context {
            limits: self.scale.limits,
            handshake: HandshakePolicy::default(),
            server_version: "sim",
            server_key: ServerKey::of([7; 32]),
            node_id: 1,
            inbox_epoch: 1,
        });
        self.begin_steady();
        let (keyring, mut found) = (Keyring::from(token::Verifier::hs256(SECRET, 5_000)), Vec::new());
        for (me, (disk, mut checkpoints)) in disks.into_iter().enumerate() {
            let newest_first: Vec<&[u8]> = checkpoints.iter().map(|(_, bytes)| &bytes[..]).collect();
            let opened = Shard::open(self.settings(me), disk.with_cold_segments(), &newest_first, self.now);
            let (shard, survey) = opened.expect("what a crash leaves opens");
            self.checkpointed_starts += u64::from(survey.begun_with.is_some());
            found.push(survey.log.found);
            // As a start does: one that cannot be used is never taken for one again.
            checkpoints.drain(..survey.unusable.len());
            let common = Common {
                me: ShardId(me as u16),
                placement: self.placement,
                context: context.clone(),
                keyring: keyring.clone(),
            };
            let turn = Turn::new(shard, common, || *b"saltsaltsaltsalt");
            let fetches = Vec::new();
            let (pipes, questions) = (BTreeMap::new(), Vec::new());
            self.cores.push(Core { turn, pipes, syncing: None, fetches, questions, checkpoints });
        }
        self.reopen_books(&found);
        self.begin_run(&found);
    }

    /// The process is gone at once; of what was not synced, chance keeps what it likes. Nothing is lost that was
    /// promised.
    pub fn crash(&mut self) {
        self.go_down(Loss::None);
    }

    /// The same, and what the policy permits may be lost, or a shard's disk be put back from an older copy.
    pub fn crash_and_lose(&mut self) {
        self.go_down(Loss::Permitted);
    }

    fn go_down(&mut self, loss: Loss) {
        // A killed process loses nothing that it wrote; a power cut may.
        let may_be_cut = loss == Loss::Permitted || !self.is_waived;
        let is_power_cut = may_be_cut && !self.chance.one_in(4);
        self.crash_with(if is_power_cut { Power::Goes } else { Power::Stays }, loss);
    }

    pub fn crash_with(&mut self, power: Power, loss: Loss) {
        self.crashes += 1;
        let torn_tail = *self.chance.pick(&[TornTail::Sectors, TornTail::Garbled]);
        let is_lossy = power == Power::Goes && loss == Loss::Permitted && self.is_waived;
        let (mut disks, mut before) = (Vec::new(), Vec::new());
        for (at, (mut disk, mut checkpoints)) in self.power_off().into_iter().enumerate() {
            before.push(end_of(&disk, at));
            match power {
                Power::Goes if is_lossy => self.cut_power_of_some(&mut disk, at, torn_tail),
                Power::Goes => disk.crash(torn_tail, || self.chance.next()),
                Power::Stays => {}
            }
            disk.set_spares(100_000);
            // Of two, one may be damaged.
            let is_damaged = checkpoints.len() > 1 && self.chance.one_in(4);
            if let Some((_, newest)) = checkpoints.first_mut().filter(|_| is_damaged) {
                let at = self.chance.below(newest.len());
                newest[at] ^= 1 << self.chance.below(8);
            }
            disks.push((disk, checkpoints));
        }
        let older = if loss == Loss::Permitted && self.chance.one_in(2) { self.copies.kept.take() } else { None };
        let is_restored = older.is_some();
        if let Some((at, older)) = older {
            self.restored += 1;
            disks[at] = older;
            // It may have been copied while there was no room on it.
            disks[at].0.set_spares(100_000);
        }
        self.copies.note_losses(&before, &disks);
        if is_restored || is_lossy {
            self.has_lost = true;
            self.follower.lose();
            let remains = Remains::of(disks.iter().map(|(disk, _)| disk));
            self.ledger.lose(&remains);
            self.operator.lose(&remains);
            self.operator.accounts = accounts::remaining(disks.iter().map(|(disk, _)| disk));
            self.ledger.bars.lose(&self.operator.accounts);
        }
        self.is_disk_full = false;
        self.frozen = None;
        self.ledger.is_full = false;
        self.ledger.crashed();
        self.lanes.clear();
        self.migrating.clear();
        for (pipe, client) in self.pipes.iter_mut().zip(&mut self.clients) {
            *pipe = Pipe { client_closed: true, server_closed: true, ..Pipe::default() };
            client.disconnected();
        }
        self.operator.crashed();
        self.sightings.crashed(if is_restored { Power::Goes } else { power });
        self.boot(disks);
    }

    /// Every shard has taken up what it was owed: clients and orders are let in.
    pub fn is_ready(&self) -> bool {
        self.cores.iter().all(|core| core.turn.is_ready())
    }

    /// What clients do from here on, they do now.
    pub fn note_moment(&mut self) {
        let step = self.ledger.moment.step + 1;
        self.ledger.moment = When { step, now_ms: self.now.wall.0, elapsed_ms: self.clocks.elapsed_ms };
        self.look_around();
    }

    /// One thing happens, somewhere.
    pub fn step(&mut self) {
        self.note_moment();
        self.follow();
        if self.chance.one_in(4) {
            let ms = self.chance.below(4) as u64;
            self.pass(ms);
            self.look_around();
        }
        match self.chance.below(100) {
            0..28 => self.act(),
            28..48 => self.deliver_to_server(),
            48..64 => self.deliver_to_client(),
            64..76 => self.finish_write(),
            76..88 => self.deliver_lane_messages(),
            88..94 => self.finish_sync(),
            94 => self.go_on(),
            95 if self.chance.one_in(2) => self.answer_question(),
            95 => self.order(),
            96 if self.chance.one_in(4) => self.stall(),
            96 => self.tick(),
            97 if self.chance.one_in(self.reads_one_in) => self.finish_fetch(),
            97 => {}
            98 => self.move_on(),
            _ => {
                let ms = self.chance.below(400) as u64;
                self.pass(ms);
            }
        }
    }

    /// A random client does what its state allows.
    fn act(&mut self) {
        let at = self.chance.below(self.clients.len());
        match self.clients[at].phase {
            Phase::Offline => self.connect(at),
            Phase::Open if self.chance.one_in(self.stays) => self.hang_up(at),
            Phase::Open => {
                let Self { clients, users, strangers, operator, ledger, chance, .. } = self;
                let scene = Scene { users, groups: &operator.names, strangers };
                let bytes = clients[at].act(&scene, ledger, chance);
                self.pipes[at].to_server.extend(bytes);
            }
            Phase::Upgrading | Phase::Authenticating => {}
        }
    }

    /// A core does its share of what one input began.
    pub fn go_on(&mut self) {
        let at = self.chance.below(self.cores.len());
        self.go_on_with(at);
    }

    pub fn go_on_with(&mut self, at: usize) {
        if self.cores[at].turn.has_more() && self.frozen != Some(at) {
            self.went_on += 1;
            self.cores[at].turn.continue_background(self.now);
            self.carry_out(at);
        }
    }

    pub fn tick(&mut self) {
        self.look_around();
        (0..self.cores.len()).for_each(|at| self.checkpoint(at));
        for at in 0..self.cores.len() {
            self.tick_core(at);
            self.judge(at);
            self.carry_out(at);
        }
        if !self.is_disk_full {
            self.sightings.logged();
        }
    }

    /// What the reactor does after each turn.
    pub fn carry_out(&mut self, at: usize) {
        if self.is_waived {
            self.cores[at].turn.ack_without_sync(self.now);
        }
        let actions = self.cores[at].turn.take_actions(Vec::new());
        self.chronicle(at, &actions);
        let (has_acted, mut is_renewed) = (!actions.is_empty(), false);
        for action in actions {
            match action {
                Action::Write(key) => self.write(at, key),
                Action::Read(_) => {}
                Action::Depart(key, to) => {
                    let pipe = self.cores[at].pipes[&key];
                    self.pipes[pipe].departing = Some(to);
                    self.leave(at, key);
                }
                Action::End(key) => {
                    let pipe = self.cores[at].pipes[&key];
                    self.pipes[pipe].ending = true;
                    self.write(at, key);
                    self.leave(at, key);
                }
                // After hours, a link may be due more than once.
                Action::Abandon(key) if !self.cores[at].pipes.contains_key(&key) => {}
                Action::Abandon(key) => self.close(at, key),
                Action::External(ExternalEffect::RenewInboxEpoch) => is_renewed = true,
                Action::External(external) => self.take_external(at, external),
            }
        }
        if is_renewed {
            assert!(self.has_lost, "no log has lost anything");
            self.cores[at].turn.inbox_epoch_renewed(self.now);
            self.carry_out(at);
        }
        if has_acted {
            self.check_bounds(at);
        }
        let core = &mut self.cores[at];
        if core.syncing.is_none() && !self.is_never_synced {
            core.syncing = core.turn.seal();
        }
    }

    /// Nothing that a core holds is beyond its limits, whatever the turn brought.
    fn check_bounds(&self, at: usize) {
        let (core, limits) = (&self.cores[at], &self.scale.limits);
        for key in core.pipes.keys() {
            let queued = core.turn.queued_bytes(*key);
            // Half is for pushes and half for answers, and of each the last may pass it by one entry.
            let bytes_max = limits.outbox_bytes_max + 2 * ENTRY_BYTES_MAX;
            assert!(queued <= bytes_max, "{queued} bytes wait for one session");
        }
        let shard = core.turn.shard();
        // Each owner of groups keeps to the bound by itself; what a restart has on its way counts once more.
        let fanned_max = 2 * limits.fan_out_messages_max * self.cores.len();
        assert!(shard.fanning_out() <= fanned_max, "{:?}", shard.stats());
        assert!(shard.stats().highest_cost.is_within(Cost::BUDGET), "{:?}", shard.stats());
        assert!(shard.pending() <= PENDING_MAX, "{:?}", shard.stats());
    }
}
