//! Checkpoints: a shard's state, written so that a start need not read the whole log. A checkpoint is made without a
//! running shard, from the previous checkpoint and the segments after it.
//!
//! Invariant: a checkpoint and a replay of the log after it give the state that the whole log gives.

use crate::log::checkpoint::{self, Base, CHECKPOINT_VERSION, Checkpoint, CheckpointError};
use crate::log::record::bytes::{Put, Reader};
use crate::log::{self, Damage, Journal, OpenError, OpenedLog, ReadMode, Record, Segments, Storage, View};
use crate::model::{Moment, Position};
use crate::shard::core::shard::{BackgroundProgress, Meters, ShardLog};
use crate::shard::core::state::RowTables;
use crate::shard::live::streams::Streams;
use crate::shard::peers::peer_shard::PeerShard;
use crate::shard::rows::accounts::{Accounts, Erased};
use crate::shard::rows::charge::Prices;
use crate::shard::rows::cleared::ClearedTable;
use crate::shard::rows::conversation::ConversationTable;
use crate::shard::rows::dedupe::Dedupe;
use crate::shard::rows::groups::Groups;
use crate::shard::rows::inbox::InboxTable;
use crate::shard::rows::marks::{Blocks, Consumed, Receipts, Revoked};
use crate::shard::rows::profiles::{GroupProfiles, UserProfiles};
use crate::shard::rows::push_devices::PushDevices;
use crate::shard::rows::seat::SeatAt;
use crate::shard::rows::segment_times::SegmentTimes;
use crate::shard::table::join_requests::JoinRequestTable;
use crate::shard::table::message_pool::MessagePool;
use crate::shard::table::trusted_clock::SettledClock;
use crate::shard::work::retention::{RetainedCheckpoints, SegmentDependencies};
use crate::shard::work::saved_job::{self, SavedJob};
use crate::shard::{Shard, ShardSettings, State};

/// What `Shard::open` has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedShard {
    /// The log.
    pub log: OpenedLog,
    /// The index of the checkpoint with which the opening began; `None`: with the first record.
    pub begun_with: Option<usize>,
    /// Why newer checkpoints could not be used.
    pub unusable: Vec<CheckpointError>,
}

impl<S: Storage> Shard<S> {
    /// Opens a log and rebuilds the shard's state: from the first usable one of `checkpoints` (newest first) and the
    /// records after it, or from all records. `now` dates the record that `start` appends; the opening appends none.
    ///
    /// # Errors
    ///
    /// Acknowledged data is damaged, or the log or a checkpoint belongs to another shard or version.
    pub fn open<C: AsRef<[u8]>>(
        settings: ShardSettings,
        storage: S,
        checkpoints: &[C],
        now: Moment,
    ) -> Result<(Self, OpenedShard), OpenError> {
        let mut found = UsableCheckpoint::among(&settings, checkpoints)?;
        found.resume(&storage)?;
        let UsableCheckpoint { at: begun_with, base, mut state, unusable, .. } = found;
        let replay = |position, record| state.replay(position, record, settings.me);
        let (journal, log) = Journal::open_idle(storage, settings.me, now.wall, base.as_ref(), replay)?;
        expect_unconfirmed(&state, &journal)?;
        state.end_presence();
        state.live.streams.wake(now.steady);
        let newest = state.segments.times.believable(SettledClock::settles_ms(&settings.limits));
        let mut clock = SettledClock::start(now, newest, &settings.limits);
        if state.segments.times.are_doubtful(clock.dates_doubted_ms()) {
            clock.doubt_dates(now);
        }
        state.segments.times.begin_run(journal.end().segment(), now.wall);
        state.tables.dedupe.wake(now, clock.trusts_dates(now));
        let shard_log = ShardLog::new(journal);
        // What was replayed is durable, so no crash can undo it any more: nobody is shown the words until the next sync.
        state.tables.revoked.acknowledged(shard_log.acknowledged);
        state.tables.erased.acknowledged(shard_log.acknowledged);
        let mut kept = RetainedCheckpoints::default();
        if let Some(base) = base {
            kept.add(base.end.segment());
        }
        let shard = Self {
            prices: Prices::of(&settings.limits),
            settings,
            log: shard_log,
            state,
            background: BackgroundProgress { checkpoints: kept, clock, next_part: 0 },
            healing: Some(Box::default()),
            spares: MessagePool::default(),
            meters: Meters::default(),
        };
        Ok((shard, OpenedShard { log, begun_with, unusable }))
    }
}

/// Bytes of each row in a checkpoint (docs/FORMAT.md), without ids.
const USER_BYTES: u64 = 55;
const CONVERSATION_BYTES: u64 = 28 + 46;
const SEAT_BYTES: u64 = 40;
const MEMBER_BYTES: u64 = 10;
const DEDUPE_ROW_BYTES: u64 = 24;
/// Uncounted parts (devices, names, marks and others) are estimated as this fraction of the rest.
const REST_PART: u64 = 4;
const LEAST_BYTES: u64 = 16 << 10;

impl<S: Storage> Shard<S> {
    /// An estimate of the bytes of a checkpoint that was made now, rather too large than too small.
    pub fn checkpoint_bytes_about(&self) -> u64 {
        let RowTables { inboxes, conversations, dedupe, .. } = &self.state.tables;
        let (users, conversations) = (inboxes.len() as u64, conversations.len() as u64);
        let (id_bytes, seats) = inboxes.id_bytes_and_seats();
        let id = id_bytes.checked_div(users).unwrap_or_default();
        let counted = users * USER_BYTES
            + id_bytes
            + conversations * (CONVERSATION_BYTES + 2 * id)
            + seats * SEAT_BYTES
            + self.state.groups.rosters.members() * (MEMBER_BYTES + id)
            + dedupe.len() as u64 * DEDUPE_ROW_BYTES;
        let profiles = self.state.tables.profiles.bytes() + self.state.groups.rosters.profiles.bytes();
        let requests = self.state.groups.rosters.requests.bytes();
        let exact = profiles + self.state.tables.push_devices.bytes() + requests + self.state.tables.cleared.bytes();
        counted + counted / REST_PART + exact + LEAST_BYTES
    }
}

/// Checks that the messages of unconfirmed deliveries are in the log.
fn expect_unconfirmed<S: Storage>(state: &State, journal: &Journal<S>) -> Result<(), OpenError> {
    let view = journal.view(ReadMode::Unbounded);
    let is_lost = |position: &Position| !matches!(view.read(*position), Ok(Record::Posted { .. }));
    match state.peers.outbound.unconfirmed().find(is_lost) {
        None => Ok(()),
        Some(position) => Err(OpenError::Damaged(Damage { position })),
    }
}

/// A new checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The file's contents.
    pub bytes: Vec<u8>,
    /// Why the newest of the earlier checkpoints could not be used.
    pub unusable: Vec<CheckpointError>,
}

/// The checkpoint at the end of segment `through`, of a log that is being appended to: from the first usable one of
/// `previous` (newest first) and the segments after it, or from the whole log.
///
/// # Errors
///
/// The log cannot be read up to there, or belongs to another shard or version.
pub fn survey<S: Segments, C: AsRef<[u8]>>(
    settings: &ShardSettings,
    previous: &[C],
    segments: &S,
    through: u32,
) -> Result<Made, OpenError> {
    let mut found = UsableCheckpoint::among(settings, previous)?;
    found.resume(segments)?;
    let UsableCheckpoint { base, mut state, unusable, .. } = found;
    let replay = |position, record| state.replay(position, record, settings.me);
    let base = log::survey(segments, settings.me, base.as_ref(), through, replay)?;
    state.forget_before(segments.segments().start);
    state.forget_rest();
    let mut bytes = Vec::new();
    checkpoint::begin(settings.me, &base, &mut bytes);
    state.put(settings.fingerprint_seed, &mut bytes);
    checkpoint::finish(&mut bytes);
    Ok(Made { bytes, unusable })
}

/// The first usable checkpoint, or an empty state.
pub(in crate::shard) struct UsableCheckpoint {
    at: Option<usize>,
    pub base: Option<Base>,
    pub state: State,
    jobs: Vec<SavedJob>,
    unusable: Vec<CheckpointError>,
}

impl UsableCheckpoint {
    /// A checkpoint of another version is an error, not a damaged one: it may contain what the log does not have any
    /// more.
    pub fn among<C: AsRef<[u8]>>(settings: &ShardSettings, checkpoints: &[C]) -> Result<Self, OpenError> {
        let mut unusable = Vec::new();
        for (at, bytes) in checkpoints.iter().enumerate() {
            match read(settings, bytes.as_ref()) {
                Ok((base, state, jobs)) => return Ok(Self { at: Some(at), base: Some(base), state, jobs, unusable }),
                Err(CheckpointError::Version { version }) => {
                    return Err(OpenError::CheckpointVersion { version, supported: CHECKPOINT_VERSION });
                }
                Err(why) => unusable.push(why),
            }
        }
        Ok(Self { at: None, base: None, state: State::new(settings), jobs: Vec::new(), unusable })
    }

    /// Restores the jobs that were under way; their messages are in the log.
    pub fn resume<S: Segments>(&mut self, log: &S) -> Result<(), OpenError> {
        let end = self.base.as_ref().map_or(Position::NONE, |base| base.end);
        let jobs = std::mem::take(&mut self.jobs);
        self.state.resume_jobs(jobs, View::new(log, end, ReadMode::Unbounded))
    }
}

impl UsableCheckpoint {
    /// The same in a damaged log: restores the jobs whose messages are left, and returns the errors of the others.
    pub fn resume_readable<S: Segments>(&mut self, log: &S) -> Vec<OpenError> {
        let end = self.base.as_ref().map_or(Position::NONE, |base| base.end);
        let view = View::new(log, end, ReadMode::Unbounded);
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        jobs.filter_map(|job| self.state.resume_jobs(vec![job], view).err()).collect()
    }
}

type Read = (Base, State, Vec<SavedJob>);

fn read(settings: &ShardSettings, bytes: &[u8]) -> Result<Read, CheckpointError> {
    let Checkpoint { version, base, body } = Checkpoint::decode(bytes, settings.me)?;
    let (state, jobs) = State::read(settings, version, body).ok_or(CheckpointError::Damaged)?;
    Ok((base, state, jobs))
}

/// The version of checkpoints from which on they name erased users.
const ERASED_SINCE: u16 = 4;
/// From which on they have devices that push services wake, and requests to join groups.
const PUSH_DEVICES_SINCE: u16 = 5;
/// From which on they have the conversations that users have cleared for themselves.
const CLEARED_SINCE: u16 = 6;
const CLOCK_OFFSET_SINCE: u16 = 7;

impl State {
    fn put(&self, fingerprint_seed: u64, out: &mut Vec<u8>) {
        out.put_u64(fingerprint_seed);
        self.segments.times.put(out);
        out.put_u32(u32::try_from(self.peers.outbound.peers().len()).expect("shards are numbered in 16 bits"));
        self.peers.outbound.peers().iter().for_each(|peer| peer.put(out));
        self.tables.conversations.put(&self.tables.inboxes, self.identity.fingerprints, out);
        self.tables.dedupe.put(out);
        self.tables.inboxes.put(&self.tables.presence, out);
        self.groups.rosters.put(out);
        self.groups.fan_out.put(out);
        self.tables.blocks.put(out);
        self.tables.revoked.put(out);
        self.tables.consumed.put(out);
        self.tables.receipts.put(out);
        self.live.streams.put(out);
        self.segments.dependencies.put(out);
        self.tables.accounts.put(out);
        self.segments.times.put_course(out);
        self.tables.erased.put(out);
        self.tables.profiles.put(out);
        self.groups.rosters.profiles.put(out);
        self.tables.push_devices.put(out);
        self.groups.rosters.requests.put(out);
        self.tables.cleared.put(out);
        self.segments.times.put_offset(out);
    }

    /// `None` unless the bytes are exactly what `put` writes in this data directory.
    fn read(settings: &ShardSettings, version: u16, body: &[u8]) -> Option<(Self, Vec<SavedJob>)> {
        let mut reader = Reader::new(body);
        if reader.u64()? != settings.fingerprint_seed {
            return None;
        }
        let times = SegmentTimes::read(version, &mut reader)?;
        let mut state = Self::new(settings);
        state.segments.times = times;
        let shards = reader.u32()?;
        if shards != u32::from(settings.placement.shards()) {
            return None;
        }
        state.peers.outbound.restore((0..shards).map(|_| PeerShard::read(&mut reader)).collect::<Option<_>>()?);
        let mut conversations = Reader::new(reader.rest());
        ConversationTable::pass_over(&mut reader)?;
        state.tables.dedupe = Dedupe::read(settings.limits.dedupe_window_ms, &mut reader)?;
        state.tables.inboxes = InboxTable::read(settings.seed, &mut state.tables.presence, &mut reader)?;
        // They refer to users by index, which is known only now.
        state.tables.conversations = ConversationTable::read(settings.me, &state.tables.inboxes, &mut conversations)?;
        state.groups.rosters = Groups::read(settings.seed, settings.placement, &mut reader)?;
        let jobs = saved_job::read(&mut reader)?;
        state.tables.blocks = Blocks::read(&mut reader)?;
        state.tables.revoked = Revoked::read(&mut reader)?;
        state.tables.consumed = Consumed::read(&mut reader)?;
        state.tables.receipts = Receipts::read(settings.seed, &mut reader)?;
        state.live.streams = Streams::read(&mut reader)?;
        state.segments.dependencies = SegmentDependencies::read(&mut reader)?;
        state.tables.accounts = Accounts::read(&mut reader)?;
        if !reader.is_at_end() {
            state.segments.times.read_course(version, &mut reader)?;
        }
        if version >= ERASED_SINCE {
            state.tables.erased = Erased::read(&mut reader)?;
            state.tables.profiles = UserProfiles::read(&mut reader)?;
            state.groups.rosters.profiles = GroupProfiles::read(&mut reader)?;
        }
        if version >= PUSH_DEVICES_SINCE {
            state.tables.push_devices = PushDevices::read(&mut reader)?;
            state.groups.rosters.requests = JoinRequestTable::read(&mut reader)?;
        }
        if version >= CLEARED_SINCE {
            let (users, conversations) = (state.tables.inboxes.len(), state.tables.conversations.len());
            state.tables.cleared = ClearedTable::read(&mut reader, users, conversations)?;
        }
        if version >= CLOCK_OFFSET_SINCE {
            state.segments.times.read_offset(&mut reader)?;
        }
        state.link_seats()?;
        Some((state, jobs)).filter(|_| reader.is_at_end())
    }

    /// Links users to their seats; `None` if a stream or a name refers to nothing.
    fn link_seats(&mut self) -> Option<()> {
        for (conversation, row) in self.tables.conversations.packed() {
            for (seat, taken) in (0..).zip(row.seats()) {
                self.tables.inboxes.add_seat(taken.user, SeatAt { conversation, seat });
                if row.group().is_some() && taken.is_taken() {
                    self.tables.inboxes.enter_group(taken.user);
                }
            }
        }
        let are_streams_sound =
            self.live.streams.authors().all(|author| (author.0 as usize) < self.tables.inboxes.len());
        (are_streams_sound && self.tables.inboxes.names_lead_below(self.tables.conversations.len())).then_some(())
    }

    /// Restores the fan-outs that were under way; their messages are in the log.
    fn resume_jobs<S: Segments>(&mut self, jobs: Vec<SavedJob>, view: View<'_, S>) -> Result<(), OpenError> {
        for job in jobs {
            let damage = Damage { position: job.record };
            let record = view.read(job.record).map_err(|_| OpenError::Damaged(damage))?;
            let (message, _) = record.message().ok_or(OpenError::Damaged(damage))?;
            if job.at.0 as usize >= self.tables.conversations.len() {
                return Err(OpenError::Damaged(damage));
            }
            self.groups.fan_out.restore(job, message.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
