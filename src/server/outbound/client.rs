//! The client: one POST, one answer of bounded size.

use crate::server::outbound::addresses::{AddressPolicy, CheckedResolver};
use crate::server::outbound::endpoint::Endpoint;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs::default_provider;
use std::io;
use std::time::Duration;

/// How long a connection may be idle and is still used again.
const IDLE: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("mushan/", env!("CARGO_PKG_VERSION"));

/// Sends requests to one endpoint and keeps connections. For use within a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct OutboundClient {
    endpoint: Endpoint,
    transport: OutboundTransport,
}

type Http = HttpConnector<CheckedResolver>;

#[derive(Clone)]
enum OutboundTransport {
    Plain(Client<Http, Full<Bytes>>),
    Encrypted(Client<HttpsConnector<Http>, Full<Bytes>>),
}

/// The answer to a request.
#[derive(Debug)]
pub struct OutboundAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl OutboundAnswer {
    /// Reads an answer of bounded size.
    pub(super) async fn read(response: Response<Incoming>, bytes_max: usize) -> Result<Self, OutboundError> {
        let (head, body) = response.into_parts();
        let body =
            Limited::new(body, bytes_max).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
                true => OutboundError::TooLarge(bytes_max),
                false => OutboundError::Body(error),
            })?;
        Ok(Self { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
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
    /// Fails if the endpoint needs certificates of authorities, and this machine has none.
    pub fn new(endpoint: Endpoint, policy: AddressPolicy) -> io::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver(policy));
        http.enforce_http(false);
        http.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let transport = match endpoint.is_encrypted() {
            false => OutboundTransport::Plain(builder.build(http)),
            true => {
                let connector = HttpsConnectorBuilder::new().with_provider_and_native_roots(default_provider())?;
                let connector = connector.https_only().enable_http1();
                OutboundTransport::Encrypted(builder.build(connector.wrap_connector(http)))
            }
        };
        Ok(Self { endpoint, transport })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// POSTs JSON. The caller bounds the time. Redirects are answers like any other.
    pub async fn post(
        &self,
        headers: [(HeaderName, HeaderValue); 3],
        body: Bytes,
        answer_bytes_max: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        let mut request = self.request("application/json", body);
        request.headers_mut().extend(headers);
        self.send(request, answer_bytes_max).await
    }

    /// The same of protobuf, without a signature.
    pub async fn post_protobuf(&self, body: Bytes, answer_bytes_max: usize) -> Result<OutboundAnswer, OutboundError> {
        self.send(self.request("application/x-protobuf", body), answer_bytes_max).await
    }

    fn request(&self, content_type: &'static str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request =
            Request::post(self.endpoint.uri().clone()).body(Full::new(body)).expect("a parsed URI is one");
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        answer_bytes_max: usize,
    ) -> Result<OutboundAnswer, OutboundError> {
        let answered = match &self.transport {
            OutboundTransport::Plain(client) => client.request(request).await?,
            OutboundTransport::Encrypted(client) => client.request(request).await?,
        };
        OutboundAnswer::read(answered, answer_bytes_max).await
    }
}
