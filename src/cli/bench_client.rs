//! One connection of the generator: a socket, the frame it is in the middle of, and what is still to be written.

use super::bench_scan::{AckName, Scanned, scan};
use super::bench_template::{push_binary_ack, push_json_rpc_ack};
use super::chat::Protocol;
use super::chat_session::{Heard, Outcome, Session};
use super::failure::Failure;
use super::link::{Ended, Link};
use mio::net::TcpStream;
use std::io::{self, Cursor, Read, Write};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, OpCode};

pub struct Client {
    pub stream: TcpStream,
    protocol: Protocol,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    pub out: Vec<u8>,
    /// The newest binary seq that is not acknowledged.
    unacknowledged: Option<u64>,
}

/// What a message was to the load.
pub enum Happened {
    Accepted { number: u32 },
    Delivered { number: u32, pair: u32 },
    Refused(String),
}

impl Client {
    /// Connects and logs in, waiting for it.
    pub fn open(url: &str, protocol: Protocol, mut session: Session) -> Result<Self, Failure> {
        let mut link = Link::connect(url, protocol.path())?;
        let mut outcome = Outcome::default();
        session.open(&mut outcome);
        loop {
            for message in outcome.write.drain(..) {
                link.send(message).map_err(ended)?;
            }
            match outcome.heard.pop() {
                Some(Heard::Opened) => break,
                Some(Heard::Farewell(why)) => return Err(Failure::new(format!("login refused: {why}"))),
                _ => {}
            }
            let message = link.receive().map_err(ended)?;
            let message = message.ok_or_else(|| Failure::new("the server does not answer a login"))?;
            session.hear(&message, &mut outcome);
        }
        let stream = link.into_stream();
        stream.set_nonblocking(true).map_err(Failure::because("cannot prepare a socket"))?;
        let stream = TcpStream::from_std(stream);
        Ok(Self { stream, protocol, partial: Vec::new(), out: Vec::new(), unacknowledged: None })
    }

    /// Reads what is there, through `buffer`, and tells what it says. Acknowledgements are queued.
    pub fn read(&mut self, buffer: &mut [u8], mut tell: impl FnMut(Happened)) -> Result<(), Failure> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(Failure::new("the server closed a connection under load")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::because("a connection under load")(error)),
            };
            self.take_in(&buffer[..count], &mut tell)?;
            self.acknowledge();
            // A read that did not fill the buffer has emptied the socket, and the next byte wakes us again.
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self, bytes: &[u8], tell: &mut impl FnMut(Happened)) -> Result<(), Failure> {
        if self.partial.is_empty() {
            let taken = self.take_frames(bytes, tell)?;
            self.partial.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(bytes);
        let taken = self.take_frames(&joined, tell)?;
        joined.drain(..taken);
        self.partial = joined;
        Ok(())
    }

    /// How many bytes were whole frames.
    fn take_frames(&mut self, bytes: &[u8], tell: &mut impl FnMut(Happened)) -> Result<usize, Failure> {
        let mut taken = 0;
        loop {
            let mut cursor = Cursor::new(&bytes[taken..]);
            let parsed = FrameHeader::parse(&mut cursor).map_err(Failure::because("the server's framing"))?;
            let Some((header, length)) = parsed else { return Ok(taken) };
            let start = taken + usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            let Some(payload) = usize::try_from(length).ok().and_then(|length| bytes[start..].get(..length)) else {
                return Ok(taken);
            };
            taken = start + payload.len();
            match header.opcode {
                OpCode::Data(_) => self.take_message(payload, tell)?,
                OpCode::Control(Control::Close) => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Err(Failure::new(format!("the server closed a connection under load ({code})")));
                }
                OpCode::Control(_) => {}
            }
        }
    }

    fn take_message(&mut self, message: &[u8], tell: &mut impl FnMut(Happened)) -> Result<(), Failure> {
        let scanned = scan(self.protocol, message).ok_or_else(|| {
            Failure::new(format!("a message of the server is not understood: {}", String::from_utf8_lossy(message)))
        })?;
        match scanned {
            Scanned::Accepted { number } => tell(Happened::Accepted { number }),
            Scanned::Refused(why) => tell(Happened::Refused(why)),
            Scanned::Pushed { number, pair, ack } => {
                tell(Happened::Delivered { number, pair });
                match ack {
                    AckName::Seq(seq) => self.unacknowledged = Some(seq),
                    AckName::Message { id, seq } => push_json_rpc_ack(id, seq, &mut self.out),
                }
            }
            Scanned::Other => {}
        }
        Ok(())
    }

    /// A binary ack covers all before it: one for each read is enough.
    fn acknowledge(&mut self) {
        if let Some(seq) = self.unacknowledged.take() {
            push_binary_ack(seq, &mut self.out);
        }
    }

    /// Writes what the socket takes.
    pub fn write(&mut self) -> Result<(), Failure> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::because("a connection under load")(error)),
            }
        }
        Ok(())
    }
}

fn ended(ended: Ended) -> Failure {
    Failure::new(match ended {
        Ended::Closed(code, reason) => format!("login refused: {reason} ({code})"),
        Ended::Failed(error) => format!("login failed: {error}"),
    })
}
