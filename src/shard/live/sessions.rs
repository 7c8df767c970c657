//! The sessions of this shard's users: how far each has got in its inbox, and which sessions replace which.
//!
//! Invariants: a user has a row while it has a session, and at most `sessions_per_user_max` sessions; a session
//! receives the entries of its inbox in order, each once, live or by its cursor.

use crate::model::{DeviceKey, SamePlatform, Seq, SessionId, Sizing, Slot, UserId};
use crate::shard::live::unacknowledged::Unacknowledged;
use crate::shard::rows::index::UserIndex;
use crate::shard::table::placement::Placement;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeSet, VecDeque};

/// How a session obtains the entries that it missed (PROTOCOL 3.14, 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// The shard pushes the entries that the session's device has not acknowledged; the device has a name.
    Backlog,
    /// The client syncs; its device is known by platform only.
    Sync,
}

/// Messages sent by a session that is behind, which its cursor skips; further ones are pushed to it.
const OWN_MAX: usize = 256;

#[derive(Debug)]
pub(in crate::shard) struct Session {
    pub user: UserId,
    /// The row of the session's user.
    pub user_index: UserIndex,
    /// Its user's slot.
    pub slot: Slot,
    pub device: DeviceKey,
    pub catch_up: CatchUp,
    pub sizing: Sizing,
    /// The reply to the opening has left.
    pub welcomed: bool,
    /// Everything up to this seq was pushed, or needs no push; the edge may still report that it was dropped.
    reached: Seq,
    following: DeliveryMode,
    pub pushes: Unacknowledged,
    /// The users whose presence the session watches.
    pub watched: BTreeSet<UserId>,
}

/// The way in which entries reach a session.
#[derive(Debug)]
enum DeliveryMode {
    /// Each entry is pushed when it is acknowledged.
    Live,
    /// A cursor, `Session::reached`, reads the inbox: from the opening, or from where the outbox was full, until the
    /// outbox has taken everything that was missed.
    Behind(Behind),
}

#[derive(Debug)]
struct Behind {
    /// The highest seq that was skipped while catching up; at the opening, the inbox's newest seq. Entries up to here
    /// are acknowledged and come from the cursor; later ones are pushed live.
    missed: Seq,
    waits_for: WaitsFor,
    /// Bytes that were pushed before a step that waits for the disk: the budget of the socket continues after it.
    pushed_bytes: usize,
    /// Seqs that the session itself sent, among those that the outbox has not taken, ascending.
    own: VecDeque<Seq>,
}

/// The event for which a cursor waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum WaitsFor {
    Welcome,
    Socket,
    Disk,
}

/// The effect of an acknowledged entry on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum OnEntry {
    Push,
    /// The session has the entry, or its cursor will reach it.
    Nothing,
    /// The session sent the entry, and with it the device has everything up to this seq.
    Delivered(Seq),
}

/// The effect of one entry on a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum CursorStep {
    Push,
    /// The session sent the entry.
    Own,
    /// The entry is not acknowledged yet.
    TooEarly,
}

pub(in crate::shard) struct Sessions {
    sessions: HashMap<SessionId, Session, FixedState>,
    present: HashMap<UserIndex, Present, FixedState>,
}

/// A user with sessions.
#[derive(Debug, Default)]
struct Present {
    /// The sessions, oldest first.
    sessions: SmallVec<[SessionId; 2]>,
    /// Watchers know that the user is online.
    is_shown: bool,
}

/// A session that has ended.
#[derive(Debug)]
pub(in crate::shard) struct EndedSession {
    pub session: Session,
    pub was_last: bool,
    /// It was the last session of a user whom watchers know to be online.
    pub was_shown: bool,
}

/// The state with which a session begins.
pub(in crate::shard) struct SessionOpening {
    pub user: UserId,
    pub user_index: UserIndex,
    pub device: DeviceKey,
    pub catch_up: CatchUp,
    pub sizing: Sizing,
    /// The seq after which the cursor begins, if the session catches up.
    pub start: Seq,
    /// The inbox's newest seq.
    pub newest: Seq,
}

impl Session {
    pub fn new(opening: SessionOpening) -> Self {
        let SessionOpening { user, user_index, device, catch_up, sizing, start, newest } = opening;
        let behind = Behind { missed: newest, waits_for: WaitsFor::Welcome, pushed_bytes: 0, own: VecDeque::new() };
        let (reached, following) = match catch_up {
            CatchUp::Backlog if start < newest => (start, DeliveryMode::Behind(behind)),
            _ => (newest, DeliveryMode::Live),
        };
        let (pushes, watched) = (Unacknowledged::default(), BTreeSet::new());
        let slot = Placement::slot(&user);
        Self { user, user_index, slot, device, catch_up, sizing, welcomed: false, reached, following, pushes, watched }
    }

    /// Handles an acknowledged entry of the session's inbox. `is_own`: the session sent it.
    pub fn on_entry(&mut self, seq: Seq, is_own: bool) -> OnEntry {
        if seq <= self.reached {
            return OnEntry::Nothing;
        }
        match &mut self.following {
            DeliveryMode::Live => {
                self.reached = seq;
                if is_own { self.has_own(seq) } else { OnEntry::Push }
            }
            DeliveryMode::Behind(behind) => {
                behind.missed = behind.missed.max(seq);
                if is_own {
                    behind.note_own(seq);
                }
                OnEntry::Nothing
            }
        }
    }

    /// The session knows the entry that it sent by its reply, which a repetition gets again.
    pub fn has_own(&mut self, seq: Seq) -> OnEntry {
        match self.catch_up {
            CatchUp::Backlog => self.pushes.sent(seq).map_or(OnEntry::Nothing, OnEntry::Delivered),
            // It has not been pushed what is below.
            CatchUp::Sync => OnEntry::Nothing,
        }
    }

    /// The position of the cursor, if it waits for `what`.
    pub fn cursor_waiting_for(&self, what: WaitsFor) -> Option<Seq> {
        match &self.following {
            DeliveryMode::Behind(behind) if behind.waits_for == what => Some(self.reached),
            _ => None,
        }
    }

    /// The position of the cursor, if there is one.
    pub fn cursor(&self) -> Option<Seq> {
        matches!(self.following, DeliveryMode::Behind(_)).then_some(self.reached)
    }

    pub fn wait_for(&mut self, what: WaitsFor) {
        if let DeliveryMode::Behind(behind) = &mut self.following {
            behind.waits_for = what;
        }
    }

    pub fn wait_for_disk(&mut self, pushed_bytes: usize) {
        if let DeliveryMode::Behind(behind) = &mut self.following {
            behind.waits_for = WaitsFor::Disk;
            behind.pushed_bytes = pushed_bytes;
        }
    }

    /// What had been pushed when it began to wait for the disk.
    pub fn pushed_bytes(&self) -> usize {
        match &self.following {
            DeliveryMode::Behind(behind) => behind.pushed_bytes,
            DeliveryMode::Live => 0,
        }
    }

    /// Moves the cursor to an entry.
    pub fn pass(&mut self, seq: Seq) -> CursorStep {
        let DeliveryMode::Behind(behind) = &mut self.following else { return CursorStep::TooEarly };
        if seq > behind.missed {
            return CursorStep::TooEarly;
        }
        self.reached = seq;
        if behind.own.binary_search(&seq).is_ok() { CursorStep::Own } else { CursorStep::Push }
    }

    /// Moves the cursor past everything up to `through`.
    pub fn pass_through(&mut self, through: Seq) {
        let DeliveryMode::Behind(behind) = &self.following else { return };
        self.reached = self.reached.max(through.min(behind.missed));
    }

    /// Whether the cursor has passed everything that was missed.
    pub fn has_passed_all(&self) -> bool {
        match &self.following {
            DeliveryMode::Behind(behind) => self.reached >= behind.missed,
            DeliveryMode::Live => true,
        }
    }

    /// The outbox has taken everything up to the cursor: if nothing more was missed, entries are pushed live again.
    pub fn settle(&mut self) {
        let DeliveryMode::Behind(behind) = &mut self.following else { return };
        while behind.own.front().is_some_and(|own| *own <= self.reached) {
            behind.own.pop_front();
        }
        if self.reached >= behind.missed {
            self.following = DeliveryMode::Live;
        }
    }

    /// The outbox dropped the entries from `first` on, of which the session itself sent `own`: the cursor goes back
    /// there. Returns whether the session was not behind already.
    pub fn fall_back(&mut self, first: Seq, own: &[Seq]) -> bool {
        if first > self.reached {
            return false;
        }
        if let DeliveryMode::Live = self.following {
            let (missed, waits_for) = (self.reached, WaitsFor::Socket);
            self.following = DeliveryMode::Behind(Behind { missed, waits_for, pushed_bytes: 0, own: VecDeque::new() });
        }
        self.reached = Seq(first.0.saturating_sub(1));
        self.pushes.take_back(first);
        if let DeliveryMode::Behind(behind) = &mut self.following {
            behind.waits_for = WaitsFor::Socket;
            behind.add_own(own);
        }
        true
    }

    /// The missed entries cannot be read: ends the cursor.
    pub fn give_up(&mut self) {
        self.pass_through(Seq(u64::MAX));
        self.settle();
    }
}

impl Behind {
    fn note_own(&mut self, seq: Seq) {
        if self.own.len() == OWN_MAX {
            self.own.pop_front();
        }
        self.own.push_back(seq);
    }

    /// Those that come to its knowledge late, and are below others that it knows.
    fn add_own(&mut self, own: &[Seq]) {
        let mut all: Vec<Seq> = self.own.iter().chain(own).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.drain(..all.len().saturating_sub(OWN_MAX));
        self.own = all.into();
    }
}

impl Sessions {
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: HashMap::with_hasher(FixedState::with_seed(seed)),
            present: HashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    pub fn open(&mut self, id: SessionId, session: Session) {
        self.present.entry(session.user_index).or_default().sessions.push(id);
        let replaced = self.sessions.insert(id, session);
        assert!(replaced.is_none(), "a session id is used once");
    }

    /// The sessions that must end for a new one: those of the same device, and the oldest of too many (PROTOCOL 4).
    pub fn displaced_by(
        &self,
        opening: SessionId,
        same_platform: SamePlatform,
        per_user_max: usize,
    ) -> SmallVec<[SessionId; 1]> {
        let Some(new) = self.find(opening) else { return SmallVec::new() };
        let replaces = match new.catch_up {
            CatchUp::Backlog => true,
            CatchUp::Sync => same_platform == SamePlatform::Kick,
        };
        // Who names no device replaces nobody.
        let replaces = replaces && !new.device.id.is_empty();
        let is_same = |id: &&SessionId| {
            let is_same = |old: &Session| old.device == new.device && old.catch_up == new.catch_up;
            **id != opening && replaces && self.find(**id).is_some_and(is_same)
        };
        let all = self.of(new.user_index);
        let mut displaced: SmallVec<[SessionId; 1]> = all.iter().filter(is_same).copied().collect();
        let others = all.iter().filter(|id| **id != opening && !is_same(id));
        let surplus = (all.len() - displaced.len()).saturating_sub(per_user_max.max(1));
        displaced.extend(others.take(surplus).copied());
        displaced
    }

    /// Removes a session; `None` if it is not open.
    pub fn close(&mut self, id: SessionId) -> Option<EndedSession> {
        let session = self.sessions.remove(&id)?;
        let present = self.present.get_mut(&session.user_index).expect("a user with a session is present");
        present.sessions.retain(|other| *other != id);
        let was_last = present.sessions.is_empty();
        let was_shown = was_last && present.is_shown;
        if was_last {
            self.present.remove(&session.user_index);
        }
        Some(EndedSession { session, was_last, was_shown })
    }

    pub fn find(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn find_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// The sessions of a user, oldest first.
    pub fn of(&self, user_index: UserIndex) -> &[SessionId] {
        self.present.get(&user_index).map_or(&[], |present| &present.sessions)
    }

    /// Shows each session of a user to `show`, the oldest first.
    pub fn for_each_of(&mut self, user_index: UserIndex, mut show: impl FnMut(SessionId, &mut Session)) {
        let Some(present) = self.present.get(&user_index) else { return };
        for id in &present.sessions {
            show(*id, self.sessions.get_mut(id).expect("a present user's sessions exist"));
        }
    }

    /// Marks the user as shown online; returns whether it was not.
    pub fn show(&mut self, user_index: UserIndex) -> bool {
        let Some(present) = self.present.get_mut(&user_index) else { return false };
        !std::mem::replace(&mut present.is_shown, true)
    }

    pub fn is_shown(&self, user_index: UserIndex) -> bool {
        self.present.get(&user_index).is_some_and(|present| present.is_shown)
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;

    fn session(device: &str, catch_up: CatchUp) -> Session {
        Session::new(SessionOpening {
            user: user("alice"),
            user_index: UserIndex(0),
            device: DeviceKey { flag: 0, id: device.into() },
            catch_up,
            sizing: Sizing::Verbatim,
            start: Seq(0),
            newest: Seq(0),
        })
    }

    fn displaced(sessions: &mut Sessions, id: u64, new: Session, policy: SamePlatform) -> Vec<u64> {
        sessions.open(SessionId(id), new);
        let displaced = sessions.displaced_by(SessionId(id), policy, 3);
        displaced.iter().for_each(|old| drop(sessions.close(*old)));
        displaced.into_iter().map(|old| old.0).collect()
    }

    #[test]
    fn the_oldest_session_makes_room_for_one_too_many() {
        let mut sessions = Sessions::new(1);
        let gone: Vec<_> = (1..=5)
            .map(|id| displaced(&mut sessions, id, session("", CatchUp::Backlog), SamePlatform::Allow))
            .collect();
        assert_eq!(gone, [vec![], vec![], vec![], vec![1], vec![2]]);
        assert_eq!(sessions.of(UserIndex(0)), [SessionId(3), SessionId(4), SessionId(5)]);
        let last: Vec<_> = (3..=5).filter_map(|id| sessions.close(SessionId(id))).map(|ended| ended.was_last).collect();
        assert_eq!(last, [false, false, true]);
        assert_eq!((sessions.len(), sessions.present.len()), (0, 0), "nobody is remembered");
    }

    #[test]
    fn a_device_has_one_session_and_a_platform_as_many_as_the_policy_says() {
        for (catch_up, policy, device, expected) in [
            (CatchUp::Backlog, SamePlatform::Allow, "d", vec![1]),
            (CatchUp::Backlog, SamePlatform::Kick, "", vec![]),
            (CatchUp::Sync, SamePlatform::Allow, "d", vec![]),
            (CatchUp::Sync, SamePlatform::Kick, "d", vec![1]),
            (CatchUp::Sync, SamePlatform::Kick, "", vec![]),
        ] {
            let mut sessions = Sessions::new(1);
            displaced(&mut sessions, 1, session(device, catch_up), policy);
            displaced(&mut sessions, 2, session("other", catch_up), policy);
            assert_eq!(displaced(&mut sessions, 3, session(device, catch_up), policy), expected);
        }
    }

    #[test]
    fn a_device_and_a_platform_of_the_same_name_have_nothing_to_do_with_each_other() {
        let mut sessions = Sessions::new(1);
        displaced(&mut sessions, 1, session("web", CatchUp::Sync), SamePlatform::Kick);
        let gone = displaced(&mut sessions, 2, session("web", CatchUp::Backlog), SamePlatform::Kick);
        assert!(gone.is_empty());
    }

    #[test]
    fn a_session_behind_is_pushed_nothing_but_by_its_cursor_until_it_has_missed_nothing() {
        let device = DeviceKey { flag: 0, id: "d".into() };
        let (catch_up, sizing) = (CatchUp::Backlog, Sizing::Escaped);
        let (start, newest) = (Seq(3), Seq(5));
        let user_index = UserIndex(0);
        let mut session =
            Session::new(SessionOpening { user: user("alice"), user_index, device, catch_up, sizing, start, newest });
        assert_eq!(
            (session.on_entry(Seq(6), false), session.on_entry(Seq(7), true)),
            (OnEntry::Nothing, OnEntry::Nothing)
        );
        let passed: Vec<_> = (4..=8).map(|seq| session.pass(Seq(seq))).collect();
        assert_eq!(
            passed,
            [CursorStep::Push, CursorStep::Push, CursorStep::Push, CursorStep::Own, CursorStep::TooEarly]
        );
        session.pass_through(Seq(8));
        assert!(session.has_passed_all());
        session.settle();
        assert_eq!(session.cursor(), None);
        assert_eq!(session.on_entry(Seq(7), false), OnEntry::Nothing, "it has that one");
        assert_eq!(session.on_entry(Seq(8), false), OnEntry::Push, "what comes next comes by itself");
    }

    #[test]
    fn a_session_whose_outbox_was_full_goes_back_to_what_it_lacks_and_knows_what_it_sent_itself() {
        for catch_up in [CatchUp::Backlog, CatchUp::Sync] {
            let mut session = session("d", catch_up);
            for seq in 1..=6 {
                session.on_entry(Seq(seq), seq == 5);
            }
            assert!(session.fall_back(Seq(3), &[Seq(5)]));
            assert!(!session.fall_back(Seq(4), &[]), "it is behind that already");
            assert_eq!((session.cursor(), session.on_entry(Seq(7), true)), (Some(Seq(2)), OnEntry::Nothing));
            let pass =
                |session: &mut Session, from, to| (from..=to).map(|seq| session.pass(Seq(seq))).collect::<Vec<_>>();
            assert_eq!(pass(&mut session, 3, 5), [CursorStep::Push, CursorStep::Push, CursorStep::Own]);
            assert!(session.fall_back(Seq(4), &[]), "a step was too large");
            session.settle();
            assert_eq!(
                pass(&mut session, 4, 8),
                [CursorStep::Push, CursorStep::Own, CursorStep::Push, CursorStep::Own, CursorStep::TooEarly]
            );
            session.settle();
            assert_eq!((session.cursor(), session.on_entry(Seq(8), false)), (None, OnEntry::Push));
        }
    }
}
