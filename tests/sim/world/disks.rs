//! Disks: syncs, cold reads and checkpoints, each done some time after it was asked for, and the audit at the end.

use crate::world::{Disk, Reading, World};
use mushan::log::{Batch, MemoryStorage, Segments};
use mushan::model::Position;
use mushan::shard::{self, Examined, FetchStep, Findings, Promise, Violation, survey};

impl World {
    pub fn finish_sync(&mut self) {
        let at = self.chance.below(self.cores.len());
        self.finish_sync_of(at);
    }

    pub fn finish_sync_of(&mut self, at: usize) {
        let Some(batch) = self.cores[at].syncing.take() else { return };
        if self.is_sync_to_fail() {
            return self.fail_sync(at, batch);
        }
        let core = &mut self.cores[at];
        core.turn.storage_mut().sync(batch);
        core.turn.synced(self.now, batch.to);
        self.carry_out(at);
    }

    pub fn set_disk_full(&mut self, is_full: bool) {
        self.is_disk_full = is_full;
        self.ledger.is_full = is_full;
        self.ledger.fills += 1;
        self.sightings.lost_room();
        // Without room, nobody is remembered.
        self.ledger.known_users.clear();
        for core in &mut self.cores {
            core.turn.storage_mut().set_spares(if is_full { 0 } else { 100_000 });
        }
    }

    /// Somebody reads a part for a shard, from its segments as they are by now, or brings back what was read, which may
    /// have been asked for after what is still out.
    pub fn finish_fetch(&mut self) {
        let at = self.chance.below(self.cores.len());
        self.finish_fetch_of(at);
    }

    pub fn finish_fetch_of(&mut self, at: usize) {
        let core = &mut self.cores[at];
        if core.fetches.is_empty() {
            return;
        }
        let reading = core.fetches.swap_remove(self.chance.below(core.fetches.len()));
        match reading {
            Reading::Asked(fetch) => core.fetches.push(match fetch.read_some(core.turn.shard().journal().storage()) {
                FetchStep::Done(fetched) => Reading::Read(fetched),
                FetchStep::More(fetch) => Reading::Asked(fetch),
            }),
            Reading::Read(fetched) => {
                core.turn.fetched(self.now, *fetched);
                self.carry_out(at);
            }
        }
    }

    /// A checkpoint that is due is made, or it is not, or it is damaged later on.
    pub fn checkpoint(&mut self, at: usize) {
        let (settings, segment_bytes) = (self.settings(at), self.scale.retention.segment_bytes());
        let Some(through) = self.cores[at].turn.shard().checkpoint_due() else { return };
        if self.chance.one_in(2) {
            return;
        }
        let first = self.cores[at].turn.storage_mut().segments().start;
        let batch = Batch { from: Position::new(first, 0), to: Position::new(through, segment_bytes) };
        if self.is_sync_to_fail() {
            return self.fail_sync(at, batch);
        }
        let core = &mut self.cores[at];
        let storage = core.turn.storage_mut();
        storage.sync(batch);
        let previous: Vec<&[u8]> = core.checkpoints.iter().map(|(_, bytes)| &bytes[..]).collect();
        let made = survey(&settings, &previous, &*storage, through).expect("a log that is written opens");
        core.checkpoints.insert(0, (through, made.bytes));
        core.checkpoints.truncate(2);
        core.turn.checkpointed(self.now, through);
    }

    /// The process is gone; its disks stay as they are.
    pub fn power_off(&mut self) -> Vec<Disk> {
        let mut disks = Vec::new();
        for mut core in std::mem::take(&mut self.cores) {
            let stats = core.turn.shard().stats();
            self.fetched += stats.fetched;
            self.fell_behind += stats.fell_behind;
            self.dropped += stats.dropped_segments;
            self.healed += stats.given_back + stats.redelivered;
            assert_eq!(stats.contradictions, 0, "two logs have two messages at one place");
            let nothing = MemoryStorage::new(self.scale.retention.segment_bytes(), 0);
            disks.push((std::mem::replace(core.turn.storage_mut(), nothing), core.checkpoints));
        }
        disks
    }

    /// Ends the run: what the logs themselves say must be what was promised.
    pub fn audit(&mut self) {
        let settings: Vec<_> = (0..self.cores.len()).map(|at| self.settings(at)).collect();
        let disks = self.power_off();
        let mut findings = Findings::default();
        let end = Position::new(u32::MAX, 0);
        let mut examined = Vec::new();
        for (settings, (disk, checkpoints)) in settings.iter().zip(&disks) {
            let newest_first: Vec<&[u8]> = checkpoints.iter().map(|(_, bytes)| &bytes[..]).collect();
            let one = Examined::read(settings, disk, &newest_first, end, &mut findings);
            examined.push(one.expect("a log that is written is read"));
        }
        shard::audit(&examined, &mut findings, &|_| {});
        // It knows no other time than dates: by these, what was said again after hours may have been said at once.
        let has_wrong_dates = self.clocks.times_set > 0 && self.ledger.aged > 0;
        let is_excused = |found: &Violation| has_wrong_dates && found.promise == Promise::ClientId;
        let is_sound = findings.is_sound() || findings.violations.iter().all(is_excused);
        assert!(is_sound, "the audit finds {:#?}", findings.violations);
    }
}
