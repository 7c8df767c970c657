//! The files below `acme/` in the data directory: the account with the authority, and the certificate with its key.

use crate::server::base::error::StartError;
use crate::server::base::files::write_atomically;
use crate::server::data::directory::{ACME_DIRECTORY, make_directory};
use instant_acme::AccountCredentials;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use x509_parser::extensions::GeneralName;

/// For the server's user alone: both files have a private key.
const MODE: u32 = 0o600;

/// The directory that holds both files.
pub struct AcmeStore {
    account: PathBuf,
    pub certificate: PathBuf,
}

/// Key and certificate, in one file, so that they are replaced together.
pub fn certificate_file(data_dir: &Path) -> PathBuf {
    data_dir.join(ACME_DIRECTORY).join("certificate.pem")
}

/// What the stored account is good for: an account of one authority says nothing to another.
#[derive(Deserialize, Serialize)]
struct StoredAccount {
    directory_url: String,
    credentials: AccountCredentials,
}

/// What a stored certificate says of itself; times in seconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    pub names: Vec<String>,
    pub begins: i64,
    pub ends: i64,
    /// Nobody but the server has signed it: it only fills the place until the first is issued.
    pub is_own: bool,
}

impl AcmeStore {
    /// Makes the directory, and a certificate of its own where there is none, so that the listener can begin.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn open(data_dir: &Path, names: &[String]) -> Result<Self, StartError> {
        let directory = data_dir.join(ACME_DIRECTORY);
        make_directory(&directory)?;
        let store = Self { account: directory.join("account.json"), certificate: certificate_file(data_dir) };
        if !store.certificate.exists() {
            let failed = |source| StartError::disk("write a certificate to", &store.certificate, source);
            let own = rcgen::generate_simple_self_signed(names.to_vec()).map_err(io::Error::other).map_err(failed)?;
            store.put(&own.signing_key.serialize_pem(), &own.cert.pem()).map_err(failed)?;
        }
        Ok(store)
    }

    /// Replaces key and certificate.
    pub fn put(&self, key: &str, chain: &str) -> io::Result<()> {
        write_atomically(&self.certificate, format!("{key}{chain}").as_bytes(), MODE)
    }

    /// The certificate that is stored; `None` where it cannot be read.
    pub fn certificate(&self) -> Option<StoredCertificate> {
        stored_certificate(&self.certificate)
    }

    /// The account with this authority, if there is one.
    pub fn account(&self, directory_url: &str) -> Option<AccountCredentials> {
        let stored: StoredAccount = serde_json::from_slice(&std::fs::read(&self.account).ok()?).ok()?;
        (stored.directory_url == directory_url).then_some(stored.credentials)
    }

    pub fn put_account(&self, directory_url: &str, credentials: AccountCredentials) -> io::Result<()> {
        let stored = StoredAccount { directory_url: directory_url.to_owned(), credentials };
        write_atomically(&self.account, &serde_json::to_vec(&stored)?, MODE)
    }
}

/// What the certificate of this file says; `None` where that cannot be read.
pub fn stored_certificate(path: &Path) -> Option<StoredCertificate> {
    let bytes = std::fs::read(path).ok()?;
    let first = CertificateDer::pem_slice_iter(&bytes).next()?.ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&first).ok()?;
    let names = parsed.subject_alternative_name().ok()??.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Some(StoredCertificate {
        names: names.collect(),
        begins: parsed.validity().not_before.timestamp(),
        ends: parsed.validity().not_after.timestamp(),
        is_own: parsed.issuer() == parsed.subject(),
    })
}

impl StoredCertificate {
    /// When the next one is due, in seconds since 1970: after two thirds of its time, and at once if it is the server's
    /// own or lacks a name.
    pub fn renewal_is_due(&self, names: &[String]) -> i64 {
        let has_all = names.iter().all(|name| self.names.contains(name));
        if self.is_own || !has_all {
            return self.begins;
        }
        self.begins.saturating_add(self.ends.saturating_sub(self.begins) / 3 * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_new_directory_has_a_certificate_of_its_own_that_is_to_be_replaced_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = AcmeStore::open(dir.path(), &names(&["im.example.org"])).expect("a disk with room");
        let own = store.certificate().expect("a certificate");
        assert!(own.is_own && own.names == ["im.example.org"], "{own:?}");
        assert_eq!(own.renewal_is_due(&own.names), own.begins);
        let mode = std::fs::metadata(&store.certificate).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, MODE, "it has a key");
        let before = std::fs::read(&store.certificate).expect("a file");
        AcmeStore::open(dir.path(), &names(&["other.example.org"])).expect("the same directory");
        assert_eq!(std::fs::read(&store.certificate).expect("a file"), before, "what is there stays");
    }

    #[test]
    fn an_issued_certificate_is_renewed_when_a_third_of_its_time_is_left_or_a_name_is_missing() {
        let issued =
            StoredCertificate { names: names(&["a.example", "b.example"]), begins: 1_000, ends: 91_000, is_own: false };
        assert_eq!(issued.renewal_is_due(&names(&["a.example"])), 61_000);
        assert_eq!(issued.renewal_is_due(&names(&["a.example", "c.example"])), 1_000);
    }

    #[test]
    fn what_is_no_account_of_this_authority_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = AcmeStore::open(dir.path(), &names(&["im.example.org"])).expect("a disk with room");
        assert!(store.account("https://ca.example/dir").is_none(), "nothing is stored");
        std::fs::write(&store.account, b"{").expect("a file");
        assert!(store.account("https://ca.example/dir").is_none(), "a damaged file is made anew");
    }
}
