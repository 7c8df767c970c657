//! A start on a host that is not as it should be: it gets by with less, or says in one sentence what is missing and
//! what helps.

use crate::common::{Home, Server, mushan, run};
use rustix::process::{Resource, Rlimit, getuid, setrlimit};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Little disk and few files for each shard.
const FEW: &str = "[server]\nsegment_bytes = 65536\nconnections_max = 100\n[limits]\ncontent_bytes_max = 1024\n";

/// What it says when it does not start; exactly one sentence.
fn refusal(command: Command, status: i32) -> String {
    let Output { status: found, stderr, .. } = run(command);
    let errors = String::from_utf8(stderr).expect("text");
    assert_eq!(found.code(), Some(status), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors
}

/// Runs it as an ordinary user of its own, with so much lockable memory. `None` where only root could do that.
fn as_ordinary_user(home: &Home, mut command: Command, memlock: u64) -> Option<Command> {
    if !getuid().is_root() {
        println!("skipped: only root can run a server as another user");
        return None;
    }
    // Locked memory is counted by user: nobody else is to have this one.
    static USERS: AtomicU32 = AtomicU32::new(0);
    let user = 100_000 + 16 * std::process::id() + USERS.fetch_add(1, Ordering::Relaxed);
    std::fs::DirBuilder::new().mode(0o700).create(home.data_dir()).expect("a new directory");
    chown(home.data_dir(), Some(user), Some(user)).expect("root may");
    chown(home.data_dir().parent().expect("it has one"), Some(user), Some(user)).expect("root may");
    command.uid(user).gid(user);
    // SAFETY: only system calls that are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let limit = Rlimit { current: Some(memlock), maximum: Some(memlock) };
            setrlimit(Resource::Memlock, limit).map_err(Into::into)
        });
    }
    let mut probe = Command::new(command.get_program());
    if probe.arg("--version").uid(user).gid(user).output().is_err() {
        println!("skipped: another user cannot run the binary where it is");
        return None;
    }
    Some(command)
}

#[test]
fn an_ordinary_user_with_the_usual_limits_starts_as_many_shards_as_a_laptop_has_cores() {
    let home = Home::new().with_config(FEW).with_shards(9);
    let Some(command) = as_ordinary_user(&home, home.serve("127.0.0.1:0"), 8 << 20) else { return };
    let exit = Server::try_start(command).expect("it starts").stop();
    assert_eq!((exit.status.code(), exit.errors.as_str()), (Some(0), ""), "and nothing is wrong");
}

#[test]
fn with_more_shards_rings_are_smaller_and_that_is_said_with_the_remedy() {
    let home = Home::new().with_config(FEW).with_shards(16);
    let Some(command) = as_ordinary_user(&home, home.serve("127.0.0.1:0"), 8 << 20) else { return };
    let exit = Server::try_start(command).expect("it starts").stop();
    assert_eq!(exit.status.code(), Some(0));
    assert_eq!(exit.errors.lines().count(), 1, "{}", exit.errors);
    assert!(exit.errors.contains("ulimit -l") && exit.errors.contains("LimitMEMLOCK="), "{}", exit.errors);
}

#[test]
fn too_little_lockable_memory_is_told_with_what_is_needed() {
    let home = Home::new().with_shards(64);
    let Some(command) = as_ordinary_user(&home, home.serve("127.0.0.1:0"), 1 << 20) else { return };
    let told = refusal(command, 2);
    assert!(told.contains("64 shards need") && told.contains("ulimit -l"), "{told}");
    assert!(!home.data_dir().join("manifest.toml").exists(), "and nothing is made");
}

#[test]
fn a_port_below_1024_is_refused_to_an_ordinary_user_with_the_remedy() {
    let home = Home::new().with_shards(1);
    let Some(command) = as_ordinary_user(&home, home.serve("127.0.0.1:80"), 8 << 20) else { return };
    if std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .is_ok_and(|first| first.trim() != "1024")
    {
        println!("skipped: everybody may listen on low ports here");
        return;
    }
    let told = refusal(command, 1);
    assert!(told.contains("127.0.0.1:80") && told.contains("below 1024"), "{told}");
}

/// As a container's default profile forbids it.
#[test]
fn a_seccomp_filter_without_io_uring_is_named_as_what_it_is() {
    const LOAD_CALL: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
    let call = u32::try_from(libc::SYS_io_uring_setup).expect("a small number");
    let filter = [
        step(LOAD_CALL, 0, 0, 0),
        step(JUMP_EQUAL, 0, 1, call),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let home = Home::new().with_shards(1);
    let mut command = home.serve("127.0.0.1:0");
    // SAFETY: only system calls that are safe between fork and exec; the program outlives the call.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            let is_set = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0;
            if is_set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let told = refusal(command, 2);
    assert!(told.contains("seccomp") && !told.contains("newer"), "{told}");
}

#[test]
fn a_taken_port_is_told_with_its_address_and_the_flag_for_another() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let told = refusal(Home::new().serve(&address), 1);
    assert!(told.contains(&address) && told.contains("taken") && told.contains("choose one with --listen"), "{told}");
}

#[test]
fn the_api_needs_a_port_of_its_own() {
    let mut command = mushan();
    command.args(["check", "--listen", ":18080", "--admin-listen", "localhost:18080"]);
    let output = run(command);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).expect("text");
    assert!(errors.contains("same port") && errors.contains("--admin-listen"), "{errors}");
}

#[test]
fn of_two_servers_that_start_on_one_port_at_once_one_runs() {
    for _round in 0..10 {
        let homes = [Home::new().with_shards(1), Home::new().with_shards(1)];
        // A port that is free now; who else takes it meanwhile fails both, which is not what is asked here.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let starting = homes.each_ref().map(|home| {
            let command = home.serve(&free.to_string());
            std::thread::spawn(move || Server::try_start(command))
        });
        let started = starting.map(|thread| thread.join().expect("no panic"));
        let refused: Vec<&String> = started.iter().filter_map(|started| started.as_ref().err()).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].contains("taken"), "{refused:?}");
    }
}
