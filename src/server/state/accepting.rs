//! The state of accepting: the listening socket, the unauthenticated connections, and those that linger after a
//! refusal.

use crate::model::Steady;
use crate::server::base::descriptors::Descriptors;
use crate::server::ring::operation::SocketIndex;
use crate::server::state::half_open::HalfOpen;
use crate::server::state::listener::Listener;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// The state of accepting connections.
pub struct Accepting {
    /// `None` once the server stops.
    pub listener: Option<Listener>,
    pub is_armed: bool,
    pub is_open: bool,
    /// Out of descriptors: not before this.
    pub again_at: Option<Steady>,
    pub half_open: HalfOpen,
    pub connections_max: usize,
    pub descriptors: Arc<Descriptors>,
    /// Refused strangers that may still read why, oldest first, some of them gone already; and how many there are.
    pub lingering: VecDeque<SocketIndex>,
    pub lingering_count: usize,
    /// Tells the starter that connections are accepted.
    pub opened: Option<Opened>,
}

type Opened = Box<dyn FnOnce(io::Result<()>)>;

impl Accepting {
    /// `opened` is told once connections are accepted.
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
            lingering: VecDeque::new(),
            lingering_count: 0,
            opened: Some(opened),
        }
    }
}
