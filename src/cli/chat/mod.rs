//! `mushan chat`: a small terminal client. It sends typed lines and prints what arrives.
//!
//! The client kit (`clients/rust`) has the connection: it comes back after cuts, sends what has no answer again under its
//! id, and reads the inbox without a hole. The program ends at the end of input, once everything sent is answered.

pub(super) mod line;
pub(super) mod memory;
pub(super) mod talk;

use crate::cli::chat::line::ChatPair;
use crate::cli::chat::memory::Memory;
use crate::cli::chat::talk::{Patience, Talk};
use crate::model::GroupId;
use crate::server::base::console::{self, ConsoleStream};
use crate::terminal::arguments::parse_user;
use crate::terminal::failure::Failure;
use crate::terminal::minter::Minter;
use crate::terminal::run_id::run_id;
use crate::terminal::server_url::{self, is_secured, path_of};
use crate::terminal::sources;
use crate::terminal::tls_client::TlsFlags;
use mushan_client::{Begin, ClientOptions, Target, Tuning};
use std::path::PathBuf;
use std::time::Duration;

/// Talk to another user, or in a group, from the terminal
///
/// Each line that you type is sent. Messages of this conversation are printed as "bob: text"; for other conversations a
/// note names where to read them. Ctrl-D ends the program. After a restart of the server it reconnects. On the server's
/// machine the token is made from the data directory's secret, and missed messages are shown first; elsewhere give a
/// token with --token.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("peer").required(true).args(["to", "group"])))]
pub struct Arguments {
    /// Your user id
    #[arg(long, value_name = "ID")]
    user: String,
    /// The user to talk to
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// The group to talk in
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// [default: the protocol of the path of --url; binary if it has no path]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    #[arg(long, default_value = "ws://127.0.0.1:8081")]
    url: String,
    #[command(flatten)]
    tls: TlsFlags,
    /// The server's data directory, for its token secret [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A token, instead of making one
    #[arg(long)]
    token: Option<String>,
    /// After the end of input, stay until this many messages of others have been shown
    #[arg(long, value_name = "N", default_value_t = 0)]
    receive: usize,
    /// After the end of input, stay for this time; with --receive, give up after it (exit status 1)
    #[arg(long, value_name = "N")]
    wait_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    Binary,
    Jsonrpc,
}

const TOKEN_TTL_MS: u64 = 24 * 3_600 * 1_000;
/// All conversations are one device: a server remembers the places of a few devices of a user.
const DEVICE: &str = "mushan-chat";
/// The newest entries that are looked through where nothing is remembered.
const NEWEST_ENTRIES: u64 = 500;
/// Lines are stored in their order also where the server refuses one for a while.
const SENDS_MAX: usize = 1;

fn tuning() -> Tuning {
    Tuning { retry_max_ms: 1_000, token_failures_max: 0, sends_max: SENDS_MAX, ..Tuning::default() }
}

impl Protocol {
    /// The paths of each protocol; the kit adds the first one.
    fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Binary => &["/ws"],
            Self::Jsonrpc => &["/rpc", "/wukong"],
        }
    }

    fn of_kit(self) -> mushan_client::Protocol {
        match self {
            Self::Binary => mushan_client::Protocol::Binary,
            Self::Jsonrpc => mushan_client::Protocol::JsonRpc,
        }
    }

    /// The protocol of a URL and the URL without its path: that of its path, or the wanted one if it has no path.
    fn of_url(url: &str, wanted: Option<Self>) -> Result<(Self, &str), Failure> {
        let path = path_of(url).unwrap_or_default();
        let spoken = [Self::Binary, Self::Jsonrpc].into_iter().find(|protocol| protocol.paths().contains(&path));
        match (spoken, wanted) {
            (Some(spoken), Some(wanted)) if spoken != wanted => {
                let flag = if spoken == Self::Binary { "binary" } else { "jsonrpc" };
                Err(Failure::new(format!(
                    "the path {path} of {url} is for another protocol; use --protocol {flag}, or leave it out"
                )))
            }
            (Some(spoken), _) => Ok((spoken, url.strip_suffix(path).unwrap_or(url))),
            (None, wanted) => Ok((wanted.unwrap_or(Self::Binary), url)),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("cannot start"))?;
    runtime.block_on(async { arguments.begin()?.run().await })
}

impl Arguments {
    fn begin(&self) -> Result<Talk, Failure> {
        let (user, peer) = (parse_user(&self.user)?.to_string(), self.peer()?);
        server_url::check(&self.url)?;
        let (protocol, url) = Protocol::of_url(&self.url, self.protocol)?;
        let (token, memory) = match &self.token {
            Some(token) => (token.clone(), None),
            None => {
                let data_dir = sources::data_dir(self.data_dir.as_deref());
                let token = Minter::open(&data_dir)?.mint(&parse_user(&self.user)?, TOKEN_TTL_MS);
                (token, Some(Memory::of(&data_dir, &user, &peer)))
            }
        };
        let header = match &peer {
            Target::User(peer) => format!("you are {user}, talking to {peer}; Ctrl-D ends"),
            Target::Group(group) => format!("you are {user}, talking in the group {group}; Ctrl-D ends"),
        };
        let pair = ChatPair { user, peer, run: run_id()? };
        let mut options = ClientOptions::new(url, &pair.user, token)
            .protocol(protocol.of_kit())
            .device(DEVICE)
            .begin(Begin::Last(NEWEST_ENTRIES))
            .tuning(tuning());
        if is_secured(url) {
            options = options.tls(self.tls.config()?);
        }
        if let Some(memory) = memory {
            options = options.store(memory);
        }
        console::say(ConsoleStream::Errors, &header);
        let patience = Patience { receive: self.receive, wait: self.wait_ms.map(Duration::from_millis) };
        Talk::begin(url, options, pair, patience)
    }

    fn peer(&self) -> Result<Target, Failure> {
        match (&self.to, &self.group) {
            (_, Some(group)) => {
                let group = GroupId::new(group)
                    .map_err(|error| Failure::new(format!("the group id {group:?} {error}")).caused_by(error))?;
                Ok(Target::group(group.to_string()))
            }
            (to, None) => Ok(Target::user(parse_user(to.as_deref().unwrap_or_default())?.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_picks_the_protocol_and_a_contradiction_is_told() {
        let of = |path: &str, wanted| {
            let url = format!("ws://h:1{path}");
            Protocol::of_url(&url, wanted).map(|(it, url)| (it, url.to_owned())).map_err(|it| it.sentence)
        };
        for (path, wanted, protocol, rest) in [
            ("", None, Protocol::Binary, ""),
            ("", Some(Protocol::Jsonrpc), Protocol::Jsonrpc, ""),
            ("/", Some(Protocol::Jsonrpc), Protocol::Jsonrpc, "/"),
            ("/im", None, Protocol::Binary, "/im"),
            ("/rpc", None, Protocol::Jsonrpc, ""),
            ("/wukong", None, Protocol::Jsonrpc, ""),
            ("/ws", Some(Protocol::Binary), Protocol::Binary, ""),
        ] {
            assert_eq!(of(path, wanted), Ok((protocol, format!("ws://h:1{rest}"))), "{path}");
        }
        let told = of("/rpc", Some(Protocol::Binary)).expect_err("they contradict each other");
        assert!(told.contains("--protocol jsonrpc"), "{told}");
    }
}
