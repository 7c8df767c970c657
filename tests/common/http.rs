//! A client of the operator's HTTP API: one connection a request, nothing shared with the code under test.

use super::{Home, PATIENCE, Server};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../proto/admin.openapi.json")).expect("the document is JSON")
});

pub struct Api {
    pub address: SocketAddr,
    pub token: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Home {
    /// The API of the server that runs here.
    pub fn api(&self) -> Api {
        Api::of(&self.data_dir())
    }

    /// Starts a server; its API as well.
    pub fn start_with_api(&self) -> (Server, Api) {
        (self.start(), self.api())
    }
}

impl Server {
    pub fn api(&self) -> Api {
        Api::of(&self.data_dir)
    }
}

impl Api {
    /// As the server on this directory says where it is.
    fn of(data_dir: &Path) -> Self {
        let read = |name: &str| {
            let path = data_dir.join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let url = read("admin-url");
        let address = url.trim().strip_prefix("http://").expect("a URL").parse().expect("an address");
        Self { address, token: read("admin-token").trim().to_owned() }
    }

    /// The sum of the samples whose series begins like this, of which there is at least one.
    pub fn sample(&self, series: &str) -> f64 {
        let text = self.get("/metrics").body;
        let samples = text.lines().filter(|line| line.starts_with(series));
        let values = samples.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()));
        let values: Vec<f64> = values.map(|value| value.expect("a number")).collect();
        assert!(!values.is_empty(), "{series} in {text}");
        values.iter().sum()
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &body.to_string())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(&format!("Authorization: Bearer {}\r\n", self.token), method, path, body)
    }

    /// With these headers instead of the token.
    pub fn ask_with(&self, headers: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
        let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("the server reads");
        let answer = Answer::read(&mut stream);
        answer.expect_described(method, path);
        answer
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the API accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        stream
    }
}

impl Answer {
    /// What comes until the server closes.
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer, and the end");
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.expect("a status"), head: head.to_lowercase(), body: body.to_owned() }
    }

    /// The API's document says of each of its answers that it may come: the status, and of a refusal the code.
    fn expect_described(&self, method: &str, path: &str) {
        let path = path.split('?').next().unwrap_or_default();
        let templates = DOCUMENT["paths"].as_object().expect("paths").iter().filter(|(template, _)| {
            let (named, given) = (template.split('/'), path.split('/'));
            named.clone().count() == given.clone().count()
                && named.zip(given).all(|(named, given)| named == given || named.starts_with('{'))
        });
        let Some((_, methods)) = templates.min_by_key(|(template, _)| template.matches('{').count()) else { return };
        let Some(operation) = methods.get(method.to_lowercase()) else { return };
        let described = operation["responses"].get(self.status.to_string());
        assert!(described.is_some(), "{method} {path} is not described with this answer: {self:?}");
        if self.status >= 400 {
            let codes = &DOCUMENT["components"]["schemas"]["Error"]["properties"]["code"]["enum"];
            let is_listed = codes.as_array().is_some_and(|codes| codes.contains(&self.json()["code"]));
            assert!(is_listed, "the document has no such code: {self:?}");
        }
    }

    pub fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body of an answer that has this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// Status and code of a refusal, which has a message.
    pub fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        let members = body.as_object().expect("an object").len();
        assert_eq!(members, 2, "code and message, no more: {self:?}");
        (self.status, body["code"].as_str().expect("a code").to_owned())
    }
}
