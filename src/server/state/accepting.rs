//! The state of accepting: the listening socket, the unauthenticated connections, and those that linger after a
//! refusal.

use crate::model::Steady;
use crate::server::base::descriptors::Descriptors;
use crate::server::ring::operation::SocketIndex;
use crate::server::state::half_open::HalfOpen;
use crate::server::state::handshakes::HandshakeShare;
use crate::server::state::listener::Listener;
use crate::server::tls::identity::TlsIdentity;
use crate::wire::SERVICE_UNAVAILABLE;
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

type Opened = Box<dyn FnOnce(io::Result<()>)>;

impl Accepting {
    /// `opened` is notified once connections are accepted.
    pub fn new(
        listener: Listener,
        (half_open, connections_max, descriptors): (HalfOpen, usize, Arc<Descriptors>),
        opened: Opened,
    ) -> Self {
        Self {
            listener: Some(listener),
            is_armed: false,
            is_open: false,
            again_at: None,
            half_open,
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
    pub fn answer_at_once(&self) -> &'static [u8] {
        if self.tls.is_some() { b"" } else { SERVICE_UNAVAILABLE.as_bytes() }
    }
}
