//! The charge of a message beyond one send: for its bytes, and for the members of its group. And the daily shares of
//! users.
//!
//! Invariants: a message costs at least one of the user's sends and at most the burst, so none is refused for ever; the
//! client ids that are remembered for a user, and the disk space that a user takes, are bounded by the day's share.

use crate::model::Limits;

pub(in crate::shard) const DAY_MS: u64 = 24 * 3_600 * 1_000;
pub(in crate::shard) const MICROS_PER_DAY: u64 = DAY_MS * 1_000;
/// The bytes of a record's envelope, links and ids, and of the remembered client id.
const MESSAGE_BYTES: u64 = 256;
/// One member's entry in the log.
const LINK_BYTES: u64 = 32;
/// A daily limit of 0 is derived from these: hours at the full rate of sends, and bytes per send.
const HOURS_A_DAY: u64 = 6;
const BYTES_A_SEND: u64 = 4 << 10;
const CONVERSATIONS_PER_SECOND_OF_SENDS: u64 = 100;

/// Prices in microseconds of a bucket that fills in a day.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Prices {
    pub send_us: u64,
    /// The price of 1 MiB, since that of a byte is far below one.
    mebibyte_us: u64,
    pub conversation_us: u64,
}

/// The charge of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Charge {
    /// The number of sends.
    pub sends: u32,
    /// Roughly the bytes that the message takes in the log; `None` for what is not stored, which the day's share does
    /// not bound.
    pub bytes: Option<u64>,
}

impl Prices {
    pub fn of(limits: &Limits) -> Self {
        let or = |limit: u64, derived: u64| if limit == 0 { derived } else { limit };
        let per_second = u64::from(limits.sends_per_second);
        let sends = or(limits.sends_per_day, per_second * 3_600 * HOURS_A_DAY);
        let bytes = or(limits.written_bytes_per_day, sends.saturating_mul(BYTES_A_SEND));
        let conversations = or(limits.new_conversations_per_day, per_second * CONVERSATIONS_PER_SECOND_OF_SENDS);
        Self {
            send_us: MICROS_PER_DAY / sends,
            mebibyte_us: u64::try_from((u128::from(MICROS_PER_DAY) << 20) / u128::from(bytes)).unwrap_or(u64::MAX),
            conversation_us: MICROS_PER_DAY / conversations,
        }
    }

    /// The price of a message that takes `bytes` of the log.
    pub fn share_us(self, bytes: u64) -> u64 {
        self.send_us.saturating_add(self.mebibyte_us.saturating_mul(bytes) >> 20)
    }
}

impl Charge {
    /// `members` is the number of the group's members.
    pub fn of(content_bytes: usize, members: usize, limits: &Limits) -> Self {
        let units = content_bytes / limits.send_unit_bytes.max(1) + members / limits.send_unit_members.max(1);
        Self {
            sends: u32::try_from(1 + units).unwrap_or(u32::MAX),
            bytes: Some(MESSAGE_BYTES + content_bytes as u64 + LINK_BYTES * members as u64),
        }
    }
}

impl Charge {
    /// The additional charge for the members of a group.
    pub fn of_members(members: usize, limits: &Limits) -> Self {
        let sends = u32::try_from(members / limits.send_unit_members.max(1)).unwrap_or(u32::MAX);
        Self { sends, bytes: Some(LINK_BYTES * members as u64) }
    }

    /// The charge of what is never stored.
    pub fn of_notice() -> Self {
        Self { sends: 1, bytes: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_a_day_that_is_0_follows_from_the_rate_of_sends() {
        let prices = Prices::of(&Limits::default());
        assert_eq!(MICROS_PER_DAY / prices.send_us, 2_160_000);
        assert_eq!(MICROS_PER_DAY / prices.conversation_us, 10_000);
        let fast = Prices::of(&Limits { sends_per_second: 100_000_000, ..Limits::default() });
        assert_eq!((fast.send_us, fast.conversation_us), (0, 8), "who may send without a limit may do so all day");
    }
}
