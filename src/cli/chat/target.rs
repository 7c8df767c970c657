//! The server of a chat: its address, and whom the chat trusts where it speaks TLS. The files are read once.

use crate::terminal::failure::Failure;
use crate::terminal::tcp_client::{TcpClient, is_secured};
use crate::terminal::tls_client::TlsFlags;
use rustls::ClientConfig;
use std::sync::Arc;

/// Where the server is.
pub struct ChatTarget {
    pub url: String,
    path: &'static str,
    /// For a URL with `wss`.
    tls: Option<Arc<ClientConfig>>,
}

impl ChatTarget {
    pub fn new(url: &str, path: &'static str, tls: &TlsFlags) -> Result<Self, Failure> {
        let tls = is_secured(url).then(|| tls.config()).transpose()?;
        Ok(Self { url: url.to_owned(), path, tls })
    }

    pub fn connect(&self) -> Result<TcpClient, Failure> {
        TcpClient::connect(&self.url, self.path, self.tls.as_ref())
    }
}
