//! The flags of every command that reads the configuration.

use crate::server::config::Sources;
use crate::server::{Options, PublicKeys, StartError};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Clone, Debug, Default)]
pub struct ConfigurationFlags {
    /// Directory of the logs and the token secret [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port for WebSocket clients [default: 0.0.0.0:8081]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Address and port of the operator's HTTP API, or off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    admin_listen: Option<String>,
    /// File with the public keys of other token issuers, a JWK Set for RS256, ES256 and EdDSA; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    auth_jwks_file: Option<String>,
    /// Shards of a new data directory [default: one per core]
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// How lines of the log on stderr are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Embedded profile to start from: balanced, dev, latency, throughput or durable [default: balanced]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// TOML file; environment variables (MUSHAN_LIMITS__FRAME_BYTES_MAX=…) and flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigurationFlags {
    pub fn sources(&self) -> Sources {
        let flags = [
            ("data_dir", &self.data_dir),
            ("listen", &self.listen),
            ("admin.listen", &self.admin_listen),
            ("auth.jwks_file", &self.auth_jwks_file),
            ("server.log_format", &self.log_format),
            ("shards", &self.shards),
        ];
        Sources {
            profile: self.profile.clone(),
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: flags.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))).collect(),
        }
    }
}

/// Reads the files of keys and secrets that a configuration names, as a start reads them.
pub fn read_keys(options: &Options) -> Result<PublicKeys, StartError> {
    for webhook in &options.webhooks {
        let _secret = webhook.secret()?;
    }
    PublicKeys::configured(&options.auth)
}

/// The data directory for a client on the server's machine: that of the flag, otherwise the one that `serve` would use.
pub fn data_dir(flag: Option<&Path>) -> PathBuf {
    let from_environment = || std::env::var_os("MUSHAN_DATA_DIR").map(PathBuf::from);
    flag.map(Path::to_owned).or_else(from_environment).unwrap_or_else(|| Options::default().data_dir)
}
