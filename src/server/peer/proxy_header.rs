//! The PROXY header (versions 1 and 2) with which a proxy's connection begins, before TLS.
//!
//! Invariant: at most `BYTES_MAX` and one receive are stored; every byte after the header belongs to the client.

use crate::server::peer::client::ClientAddress;
use proxy_header::{Error, ParseConfig, ProxyHeader};

/// The longest header that is accepted. An address takes 52 bytes; the rest is for the extensions of version 2, which are
/// skipped.
const BYTES_MAX: usize = 4_096;

/// The bytes of a header that is not complete.
#[derive(Debug, Default)]
pub struct HeaderReader(Vec<u8>);

#[derive(Debug, PartialEq, Eq)]
pub enum HeaderState {
    Partial,
    /// `client` is `None` where the proxy speaks for itself, as in a health check. `rest` is what comes after it.
    Complete {
        client: Option<ClientAddress>,
        rest: Vec<u8>,
    },
    /// There is no header, or a wrong one.
    Missing,
}

impl HeaderReader {
    pub fn receive(&mut self, bytes: &[u8]) -> HeaderState {
        self.0.extend_from_slice(bytes);
        match ProxyHeader::parse(&self.0, ParseConfig { include_tlvs: false, ..ParseConfig::default() }) {
            Ok((header, length)) if length <= BYTES_MAX => {
                let client = header.proxied_address().map(|address| address.source.into());
                HeaderState::Complete { client, rest: self.0.split_off(length) }
            }
            Err(Error::BufferTooShort) if self.may_become_one() => HeaderState::Partial,
            Ok(_) | Err(_) => HeaderState::Missing,
        }
    }

    /// Whether version 2's fixed part and as many bytes as its length names are here.
    fn has_declared_length(&self) -> bool {
        let Some((&[_, _, high, low], rest)) = self.0.get(12..).and_then(<[u8]>::split_first_chunk) else {
            return false;
        };
        rest.len() >= usize::from(u16::from_be_bytes([high, low]))
    }

    /// Whether more bytes can complete a header of the permitted length.
    fn may_become_one(&self) -> bool {
        const BEGINNINGS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];
        let begins = |beginning: &[u8]| self.0.iter().zip(beginning).all(|(one, other)| one == other);
        let is_whole_line = self.0.starts_with(b"P") && self.0.contains(&b'\n');
        let is_whole_block = self.0.starts_with(BEGINNINGS[1]) && self.has_declared_length();
        self.0.len() < BYTES_MAX && !is_whole_line && !is_whole_block && BEGINNINGS.into_iter().any(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of the specification, section 2.1.
    const V1: &[u8] = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";

    /// Version 2, section 2.2: command, family, addresses and extensions.
    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("it fits");
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length.to_be_bytes(), body].concat()
    }

    fn read(bytes: &[u8]) -> HeaderState {
        HeaderReader::default().receive(bytes)
    }

    fn client_of(bytes: &[u8]) -> Option<String> {
        let HeaderState::Complete { client, rest } = read(&[bytes, b"rest"].concat()) else { panic!("{bytes:?}") };
        assert_eq!(rest, b"rest");
        client.map(|client| client.to_string())
    }

    #[test]
    fn both_versions_name_the_client_and_leave_what_follows() {
        let v4 = [&[10, 0, 0, 1, 10, 0, 0, 2][..], &[0xdc, 4, 1, 0xbb]].concat();
        let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0, 80, 1, 0xbb]].concat();
        for (header, client) in [
            (V1[..47].to_vec(), Some("192.168.0.1:56324")),
            (b"PROXY TCP6 2001:db8::7 ::1 80 443\r\n".to_vec(), Some("[2001:db8::7]:80")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("10.0.0.1:56324")),
            (v2(0x21, 0x21, &v6), Some("[2001:db8::7]:80")),
            (v2(0x21, 0x11, &[&v4[..], &[4, 0, 3, 1, 2, 3]].concat()), Some("10.0.0.1:56324")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x21, 0x00, &[1, 2, 3]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            assert_eq!(client_of(&header).as_deref(), client, "{header:?}");
            let mut reader = HeaderReader::default();
            for byte in &header[..header.len() - 1] {
                assert_eq!(reader.receive(&[*byte]), HeaderState::Partial, "{header:?}");
            }
            assert!(matches!(reader.receive(&header[header.len() - 1..]), HeaderState::Complete { .. }));
        }
    }

    #[test]
    fn what_is_no_header_is_told_at_its_first_wrong_byte() {
        let long = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
        for wrong in [
            &b"G"[..],
            b"PROXI",
            b"\x16\x03\x01\x02\x00",
            b"\r\n\r\n\x01",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n\r\n",
            b"PROXY TCP4 localhost 10.0.0.2 1 2\r\n",
            b"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n",
            b"PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n",
            &long,
            &v2(0x31, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x41, &[0; 12]),
            &v2(0x21, 0x11, &[0; 4_096]),
        ] {
            assert_eq!(read(wrong), HeaderState::Missing, "{wrong:?}");
        }
        // No more is stored than the longest header, however long one says that it will be.
        let mut reader = HeaderReader::default();
        assert_eq!(reader.receive(&v2(0x21, 0x11, &[0; 60_000])[..100]), HeaderState::Partial);
        let ended = (0..200).find(|_part| reader.receive(&[0; 100]) == HeaderState::Missing);
        assert_eq!(ended, Some(39));
    }

    proptest! {
        /// However its bytes are cut, the same stream has the same header, and nothing of it is lost or panics.
        #[test]
        fn any_bytes_in_any_parts_are_read_alike(
            beginning in prop_oneof![
                Just(Vec::new()),
                Just(b"PROXY TCP4 ".to_vec()),
                Just(b"PROXY UNKNOWN".to_vec()),
                Just(V1.to_vec()),
                (0u8..0x40, 0u8..0x40, 0u8..80).prop_map(|(command, family, length)| {
                    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family, 0, length][..]].concat()
                }),
            ],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0usize..400,
        ) {
            let bytes = [beginning, rest].concat();
            let whole = read(&bytes);
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut reader = HeaderReader::default();
            let joined = match reader.receive(first) {
                HeaderState::Partial => reader.receive(second),
                HeaderState::Complete { client, rest } => {
                    HeaderState::Complete { client, rest: [&rest, second].concat() }
                }
                HeaderState::Missing => HeaderState::Missing,
            };
            // A line that is too long is noticed at once if it comes at once, and later if it is complete by then.
            let is_long_line = bytes.starts_with(b"PROXY") && (joined == HeaderState::Missing || whole == HeaderState::Missing);
            prop_assert!(is_long_line || joined == whole, "{:?} {:?}", whole, joined);
        }
    }
}
