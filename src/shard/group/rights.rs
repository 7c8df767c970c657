//! Who may do what in a group: the one table for operators' orders and for users' requests (docs/PROTOCOL.md 2.8).
//!
//! Invariant: a group that is not dissolved has exactly one owner, who is a member, whoever acts.

use crate::model::{Refusal, Refused, Role};

/// Who acts on a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Actor {
    /// The operator, through an order.
    Operator,
    /// A user with this role; `None`: not a member.
    User(Option<Role>),
}

/// What is done to a group or to one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum GroupDeed {
    /// Reads the group and its members.
    Show,
    /// A user with this role removes itself.
    Leave(Role),
    Add,
    /// Removes another member with this role.
    Remove(Role),
    /// Mutes or unmutes a member with this role.
    Mute(Role),
    /// Gives a member with the first role the second one.
    SetRole(Role, Role),
    ChangeProfile,
    /// Lists and answers the requests of users to join.
    AnswerRequests,
    Dissolve,
}

const OWNER_STAYS: Refused =
    Refused::invalid("this user owns the group: make another member the owner first, or dissolve the group");

impl GroupDeed {
    /// The lowest role that may do it.
    fn least_role(self) -> Role {
        match self {
            Self::Show | Self::Leave(_) => Role::Member,
            Self::Add
            | Self::Remove(Role::Member)
            | Self::Mute(Role::Member)
            | Self::ChangeProfile
            | Self::AnswerRequests => Role::Admin,
            Self::Remove(_) | Self::Mute(_) | Self::SetRole(..) | Self::Dissolve => Role::Owner,
        }
    }
}

/// Whether the actor may do it.
pub(in crate::shard) fn expect_right(actor: Actor, deed: GroupDeed) -> Result<(), Refused> {
    if let Actor::User(role) = actor
        && role.is_none_or(|role| role < deed.least_role())
    {
        return Err(Refusal::PermissionDenied.into());
    }
    match deed {
        GroupDeed::Leave(Role::Owner) | GroupDeed::Remove(Role::Owner) => Err(OWNER_STAYS),
        GroupDeed::SetRole(Role::Owner, role) if role != Role::Owner => Err(OWNER_STAYS),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the operator, the owner, an admin, a member and a stranger may do it.
    fn row(deed: GroupDeed) -> [Result<(), Refused>; 5] {
        let users = [Some(Role::Owner), Some(Role::Admin), Some(Role::Member), None].map(Actor::User);
        let [owner, admin, member, stranger] = users.map(|actor| expect_right(actor, deed));
        [expect_right(Actor::Operator, deed), owner, admin, member, stranger]
    }

    #[test]
    fn the_table_of_the_documents() {
        let (yes, no, stays) = (Ok(()), Err(Refusal::PermissionDenied.into()), Err(OWNER_STAYS));
        for (deed, expected) in [
            (GroupDeed::Show, [yes, yes, yes, yes, no]),
            (GroupDeed::Leave(Role::Member), [yes, yes, yes, yes, no]),
            (GroupDeed::Leave(Role::Owner), [stays, stays, stays, stays, no]),
            (GroupDeed::Add, [yes, yes, yes, no, no]),
            (GroupDeed::Remove(Role::Member), [yes, yes, yes, no, no]),
            (GroupDeed::Remove(Role::Admin), [yes, yes, no, no, no]),
            (GroupDeed::Remove(Role::Owner), [stays, stays, no, no, no]),
            (GroupDeed::Mute(Role::Member), [yes, yes, yes, no, no]),
            (GroupDeed::Mute(Role::Admin), [yes, yes, no, no, no]),
            (GroupDeed::Mute(Role::Owner), [yes, yes, no, no, no]),
            (GroupDeed::SetRole(Role::Member, Role::Admin), [yes, yes, no, no, no]),
            (GroupDeed::SetRole(Role::Member, Role::Owner), [yes, yes, no, no, no]),
            (GroupDeed::SetRole(Role::Owner, Role::Owner), [yes, yes, no, no, no]),
            (GroupDeed::SetRole(Role::Owner, Role::Admin), [stays, stays, no, no, no]),
            (GroupDeed::ChangeProfile, [yes, yes, yes, no, no]),
            (GroupDeed::AnswerRequests, [yes, yes, yes, no, no]),
            (GroupDeed::Dissolve, [yes, yes, no, no, no]),
        ] {
            assert_eq!(row(deed), expected, "{deed:?}");
        }
    }
}
