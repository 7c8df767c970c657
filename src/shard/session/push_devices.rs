//! Registers the devices that push services wake: by the users themselves or by the operator, on the users' own shards.

use crate::log::{Record, Storage};
use crate::model::{AccountState, Answer, PushChange, PushRegistration, Refusal, Reply, RequestTag, SessionId, UserId};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use crate::shard::rows::charge::Charge;
use compact_str::CompactString;

/// Conversations whose unread messages one question counts.
const COUNTED_MAX: usize = 8_192;

impl<S: Storage> Shard<S> {
    /// Registers a device, or changes what is wanted of it.
    pub(in crate::shard) fn register_device(&mut self, user: &UserId, change: PushChange) -> Result<Answer, Refusal> {
        if self.state.tables.erased.contains(user) {
            return Err(Refusal::UserNotExist);
        }
        let PushChange { device, token, settings } = change;
        if device.is_empty() {
            return Err(Refusal::InvalidParam);
        }
        let before = self.state.tables.push_devices.find(user, &device);
        let token = token.or_else(|| Some(before?.token.clone()));
        let token = token.ok_or(Refusal::InvalidParam)?;
        let registration = PushRegistration { token, settings };
        if before == Some(&registration) {
            return Ok(Answer::Unchanged);
        }
        self.log_device(user, device, Some(Box::new(registration)))
    }

    /// `only`: unless the device has another token by now.
    pub(in crate::shard) fn unregister_device(
        &mut self,
        user: &UserId,
        device: CompactString,
        only: Option<&str>,
    ) -> Result<Answer, Refusal> {
        match self.state.tables.push_devices.find(user, &device) {
            Some(found) if only.is_none_or(|token| token == found.token.address()) => {
                self.log_device(user, device, None)
            }
            _ => Ok(Answer::Unchanged),
        }
    }

    fn log_device(
        &mut self,
        user: &UserId,
        device: CompactString,
        registration: Option<Box<PushRegistration>>,
    ) -> Result<Answer, Refusal> {
        let record =
            Record::PushDevice { user: user.clone(), device: device.clone(), registration: registration.clone() };
        self.append_if_room(&record)?;
        self.state.tables.push_devices.set(user, &device, registration);
        Ok(Answer::Done)
    }

    pub(in crate::shard) fn show_devices(&self, user: &UserId) -> Answer {
        let is_disabled = self.state.tables.accounts.find(user).state == AccountState::Disabled;
        let devices = self.state.tables.push_devices.of(user).to_vec();
        let is_online = !self.state.sessions_of(user).is_empty();
        Answer::Devices { devices, unread: self.unread_of(user), is_disabled, is_online }
    }

    /// Messages that the user has not read, as its conversations count them; of a user with very many conversations, in
    /// some of them.
    fn unread_of(&self, user: &UserId) -> u64 {
        let Some(user_index) = self.state.tables.inboxes.find(user) else { return 0 };
        let seats = self.state.tables.inboxes.seats_of(user_index).take(COUNTED_MAX);
        let unread = seats.map(|at| {
            self.state.rows_visited.count(1);
            u64::from(self.state.tables.conversations.at(at.conversation).seat(at.seat).unread)
        });
        unread.sum()
    }

    /// Registers a device of the session's user, or removes it (`None`). Costs what a message of as many bytes costs.
    pub(in crate::shard) fn change_own_device(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        (device, change): (CompactString, Option<PushChange>),
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index) = (row.user.clone(), row.user_index);
        let device = if device.is_empty() { row.device.id.clone() } else { device };
        let charge = Charge::of(change.as_ref().map_or(0, PushChange::bytes), 0, &self.settings.limits);
        let done = self.charge(ctx.now, user_index, charge).and_then(|_| match change {
            Some(change) => self.register_device(&user, PushChange { device, ..change }),
            None => self.unregister_device(&user, device, None),
        });
        match done {
            Ok(_) => self.reply_when_acknowledged(ctx, self.log.newest_record, session, tag, Reply::Done),
            Err(refusal) => self.refuse(session, tag, refusal, ctx.effects),
        }
    }

    pub(in crate::shard) fn show_own_devices(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index) = (row.user.clone(), row.user_index);
        if !self.may_query(ctx.now, user_index) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        let reply = Reply::Devices(self.state.tables.push_devices.of(&user).to_vec());
        self.reply_when_acknowledged(ctx, self.log.newest_record, session, tag, reply);
    }
}

#[cfg(test)]
#[path = "push_devices_tests.rs"]
mod tests;
