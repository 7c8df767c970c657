//! Parsers and formatters of knobs whose values are neither numbers nor handled in the table itself.

use crate::model::{Directory, SamePlatform};
use crate::server::base::logging::LogFormat;
use crate::server::config::options::{HugePages, Options};
use crate::wire::TokenAlgorithm;
use crate::wire::token::Expiry;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const CORES_MAX: usize = 4_096;

/// Parses a list of cores in the kernel's format: `2-5,8`.
pub fn cores_of(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CORES_MAX {
            return None;
        }
        cores.extend(first..=last);
    }
    cores.sort_unstable();
    cores.dedup();
    Some(cores)
}

/// Formats ascending cores in the kernel's format.
pub fn list_of(cores: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cores;
    while let Some(&first) = rest.first() {
        let run = rest.iter().zip(first..).take_while(|(core, expected)| *core == expected).count();
        let separator = if text.is_empty() { "" } else { "," };
        let end = if run > 1 { format!("-{}", first + run - 1) } else { String::new() };
        write!(text, "{separator}{first}{end}").expect("writing to a String cannot fail");
        rest = &rest[run..];
    }
    text
}

pub fn show_cores(options: &Options) -> String {
    list_of(&options.cores)
}

pub fn set_cores(options: &mut Options, text: &str) -> Result<(), String> {
    options.cores = cores_of(text).ok_or_else(|| format!("\"{text}\": expected a list of cores, for example 2-5,8"))?;
    Ok(())
}

pub fn show_log_format(options: &Options) -> String {
    options.log_format.name().to_owned()
}

pub fn set_log_format(options: &mut Options, text: &str) -> Result<(), String> {
    let named = LogFormat::ALL.into_iter().find(|format| format.name() == text);
    options.log_format = named.ok_or_else(|| format!("\"{text}\" is not allowed; use text or json"))?;
    Ok(())
}

pub fn show_huge_pages(options: &Options) -> String {
    let name = match options.huge_pages {
        HugePages::Host => "host",
        HugePages::Never => "never",
        HugePages::Advise => "advise",
    };
    name.to_owned()
}

pub fn set_huge_pages(options: &mut Options, text: &str) -> Result<(), String> {
    options.huge_pages = match text {
        "host" => HugePages::Host,
        "never" => HugePages::Never,
        "advise" => HugePages::Advise,
        _ => return Err(format!("\"{text}\" is not allowed; use host, never or advise")),
    };
    Ok(())
}

pub fn show_directory(options: &Options) -> String {
    let name = match options.policies.directory {
        Directory::Open => "open",
        Directory::Closed => "closed",
    };
    name.to_owned()
}

pub fn set_directory(options: &mut Options, text: &str) -> Result<(), String> {
    options.policies.directory = match text {
        "open" => Directory::Open,
        "closed" => Directory::Closed,
        _ => return Err(format!("\"{text}\" is not allowed; use open or closed")),
    };
    Ok(())
}

pub fn show_same_platform(options: &Options) -> String {
    let name = match options.policies.same_platform {
        SamePlatform::Allow => "allow",
        SamePlatform::Kick => "kick",
    };
    name.to_owned()
}

pub fn set_same_platform(options: &mut Options, text: &str) -> Result<(), String> {
    options.policies.same_platform = match text {
        "allow" => SamePlatform::Allow,
        "kick" => SamePlatform::Kick,
        _ => return Err(format!("\"{text}\" is not allowed; use allow or kick")),
    };
    Ok(())
}

pub fn show_subprotocols(options: &Options) -> String {
    options.subprotocols.join(",")
}

/// RFC 6455, 4.1: each is a token.
pub fn set_subprotocols(options: &mut Options, text: &str) -> Result<(), String> {
    let is_token =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let names: Vec<String> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect();
    if let Some(name) = names.iter().find(|name| !is_token(name)) {
        return Err(format!("\"{name}\" cannot be a WebSocket subprotocol; use letters, digits and -._~"));
    }
    options.subprotocols = names;
    Ok(())
}

/// Parses an address with a port. A port alone gets the address `alone`; `localhost` is 127.0.0.1.
pub fn address_of(text: &str, alone: IpAddr) -> Option<SocketAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (ip, port) = match text.rsplit_once(':') {
        None | Some(("", _)) => (alone, text.trim_start_matches(':')),
        Some(("localhost", port)) => (Ipv4Addr::LOCALHOST.into(), port),
        Some(_) => return None,
    };
    port.parse().ok().map(|port| SocketAddr::new(ip, port))
}

pub fn show_jwks_file(options: &Options) -> String {
    options.auth.jwks_file.as_ref().map_or_else(String::new, |path| path.display().to_string())
}

/// An empty text means no file.
pub fn set_jwks_file(options: &mut Options, text: &str) -> Result<(), String> {
    options.auth.jwks_file = (!text.is_empty()).then(|| text.into());
    Ok(())
}

pub fn show_algorithms(options: &Options) -> String {
    options.auth.shown_algorithms()
}

pub fn set_algorithms(options: &mut Options, text: &str) -> Result<(), String> {
    let named = |name: &str| TokenAlgorithm::named(name.trim());
    let mut algorithms = text.split(',').map(named).collect::<Option<Vec<_>>>().ok_or_else(|| {
        let known = TokenAlgorithm::ALL.map(TokenAlgorithm::name).join(", ");
        format!("\"{text}\": expected one or more of {known}, separated by commas")
    })?;
    algorithms.dedup();
    options.auth.algorithms = algorithms;
    Ok(())
}

pub fn show_expiry(options: &Options) -> String {
    let name = match options.auth.expiry {
        Expiry::Required => "required",
        Expiry::Optional => "optional",
    };
    name.to_owned()
}

pub fn set_expiry(options: &mut Options, text: &str) -> Result<(), String> {
    options.auth.expiry = match text {
        "required" => Expiry::Required,
        "optional" => Expiry::Optional,
        _ => return Err(format!("\"{text}\" is not allowed; use required or optional")),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_and_written_as_the_kernel_does() {
        for (text, cores) in [("", vec![]), ("3", vec![3]), ("0-1", vec![0, 1]), ("2-5,8", vec![2, 3, 4, 5, 8])] {
            assert_eq!(cores_of(text), Some(cores.clone()));
            assert_eq!(list_of(&cores), text);
        }
        assert_eq!(cores_of("5,0-1,1\n"), Some(vec![0, 1, 5]));
        for wrong in ["a", "3-", "5-2", "1-99999999999", "-1"] {
            assert_eq!(cores_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_may_be_a_port_alone_or_on_localhost() {
        let address = |text: &str| address_of(text, Ipv4Addr::UNSPECIFIED.into()).map(|address| address.to_string());
        for (text, meant) in [
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("[::]:2", "[::]:2"),
            (":8081", "0.0.0.0:8081"),
            ("8081", "0.0.0.0:8081"),
            ("localhost:8081", "127.0.0.1:8081"),
        ] {
            assert_eq!(address(text).as_deref(), Some(meant));
        }
        for wrong in ["", ":", "host:1", "65536", "10.0.0.1", "::1", "localhost", "localhost:"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_choice_that_is_none_is_refused_by_name() {
        let mut options = Options::default();
        assert!(set_huge_pages(&mut options, "always").expect_err("no such choice").contains("never"));
        for wrong in ["", "HS256,", "none", "HS512", "rs256"] {
            assert!(set_algorithms(&mut options, wrong).expect_err(wrong).contains("HS256, RS256, ES256, EdDSA"));
        }
        assert!(set_expiry(&mut options, "never").expect_err("no such choice").contains("optional"));
        assert!(set_cores(&mut options, "two").expect_err("no list").contains("2-5,8"));
    }
}
