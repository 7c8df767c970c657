//! A client of the operator's HTTP API: finds its address and token, sends one request, and reads the response.

use crate::admin::{Address, AddressFile, AdminToken};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::sources;
use crate::terminal::tls_client;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longer than the server waits for a shard.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
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
    /// PEM file with the certificates that sign the API's, where it speaks TLS [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file with the certificate to show the API, where it wants one (admin.tls_client_ca_file)
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_certificate_file: Option<PathBuf>,
    /// PEM file with the key of --client-certificate-file
    #[arg(long, value_name = "FILE", requires = "client_certificate_file")]
    client_key_file: Option<PathBuf>,
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
    /// Sends the request, and prints the response as JSON or as `tell` formats it.
    pub fn run(&self, call: Call, tell: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let mut target = self.target()?;
        if target.url.starts_with("https:") {
            let pair = self.client_certificate_file.as_deref().zip(self.client_key_file.as_deref());
            target.tls = Some(tls_client::connector(self.ca_file.as_deref(), pair)?);
        }
        let url = target.url.clone();
        let token = self.token()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::because("cannot start a client"))?;
        let answer = runtime.block_on(async {
            tokio::time::timeout(TIMEOUT, request(&target, &token, call)).await.unwrap_or_else(|_elapsed| {
                Err(Failure::new(format!("{url} does not answer within {} s", TIMEOUT.as_secs())))
            })
        })?;
        if self.json { print(&answer.to_string()) } else { print(&tell(&answer)) }
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

async fn request(target: &AdminTarget, token: &str, call: Call) -> Result<Value, Failure> {
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
    let broken = || Failure::because::<hyper::Error>(format!("{url} does not answer in valid HTTP"));
    let stream: Box<dyn tls_client::Duplex> = match &target.tls {
        None => Box::new(stream),
        Some(connector) => Box::new(tls_client::shake_hands(connector, host, stream, url).await?),
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken())?;
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
    let response = sender.send_request(request).await.map_err(broken())?;
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(broken())?.to_bytes();
    let answer: Value = serde_json::from_slice(&bytes)
        .map_err(Failure::because(format!("{url} answers {status} without JSON: is it mushan's HTTP API?")))?;
    if status.is_success() {
        return Ok(answer);
    }
    match absent {
        Some((code, sentence)) if answer["code"] == code => Err(Failure::new(sentence)),
        _ => Err(refused(&answer)),
    }
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
