//! A certificate authority of the tests, and a client that trusts nobody else.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub struct IssuedPair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `localhost` and 127.0.0.1, of a server or of a client.
    pub fn issue(&self) -> IssuedPair {
        self.issue_as(Self::params())
    }

    /// The same, which is valid until this year begins.
    pub fn issue_until(&self, year: i32) -> IssuedPair {
        let mut params = Self::params();
        params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        self.issue_as(params)
    }

    fn params() -> CertificateParams {
        CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names")
    }

    fn issue_as(&self, params: CertificateParams) -> IssuedPair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        IssuedPair { certificate, key: key.serialize_pem() }
    }

    /// The authority's own certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A client that trusts this authority only, and shows a certificate if it has one.
    pub fn client(&self, pair: Option<&IssuedPair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        }
    }
}

impl IssuedPair {
    /// Writes `NAME.pem` and `NAME-key.pem`, and returns their paths.
    pub fn write(&self, directory: &Path, name: &str) -> [PathBuf; 2] {
        let paths = [directory.join(format!("{name}.pem")), directory.join(format!("{name}-key.pem"))];
        std::fs::write(&paths[0], &self.certificate).expect("written");
        std::fs::write(&paths[1], &self.key).expect("written");
        paths
    }
}
