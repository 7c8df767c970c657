//! The short responses to a request that is not a WebSocket upgrade, or that names a path this server does not have
//! (PROTOCOL 1).

/// The refusals, each a complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum HttpRefusal {
    BadRequest,
    /// A page of an origin that is not allowed.
    OriginRefused,
    NotFound,
    MethodNotAllowed,
    UpgradeRequired,
    HeaderTooLarge,
}

impl HttpRefusal {
    fn status_and_header(self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest => ("400 Bad Request", ""),
            Self::OriginRefused => ("403 Forbidden", ""),
            Self::NotFound => ("404 Not Found", ""),
            Self::MethodNotAllowed => ("405 Method Not Allowed", "Allow: GET\r\n"),
            Self::UpgradeRequired => ("426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            Self::HeaderTooLarge => ("431 Request Header Fields Too Large", ""),
        }
    }

    /// Appends the whole answer.
    pub fn write(self, out: &mut Vec<u8>) {
        let (status, header) = self.status_and_header();
        for part in ["HTTP/1.1 ", status, "\r\n", header, "Content-Length: 0\r\nConnection: close\r\n\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}
