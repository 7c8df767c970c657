//! The TLS state of one connection: received records become plaintext, plaintext becomes records to write.
//!
//! Owned by a link. Invariants: one flush of an outbox makes as few records as TLS permits (16 KiB each); before the
//! handshake is complete at most `HANDSHAKE_BYTES_MAX` are stored; an idle connection holds no buffer.

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use std::sync::Arc;

/// The most bytes of a client's handshake that are stored: a client hello with post-quantum key shares has some 2 KiB.
const HANDSHAKE_BYTES_MAX: usize = 16 << 10;
/// The most bytes of a record: 2^14, what a cipher may add (RFC 5246, 6.2.3), and the header.
const RECORD_BYTES_MAX: usize = (16 << 10) + (2 << 10) + 5;
/// What a record adds to its plaintext: header, content type, tag, and the nonce of TLS 1.2.
const RECORD_OVERHEAD: usize = 5 + 1 + 16 + 8;
const PLAINTEXT_BYTES_MAX: usize = 16 << 10;

/// Why a connection cannot continue. An alert for the peer is among the bytes to write, where TLS has one.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum TlsError {
    #[error(transparent)]
    Protocol(#[from] rustls::Error),
    #[error("an incomplete record or handshake message is too long")]
    TooLong,
    #[error("the keys are used up")]
    Exhausted,
    #[error("early data was sent, and is not accepted")]
    EarlyData,
}

/// Whether the peer may send more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum PeerSide {
    Open,
    /// It has sent `close_notify`.
    Closed,
}

pub(in crate::server) struct RecordLayer {
    session: UnbufferedServerConnection,
    /// The start of a record or a handshake message whose rest has not arrived.
    partial: Vec<u8>,
    /// Records to write: those of the handshake, alerts, and the last ones of an ended connection.
    outgoing: Vec<u8>,
    peer: PeerSide,
}

impl RecordLayer {
    /// The state of a connection that has received nothing.
    ///
    /// # Errors
    ///
    /// The configuration is unusable; `identity` has checked that it is not.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        let session = UnbufferedServerConnection::new(config)?;
        Ok(Self { session, partial: Vec::new(), outgoing: Vec::new(), peer: PeerSide::Open })
    }

    /// Whether the handshake is not complete: until then nothing can be sent.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// The number of bytes that `take_outgoing` returns.
    pub fn outgoing_bytes(&self) -> usize {
        self.outgoing.len()
    }

    /// Consumes bytes from the socket and appends what they say to `plaintext`.
    ///
    /// # Errors
    ///
    /// The connection cannot continue. `plaintext` has what came before the fault.
    pub fn receive(&mut self, bytes: &mut [u8], plaintext: &mut Vec<u8>) -> Result<PeerSide, TlsError> {
        if self.partial.is_empty() {
            let consumed = self.process(bytes, plaintext)?;
            self.partial.extend_from_slice(&bytes[consumed..]);
        } else {
            let mut stored = std::mem::take(&mut self.partial);
            stored.extend_from_slice(bytes);
            let consumed = self.process(&mut stored, plaintext)?;
            stored.drain(..consumed);
            if !stored.is_empty() {
                self.partial = stored;
            }
        }
        let stored_bytes_max = if self.is_handshaking() { HANDSHAKE_BYTES_MAX } else { RECORD_BYTES_MAX };
        if self.partial.len() > stored_bytes_max { Err(TlsError::TooLong) } else { Ok(self.peer) }
    }

    /// Processes `incoming` and returns how many of its bytes are consumed.
    fn process(&mut self, incoming: &mut [u8], plaintext: &mut Vec<u8>) -> Result<usize, TlsError> {
        let mut consumed = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(&mut incoming[consumed..]);
            let is_settled = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plaintext.extend_from_slice(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append_record(&mut self.outgoing, &mut data)?;
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer = PeerSide::Closed;
                    false
                }
                Ok(ConnectionState::ReadEarlyData(_)) => return Err(TlsError::EarlyData),
                Ok(_blocked_or_open_or_closed) => true,
                Err(error) => {
                    self.encode_alert(&mut incoming[consumed + discard..]);
                    return Err(error.into());
                }
            };
            consumed += discard;
            if is_settled {
                return Ok(consumed);
            }
        }
    }

    /// Encodes the alert that rustls has queued with an error.
    fn encode_alert(&mut self, incoming: &mut [u8]) {
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = self.session.process_tls_records(incoming).state {
            // The connection ends in any case.
            let _ = append_record(&mut self.outgoing, &mut data);
        }
    }

    /// Appends `plaintext` to `out` as records, after the records that TLS itself has to send.
    ///
    /// # Errors
    ///
    /// The connection cannot continue.
    pub fn encrypt(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.in_traffic(out, |traffic, out| {
            let records = plaintext.len() / PLAINTEXT_BYTES_MAX + 1;
            append(out, plaintext.len() + records * RECORD_OVERHEAD, |free| encrypted(traffic.encrypt(plaintext, free)))
        })
    }

    /// Ends the own side: `plaintext` and `close_notify` are the last records.
    pub fn finish(&mut self, plaintext: &[u8]) {
        if self.is_handshaking() {
            return;
        }
        let mut last = std::mem::take(&mut self.outgoing);
        // Keys that are used up cannot protect an end either: then the socket closes without one.
        if self.encrypt(plaintext, &mut last).is_ok() {
            let _ = self.in_traffic(&mut last, |traffic, out| {
                append(out, RECORD_OVERHEAD + 2, |free| encrypted(traffic.queue_close_notify(free)))
            });
        }
        self.outgoing = last;
    }

    /// Moves the records of the handshake, alerts, and the last records of the connection to `out`.
    pub fn take_outgoing(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.outgoing);
        self.outgoing = Vec::new();
    }

    /// Writes in the state in which application data may be sent.
    fn in_traffic(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> Result<(), TlsError>,
    ) -> Result<(), TlsError> {
        // All received bytes were processed: this call reads nothing, but rustls must see what it has not discarded.
        loop {
            match self.session.process_tls_records(&mut self.partial).state? {
                ConnectionState::EncodeTlsData(mut data) => {
                    append_record(out, &mut data)?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => return write(&mut traffic, out),
                ConnectionState::PeerClosed => {}
                _not_open => return Err(TlsError::Exhausted),
            }
        }
    }
}

/// Why something was not written into a buffer.
enum Unwritten {
    NeedsBytes(usize),
    Never(TlsError),
}

fn encrypted(written: Result<usize, EncryptError>) -> Result<usize, Unwritten> {
    written.map_err(|error| match error {
        EncryptError::InsufficientSize(short) => Unwritten::NeedsBytes(short.required_size),
        EncryptError::EncryptExhausted => Unwritten::Never(TlsError::Exhausted),
    })
}

/// Appends a record that rustls has ready.
fn append_record(out: &mut Vec<u8>, data: &mut EncodeTlsData<'_, ServerConnectionData>) -> Result<(), TlsError> {
    append(out, 0, |free| {
        data.encode(free).map_err(|error| match error {
            EncodeError::InsufficientSize(short) => Unwritten::NeedsBytes(short.required_size),
            EncodeError::AlreadyEncoded => Unwritten::Never(TlsError::Exhausted),
        })
    })
}

/// Appends what `write` puts into a slice of `expected` bytes, or of as many as it asks for.
fn append(
    out: &mut Vec<u8>,
    expected: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Unwritten>,
) -> Result<(), TlsError> {
    let start = out.len();
    let mut bytes = expected;
    loop {
        out.resize(start + bytes, 0);
        let written = write(&mut out[start..]);
        out.truncate(start + written.as_ref().map_or(0, |written| *written));
        match written {
            Ok(_bytes) => return Ok(()),
            Err(Unwritten::NeedsBytes(needed)) if needed > bytes => bytes = needed,
            Err(Unwritten::NeedsBytes(_)) => return Err(TlsError::Exhausted),
            Err(Unwritten::Never(error)) => return Err(error),
        }
    }
}
