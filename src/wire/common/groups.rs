//! Requests about groups and profiles, as both codecs check them (PROTOCOL 2.8).

use crate::model::{
    Extra, GroupAct, GroupId, GroupRequest, JoinPolicy, JoinVerdict, Limits, Millis, Profile, ProfileChange, Refused,
    Role, UserId,
};
use compact_str::CompactString;

/// Key-value pairs as they came.
pub(in crate::wire) type Pairs = Vec<(CompactString, CompactString)>;

/// The parts of a profile that a client gives.
#[derive(Default)]
pub(in crate::wire) struct GivenProfile<'a> {
    pub name: Option<&'a str>,
    pub avatar: Option<&'a str>,
    pub attributes: Option<Pairs>,
}

pub(in crate::wire) fn group_id(text: &str) -> Result<GroupId, Refused> {
    GroupId::new(text).map_err(|_| Refused::invalid("the group's id is malformed"))
}

fn users<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<UserId>, Refused> {
    let user = |text| UserId::new(text).map_err(|_| Refused::invalid("a user id is malformed"));
    texts.into_iter().map(user).collect()
}

pub(in crate::wire) fn user(text: &str) -> Result<UserId, Refused> {
    UserId::new(text).map_err(|_| Refused::invalid("the user's id is malformed"))
}

/// A page of members. An empty `after` is none.
pub(in crate::wire) fn show(after: &str, wanted: i64) -> Result<GroupAct, Refused> {
    page(after, wanted).map(|(after, limit)| GroupAct::Show { after, limit })
}

/// A page of the requests to join. An empty `after` is none.
pub(in crate::wire) fn requests(after: &str, wanted: i64) -> Result<GroupAct, Refused> {
    page(after, wanted).map(|(after, limit)| GroupAct::Requests { after, limit })
}

pub(in crate::wire) fn answer_request(asker: &str, answer: &str) -> Result<GroupAct, Refused> {
    let verdict = JoinVerdict::named(answer).ok_or(Refused::invalid("answer must be approve or decline"))?;
    Ok(GroupAct::AnswerRequest { user: user(asker)?, verdict })
}

fn page(after: &str, wanted: i64) -> Result<(Option<UserId>, usize), Refused> {
    let after = if after.is_empty() { None } else { Some(user(after)?) };
    let limit = match wanted {
        ..0 => return Err(Refused::invalid("limit is negative")),
        0 => GroupRequest::SHOWN_MEMBERS_DEFAULT,
        _ => usize::try_from(wanted).unwrap_or(usize::MAX).min(GroupRequest::SHOWN_MEMBERS_MAX),
    };
    Ok((after, limit))
}

pub(in crate::wire) fn change_members<'a>(
    add: impl ExactSizeIterator<Item = &'a str>,
    remove: impl ExactSizeIterator<Item = &'a str>,
) -> Result<GroupAct, Refused> {
    match add.len() + remove.len() {
        0 => Err(Refused::invalid("add and remove are both empty")),
        1..=GroupRequest::MEMBERS_MAX => Ok(GroupAct::ChangeMembers { add: users(add)?, remove: users(remove)? }),
        _ => Err(Refused::invalid("more than 100 users at once")),
    }
}

pub(in crate::wire) fn change_member(
    member: &str,
    role: Option<&str>,
    muted_until: Option<i64>,
) -> Result<GroupAct, Refused> {
    let member = user(member)?;
    let named = |name| Role::named(name).ok_or(Refused::invalid("role must be member, admin or owner"));
    let role = role.map(named).transpose()?;
    let time = |time| u64::try_from(time).map(Millis).map_err(|_| Refused::invalid("a time is negative"));
    let muted_until = muted_until.map(time).transpose()?;
    if role.is_none() && muted_until.is_none() {
        return Err(Refused::invalid("neither a role nor a mute is given"));
    }
    Ok(GroupAct::ChangeMember { member, role, muted_until })
}

/// Who leaves removes itself.
pub(in crate::wire) fn leave(user: &UserId) -> GroupAct {
    GroupAct::ChangeMembers { add: Vec::new(), remove: vec![user.clone()] }
}

pub(in crate::wire) fn change_profile(
    given: GivenProfile<'_>,
    join: Option<&str>,
    limits: &Limits,
) -> Result<GroupAct, Refused> {
    let named = |name| JoinPolicy::named(name).ok_or(Refused::invalid("join must be closed, request or open"));
    let change = ProfileChange { join: join.map(named).transpose()?, ..profile_change(given, limits)? };
    if change.is_empty() {
        return Err(Refused::invalid("nothing is to change"));
    }
    Ok(GroupAct::ChangeProfile(Box::new(change)))
}

/// A whole profile: what is not given is empty.
pub(in crate::wire) fn profile(given: GivenProfile<'_>, limits: &Limits) -> Result<Profile, Refused> {
    let ProfileChange { name, avatar, attributes, join: _ } = profile_change(given, limits)?;
    Ok(Profile {
        name: name.unwrap_or_default(),
        avatar: avatar.unwrap_or_default(),
        attributes: attributes.unwrap_or_default(),
    })
}

fn profile_change(given: GivenProfile<'_>, limits: &Limits) -> Result<ProfileChange, Refused> {
    let change = ProfileChange {
        name: given.name.map(Into::into),
        avatar: given.avatar.map(Into::into),
        attributes: given.attributes.map(Extra::new),
        join: None,
    };
    change.expect_within(limits)?;
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Refusal;

    fn refusal(given: GivenProfile<'_>) -> Option<Refusal> {
        profile(given, &Limits::default()).err().map(|refused| refused.refusal)
    }

    #[test]
    fn a_profile_may_have_so_many_bytes_and_no_more() {
        let long = "x".repeat(4_097);
        let pairs = |value: &str| Some(vec![("k".into(), value.into())]);
        let (none, large) = (None, Some(Refusal::MessageTooLarge));
        for (bytes_max, expected) in [(256, none), (257, large)] {
            assert_eq!(refusal(GivenProfile { name: Some(&long[..bytes_max]), ..GivenProfile::default() }), expected);
        }
        for (bytes_max, expected) in [(1_024, none), (1_025, large)] {
            assert_eq!(refusal(GivenProfile { avatar: Some(&long[..bytes_max]), ..GivenProfile::default() }), expected);
        }
        for (bytes_max, expected) in [(4_095, none), (4_096, large)] {
            let attributes = pairs(&long[..bytes_max]);
            assert_eq!(refusal(GivenProfile { attributes, ..GivenProfile::default() }), expected, "with its key");
        }
        let control = GivenProfile { name: Some("a\u{7}"), ..GivenProfile::default() };
        assert_eq!(refusal(control), Some(Refusal::InvalidParam));
        let control = GivenProfile { attributes: Some(vec![("\n".into(), "".into())]), ..GivenProfile::default() };
        assert_eq!(refusal(control), Some(Refusal::InvalidParam));
    }

    #[test]
    fn a_page_of_members_is_within_its_bounds() {
        let limit = |wanted| match show("", wanted) {
            Ok(GroupAct::Show { after: None, limit }) => Some(limit),
            _ => None,
        };
        assert_eq!([0, 1, 200, i64::MAX].map(limit), [Some(100), Some(1), Some(200), Some(200)]);
        assert_eq!(limit(-1), None);
    }
}
