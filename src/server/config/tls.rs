//! The TLS options of a listener.

use std::path::PathBuf;

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    #[default]
    V12,
    V13,
}

impl TlsVersion {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }
}

/// The files and the versions of a listener. Without files it speaks no TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate, then those that sign it, as PEM.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The certificates that sign those of clients. `None`: clients need no certificate.
    pub client_ca_file: Option<PathBuf>,
    pub min_version: TlsVersion,
}

impl TlsOptions {
    pub fn is_on(&self) -> bool {
        self.certificate_file.is_some()
    }

    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate_file, &self.key_file, &self.client_ca_file].into_iter().flatten()
    }

    /// What is wrong with the settings together, one sentence each. `prefix` begins their keys.
    pub fn problems(&self, prefix: &str) -> Vec<String> {
        let table = [
            (
                self.certificate_file.is_some() != self.key_file.is_some(),
                format!("{prefix}certificate_file and {prefix}key_file belong together: one of them is empty"),
            ),
            (
                self.client_ca_file.is_some() && !self.is_on(),
                format!("{prefix}client_ca_file needs {prefix}certificate_file: without TLS nobody has a certificate"),
            ),
        ];
        table.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, sentence)| sentence).collect()
    }
}
