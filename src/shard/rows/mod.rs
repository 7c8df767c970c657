//! The rows of users and conversations, and tables beside them.

pub(super) mod accounts;
pub(super) mod charge;
pub(super) mod cleared;
pub(super) mod conversation;
pub(super) mod dedupe;
pub(super) mod devices;
pub(super) mod groups;
pub(super) mod inbox;
pub(super) mod index;
pub(super) mod logged_presence;
pub(super) mod marks;
pub(super) mod names;
pub(super) mod packed_row;
pub(super) mod profiles;
pub(super) mod push_devices;
pub(super) mod rate;
pub(super) mod seat;
pub(super) mod seat_list;
pub(super) mod segment_times;
