//! Groups and profiles: who is in a group with which role, how groups and users present themselves, and what a member
//! may ask of a group (PROTOCOL 2.8).

use super::{ConversationSeq, Extra, GroupId, Limits, Millis, Refusal, Refused, UserId, Verb, has_control_character};
use compact_str::CompactString;

/// The role of a member in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May send.
    #[default]
    Member,
    /// May send, and revoke messages of others.
    Admin,
    /// The one owner, with the rights of an admin.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Member, Self::Admin, Self::Owner];

    /// The stable word for the role in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role with this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// One member of a group, as the group's owner shard knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's id.
    pub user: UserId,
    /// The member's role.
    pub role: Role,
    /// The wall-clock time until which the member may not send; 0: not muted.
    pub muted_until: Millis,
}

/// A group as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The group's id.
    pub id: GroupId,
    /// The user with the role `Owner`.
    pub owner: UserId,
    /// The wall-clock time of the creation.
    pub created: Millis,
    /// All members; `members` may be one page of them.
    pub member_count: u64,
    /// Members in the order of their ids.
    pub members: Vec<Member>,
    /// The newest conversation seq.
    pub newest_seq: ConversationSeq,
    /// How the group presents itself, and who may join.
    pub profile: GroupProfile,
}

/// How a user or a group presents itself. The server stores it and does not interpret it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The name for people; not unique. Without control characters.
    pub name: CompactString,
    /// A URL or an id of a picture. Without control characters.
    pub avatar: CompactString,
    /// Key-value pairs of the application.
    pub attributes: Extra,
}

impl Profile {
    /// Whether everything is empty: such a profile takes no memory.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.avatar.is_empty() && self.attributes.is_empty()
    }

    /// Whether the limits allow it.
    ///
    /// # Errors
    ///
    /// A text is too long or holds a control character.
    pub fn expect_within(&self, limits: &Limits) -> Result<(), Refused> {
        expect_text(&self.name, limits.profile_name_bytes_max)?;
        expect_text(&self.avatar, limits.profile_avatar_bytes_max)?;
        expect_attributes(&self.attributes, limits)
    }

    /// The bytes of all texts.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.avatar.len() + self.attributes.bytes()
    }
}

/// Who becomes a member of a group without being added by its owner or an admin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinPolicy {
    /// Nobody.
    #[default]
    Closed,
    /// Users whose request the owner or an admin approves.
    Request,
    /// Every user who asks.
    Open,
}

impl JoinPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Request, Self::Open];
    /// The words for people.
    pub const WORDS: &str = "closed, request or open";

    /// The stable word for the policy in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Request => "request",
            Self::Open => "open",
        }
    }

    /// The policy with this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// What a group is beside its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupProfile {
    /// How the group presents itself.
    pub about: Profile,
    /// Who may join.
    pub join: JoinPolicy,
}

/// A change of a group's profile; `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The new name.
    pub name: Option<CompactString>,
    /// The new avatar.
    pub avatar: Option<CompactString>,
    /// The new attributes, in place of all earlier ones.
    pub attributes: Option<Extra>,
    /// The new policy.
    pub join: Option<JoinPolicy>,
}

impl ProfileChange {
    /// Whether it changes nothing whatever the profile is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the limits allow it.
    ///
    /// # Errors
    ///
    /// A text is too long or holds a control character.
    pub fn expect_within(&self, limits: &Limits) -> Result<(), Refused> {
        let text =
            |text: &Option<CompactString>, bytes_max| expect_text(text.as_deref().unwrap_or_default(), bytes_max);
        text(&self.name, limits.profile_name_bytes_max)?;
        text(&self.avatar, limits.profile_avatar_bytes_max)?;
        self.attributes.as_ref().map_or(Ok(()), |attributes| expect_attributes(attributes, limits))
    }

    /// The bytes of all texts.
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<CompactString>| text.as_ref().map_or(0, |text| text.len());
        text(&self.name) + text(&self.avatar) + self.attributes.as_ref().map_or(0, Extra::bytes)
    }

    /// The profile after the change.
    pub fn applied_to(&self, before: &GroupProfile) -> GroupProfile {
        let GroupProfile { about, join } = before.clone();
        let about = Profile {
            name: self.name.clone().unwrap_or(about.name),
            avatar: self.avatar.clone().unwrap_or(about.avatar),
            attributes: self.attributes.clone().unwrap_or(about.attributes),
        };
        GroupProfile { about, join: self.join.unwrap_or(join) }
    }
}

fn expect_text(text: &str, bytes_max: usize) -> Result<(), Refused> {
    if text.len() > bytes_max {
        return Err(Refused::because(Refusal::MessageTooLarge, "a text of the profile is too long"));
    }
    if has_control_character(text) {
        return Err(Refused::invalid("a text of the profile holds a control character"));
    }
    Ok(())
}

fn expect_attributes(attributes: &Extra, limits: &Limits) -> Result<(), Refused> {
    if attributes.bytes() > limits.profile_attributes_bytes_max {
        return Err(Refused::because(Refusal::MessageTooLarge, "the attributes are too large"));
    }
    if attributes.iter().any(|(key, _)| has_control_character(key)) {
        return Err(Refused::invalid("a key of the attributes holds a control character"));
    }
    Ok(())
}

/// A request of a user to a group (PROTOCOL 2.8). The reply to `Show` is `Reply::Group`, to `Requests`
/// `Reply::JoinRequests`, to all others `Reply::Done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRequest {
    /// The group.
    pub group: GroupId,
    /// What to do with it.
    pub act: GroupAct,
}

/// What a request does with its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAct {
    /// Reads the group, and at most `limit` members whose ids are above `after`.
    Show {
        /// The last id of the previous page; `None`: from the first.
        after: Option<UserId>,
        /// The most members of the page, at most `GroupRequest::SHOWN_MEMBERS_MAX`.
        limit: usize,
    },
    /// Adds users who are not members, and removes users who are. A user who removes itself leaves.
    ChangeMembers {
        /// The users to add.
        add: Vec<UserId>,
        /// The users to remove.
        remove: Vec<UserId>,
    },
    /// Changes one member; `None` leaves an attribute as it is.
    ChangeMember {
        /// The member to change.
        member: UserId,
        /// The new role.
        role: Option<Role>,
        /// The wall-clock time until which the member may not send; 0: not muted.
        muted_until: Option<Millis>,
    },
    /// Changes the profile.
    ChangeProfile(Box<ProfileChange>),
    /// Ends the group.
    Dissolve,
    /// Becomes a member of an open group, or asks to become one.
    Join,
    /// Lists the users who have asked to join, at most `limit` of them whose ids are above `after`.
    Requests {
        /// The last id of the previous page; `None`: from the first.
        after: Option<UserId>,
        /// The most users of the page, at most `GroupRequest::SHOWN_MEMBERS_MAX`.
        limit: usize,
    },
    /// Answers a user's request to join.
    AnswerRequest {
        /// The user who has asked.
        user: UserId,
        /// The answer.
        verdict: JoinVerdict,
    },
}

/// The answer to a request to join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinVerdict {
    /// The user becomes a member.
    Approve,
    /// The user does not, and may ask again.
    Decline,
}

impl JoinVerdict {
    /// Both answers.
    pub const ALL: [Self; 2] = [Self::Approve, Self::Decline];

    /// The stable word for the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
        }
    }

    /// The answer with this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// A request to join a group that is not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// The user who has asked.
    pub user: UserId,
    /// The wall-clock time of the request.
    pub time: Millis,
}

impl JoinRequest {
    /// A request that nobody has answered for so long has expired: it is not shown, and its user may ask again.
    pub const EXPIRES_AFTER_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

    /// Whether a request of that time has expired.
    pub fn is_expired(time: Millis, now: Millis) -> bool {
        now.0 >= time.0.saturating_add(Self::EXPIRES_AFTER_MS)
    }
}

/// A page of a group's requests to join, in the order of the users' ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinRequests {
    /// The requests.
    pub requests: Vec<JoinRequest>,
    /// Requests of users with higher ids exist.
    pub has_more: bool,
}

impl GroupAct {
    /// The verb of a request that does this. A user who only removes itself may use either verb.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Show { .. } => Verb::ShowGroup,
            Self::ChangeMembers { .. } => Verb::ChangeMembers,
            Self::ChangeMember { .. } => Verb::ChangeMember,
            Self::ChangeProfile(_) => Verb::ChangeGroup,
            Self::Dissolve => Verb::DissolveGroup,
            Self::Join => Verb::JoinGroup,
            Self::Requests { .. } => Verb::ListRequests,
            Self::AnswerRequest { .. } => Verb::AnswerRequest,
        }
    }
}

impl GroupRequest {
    /// The most users whom one request adds and removes.
    pub const MEMBERS_MAX: usize = 100;
    /// The most members of one page.
    pub const SHOWN_MEMBERS_MAX: usize = 200;
    /// The members of a page whose request names no limit.
    pub const SHOWN_MEMBERS_DEFAULT: usize = 100;

    /// An estimate of the bytes of memory that the request occupies while it is under way.
    pub fn held_bytes(&self) -> usize {
        let ids = |users: &[UserId]| users.iter().map(|user| user.as_str().len()).sum::<usize>();
        match &self.act {
            GroupAct::ChangeMembers { add, remove } => ids(add) + ids(remove),
            GroupAct::ChangeProfile(change) => change.bytes(),
            GroupAct::Show { .. }
            | GroupAct::ChangeMember { .. }
            | GroupAct::Dissolve
            | GroupAct::Join
            | GroupAct::Requests { .. }
            | GroupAct::AnswerRequest { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_profile_leaves_what_it_does_not_name() {
        let attributes = Extra::new(vec![("k".into(), "v".into())]);
        let about = Profile { name: "Team".into(), avatar: "a.png".into(), attributes: attributes.clone() };
        let before = GroupProfile { about, join: JoinPolicy::Open };
        let renamed = ProfileChange { name: Some("Crew".into()), ..ProfileChange::default() }.applied_to(&before);
        assert_eq!(renamed.about, Profile { name: "Crew".into(), ..before.about.clone() });
        assert_eq!(renamed.join, JoinPolicy::Open);
        let cleared = ProfileChange {
            name: Some("".into()),
            avatar: Some("".into()),
            attributes: Some(Extra::default()),
            join: Some(JoinPolicy::Closed),
        };
        assert_eq!(cleared.applied_to(&before), GroupProfile::default());
        assert!(ProfileChange::default().is_empty() && !cleared.is_empty());
    }
}
