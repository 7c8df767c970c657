//! Parsers and formatters of the knobs about proxies and browsers.

use crate::server::base::networks::Networks;
use crate::server::config::options::Options;
use crate::wire::{AllowedOrigins, ForwardedHeader};

fn networks_of(text: &str) -> Result<Networks, String> {
    text.parse().map_err(|()| format!("\"{text}\" is not a list of networks such as 127.0.0.0/8,10.1.2.3"))
}

pub fn show_trusted_proxies(options: &Options) -> String {
    options.proxies.trusted.to_string()
}

pub fn set_trusted_proxies(options: &mut Options, text: &str) -> Result<(), String> {
    options.proxies.trusted = networks_of(text)?;
    Ok(())
}

pub fn show_announcing(options: &Options) -> String {
    options.proxies.announcing.to_string()
}

pub fn set_announcing(options: &mut Options, text: &str) -> Result<(), String> {
    options.proxies.announcing = networks_of(text)?;
    Ok(())
}

pub fn show_forwarded_header(options: &Options) -> String {
    options.proxies.header.name().to_owned()
}

pub fn set_forwarded_header(options: &mut Options, text: &str) -> Result<(), String> {
    let named = ForwardedHeader::ALL.into_iter().find(|header| header.name().eq_ignore_ascii_case(text));
    options.proxies.header =
        named.ok_or_else(|| format!("\"{text}\" is not allowed; use off, x-forwarded-for or forwarded"))?;
    Ok(())
}

pub fn show_allowed_origins(options: &Options) -> String {
    options.allowed_origins.shown()
}

pub fn set_allowed_origins(options: &mut Options, text: &str) -> Result<(), String> {
    options.allowed_origins = AllowedOrigins::parse(text)
        .map_err(|wrong| format!("\"{wrong}\" is no origin; write them as in https://app.example.org,null or *"))?;
    Ok(())
}

pub fn show_allowed_hosts(options: &Options) -> String {
    options.admin.allowed_hosts.join(",")
}

/// Names without ports; `*` allows all.
pub fn set_allowed_hosts(options: &mut Options, text: &str) -> Result<(), String> {
    let names = text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
    let names: Vec<String> = names.collect();
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if let Some(wrong) = names.iter().find(|name| *name != "*" && !is_name(name)) {
        return Err(format!(
            "\"{wrong}\" is no name of a host; write it without scheme and port, as in im.example.org"
        ));
    }
    options.admin.allowed_hosts = names;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_read_and_a_wrong_value_is_named() {
        let mut options = Options::default();
        set_forwarded_header(&mut options, "Forwarded").expect("a header");
        set_announcing(&mut options, "10.0.0.7").expect("a list");
        set_allowed_origins(&mut options, "https://a.example").expect("a list");
        set_allowed_hosts(&mut options, "IM.example.org, ops").expect("a list");
        let shown = [show_forwarded_header, show_announcing, show_allowed_origins, show_allowed_hosts];
        let expected = ["forwarded", "10.0.0.7/32", "https://a.example", "im.example.org,ops"];
        assert_eq!(shown.map(|show| show(&options)), expected);
        assert!(
            set_forwarded_header(&mut options, "x-real-ip").expect_err("no such header").contains("x-forwarded-for")
        );
        assert!(set_trusted_proxies(&mut options, "proxy").expect_err("no network").contains("10.1.2.3"));
        assert!(set_allowed_origins(&mut options, "a.example").expect_err("no origin").contains("a.example"));
        assert!(set_allowed_hosts(&mut options, "http://ops").expect_err("no name").contains("without scheme"));
    }
}
