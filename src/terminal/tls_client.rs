//! TLS for clients of a server and of its HTTP API: whom they trust, and what they show.

use crate::terminal::failure::Failure;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection, with or without TLS.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Whom a command trusts, and what it shows, where a server speaks TLS.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsFlags {
    /// PEM file with the certificates that sign the server's, where it speaks TLS [default: those of this machine]
    #[arg(long, visible_alias = "ca", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file with the certificate to show the server, where it wants one (admin.tls_client_ca_file)
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_certificate_file: Option<PathBuf>,
    /// PEM file with the key of --client-certificate-file
    #[arg(long, value_name = "FILE", requires = "client_certificate_file")]
    client_key_file: Option<PathBuf>,
}

impl TlsFlags {
    pub fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        let pair = self.client_certificate_file.as_deref().zip(self.client_key_file.as_deref());
        trusting(self.ca_file.as_deref(), pair).map(Arc::new)
    }

    pub fn connector(&self) -> Result<TlsConnector, Failure> {
        self.config().map(TlsConnector::from)
    }
}

/// The settings of a client that trusts the certificates in `ca_file`, or those that this machine trusts. `pair` is the file of
/// its certificate and that of its key.
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
    let name = server_name(host)?;
    connector.connect(name, stream).await.map_err(Failure::because(format!("TLS with {url} failed")))
}

/// The name for which a server's certificate must be.
pub fn server_name(host: &str) -> Result<ServerName<'static>, Failure> {
    let name = ServerName::try_from(host.to_owned());
    name.map_err(Failure::because(format!("{host} is not a name that a certificate may have")))
}
