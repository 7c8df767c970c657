//! The protocol of a connection.

/// The protocol that a path selects (PROTOCOL 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Dialect {
    Binary,
    JsonRpc,
    Wukong,
}

impl Dialect {
    pub const COUNT: usize = 3;

    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/ws" => Some(Self::Binary),
            "/rpc" | "/" => Some(Self::JsonRpc),
            "/wukong" => Some(Self::Wukong),
            _ => None,
        }
    }

    /// The dialect's name in `Sec-WebSocket-Protocol`.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Binary => "mushan.binary.v1",
            Self::JsonRpc | Self::Wukong => "mushan.jsonrpc.v1",
        }
    }
}
