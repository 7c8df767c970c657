//! Sync (PROTOCOL 2.5): a page of one's own inbox.

use super::{Effect, Shard};
use crate::log::Storage;
use crate::model::{Refusal, Reply, RequestTag, SessionId, Sync, SyncDirection};

impl<S: Storage> Shard<S> {
    /// The answer shows the inbox as it is now, and waits until that is durable.
    pub(super) fn sync(&mut self, session: SessionId, tag: RequestTag, sync: Sync, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let user = &row.user;
        let tail = self.state.inboxes.tail(user);
        let bytes_max = self.settings.limits.sync_bytes_max;
        let page = match sync.direction {
            SyncDirection::After(seq) => tail.page_after(&self.journal, user, seq, sync.limit, bytes_max),
            SyncDirection::Before(seq) => tail.page_before(&self.journal, user, seq, sync.limit, bytes_max),
        };
        let Ok(page) = page else {
            return self.refuse(session, tag, Refusal::StorageDamaged, effects);
        };
        let reply = Reply::Synced { entries: page.entries, server_max_seq: tail.seq, has_more: page.has_more };
        self.tell_when_acknowledged(tail.last, session, tag, reply, effects);
    }
}
