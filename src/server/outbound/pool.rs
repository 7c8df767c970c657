//! A client for many URLs: connections are kept by host, and HTTP/2 is spoken where the other side does.
//!
//! Invariant: names resolve to addresses that the policy allows, at each connection. URLs are checked by `Endpoint`
//! before they come here.

use crate::server::outbound::addresses::{AddressPolicy, CheckedResolver};
use crate::server::outbound::client::{OutboundAnswer, OutboundError};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use std::io;
use std::time::Duration;

/// How long a connection may be idle and is still used again.
const IDLE: Duration = Duration::from_secs(60);
/// A connection of HTTP/2 that does not answer a ping within this time is given up.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The versions of HTTP that are offered over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedHttp {
    /// The other side chooses HTTP/1.1 or HTTP/2.
    Any,
    /// HTTP/2 alone.
    Two,
}

/// For use within a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct OutboundPool(Client<HttpsConnector<HttpConnector<CheckedResolver>>, Full<Bytes>>);

impl OutboundPool {
    /// Fails if this machine has no certificates of authorities.
    pub fn new(policy: AddressPolicy, offered: OfferedHttp) -> io::Result<Self> {
        let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(default_provider())?.https_or_http();
        Ok(Self::speaking(tls, policy, offered))
    }

    /// Trusts whom `tls` trusts, and shows the certificate that it has.
    pub fn with_tls(tls: ClientConfig, policy: AddressPolicy) -> Self {
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Self::speaking(tls, policy, OfferedHttp::Any)
    }

    fn speaking(tls: HttpsConnectorBuilder<WantsProtocols1>, policy: AddressPolicy, offered: OfferedHttp) -> Self {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver(policy));
        http.enforce_http(false);
        http.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        builder.http2_keep_alive_interval(IDLE / 2).http2_keep_alive_timeout(PING_TIMEOUT);
        let connector = match offered {
            OfferedHttp::Any => tls.enable_all_versions().wrap_connector(http),
            OfferedHttp::Two => {
                builder.http2_only(true);
                tls.enable_http2().wrap_connector(http)
            }
        };
        Self(builder.build(connector))
    }

    /// Sends a request and reads an answer of bounded size. The caller bounds the time. Redirects are answers like any
    /// other.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        answer_bytes_max: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        OutboundAnswer::read(self.open(request).await?, answer_bytes_max).await
    }

    /// Sends a request whose answer the caller reads as it comes.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, OutboundError> {
        Ok(self.0.request(request).await?)
    }
}
