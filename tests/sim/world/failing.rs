//! Disks that fail to sync, servers that end for it, and servers that are stopped: what the next server finds in memory
//! is not all on the device.

use crate::world::World;
use mushan::log::{Batch, MemoryStorage};

/// What becomes of the power between two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    Stays,
    Goes,
}

/// Whether a crash may take what a waived policy has promised nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    None,
    Permitted,
}

impl World {
    /// Whether the disk fails to sync at this moment.
    pub fn is_sync_to_fail(&mut self) -> bool {
        self.has_failing_disks && self.chance.one_in(15)
    }

    /// A core's sync fails, and with it the server; the next one reads what is in memory.
    pub fn fail_sync(&mut self, at: usize, batch: Batch) {
        self.failed_syncs += 1;
        let disk = self.cores[at].turn.storage_mut();
        disk.fail_next_sync(self.chance.next());
        disk.try_sync(batch).expect_err("it was to fail");
        self.crash_with(Power::Stays, Loss::None);
    }

    /// A graceful stop: all that was written is durable, whatever the policy, and the power may go.
    pub fn stop(&mut self) {
        self.stops += 1;
        for core in &mut self.cores {
            core.turn.close_log(MemoryStorage::try_sync).expect("no sync is to fail");
        }
        let power = *self.chance.pick(&[Power::Stays, Power::Goes]);
        self.crash_with(power, Loss::None);
    }
}
