//! The state that all handlers of the HTTP API share.

use crate::admin::base::orders::Orders;
use crate::admin::base::token::AdminToken;
use crate::admin::console::logins::ConsoleLogins;
use crate::admin::console::trail::AuditTrail;
use crate::admin::events::places::StreamPlaces;
use crate::admin::overview::rings::OverviewState;
use crate::admin::webhooks::webhook::Webhook;
use crate::model::{Histogram, Millis};
use crate::server::follow::erased_users::ErasedUsers;
use crate::server::turn::span::Sampling;
use crate::server::{AcmeMeters, HookMeters, Options, TlsIdentity};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::sync::Semaphore;

/// The state from which every request is answered.
pub struct Api {
    pub options: Arc<Options>,
    pub orders: Orders,
    pub token: AdminToken,
    /// Who is logged in to the console.
    pub logins: ConsoleLogins,
    pub trail: AuditTrail,
    pub overview: OverviewState,
    /// The API's own description, made when somebody asks for it.
    pub document: LazyLock<String>,
    /// A place for each event stream.
    pub streams: Arc<Semaphore>,
    /// Users whose words nobody is told any more.
    pub erased: Arc<ErasedUsers>,
    pub webhooks: Vec<Arc<Webhook>>,
    pub events_sent: AtomicU64,
    pub places: Arc<StreamPlaces>,
    /// The certificates of the listeners that speak TLS.
    pub certificates: Vec<(&'static str, TlsIdentity)>,
    /// Orders of certificates, where an authority issues one.
    pub acme: Option<Arc<AcmeMeters>>,
    /// The numbers of the operator's hook, if there is one.
    pub hook: Option<Arc<HookMeters>>,
    /// Which messages are sampled, if any.
    pub sampling: Option<Arc<Sampling>>,
    /// The wall-clock time at which this run of the server began: it tells cursors of different runs apart.
    pub began: Millis,
    /// Number of responses by status.
    pub answered: Mutex<BTreeMap<u16, u64>>,
    /// Times from requests to the beginning of their responses, in microseconds.
    pub requests_us: Mutex<Histogram>,
    /// Messages that were to be sent, by whose permissions counted and what became of it.
    pub messages: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}
