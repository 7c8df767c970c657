//! Records to append whose parts are borrowed, so that no part is moved into a `Record` and out of it again. `body`
//! encodes them.

use crate::log::{Delivery, MemberLink, Record, ThreadLinks};
use crate::model::{Message, Position, ShardId};

/// A record whose parts are borrowed.
#[derive(Clone, Copy, Debug)]
pub enum RecordRef<'a> {
    /// `Record::Posted`.
    Posted {
        /// The message or the fact.
        message: &'a Message,
        /// Deliveries to other shards that follow from it.
        deliveries: &'a [Delivery],
        /// The links of inboxes and conversation in this log.
        links: &'a ThreadLinks,
    },
    /// `Record::Delivered`.
    Delivered {
        /// The shard that sent it.
        source: ShardId,
        /// The number of the delivery.
        number: u64,
        /// The message or the fact.
        message: &'a Message,
        /// The links of inboxes and conversation in this log.
        links: &'a ThreadLinks,
    },
    /// `Record::Fanned`.
    Fanned {
        /// The position of the record with the message.
        of: Position,
        /// The members' links, at most `FANNED_LINKS_MAX`.
        links: &'a [MemberLink],
    },
    /// Any other kind.
    Whole(&'a Record),
}

impl<'a> From<&'a Record> for RecordRef<'a> {
    fn from(record: &'a Record) -> Self {
        match record {
            Record::Posted { message, deliveries, links } => Self::Posted { message, deliveries, links },
            Record::Delivered { source, number, message, links } => {
                Self::Delivered { source: *source, number: *number, message, links }
            }
            Record::Fanned { of, links } => Self::Fanned { of: *of, links },
            whole => Self::Whole(whole),
        }
    }
}
