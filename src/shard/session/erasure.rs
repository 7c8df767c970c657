//! Erases users on an operator's order: each shard has to be ordered, since any may have messages of any author.
//!
//! Invariants: an erased user has no session, and an account that opens none; what the user wrote is shown as
//! tombstones from the moment of the log record on; seqs stay as they are.

use crate::log::{Record, Storage};
use crate::model::{Answer, Closing, Order, Refusal, UserId};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use std::ops::Bound;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn erase_user(&mut self, ctx: &mut Ctx<'_>, user: &UserId) -> Result<Answer, Refusal> {
        if self.state.tables.erased.contains(user) {
            return Ok(Answer::Unchanged);
        }
        // Ended first: the end of a session appends when the user was here.
        self.end_sessions_of(ctx, user, Closing::AccountDisabled);
        self.append_if_room(&Record::Erased { user: user.clone(), time: ctx.now.wall })?;
        self.state.apply_erased(self.log.newest_record, user, ctx.now.wall);
        Ok(Answer::Done)
    }

    /// The erased users with ids above `after`.
    pub(in crate::shard) fn list_erased(&self, after: Option<&UserId>, limit: usize) -> Answer {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let listed = self.state.tables.erased.after(from).take(limit.min(Order::LISTED_MAX));
        Answer::Erased(listed.map(|(user, time)| (user.clone(), time)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountState, BlockState, Entry, Message, Millis, Profile, Reply, SessionId, ShardId};
    use crate::shard::testing::duo::{ALICE, BOB, Duo, message, user};
    use crate::shard::{CatchUp, Effect, ExternalEffect, Input, Ticket};

    fn order(duo: &mut Duo, shard: usize, order: Order) -> Answer {
        duo.input(shard, Input::Ordered { ticket: Ticket(1), order });
        duo.settle();
        let answered = |effect: &Effect| match effect {
            Effect::External(ExternalEffect::Answer { answer, .. }) => Some(answer.clone()),
            _ => None,
        };
        duo.outputs().iter().rev().find_map(answered).expect("each order is answered")
    }

    fn erase(duo: &mut Duo, who: &str) {
        for shard in 0..2_u16 {
            let order_erase = Order::EraseUser { shard: ShardId(shard), user: user(who) };
            assert_eq!(order(duo, usize::from(shard), order_erase.clone()), Answer::Done);
            assert_eq!(order(duo, usize::from(shard), order_erase), Answer::Unchanged);
        }
    }

    fn is_tombstone(entry: &Entry) -> bool {
        entry.message.content.is_empty() && entry.message.extra.iter().any(|(key, _)| key == Message::REVOKED_KEY)
    }

    #[test]
    fn what_an_erased_user_wrote_is_a_tombstone_for_everybody_also_after_a_restart() {
        let mut duo = Duo::new();
        duo.open(1, ALICE, "a", CatchUp::Sync);
        duo.open(2, BOB, "b", CatchUp::Sync);
        assert!(matches!(duo.ask(1, ALICE, message("mine", BOB)), Reply::Sent { .. }));
        assert!(matches!(duo.ask(2, BOB, message("yours", ALICE)), Reply::Sent { .. }));
        duo.settle();
        erase(&mut duo, ALICE);
        for _restart in 0..2 {
            for inbox in [duo.inbox(ALICE), duo.inbox(BOB)] {
                let seqs: Vec<u64> = inbox.iter().map(|entry| entry.seq.0).collect();
                assert_eq!(seqs, [1, 2], "seqs stay");
                let gone: Vec<bool> = inbox.iter().map(is_tombstone).collect();
                assert_eq!(gone, [true, false], "only what the user wrote");
            }
            duo = duo.restart();
        }
    }

    /// The first effects of a start leave together, the backlog of a session among them.
    #[test]
    fn after_a_start_a_backlog_has_no_words_of_an_erased_user() {
        let mut duo = Duo::new();
        duo.connect(1, ALICE, "a", CatchUp::Sync);
        assert!(matches!(duo.ask(1, ALICE, message("mine", BOB)), Reply::Sent { .. }));
        erase(&mut duo, ALICE);
        let mut duo = duo.restart();
        duo.connect(2, BOB, "b", CatchUp::Backlog);
        let gone: Vec<bool> = duo.entries(2).iter().map(is_tombstone).collect();
        assert_eq!(gone, [true]);
    }

    #[test]
    fn an_erased_user_has_no_session_no_device_and_no_account_for_ever() {
        let mut duo = Duo::new();
        let home = Duo::home(ALICE);
        duo.connect(1, ALICE, "a", CatchUp::Sync);
        let profile = Box::new(Profile { name: "Alice".into(), ..Profile::default() });
        assert_eq!(order(&mut duo, home, Order::SetProfile { user: user(ALICE), profile }), Answer::Done);
        let at_home = Order::EraseUser { shard: ShardId(home as u16), user: user(ALICE) };
        duo.input(home, Input::Ordered { ticket: Ticket(1), order: at_home });
        assert!(duo.has_heard(&Effect::Close { session: SessionId(1), closing: Closing::AccountDisabled }));
        duo.tick_after(60_000);
        for _restart in 0..2 {
            assert_eq!(duo.shards[home].admits(&user(ALICE), Millis(0)), Err(Refusal::AccountDisabled));
            let enable = Order::SetAccount { user: user(ALICE), state: AccountState::Enabled };
            let named = Order::SetProfile { user: user(ALICE), profile: Box::default() };
            for refused in [enable, named, Order::KnowUser { user: user(ALICE) }] {
                let answer = order(&mut duo, home, refused);
                assert_eq!(answer, Answer::Refused(Refusal::UserNotExist.into()));
            }
            let shown = order(&mut duo, home, Order::ShowProfile { user: user(ALICE) });
            assert_eq!(shown, Answer::Profile(Box::default()), "nor a profile");
            let Answer::User(state) = order(&mut duo, home, Order::ShowUser { user: user(ALICE) }) else {
                panic!("it is shown");
            };
            assert_eq!((state.last_seen, state.is_known, state.sessions), (Millis(0), false, 0));
            let Answer::Erased(listed) =
                order(&mut duo, home, Order::ListErased { shard: ShardId(home as u16), after: None, limit: 9 })
            else {
                panic!("they are listed");
            };
            assert_eq!(listed.into_iter().map(|(user, _)| user).collect::<Vec<_>>(), [user(ALICE)]);
            duo = duo.restart();
        }
    }

    #[test]
    fn nobody_writes_to_or_for_an_erased_user() {
        let mut duo = Duo::new();
        duo.connect(2, BOB, "b", CatchUp::Sync);
        let block = Order::Block { by: user(BOB), other: user("carol"), state: BlockState::Blocked };
        let at = usize::from(!duo.shards[0].is_addressee(&block));
        assert_eq!(order(&mut duo, at, block), Answer::Done, "others are as before");
        erase(&mut duo, ALICE);
        assert_eq!(duo.ask(2, BOB, message("to nobody", ALICE)), Reply::Refused(Refusal::UserNotExist.into()));
    }
}
