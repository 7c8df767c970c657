//! The bytes of profiles, in facts, records of their own and checkpoints (docs/FORMAT.md).
//!
//! Invariant: decoding is total and gives exactly what was written, or nothing.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{Extra, GroupProfile, JoinPolicy, Profile};

/// Exactly the bytes that `put_profile` appends.
pub(crate) fn profile_bytes(profile: &Profile) -> usize {
    4 + 4 + 4 + 8 * profile.attributes.iter().count() + profile.bytes()
}

pub(crate) fn put_profile(profile: &Profile, out: &mut impl Put) {
    let Profile { name, avatar, attributes } = profile;
    out.put_long(name.as_bytes());
    out.put_long(avatar.as_bytes());
    out.put_u32(u32::try_from(attributes.iter().count()).expect("attributes are bounded by a limit of bytes"));
    for (key, value) in attributes.iter() {
        out.put_long(key.as_bytes());
        out.put_long(value.as_bytes());
    }
}

pub(crate) fn read_profile(reader: &mut Reader<'_>) -> Option<Profile> {
    fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
        std::str::from_utf8(reader.long()?).ok()
    }
    let (name, avatar) = (text(reader)?.into(), text(reader)?.into());
    let pairs = (0..reader.u32()?).map(|_| Some((text(reader)?.into(), text(reader)?.into())));
    Some(Profile { name, avatar, attributes: Extra::new(pairs.collect::<Option<_>>()?) })
}

/// Exactly the bytes that `put_group_profile` appends.
pub(crate) fn group_profile_bytes(profile: &GroupProfile) -> usize {
    profile_bytes(&profile.about) + 1
}

pub(crate) fn put_group_profile(profile: &GroupProfile, out: &mut impl Put) {
    put_profile(&profile.about, out);
    out.put_u8(match profile.join {
        JoinPolicy::Closed => 0,
        JoinPolicy::Request => 1,
        JoinPolicy::Open => 2,
    });
}

pub(crate) fn read_group_profile(reader: &mut Reader<'_>) -> Option<GroupProfile> {
    let about = read_profile(reader)?;
    let join = match reader.u8()? {
        0 => JoinPolicy::Closed,
        1 => JoinPolicy::Request,
        2 => JoinPolicy::Open,
        _ => return None,
    };
    Some(GroupProfile { about, join })
}
