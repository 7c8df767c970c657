//! The context of an input: its time, and the effects that it causes.

use crate::model::Moment;
use crate::shard::core::effect::Effect;

/// The context of one input.
pub(in crate::shard) struct Ctx<'a> {
    /// The time of the input.
    pub now: Moment,
    /// The effects so far; verbs append to them.
    pub effects: &'a mut Vec<Effect>,
}
