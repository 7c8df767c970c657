//! All conversations of a user, page by page, newest first: for what is done with each of them.

use crate::admin::base::answer::page;
use crate::admin::base::error::ApiError;
use crate::admin::base::orders::Orders;
use crate::model::{ConversationRow, Conversations, Order, Refusal, Reply, Seq, UserId};

pub struct ConversationPages<'a> {
    orders: &'a Orders,
    user: &'a UserId,
    /// Where the next page begins; `None` after the last one.
    before: Option<Seq>,
}

impl<'a> ConversationPages<'a> {
    pub fn new(orders: &'a Orders, user: &'a UserId) -> Self {
        Self { orders, user, before: Some(Seq(0)) }
    }

    /// `None` after the last page. A user without an inbox has no page.
    ///
    /// # Errors
    ///
    /// The shard refuses the order, or cannot be asked.
    pub async fn next(&mut self) -> Result<Option<Vec<ConversationRow>>, ApiError> {
        let Some(before) = self.before.take() else { return Ok(None) };
        let list = Conversations { before, limit: Conversations::LIMIT_MAX };
        let order = Order::ShowConversations { user: self.user.clone(), list };
        let answer = match self.orders.ask(order).await {
            Err(ApiError::Refused(refused)) if refused.refusal == Refusal::UserNotExist => return Ok(None),
            answer => answer?,
        };
        let Reply::Conversations { rows, has_more } = page(answer)? else { return Err(ApiError::Internal) };
        self.before = rows.last().filter(|_| has_more).map(|last| last.last_seq);
        Ok(Some(rows))
    }
}
