//! The state of accepting: the listening socket, the unauthenticated connections, and those that linger after a
//! refusal.

use crate::model::Steady;
use crate::server::base::descriptors::Descriptors;
use crate::server::peer::places::AddressPlaces;
use crate::server::peer::rates::{AddressRates, Pace};
use crate::server::ring::operation::SocketIndex;
use crate::server::state::counters::ConnectionRefusal;
use crate::server::state::half_open::HalfOpen;
use crate::server::state::handshakes::HandshakeShare;
use crate::server::state::listener::Listener;
use crate::server::tls::identity::TlsIdentity;
use crate::wire::service_unavailable;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// The state of accepting connections.
pub struct Accepting {
    /// `None` once the server stops.
    pub listener: Option<Listener>,
    pub is_armed: bool,
    pub is_open: bool,
    /// After running out of descriptors: accepting pauses until this time.
    pub again_at: Option<Steady>,
    pub half_open: HalfOpen,
    /// Connections that owe a PROXY header, by the addresses of their proxies.
    pub unannounced: HalfOpen,
    /// Connections of each address; `None`: without a bound, as for the rates.
    pub places: Option<Arc<AddressPlaces>>,
    pub address_rates: Option<AddressRates>,
    /// All of the shard's accepts.
    pub pace: Option<Pace>,
    pub connections_max: usize,
    pub descriptors: Arc<Descriptors>,
    /// `None`: clients speak plaintext.
    pub tls: Option<TlsIdentity>,
    pub handshakes: HandshakeShare,
    /// Refused unauthenticated connections that may still read the reason, oldest first; some are already closed. And
    /// their number.
    pub lingering: VecDeque<SocketIndex>,
    pub lingering_count: usize,
    /// Notified once connections are accepted; `None` afterwards.
    pub opened: Option<Opened>,
}

/// What bounds the connections that are accepted; see the fields of `Accepting`.
pub struct AcceptBounds {
    pub half_open: HalfOpen,
    pub unannounced: HalfOpen,
    pub places: Option<Arc<AddressPlaces>>,
    pub address_rates: Option<AddressRates>,
    pub pace: Option<Pace>,
    pub connections_max: usize,
    pub descriptors: Arc<Descriptors>,
}

type Opened = Box<dyn FnOnce(io::Result<()>)>;

impl Accepting {
    /// `opened` is notified once connections are accepted.
    pub fn new(listener: Listener, bounds: AcceptBounds, opened: Opened) -> Self {
        let AcceptBounds { half_open, unannounced, places, address_rates, pace, connections_max, descriptors } = bounds;
        Self {
            listener: Some(listener),
            is_armed: false,
            is_open: false,
            again_at: None,
            half_open,
            unannounced,
            places,
            address_rates,
            pace,
            connections_max,
            descriptors,
            tls: None,
            handshakes: HandshakeShare::default(),
            lingering: VecDeque::new(),
            lingering_count: 0,
            opened: Some(opened),
        }
    }

    /// What a refused connection is told before anything is read of it. A client that speaks TLS could not read it.
    pub fn answer_at_once(&self, reason: ConnectionRefusal) -> String {
        if self.tls.is_some() { String::new() } else { service_unavailable(reason.name()) }
    }
}
