//! What every verb is carried out with: the time of the input, and what the shard wants done because of it.

use crate::model::Moment;
use crate::shard::core::effect::Effect;

/// One input's own.
pub(in crate::shard) struct Ctx<'a> {
    pub now: Moment,
    /// Appended to.
    pub effects: &'a mut Vec<Effect>,
}
