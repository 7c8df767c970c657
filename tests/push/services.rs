//! Push services on this machine that speak the documented interfaces of FCM (HTTP v1, with OAuth 2), APNs (HTTP/2 over
//! TLS) and Web Push. They keep what they were sent, and answer as a test says.

use crate::common::PATIENCE;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub const ACCESS_TOKEN: &str = "granted-by-the-test";

/// One request for a notification.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    pub is_http_2: bool,
    pub at: Instant,
    pub status: u16,
}

/// A status, a line of the head, and a body.
pub type Told = (u16, Option<(&'static str, &'static str)>, &'static str);

#[derive(Default)]
struct Kept {
    pushed: Vec<Pushed>,
    assertions: Vec<String>,
    /// What is answered first to requests whose path or body has the text.
    answers: HashMap<String, VecDeque<Told>>,
}

pub struct PushServices {
    kept: Arc<Mutex<Kept>>,
    pub plain: SocketAddr,
    pub apns: Option<SocketAddr>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for PushServices {
    fn drop(&mut self) {
        // A test that is asynchronous itself must not wait for it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl PushServices {
    /// With APNs where there is a certificate and its key.
    pub fn start(certificate: Option<(&Path, &Path)>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let bind = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.set_nonblocking(true).expect("a socket");
            let _inside = runtime.enter();
            TcpListener::from_std(listener).expect("a socket")
        };
        let plain = bind();
        let plain_address = plain.local_addr().expect("bound");
        runtime.spawn(serve_plain(plain, kept.clone()));
        let apns = certificate.map(|(certificate, key)| {
            let listener = bind();
            let address = listener.local_addr().expect("bound");
            runtime.spawn(serve_encrypted(listener, acceptor(certificate, key), kept.clone()));
            address
        });
        Self { kept, plain: plain_address, apns, runtime: Some(runtime) }
    }

    /// The next requests with this text in their path or body are answered so, one after the other.
    pub fn answer(&self, text: &str, answers: &[Told]) {
        let mut kept = self.kept.lock().expect("nobody panics");
        kept.answers.entry(text.to_owned()).or_default().extend(answers);
    }

    /// The requests with this text in their path or body.
    pub fn pushed(&self, text: &str) -> Vec<Pushed> {
        let kept = self.kept.lock().expect("nobody panics");
        kept.pushed.iter().filter(|pushed| pushed.has(text)).cloned().collect()
    }

    /// Waits until there are so many of them.
    pub fn wait_for(&self, text: &str, count: usize) -> Vec<Pushed> {
        let begun = Instant::now();
        loop {
            let pushed = self.pushed(text);
            if pushed.len() >= count {
                return pushed;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} notifications for {text}", pushed.len());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    pub fn all(&self) -> usize {
        self.kept.lock().expect("nobody panics").pushed.len()
    }

    pub fn assertions(&self) -> Vec<String> {
        self.kept.lock().expect("nobody panics").assertions.clone()
    }
}

impl Pushed {
    fn has(&self, text: &str) -> bool {
        self.path.contains(text) || String::from_utf8_lossy(&self.body).contains(text)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a file").map(|it| it.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("versions").with_no_client_auth().with_single_cert(chain.collect(), key);
    let mut config = config.expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve_plain(listener: TcpListener, kept: Arc<Mutex<Kept>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let kept = kept.clone();
        let service = service_fn(move |request| answer(request, kept.clone()));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn serve_encrypted(listener: TcpListener, acceptor: TlsAcceptor, kept: Arc<Mutex<Kept>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (kept, acceptor) = (kept.clone(), acceptor.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| answer(request, kept.clone()));
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, kept: Arc<Mutex<Kept>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let text = |status: u16, body: String| {
        Response::builder().status(status).body(Full::new(Bytes::from(body))).expect("an answer")
    };
    let mut kept = kept.lock().expect("nobody panics");
    if path == "/token" {
        let form = String::from_utf8(body).expect("a form");
        let assertion = form.split_once("&assertion=").expect("an assertion").1.to_owned();
        kept.assertions.push(assertion);
        return Ok(text(
            200,
            format!(r#"{{"access_token":"{ACCESS_TOKEN}","expires_in":3600,"token_type":"Bearer"}}"#),
        ));
    }
    let value = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = head.headers.iter().map(|(name, it)| (name.as_str().to_owned(), value(it))).collect();
    let is_http_2 = head.version == Version::HTTP_2;
    let mut pushed = Pushed { path, headers, body, is_http_2, at: Instant::now(), status: 201 };
    let told = kept.answers.iter_mut().find(|(text, _)| pushed.has(text)).and_then(|(_, answers)| answers.pop_front());
    let (status, line, said) = told.unwrap_or((if pushed.path.starts_with("/sub") { 201 } else { 200 }, None, "{}"));
    pushed.status = status;
    kept.pushed.push(pushed);
    let mut response = text(status, said.to_owned());
    if let Some((name, value)) = line {
        response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    Ok(response)
}
