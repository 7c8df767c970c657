//! TLS for clients of the operator's HTTP API: whom they trust, and what they show.

use crate::terminal::failure::Failure;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection, with or without TLS.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A client that trusts the certificates in `ca_file`, or those that this machine trusts. `pair` is the file of its
/// certificate and that of its key.
pub fn connector(ca_file: Option<&Path>, pair: Option<(&Path, &Path)>) -> Result<TlsConnector, Failure> {
    trusting(ca_file, pair).map(|config| TlsConnector::from(Arc::new(config)))
}

/// The settings of such a client.
pub fn trusting(ca_file: Option<&Path>, pair: Option<(&Path, &Path)>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    let trusted = match ca_file {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    // A machine's store may have certificates that rustls cannot use; those of a file are wanted.
    let (added, _ignored) = roots.add_parsable_certificates(trusted);
    if added == 0 {
        return Err(Failure::new(match ca_file {
            Some(path) => format!("{} has no certificate that can sign others", path.display()),
            None => "this machine trusts no certificates: use --ca-file".to_owned(),
        }));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unfit = || Failure::because::<rustls::Error>("cannot set up TLS");
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(unfit())?;
    let builder = builder.with_root_certificates(roots);
    Ok(match pair {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let wrong = format!("cannot read a private key in {}", key.display());
            let key = PrivateKeyDer::from_pem_file(key).map_err(Failure::because(wrong))?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(unfit())?
        }
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let wrong = || Failure::because(format!("cannot read certificates in {}", path.display()));
    CertificateDer::pem_file_iter(path).map_err(wrong())?.collect::<Result<_, _>>().map_err(wrong())
}

/// The TLS handshake with the server at `url`, whose certificate must be for `host`.
pub async fn shake_hands(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
    url: &str,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(Failure::because(format!("{host} is not a name that a certificate may have")))?;
    connector.connect(name, stream).await.map_err(Failure::because(format!("TLS with {url} failed")))
}
