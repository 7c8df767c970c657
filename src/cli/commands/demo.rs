//! `mushan serve --demo`: the flags, what they do to the options, and how loudly the server says what a demo is.

use crate::server::base::console::{self, ConsoleStream};
use crate::server::config::Config;
use crate::server::{DEMO_GROUP, DEMO_PATH, DEMO_PEOPLE, DemoAccess, Options, Server};
use crate::terminal::admin_client::{ApiFlags, Call};
use hyper::Method;
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::Path;

#[derive(clap::Args)]
pub struct DemoFlags {
    /// Show a chat page at /chat that logs in whoever opens it, as one of a few people: to look at, never for production.
    /// Listens on 127.0.0.1 unless --listen says otherwise, and refuses addresses that others can reach
    #[arg(long)]
    demo: bool,
    /// With --demo: on any address, for everybody who can reach it
    #[arg(long, requires = "demo")]
    demo_anybody: bool,
}

impl DemoFlags {
    /// The default address is one that others can reach: a demo takes loopback in its place. One that somebody has chosen stays,
    /// and is refused if others can reach it.
    pub fn applied_to(&self, config: Config) -> Options {
        let is_default_address = config.is_default("listen");
        let mut options = config.options;
        options.demo = match (self.demo, self.demo_anybody) {
            (false, _) => DemoAccess::Off,
            (true, false) => DemoAccess::Loopback,
            (true, true) => DemoAccess::Anybody,
        };
        if options.demo == DemoAccess::Loopback && is_default_address {
            options.listen.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        options
    }

    /// Says what a demo does, and makes its group. Nothing without the flag.
    pub fn announce(&self, server: &Server) {
        if !self.demo {
            return;
        }
        let scheme = if server.identities().clients.is_some() { "https" } else { "http" };
        let (address, people) = (server.address, DEMO_PEOPLE.join(", "));
        let told = format!(
            "{:<12} {scheme}://{address}{DEMO_PATH}\n\n  DEMO: whoever opens that page is logged in as {people}, without a \
             password. Not for production.\n",
            "chat page"
        );
        console::say(ConsoleStream::Output, &told);
        tracing::warn!(%address, people, "demo: the chat page logs in whoever opens it; not for production");
        // The page works without the group, too.
        if let Err(fault) = make_group(&server.data_dir) {
            tracing::warn!(fault, group = DEMO_GROUP, "demo: the group could not be created");
        }
    }
}

fn make_group(data_dir: &Path) -> Result<(), String> {
    let [owner, members @ ..] = DEMO_PEOPLE;
    let body = json!({ "id": DEMO_GROUP, "owner": owner, "members": members });
    let call = Call::new(Method::POST, &["groups"]).with_body(body);
    ApiFlags::of_data_dir(data_dir).ask(call).map_err(|fault| fault.sentence)?;
    console::say(ConsoleStream::Output, &format!("{:<12} {DEMO_GROUP}: {}", "demo group", DEMO_PEOPLE.join(", ")));
    Ok(())
}
