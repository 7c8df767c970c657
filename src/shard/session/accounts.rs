//! Ends an account's sessions when an operator disables it or revokes its tokens.
//!
//! Invariant: a user whose account refuses sessions has none, from the moment of the log record on.

use crate::log::Storage;
use crate::model::{AccountState, Answer, Closing, Millis, Refusal, UserId};
use crate::shard::core::context::Ctx;
use crate::shard::rows::accounts::Account;
use crate::shard::{Effect, Shard};

impl<S: Storage> Shard<S> {
    /// Whether a user of this shard may have a session with a token that was issued at `issued` (0: unknown). To be
    /// called before each `Input::Opened`, and before a token replaces another one.
    pub fn admits(&self, user: &UserId, issued: Millis) -> Result<(), Refusal> {
        self.state.tables.accounts.find(user).admits(issued)
    }

    pub(in crate::shard) fn set_account(
        &mut self,
        ctx: &mut Ctx<'_>,
        user: &UserId,
        state: AccountState,
    ) -> Result<Answer, Refusal> {
        if self.state.tables.erased.contains(user) {
            return Err(Refusal::UserNotExist);
        }
        let before = self.state.tables.accounts.find(user);
        if before.state == state {
            return Ok(Answer::Unchanged);
        }
        self.change_account(user, Account { state, ..before })?;
        if state == AccountState::Disabled {
            self.end_sessions_of(ctx, user, Closing::AccountDisabled);
        }
        Ok(Answer::Done)
    }

    /// Ends all sessions, whatever their tokens: all of them were issued until now. A time that the order names counts
    /// as it is, also if it is before an earlier one, and is never later than now.
    pub(in crate::shard) fn revoke_tokens(
        &mut self,
        ctx: &mut Ctx<'_>,
        user: &UserId,
        issued_before: Option<Millis>,
    ) -> Result<Answer, Refusal> {
        let before = self.state.tables.accounts.find(user);
        let until_now = ctx.now.wall.plus(1);
        let tokens_from = match issued_before {
            None => before.tokens_from.max(until_now),
            Some(time) if time > until_now => return Err(Refusal::InvalidParam),
            Some(time) if time == before.tokens_from => return Ok(Answer::Unchanged),
            Some(time) => time,
        };
        self.change_account(user, Account { tokens_from, ..before })?;
        if issued_before.is_none() || tokens_from > before.tokens_from {
            self.end_sessions_of(ctx, user, Closing::TokenRevoked);
        }
        Ok(Answer::Done)
    }

    fn change_account(&mut self, user: &UserId, account: Account) -> Result<(), Refusal> {
        self.append_if_room(&account.record(user))?;
        self.state.tables.accounts.set(user, account);
        Ok(())
    }

    pub(in crate::shard) fn end_sessions_of(&mut self, ctx: &mut Ctx<'_>, user: &UserId, closing: Closing) {
        for session in self.state.sessions_of(user).to_vec() {
            ctx.effects.push(Effect::Close { session, closing });
            self.end_session(ctx, session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Moment, Order, Reply, SessionId};
    use crate::shard::testing::duo::{ALICE, BOB, Duo, message, user};
    use crate::shard::{CatchUp, Input, Ticket};

    fn account(state: AccountState) -> Order {
        Order::SetAccount { user: user(BOB), state }
    }

    fn revoke(issued_before: Option<Millis>) -> Order {
        Order::RevokeTokens { user: user(BOB), issued_before }
    }

    #[test]
    fn what_was_revoked_while_the_clock_was_ahead_is_revoked_until_another_time_is_named() {
        const DAY_MS: u64 = 86_400_000;
        let mut duo = Duo::new();
        let (bobs, right) = (Duo::home(BOB), duo.now);
        let ahead = Moment { wall: right.wall.plus(100 * DAY_MS), ..right };
        duo.now = ahead;
        assert_eq!(duo.order(revoke(None)), Answer::Done);
        duo.now = right.plus(1_000);
        let fresh = duo.now.wall;
        assert_eq!(duo.order(revoke(None)), Answer::Done, "a revocation alone never makes a token valid");
        assert_eq!(duo.shards[bobs].admits(&user(BOB), fresh), Err(Refusal::TokenRevoked));
        let too_late = revoke(Some(duo.now.wall.plus(2)));
        assert!(matches!(duo.order(too_late), Answer::Refused(it) if it.refusal == Refusal::InvalidParam));

        let time = right.wall.plus(500);
        assert_eq!(duo.order(revoke(Some(time))), Answer::Done);
        assert_eq!(duo.order(revoke(Some(time))), Answer::Unchanged);
        let mut duo = duo.restart();
        assert_eq!(duo.shards[bobs].admits(&user(BOB), right.wall), Err(Refusal::TokenRevoked));
        assert_eq!(duo.shards[bobs].admits(&user(BOB), fresh), Ok(()));

        // Sessions end only where their tokens may have become invalid.
        duo.connect(2, BOB, "b", CatchUp::Sync);
        assert_eq!(duo.order(revoke(Some(right.wall))), Answer::Done);
        assert_eq!(duo.shards[bobs].stats().sessions, 1);
        assert_eq!(duo.order(revoke(Some(time))), Answer::Done);
        assert_eq!(duo.shards[bobs].stats().sessions, 0);
    }

    #[test]
    fn the_sessions_of_a_disabled_account_end_and_what_is_written_to_it_is_stored() {
        let mut duo = Duo::new();
        duo.connect(1, ALICE, "a", CatchUp::Sync);
        duo.connect(2, BOB, "b", CatchUp::Sync);
        duo.connect(3, BOB, "c", CatchUp::Backlog);
        let bobs = Duo::home(BOB);
        assert_eq!(duo.shards[bobs].admits(&user(BOB), Millis(0)), Ok(()));
        assert_eq!(duo.order(account(AccountState::Disabled)), Answer::Done);
        assert_eq!(duo.order(account(AccountState::Disabled)), Answer::Unchanged);
        assert_eq!(duo.shards[bobs].admits(&user(BOB), Millis(0)), Err(Refusal::AccountDisabled));
        assert!(matches!(duo.ask(1, ALICE, message("while away", BOB)), Reply::Sent { .. }));
        duo.settle();

        let mut duo = duo.restart();
        assert_eq!(duo.shards[bobs].admits(&user(BOB), duo.now.wall), Err(Refusal::AccountDisabled), "after a start");
        assert_eq!(duo.shards[Duo::home(ALICE)].admits(&user(ALICE), Millis(0)), Ok(()), "nobody else");
        assert_eq!(duo.order(account(AccountState::Enabled)), Answer::Done);
        assert_eq!(duo.shards[bobs].admits(&user(BOB), Millis(0)), Ok(()));
        assert_eq!(duo.inbox(BOB).len(), 1);
    }

    #[test]
    fn every_session_ends_with_the_cause_of_its_end() {
        for (ordered, closing) in
            [(account(AccountState::Disabled), Closing::AccountDisabled), (revoke(None), Closing::TokenRevoked)]
        {
            let mut duo = Duo::new();
            duo.connect(2, BOB, "b", CatchUp::Sync);
            duo.connect(3, BOB, "c", CatchUp::Backlog);
            duo.input(Duo::home(BOB), Input::Ordered { ticket: Ticket(1), order: ordered });
            for session in [2, 3].map(SessionId) {
                assert!(duo.has_heard(&Effect::Close { session, closing }));
            }
            assert_eq!(duo.shards[Duo::home(BOB)].stats().sessions, 0);
        }
    }

    #[test]
    fn tokens_that_are_revoked_stay_so_through_a_restart() {
        let mut duo = Duo::new();
        let bobs = Duo::home(BOB);
        let before = duo.now.wall;
        duo.tick_after(5_000);
        assert_eq!(duo.order(revoke(None)), Answer::Done);
        let mut duo = duo.restart();
        assert_eq!(duo.shards[bobs].admits(&user(BOB), before), Err(Refusal::TokenRevoked));
        assert_eq!(duo.shards[bobs].admits(&user(BOB), before.plus(5_000)), Err(Refusal::TokenRevoked));
        assert_eq!(duo.shards[bobs].admits(&user(BOB), before.plus(5_001)), Ok(()));
        assert_eq!(duo.order(account(AccountState::Disabled)), Answer::Done);
        assert_eq!(duo.order(account(AccountState::Enabled)), Answer::Done);
        assert_eq!(duo.shards[bobs].admits(&user(BOB), before), Err(Refusal::TokenRevoked), "the other mark stays");
    }
}
