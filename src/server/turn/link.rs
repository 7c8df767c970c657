//! A link: a connection with its key on this core and the state that the turn keeps for it.

use crate::model::{DeviceKey, Millis, Moment, RequestTag, SessionId, Steady, UserId};
use crate::server::peer::client::ClientAddress;
use crate::server::peer::proxy_header::HeaderReader;
use crate::server::tls::record_layer::RecordLayer;
use crate::server::turn::withheld::Withheld;
use crate::wire::Connection;
use slab::Slab;
use std::ops::{Index, IndexMut};

/// A link's key is the low bits of its session id; the high bits count up, so that no id is used twice.
const KEY_BITS: u32 = 20;

/// The index of a connection on this core. Reused after `release` or `detach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey(pub u32);

/// An authenticated connection on its way to the core that owns its user, with partly received frames.
pub struct MigratingConnection {
    /// The protocol state.
    pub connection: Connection,
    /// Its TLS state, if it has one.
    pub(in crate::server) layer: Option<Box<RecordLayer>>,
    /// The client's address, as far as it is known.
    pub(in crate::server) client: Option<ClientAddress>,
    /// The user and the request that authenticated it.
    pub arrival: Authenticated,
}

/// The result of an authentication, and the request that carried the token.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceKey,
    /// The tag of the request, which the user's shard answers.
    pub tag: RequestTag,
    /// When the token was issued.
    pub issued: Millis,
}

#[derive(Debug)]
pub(in crate::server) enum LinkStage {
    /// In the handshake, or not authenticated.
    Entering,
    /// On its way to another core.
    Departing(Authenticated),
    /// A session of this core's shard.
    Open,
    /// Closing or closed; only its outbox still matters.
    Ended,
}

pub(in crate::server) struct Link {
    pub connection: Connection,
    /// `None`: the socket's bytes are plaintext.
    pub layer: Option<Box<RecordLayer>>,
    /// Awaited before everything else; `None`: there is none to come.
    pub proxy_header: Option<Box<HeaderReader>>,
    /// The client's address, as far as it is known.
    pub client: Option<ClientAddress>,
    /// The id of the session once it is open; before that it distinguishes this link from earlier ones with the same
    /// key.
    pub session: SessionId,
    pub stage: LinkStage,
    /// The shard accepts no requests of this session for now.
    pub is_paused: bool,
    /// The client reads its replies too slowly to get more of them.
    pub is_congested: bool,
    /// The shard asked to be told when its outbox drains.
    pub is_awaited: bool,
    /// Events for which the outbox had no room.
    pub withheld: Option<Box<Withheld>>,
    /// A `Write` is among the actions, or a write is in flight.
    pub is_dirty: bool,
    /// Bytes that were taken from the outbox and are not written yet.
    pub in_flight_bytes: usize,
    /// The earliest entry of this link among the deadlines.
    pub scheduled: Steady,
    /// When its session was opened, if one was.
    pub opened: Option<Moment>,
}

/// All links of a core.
#[derive(Default)]
pub(in crate::server) struct Links {
    slab: Slab<Link>,
    /// The number of links that there have ever been.
    seen: u64,
}

impl Links {
    pub fn insert(&mut self, connection: Connection, layer: Option<Box<RecordLayer>>) -> LinkKey {
        self.seen += 1;
        let entry = self.slab.vacant_entry();
        let key = LinkKey(u32::try_from(entry.key()).expect("connections per core are bounded far below"));
        entry.insert(Link::new(connection, layer, session_id(self.seen, key)));
        key
    }

    pub fn remove(&mut self, key: LinkKey) -> Link {
        self.slab.remove(key.0 as usize)
    }

    /// The link with this session, or with this future session.
    pub fn find(&self, session: SessionId) -> Option<(LinkKey, &Link)> {
        let key = key_of(session);
        self.slab.get(key.0 as usize).filter(|link| link.session == session).map(|link| (key, link))
    }

    pub fn contains(&self, key: LinkKey) -> bool {
        self.slab.contains(key.0 as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = (LinkKey, &Link)> {
        self.slab.iter().map(|(key, link)| (LinkKey(key as u32), link))
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }
}

impl Index<LinkKey> for Links {
    type Output = Link;

    #[inline]
    fn index(&self, key: LinkKey) -> &Link {
        &self.slab[key.0 as usize]
    }
}

impl IndexMut<LinkKey> for Links {
    #[inline]
    fn index_mut(&mut self, key: LinkKey) -> &mut Link {
        &mut self.slab[key.0 as usize]
    }
}

impl Link {
    fn new(connection: Connection, layer: Option<Box<RecordLayer>>, session: SessionId) -> Self {
        Self {
            connection,
            layer,
            proxy_header: None,
            client: None,
            session,
            stage: LinkStage::Entering,
            is_paused: false,
            is_congested: false,
            is_awaited: false,
            withheld: None,
            is_dirty: false,
            in_flight_bytes: 0,
            scheduled: Steady::NEVER,
            opened: None,
        }
    }

    #[inline]
    pub fn queued_bytes(&self) -> usize {
        self.connection.outbox_bytes() + self.in_flight_bytes
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.stage, LinkStage::Ended)
    }

    /// Whether its next request may be decoded.
    pub fn is_served(&self) -> bool {
        matches!(self.stage, LinkStage::Entering | LinkStage::Open) && !self.is_paused && !self.is_congested
    }
}

fn session_id(count: u64, key: LinkKey) -> SessionId {
    assert!(key.0 < 1 << KEY_BITS, "connections per core are bounded far below");
    SessionId(count << KEY_BITS | u64::from(key.0))
}

fn key_of(session: SessionId) -> LinkKey {
    LinkKey((session.0 & ((1 << KEY_BITS) - 1)) as u32)
}
