//! The state that all handlers of the HTTP API share.

use super::orders::Orders;
use super::token::AdminToken;
use crate::server::Options;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What every request is answered with.
pub struct Api {
    pub options: Arc<Options>,
    pub orders: Orders,
    pub token: AdminToken,
    /// Responses by status.
    pub answered: Mutex<BTreeMap<u16, u64>>,
}
