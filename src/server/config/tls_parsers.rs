//! Parsers and formatters of the TLS knobs, of the listener of clients and of the HTTP API.

use crate::server::config::options::Options;
use crate::server::config::tls::TlsVersion;
use std::path::PathBuf;

fn show_file(file: Option<&PathBuf>) -> String {
    file.map_or_else(String::new, |path| path.display().to_string())
}

/// An empty text means no file.
fn set_file(file: &mut Option<PathBuf>, text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("is not a path".to_owned());
    }
    *file = (!text.is_empty()).then(|| text.into());
    Ok(())
}

fn set_version(version: &mut TlsVersion, text: &str) -> Result<(), String> {
    *version = match text {
        "1.2" => TlsVersion::V12,
        "1.3" => TlsVersion::V13,
        _ => return Err(format!("\"{text}\" is not allowed; use \"1.2\" or \"1.3\"")),
    };
    Ok(())
}

macro_rules! file_parsers {
    ($(($show:ident, $set:ident, $($field:ident).+)),+) => {
        $(
            pub fn $show(options: &Options) -> String {
                show_file(options.$($field).+.as_ref())
            }

            pub fn $set(options: &mut Options, text: &str) -> Result<(), String> {
                set_file(&mut options.$($field).+, text)
            }
        )+
    };
}

file_parsers!(
    (show_certificate_file, set_certificate_file, tls.certificate_file),
    (show_key_file, set_key_file, tls.key_file),
    (show_acme_ca_file, set_acme_ca_file, acme.ca_file),
    (show_admin_certificate_file, set_admin_certificate_file, admin.tls.certificate_file),
    (show_admin_key_file, set_admin_key_file, admin.tls.key_file),
    (show_admin_client_ca_file, set_admin_client_ca_file, admin.tls.client_ca_file)
);

pub fn show_version(options: &Options) -> String {
    options.tls.min_version.name().to_owned()
}

pub fn set_min_version(options: &mut Options, text: &str) -> Result<(), String> {
    set_version(&mut options.tls.min_version, text)
}

pub fn show_admin_version(options: &Options) -> String {
    options.admin.tls.min_version.name().to_owned()
}

pub fn set_admin_min_version(options: &mut Options, text: &str) -> Result<(), String> {
    set_version(&mut options.admin.tls.min_version, text)
}
