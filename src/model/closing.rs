//! The one table of the ways in which a connection ends.

use super::Refusal;

/// The reason why a connection ends. Each has a WebSocket close code (PROTOCOL 5), except where no peer is left to read
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closing {
    /// The client sent a close frame, which the server answers.
    Normal,
    /// The server stops; the client should reconnect.
    Stopping,
    /// The client violated the WebSocket protocol (RFC 6455).
    ProtocolError,
    /// A frame of the wrong kind for the path.
    WrongKind,
    /// Text that is not UTF-8.
    BadText,
    /// A WebSocket message exceeds `Limits::frame_bytes_max`.
    TooBig,
    /// Authentication failed.
    AuthFailed,
    /// The client did not authenticate in time.
    AuthTooLate,
    /// No frame arrived for the idle time.
    Idle,
    /// The same device logged in again, or the user has too many sessions.
    Replaced,
    /// The socket took no bytes for too long. The client should reconnect and sync.
    TooSlow,
    /// `Limits::bad_requests_max` malformed requests in a row.
    TooManyBadRequests,
    /// The session's token has expired, and the grace period is over.
    TokenExpired,
    /// An operator has revoked the tokens issued until then.
    TokenRevoked,
    /// An operator has disabled the account.
    AccountDisabled,
    /// An operator has ended the session. The client may come back.
    Kicked,
    /// The handshake was refused with an HTTP status, or was not finished in time.
    HandshakeRefused,
    /// A browser connected from a page of an origin that is not allowed.
    OriginRefused,
    /// The connection of a proxy does not begin with the PROXY header that it is to send, or with a wrong one.
    ProxyHeaderMissing,
    /// No room: too many connections, or too many unauthenticated ones of one address. The client should retry later.
    Crowded,
    /// The TLS handshake failed, or a record was wrong.
    TlsFailed,
    /// The peer is gone without a close frame, or the socket failed.
    Gone,
}

impl Closing {
    /// Every reason, in the order of the metrics.
    pub const ALL: [Self; 22] = [
        Self::Normal,
        Self::Stopping,
        Self::ProtocolError,
        Self::WrongKind,
        Self::BadText,
        Self::TooBig,
        Self::AuthFailed,
        Self::AuthTooLate,
        Self::Idle,
        Self::Replaced,
        Self::TooSlow,
        Self::TooManyBadRequests,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::AccountDisabled,
        Self::Kicked,
        Self::HandshakeRefused,
        Self::OriginRefused,
        Self::ProxyHeaderMissing,
        Self::Crowded,
        Self::TlsFailed,
        Self::Gone,
    ];

    /// The closing of a connection whose authentication is refused.
    pub fn of_stranger(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TokenExpired => Self::TokenExpired,
            Refusal::TokenRevoked => Self::TokenRevoked,
            Refusal::AccountDisabled => Self::AccountDisabled,
            Refusal::Busy | Refusal::LoginTooFast => Self::Crowded,
            _ => Self::AuthFailed,
        }
    }

    /// The WebSocket close code; `None` when no close frame is sent.
    pub fn code(self) -> Option<u16> {
        match self {
            Self::Normal => Some(1000),
            Self::Stopping => Some(1001),
            Self::ProtocolError => Some(1002),
            Self::WrongKind => Some(1003),
            Self::BadText => Some(1007),
            Self::TooBig => Some(1009),
            Self::Crowded => Some(1013),
            Self::AuthFailed => Some(4001),
            Self::AuthTooLate => Some(4002),
            Self::Idle => Some(4003),
            Self::Replaced => Some(4004),
            Self::TooSlow => Some(4005),
            Self::TooManyBadRequests => Some(4006),
            Self::TokenExpired | Self::TokenRevoked => Some(4007),
            Self::AccountDisabled => Some(4008),
            Self::Kicked => Some(4009),
            Self::HandshakeRefused | Self::OriginRefused | Self::ProxyHeaderMissing | Self::TlsFailed | Self::Gone => {
                None
            }
        }
    }

    /// The stable word for the reason in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Stopping => "stopping",
            Self::ProtocolError => "protocol_error",
            Self::WrongKind => "wrong_kind",
            Self::BadText => "bad_text",
            Self::TooBig => "too_big",
            Self::AuthFailed => "auth_failed",
            Self::AuthTooLate => "auth_too_late",
            Self::Idle => "idle",
            Self::Replaced => "replaced",
            Self::TooSlow => "too_slow",
            Self::TooManyBadRequests => "too_many_bad_requests",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::AccountDisabled => "account_disabled",
            Self::Kicked => "kicked",
            Self::HandshakeRefused => "handshake_refused",
            Self::OriginRefused => "origin_refused",
            Self::ProxyHeaderMissing => "proxy_header_missing",
            Self::Crowded => "crowded",
            Self::TlsFailed => "tls_failed",
            Self::Gone => "gone",
        }
    }

    /// The text beside the close code, at most 123 bytes.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Stopping => "server stopping",
            Self::ProtocolError => "protocol error",
            Self::WrongKind => "wrong kind of frame for this path",
            Self::BadText => "text is not UTF-8",
            Self::TooBig => "frame too big",
            Self::AuthFailed => "authentication failed",
            Self::AuthTooLate => "authentication too late",
            Self::Idle => "idle",
            Self::Replaced => "replaced by another session",
            Self::TooSlow => "too slow, come back and sync",
            Self::TooManyBadRequests => "too many bad requests",
            Self::TokenExpired => "token expired",
            Self::TokenRevoked => "token revoked",
            Self::AccountDisabled => "account disabled",
            Self::Kicked => "ended by an operator",
            Self::HandshakeRefused => "handshake refused",
            Self::OriginRefused => "origin refused",
            Self::ProxyHeaderMissing => "PROXY header missing",
            Self::Crowded => "no room, try again later",
            Self::TlsFailed => "TLS failed",
            Self::Gone => "gone",
        }
    }
}
