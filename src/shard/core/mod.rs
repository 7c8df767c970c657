//! What every verb sees: the shard and its state, its inputs and its effects.

pub(super) mod context;
pub(super) mod deferred;
pub(super) mod effect;
pub(super) mod input;
pub(super) mod settings;
pub(super) mod shard;
pub(super) mod state;
pub(super) mod waiting_orders;
