//! Records to append, encoded from where their parts are, so that no part is moved into a `Record` and out of it again.

use crate::log::record::body::{self, DELIVERY_BYTES, DurabilityMark};
use crate::log::record::bytes::Put;
use crate::log::record::envelope;
use crate::log::record::message::{LINK_BYTES, encode_links, encode_message, message_bytes, put_link};
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

impl RecordRef<'_> {
    /// Bytes of this record in a segment: envelope, body and padding.
    pub fn encoded_bytes(self) -> usize {
        envelope::record_bytes(self.body_bytes())
    }

    pub(in crate::log) fn kind(self) -> u8 {
        match self {
            Self::Posted { .. } => body::KIND_POSTED,
            Self::Delivered { .. } => body::KIND_DELIVERED,
            Self::Fanned { .. } => body::KIND_FANNED,
            Self::Whole(record) => body::kind_of(record),
        }
    }

    /// Exactly the bytes that `encode` appends.
    pub(in crate::log) fn body_bytes(self) -> usize {
        match self {
            Self::Posted { message, deliveries, links } => {
                message_bytes(message, links) + deliveries.len() * DELIVERY_BYTES
            }
            Self::Delivered { message, links, .. } => message_bytes(message, links) + DELIVERY_BYTES,
            Self::Fanned { links, .. } => {
                8 + 2 + links.iter().map(|member| 1 + LINK_BYTES + member.user.as_str().len()).sum::<usize>()
            }
            Self::Whole(record) => body::body_bytes(record),
        }
    }

    /// Appends the body. `claim` is the claim of a `Start` or `Mark`.
    pub(in crate::log) fn encode(self, claim: DurabilityMark, out: &mut Vec<u8>) {
        match self {
            Self::Posted { message, deliveries, links } => {
                encode_links(message, links, deliveries.len(), out);
                for delivery in deliveries {
                    out.put_u16(delivery.target.0);
                    out.put_u64(delivery.number);
                }
                encode_message(message, out);
            }
            Self::Delivered { source, number, message, links } => {
                encode_links(message, links, 0, out);
                out.put_u16(source.0);
                out.put_u64(number);
                encode_message(message, out);
            }
            Self::Fanned { of, links } => {
                out.put_u64(of.0);
                out.put_u16(u16::try_from(links.len()).expect("a record has few of them"));
                for MemberLink { user, link } in links {
                    put_link(link, out);
                    out.put_short(user.as_str().as_bytes());
                }
            }
            Self::Whole(record) => body::encode(record, claim, out),
        }
    }
}
