//! Answers an authority's requests on port 80 (HTTP-01, RFC 8555 8.3), while a certificate is ordered.
//!
//! Strangers can reach the port, so everything is bounded: connections, and the time of each. Nothing but the tokens of the
//! order under way is answered.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const CONNECTIONS_MAX: usize = 32;
/// How long a connection may last.
const CONNECTION: Duration = Duration::from_secs(10);
const PREFIX: &str = "/.well-known/acme-challenge/";

/// What each token is answered by.
pub type TokenAnswers = BTreeMap<String, String>;

/// Answers until the future is dropped.
pub async fn respond(listener: TcpListener, answers: Arc<TokenAnswers>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        // A failed accept (no descriptor, a peer that is gone) is not the last one.
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION, serve(stream, &answers)).await;
            drop(place);
        });
    }
}

async fn serve(stream: TcpStream, answers: &TokenAnswers) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(answers, &request))));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(CONNECTION).keep_alive(false);
    // Whoever breaks off gets no answer.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(answers: &TokenAnswers, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let token = request.uri().path().strip_prefix(PREFIX).filter(|_| request.method() == Method::GET);
    let found = token.and_then(|token| answers.get(token));
    let mut response = Response::new(Full::new(Bytes::from(found.cloned().unwrap_or_default())));
    if found.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn asked(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a listener");
        stream.write_all(format!("{head} HTTP/1.1\r\nHost: im.example.org\r\n\r\n").as_bytes()).await.expect("room");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn a_token_of_the_order_is_answered_and_nothing_else() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let answers = TokenAnswers::from([("token-1".to_owned(), "token-1.thumb".to_owned())]);
        let responding = tokio::spawn(respond(listener, Arc::new(answers)));
        let found = asked(address, "GET /.well-known/acme-challenge/token-1").await;
        assert!(found.starts_with("HTTP/1.1 200") && found.ends_with("token-1.thumb"), "{found}");
        for head in ["GET /.well-known/acme-challenge/token-2", "GET /", "POST /.well-known/acme-challenge/token-1"] {
            assert!(asked(address, head).await.starts_with("HTTP/1.1 404"), "{head}");
        }
        responding.abort();
    }
}
