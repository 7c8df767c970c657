//! One connection of the generator: a socket, its phase, the partly received frame, and the bytes to be written.
//! Nothing here blocks.
//!
//! Invariant: every entry of an inbox is reported once, whether it arrives as a push or in a page of a sync: while a
//! client syncs, pushes wait, and those that the pages already contained are dropped.

use crate::bench::load::scan::{AckName, PageContents, RawPage, Scanned, scan};
use crate::bench::load::socket::LoadSocket;
use crate::bench::load::template::{
    LoadDialect, Login, push_binary_ack, push_json_rpc_ack, push_login, push_receipt, push_sync,
};
use crate::terminal::failure::Failure;
use rustls::ClientConfig;
use std::io::{self, Cursor, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, OpCode};

/// Entries in a page for a client that reconnects.
const PAGE_ENTRIES: i32 = 100;
const HANDSHAKE_BYTES_MAX: usize = 8 << 10;

/// The user, its token, and the server.
#[derive(Clone, Debug)]
pub struct LoginTarget {
    pub user: String,
    pub token: String,
    pub address: SocketAddr,
    pub dialect: LoadDialect,
    /// `None`: plaintext.
    pub tls: Option<Arc<ClientConfig>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// As real clients do: one for each read in the binary protocol, one for each message in JSON-RPC.
    Sent,
    Withheld,
}

/// Whether the client logs in for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    First,
    /// It reconnects, and reads on after what it has seen.
    Again,
}

#[derive(Debug)]
enum ClientPhase {
    Shaking,
    LoggingIn,
    Syncing { held: Vec<(u64, u32, u32)> },
    Open,
}

pub struct Client {
    pub stream: LoadSocket,
    pub account: LoginTarget,
    phase: ClientPhase,
    coming: Coming,
    acks: Acks,
    /// Received bytes of a handshake or a frame that is not complete.
    partial: Vec<u8>,
    pub out: Vec<u8>,
    /// The newest seq of the binary protocol that is not acknowledged.
    unacknowledged: Option<u64>,
    /// The newest inbox seq that has been received.
    seen: u64,
    /// The inbox seq up to which it had read after its last reconnect: the server may push those entries again.
    caught_up_to: u64,
    /// The number of answers of a relay, which do not name their request.
    answers: u32,
    /// One receipt is sent for this many messages; 0: none.
    receipt_every: u32,
    until_receipt: u32,
}

/// The meaning of a received message for the load.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened {
    LoggedIn,
    /// All missed entries have been read.
    CaughtUp,
    Accepted {
        number: u32,
    },
    Delivered {
        number: u32,
        stream: u32,
        way: LoginPath,
    },
    /// An entry that the client had received before it reconnected.
    Repeated,
    Page(PageContents),
    /// A receipt was answered.
    Noted,
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginPath {
    Pushed,
    /// The message was missed and read later.
    Synced,
}

impl Client {
    /// Begins to connect and to log in.
    pub fn begin(account: LoginTarget, acks: Acks) -> Result<Self, Failure> {
        let phase = if account.dialect == LoadDialect::Bare { ClientPhase::LoggingIn } else { ClientPhase::Shaking };
        let mut client = Self {
            stream: LoadSocket::connect(account.address, account.tls.as_ref())?,
            account,
            phase,
            coming: Coming::First,
            acks,
            partial: Vec::new(),
            out: Vec::new(),
            unacknowledged: None,
            seen: 0,
            caught_up_to: 0,
            answers: 0,
            receipt_every: 0,
            until_receipt: 0,
        };
        client.start_handshake();
        Ok(client)
    }

    pub fn ask_for_receipts(&mut self, every: u32) {
        self.receipt_every = every;
        self.until_receipt = every;
    }

    /// Disconnects, and reconnects as the same user. The caller must register the new socket.
    pub fn come_back(&mut self) -> Result<(), Failure> {
        self.stream = LoadSocket::connect(self.account.address, self.account.tls.as_ref())?;
        self.phase = ClientPhase::Shaking;
        self.coming = Coming::Again;
        self.partial.clear();
        self.out.clear();
        self.unacknowledged = None;
        self.start_handshake();
        Ok(())
    }

    fn start_handshake(&mut self) {
        let LoginTarget { address, dialect, .. } = &self.account;
        if *dialect != LoadDialect::Bare {
            let request = format!(
                "GET {} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: bXVzaGFuLWJlbmNoLWtleQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                dialect.path()
            );
            self.out.extend_from_slice(request.as_bytes());
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, ClientPhase::Open)
    }

    /// Requests the page of the inbox after seq `after`.
    pub fn ask_for_page(&mut self, after: u64, entries: i32) {
        self.seen = after;
        push_sync(self.account.dialect, after, entries, &mut self.out);
    }

    /// Reads everything available, through `buffer`, and reports it to `tell`. Acknowledgements are queued.
    pub fn read(&mut self, buffer: &mut [u8], tell: &mut impl FnMut(Happened)) -> Result<(), Failure> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(Failure::new("the server closed a connection under load")),
                Ok(count) => count,
                Err(error) if is_too_early(&error) => return Ok(()),
                Err(error) => return Err(Failure::because("a connection under load")(error)),
            };
            self.take_in(&buffer[..count], tell)?;
            self.acknowledge();
            // A read that did not fill the buffer has emptied the socket; the poll reports the next byte.
            if count < buffer.len() && self.stream.reads_all_at_once() {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self, bytes: &[u8], tell: &mut impl FnMut(Happened)) -> Result<(), Failure> {
        if self.partial.is_empty() {
            let taken = self.take_some(bytes, tell)?;
            self.partial.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(bytes);
        let taken = self.take_some(&joined, tell)?;
        joined.drain(..taken);
        self.partial = joined;
        Ok(())
    }

    /// Handles complete handshakes and frames. Returns the number of bytes that were used.
    fn take_some(&mut self, bytes: &[u8], tell: &mut impl FnMut(Happened)) -> Result<usize, Failure> {
        let mut taken = 0;
        if matches!(self.phase, ClientPhase::Shaking) {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                let is_endless = bytes.len() > HANDSHAKE_BYTES_MAX;
                return if is_endless { Err(Failure::new("the server's handshake is too long")) } else { Ok(0) };
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                let first = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
                return Err(Failure::new(format!(
                    "the WebSocket handshake failed: {}",
                    String::from_utf8_lossy(first)
                )));
            }
            taken = end + 4;
            self.phase = ClientPhase::LoggingIn;
            let login = Login { user: &self.account.user, token: &self.account.token };
            push_login(self.account.dialect, &login, &mut self.out);
        }
        Ok(taken + self.take_frames(&bytes[taken..], tell)?)
    }

    fn take_frames(&mut self, bytes: &[u8], tell: &mut impl FnMut(Happened)) -> Result<usize, Failure> {
        let mut taken = 0;
        loop {
            let mut cursor = Cursor::new(&bytes[taken..]);
            let parsed =
                FrameHeader::parse(&mut cursor).map_err(Failure::because("cannot parse a frame of the server"))?;
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
        let scanned = scan(self.account.dialect, message).ok_or_else(|| not_understood(message))?;
        match scanned {
            Scanned::Accepted { number } => {
                let number = number.unwrap_or(self.answers);
                self.answers = self.answers.wrapping_add(1);
                tell(Happened::Accepted { number });
            }
            Scanned::Refused(why) if matches!(self.phase, ClientPhase::LoggingIn) => {
                return Err(Failure::new(format!("login refused: {why}")));
            }
            Scanned::Refused(why) => tell(Happened::Refused(why)),
            Scanned::Welcome => self.welcomed(tell),
            Scanned::Pushed { number, stream, ack } => self.pushed(number, stream, &ack, tell),
            Scanned::Page(page) => self.turn_page(&page, message, tell)?,
            Scanned::Noted => tell(Happened::Noted),
            Scanned::Other => {}
        }
        Ok(())
    }

    fn welcomed(&mut self, tell: &mut impl FnMut(Happened)) {
        if self.coming == Coming::Again {
            self.phase = ClientPhase::Syncing { held: Vec::new() };
            self.ask_for_page(self.seen, PAGE_ENTRIES);
            return tell(Happened::LoggedIn);
        }
        self.phase = ClientPhase::Open;
        tell(Happened::LoggedIn);
        tell(Happened::CaughtUp);
    }

    fn pushed(&mut self, number: u32, stream: u32, ack: &AckName<'_>, tell: &mut impl FnMut(Happened)) {
        if let ClientPhase::Syncing { held } = &mut self.phase {
            return held.push((ack.inbox_seq, number, stream));
        }
        let dialect = self.account.dialect;
        if ack.inbox_seq > self.caught_up_to || ack.inbox_seq == 0 {
            tell(Happened::Delivered { number, stream, way: LoginPath::Pushed });
            self.seen = ack.inbox_seq;
        } else {
            tell(Happened::Repeated);
        }
        if self.acks == Acks::Sent {
            match dialect {
                LoadDialect::JsonRpc => push_json_rpc_ack(ack.id, ack.seq, &mut self.out),
                LoadDialect::Binary | LoadDialect::Bare => self.unacknowledged = Some(ack.seq),
            }
        }
        if self.receipt_every > 0 {
            self.until_receipt -= 1;
            if self.until_receipt == 0 {
                self.until_receipt = self.receipt_every;
                self.queue_receipt(ack.id);
            }
        }
    }

    /// Readers of a mixed load are called `…-bN` and read the messages of `…-aN`.
    fn queue_receipt(&mut self, message_id: &str) {
        let author = self.account.user.replacen("-b", "-a", 1);
        push_receipt(self.account.dialect, &self.account.user, &author, message_id, &mut self.out);
    }

    fn turn_page(
        &mut self,
        page: &RawPage<'_>,
        message: &[u8],
        tell: &mut impl FnMut(Happened),
    ) -> Result<(), Failure> {
        let is_catching_up = matches!(self.phase, ClientPhase::Syncing { .. });
        let read = page.read(self.seen, |_seq, number, stream| {
            if is_catching_up {
                tell(Happened::Delivered { number, stream, way: LoginPath::Synced });
            }
        });
        let contents = read.ok_or_else(|| not_understood(message))?;
        self.seen = contents.last;
        if !is_catching_up {
            tell(Happened::Page(contents));
        } else if contents.has_more {
            self.ask_for_page(contents.last, PAGE_ENTRIES);
        } else if let ClientPhase::Syncing { held } = std::mem::replace(&mut self.phase, ClientPhase::Open) {
            for (seq, number, stream) in held.into_iter().filter(|(seq, ..)| *seq > contents.last) {
                self.seen = seq;
                tell(Happened::Delivered { number, stream, way: LoginPath::Synced });
            }
            self.caught_up_to = self.seen;
            let is_binary = self.account.dialect == LoadDialect::Binary;
            self.unacknowledged = Some(self.seen).filter(|_seen| is_binary && self.acks == Acks::Sent);
            tell(Happened::CaughtUp);
        }
        Ok(())
    }

    /// A binary acknowledgement covers all earlier entries, so one for each read is enough.
    fn acknowledge(&mut self) {
        if let Some(seq) = self.unacknowledged.take() {
            push_binary_ack(seq, &mut self.out);
        }
    }

    /// Writes as much as the socket takes.
    pub fn write(&mut self) -> Result<(), Failure> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if is_too_early(&error) => return Ok(()),
                Err(error) => return Err(Failure::because("a connection under load")(error)),
            }
        }
        match self.stream.flush() {
            Err(error) if !is_too_early(&error) => Err(Failure::because("a connection under load")(error)),
            _ => Ok(()),
        }
    }
}

/// Nothing has arrived yet, or the socket is not connected yet.
fn is_too_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

fn not_understood(message: &[u8]) -> Failure {
    let shown = String::from_utf8_lossy(&message[..message.len().min(400)]).into_owned();
    Failure::new(format!("cannot decode a message of the server: {shown}"))
}
