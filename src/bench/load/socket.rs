//! A client's socket under a poll, with or without TLS.

use crate::terminal::failure::Failure;
use crate::terminal::tls_client;
use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The name that the certificate of a server under load must have.
const NAME: &str = "localhost";

/// Trusts the certificate in this file.
pub fn trusting(certificate: &Path) -> Result<Arc<ClientConfig>, Failure> {
    tls_client::trusting(Some(certificate), None).map(Arc::new)
}

pub struct LoadSocket {
    pub tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl LoadSocket {
    /// Begins to connect.
    pub fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self, Failure> {
        let tcp = TcpStream::connect(address).map_err(Failure::because("cannot connect"))?;
        tcp.set_nodelay(true).map_err(Failure::because("cannot prepare a socket"))?;
        let secured = |config: &Arc<ClientConfig>| {
            let name = ServerName::try_from(NAME).expect("a name of the domain name system");
            ClientConnection::new(Arc::clone(config), name).map(Box::new)
        };
        let tls = tls.map(secured).transpose().map_err(Failure::because("cannot begin TLS"))?;
        Ok(Self { tcp, tls })
    }

    /// Whether a read that does not fill its buffer has emptied the socket.
    pub fn reads_all_at_once(&self) -> bool {
        self.tls.is_none()
    }
}

impl Read for LoadSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.tcp.read(buffer),
            Some(tls) => Stream::new(tls.as_mut(), &mut self.tcp).read(buffer),
        }
    }
}

impl Write for LoadSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.tcp.write(bytes),
            Some(tls) => Stream::new(tls.as_mut(), &mut self.tcp).write(bytes),
        }
    }

    /// Writes the records that the socket did not take at once.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) if tls.wants_write() => tls.write_tls(&mut self.tcp).map(|_bytes| ()),
            _ => Ok(()),
        }
    }
}
