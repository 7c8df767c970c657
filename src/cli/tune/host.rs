//! This machine as its files describe it, all below one root: `/`, or a directory that a test has filled.
//!
//! Nothing here fails a command: if a file is missing or cannot be read, the condition is skipped with that reason.

use crate::server::cores_of;
use std::io;
use std::path::{Path, PathBuf};

pub struct Host {
    root: PathBuf,
}

impl Host {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The real path of `path`, which is absolute on the host.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without surrounding white space, or why it cannot be read.
    pub fn read(&self, path: &str) -> Result<String, String> {
        match std::fs::read(self.path(path)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{path} does not exist")),
            Err(error) => Err(format!("{path} cannot be read: {error}")),
        }
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The names in a directory, sorted; empty if it cannot be listed.
    pub fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_by_key(|name| (name.len(), name.clone()));
        names
    }

    /// Writes in one call, as the kernel's files require.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        use std::io::Write;
        let is_kernels = is_of_kernel(path);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(!is_kernels).truncate(!is_kernels).open(self.path(path))?;
        // A test's copy of a kernel file, below another root, would keep the rest of a longer text.
        if is_kernels && self.root != Path::new("/") {
            file.set_len(0)?;
        }
        file.write_all(format!("{}\n", text.trim_end()).as_bytes())?;
        if is_kernels { Ok(()) } else { file.sync_all() }
    }

    pub fn remove(&self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(path))
    }

    /// The cores that this process may use, or all online ones.
    pub fn cores(&self) -> Result<Vec<usize>, String> {
        let status = self.read("/proc/self/status");
        let allowed = status.ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.to_owned();
            cores_of(&line)
        });
        if let Some(cores) = allowed.filter(|cores| !cores.is_empty()) {
            return Ok(cores);
        }
        let online = self.read("/sys/devices/system/cpu/online")?;
        cores_of(&online).ok_or_else(|| format!("/sys/devices/system/cpu/online says \"{online}\""))
    }

    /// `path` with its links resolved, as the host sees it.
    pub fn resolved(&self, path: &Path) -> PathBuf {
        let root = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        for ancestor in path.ancestors() {
            let Ok(found) = self.path(&ancestor.to_string_lossy()).canonicalize() else { continue };
            let Ok(inside) = found.strip_prefix(&root) else { break };
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return Path::new("/").join(inside).join(rest);
        }
        path.to_owned()
    }
}

/// Whether the path is a value of the kernel: such files exist or not, and are never created.
pub fn is_of_kernel(path: &str) -> bool {
    path.starts_with("/proc/") || path.starts_with("/sys/")
}

/// The value in a kernel file: the bracketed choice if there are several, otherwise its words separated by single
/// spaces.
pub fn value_of(text: &str) -> String {
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or_else(|| text.split_whitespace().collect::<Vec<_>>().join(" "), |(chosen, _)| chosen.to_owned())
}

/// All choices of a kernel file.
pub fn choices_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(|word| word.trim_matches(['[', ']']).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_stands_in_brackets_or_all_of_it() {
        assert_eq!(value_of("always [madvise] never\n"), "madvise");
        assert_eq!(value_of("4096\t131072\t33554432"), "4096 131072 33554432");
        assert_eq!(choices_of("[none] mq-deadline"), ["none", "mq-deadline"]);
    }

    #[test]
    fn every_path_is_below_the_root_and_what_is_missing_is_said() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path());
        assert_eq!(host.read("/proc/sys/vm/none"), Err("/proc/sys/vm/none does not exist".to_owned()));
        std::fs::create_dir_all(root.path().join("sys/x")).unwrap();
        assert!(host.write("/sys/x/new", "1").is_err(), "the kernel's files are not made");
        std::fs::write(root.path().join("sys/x/old"), "1234567\n").unwrap();
        host.write("/sys/x/old", "1").unwrap();
        assert_eq!(host.read("/sys/x/old"), Ok("1".to_owned()));
        assert_eq!(host.list("/sys/x"), ["old"]);
        assert_eq!(host.resolved(Path::new("/sys/x/and/more")), Path::new("/sys/x/and/more"));
        assert!(host.cores().is_err());
    }
}
