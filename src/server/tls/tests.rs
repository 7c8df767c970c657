//! The record layer against rustls's own client, in memory.

use super::record_layer::{PeerSide, RecordLayer, TlsError};
use crate::server::tls::identity::TlsIdentity;
use crate::server::{TlsOptions, TlsVersion};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "chat.example.com";

/// Writes a self-signed certificate and its key.
fn write_pair(directory: &Path) -> TlsOptions {
    let signed = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    std::fs::write(&certificate, signed.cert.pem()).expect("written");
    std::fs::write(&key, signed.signing_key.serialize_pem()).expect("written");
    TlsOptions { certificate_file: Some(certificate), key_file: Some(key), ..TlsOptions::default() }
}

fn identity(options: &TlsOptions) -> TlsIdentity {
    TlsIdentity::configured(options, "tls.certificate_file").expect("usable files").expect("files are named")
}

fn client_config(options: &TlsOptions, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let file = options.certificate_file.as_ref().expect("a certificate");
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(file).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A client and the layer under test.
struct Pair {
    client: ClientConnection,
    layer: RecordLayer,
    /// What the layer has read.
    read: Vec<u8>,
}

impl Pair {
    fn new(config: Arc<ClientConfig>, identity: &TlsIdentity) -> Self {
        let client = ClientConnection::new(config, ServerName::try_from(NAME).expect("a name")).expect("a client");
        Self { client, layer: RecordLayer::new(identity.now()).expect("a layer"), read: Vec::new() }
    }

    /// Moves bytes both ways until nobody has any, `step` bytes at a time.
    fn settle(&mut self, step: usize) -> Result<PeerSide, TlsError> {
        let mut peer = PeerSide::Open;
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while self.client.wants_write() {
                self.client.write_tls(&mut up).expect("written into a vector");
            }
            for bytes in up.chunks_mut(step) {
                peer = self.layer.receive(bytes, &mut self.read)?;
            }
            self.layer.take_outgoing(&mut down);
            if up.is_empty() && down.is_empty() {
                return Ok(peer);
            }
            self.feed_client(&down);
        }
    }

    fn feed_client(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).expect("read from a slice");
            self.client.process_new_packets().expect("records that the client accepts");
        }
    }

    /// What the client reads of these records.
    fn read_by_client(&mut self, records: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        for chunk in records.chunks(4_096) {
            self.feed_client(chunk);
            let mut buffer = vec![0; 64 << 10];
            while let Ok(bytes) = self.client.reader().read(&mut buffer)
                && bytes > 0
            {
                read.extend_from_slice(&buffer[..bytes]);
            }
        }
        read
    }
}

#[test]
fn what_is_written_on_one_side_is_read_on_the_other_however_it_is_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = write_pair(directory.path());
    let identity = identity(&options);
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        for step in [1, 7, 1_000, 100_000] {
            let mut pair = Pair::new(client_config(&options, versions), &identity);
            pair.settle(step).expect("a handshake");
            assert!(!pair.layer.is_handshaking());
            let sent: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
            pair.client.set_buffer_limit(None);
            pair.client.writer().write_all(&sent).expect("taken");
            pair.settle(step).expect("records");
            assert_eq!(pair.read, sent);

            let mut records = Vec::new();
            pair.layer.encrypt(&sent, &mut records).expect("records");
            assert!(records.len() < sent.len() + 20 * 40, "one record for each 16 KiB");
            assert_eq!(pair.read_by_client(&records), sent);
        }
    }
}

#[test]
fn a_flush_of_many_frames_is_one_record() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = write_pair(directory.path());
    let mut pair = Pair::new(client_config(&options, rustls::ALL_VERSIONS), &identity(&options));
    pair.settle(usize::MAX).expect("a handshake");
    let mut records = b"before".to_vec();
    pair.layer.encrypt(&[7; 1_000], &mut records).expect("a record");
    assert_eq!(&records[..6], b"before");
    assert_eq!(records.len() - 6, 1_000 + 5 + 1 + 16, "header, type and tag are added once");
}

#[test]
fn an_end_is_the_last_bytes_and_close_notify() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = write_pair(directory.path());
    let mut pair = Pair::new(client_config(&options, rustls::ALL_VERSIONS), &identity(&options));
    pair.layer.finish(b"too early");
    assert_eq!(pair.layer.outgoing_bytes(), 0, "nothing can be said before the handshake");
    pair.settle(usize::MAX).expect("a handshake");
    pair.layer.finish(b"goodbye");
    let mut records = Vec::new();
    pair.layer.take_outgoing(&mut records);
    pair.feed_client(&records);
    let mut read = Vec::new();
    pair.client.reader().read_to_end(&mut read).expect("a clean end, and no error");
    assert_eq!(read, b"goodbye");
    pair.client.send_close_notify();
    assert_eq!(pair.settle(usize::MAX).expect("a clean end"), PeerSide::Closed);
}

#[test]
fn bytes_that_are_no_tls_end_the_connection_with_an_alert() {
    let directory = tempfile::tempdir().expect("a directory");
    let identity = identity(&write_pair(directory.path()));
    for mut wrong in [b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), vec![0; 300], vec![0x16, 3, 1, 0xff, 0xff]] {
        let mut layer = RecordLayer::new(identity.now()).expect("a layer");
        assert!(layer.receive(&mut wrong, &mut Vec::new()).is_err(), "{wrong:?}");
        let mut alert = Vec::new();
        layer.take_outgoing(&mut alert);
        assert!(alert.first().is_none_or(|first| *first == 21), "an alert or nothing: {alert:?}");
    }
}

#[test]
fn a_handshake_that_never_ends_is_stored_up_to_a_bound() {
    let directory = tempfile::tempdir().expect("a directory");
    let identity = identity(&write_pair(directory.path()));
    let mut layer = RecordLayer::new(identity.now()).expect("a layer");
    // A handshake message of 64,000 bytes in records of 1,000.
    let mut message = vec![1, 0, 0xfa, 0];
    message.resize(64_000, 0);
    let mut taken = 0;
    let refused = message.chunks(1_000).find_map(|part| {
        let mut record = vec![0x16, 3, 1];
        record.extend_from_slice(&(part.len() as u16).to_be_bytes());
        record.extend_from_slice(part);
        taken += part.len();
        layer.receive(&mut record, &mut Vec::new()).err()
    });
    assert!(matches!(refused, Some(TlsError::TooLong)), "{refused:?}");
    assert!(taken < 20_000, "{taken}");
}

#[test]
fn records_that_somebody_has_changed_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = write_pair(directory.path());
    let identity = identity(&options);
    // Length, content, type and tag of a record with 40 bytes; TLS 1.3 ignores the first bytes of the header.
    for (at, change) in (3..62).flat_map(|at| [0, 1, 0x80].map(|change| (at, change))) {
        let mut pair = Pair::new(client_config(&options, rustls::ALL_VERSIONS), &identity);
        pair.settle(usize::MAX).expect("a handshake");
        pair.client.writer().write_all(&[7; 40]).expect("taken");
        let mut record = Vec::new();
        pair.client.write_tls(&mut record).expect("written");
        assert_eq!(record.len(), 62);
        record[at] ^= change;
        let received = pair.layer.receive(&mut record, &mut pair.read);
        assert_eq!(pair.read.is_empty(), change != 0, "byte {at}: nothing of a changed record is passed on");
        assert!(change != 0 || received.is_ok());
        // Whatever happened, the server may still write and end.
        let _ = pair.layer.encrypt(b"still", &mut Vec::new());
        pair.layer.finish(b"");
    }
}

#[test]
fn files_are_read_together_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    let options = write_pair(directory.path());
    let identity = identity(&options);
    let before = identity.now();
    assert!(!identity.has_changed());

    let stranger = write_pair(other.path());
    let key_file = options.key_file.clone().expect("a key");
    std::fs::copy(stranger.key_file.as_ref().expect("a key"), &key_file).expect("copied");
    assert!(identity.has_changed());
    assert!(identity.read_again().is_err(), "the key of another certificate");
    assert!(!identity.has_changed(), "a wrong file is reported once");
    assert!(Arc::ptr_eq(&before, &identity.now()));

    std::fs::copy(stranger.certificate_file.as_ref().expect("one"), options.certificate_file.as_ref().expect("one"))
        .expect("copied");
    assert!(identity.has_changed());
    identity.read_again().expect("now they belong together");
    assert!(!Arc::ptr_eq(&before, &identity.now()));
    let tickets = [&before, &identity.now()].map(|config| Arc::clone(&config.ticketer));
    assert!(Arc::ptr_eq(&tickets[0], &tickets[1]), "sessions are resumed across a reload");
}

#[test]
fn a_wrong_file_is_named_with_its_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = write_pair(directory.path());
    let sentence = |options: &TlsOptions| {
        TlsIdentity::configured(options, "tls.certificate_file").map(|_| ()).expect_err("a fault").to_string()
    };
    let missing = TlsOptions { key_file: Some(directory.path().join("none.pem")), ..options.clone() };
    assert!(sentence(&missing).contains("none.pem"), "{}", sentence(&missing));
    let swapped = TlsOptions {
        certificate_file: options.key_file.clone(),
        key_file: options.certificate_file.clone(),
        ..options.clone()
    };
    assert!(sentence(&swapped).contains("has no certificate"), "{}", sentence(&swapped));
    let newest = TlsOptions { min_version: TlsVersion::V13, ..options.clone() };
    let mut pair = Pair::new(client_config(&options, &[&rustls::version::TLS12]), &identity(&newest));
    assert!(pair.settle(usize::MAX).is_err(), "TLS 1.2 is refused where 1.3 is the oldest");
}
