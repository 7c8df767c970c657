//! The options of certificates that an authority issues by itself (ACME, RFC 8555).

use std::net::SocketAddr;
use std::path::PathBuf;

/// The most names of one certificate; authorities allow about as many.
const NAMES_MAX: usize = 100;

/// How the authority sees that the names are this server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// A TLS handshake on port 443 (RFC 8737), answered by the listener of clients.
    #[default]
    TlsAlpn01,
    /// A request on port 80 (RFC 8555, 8.3), answered at `tls.acme_http_listen`.
    Http01,
}

impl AcmeChallenge {
    pub const ALL: [Self; 2] = [Self::TlsAlpn01, Self::Http01];

    /// The protocol's name, which is the configuration's, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// Where the certificate of the listener of clients comes from, if an authority issues it. Off without a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The URL of the authority's directory; empty: off.
    pub directory_url: String,
    /// The names in the certificate.
    pub names: Vec<String>,
    /// An address of mail for the authority; empty: none.
    pub contact: String,
    pub challenge: AcmeChallenge,
    pub http_listen: SocketAddr,
    /// The certificate that signs the authority's own. `None`: those that this machine trusts.
    pub ca_file: Option<PathBuf>,
}

impl Default for AcmeOptions {
    fn default() -> Self {
        Self {
            directory_url: String::new(),
            names: Vec::new(),
            contact: String::new(),
            challenge: AcmeChallenge::default(),
            http_listen: SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 80)),
            ca_file: None,
        }
    }
}

impl AcmeOptions {
    pub fn is_on(&self) -> bool {
        !self.directory_url.is_empty()
    }

    /// What is wrong with the settings together, one sentence each. `has_files` says that `tls.certificate_file` is set.
    pub fn problems(&self, has_files: bool) -> Vec<String> {
        if !self.is_on() {
            return Vec::new();
        }
        let is_wild = self.names.iter().any(|name| name.starts_with("*."));
        let table = [
            (
                has_files,
                "tls.acme_directory_url and tls.certificate_file exclude each other: one certificate is served",
            ),
            (self.names.is_empty(), "tls.acme_directory_url needs tls.acme_names: the names in the certificate"),
            (self.names.len() > NAMES_MAX, "tls.acme_names has more than 100 names"),
            (is_wild, "tls.acme_names: a name with * needs the challenge dns-01, which is not supported"),
            (
                !self.directory_url.starts_with("https://"),
                "tls.acme_directory_url must begin with https://: the authority is known by its certificate",
            ),
        ];
        table.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, sentence)| sentence.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told_at_once_and_nothing_when_it_is_off() {
        let names = vec!["*.example.org".to_owned()];
        let options = AcmeOptions { names, ..AcmeOptions::default() };
        assert_eq!(options.problems(true), Vec::<String>::new(), "off");
        let options = AcmeOptions { directory_url: "http://ca.example/dir".to_owned(), ..options };
        assert_eq!(options.problems(true).len(), 3, "{:?}", options.problems(true));
        let names = vec!["im.example.org".to_owned()];
        let options = AcmeOptions { directory_url: "https://ca.example/dir".to_owned(), names, ..options };
        assert_eq!(options.problems(false), Vec::<String>::new());
    }
}
