//! A whole server in one thread: shards, lanes, disks and connections, driven by chance, with a clock that is a number.
//!
//! What is real: connections, turns, shards, journals. What is not: sockets (byte queues), disks (memory that can lose
//! power), cores.

use super::chance::Chance;
use super::client::{Client, Phase};
use super::ledger::Ledger;
use super::retention::{HOUR_MS, Retention};
use mushan::log::{Batch, MemoryStorage, Segments, TornTail};
use mushan::model::{Limits, Millis, Position, ShardId};
use mushan::server::turn::{Action, Common, LinkKey, Migrant, Turn};
use mushan::shard::{Fetch, Parcel, Placement, Settings, Shard, Windows, survey};
use mushan::wire::{Context, token};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub const SECRET: &[u8] = b"a secret of thirty-two bytes ...";

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
    pub departing: Option<ShardId>,
    pub ending: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Place {
    /// Between two cores, or closed.
    #[default]
    Nowhere,
    At(usize, LinkKey),
}

/// What a core leaves on its disk: the log, and checkpoints, newest first, each with the segment it ends with.
type Disk = (MemoryStorage, Vec<(u32, Vec<u8>)>);

pub struct Core {
    pub turn: Turn<MemoryStorage>,
    pipes: BTreeMap<LinkKey, usize>,
    pub syncing: Option<Batch>,
    /// Under way to whoever reads for the shard, or back.
    pub fetches: VecDeque<Fetch>,
    /// On stable storage, newest first, each with the segment it ends with.
    checkpoints: Vec<(u32, Vec<u8>)>,
}

pub struct World {
    pub chance: Chance,
    pub now: Millis,
    pub ledger: Ledger,
    pub clients: Vec<Client>,
    pub users: Vec<String>,
    /// One a client; a new connection replaces it.
    pub pipes: Vec<Pipe>,
    pub cores: Vec<Core>,
    pub lanes: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    pub migrants: VecDeque<(usize, usize, Migrant)>,
    placement: Placement,
    windows: Windows,
    seed: u64,
    /// The durability policy does not wait for syncs; then only the process dies, never the power.
    pub is_waived: bool,
    pub crashes: u64,
    pub handed_over: u64,
    pub is_disk_full: bool,
    /// How often a shard began with a checkpoint, and waited for its disk, before the last crash.
    pub checkpointed_starts: u64,
    pub fetched: u64,
    pub retention: Retention,
    /// Segments dropped before the last crash.
    pub dropped: u64,
    /// Nothing that this core sends to others arrives.
    pub frozen: Option<usize>,
}

fn limits() -> Limits {
    // Sends are not limited here: refusals for speed would only hide what the run is about.
    Limits {
        sends_per_second: 1_000_000,
        sends_burst: 1_000_000,
        outbox_bytes_max: 64 << 10,
        dedupe_window_ms: HOUR_MS,
        ..Limits::default()
    }
}

impl World {
    pub fn new(seed: u64, shards: u16, windows: Windows, retention: Retention) -> Self {
        let placement = Placement::new(shards);
        let mut world = Self {
            chance: Chance::new(seed),
            now: Millis(1_700_000_000_000),
            ledger: Ledger::default(),
            clients: Vec::new(),
            users: Vec::new(),
            pipes: Vec::new(),
            cores: Vec::new(),
            lanes: BTreeMap::new(),
            migrants: VecDeque::new(),
            placement,
            windows,
            seed,
            is_waived: false,
            crashes: 0,
            handed_over: 0,
            is_disk_full: false,
            checkpointed_starts: 0,
            fetched: 0,
            retention,
            dropped: 0,
            frozen: None,
        };
        let disks = (0..shards).map(|_| (MemoryStorage::new(retention.segment_bytes(), 100_000), Vec::new())).collect();
        world.boot(disks);
        world
    }

    pub fn add_client(&mut self, client: Client) {
        self.clients.push(client);
        self.pipes.push(Pipe::default());
    }

    fn settings(&self, me: usize) -> Settings {
        Settings {
            me: ShardId(me as u16),
            placement: self.placement,
            limits: limits(),
            windows: self.windows,
            upkeep: self.retention.upkeep(),
            seed: self.seed,
            fingerprint_seed: 9,
        }
    }

    fn boot(&mut self, disks: Vec<Disk>) {
        let context = Arc::new(Context {
            limits: limits(),
            server_version: "sim",
            server_key: "c2ltdWxhdGVk".into(),
            node_id: 1,
        });
        let verifier = Arc::new(token::Verifier::hs256(SECRET, 5_000));
        for (me, (disk, mut checkpoints)) in disks.into_iter().enumerate() {
            let newest_first: Vec<&[u8]> = checkpoints.iter().map(|(_, bytes)| &bytes[..]).collect();
            let opened = Shard::open(self.settings(me), disk.with_cold_segments(), &newest_first, self.now);
            let (shard, survey) = opened.expect("what a crash leaves opens");
            self.checkpointed_starts += u64::from(survey.begun_with.is_some());
            // Set aside.
            checkpoints.drain(..survey.unusable.len());
            let common = Common {
                me: ShardId(me as u16),
                placement: self.placement,
                context: context.clone(),
                verifier: verifier.clone(),
            };
            let turn = Turn::new(shard, common, || *b"saltsaltsaltsalt");
            let fetches = VecDeque::new();
            self.cores.push(Core { turn, pipes: BTreeMap::new(), syncing: None, fetches, checkpoints });
        }
        for at in 0..self.cores.len() {
            self.cores[at].turn.start(self.now);
            self.carry_out(at);
        }
    }

    /// The process is gone at once; of what was not synced, chance keeps what it likes.
    pub fn crash(&mut self) {
        self.crashes += 1;
        let torn_tail = *self.chance.pick(&[TornTail::Sectors, TornTail::Garbled]);
        // A killed process loses nothing that it wrote; a power cut may.
        let is_power_cut = !self.is_waived && !self.chance.one_in(4);
        let mut disks = Vec::new();
        for mut core in std::mem::take(&mut self.cores) {
            let mut disk =
                std::mem::replace(core.turn.storage_mut(), MemoryStorage::new(self.retention.segment_bytes(), 0));
            if is_power_cut {
                disk.crash(torn_tail, || self.chance.next());
            }
            disk.set_spares(100_000);
            self.fetched += core.turn.shard().stats().fetched;
            self.dropped += core.turn.shard().stats().dropped_segments;
            let mut checkpoints = core.checkpoints;
            // Two are kept because one may be lost; what was dropped lives on in nothing else.
            let may_be_lost = checkpoints.len() > 1 || disk.segments().start == 1;
            let lost = checkpoints.first_mut().filter(|_| may_be_lost && self.chance.one_in(4));
            if let Some((_, newest)) = lost {
                let at = self.chance.below(newest.len());
                newest[at] ^= 1 << self.chance.below(8);
            }
            disks.push((disk, checkpoints));
        }
        self.is_disk_full = false;
        self.lanes.clear();
        self.migrants.clear();
        for (pipe, client) in self.pipes.iter_mut().zip(&mut self.clients) {
            *pipe = Pipe { client_closed: true, server_closed: true, ..Pipe::default() };
            client.disconnected();
        }
        self.boot(disks);
    }

    pub fn set_disk_full(&mut self, is_full: bool) {
        self.is_disk_full = is_full;
        for core in &mut self.cores {
            core.turn.storage_mut().set_spares(if is_full { 0 } else { 100_000 });
        }
    }

    /// One thing happens, somewhere.
    pub fn step(&mut self) {
        if self.chance.one_in(4) {
            self.now = self.now.plus(self.chance.below(4) as u64);
        }
        match self.chance.below(100) {
            0..28 => self.act(),
            28..48 => self.deliver_to_server(),
            48..64 => self.deliver_to_client(),
            64..76 => self.finish_write(),
            76..88 => self.deliver_parcels(),
            88..96 => self.finish_sync(),
            96 => self.tick(),
            97 => self.finish_fetch(),
            98 => self.move_on(),
            _ => self.now = self.now.plus(self.chance.below(400) as u64),
        }
    }

    /// A random client does what its state allows.
    fn act(&mut self) {
        let at = self.chance.below(self.clients.len());
        match self.clients[at].phase {
            Phase::Offline => self.connect(at),
            Phase::Open if self.chance.one_in(60) => self.hang_up(at),
            Phase::Open => {
                let bytes = self.clients[at].act(&self.users, &mut self.ledger, &mut self.chance);
                self.pipes[at].to_server.extend(bytes);
            }
            Phase::Upgrading | Phase::Authenticating => {}
        }
    }

    /// A new connection, accepted by whichever core the kernel likes.
    pub fn connect(&mut self, at: usize) {
        let is_free = self.pipes[at].place == Place::Nowhere && !self.is_moving(at);
        if !is_free || !self.cores.iter().all(|core| core.turn.is_ready()) {
            return;
        }
        let core = self.chance.below(self.cores.len());
        let key = self.cores[core].turn.accept(self.now);
        self.cores[core].pipes.insert(key, at);
        let to_server = self.clients[at].connect().into();
        self.pipes[at] = Pipe { to_server, place: Place::At(core, key), ..Pipe::default() };
        self.carry_out(core);
    }

    fn is_moving(&self, at: usize) -> bool {
        self.migrants.iter().any(|(_, pipe, _)| *pipe == at)
    }

    fn hang_up(&mut self, at: usize) {
        self.pipes[at].client_closed = true;
        self.clients[at].disconnected();
    }

    pub fn deliver_to_server(&mut self) {
        let at = self.chance.below(self.pipes.len());
        let pipe = &mut self.pipes[at];
        let Place::At(core, key) = pipe.place else { return };
        if pipe.to_server.is_empty() {
            if pipe.client_closed && !pipe.ending {
                self.cores[core].turn.hung_up(self.now, key);
                self.carry_out(core);
            }
            return;
        }
        if pipe.ending || !self.cores[core].turn.wants_read(key) {
            return;
        }
        let most = pipe.to_server.len().min(*self.chance.pick(&[1, 7, 100, 2_048]));
        let take = self.chance.between(1, most);
        let mut bytes: Vec<u8> = pipe.to_server.drain(..take).collect();
        self.cores[core].turn.received(self.now, key, &mut bytes);
        self.carry_out(core);
    }

    pub fn deliver_to_client(&mut self) {
        let at = self.chance.below(self.pipes.len());
        let pipe = &mut self.pipes[at];
        if pipe.to_client.is_empty() {
            if pipe.server_closed && self.clients[at].phase != Phase::Offline {
                self.clients[at].disconnected();
            }
            return;
        }
        let take = self.chance.between(1, pipe.to_client.len().min(4_096));
        let bytes: Vec<u8> = pipe.to_client.drain(..take).collect();
        if pipe.client_closed {
            return;
        }
        let said = self.clients[at].hear(&bytes, &mut self.ledger, &mut self.chance);
        self.pipes[at].to_server.extend(said);
    }

    pub fn finish_write(&mut self) {
        let at = self.chance.below(self.pipes.len());
        let Some(bytes) = self.pipes[at].writing.take() else { return };
        let Place::At(core, key) = self.pipes[at].place else { unreachable!("a write is waited for") };
        self.pipes[at].to_client.extend(&bytes);
        self.cores[core].turn.wrote(self.now, key, bytes.len());
        self.carry_out(core);
        self.write(core, key);
        self.leave(core, key);
    }

    /// Starts a write, if there is something to write and none is in flight.
    fn write(&mut self, core: usize, key: LinkKey) {
        let Some(at) = self.cores[core].pipes.get(&key) else { return };
        let pipe = &mut self.pipes[*at];
        if pipe.writing.is_some() || self.cores[core].turn.outbox_bytes(key) == 0 {
            return;
        }
        pipe.writing = Some(self.cores[core].turn.take_outbox(key, Vec::new()));
    }

    /// A link that has ended or departs does so once nothing of it is in flight.
    fn leave(&mut self, core: usize, key: LinkKey) {
        let Some(at) = self.cores[core].pipes.get(&key).copied() else { return };
        let pipe = &mut self.pipes[at];
        if pipe.writing.is_some() {
            return;
        }
        if pipe.ending {
            return self.close(core, key);
        }
        let Some(to) = pipe.departing.take() else { return };
        pipe.place = Place::Nowhere;
        self.cores[core].pipes.remove(&key);
        self.handed_over += 1;
        self.migrants.push_back((usize::from(to.0), at, self.cores[core].turn.detach(key)));
    }

    fn close(&mut self, core: usize, key: LinkKey) {
        let at = self.cores[core].pipes.remove(&key).expect("a link has a pipe");
        let pipe = &mut self.pipes[at];
        (pipe.server_closed, pipe.place, pipe.writing) = (true, Place::Nowhere, None);
        self.cores[core].turn.release(key);
    }

    pub fn move_on(&mut self) {
        let Some((core, at, migrant)) = self.migrants.pop_front() else { return };
        let key = self.cores[core].turn.adopt(self.now, migrant);
        self.cores[core].pipes.insert(key, at);
        self.pipes[at].place = Place::At(core, key);
        self.carry_out(core);
    }

    pub fn deliver_parcels(&mut self) {
        let moves =
            |((from, _), lane): &(&(usize, usize), &VecDeque<Parcel>)| !lane.is_empty() && self.frozen != Some(*from);
        let busy: Vec<(usize, usize)> = self.lanes.iter().filter(moves).map(|(k, _)| *k).collect();
        if busy.is_empty() {
            return;
        }
        let (from, to) = *self.chance.pick(&busy);
        for _ in 0..self.chance.between(1, 4) {
            let Some(parcel) = self.lanes.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { break };
            self.cores[to].turn.arrived(self.now, ShardId(from as u16), parcel);
            self.carry_out(to);
        }
    }

    pub fn finish_sync(&mut self) {
        let at = self.chance.below(self.cores.len());
        let core = &mut self.cores[at];
        let Some(batch) = core.syncing.take() else { return };
        core.turn.storage_mut().sync(batch);
        core.turn.synced(self.now, batch.to);
        self.carry_out(at);
    }

    /// Somebody has read for a shard, from its segments as they are by now.
    pub fn finish_fetch(&mut self) {
        let at = self.chance.below(self.cores.len());
        let Some(fetch) = self.cores[at].fetches.pop_front() else { return };
        let fetched = fetch.read(self.cores[at].turn.shard().journal().storage());
        self.cores[at].turn.fetched(self.now, fetched);
        self.carry_out(at);
    }

    /// A checkpoint that is due is made, or it is not, or it is damaged later on.
    fn checkpoint(&mut self, at: usize) {
        let settings = self.settings(at);
        let core = &mut self.cores[at];
        let Some(through) = core.turn.shard().checkpoint_due() else { return };
        if self.chance.one_in(2) {
            return;
        }
        let storage = core.turn.storage_mut();
        let (from, to) =
            (Position::new(storage.segments().start, 0), Position::new(through, self.retention.segment_bytes()));
        storage.sync(Batch { from, to });
        let previous: Vec<&[u8]> = core.checkpoints.iter().map(|(_, bytes)| &bytes[..]).collect();
        let made = survey(&settings, &previous, &*storage, through).expect("a log that is written opens");
        core.checkpoints.insert(0, (through, made.bytes));
        core.checkpoints.truncate(2);
        core.turn.checkpointed(self.now, through);
    }

    pub fn tick(&mut self) {
        (0..self.cores.len()).for_each(|at| self.checkpoint(at));
        for at in 0..self.cores.len() {
            self.cores[at].turn.tick(self.now);
            self.carry_out(at);
        }
    }

    /// What the reactor does after each turn.
    fn carry_out(&mut self, at: usize) {
        if self.is_waived {
            self.cores[at].turn.waive(self.now);
        }
        let actions: Vec<Action> = self.cores[at].turn.actions().collect();
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
                Action::Fetch(fetch) => self.cores[at].fetches.push_back(*fetch),
                Action::Forward(to, parcel) => {
                    let lane = self.lanes.entry((at, usize::from(to.0))).or_default();
                    lane.push_back(parcel);
                    assert!(lane.len() <= self.windows.lane_parcels_max(), "a lane overflows");
                }
            }
        }
        let core = &mut self.cores[at];
        if core.syncing.is_none() {
            core.syncing = core.turn.seal();
        }
    }

    pub fn say(&mut self, at: usize, bytes: Vec<u8>) {
        self.pipes[at].to_server.extend(bytes);
    }
}
