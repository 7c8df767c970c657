//! The client: one POST, one answer of bounded size.

use crate::server::outbound::addresses::{AddressPolicy, CheckedResolver};
use crate::server::outbound::endpoint::Endpoint;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::io;
use std::time::Duration;

/// How long a connection may be idle and is still used again.
const IDLE: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("mushan/", env!("CARGO_PKG_VERSION"));

/// Sends requests and keeps connections. For use within a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct OutboundClient {
    client: Client<HttpsConnector<HttpConnector<CheckedResolver>>, Full<Bytes>>,
}

/// The answer to a request.
#[derive(Debug)]
pub struct OutboundAnswer {
    pub status: StatusCode,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the connection failed: {0}")]
    Connection(#[from] hyper_util::client::legacy::Error),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

impl OutboundClient {
    /// Fails if this machine has no certificates of authorities.
    pub fn new(policy: AddressPolicy) -> io::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver(policy));
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector =
            HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client })
    }

    /// POSTs JSON. The caller bounds the time. Redirects are answers like any other.
    pub async fn post(
        &self,
        endpoint: &Endpoint,
        headers: [(HeaderName, HeaderValue); 3],
        body: Bytes,
        answer_bytes_max: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        let mut request = Request::post(endpoint.uri().clone()).body(Full::new(body)).expect("a parsed URI is one");
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().extend(headers);
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, answer_bytes_max).collect().await.map_err(|error| {
            match error.is::<LengthLimitError>() {
                true => OutboundError::TooLarge(answer_bytes_max),
                false => OutboundError::Body(error),
            }
        })?;
        Ok(OutboundAnswer { status: head.status, body: body.to_bytes() })
    }
}
