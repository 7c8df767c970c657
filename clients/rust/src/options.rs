//! Who a client is, where its server is, and where its tokens come from.

use crate::machine::output::Tuning;
use crate::machine::session::Begin;
use crate::store::Store;
use crate::wire::binary::BinaryDialect;
use crate::wire::dialect::Dialect;
use crate::wire::jsonrpc::JsonRpcDialect;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Which of the server's protocols a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Protocol Buffers on `/ws`.
    #[default]
    Binary,
    /// JSON-RPC on `/rpc`.
    JsonRpc,
}

impl Protocol {
    /// A new dialect of the protocol, for one session.
    pub fn dialect(self) -> Box<dyn Dialect> {
        match self {
            Self::Binary => Box::new(BinaryDialect::default()),
            Self::JsonRpc => Box::new(JsonRpcDialect),
        }
    }
}

/// Which token is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenWish {
    /// Any that may be valid.
    Any,
    /// Another one than the last: the server has refused that.
    Fresh,
}

/// A token, or why there is none.
pub type TokenFuture = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// Where tokens come from. Asked before each login, and again after the server has refused one.
pub trait TokenSource: Send + Sync {
    /// The token to log in with.
    fn token(&self, wish: TokenWish) -> TokenFuture;
}

/// One token for ever.
impl TokenSource for String {
    fn token(&self, _wish: TokenWish) -> TokenFuture {
        let token = self.clone();
        Box::pin(async move { Ok(token) })
    }
}

/// What a client needs to know.
pub struct ClientOptions {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) tokens: Arc<dyn TokenSource>,
    pub(crate) protocol: Protocol,
    pub(crate) device: String,
    pub(crate) begin: Begin,
    pub(crate) tuning: Tuning,
    pub(crate) store: Option<Box<dyn Store>>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

impl ClientOptions {
    /// A client of the server at `url`, such as `ws://127.0.0.1:8081`; the protocol adds its path.
    pub fn new(url: impl Into<String>, user: impl Into<String>, token: impl Into<String>) -> Self {
        Self::with_tokens(url, user, Arc::new(token.into()))
    }

    /// The same with tokens from somewhere.
    pub fn with_tokens(url: impl Into<String>, user: impl Into<String>, tokens: Arc<dyn TokenSource>) -> Self {
        Self {
            url: url.into(),
            user: user.into(),
            tokens,
            protocol: Protocol::default(),
            device: "rust".to_owned(),
            begin: Begin::default(),
            tuning: Tuning::default(),
            store: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Speaks this protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Keeps this device apart from the user's others. The same device logs in again: the older session ends.
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = device.into();
        self
    }

    /// Where a client begins that has nothing stored.
    pub fn begin(mut self, begin: Begin) -> Self {
        self.begin = begin;
        self
    }

    /// Keeps the place in the inbox and the queue over restarts.
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Other times and bounds.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Another TLS configuration than the system's authorities, for `wss://`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, configuration: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(configuration);
        self
    }
}
