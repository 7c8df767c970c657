//! A block device in memory, which a test can break or slow down without harm to anything else. Needs root, zram and
//! mkfs.ext4, and a mount namespace of the test's own (`super::mounts::with_own_devices`).

use super::Home;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const CONTROL: &str = "/sys/class/zram-control";
const DEVICE_BYTES: &str = "67108864";
const MOUNT_POINT: &str = "device";
/// Without a journal only the server's own writes reach the device.
pub const NO_JOURNAL: &str = "^has_journal";
/// What a test says where it cannot have one.
pub const NEEDED: &str = "it needs root, zram and mkfs.ext4";

/// Gone when dropped.
pub struct Zram {
    number: u32,
    mounted: Option<PathBuf>,
}

impl Zram {
    /// `None` if this user may not create one.
    pub fn make(features: &str) -> Option<Self> {
        let number = std::fs::read_to_string(format!("{CONTROL}/hot_add")).ok()?.trim().parse().ok()?;
        let zram = Self { number, mounted: None };
        zram.set("disksize", DEVICE_BYTES);
        let made = Command::new("mkfs.ext4").args(["-q", "-O", features]).arg(zram.path()).status();
        made.is_ok_and(|status| status.success()).then_some(zram)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/zram{}", self.number))
    }

    pub fn set(&self, what: &str, value: &str) {
        std::fs::write(format!("/sys/block/zram{}/{what}", self.number), value).expect("our own device");
    }

    /// Its numbers, as the kernel writes them: `252:0`.
    pub fn numbers(&self) -> String {
        let device = std::fs::metadata(self.path()).expect("our own device").rdev();
        format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
    }

    pub fn mount(&mut self, at: &Path) {
        let mounted = Command::new("mount").args(["-t", "ext4"]).arg(self.path()).arg(at).status();
        assert!(mounted.expect("mount can be run").success());
        self.mounted = Some(at.to_owned());
    }

    /// Unmounting drops the page cache of the device.
    pub fn unmount(&mut self) {
        let Some(at) = self.mounted.take() else { return };
        let unmounted = Command::new("umount").arg(at).status();
        assert!(unmounted.expect("umount can be run").success());
    }

    /// Mounts it where the home's data directory is; where that is mounted.
    pub fn hold(&mut self, home: &Home) -> PathBuf {
        let at = home.data_dir().with_file_name(MOUNT_POINT);
        std::fs::create_dir(&at).expect("a new home");
        self.mount(&at);
        std::fs::DirBuilder::new().mode(0o700).create(at.join("data")).expect("an empty disk");
        std::os::unix::fs::symlink(at.join("data"), home.data_dir()).expect("a link");
        at
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        if let Some(at) = self.mounted.take() {
            let _ = Command::new("umount").arg("-l").arg(at).status();
        }
        let _ = std::fs::write(format!("/sys/block/zram{}/reset", self.number), "1");
        let _ = std::fs::write(format!("{CONTROL}/hot_remove"), self.number.to_string());
    }
}
