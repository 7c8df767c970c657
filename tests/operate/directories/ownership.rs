//! Who owns a data directory: tools that root runs leave it to the server's user, and who uses it is told by its pid.

use crate::common::{Home, mushan, run};
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Output;

/// The user and the group that a service might run as.
const OWNER: (u32, u32) = (65_534, 65_533);

fn tool(arguments: &[&str], flags: &[(&str, &Path)]) -> Output {
    let mut command = mushan();
    command.args(arguments);
    for (flag, path) in flags {
        command.arg(flag).arg(path);
    }
    run(command)
}

fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory").flatten() {
            found.extend(all_below(&entry.path()));
        }
    }
    found
}

fn assert_owned(path: &Path) {
    for path in all_below(path) {
        let found = fs::symlink_metadata(&path).expect("there");
        assert_eq!((found.uid(), found.gid()), OWNER, "{}", path.display());
    }
}

#[test]
fn what_root_makes_of_a_data_directory_belongs_to_its_owner() {
    let home = Home::new();
    drop(home.start().stop());
    let data_dir = home.data_dir();
    if fs::metadata("/proc/self").expect("a process").uid() != 0 {
        eprintln!("skipped: only root can give files away");
        return;
    }
    all_below(&data_dir).iter().for_each(|path| lchown(path, Some(OWNER.0), Some(OWNER.1)).expect("given"));
    fs::remove_file(data_dir.join("lock")).expect("there was one");
    let beside = |name: &str| data_dir.with_file_name(name);
    let succeeds = |output: Output| assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    succeeds(tool(&["log", "verify"], &[("--data-dir", &data_dir)]));
    assert_owned(&data_dir);
    succeeds(tool(&["reshard", "--shards", "3"], &[("--data-dir", &data_dir)]));
    assert_owned(&data_dir);
    succeeds(tool(&["backup"], &[("--data-dir", &data_dir), ("--to", &beside("backup"))]));
    assert_owned(&beside("backup"));
    succeeds(tool(&["restore"], &[("--from", &beside("backup")), ("--data-dir", &beside("restored"))]));
    assert_owned(&beside("restored"));
    let segment = beside("restored").join("shard-000/00000001.log");
    let bytes = fs::metadata(&segment).expect("a segment").len();
    fs::OpenOptions::new().write(true).open(&segment).expect("a segment").set_len(bytes / 2).expect("cut");
    succeeds(tool(&["log", "repair"], &[("--data-dir", &beside("restored"))]));
    assert_owned(&beside("restored"));
}

#[test]
fn a_tool_says_which_process_uses_the_directory() {
    let home = Home::new();
    let server = home.start();
    let data_dir = home.data_dir();
    for arguments in [&["log", "verify"][..], &["log", "stats"], &["log", "repair"], &["reshard", "--shards", "3"]] {
        let output = tool(arguments, &[("--data-dir", &data_dir)]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        let expected = format!("is in use by a running mushan (pid {}): stop it first", server.pid());
        assert!(told.contains(&expected), "{arguments:?}: {told}");
    }
}
