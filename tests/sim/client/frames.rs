//! The client's side of the wire: an upgrade request, masked frames out, server frames in.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Binary,
    JsonRpc,
    Wukong,
}

impl Protocol {
    pub fn path(self) -> &'static str {
        match self {
            Self::Binary => "/ws",
            Self::JsonRpc => "/rpc",
            Self::Wukong => "/wukong",
        }
    }
}

pub fn upgrade(protocol: Protocol) -> Vec<u8> {
    format!(
        "GET {} HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        protocol.path()
    )
    .into_bytes()
}

/// One masked frame, whole.
pub fn frame(protocol: Protocol, payload: &[u8], mask: u32) -> Vec<u8> {
    let opcode = if protocol == Protocol::Binary { 2 } else { 1 };
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = mask.to_be_bytes();
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

pub enum Received {
    Upgraded,
    Message(Vec<u8>),
    Closed(u16),
}

/// Takes the next whole thing off the front of what the server sent.
pub fn take(received: &mut Vec<u8>, is_upgraded: bool) -> Option<Received> {
    if !is_upgraded {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        assert!(received.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(received));
        received.drain(..end);
        return Some(Received::Upgraded);
    }
    let (first, second) = (*received.first()?, *received.get(1)?);
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (header, length) = match second {
        126 => (4, u16::from_be_bytes(received.get(2..4)?.try_into().unwrap()) as usize),
        127 => (10, u64::from_be_bytes(received.get(2..10)?.try_into().unwrap()) as usize),
        length => (2, length as usize),
    };
    if received.len() < header + length {
        return None;
    }
    let payload: Vec<u8> = received.drain(..header + length).skip(header).collect();
    match first {
        0x81 | 0x82 => Some(Received::Message(payload)),
        0x88 => Some(Received::Closed(u16::from_be_bytes(payload[..2].try_into().unwrap()))),
        other => panic!("the server sent a frame {other:#x} that nobody asked for"),
    }
}
