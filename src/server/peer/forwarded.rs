//! What `X-Forwarded-For` and `Forwarded` (RFC 7239) say of a connection's client.
//!
//! Each proxy appends the address from which it was reached, so the list is read from its end: an element counts if
//! whoever appended it is trusted. Anything before that may be invented. Invariant: what an untrusted hop has written
//! before, an unclosed quotation mark included, does not change how the elements after it are read.

use crate::server::base::networks::Networks;
use crate::server::peer::client::ClientAddress;
use crate::wire::ForwardedHeader;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The first address from the end that is not `trusted`, beginning with `nearest`, from which the connection came. If
/// all are trusted, the one farthest away.
pub fn client_behind(nearest: ClientAddress, header: &str, kind: ForwardedHeader, trusted: &Networks) -> ClientAddress {
    let mut client = nearest;
    for element in elements_from_end(header) {
        if !trusted.contain(client.ip) {
            break;
        }
        let address = match kind {
            ForwardedHeader::Off => None,
            ForwardedHeader::XForwardedFor => address_of(element),
            ForwardedHeader::Forwarded => node_of(element).and_then(address_of),
        };
        // An element that hides the client, or is none: what is known is the proxy that wrote it.
        let Some(address) = address else { break };
        client = address;
    }
    client
}

/// The elements of a list, the last one first. A comma between quotation marks separates nothing.
fn elements_from_end(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let mut is_quoted = false;
        let comma = list.bytes().rposition(|byte| {
            is_quoted ^= byte == b'"';
            byte == b',' && !is_quoted
        });
        rest = comma.map(|comma| &list[..comma]);
        Some(comma.map_or(list, |comma| &list[comma + 1..]).trim())
    })
}

/// The value of `for` in an element of `Forwarded`.
fn node_of(element: &str) -> Option<&str> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })?;
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!unquoted.contains(['"', '\\'])).then_some(unquoted)
}

/// An IPv4 address, or an IPv6 address with or without brackets, and perhaps a port.
fn address_of(text: &str) -> Option<ClientAddress> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.into());
    }
    if let Some(ip) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return ip.parse::<Ipv6Addr>().ok().map(|ip| IpAddr::V6(ip).into());
    }
    text.parse::<SocketAddr>().ok().map(ClientAddress::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn behind(header: &str, kind: ForwardedHeader) -> String {
        let trusted = "10.0.0.0/8,127.0.0.1,fd00::/8".parse().expect("a list");
        let nearest = SocketAddr::from(([127, 0, 0, 1], 4_711)).into();
        client_behind(nearest, header, kind, &trusted).to_string()
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_client() {
        for (header, client) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 10.0.0.7", "203.0.113.9"),
            ("1.2.3.4, 203.0.113.9, 10.0.0.7,10.0.0.8", "203.0.113.9"),
            ("10.0.0.1, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
            ("203.0.113.9:8080", "203.0.113.9:8080"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1, fd00::3", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, unknown", "127.0.0.1:4711"),
            ("203.0.113.9, unknown, 10.0.0.7", "10.0.0.7"),
            ("", "127.0.0.1:4711"),
            ("203.0.113.9,", "127.0.0.1:4711"),
            ("for=203.0.113.9", "127.0.0.1:4711"),
        ] {
            assert_eq!(behind(header, ForwardedHeader::XForwardedFor), client, "{header}");
        }
        assert_eq!(behind("203.0.113.9", ForwardedHeader::Off), "127.0.0.1:4711");
    }

    #[test]
    fn a_sender_that_is_not_trusted_is_the_client_whatever_it_says() {
        let trusted = "10.0.0.0/8".parse().expect("a list");
        let nearest = SocketAddr::from(([203, 0, 113, 9], 4_711)).into();
        for kind in ForwardedHeader::ALL {
            assert_eq!(client_behind(nearest, "for=1.2.3.4, 1.2.3.4", kind, &trusted), nearest);
        }
    }

    #[test]
    fn the_standard_header_is_read_by_its_grammar() {
        // The examples of RFC 7239, sections 4, 6 and 7.
        for (header, client) in [
            (r#"For="[2001:db8:cafe::17]:4711""#, "[2001:db8:cafe::17]:4711"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            (r#"for=192.0.2.43,for="[2001:db8:cafe::17]",for=10.1.2.3"#, "2001:db8:cafe::17"),
            (r#"by="a,b;c" ; FOR = "192.0.2.43:47011""#, "192.0.2.43:47011"),
            ("for=_hidden", "127.0.0.1:4711"),
            (r#"for="_gazonk""#, "127.0.0.1:4711"),
            ("for=unknown", "127.0.0.1:4711"),
            (r#"for="192.0.2\.43""#, "127.0.0.1:4711"),
            ("proto=https", "127.0.0.1:4711"),
            // What a client wrote before the proxy appended its element.
            (r#"for="1.2.3.4, for=192.0.2.60"#, "192.0.2.60"),
            (r#"for=1.2.3.4;x=", for=192.0.2.60;proto=https"#, "192.0.2.60"),
        ] {
            assert_eq!(behind(header, ForwardedHeader::Forwarded), client, "{header}");
        }
    }

    proptest! {
        /// Whatever a client writes, what its proxy appends is read as the proxy wrote it.
        #[test]
        fn nothing_before_the_last_element_changes_it(invented in "[ -~]{0,60}") {
            let header = format!("{invented}, for=192.0.2.60");
            prop_assert_eq!(behind(&header, ForwardedHeader::Forwarded), "192.0.2.60");
            let header = format!("{invented}, 192.0.2.60");
            prop_assert_eq!(behind(&header, ForwardedHeader::XForwardedFor), "192.0.2.60");
        }
    }
}
