//! The link of a group's entry in one member's inbox, inside a Fanned record (docs/FORMAT.md).
//!
//! Invariant: decoding is total and gives exactly what was written, or nothing.

use crate::log::record::bytes::{Put, Reader, text};
use crate::log::record::message::{LINK_BYTES, put_link, read_link};
use crate::log::{MemberLink, Side, Thread, ThreadLink};
use crate::model::UserId;

/// Beside the length of a member's id, which is at most 64: the member had no session.
const MEMBER_AWAY: u8 = 0x80;

/// Exactly the bytes that `put_member_link` appends.
pub(in crate::log) fn member_link_bytes(member: &MemberLink) -> usize {
    LINK_BYTES + 1 + member.user.as_str().len()
}

pub(in crate::log) fn put_member_link(MemberLink { user, link }: &MemberLink, out: &mut impl Put) {
    put_link(link, out);
    let id = user.as_str().as_bytes();
    let length = u8::try_from(id.len()).expect("ids are bounded by their type");
    out.put_u8(length | if link.is_away { MEMBER_AWAY } else { 0 });
    out.put_bytes(id);
}

pub(in crate::log) fn read_member_link(reader: &mut Reader<'_>) -> Option<MemberLink> {
    let link = read_link(Side::Peer, false, reader)?;
    let (member, is_away) = read_member(reader)?;
    Some(MemberLink { user: UserId::new(text(member)?).ok()?, link: ThreadLink { is_away, ..link } })
}

fn read_member<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], bool)> {
    let length = reader.u8()?;
    Some((reader.take(usize::from(length & !MEMBER_AWAY))?, length & MEMBER_AWAY != 0))
}

/// Finds the user's link. The links come first in the body, each with an id of at most 64 bytes.
pub(in crate::log) fn member_link_of(body: &[u8], thread: Thread<'_>) -> Option<ThreadLink> {
    let Thread::Inbox(user) = thread else { return None };
    let mut reader = Reader::new(body);
    reader.u64()?;
    for _member in 0..reader.u16()? {
        let link = read_link(Side::Peer, false, &mut reader)?;
        let (member, is_away) = read_member(&mut reader)?;
        if member == user.as_str().as_bytes() {
            return Some(ThreadLink { is_away, ..link });
        }
    }
    None
}
