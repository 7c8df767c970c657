//! A client of the operator's HTTP API: finds its address and token, sends one request, and reads the response.

use crate::admin::{Address, AddressFile, AdminToken};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::sources;
use crate::terminal::tls_client::{self, TlsFlags};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longer than the server waits for a shard.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(clap::Args, Clone)]
pub struct ApiFlags {
    /// The server's data directory, which contains the API's address and token [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the API, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with the API's token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsFlags,
    /// Print the response as JSON
    #[arg(long)]
    json: bool,
}

/// A request to be sent.
pub struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    /// A code of a refusal, and the message to print for it.
    absent: Option<(&'static str, String)>,
}

impl Call {
    /// `segments` of the path, not percent-encoded.
    pub fn new(method: Method, segments: &[&str]) -> Self {
        let encoded = segments.iter().map(|segment| format!("/{}", encoded(segment)));
        Self { method, path: format!("/v1{}", encoded.collect::<String>()), body: None, absent: None }
    }

    /// A GET of a path outside /v1.
    pub fn at(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: None, absent: None }
    }

    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(&format!("{name}={}", encoded(value)));
        self
    }

    /// Prints `sentence` if the response has this code.
    pub fn or_say(mut self, code: &'static str, sentence: String) -> Self {
        self.absent = Some((code, sentence));
        self
    }

    pub fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl ApiFlags {
    /// Those of a server on this machine.
    pub fn of_data_dir(data_dir: &Path) -> Self {
        Self { data_dir: Some(data_dir.to_owned()), url: None, token_file: None, tls: TlsFlags::default(), json: false }
    }

    pub fn with_tls(self, tls: &TlsFlags) -> Self {
        Self { tls: tls.clone(), ..self }
    }

    /// The response to a request, as JSON.
    pub fn ask(&self, call: Call) -> Result<Value, Failure> {
        self.ask_within(call, TIMEOUT)
    }

    /// The same, for a server that is well.
    pub fn ask_within(&self, call: Call, timeout: Duration) -> Result<Value, Failure> {
        let (target, token) = (self.connected_target()?, self.token()?);
        runtime()?.block_on(within(timeout, &target.url, request(&target, &token, call)))
    }

    /// The response to a request, as text.
    pub fn text(&self, call: Call) -> Result<String, Failure> {
        let (target, token) = (self.connected_target()?, self.token()?);
        runtime()?.block_on(in_time(&target.url, async {
            let response = send(&target, &token, call).await?.accepted(&target.url).await?;
            let bytes = response.into_body().collect().await.map_err(broken(&target.url))?.to_bytes();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }))
    }

    /// Sends the request, and prints the response as JSON or as `tell` formats it.
    pub fn run(&self, call: Call, tell: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        self.show(&self.ask(call)?, tell)
    }

    /// Prints a response as JSON or as `tell` formats it.
    pub fn show(&self, answer: &Value, tell: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.json { print(&answer.to_string()) } else { print(&tell(answer)) }
    }

    /// Sends the request, and prints each line of the response as it comes, as JSON or as `tell` formats it.
    pub fn stream(&self, call: Call, tell: impl Fn(&Value) -> String) -> Result<(), Failure> {
        let (target, token) = (self.connected_target()?, self.token()?);
        runtime()?.block_on(async {
            let sent = in_time(&target.url, send(&target, &token, call)).await?;
            let mut body = sent.accepted(&target.url).await?.into_body();
            let mut buffer = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(Failure::because(format!("{} has ended the stream", target.url)))?;
                buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let said = serde_json::from_slice(&line).map_err(Failure::because("a line that is no JSON"))?;
                    print(&if self.json { Value::to_string(&said) } else { tell(&said) })?;
                }
            }
            Ok(())
        })
    }

    fn connected_target(&self) -> Result<AdminTarget, Failure> {
        let mut target = self.target()?;
        if target.url.starts_with("https:") {
            target.tls = Some(self.tls.connector()?);
        }
        Ok(target)
    }

    fn target(&self) -> Result<AdminTarget, Failure> {
        if let Some(url) = &self.url {
            return Ok(AdminTarget { url: url.trim_end_matches('/').to_owned(), written_in: None, tls: None });
        }
        let data_dir = sources::data_dir(self.data_dir.as_deref());
        let url = written_address(&data_dir)?;
        Ok(AdminTarget { url, written_in: Some(data_dir), tls: None })
    }

    fn token(&self) -> Result<String, Failure> {
        let in_data_dir = || sources::data_dir(self.data_dir.as_deref()).join(AdminToken::FILE);
        let path = self.token_file.clone().unwrap_or_else(in_data_dir);
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(Failure::because(format!("cannot read the token in {}", path.display())))?;
        Ok(text.trim().to_owned())
    }
}

/// The API's address.
struct AdminTarget {
    url: String,
    /// The data directory that contains the address; `None` if the user gave the address.
    written_in: Option<PathBuf>,
    /// For a URL with `https`.
    tls: Option<TlsConnector>,
}

fn written_address(data_dir: &Path) -> Result<String, Failure> {
    match AddressFile::read(data_dir).map_err(Failure::because("cannot read the address of the HTTP API"))? {
        Address::Held(url) => Ok(url),
        Address::Absent => Err(Failure::new(format!(
            "no server with an HTTP API runs on {}: start it (`mushan serve`), or use --data-dir or --url",
            data_dir.display()
        ))),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::because("cannot start a client"))
}

async fn in_time<T>(url: &str, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    within(TIMEOUT, url, answer).await
}

async fn within<T>(
    timeout: Duration,
    url: &str,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_elapsed| Err(Failure::new(format!("{url} does not answer within {} s", timeout.as_secs())));
    tokio::time::timeout(timeout, answer).await.unwrap_or_else(late)
}

/// A response whose body is not read yet, and the message to print for a code of a refusal.
struct UnreadResponse {
    response: Response<Incoming>,
    absent: Option<(&'static str, String)>,
}

impl UnreadResponse {
    /// The response, if the request was not refused.
    async fn accepted(self, url: &str) -> Result<Response<Incoming>, Failure> {
        let Self { response, absent } = self;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = json_of(response, url).await?;
        match absent {
            Some((code, sentence)) if answer["code"] == code => Err(Failure::new(sentence)),
            _ => Err(refused(&answer)),
        }
    }
}

fn broken(url: &str) -> impl FnOnce(hyper::Error) -> Failure {
    Failure::because(format!("{url} does not answer in valid HTTP"))
}

async fn json_of(response: Response<Incoming>, url: &str) -> Result<Value, Failure> {
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(broken(url))?.to_bytes();
    serde_json::from_slice(&bytes)
        .map_err(Failure::because(format!("{url} answers {status} without JSON: is it mushan's HTTP API?")))
}

async fn request(target: &AdminTarget, token: &str, call: Call) -> Result<Value, Failure> {
    let response = send(target, token, call).await?.accepted(&target.url).await?;
    json_of(response, &target.url).await
}

async fn send(target: &AdminTarget, token: &str, call: Call) -> Result<UnreadResponse, Failure> {
    let url = target.url.as_str();
    let base: Uri = url.parse().map_err(Failure::because(format!("{url} is not a URL")))?;
    let (Some("http" | "https"), Some(authority)) = (base.scheme_str(), base.authority()) else {
        return Err(Failure::new(format!(
            "\"{url}\": expected http://ADDRESS:PORT or https://NAME:PORT, for example http://127.0.0.1:8080"
        )));
    };
    let unreachable = || Failure::because::<std::io::Error>(format!("no server answers at {url}"));
    let host = authority.host().trim_matches(['[', ']']);
    let address = (host, authority.port_u16().unwrap_or(if target.tls.is_some() { 443 } else { 80 }));
    let stream = TcpStream::connect(address).await.map_err(unreachable())?;
    // The token is meant only for the server that wrote the address, which locks the file while it listens.
    if let Some(data_dir) = &target.written_in
        && written_address(data_dir)? != url
    {
        return Err(Failure::new(format!("the server on {} has just been restarted: try again", data_dir.display())));
    }
    let stream: Box<dyn tls_client::Duplex> = match &target.tls {
        None => Box::new(stream),
        Some(connector) => Box::new(tls_client::shake_hands(connector, host, stream, url).await?),
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken(url))?;
    tokio::spawn(connection);

    let absent = call.absent;
    let body = call.body.map(|body| body.to_string()).unwrap_or_default();
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
    let bearer = bearer.map_err(|_| Failure::new("the token contains invalid characters"))?;
    let request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header(HOST, authority.as_str())
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(Failure::because("cannot build the request"))?;
    let response = sender.send_request(request).await.map_err(broken(url))?;
    Ok(UnreadResponse { response, absent })
}

fn refused(answer: &Value) -> Failure {
    let text = |name: &str| answer[name].as_str().unwrap_or("unknown").to_owned();
    Failure::new(format!("{} ({})", text("message"), text("code")))
}

/// Percent-encodes a segment of a path or a value of a query.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_any_id_whole() {
        let call = Call::new(Method::GET, &["groups", "a/b c", "members", "小"]).with_query("after", "&x");
        assert_eq!(call.path, "/v1/groups/a%2Fb%20c/members/%E5%B0%8F?after=%26x");
    }

    #[test]
    fn a_refusal_is_told_with_its_code() {
        let answer = serde_json::json!({"code": "busy", "message": "too many"});
        assert_eq!(refused(&answer).sentence, "too many (busy)");
    }
}
