//! A TCP connection under full control: bytes of HTTP and of WebSocket frames, cut where a test wants them cut.

use super::PATIENCE;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

pub mod opcode {
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
}

pub struct Raw {
    stream: TcpStream,
}

/// A masked frame of a client, whole.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub fn upgrade_request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("the server accepts"))
    }

    /// Connected from another address of this machine.
    pub fn connect_from(from: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
        socket.connect(&address.into()).expect("the server accepts");
        Self::on(socket.into())
    }

    pub fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        Self { stream }
    }

    /// Connected and upgraded.
    pub fn upgrade(address: SocketAddr, path: &str) -> Self {
        let mut raw = Self::connect(address);
        raw.write(upgrade_request(path).as_bytes());
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "RFC 6455's own example: {head}");
        raw
    }

    /// The kernel takes little for this side, so that what is not read stays with the server.
    pub fn shrink_receive_buffer(&self) {
        socket2::SockRef::from(&self.stream).set_recv_buffer_size(4_096).expect("a socket");
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// The head of an HTTP response, to its empty line.
    pub fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read::<1>().unwrap_or_else(|| panic!("ended in {}", String::from_utf8_lossy(&head)))[0]);
        }
        String::from_utf8(head).expect("a head is ASCII")
    }

    /// The next bytes as they come: the body of an HTTP response.
    pub fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    /// `None` at the end of the connection.
    fn read<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => None,
            Err(error) => panic!("nothing to read: {error}"),
        }
    }

    /// The next frame's opcode and payload; `None` at the end of the connection.
    pub fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second] = self.read()?;
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let length = match second {
            126 => usize::from(u16::from_be_bytes(self.read()?)),
            127 => usize::try_from(u64::from_be_bytes(self.read()?)).expect("it fits"),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("a whole frame");
        Some((first & 0x0f, payload))
    }

    /// The code of the close frame that comes next, whatever comes before it; `None` when there is none.
    pub fn read_close(&mut self) -> Option<u16> {
        loop {
            let (opcode, payload) = self.read_frame()?;
            if opcode == opcode::CLOSE {
                return payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
            }
        }
    }

    /// The server closes the TCP connection, too.
    pub fn expect_end(&mut self) {
        while self.read_frame().is_some() {}
    }
}
