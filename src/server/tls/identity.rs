//! Certificates and keys from files: checked at a start, read again while the server runs.
//!
//! Shards take the current settings for each new connection; open connections keep theirs. Invariants: files are used
//! together or not at all; wrong files change nothing while the server runs; all shards share the keys of session
//! tickets, also across a reload.

use crate::server::base::error::ConfigurationError;
use crate::server::config::tls::{TlsOptions, TlsVersion};
use crate::server::tls::challenges::{ACME_ALPN, AlpnChallenges, CertificateChoice};
use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// WebSockets and the HTTP API speak HTTP/1.1 only.
const ALPN: &[u8] = b"http/1.1";
/// A chain has a few certificates; a list of trusted ones may have some hundred.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{} is not a PEM file with {what}: {source}", path.display())]
    NotPem { path: PathBuf, what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("{} has no {what}", path.display())]
    Empty { path: PathBuf, what: &'static str },
    #[error("the certificate {} and its key cannot be used: {source}", path.display())]
    Unfit { path: PathBuf, source: rustls::Error },
    #[error("{} cannot be trusted for clients: {source}", path.display())]
    Untrustworthy { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

/// The current TLS settings of one listener, which its connections share.
#[derive(Clone)]
pub struct TlsIdentity(Arc<IdentityFiles>);

struct IdentityFiles {
    options: TlsOptions,
    /// Where an authority asks for proof by handshakes.
    challenges: Option<AlpnChallenges>,
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<ServerConfig>,
    /// The end of the certificate's validity in seconds since 1970; `NO_EXPIRY` where that cannot be read.
    expires: AtomicI64,
    /// When the files that are in use were written.
    written: ArcSwap<Vec<Option<SystemTime>>>,
}

impl TlsIdentity {
    /// Reads the files of `options`; `None` if they name none. `setting` names them in an error.
    ///
    /// # Errors
    ///
    /// A file is missing or wrong.
    pub fn configured(options: &TlsOptions, setting: &'static str) -> Result<Option<Self>, ConfigurationError> {
        if !options.is_on() {
            return Ok(None);
        }
        Self::answering(options, None, setting).map(Some)
    }

    /// The same for files that are named; handshakes of an authority are answered by `challenges`.
    ///
    /// # Errors
    ///
    /// A file is missing or wrong.
    pub fn answering(
        options: &TlsOptions,
        challenges: Option<AlpnChallenges>,
        setting: &'static str,
    ) -> Result<Self, ConfigurationError> {
        let fault = |source| ConfigurationError::Tls { setting, source: Box::new(source) };
        let tickets = aws_lc_rs::Ticketer::new().map_err(|source| {
            fault(TlsFileError::Unfit { path: options.certificate_file.clone().unwrap_or_default(), source })
        })?;
        let written = times_of(options);
        let (config, expires) = read(options, challenges.as_ref(), Arc::clone(&tickets)).map_err(fault)?;
        Ok(Self(Arc::new(IdentityFiles {
            options: options.clone(),
            challenges,
            tickets,
            current: ArcSwap::from_pointee(config),
            expires: AtomicI64::new(expires),
            written: ArcSwap::from_pointee(written),
        })))
    }

    /// The settings for a new connection.
    pub fn now(&self) -> Arc<ServerConfig> {
        self.0.current.load_full()
    }

    /// Reads the files again. From then on new connections use them.
    ///
    /// # Errors
    ///
    /// A file is missing or wrong; the previous ones stay in use.
    pub fn read_again(&self) -> Result<(), TlsFileError> {
        let written = times_of(&self.0.options);
        // Wrong files are reported once, not at every look.
        self.0.written.store(Arc::new(written));
        let (config, expires) = read(&self.0.options, self.0.challenges.as_ref(), Arc::clone(&self.0.tickets))?;
        self.0.current.store(Arc::new(config));
        self.0.expires.store(expires, Ordering::Relaxed);
        Ok(())
    }

    /// The end of the validity of the certificate in use, in seconds since 1970.
    pub fn expires(&self) -> Option<i64> {
        Some(self.0.expires.load(Ordering::Relaxed)).filter(|expires| *expires != NO_EXPIRY)
    }

    /// Whether a file was written since it was read.
    pub fn has_changed(&self) -> bool {
        **self.0.written.load() != times_of(&self.0.options)
    }

    /// The certificate's file.
    pub fn certificate_file(&self) -> &Path {
        self.0.options.certificate_file.as_deref().unwrap_or_else(|| Path::new(""))
    }
}

fn times_of(options: &TlsOptions) -> Vec<Option<SystemTime>> {
    let time_of = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    options.files().map(time_of).collect()
}

const NO_EXPIRY: i64 = i64::MAX;

/// The settings, and the end of the certificate's validity.
fn read(
    options: &TlsOptions,
    challenges: Option<&AlpnChallenges>,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<(ServerConfig, i64), TlsFileError> {
    let certificate_file = options.certificate_file.clone().unwrap_or_default();
    let chain = certificates(&certificate_file)?;
    let expires = chain.first().and_then(expiry_of).unwrap_or(NO_EXPIRY);
    let key = private_key(options.key_file.as_deref().unwrap_or_else(|| Path::new("")))?;
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let unfit = |source| TlsFileError::Unfit { path: certificate_file.clone(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(options.min_version))
        .map_err(unfit)?;
    let builder = match &options.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let untrustworthy = |source| TlsFileError::Untrustworthy { path: path.clone(), source };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|source| untrustworthy(source.into()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|source| untrustworthy(source.into()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let usual = Arc::new(CertifiedKey::from_der(chain, key, &provider).map_err(unfit)?);
    let challenges = challenges.cloned();
    let acme = challenges.is_some().then(|| ACME_ALPN.to_vec());
    let choice = CertificateChoice { usual, challenges: challenges.unwrap_or_default() };
    let mut config = builder.with_cert_resolver(Arc::new(choice));
    config.alpn_protocols = std::iter::once(ALPN.to_vec()).chain(acme).collect();
    config.ticketer = tickets;
    // One ticket for each session is enough: a client that reconnects gets another one.
    config.send_tls13_tickets = 1;
    Ok((config, expires))
}

fn expiry_of(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

static NEWEST_VERSION: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::V12 => rustls::ALL_VERSIONS,
        TlsVersion::V13 => NEWEST_VERSION,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let bytes = contents(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let what = "certificates";
    let chain = chain.map_err(|source| TlsFileError::NotPem { path: path.to_owned(), what, source })?;
    if chain.is_empty() {
        return Err(TlsFileError::Empty { path: path.to_owned(), what: "certificate" });
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    let what = "a private key";
    PrivateKeyDer::from_pem_slice(&contents(path)?).map_err(|source| TlsFileError::NotPem {
        path: path.to_owned(),
        what,
        source,
    })
}

fn contents(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let unreadable = |source| TlsFileError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(TlsFileError::TooLong { path: path.to_owned() });
    }
    std::fs::read(path).map_err(unreadable)
}
