//! Requests to the authority: over TLS only, with answers of bounded size.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

/// A chain of certificates has some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why no authority can be trusted: a file is missing or wrong, or this machine trusts nobody.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TrustError(#[from] Box<dyn std::error::Error + Send + Sync>);

/// The client of an authority.
pub struct AcmeTransport(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl AcmeTransport {
    /// `ca_file` has the certificates that sign the authority's; `None`: this machine's are trusted.
    ///
    /// # Errors
    ///
    /// The file is missing or wrong, or this machine trusts nobody.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, TrustError> {
        let builder = HttpsConnectorBuilder::new();
        let builder = match ca_file {
            None => builder.with_provider_and_native_roots(default_provider()).map_err(|it| TrustError(it.into()))?,
            Some(path) => builder.with_tls_config(trusting(path)?),
        };
        let connector = builder.https_only().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

fn trusting(path: &Path) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

impl HttpClient for AcmeTransport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answered = self.0.request(request);
        Box::pin(async move {
            let (head, body) = answered.await.map_err(|error| Error::Other(error.into()))?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(Error::Other)?;
            Ok(BytesResponse::from(Response::from_parts(head, Full::new(body.to_bytes()))))
        })
    }
}
