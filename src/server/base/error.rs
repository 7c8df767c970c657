//! Why a server does not start, or stops with an error. The kind decides the exit status (docs/ARCHITECTURE.md,
//! "Refusals, failures and bugs").
//!
//! Each error says what was being done, with which file, and has its cause as its source. A message already contains
//! that of its cause where it can; `sentence` appends the others.

use crate::log::{Damage, OpenError, StorageError};
use crate::model::ShardId;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::server) const SEE_TOOLS: &str = "see `mushan log verify` and `mushan log repair`";
pub(in crate::server) const SEE_VERIFY: &str = "see `mushan log verify`";
pub(in crate::server) const SEE_REPAIR: &str = "see `mushan log repair`";

/// A cause that is only printed, never matched.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What an operator can do about a log that does not open.
pub(in crate::server) fn advice(error: &OpenError) -> &'static str {
    if error.is_of_another_version() {
        return "open it with the version of mushan that wrote it";
    }
    SEE_TOOLS
}

/// The message of an error, and those of its causes that it does not contain.
pub fn sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let said = found.to_string();
        if !sentence.contains(&said) {
            sentence = format!("{sentence}: {said}");
        }
        cause = found.source();
    }
    sentence
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operator's configuration or arguments are wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// This machine or this process's limits are not sufficient.
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A shard failed before all were ready.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl StartError {
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Configuration(_) => 1,
            Self::Host(_) => 2,
            Self::Disk(_) => 3,
            Self::Run(error) => error.exit_status(),
        }
    }

    /// `doing` completes the sentence "cannot …".
    pub fn disk(doing: &'static str, path: &Path, source: io::Error) -> Self {
        DiskError::io(doing, path, source).into()
    }
}

/// A fault of the configuration, the arguments, or the directory that they name.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    #[error("cannot listen on {address}: {remedy}")]
    Listen { address: SocketAddr, remedy: String, source: io::Error },
    #[error("auth.jwks_file {}: {source}", path.display())]
    KeyFile { path: PathBuf, source: Cause },
    /// `setting` names the listener's settings.
    #[error("{setting}: {source}")]
    Tls { setting: &'static str, source: Cause },
    #[error("{0} is a backup: `mushan restore --from {0} --data-dir DIRECTORY` makes a data directory of it", path.display())]
    Backup { path: PathBuf },
    #[error(
        "{} has {shards} shards; leave --shards out, or change it with `mushan reshard --shards {wanted}`",
        path.display()
    )]
    ShardCount { path: PathBuf, shards: u16, wanted: u16 },
    #[error("cannot take over {}: {source}", path.display())]
    TakeOver { path: PathBuf, source: Cause },
    #[error("only a data directory of one shard can be used here")]
    ManyShards,
    #[error("this process may not use core {core}")]
    Core { core: usize },
    #[error("{} {why}", path.display())]
    Unfit { path: PathBuf, why: &'static str },
    #[error("cannot use {}: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
}

impl ConfigurationError {
    /// `why` follows the path in the message.
    pub(in crate::server) fn unfit(path: &Path, why: &'static str) -> Self {
        Self::Unfit { path: path.to_owned(), why }
    }

    pub(in crate::server) fn no_data_directory(path: &Path) -> Self {
        Self::unfit(path, "is not a data directory: there is no manifest.toml in it")
    }
}

/// A fault of this machine or of this process's limits.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// `doing` completes the sentence "cannot …".
    #[error("cannot {doing}: {source}")]
    System { doing: &'static str, source: io::Error },
    #[error("cannot start a shard on core {core}: {source}")]
    Core { core: usize, source: io::Error },
    /// `explained` says what to do about the cause.
    #[error("{explained}")]
    Ring { explained: String, source: io::Error },
    #[error("cannot set up io_uring for a shard: {explained}")]
    ShardRing { explained: String, source: io::Error },
    #[error("the kernel returned no random bytes: {0}")]
    Randomness(#[source] io::Error),
    #[error("the kernel does not say which cores this process may use")]
    CoresUnknown,
    #[error(
        "{shards} {} {wanted} bytes of locked memory, and this process may lock {bytes}: {remedy}",
        if *shards == 1 { "shard needs" } else { "shards need" }
    )]
    LockedMemory { shards: u16, wanted: u64, bytes: u64, remedy: String },
    #[error("a shard ended before it was ready")]
    ShardEnded,
}

impl HostError {
    /// For `map_err`; `doing` completes the sentence "cannot …".
    pub fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

/// A fault of a file or a directory.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// `doing` completes the sentence "cannot …".
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// The same, with a cause that is not an I/O error.
    #[error("cannot {doing} {}: {source}", path.display())]
    Task { doing: &'static str, path: PathBuf, source: Cause },
    #[error("cannot make {} durable: {source}", path.display())]
    NotDurable { path: PathBuf, source: io::Error },
    /// `why` follows the path in the message.
    #[error("{} {why}", path.display())]
    Unfit { path: PathBuf, why: &'static str },
    /// A file with unusable contents.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: FileFault },
    #[error("cannot use {}: {source}; {SEE_REPAIR}", path.display())]
    Segment { path: PathBuf, source: io::Error },
    #[error(
        "cannot use {}: it is {found} bytes long and should be {expected}: it was truncated or replaced",
        path.display()
    )]
    Length { path: PathBuf, found: u64, expected: u64 },
    #[error("{} is {found} bytes long and was written with {expected}", path.display())]
    CopyLength { path: PathBuf, found: u64, expected: u64 },
    /// `why` follows "the log in that directory".
    #[error(
        "shard {shard}: the log in {} {why}: put back the directory that was there, or restore all shards from one backup \
         with `mushan restore`; `mushan log verify` and `mushan audit` compare the logs",
        path.display()
    )]
    Misfit { shard: ShardId, path: PathBuf, why: &'static str },
    #[error("{} is damaged: {source}", path.display())]
    Damaged { path: PathBuf, source: Damage },
    /// `doing` completes the sentence "cannot …".
    #[error("cannot {doing} the log in {}: {source}; {advice}", path.display())]
    Log { doing: &'static str, path: PathBuf, source: OpenError, advice: &'static str },
    #[error("shard {shard}: {source}; {advice}")]
    Shard { shard: ShardId, source: Cause, advice: &'static str },
    #[error(transparent)]
    Logs(Cause),
    #[error(
        "{0} has logs but no token-secret: put it back from a backup, or make a new one with `mushan token \
         --new-secret --data-dir {0}`, which no token issued so far is good with",
        path.display()
    )]
    SecretMissing { path: PathBuf },
    #[error(
        "{} is in use by a running mushan{}: stop it first; `mushan audit` and `mushan backup` work while it runs",
        path.display(),
        Holder(*pid)
    )]
    InUse { path: PathBuf, pid: Option<u32> },
    #[error(
        "the server on {}{} agreed to hand over, and still has the directory after {waited_s} s: see what it does, or stop it; \
         then start without --take-over",
        path.display(),
        Holder(*pid)
    )]
    NotHandedOver { path: PathBuf, pid: Option<u32>, waited_s: u64 },
    #[error(
        "there is no {}, and {} is not complete: restore the original directory, or remove the incomplete one",
        path.display(),
        new.display()
    )]
    Incomplete { path: PathBuf, new: PathBuf },
}

impl DiskError {
    /// `doing` completes the sentence "cannot …".
    pub(in crate::server) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// `doing` completes the sentence "cannot …".
    pub(in crate::server) fn task(doing: &'static str, path: &Path, source: impl Into<Cause>) -> Self {
        Self::Task { doing, path: path.to_owned(), source: source.into() }
    }

    /// `why` follows the path in the message.
    pub(in crate::server) fn unfit(path: &Path, why: &'static str) -> Self {
        Self::Unfit { path: path.to_owned(), why }
    }
}

impl From<DiskError> for StorageError {
    fn from(error: DiskError) -> Self {
        Self::Medium(Box::new(error))
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(out, " (pid {pid})"))
    }
}

/// Why one of the server's own files is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    #[error("{0}")]
    Unfit(&'static str),
    /// The parser's message.
    #[error("{0}")]
    Syntax(String),
    #[error("has format version {found}; this {program} supports version {known}")]
    Version { found: u32, known: u32, program: &'static str },
    #[error("shards must be between 1 and {shards_max}")]
    Shards { shards_max: u16 },
    #[error("lists {0:?}, which no backup contains")]
    Listed(String),
}

impl From<toml::de::Error> for FileFault {
    fn from(error: toml::de::Error) -> Self {
        Self::Syntax(error.message().to_owned())
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The shard has stopped, because nothing that it acknowledged from now on would be durable.
    #[error("shard {shard}: the log could not be synced, so nothing more can be acknowledged: {source}")]
    Disk { shard: ShardId, source: Arc<io::Error> },
    /// The inbox epoch could not be changed, so clients could not be told that inbox seqs stand for other messages.
    #[error("shard {shard}: the inbox epoch could not be changed: {source}")]
    Epoch { shard: ShardId, source: Arc<StartError> },
    /// `what` is a complete clause.
    #[error("shard {shard}: {what}: {source}")]
    Host { shard: ShardId, what: &'static str, source: Arc<io::Error> },
}

impl RunError {
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Host { .. } => 2,
            Self::Disk { .. } | Self::Epoch { .. } => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(error: &dyn Error) -> Vec<String> {
        std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string).collect()
    }

    #[test]
    fn an_error_says_what_was_done_with_which_file_and_has_its_cause() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let error = StartError::disk("open", Path::new("/data/lock"), denied());
        let StartError::Disk(DiskError::Io { doing, path, source }) = &error else { panic!("another kind: {error:?}") };
        assert_eq!((*doing, path.as_path(), source.kind()), ("open", Path::new("/data/lock"), denied().kind()));
        assert_eq!(error.to_string(), "cannot open /data/lock: permission denied");
        assert_eq!(causes(&error), ["permission denied"]);
        assert_eq!((sentence(&error), error.exit_status()), (error.to_string(), 3), "nothing is said twice");
    }

    #[test]
    fn a_log_that_cannot_be_made_durable_is_traced_to_the_disk() {
        let path = PathBuf::from("/data/shard-000/00000004.log");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let storage = StorageError::from(DiskError::NotDurable { path, source: full });
        let (directory, advice) = (PathBuf::from("/data/shard-000"), SEE_TOOLS);
        let error = DiskError::Log { doing: "open", path: directory, source: storage.into(), advice };
        let said = causes(&error);
        assert_eq!(said.last().map(String::as_str), Some("no storage space"));
        let found = std::iter::successors(Some(&error as &dyn Error), |error| (*error).source());
        let kinds = found.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
        assert_eq!(kinds.collect::<Vec<_>>(), [io::ErrorKind::StorageFull]);
        assert!(said.iter().all(|said| error.to_string().contains(said)), "{error}");
    }

    #[test]
    fn a_cause_that_a_sentence_does_not_mention_is_added_to_it() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = HostError::Ring { explained: "io_uring is switched off on this host".to_owned(), source };
        assert_eq!(sentence(&error), "io_uring is switched off on this host: permission denied");
    }
}
